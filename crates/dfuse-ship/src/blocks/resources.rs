//! RAM, and what accounts and the chain may use and do use.

use std::collections::{HashMap, hash_map::Entry};

use dfuse_antelope::{
    Name, Result,
    model::{
        AccountRamDelta, Block, ElasticLimitParameters, RamAction, RamNamespace, RamOp, RamOperation, Ratio,
        RlimitAccountLimits, RlimitAccountUsage, RlimitConfig, RlimitKind, RlimitOp, RlimitOperation, RlimitState,
        UsageAccumulator,
    },
    raw::Reader,
};

use super::{
    key::Key,
    known::{Change, Known},
};
use crate::{deltas::StateRow, state};

/// RAM that accounts use, in the order of execution.
pub(super) struct Ram<'a> {
    known: &'a Known,
    usage: HashMap<Name, i64>,
}

impl<'a> Ram<'a> {
    pub(super) fn new(known: &'a Known) -> Self {
        Self { known, usage: HashMap::new() }
    }

    fn usage(&mut self, account: Name) -> crate::Result<&mut i64> {
        Ok(match self.usage.entry(account) {
            Entry::Occupied(usage) => usage.into_mut(),
            Entry::Vacant(usage) => usage.insert(match self.known.get(&Key::Usage(account))? {
                Some(StateRow::ResourceUsage(usage)) => usage.ram_bytes as i64,
                _ => 0,
            }),
        })
    }

    /// An operation for each action and account, after one for the deferred transaction as a whole.
    pub(super) fn add(&mut self, block: &mut Block, of_transactions: &[Option<AccountRamDelta>]) -> crate::Result<()> {
        for (trace, whole) in block.unfiltered_transaction_traces.iter_mut().zip(of_transactions) {
            if let Some(whole) = whole {
                let (operation, action) = match whole.delta < 0 {
                    true => (RamOperation::DeferredTrxRemoved, RamAction::Remove),
                    false => (RamOperation::DeferredTrxPushed, RamAction::Push),
                };
                let op = self.operation(whole)?;
                trace.ram_ops.push(RamOp { operation, action, namespace: RamNamespace::DeferredTrx, ..op });
            }
            if trace.is_reverted() {
                continue;
            }
            for action in &trace.action_traces {
                for delta in &action.account_ram_deltas {
                    let op = self.operation(delta)?;
                    trace.ram_ops.push(RamOp { action_index: action.execution_index, ..op });
                }
            }
        }
        Ok(())
    }

    fn operation(&mut self, delta: &AccountRamDelta) -> crate::Result<RamOp> {
        let usage = self.usage(delta.account)?;
        *usage = usage.saturating_add(delta.delta);
        Ok(RamOp { payer: delta.account, delta: delta.delta, usage: (*usage).max(0) as u64, ..RamOp::default() })
    }

    /// What the actions do not explain: what the chain began with, and corrections.
    pub(super) fn correct(&mut self, block: &mut Block, changes: &[Change]) -> crate::Result<()> {
        for change in changes {
            let Some(StateRow::ResourceUsage(after)) = &change.after else { continue };
            let delta = (after.ram_bytes as i64).saturating_sub(*self.usage(after.owner)?);
            if delta != 0 {
                let op = RamOp { payer: after.owner, delta, usage: after.ram_bytes, ..RamOp::default() };
                block.state_history.get_or_insert_default().ram_ops.push(op);
            }
        }
        Ok(())
    }
}

/// Limits and usage of accounts are changes of the block; those of the chain have their own place.
pub(super) fn add(block: &mut Block, change: &Change) -> Result<()> {
    let Some(after) = &change.after else { return Ok(()) };
    let kind = match after {
        StateRow::ResourceLimits(limits) => RlimitKind::AccountLimits(RlimitAccountLimits {
            owner: limits.owner,
            pending: false,
            net_weight: limits.net_weight,
            cpu_weight: limits.cpu_weight,
            ram_bytes: limits.ram_bytes,
        }),
        StateRow::ResourceUsage(usage) => RlimitKind::AccountUsage(RlimitAccountUsage {
            owner: usage.owner,
            net_usage: accumulator(&usage.net),
            cpu_usage: accumulator(&usage.cpu),
            ram_usage: usage.ram_bytes,
        }),
        StateRow::Chain(table, row) if table == "resource_limits_state" => RlimitKind::State(chain_state(row)?),
        StateRow::Chain(table, row) if table == "resource_limits_config" => RlimitKind::Config(chain_config(row)?),
        _ => return Ok(()),
    };
    let operation = if change.before.is_some() { RlimitOperation::Update } else { RlimitOperation::Insert };
    let is_of_chain = matches!(kind, RlimitKind::State(_) | RlimitKind::Config(_));
    let op = RlimitOp { operation, kind: Some(kind) };
    match is_of_chain {
        true => block.rlimit_ops.push(op),
        false => block.state_history.get_or_insert_default().rlimit_ops.push(op),
    }
    Ok(())
}

fn accumulator(usage: &state::UsageAccumulator) -> UsageAccumulator {
    UsageAccumulator { last_ordinal: usage.last_ordinal, value_ex: usage.value_ex, consumed: usage.consumed }
}

/// Usage that is pending stands nowhere.
fn chain_state(row: &[u8]) -> Result<RlimitState> {
    let mut reader = Reader::new(row);
    let r = &mut reader;
    r.varuint32()?;
    Ok(RlimitState {
        average_block_net_usage: packed_accumulator(r)?,
        average_block_cpu_usage: packed_accumulator(r)?,
        pending_net_usage: 0,
        pending_cpu_usage: 0,
        total_net_weight: r.u64()?,
        total_cpu_weight: r.u64()?,
        total_ram_bytes: r.u64()?,
        virtual_net_limit: r.u64()?,
        virtual_cpu_limit: r.u64()?,
    })
}

fn packed_accumulator(r: &mut Reader<'_>) -> Result<UsageAccumulator> {
    r.varuint32()?;
    Ok(UsageAccumulator { last_ordinal: r.u32()?, value_ex: r.u64()?, consumed: r.u64()? })
}

fn chain_config(row: &[u8]) -> Result<RlimitConfig> {
    let mut reader = Reader::new(row);
    let r = &mut reader;
    r.varuint32()?;
    Ok(RlimitConfig {
        cpu_limit_parameters: elastic(r)?,
        net_limit_parameters: elastic(r)?,
        account_cpu_usage_average_window: r.u32()?,
        account_net_usage_average_window: r.u32()?,
    })
}

fn elastic(r: &mut Reader<'_>) -> Result<ElasticLimitParameters> {
    let ratio = |r: &mut Reader<'_>| {
        r.varuint32()?;
        Ok(Ratio { numerator: r.u64()?, denominator: r.u64()? })
    };
    r.varuint32()?;
    Ok(ElasticLimitParameters {
        target: r.u64()?,
        max: r.u64()?,
        periods: r.u32()?,
        max_multiplier: r.u32()?,
        contract_rate: ratio(r)?,
        expand_rate: ratio(r)?,
    })
}
