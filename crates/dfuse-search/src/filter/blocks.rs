//! Blocks without the transactions of which no action passes.

use std::collections::BTreeSet;

use dfuse_antelope::{
    Checksum256, Name,
    model::{ActionTrace, Block, LeftOutTransaction, TransactionReceipt, TransactionTrace, TrxOp},
};
use dfuse_index::{ExecutedAction, Result};

use super::{AbiAt, ActionFacts, Filter, SEPARATOR, TransactionFacts, Verdict, changes::changes_of};
use crate::action_data::decoded;

/// Actions of `eosio` without which later state cannot be told: transactions with them stay. Whatever else changes permissions
/// does, too.
const NEEDED: [Name; 7] = [
    Name::literal("setabi"),
    Name::literal("setcode"),
    Name::literal("setpriv"),
    Name::literal("updateauth"),
    Name::literal("deleteauth"),
    Name::literal("linkauth"),
    Name::literal("unlinkauth"),
];
const ONERROR: Name = Name::literal("onerror");

impl Filter {
    /// Whether every action of the block with that number passes.
    pub fn is_idle_at(&self, block: u32) -> bool {
        self.include.at(block).is_none() && self.exclude.at(block).is_none()
    }

    /// The three programs at a block as texts, *include*, *exclude* and *system*: empty ones where there is none, and all are
    /// empty where every action passes.
    pub fn texts_at(&self, block: u32) -> [&str; 3] {
        if self.is_idle_at(block) {
            return [""; 3];
        }
        [&self.include, &self.exclude, &self.system].map(|programs| programs.text_at(block))
    }

    /// The numbers from which on programs hold.
    pub fn boundaries(&self) -> BTreeSet<u32> {
        [&self.include, &self.exclude, &self.system]
            .into_iter()
            .flat_map(|it| it.0.iter().map(|(from, ..)| *from))
            .collect()
    }

    /// Leaves out the transactions of which no action passes. They are named in `left_out`, and what they changed is in
    /// `state_history`, so that the chain's state stays complete. True if the block was filtered by this.
    ///
    /// A block that was filtered before keeps what passes both filters. One to which the same programs were applied stays as it is.
    ///
    /// # Errors
    /// Those of `abi`.
    pub fn apply(&self, block: &mut Block, abi: &mut AbiAt<'_>) -> Result<bool> {
        let applied = self.not_yet_applied(block);
        if applied.is_idle_at(block.number) {
            return Ok(false);
        }
        let texts = applied.texts_at(block.number).map(str::to_owned);
        let verdicts = applied.verdicts(block, abi)?;
        let stays: Vec<bool> = (block.transaction_traces().iter().zip(&verdicts))
            .map(|(trace, verdicts)| verdicts.iter().any(|verdict| *verdict != Verdict::Fails) || is_needed(trace))
            .collect();
        let is_left_out: Vec<bool> = stays.iter().map(|stays| !stays).collect();
        if !block.lacks_changes() {
            block.state_history = Some(changes_of(block, &is_left_out));
        }
        block.left_out.extend(left_out(block, &is_left_out));
        keep(block, &stays);
        let was_filtered = std::mem::replace(&mut block.filtering_applied, true);
        let of_kept = verdicts.into_iter().zip(stays).filter(|(_, stays)| *stays).map(|(verdicts, _)| verdicts);
        for (trace, verdicts) in block.filtered_transaction_traces.iter_mut().zip(of_kept) {
            for (action, verdict) in actions_mut(trace).zip(verdicts) {
                action.filtering_matched = verdict != Verdict::Fails;
                action.filtering_matched_system_action_filter &= was_filtered && action.filtering_matched;
                action.filtering_matched_system_action_filter |= verdict == Verdict::System;
            }
        }
        count(block);
        let [include, exclude, system] = texts;
        append(&mut block.filtering_include_filter_expr, &include);
        append(&mut block.filtering_exclude_filter_expr, &exclude);
        append(&mut block.filtering_system_actions_include_filter_expr, &system);
        Ok(true)
    }

    /// Without the programs that were applied to the block before.
    fn not_yet_applied(&self, block: &Block) -> Self {
        let mut filter = self.clone();
        if block.filtering_applied {
            let known = [&block.filtering_include_filter_expr, &block.filtering_exclude_filter_expr];
            for (programs, known) in [&mut filter.include, &mut filter.exclude].into_iter().zip(known) {
                if known.split(SEPARATOR).any(|text| text.trim() == programs.text_at(block.number)) {
                    programs.0.clear();
                }
            }
        }
        filter
    }

    /// What it says of the actions of each trace, in the order of [`actions`].
    fn verdicts(&self, block: &Block, abi: &mut AbiAt<'_>) -> Result<Vec<Vec<Verdict>>> {
        // What did not run has no sequence: its ABI is that of where it would have run.
        let mut next_sequence = first_sequence(block);
        let mut all = Vec::with_capacity(block.transaction_traces().len());
        for trace in block.transaction_traces() {
            let facts = TransactionFacts::default();
            let mut verdicts = Vec::with_capacity(trace.action_traces.len());
            for action in actions(trace) {
                if block.filtering_applied && !action.filtering_matched {
                    verdicts.push(Verdict::Fails);
                    continue;
                }
                let own = action.receipt.as_ref().map(|receipt| receipt.global_sequence);
                let at = own.unwrap_or(next_sequence);
                let mut decode = || Ok(abi(action.action.account, at)?.and_then(|abi| decoded(&abi, action)));
                let executed = ExecutedAction {
                    position: usize::try_from(trace.index).unwrap_or(usize::MAX),
                    transaction: trace,
                    action,
                    global_sequence: own.unwrap_or(0),
                };
                verdicts.push(self.verdict(&ActionFacts::new(block, executed, &facts, &mut decode))?);
            }
            if let Some(own) = dfuse_index::global_sequences(trace) {
                next_sequence = next_sequence.max(own.end().saturating_add(1));
            }
            all.push(verdicts);
        }
        Ok(all)
    }
}

/// The actions of a transaction, and those of the deferred one whose failure it handles.
fn actions(trace: &TransactionTrace) -> impl Iterator<Item = &ActionTrace> {
    let failed = trace.failed_dtrx_trace.iter().flat_map(|failed| &failed.action_traces);
    trace.action_traces.iter().chain(failed)
}

fn actions_mut(trace: &mut TransactionTrace) -> impl Iterator<Item = &mut ActionTrace> {
    let failed = trace.failed_dtrx_trace.iter_mut().flat_map(|failed| &mut failed.action_traces);
    trace.action_traces.iter_mut().chain(failed)
}

fn first_sequence(block: &Block) -> u64 {
    let all = block.transaction_traces().iter().filter_map(dfuse_index::global_sequences);
    all.map(|own| *own.start()).min().unwrap_or(u64::MAX)
}

fn is_needed(trace: &TransactionTrace) -> bool {
    let is_native = |action: &ActionTrace| {
        action.receiver == Name::EOSIO && action.action.account == Name::EOSIO && NEEDED.contains(&action.action.name)
    };
    !trace.is_reverted() && (!trace.perm_ops.is_empty() || trace.action_traces.iter().any(is_native))
}

fn left_out(block: &Block, is_left_out: &[bool]) -> Vec<LeftOutTransaction> {
    let traces = block.transaction_traces();
    let of_one = traces.iter().zip(is_left_out).enumerate().filter(|(_, (_, left_out))| **left_out);
    let of_one = of_one.map(|(at, (trace, _))| {
        let handles = |next: &&TransactionTrace| next.failed_dtrx_trace.as_ref().is_some_and(|it| it.id == trace.id);
        let told = traces.get(at + 1).filter(handles).unwrap_or(trace);
        let status = told.receipt.as_ref().map(|receipt| receipt.status).unwrap_or_default();
        LeftOutTransaction { id: trace.id.0, status }
    });
    of_one.collect()
}

/// Moves what stays into the lists of filtered blocks, and drops the rest.
fn keep(block: &mut Block, stays: &[bool]) {
    let was_filtered = block.filtering_applied;
    let traces = block.transaction_traces().iter().zip(stays);
    let ids = |wanted: bool| traces.clone().filter(move |(_, stays)| **stays == wanted).map(|(trace, _)| trace.id);
    // Pushing a transaction with a delay and running it are two traces.
    let kept: BTreeSet<Checksum256> = ids(true).collect();
    let dropped: BTreeSet<Checksum256> = ids(false).filter(|id| !kept.contains(id)).collect();
    let implicit = implicit_ids(block);
    let receipts = std::mem::take(if was_filtered {
        &mut block.filtered_transactions
    } else {
        &mut block.unfiltered_transactions
    });
    let ops = std::mem::take(match was_filtered {
        true => &mut block.filtered_implicit_transaction_ops,
        false => &mut block.unfiltered_implicit_transaction_ops,
    });
    let traces = std::mem::take(match was_filtered {
        true => &mut block.filtered_transaction_traces,
        false => &mut block.unfiltered_transaction_traces,
    });
    let is_kept = |receipt: &TransactionReceipt| !dropped.contains(&receipt.id);
    block.filtered_transactions = receipts.into_iter().filter(is_kept).collect();
    let ops = ops.into_iter().zip(implicit).filter(|(_, id)| !dropped.contains(id));
    block.filtered_implicit_transaction_ops = ops.map(|(op, _)| op).collect();
    let traces = traces.into_iter().zip(stays).filter(|(_, stays)| **stays);
    block.filtered_transaction_traces = traces.map(|(trace, _)| trace).collect();
}

/// Ids of the implicit transactions. Leap and Spring print a wrong one for `onerror`, which has that of its trace here.
fn implicit_ids(block: &Block) -> Vec<Checksum256> {
    let ops = block.implicit_transaction_ops();
    let is_onerror = |op: &&TrxOp| op.name == ONERROR;
    let handlers: Vec<_> = block
        .transaction_traces()
        .iter()
        .filter(|trace| trace.failed_dtrx_trace.is_some())
        .map(|trace| trace.id)
        .collect();
    let are_paired = ops.iter().filter(is_onerror).count() == handlers.len();
    let mut handlers = handlers.into_iter().filter(|_| are_paired);
    let id =
        |op: &TrxOp| if op.name == ONERROR { handlers.next().unwrap_or(op.transaction_id) } else { op.transaction_id };
    ops.iter().map(id).collect()
}

/// The actions that are counted are those that passed, without those of transactions that failed before their handler.
fn count(block: &mut Block) {
    let traces = &block.filtered_transaction_traces;
    let matched = || traces.iter().flat_map(|trace| &trace.action_traces).filter(|action| action.filtering_matched);
    let (all, input) = (matched().count(), matched().filter(|action| action.is_input()).count());
    block.filtered_executed_total_action_count = all as u32;
    block.filtered_executed_input_action_count = input as u32;
    block.filtered_transaction_trace_count = traces.len() as u32;
    block.filtered_transaction_count = block.filtered_transactions.len() as u32;
}

fn append(list: &mut String, text: &str) {
    if text.is_empty() || list.split(SEPARATOR).any(|known| known == text) {
        return;
    }
    if !list.is_empty() {
        list.push_str(SEPARATOR);
    }
    list.push_str(text);
}
