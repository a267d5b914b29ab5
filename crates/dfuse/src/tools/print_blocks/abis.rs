//! The JSON of a block's actions and rows, by the ABIs that the blocks before have set.

use std::{collections::HashMap, sync::Arc};

use dfuse_antelope::{
    AbiDump, Checksum256, Name,
    abi::{Abi, AbiSerializer},
    model::Block,
};
use dfuse_index::{
    BlockContext,
    abi::{AbiSource, changes},
};
use dfuse_render::fill_json;

/// Absent for an account whose ABI was cleared, or cannot be read.
type Parsed = Option<Arc<AbiSerializer>>;

/// The ABIs in force after the last block. Blocks may come in the order of a log, which leaves a branch and comes back to it.
#[derive(Default)]
pub(super) struct Abis {
    current: HashMap<Name, Parsed>,
    /// Blocks that led here and are not final yet, the last one at the end.
    branch: Vec<Step>,
    /// Blocks of other branches.
    aside: HashMap<Checksum256, Step>,
}

/// What a block changed.
struct Step {
    id: Checksum256,
    parent: Checksum256,
    /// In the order of execution.
    changes: Vec<Change>,
}

struct Change {
    account: Name,
    global_sequence: u64,
    /// After it.
    abi: Parsed,
    /// Before the block; absent if the account was unknown. Set while the block is on the branch.
    before: Option<Parsed>,
}

impl Abis {
    /// ABIs that a node had when it began its log.
    pub(super) fn dump(&mut self, dump: &AbiDump) {
        for (account, abi) in &dump.abis {
            self.current.entry(*account).or_insert_with(|| parse(abi));
        }
    }

    /// Fills in the JSON of a block, and goes on to what is in force after it.
    pub(super) fn fill(&mut self, block: &mut Block) -> dfuse_index::Result<()> {
        self.go_to(block.header.previous);
        let mut changed: Vec<_> = changes(&BlockContext::new(block))
            .into_iter()
            .map(|(account, record)| Change {
                account,
                global_sequence: record.global_sequence,
                abi: parse(&record.abi),
                before: None,
            })
            .collect();
        changed.sort_by_key(|change| change.global_sequence);
        fill_json(block, &InBlock { before: &self.current, changed: &changed })?;
        self.apply(Step { id: block.id, parent: block.header.previous, changes: changed });
        let last_final = block.lib_num();
        // Whatever comes next stands on the last final block.
        let finals = self.branch.partition_point(|step| step.id.block_num() < last_final);
        self.branch.drain(..finals);
        self.aside.retain(|id, _| id.block_num() >= last_final);
        Ok(())
    }

    /// Leaves the branch for the one that ends with that block, if it is known.
    fn go_to(&mut self, tip: Checksum256) {
        let mut ahead = Vec::new();
        let mut at = tip;
        while self.branch.iter().all(|step| step.id != at) {
            match self.aside.remove(&at) {
                Some(step) => {
                    at = step.parent;
                    ahead.push(step);
                }
                // Before the first block, or after blocks that were passed over.
                None => break,
            }
        }
        if self.branch.iter().any(|step| step.id == at) {
            while self.branch.last().is_some_and(|step| step.id != at) {
                self.undo();
            }
        }
        while let Some(step) = ahead.pop() {
            self.apply(step);
        }
    }

    fn apply(&mut self, mut step: Step) {
        for change in &mut step.changes {
            change.before = self.current.insert(change.account, change.abi.clone());
        }
        // A log repeats blocks of a branch that it comes back to.
        self.aside.remove(&step.id);
        self.branch.push(step);
    }

    fn undo(&mut self) {
        let Some(step) = self.branch.pop() else { return };
        for change in step.changes.iter().rev() {
            match &change.before {
                Some(before) => self.current.insert(change.account, before.clone()),
                None => self.current.remove(&change.account),
            };
        }
        self.aside.insert(step.id, step);
    }
}

/// The ABIs of a block that may change some.
struct InBlock<'a> {
    before: &'a HashMap<Name, Parsed>,
    /// In the order of execution.
    changed: &'a [Change],
}

impl AbiSource for InBlock<'_> {
    fn abi(&self, account: Name, global_sequence: u64) -> dfuse_index::Result<Parsed> {
        let is_in_force = |change: &&Change| change.account == account && change.global_sequence < global_sequence;
        let own = self.changed.iter().rfind(is_in_force).map(|change| &change.abi);
        Ok(own.or_else(|| self.before.get(&account)).cloned().flatten())
    }

    /// Asked for the place of a block without any action that was executed for good: nothing changes in it.
    fn sequence(&self, _: u32, _: Checksum256, _: u32) -> dfuse_index::Result<u64> {
        Ok(0)
    }

    /// After all that changes in the block.
    fn sequence_after(&self, _: u32) -> dfuse_index::Result<u64> {
        Ok(u64::MAX)
    }
}

fn parse(abi: &[u8]) -> Parsed {
    Abi::from_bytes(abi).ok().map(|abi| Arc::new(AbiSerializer::new(&abi)))
}
