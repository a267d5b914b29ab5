//! Searches: pages of transactions, counts, and how the beginning of a query may go on.

mod blocks;
mod completion;
mod count;
mod coverage;
mod page;
mod query;
mod range;
mod undone;

use std::time::Duration;

pub use completion::{Completion, Suggestion, complete};
pub use count::{Counted, count};
use dfuse_search::Budget;
pub use page::{SearchCost, SearchItem, SearchPage, SearchQuestion, Searched, page};
pub use query::{InvalidQuery, account_history, parse};
pub use range::BlockSpan;

use crate::ReadContext;

/// How long a search may look before it answers with what it has; of the time that a request may take a quarter at most.
const SEARCH_TIME: Duration = Duration::from_secs(5);

/// A budget for one request; `work` is what is left of it.
fn budget<'a>(read: &ReadContext<'a>, work: u64, deadline: Duration) -> Budget<'a> {
    Budget::new(work).until(&*read.chain().clock, deadline).paced_by(read.reading())
}

/// When a search that begins now has to come to an end.
fn deadline(read: &ReadContext<'_>) -> Duration {
    read.chain().clock.elapsed() + SEARCH_TIME.min(read.service().options().read_timeout / 4)
}
