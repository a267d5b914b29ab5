use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{AccessStore, Result, Usage};

/// Seconds of a day.
const DAY: u64 = 86_400;

/// What one caller has used since it was last written.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    documents: AtomicU64,
    ingress_bytes: AtomicU64,
    egress_bytes: AtomicU64,
    rate_limited: AtomicU64,
}

impl Counters {
    pub(crate) fn add(&self, usage: Usage) {
        let Usage { requests, documents, ingress_bytes, egress_bytes, rate_limited } = usage;
        let counts = [
            (&self.requests, requests),
            (&self.documents, documents),
            (&self.ingress_bytes, ingress_bytes),
            (&self.egress_bytes, egress_bytes),
            (&self.rate_limited, rate_limited),
        ];
        for (counter, more) in counts {
            if more > 0 {
                counter.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    fn take(&self) -> Usage {
        self.each(|counter| counter.swap(0, Ordering::Relaxed))
    }

    fn now(&self) -> Usage {
        self.each(|counter| counter.load(Ordering::Relaxed))
    }

    fn each(&self, read: impl Fn(&AtomicU64) -> u64) -> Usage {
        Usage {
            requests: read(&self.requests),
            documents: read(&self.documents),
            ingress_bytes: read(&self.ingress_bytes),
            egress_bytes: read(&self.egress_bytes),
            rate_limited: read(&self.rate_limited),
        }
    }
}

/// Most callers that are told apart in [`Meter::since_start`].
const MAX_LABELS: usize = 1000;
/// What all holders of tokens of other issuers are together there: they are without number.
const FOREIGN: &str = "foreign";
/// What those are together there that are too many.
const OTHER: &str = "other";

/// Counts what callers use, and writes it to the table of days now and then.
#[derive(Debug, Default)]
pub struct Meter {
    state: Mutex<State>,
    /// One writes at a time: the table is read and written again.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// By subject.
    counters: BTreeMap<Arc<str>, Arc<Counters>>,
    /// What is being written, by subject.
    in_flight: Vec<(Arc<str>, Arc<Counters>, Usage)>,
    /// What was written since the start, by label.
    written: BTreeMap<Arc<str>, Usage>,
}

/// What was used since the server began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsedSinceStart {
    /// By id of a key, or by what else callers are told by.
    pub by_caller: BTreeMap<Arc<str>, Usage>,
    /// Requests that are not in the table of days yet: what a crash would lose.
    pub unwritten_requests: u64,
}

impl Meter {
    /// The counters of a caller.
    pub(crate) fn of(&self, subject: &str) -> Arc<Counters> {
        let counters = &mut self.state().counters;
        match counters.get(subject) {
            Some(known) => known.clone(),
            None => counters.entry(subject.into()).or_default().clone(),
        }
    }

    /// Adds what was used to the table, for the day of this time (seconds since 1970). What cannot be written is kept for the
    /// next time. May block on a disk.
    ///
    /// # Errors
    /// Those of the store.
    pub fn flush(&self, store: &dyn AccessStore, now: u64) -> Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let used = self.state().take();
        if used.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = used.iter().map(|(subject, usage)| (&**subject, *usage)).collect();
        let written = store.add_usage((now / DAY) as u32, &rows);
        self.state().end(written.is_ok());
        written
    }

    /// What was used since the start, of a bounded number of callers.
    pub(crate) fn since_start(&self) -> UsedSinceStart {
        let state = self.state();
        let mut used = UsedSinceStart { by_caller: state.written.clone(), unwritten_requests: 0 };
        let counted = state.counters.iter().map(|(subject, counters)| (subject, counters.now()));
        let in_flight = state.in_flight.iter().map(|(subject, _, usage)| (subject, *usage));
        for (subject, usage) in counted.chain(in_flight) {
            used.unwritten_requests += usage.requests;
            add(&mut used.by_caller, subject, usage);
        }
        used
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing can panic while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is to be written.
    fn take(&mut self) -> Vec<(Arc<str>, Usage)> {
        let Self { counters, in_flight, .. } = self;
        counters.retain(|subject, counters| {
            let usage = counters.take();
            if !usage.is_nothing() {
                in_flight.push((subject.clone(), counters.clone(), usage));
            }
            // Nobody counts there any more.
            !usage.is_nothing() || Arc::strong_count(counters) > 1
        });
        in_flight.iter().map(|(subject, _, usage)| (subject.clone(), *usage)).collect()
    }

    /// It was written, or not.
    fn end(&mut self, is_written: bool) {
        for (subject, counters, usage) in self.in_flight.drain(..) {
            if is_written {
                add(&mut self.written, &subject, usage);
            } else {
                counters.add(usage);
            }
        }
    }
}

/// Adds what a caller used, under its own name as long as there are not too many.
fn add(sums: &mut BTreeMap<Arc<str>, Usage>, subject: &Arc<str>, usage: Usage) {
    // Only those of other issuers have a colon, behind the issuer.
    let label = if subject.contains(':') { FOREIGN.into() } else { subject.clone() };
    let has_room = sums.len() < MAX_LABELS || sums.contains_key(&label);
    *sums.entry(if has_room { label } else { OTHER.into() }).or_default() += usage;
}

#[cfg(test)]
mod tests {
    use dfuse_kv::{FaultPlan, FaultyStore, MemoryStore, WriteFault};

    use super::*;
    use crate::{KvAccessStore, testing::memory_store};

    #[test]
    fn usage_is_added_day_by_day() {
        let (store, meter) = (memory_store(), Meter::default());
        let used = Usage { requests: 1, documents: 20, ingress_bytes: 3, egress_bytes: 400, rate_limited: 0 };
        let (a, b) = (meter.of("a"), meter.of("b"));
        a.add(used);
        b.add(used);
        meter.flush(&store, DAY).unwrap();
        a.add(used);
        meter.flush(&store, DAY + 5).unwrap();
        a.add(used);
        meter.flush(&store, 2 * DAY).unwrap();
        meter.flush(&store, 3 * DAY).unwrap();
        let rows = store.usage(0..=9).unwrap();
        let rows: Vec<_> = rows.iter().map(|row| (row.day, row.subject.as_str(), row.usage.documents)).collect();
        assert_eq!(rows, [(1, "a", 40), (1, "b", 20), (2, "a", 20)]);
        assert_eq!(store.usage(2..=2).unwrap().len(), 1);
        drop((a, b));
        meter.flush(&store, 3 * DAY).unwrap();
        assert!(meter.state().counters.is_empty());
        // What was used stays known.
        let used = meter.since_start();
        assert_eq!((used.by_caller["a"].documents, used.unwritten_requests), (60, 0));
    }

    #[test]
    fn callers_of_metrics_are_bounded() {
        let (store, meter) = (memory_store(), Meter::default());
        for number in 0..2 * MAX_LABELS {
            meter.of(&format!("{number:05}")).add(Usage { requests: 1, ..Usage::default() });
            meter.of(&format!("https://issuer:{number}")).add(Usage { requests: 1, ..Usage::default() });
        }
        for unwritten in [4 * MAX_LABELS as u64, 0] {
            let used = meter.since_start();
            assert_eq!((used.by_caller.len(), used.unwritten_requests), (MAX_LABELS + 1, unwritten));
            let sum: u64 = used.by_caller.values().map(|usage| usage.requests).sum();
            assert_eq!((sum, used.by_caller["00000"].requests), (4 * MAX_LABELS as u64, 1));
            meter.flush(&store, DAY).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_written_is_kept() {
        let inner = Arc::new(MemoryStore::new(&KvAccessStore::KEYSPACES));
        let plan = FaultPlan::new(1).fail_write(1, WriteFault::Before);
        let store = KvAccessStore::over(Arc::new(FaultyStore::new(inner, plan))).unwrap();
        let meter = Meter::default();
        meter.of("a").add(Usage { requests: 7, ..Usage::default() });
        assert!(meter.flush(&store, DAY).is_err());
        assert_eq!(meter.since_start().by_caller["a"].requests, 7);
        let written = Meter::flush(&meter, &store, DAY);
        // As after a real failure, the store takes no more until it is opened again.
        assert_eq!(meter.of("a").take().requests, if written.is_ok() { 0 } else { 7 });
    }
}
