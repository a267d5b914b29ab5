//! For which actions which ABI is in force, as far as it was asked.

use std::{fmt, ops::RangeInclusive, sync::Arc};

use dfuse_antelope::{Name, abi::AbiSerializer};
use quick_cache::{Weighter, sync::Cache};

/// Packed bytes of the ABIs that are kept at a snapshot.
const KEPT_BYTES: u64 = 4 << 20;
/// What an account takes besides, about.
const OVERHEAD: usize = 256;
/// About what an account takes.
const ACCOUNT_BYTES: u64 = 8 << 10;
/// Periods of an account that are kept: the newest of those that were asked for.
const MOST_PERIODS: usize = 8;

/// For which global sequences which ABI of an account is in force.
#[derive(Debug, Clone)]
pub(super) struct Period {
    pub(super) sequences: RangeInclusive<u64>,
    pub(super) abi: Option<Arc<AbiSerializer>>,
    pub(super) packed_bytes: usize,
}

/// The period of that global sequence.
pub(super) fn find(periods: &[Period], global_sequence: u64) -> Option<&Period> {
    periods.iter().find(|period| period.sequences.contains(&global_sequence))
}

/// What requests have asked of the ABIs of one snapshot, for those that come after them. The snapshot does not change, and goes
/// when the next block comes, so nothing here becomes wrong.
pub(crate) struct KeptPeriods(Cache<Name, Arc<[Period]>, PackedBytes>);

#[derive(Debug, Clone)]
struct PackedBytes;

impl Weighter<Name, Arc<[Period]>> for PackedBytes {
    fn weight(&self, _: &Name, periods: &Arc<[Period]>) -> u64 {
        (OVERHEAD + periods.iter().map(|period| period.packed_bytes).sum::<usize>()) as u64
    }
}

impl Default for KeptPeriods {
    fn default() -> Self {
        Self(Cache::with_weighter((KEPT_BYTES / ACCOUNT_BYTES) as usize, KEPT_BYTES, PackedBytes))
    }
}

impl fmt::Debug for KeptPeriods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "periods of {} accounts", self.0.len())
    }
}

impl KeptPeriods {
    pub(super) fn get(&self, account: Name, global_sequence: u64) -> Option<Period> {
        find(&self.0.get(&account)?, global_sequence).cloned()
    }

    pub(super) fn insert(&self, account: Name, period: Period) {
        let known = self.0.get(&account);
        let known = known.iter().flat_map(|known| known.iter()).take(MOST_PERIODS - 1).cloned();
        self.0.insert(account, [period].into_iter().chain(known).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(first: u64, packed_bytes: usize) -> Period {
        Period { sequences: first..=first + 9, abi: None, packed_bytes }
    }

    #[test]
    fn the_newest_periods_of_an_account_are_kept() {
        let (kept, account) = (KeptPeriods::default(), Name::literal("account"));
        for first in (0..100).step_by(10) {
            kept.insert(account, period(first, 100));
        }
        for sequence in 0..110 {
            let found = kept.get(account, sequence).map(|period| period.sequences);
            let expected = sequence / 10 * 10;
            assert_eq!(found, (20..100).contains(&sequence).then_some(expected..=expected + 9), "{sequence}");
        }
        assert!(kept.get(Name::literal("other"), 50).is_none());
    }

    #[test]
    fn they_take_no_more_than_they_may() {
        let kept = KeptPeriods::default();
        for account in 0..10_000 {
            kept.insert(Name(account), period(0, 10_000));
        }
        let weight = kept.0.weight();
        assert!((KEPT_BYTES / 2..=KEPT_BYTES).contains(&weight), "{weight}");
    }
}
