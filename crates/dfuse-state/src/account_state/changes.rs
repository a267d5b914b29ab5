use std::collections::BTreeMap;

use bytes::Bytes;
use dfuse_antelope::{
    BlockTimestamp, Name,
    model::{Authority, Block, Message, PermOp, PermissionLevel, PermissionLevelWeight, PermissionObject, RlimitKind},
    raw::Reader,
};
use dfuse_index::{BlockContext, ExecutedAction, Result, View};
use dfuse_kv::{Direction, KeyRange};

use super::{
    read,
    record::{
        ACCOUNT_PERMISSIONS, ACTIVE, AccountBase, AccountLimits, OWNER, PROD_MAJOR, PROD_MINOR, PRODUCERS,
        permission_key,
    },
};

const UPDATEAUTH: Name = Name::literal("updateauth");
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
            self.permission(op, block, view)?;
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

    fn permission(&mut self, op: &PermOp, block: &Block, view: &View) -> Result<()> {
        let mut parent = None;
        if let Some(old) = &op.old_perm {
            // Nobody can put a permission below another one.
            parent = told_parent(self.encoded(old.owner, old.name, view)?)?;
            self.permissions.insert((old.owner, old.name), None);
        }
        let Some(new) = &op.new_perm else { return Ok(()) };
        if op.old_perm.is_none() && new.parent_id != 0 && !self.has_number(new.owner, new.parent_id, view)? {
            // It was loaded, without its number.
            parent = parent_in_action(block, new);
        }
        // An account begins with its permission `owner`, which cannot be removed.
        if op.old_perm.is_none() && new.name == OWNER {
            let created = BlockTimestamp::from_unix_ms(new.last_updated.0.div_euclid(1000)).unwrap_or_default();
            self.base(new.owner, view)?.created = created;
        }
        let encoded = match parent {
            Some(parent) => PermissionObject { parent, ..new.clone() }.to_bytes(),
            None => new.to_bytes(),
        };
        self.permissions.insert((new.owner, new.name), Some(encoded));
        Ok(())
    }

    /// Whether the permission of an account that has this number is known.
    fn has_number(&self, account: Name, number: u64, view: &View) -> Result<bool> {
        let of_account = (account, Name(0))..=(account, Name(u64::MAX));
        let range = KeyRange::prefix(account.0.to_be_bytes().to_vec());
        let changed = self.permissions.range(of_account).filter_map(|(_, encoded)| encoded.clone().map(Ok));
        let stored = view.scan(ACCOUNT_PERMISSIONS, &range, Direction::Forward)?;
        for encoded in changed.chain(stored.map(|entry| entry.map(|(_, encoded)| encoded))) {
            if read::decode(&encoded?)?.id == number {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A permission as it is before the next operation.
    fn encoded(&self, account: Name, permission: Name, view: &View) -> Result<Option<Bytes>> {
        match self.permissions.get(&(account, permission)) {
            Some(changed) => Ok(changed.clone()),
            None => view.get(ACCOUNT_PERMISSIONS, &permission_key(account, permission)),
        }
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
            let encoded = self.encoded(PRODUCERS, name, view)?;
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

/// The name of the permission above one, where that was told by name.
fn told_parent(encoded: Option<Bytes>) -> Result<Option<Name>> {
    let permission = encoded.map(|encoded| read::decode(&encoded)).transpose()?;
    Ok(permission.map(|permission| permission.parent).filter(|parent| *parent != Name::default()))
}

/// The name of the permission above a new one, by the action that made it.
fn parent_in_action(block: &Block, permission: &PermissionObject) -> Option<Name> {
    let traces = block.transaction_traces().iter().filter(|trace| !trace.is_reverted());
    let actions = traces.flat_map(|trace| &trace.action_traces);
    let actions = actions.filter(|it| it.receiver == Name::EOSIO && it.action.account == Name::EOSIO);
    actions.filter(|it| it.action.name == UPDATEAUTH).find_map(|it| {
        let mut data = Reader::new(&it.action.raw_data);
        let (account, name, parent) = (data.name().ok()?, data.name().ok()?, data.name().ok()?);
        ((account, name) == (permission.owner, permission.name)).then_some(parent)
    })
}
