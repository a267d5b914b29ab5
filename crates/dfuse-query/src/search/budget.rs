//! How much work and time one search may take.

use std::time::Duration;

use dfuse_search::Budget;

use crate::ReadContext;

/// How long a search may look before it answers with what it has; of the time that a request may take a quarter at most.
const SEARCH_TIME: Duration = Duration::from_secs(5);

/// A budget for one request; `work` is what is left of it.
pub(super) fn budget<'a>(read: &ReadContext<'a>, work: u64, deadline: Duration) -> Budget<'a> {
    Budget::new(work).until(&*read.chain().clock, deadline).paced_by(read.reading())
}

/// When a search that begins now has to come to an end.
pub(super) fn deadline(read: &ReadContext<'_>) -> Duration {
    read.chain().clock.elapsed() + SEARCH_TIME.min(read.service().options().read_timeout / 4)
}
