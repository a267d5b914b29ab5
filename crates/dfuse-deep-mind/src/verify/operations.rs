//! Operations against the actions that they belong to, and against each other.

use dfuse_antelope::{
    Name,
    model::{
        AccountRamDelta, Block, DbOperation, DtrxOperation, PermOperation, RamAction, RamNamespace, RamOp,
        RamOperation, RlimitKind, TableOperation, TransactionTrace,
    },
};

use super::{Finding, Found};
use crate::Software;

/// RAM of a row beside its data.
const ROW_OVERHEAD: i64 = 112;

/// Memory that is used again for every transaction.
#[derive(Default)]
pub(super) struct Sums {
    by_payer: Vec<(Name, i64)>,
    ordinals: Vec<bool>,
}

impl Sums {
    pub(super) fn check(&mut self, at: usize, trace: &TransactionTrace, software: Software) -> Found {
        let found = |why: &str| Err(Finding::of(at, trace, why));
        if !self.has_ordinals(trace) || !is_tree_of_actions(trace) {
            return found("its CREATION_OP lines are not those of its actions");
        }
        if !has_known_actions(trace) {
            return found("an operation is of an action that it does not have");
        }
        if software != Software::Eosio21 && !self.is_ram_of_actions(trace) {
            return found("its RAM_OP lines are not what its actions say that they used");
        }
        check_pairs(trace).or_else(|what| found(&format!("{what} lines and RAM_OP lines do not agree")))
    }

    /// Actions are numbered from 1 in the order in which they were scheduled.
    fn has_ordinals(&mut self, trace: &TransactionTrace) -> bool {
        self.ordinals.clear();
        self.ordinals.resize(trace.action_traces.len(), false);
        trace.action_traces.iter().all(|action| {
            let seen = (action.action_ordinal as usize).checked_sub(1).and_then(|at| self.ordinals.get_mut(at));
            seen.is_some_and(|seen| !std::mem::replace(seen, true))
        })
    }

    /// Each action's trace says what RAM it took from whom.
    fn is_ram_of_actions(&mut self, trace: &TransactionTrace) -> bool {
        let mut ops = trace.ram_ops.iter().filter(|op| is_of_action(op)).peekable();
        for (index, action) in (0..).zip(&trace.action_traces) {
            self.by_payer.clear();
            while let Some(op) = ops.next_if(|op| op.action_index == index) {
                match self.by_payer.last_mut() {
                    Some((payer, sum)) if *payer == op.payer => *sum = sum.saturating_add(op.delta),
                    _ => self.by_payer.push((op.payer, op.delta)),
                }
            }
            if !self.is_sum_of(&action.account_ram_deltas) {
                return false;
            }
        }
        ops.next().is_none()
    }

    fn is_sum_of(&mut self, deltas: &[AccountRamDelta]) -> bool {
        let sums = &mut self.by_payer;
        sums.sort_unstable_by_key(|(payer, _)| *payer);
        sums.dedup_by(|next, sum| {
            let same = next.0 == sum.0;
            if same {
                sum.1 = sum.1.saturating_add(next.1);
            }
            same
        });
        sums.retain(|(_, sum)| *sum != 0);
        let wanted = deltas.iter().filter(|it| it.delta != 0).map(|it| (it.account, it.delta));
        wanted.eq(sums.iter().copied())
    }
}

/// Whether an action caused it, rather than the queue of deferred transactions or a protocol feature.
fn is_of_action(op: &RamOp) -> bool {
    op.namespace != RamNamespace::DeferredTrx
        || !matches!(op.action, RamAction::Remove | RamAction::Push | RamAction::Correction)
}

/// Every action has its place in the creation tree, below its creator.
fn is_tree_of_actions(trace: &TransactionTrace) -> bool {
    let (tree, actions) = (&trace.creation_tree, &trace.action_traces);
    let ordinal = |index: u32| actions.get(index as usize).map(|action| action.action_ordinal);
    tree.len() == actions.len()
        && tree.iter().all(|node| {
            let Some(action) = actions.get(node.execution_action_index as usize) else { return false };
            let creator = usize::try_from(node.creator_action_index).ok().and_then(|at| tree.get(at));
            creator.map_or(Some(0), |creator| ordinal(creator.execution_action_index))
                == Some(action.creator_action_ordinal)
        })
}

fn has_known_actions(trace: &TransactionTrace) -> bool {
    let count = trace.action_traces.len() as u32;
    trace.db_ops.iter().all(|op| op.action_index < count)
        && trace.table_ops.iter().all(|op| op.action_index < count)
        && trace.perm_ops.iter().all(|op| op.action_index < count)
}

/// What has lines of its own and takes RAM has as many lines of both kinds.
fn check_pairs(trace: &TransactionTrace) -> Result<(), &'static str> {
    let ram =
        |operations: &[RamOperation]| trace.ram_ops.iter().filter(|op| operations.contains(&op.operation)).count();
    let rows = |operation| trace.db_ops.iter().filter(|op| op.operation == operation).count();
    if rows(DbOperation::Insert) != ram(&[RamOperation::PrimaryIndexAdd])
        || rows(DbOperation::Remove) != ram(&[RamOperation::PrimaryIndexRemove])
        || !is_ram_of_rows(trace)
    {
        return Err("DB_OP");
    }
    let tables = |operation| trace.table_ops.iter().filter(|op| op.operation == operation).count();
    if tables(TableOperation::Insert) != ram(&[RamOperation::CreateTable])
        || tables(TableOperation::Remove) != ram(&[RamOperation::RemoveTable])
    {
        return Err("TBL_OP");
    }
    let permissions = |operation| trace.perm_ops.iter().filter(|op| op.operation == operation).count();
    if permissions(PermOperation::Insert)
        != 2 * ram(&[RamOperation::NewAccount]) + ram(&[RamOperation::UpdateAuthCreate])
        || permissions(PermOperation::Remove) != ram(&[RamOperation::DeleteAuth])
    {
        return Err("PERM_OP");
    }
    if !has_ram_of_deferred(trace) {
        return Err("DTRX_OP");
    }
    Ok(())
}

/// A transaction that waits does nothing else.
pub(super) fn check_delayed(at: usize, trace: &TransactionTrace) -> Found {
    if has_ram_of_deferred(trace) {
        return Ok(());
    }
    Err(Finding::of(at, trace, "DTRX_OP lines and RAM_OP lines do not agree"))
}

/// Deferred transactions take RAM until they are cancelled. What replaces another may take as much as that one, and then the
/// node says nothing of RAM.
fn has_ram_of_deferred(trace: &TransactionTrace) -> bool {
    let ram = |operation| trace.ram_ops.iter().filter(|op| op.operation == operation).count();
    let deferred = |operation| trace.dtrx_ops.iter().filter(|op| op.operation == operation).count();
    let (created, cancelled) = (deferred(DtrxOperation::Create), deferred(DtrxOperation::Cancel));
    let replaced = deferred(DtrxOperation::ModifyCancel);
    replaced == deferred(DtrxOperation::ModifyCreate)
        && deferred(DtrxOperation::PushCreate) == ram(RamOperation::DeferredTrxPushed)
        && (created..=created + replaced).contains(&ram(RamOperation::DeferredTrxAdd))
        && (cancelled..=cancelled + replaced).contains(&ram(RamOperation::DeferredTrxCancel))
}

/// Rows take RAM for their data, and some more each.
fn is_ram_of_rows(trace: &TransactionTrace) -> bool {
    let size = |payer: Name, data: &[u8]| if payer == Name(0) { 0 } else { data.len() as i64 + ROW_OVERHEAD };
    let changes = trace.db_ops.iter().map(|op| size(op.new_payer, &op.new_data) - size(op.old_payer, &op.old_data));
    let ram = trace.ram_ops.iter().filter(|op| op.namespace == RamNamespace::TableRow).map(|op| i128::from(op.delta));
    changes.map(i128::from).sum::<i128>() == ram.sum()
}

/// What is said of the block as a whole.
pub(super) fn check_block(block: &Block) -> Found {
    let activated = block.header.activated_features().map_err(|why| Finding::of_block(why.to_string()))?;
    let traces = &block.unfiltered_transaction_traces;
    let ops = traces.iter().flat_map(|trace| &trace.feature_ops).filter(|op| op.kind == "ACTIVATE");
    if !ops.map(|op| op.feature_digest.0).eq(activated) {
        return Err(Finding::of_block("its FEATURE_OP ACTIVATE lines are not the features of its header"));
    }
    check_billing(block)
}

/// What transactions took is added up until the end of the block.
fn check_billing(block: &Block) -> Found {
    let receipts = block.unfiltered_transaction_traces.iter().filter_map(|trace| trace.receipt.as_ref());
    let cpu: u64 = receipts.map(|receipt| u64::from(receipt.cpu_usage_micro_seconds)).sum();
    let pending = block.rlimit_ops.iter().filter_map(|op| match &op.kind {
        Some(RlimitKind::State(state)) => Some(state.pending_cpu_usage),
        _ => None,
    });
    if pending.max() != Some(cpu) {
        return Err(Finding::of_block("its RLIMIT_OP STATE lines do not have the processor time of its transactions"));
    }
    Ok(())
}
