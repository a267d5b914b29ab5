//! The JSON of actions and of what they returned, by the ABIs that the blocks before have set.

use std::{collections::HashMap, sync::Arc};

use dfuse_antelope::{
    AbiDump, Checksum256, Name,
    abi::{Abi, AbiSerializer, AbiType, Rendering},
    model::{Block, TransactionTrace},
};
use dfuse_index::{BlockContext, abi::changes};

/// Longest JSON of one value; what would be longer is left out.
const MAX_JSON: usize = 16 << 20;

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
    pub(super) fn fill(&mut self, block: &mut Block) {
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
        for trace in block.unfiltered_transaction_traces.iter_mut().chain(&mut block.filtered_transaction_traces) {
            self.fill_trace(trace, &changed);
        }
        self.apply(Step { id: block.id, parent: block.header.previous, changes: changed });
        let last_final = block.lib_num();
        // Whatever comes next stands on the last final block.
        let finals = self.branch.partition_point(|step| step.id.block_num() < last_final);
        self.branch.drain(..finals);
        self.aside.retain(|id, _| id.block_num() >= last_final);
    }

    fn fill_trace(&self, trace: &mut TransactionTrace, changed: &[Change]) {
        // An action that failed has no place of its own: it saw what those before it left.
        let mut sequence = 0;
        for action in &mut trace.action_traces {
            sequence = action.receipt.as_ref().map_or(sequence, |receipt| receipt.global_sequence);
            let Some(abi) = self.at(action.action.account, sequence, changed) else { continue };
            if let Ok(kind) = abi.action(action.action.name) {
                action.action.json_data = json(kind, &action.action.raw_data);
            }
            if let Ok(kind) = abi.action_result(action.action.name)
                && !action.raw_return_value.is_empty()
            {
                action.json_return_value = json(kind, &action.raw_return_value);
            }
        }
        if let Some(failed) = &mut trace.failed_dtrx_trace {
            self.fill_trace(failed, changed);
        }
    }

    /// The ABI for an action of a block that changes some.
    fn at<'a>(&'a self, account: Name, global_sequence: u64, changed: &'a [Change]) -> Option<&'a AbiSerializer> {
        let own = changed.iter().rfind(|change| change.account == account && change.global_sequence < global_sequence);
        own.map_or_else(|| self.current.get(&account).and_then(Option::as_deref), |change| change.abi.as_deref())
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

fn parse(abi: &[u8]) -> Parsed {
    Abi::from_bytes(abi).ok().map(|abi| Arc::new(AbiSerializer::new(&abi)))
}

/// Empty if the bytes do not decode.
fn json(kind: AbiType<'_>, data: &[u8]) -> String {
    let mut text = Vec::new();
    let decoded = kind.decode(data, Rendering::Nodeos, MAX_JSON, &mut text);
    decoded.ok().and_then(|_| String::from_utf8(text).ok()).unwrap_or_default()
}
