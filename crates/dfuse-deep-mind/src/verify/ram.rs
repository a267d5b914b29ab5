//! RAM usage: what an operation leaves is what the one before it left and its own change.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, DefaultHasher},
};

use dfuse_antelope::{
    Name,
    model::{RamOperation, RlimitKind, RlimitOperation, TransactionTrace},
};

use super::{Finding, Found};

/// Usage of the accounts that were seen last on the branch at work.
#[derive(Default)]
pub(super) struct Usage {
    by_account: HashMap<Name, u64, BuildHasherDefault<DefaultHasher>>,
}

impl Usage {
    /// Accounts that are remembered; then it begins anew.
    const CAPACITY: usize = 64 << 10;

    pub(super) fn clear(&mut self) {
        self.by_account.clear();
    }

    pub(super) fn check(&mut self, at: usize, trace: &TransactionTrace) -> Found {
        for op in &trace.ram_ops {
            let usage = Some(op.usage);
            let before = self.remember(op.payer, op.usage);
            let before = if op.operation == RamOperation::NewAccount { Some(0) } else { before };
            if before.is_some_and(|before| before.checked_add_signed(op.delta) != usage) {
                let why = format!("the RAM usage of {} does not follow from what it was before", op.payer);
                return Err(Finding::of(at, trace, why));
            }
        }
        for op in trace.rlimit_ops.iter().filter(|op| op.operation == RlimitOperation::Update) {
            let Some(RlimitKind::AccountUsage(usage)) = &op.kind else { continue };
            // Transactions are billed at their end.
            let before = self.remember(usage.owner, usage.ram_usage);
            if before.is_some_and(|before| before != usage.ram_usage) {
                let why = format!("the RAM usage of {} is not what its operations leave", usage.owner);
                return Err(Finding::of(at, trace, why));
            }
        }
        Ok(())
    }

    fn remember(&mut self, account: Name, usage: u64) -> Option<u64> {
        if self.by_account.len() == Self::CAPACITY {
            self.by_account.clear();
        }
        self.by_account.insert(account, usage)
    }
}
