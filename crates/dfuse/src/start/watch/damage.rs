//! Damage that was met while serving: block files and indexes that cannot be read, and blocks that came filtered without what they
//! changed.

use std::collections::BTreeSet;

use dfuse_blocks::{
    MEND,
    bundle::{BUNDLE_BLOCKS, base_of},
    feed::Fault,
};
use dfuse_index::block_filters::{self, AppliedFilter};
use tracing::warn;

use super::Watch;

/// Names of conditions.
const BLOCKS: &str = "damaged_blocks";
const INDEXES: &str = "damaged_indexes";
/// Name of a warning.
const FILTER: &str = "filter";

impl Watch {
    /// Tells which files requests could not read, and no longer those that can be read by now.
    pub(super) async fn tell_damage(&self) {
        let mended = |name| format!("{name}: what could not be read can be read again");
        let why = blocks_condition(&self.feed.faults().await);
        self.tell(BLOCKS, why, BLOCKS, &mended(BLOCKS));
        let met = self.conditions.0.operations().damage();
        let why = met.map(|why| {
            format!(
                "a request met damage in the indexes ({why}): nothing is lost, as they are built from the block files; start once with \
                 `dfuse start --rebuild-damaged`, or stop dfuse and run `dfuse tools reindex`"
            )
        });
        self.tell(INDEXES, why, INDEXES, &mended(INDEXES));
        if let Ok(filters) = block_filters::all(self.serving.snapshot().view()) {
            let warning = filter_warning(&filters, &self.filter_changes);
            if let Some(why) = warning.as_ref().filter(|_| self.conditions.is_new_warning(FILTER)) {
                warn!("{why}");
            }
            self.conditions.set_warning(FILTER, warning);
        }
    }
}

fn blocks_condition(faults: &[Fault]) -> Option<String> {
    let more = match faults {
        [] => return None,
        [_] => String::new(),
        [_, others @ ..] => format!(", and {} more files cannot be read", others.len()),
    };
    let first = base_of(faults[0].number);
    let last = first + BUNDLE_BLOCKS - 1;
    Some(format!(
        "the bundle of blocks {first} to {last} cannot be read ({}){more}; requests for its blocks fail: {MEND}",
        faults[0].why
    ))
}

/// What is wrong with the filters that blocks came with. `changes` are the blocks at which the filter of this process changes.
fn filter_warning(filters: &[AppliedFilter], changes: &BTreeSet<u32>) -> Option<String> {
    if let Some(lost) = filters.iter().find(|filter| filter.lacks_state) {
        return Some(format!(
            "from block {} on, blocks came filtered, without what the transactions that were left out had changed: state is not answered \
             from there on; take blocks from a source that has all of them",
            lost.from_block
        ));
    }
    let other = filters.iter().skip(1).rev().find(|filter| !changes.contains(&filter.from_block))?;
    Some(format!(
        "from block {} on, blocks came with another filter than before: see that all that blocks are taken from, and all machines that take \
         blocks, have the same filter",
        other.from_block
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_files() {
        let fault = |number, why: &str| Fault { number, why: why.to_owned() };
        assert_eq!(blocks_condition(&[]), None);
        let one = blocks_condition(&[fault(5, "a is missing")]).unwrap();
        assert!(one.starts_with("the bundle of blocks 0 to 99 cannot be read (a is missing);"), "{one}");
        assert!(one.contains("dfuse tools merge --mend LOG STORE"), "{one}");
        let two = blocks_condition(&[fault(5, "a is missing"), fault(205, "b is damaged")]).unwrap();
        assert!(two.contains("(a is missing), and 1 more files"), "{two}");
    }

    #[test]
    fn what_is_said_of_filters() {
        let filter = |from_block, lacks_state| AppliedFilter { from_block, lacks_state, ..AppliedFilter::default() };
        let changes = BTreeSet::from([0, 100]);
        assert_eq!(filter_warning(&[], &changes), None);
        assert_eq!(filter_warning(&[filter(2, false), filter(100, false)], &changes), None);
        assert!(filter_warning(&[filter(2, false), filter(101, false)], &changes).unwrap().contains("from block 101"));
        assert!(filter_warning(&[filter(2, true)], &changes).unwrap().contains("state is not answered"));
    }
}
