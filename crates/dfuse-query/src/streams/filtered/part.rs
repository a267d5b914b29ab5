//! The part of a block that a filter leaves.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use dfuse_antelope::{
    Checksum256,
    model::{Block, BlockParts, Message, TransactionTrace},
};
use dfuse_blocks::Result;
use dfuse_index::global_sequences;
use dfuse_search::Match;

/// The block with the matching transactions alone, in its lists `filtered_*`. Receipts and implicit transactions stay, but for those
/// of transactions that are left out.
///
/// # Errors
/// The block does not decode.
pub(super) fn part_of(whole: Bytes, matches: &[Match], query: &str) -> Result<Bytes> {
    let parts = BlockParts::locate(whole)?;
    let found: BTreeMap<u32, &Match> = matches.iter().map(|found| (found.transaction, found)).collect();
    let mut dropped = BTreeSet::new();
    let mut traces = Vec::with_capacity(found.len());
    for (position, id) in (0..).zip(parts.trace_ids()) {
        match found.get(&position) {
            None => drop(dropped.insert(id?)),
            Some(found) => traces.extend(parts.trace(position)?.map(|trace| marked(trace, &found.actions))),
        }
    }
    let frame = parts.frame()?;
    Ok(filtered(frame, traces, &parts, &dropped, query)?.to_bytes())
}

fn filtered(
    mut block: Block,
    traces: Vec<TransactionTrace>,
    parts: &BlockParts,
    dropped: &BTreeSet<Checksum256>,
    query: &str,
) -> Result<Block> {
    for (position, id) in (0..).zip(parts.receipt_ids()) {
        if !dropped.contains(&id?) {
            block.filtered_transactions.extend(parts.receipt(position)?);
        }
    }
    let mut position = 0;
    while let Some(op) = parts.implicit_transaction_op(position)? {
        position += 1;
        if !dropped.contains(&op.transaction_id) {
            block.filtered_implicit_transaction_ops.push(op);
        }
    }
    let matched = || traces.iter().flat_map(|trace| &trace.action_traces).filter(|action| action.filtering_matched);
    block.filtering_applied = true;
    let include = &mut block.filtering_include_filter_expr;
    // The chain may be filtered already.
    *include = if include.is_empty() { query.to_owned() } else { format!("{include};;;{query}") };
    block.filtered_executed_total_action_count = matched().count() as u32;
    block.filtered_executed_input_action_count = matched().filter(|action| action.is_input()).count() as u32;
    block.filtered_transaction_trace_count = traces.len() as u32;
    block.filtered_transaction_count = block.filtered_transactions.len() as u32;
    block.filtered_transaction_traces = traces;
    Ok(block)
}

/// A trace whose matching actions, by their place in the order of execution, are marked.
fn marked(mut trace: TransactionTrace, actions: &[u32]) -> TransactionTrace {
    let first = global_sequences(&trace).map_or(0, |own| *own.start());
    let matches: BTreeSet<u64> = actions.iter().map(|action| first + u64::from(*action)).collect();
    for action in &mut trace.action_traces {
        action.filtering_matched =
            action.receipt.as_ref().is_some_and(|receipt| matches.contains(&receipt.global_sequence));
    }
    trace
}
