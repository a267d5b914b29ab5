//! The state of the chain, folded from the operations of each block: it is what the state-history log of the node says
//! after every block, and what its API answers at the head.
//!
//! The log of table deltas has, for each block, the rows that changed: `{table, [{present, row}]}`.

use std::collections::BTreeMap;

use dfuse_antelope::{
    Checksum256, Name, PublicKey, Result, TimePoint,
    model::{
        Authority, Block, DbOperation, DtrxOperation, KeyWeight, PermOperation, PermissionLevel, PermissionLevelWeight,
        PermissionObject, RlimitAccountLimits, RlimitKind, RlimitState, TableOperation, TransactionTrace,
        UsageAccumulator, WaitWeight,
    },
    raw::{Reader, Writer},
};
use dfuse_testkit::recorded;
use serde_json::{Value, json};

use crate::{
    chains::{BUSY, FORK, Log, SMALL},
    compare::{assert_same, assert_same_map},
    node_json::{self, hex, list, without},
    state_history::{entries, variant},
};

/// Contract, scope, table.
type Table = (Name, Name, Name);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Deferred {
    payer: Name,
    id: Checksum256,
    packed: Vec<u8>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Permission {
    parent: Name,
    last_updated: TimePoint,
    authority: Authority,
}

#[derive(Debug, Default)]
struct State {
    /// Payers of tables.
    tables: BTreeMap<Table, Name>,
    /// Payers and data of rows.
    rows: BTreeMap<(Table, u64), (Name, Vec<u8>)>,
    permissions: BTreeMap<(Name, Name), Permission>,
    /// Net weight, CPU weight, RAM bytes.
    limits: BTreeMap<Name, (i64, i64, i64)>,
    /// Net, CPU.
    usage: BTreeMap<Name, (UsageAccumulator, UsageAccumulator)>,
    ram: BTreeMap<Name, u64>,
    /// By sender and its id of the transaction.
    deferred: BTreeMap<(Name, u128), Deferred>,
    features: BTreeMap<Checksum256, u32>,
    resources: BTreeMap<(), RlimitState>,
}

impl State {
    #[track_caller]
    fn assert_same(&self, what: &str, theirs: &Self) {
        assert_same_map(format!("{what}: table"), &self.tables, &theirs.tables);
        assert_same_map(format!("{what}: row"), &self.rows, &theirs.rows);
        assert_same_map(format!("{what}: permission"), &self.permissions, &theirs.permissions);
        assert_same_map(format!("{what}: limits"), &self.limits, &theirs.limits);
        assert_same_map(format!("{what}: usage"), &self.usage, &theirs.usage);
        assert_same_map(format!("{what}: ram"), &self.ram, &theirs.ram);
        assert_same_map(format!("{what}: deferred transaction"), &self.deferred, &theirs.deferred);
        assert_same_map(format!("{what}: feature"), &self.features, &theirs.features);
        assert_same_map(format!("{what}: resources"), &self.resources, &theirs.resources);
    }
}

/// The state from the decoded blocks, which must agree with themselves: what an operation says was there before is there.
#[derive(Default)]
struct Fold {
    state: State,
    /// Owners and names of permissions by the number that the chain has for them.
    permissions: BTreeMap<u64, Name>,
}

impl Fold {
    fn block(&mut self, block: &Block) {
        for trace in &block.unfiltered_transaction_traces {
            self.transaction(trace, block.number);
        }
        for op in &block.rlimit_ops {
            if let Some(RlimitKind::State(state)) = &op.kind {
                self.state.resources.insert((), state.clone());
            }
        }
    }

    fn transaction(&mut self, trace: &TransactionTrace, block_num: u32) {
        // Every deferred transaction leaves the queue when its time has come, whatever becomes of it.
        if trace.scheduled {
            self.state.deferred.retain(|_, deferred| deferred.id != trace.id);
        }
        self.rows(trace);
        self.permissions(trace);
        self.deferred(trace);
        self.ram(trace);
        for op in &trace.feature_ops {
            if op.kind == "ACTIVATE" {
                self.state.features.insert(op.feature_digest, block_num);
            }
        }
        for op in &trace.rlimit_ops {
            match op.kind.as_ref().unwrap() {
                RlimitKind::AccountLimits(RlimitAccountLimits { owner, net_weight, cpu_weight, ram_bytes, .. }) => {
                    self.state.limits.insert(*owner, (*net_weight, *cpu_weight, *ram_bytes));
                }
                RlimitKind::AccountUsage(usage) => {
                    let (net, cpu) = (usage.net_usage.clone(), usage.cpu_usage.clone());
                    self.state.usage.insert(usage.owner, (net, cpu));
                    assert_eq!(self.state.ram.get(&usage.owner).copied().unwrap_or(0), usage.ram_usage);
                }
                other => panic!("in a transaction: {other:?}"),
            }
        }
    }

    fn rows(&mut self, trace: &TransactionTrace) {
        let state = &mut self.state;
        for op in &trace.db_ops {
            let key = ((op.code, op.scope, op.table_name), op.primary_key.0);
            let before = state.rows.get(&key).map(|(payer, data)| (*payer, &data[..]));
            let said = (op.operation != DbOperation::Insert).then_some((op.old_payer, &op.old_data[..]));
            assert_eq!(before, said, "before {op:?}");
            match op.operation {
                DbOperation::Remove => state.rows.remove(&key),
                _ => state.rows.insert(key, (op.new_payer, op.new_data.to_vec())),
            };
        }
        for op in &trace.table_ops {
            let key = (op.code, op.scope, op.table_name);
            let before = match op.operation {
                TableOperation::Remove => state.tables.remove(&key),
                _ => state.tables.insert(key, op.payer),
            };
            assert_eq!(before.is_some(), op.operation == TableOperation::Remove, "{op:?}");
        }
    }

    fn permissions(&mut self, trace: &TransactionTrace) {
        for op in &trace.perm_ops {
            let object = op.new_perm.as_ref().or(op.old_perm.as_ref()).unwrap();
            let key = (object.owner, object.name);
            if let Some(old) = &op.old_perm {
                assert_eq!(self.state.permissions.get(&key), Some(&self.permission(old)), "before {op:?}");
            }
            if op.operation == PermOperation::Remove {
                self.state.permissions.remove(&key);
                self.permissions.remove(&object.id);
            } else {
                let permission = self.permission(object);
                self.state.permissions.insert(key, permission);
                self.permissions.insert(object.id, object.name);
            }
        }
    }

    fn permission(&self, object: &PermissionObject) -> Permission {
        let parent = if object.parent_id == 0 { Name::default() } else { self.permissions[&object.parent_id] };
        Permission { parent, last_updated: object.last_updated, authority: object.authority.clone() }
    }

    fn deferred(&mut self, trace: &TransactionTrace) {
        for op in &trace.dtrx_ops {
            let key = (op.sender, op.sender_id.parse().unwrap());
            let mut packed = Writer::new();
            op.transaction.as_ref().unwrap().transaction.pack(&mut packed);
            assert_eq!(Checksum256::sha256(&packed.bytes), op.transaction_id);
            let deferred = Deferred { payer: op.payer, id: op.transaction_id, packed: packed.bytes };
            match op.operation {
                DtrxOperation::Cancel | DtrxOperation::ModifyCancel => {
                    assert_eq!(self.state.deferred.remove(&key), Some(deferred), "{op:?}");
                }
                _ => assert_eq!(self.state.deferred.insert(key, deferred), None, "{op:?}"),
            }
        }
    }

    fn ram(&mut self, trace: &TransactionTrace) {
        for op in &trace.ram_ops {
            let usage = self.state.ram.entry(op.payer).or_default();
            *usage = usage.checked_add_signed(op.delta).unwrap();
            assert_eq!(*usage, op.usage, "{op:?}");
        }
    }
}

/// Applies the table deltas of one block.
fn apply_deltas(state: &mut State, content: &[u8]) -> Result<()> {
    let mut reader = Reader::new(content);
    for _ in 0..reader.count(3, "deltas")? {
        variant(&mut reader, 0);
        let table = reader.string("table")?;
        for _ in 0..reader.count(2, "rows")? {
            let present = reader.bool()?;
            apply_row(state, &table, present, &mut Reader::new(reader.blob("row")?))?;
        }
    }
    reader.finish("deltas")
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

fn apply_row(state: &mut State, table: &str, present: bool, row: &mut Reader<'_>) -> Result<()> {
    variant(row, 0);
    match table {
        "contract_table" => {
            let (key, payer) = ((row.name()?, row.name()?, row.name()?), row.name()?);
            set(&mut state.tables, key, present.then_some(payer));
        }
        "contract_row" => {
            let key = ((row.name()?, row.name()?, row.name()?), row.u64()?);
            let value = (row.name()?, row.blob("data")?.to_vec());
            set(&mut state.rows, key, present.then_some(value));
        }
        "permission" => {
            let key = (row.name()?, row.name()?);
            let permission =
                Permission { parent: row.name()?, last_updated: TimePoint(row.i64()?), authority: authority(row)? };
            set(&mut state.permissions, key, present.then_some(permission));
        }
        "resource_limits" => {
            let (owner, limits) = (row.name()?, (row.i64()?, row.i64()?, row.i64()?));
            set(&mut state.limits, owner, present.then_some(limits));
        }
        "resource_usage" => {
            let (owner, usage) = (row.name()?, (usage(row)?, usage(row)?));
            set(&mut state.usage, owner, present.then_some(usage));
            set(&mut state.ram, owner, present.then_some(row.u64()?));
        }
        "resource_limits_state" => {
            let resources = RlimitState {
                average_block_net_usage: usage(row)?,
                average_block_cpu_usage: usage(row)?,
                total_net_weight: row.u64()?,
                total_cpu_weight: row.u64()?,
                total_ram_bytes: row.u64()?,
                virtual_net_limit: row.u64()?,
                virtual_cpu_limit: row.u64()?,
                ..RlimitState::default()
            };
            set(&mut state.resources, (), present.then_some(resources));
        }
        "generated_transaction" => {
            let key = (row.name()?, u128::from_le_bytes(row.array("sender id")?));
            let deferred = Deferred {
                payer: row.name()?,
                id: row.checksum256()?,
                packed: row.blob("transaction")?.to_vec(),
            };
            set(&mut state.deferred, key, present.then_some(deferred));
        }
        "protocol_state" => {
            state.features = row
                .list(37, "features", |r| {
                    variant(r, 0);
                    Ok((r.checksum256()?, r.u32()?))
                })?
                .into_iter()
                .collect();
        }
        // Secondary indexes, code, accounts, links and the configuration have no operation of their own.
        _ => return Ok(()),
    }
    row.finish("row")
}

fn usage(row: &mut Reader<'_>) -> Result<UsageAccumulator> {
    variant(row, 0);
    Ok(UsageAccumulator { last_ordinal: row.u32()?, value_ex: row.u64()?, consumed: row.u64()? })
}

fn authority(row: &mut Reader<'_>) -> Result<Authority> {
    Ok(Authority {
        threshold: row.u32()?,
        keys: row.list(36, "keys", |r| {
            Ok(KeyWeight { public_key: PublicKey::read(r)?.to_string(), weight: r.u16()?.into() })
        })?,
        accounts: row.list(18, "accounts", |r| {
            let permission = PermissionLevel { actor: r.name()?, permission: r.name()? };
            Ok(PermissionLevelWeight { permission, weight: r.u16()?.into() })
        })?,
        waits: row.list(6, "waits", |r| Ok(WaitWeight { wait_sec: r.u32()?, weight: r.u16()?.into() }))?,
    })
}

fn compare_with_state_history(log: &'static Log) {
    let (Some(chain), Some(entries)) = (log.chain(), entries(log, "chain_state_history")) else { return };
    let (mut ours, mut theirs) = (Fold::default(), State::default());
    // Genesis: we have it with the first block that follows.
    apply_deltas(&mut theirs, &entries[0].1).unwrap();
    let canonical = chain.canonical();
    assert_eq!(canonical.len(), entries.len() - 1);
    for (block, (id, content)) in std::iter::zip(canonical, &entries[1..]) {
        assert_eq!(block.id, *id);
        ours.block(block);
        apply_deltas(&mut theirs, content).unwrap();
        ours.state.assert_same(&format!("{}, block {id}", log.name), &theirs);
    }
}

#[test]
fn state_is_that_of_state_history_after_every_block() {
    compare_with_state_history(&SMALL);
    compare_with_state_history(&FORK);
}
