use std::collections::BTreeMap;

use bytes::Bytes;
use dfuse_antelope::{
    BlockTimestamp, Name,
    model::{Authority, Block, Message, PermOp, PermissionLevel, PermissionLevelWeight, PermissionObject, RlimitKind},
    raw::Reader,
};
use dfuse_index::{BlockContext, ExecutedAction, Result, View};

use super::{
    read,
    record::{
        ACCOUNT_PERMISSIONS, ACTIVE, AccountBase, AccountLimits, OWNER, PROD_MAJOR, PROD_MINOR, PRODUCERS,
        permission_key,
    },
};

const SETCODE: Name = Name::literal("setcode");
const SETPRIV: Name = Name::literal("setpriv");
/// The permissions of `eosio.prods`, and which part of the producers must be exceeded.
const OF_PRODUCERS: [(Name, usize, usize); 3] = [(ACTIVE, 2, 3), (PROD_MAJOR, 1, 2), (PROD_MINOR, 1, 3)];

/// What a block makes of accounts.
#[derive(Default)]
pub(super) struct Changes {
    /// By account and permission, encoded; nothing where it was removed.
    pub(super) permissions: BTreeMap<(Name, Name), Option<Bytes>>,
    pub(super) limits: BTreeMap<Name, AccountLimits>,
    pub(super) ram: BTreeMap<Name, u64>,
    pub(super) bases: BTreeMap<Name, AccountBase>,
}

impl Changes {
    pub(super) fn of(context: &BlockContext<'_>, view: &View) -> Result<Self> {
        let mut changes = Self::default();
        changes.operations(context.block(), view)?;
        let system =
            |it: &ExecutedAction<'_>| it.action.receiver == Name::EOSIO && it.action.action.account == Name::EOSIO;
        let mut actions: Vec<_> = context.executed_actions().filter(system).collect();
        actions.sort_unstable_by_key(|it| it.global_sequence);
        for action in actions {
            changes.action(&action, context.block().header.timestamp, view)?;
        }
        changes.producers(context.block(), view)?;
        Ok(changes)
    }

    fn operations(&mut self, block: &Block, view: &View) -> Result<()> {
        for op in block.permission_operations() {
            self.permission(op, view)?;
        }
        for op in block.ram_operations() {
            self.ram.insert(op.payer, op.usage);
        }
        for op in block.account_resource_operations() {
            if let Some(RlimitKind::AccountLimits(limits)) = &op.kind {
                let (net_weight, cpu_weight, ram_bytes) = (limits.net_weight, limits.cpu_weight, limits.ram_bytes);
                self.limits.insert(limits.owner, AccountLimits { net_weight, cpu_weight, ram_bytes });
            }
        }
        Ok(())
    }

    fn permission(&mut self, op: &PermOp, view: &View) -> Result<()> {
        if let Some(old) = &op.old_perm {
            self.permissions.insert((old.owner, old.name), None);
        }
        let Some(new) = &op.new_perm else { return Ok(()) };
        // An account begins with its permission `owner`, which cannot be removed.
        if op.old_perm.is_none() && new.name == OWNER {
            let created = BlockTimestamp::from_unix_ms(new.last_updated.0.div_euclid(1000)).unwrap_or_default();
            self.base(new.owner, view)?.created = created;
        }
        self.permissions.insert((new.owner, new.name), Some(new.to_bytes()));
        Ok(())
    }

    /// Code and privileges have no operations of their own.
    fn action(&mut self, executed: &ExecutedAction<'_>, time: BlockTimestamp, view: &View) -> Result<()> {
        let action = &executed.action.action;
        let mut data = Reader::new(&action.raw_data);
        match action.name {
            SETCODE => {
                let Ok(account) = data.name() else { return Ok(()) };
                self.base(account, view)?.code_updated = time;
            }
            SETPRIV => {
                let (Ok(account), Ok(is_privileged)) = (data.name(), data.u8()) else { return Ok(()) };
                self.base(account, view)?.is_privileged = is_privileged != 0;
            }
            _ => {}
        }
        Ok(())
    }

    fn base(&mut self, account: Name, view: &View) -> Result<&mut AccountBase> {
        use std::collections::btree_map::Entry;
        Ok(match self.bases.entry(account) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(read::base(view, account)?),
        })
    }

    /// Nodes set the permissions of `eosio.prods` to the active producers, without an operation.
    fn producers(&mut self, block: &Block, view: &View) -> Result<()> {
        let names: Vec<_> = match (&block.active_schedule_v2, &block.active_schedule_v1) {
            (Some(schedule), _) => schedule.producers.iter().map(|it| it.account_name).collect(),
            (None, Some(schedule)) => schedule.producers.iter().map(|it| it.account_name).collect(),
            (None, None) => return Ok(()),
        };
        if names.is_empty() {
            return Ok(());
        }
        for (name, numerator, denominator) in OF_PRODUCERS {
            let key = (PRODUCERS, name);
            let encoded = match self.permissions.get(&key) {
                Some(changed) => changed.clone(),
                None => view.get(ACCOUNT_PERMISSIONS, &permission_key(PRODUCERS, name))?,
            };
            let before = encoded.map(|bytes| read::decode(&bytes)).transpose()?;
            let before = before.unwrap_or_else(|| PermissionObject { owner: PRODUCERS, name, ..Default::default() });
            let level = |actor| PermissionLevel { actor, permission: ACTIVE };
            let accounts = names.iter().map(|actor| PermissionLevelWeight { permission: level(*actor), weight: 1 });
            let threshold = (names.len() * numerator / denominator + 1) as u32;
            let authority = Authority { threshold, accounts: accounts.collect(), ..Authority::default() };
            if authority != before.authority {
                let after = PermissionObject { authority, ..before };
                self.permissions.insert(key, Some(after.to_bytes()));
            }
        }
        Ok(())
    }
}
