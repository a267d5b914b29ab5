//! What transactions that are left out changed: the chain's state stays complete without them.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    hash::Hash,
};

use dfuse_antelope::{
    Checksum256, Name,
    model::{
        Block, DbOp, DbOperation, ExtDtrxOp, RamOp, RlimitKind, RlimitOp, StateHistory, TableOp, TableOperation,
        TransactionTrace,
    },
};

/// The changes of the whole block to all that transactions that are left out touched, beside those that the block has already of
/// such transactions. `is_left_out` tells them by position among the block's traces.
pub(super) fn changes_of(block: &Block, is_left_out: &[bool]) -> StateHistory {
    let traces = || block.transaction_traces().iter().zip(is_left_out.iter().copied());
    let executed = || traces().filter(|(trace, _)| !trace.is_reverted());
    let before = block.state_history.clone().unwrap_or_default();
    StateHistory {
        db_ops: rows(executed(), &before.db_ops),
        table_ops: tables(executed(), &before.table_ops),
        // A transaction that changes permissions stays.
        perm_ops: before.perm_ops.clone(),
        dtrx_ops: deferred(block, traces(), &before.dtrx_ops),
        rlimit_ops: limits(executed(), &before.rlimit_ops),
        ram_ops: ram(executed(), &before.ram_ops),
    }
}

/// What happened to one thing within the block.
struct Happened<'a, T> {
    first: &'a T,
    last: &'a T,
    /// Whether a transaction that stays is among those that did it.
    stays: bool,
    /// Whether one that is left out is, or was before.
    left_out: bool,
}

/// Operations by what they are on, in the order of execution; those of the block as a whole come last, and have all that the block
/// did to a thing.
fn happened<'a, T, K: Ord + Hash>(
    of_traces: impl Iterator<Item = (&'a T, bool)>,
    of_block: &'a [T],
    key: impl Fn(&T) -> Option<K>,
) -> BTreeMap<K, Happened<'a, T>> {
    let mut all = BTreeMap::new();
    for (op, left_out) in of_traces {
        let Some(key) = key(op) else { continue };
        match all.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(Happened { first: op, last: op, stays: !left_out, left_out })),
            Entry::Occupied(mut entry) => {
                let known: &mut Happened<'_, T> = entry.get_mut();
                known.last = op;
                known.stays |= !left_out;
                known.left_out |= left_out;
            }
        }
    }
    for op in of_block {
        let Some(key) = key(op) else { continue };
        let stays = all.get(&key).is_some_and(|known| known.stays);
        all.insert(key, Happened { first: op, last: op, stays, left_out: true });
    }
    all
}

fn rows<'a>(executed: impl Iterator<Item = (&'a TransactionTrace, bool)>, of_block: &[DbOp]) -> Vec<DbOp> {
    let ops = executed.flat_map(|(trace, left_out)| trace.db_ops.iter().map(move |op| (op, left_out)));
    let key = |op: &DbOp| {
        (op.operation != DbOperation::Unknown).then_some((op.code, op.scope, op.table_name, op.primary_key))
    };
    let all = happened(ops, of_block, key);
    all.into_values().filter(|it| it.left_out).filter_map(|it| row(&it)).collect()
}

fn row(Happened { first, last, stays, .. }: &Happened<'_, DbOp>) -> Option<DbOp> {
    let was_there = first.operation != DbOperation::Insert;
    let is_there = last.operation != DbOperation::Remove;
    let is_same = was_there && is_there && (first.old_payer, &first.old_data) == (last.new_payer, &last.new_data);
    // Where a transaction that stays had a part in it, its operation alone would tell something else.
    if !stays && (is_same || !was_there && !is_there) {
        return None;
    }
    let DbOp { code, scope, table_name, primary_key, .. } = (*last).clone();
    let mut op = DbOp { code, scope, table_name, primary_key, ..DbOp::default() };
    op.operation = match (was_there, is_there) {
        (true, true) => DbOperation::Update,
        (false, true) => DbOperation::Insert,
        (_, false) => DbOperation::Remove,
    };
    if was_there {
        (op.old_payer, op.old_data) = (first.old_payer, first.old_data.clone());
    } else if !is_there {
        (op.old_payer, op.old_data) = (last.old_payer, last.old_data.clone());
    }
    if is_there {
        (op.new_payer, op.new_data) = (last.new_payer, last.new_data.clone());
    }
    Some(op)
}

fn tables<'a>(executed: impl Iterator<Item = (&'a TransactionTrace, bool)>, of_block: &[TableOp]) -> Vec<TableOp> {
    let ops = executed.flat_map(|(trace, left_out)| trace.table_ops.iter().map(move |op| (op, left_out)));
    let key = |op: &TableOp| (op.operation != TableOperation::Unknown).then_some((op.code, op.scope, op.table_name));
    let passed = |it: &Happened<'_, TableOp>| {
        it.first.operation == TableOperation::Insert && it.last.operation == TableOperation::Remove && !it.stays
    };
    let all = happened(ops, of_block, key).into_values().filter(|it| it.left_out && !passed(it));
    all.map(|it| TableOp { action_index: 0, ..it.last.clone() }).collect()
}

/// The last limits of each account. Usage is not state that dfuse keeps.
fn limits<'a>(executed: impl Iterator<Item = (&'a TransactionTrace, bool)>, of_block: &[RlimitOp]) -> Vec<RlimitOp> {
    let ops = executed.flat_map(|(trace, left_out)| trace.rlimit_ops.iter().map(move |op| (op, left_out)));
    let key = |op: &RlimitOp| match &op.kind {
        Some(RlimitKind::AccountLimits(limits)) => Some(limits.owner),
        _ => None,
    };
    let all = happened(ops, of_block, key).into_values().filter(|it| it.left_out).map(|it| it.last.clone());
    let others = of_block.iter().filter(|op| key(op).is_none()).cloned();
    others.chain(all).collect()
}

/// One operation an account: what those that are left out added, and what is used in the end.
fn ram<'a>(executed: impl Iterator<Item = (&'a TransactionTrace, bool)>, of_block: &[RamOp]) -> Vec<RamOp> {
    let mut accounts: BTreeMap<Name, (i64, u64, bool)> = BTreeMap::new();
    let ops = executed.flat_map(|(trace, left_out)| trace.ram_ops.iter().map(move |op| (op, left_out)));
    for (op, left_out) in ops.chain(of_block.iter().map(|op| (op, true))) {
        let (delta, usage, is_wanted) = accounts.entry(op.payer).or_default();
        *usage = op.usage;
        if left_out {
            *delta = delta.saturating_add(op.delta);
            *is_wanted = true;
        }
    }
    let wanted = accounts.into_iter().filter(|(_, (.., is_wanted))| *is_wanted);
    wanted.map(|(payer, (delta, usage, _))| RamOp { payer, delta, usage, ..RamOp::default() }).collect()
}

/// What became of deferred transactions, with the transaction that did it. One that stays and did something later has the last word.
fn deferred<'a>(
    block: &Block,
    traces: impl Iterator<Item = (&'a TransactionTrace, bool)>,
    before: &[ExtDtrxOp],
) -> Vec<ExtDtrxOp> {
    // The operations of a trace without receipt were taken back.
    let mut ops: Vec<_> = traces
        .filter(|(trace, _)| trace.receipt.is_some())
        .flat_map(|(trace, left_out)| trace.dtrx_ops.iter().map(move |op| (trace.id, op, left_out)))
        .collect();
    let mut decided: BTreeSet<Checksum256> = BTreeSet::new();
    ops.reverse();
    ops.retain(|(_, op, left_out)| {
        if !left_out {
            decided.insert(op.transaction_id);
        }
        *left_out && !decided.contains(&op.transaction_id)
    });
    let new = ops.into_iter().rev().map(|(source_transaction_id, op, _)| ExtDtrxOp {
        source_transaction_id,
        block_num: block.number.into(),
        block_id: block.id,
        block_time: block.header.timestamp,
        dtrx_op: op.clone(),
    });
    new.chain(before.iter().cloned()).collect()
}
