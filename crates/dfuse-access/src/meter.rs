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
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        Usage {
            requests: take(&self.requests),
            documents: take(&self.documents),
            ingress_bytes: take(&self.ingress_bytes),
            egress_bytes: take(&self.egress_bytes),
            rate_limited: take(&self.rate_limited),
        }
    }
}

/// Counts what callers use, and writes it to the table of days now and then.
#[derive(Debug, Default)]
pub struct Meter {
    counters: Mutex<BTreeMap<Arc<str>, Arc<Counters>>>,
    /// One writes at a time: the table is read and written again.
    writing: Mutex<()>,
}

impl Meter {
    /// The counters of a caller.
    pub(crate) fn of(&self, subject: &str) -> Arc<Counters> {
        let mut counters = self.counters();
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
        let mut used = Vec::new();
        self.counters().retain(|subject, counters| {
            let usage = counters.take();
            if !usage.is_nothing() {
                used.push((subject.clone(), counters.clone(), usage));
            }
            // Nobody counts there any more.
            !usage.is_nothing() || Arc::strong_count(counters) > 1
        });
        if used.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = used.iter().map(|(subject, _, usage)| (&**subject, *usage)).collect();
        let written = store.add_usage((now / DAY) as u32, &rows);
        if written.is_err() {
            for (_, counters, usage) in used {
                counters.add(usage);
            }
        }
        written
    }

    fn counters(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Counters>>> {
        // Nothing can panic while it is held.
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        assert!(meter.counters().is_empty());
    }

    #[test]
    fn what_cannot_be_written_is_kept() {
        let inner = Arc::new(MemoryStore::new(&KvAccessStore::KEYSPACES));
        let plan = FaultPlan::new(1).fail_write(1, WriteFault::Before);
        let store = KvAccessStore::over(Arc::new(FaultyStore::new(inner, plan))).unwrap();
        let meter = Meter::default();
        meter.of("a").add(Usage { requests: 7, ..Usage::default() });
        assert!(meter.flush(&store, DAY).is_err());
        let written = Meter::flush(&meter, &store, DAY);
        // As after a real failure, the store takes no more until it is opened again.
        assert_eq!(meter.of("a").take().requests, if written.is_ok() { 0 } else { 7 });
    }
}
