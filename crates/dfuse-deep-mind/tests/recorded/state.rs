//! The state of the chain, folded from the operations of each block: it is what the state-history log of the node says
//! after every block, and what its API answers at the head.
//!
//! The log of table deltas has, for each block, the rows that changed: `{table, [{present, row}]}`.

use std::collections::BTreeMap;

use dfuse_antelope::{
    Asset, Checksum256, Name, PublicKey, Result, TimePoint,
    model::{
        Authority, Block, DbOperation, DtrxOperation, KeyWeight, PermOperation, PermissionLevel, PermissionLevelWeight,
        PermissionObject, ProducerAuthority, RlimitAccountLimits, RlimitKind, RlimitOperation, RlimitState,
        TableOperation, TransactionTrace, UsageAccumulator, WaitWeight,
    },
    raw::{Reader, Writer},
};
use dfuse_testkit::{
    compare::{assert_same, assert_same_map},
    recorded,
};
use serde_json::{Value, json};

use crate::{
    chains::{BUSY, FORK, Log, SMALL},
    node_json::{self, hex, list, number, without},
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
        if block.number > 2 {
            self.producers(block);
        }
        for trace in &block.unfiltered_transaction_traces {
            self.transaction(trace, block.number);
        }
        for op in &block.rlimit_ops {
            if let Some(RlimitKind::State(state)) = &op.kind {
                self.state.resources.insert((), state.clone());
            }
        }
    }

    /// The node keeps three permissions of `eosio.prods` to the active producers, without a word in the log.
    fn producers(&mut self, block: &Block) {
        let producers = &block.active_schedule_v2.as_ref().unwrap().producers;
        let account = |producer: &ProducerAuthority| PermissionLevelWeight {
            permission: PermissionLevel { actor: producer.account_name, permission: Name::literal("active") },
            weight: 1,
        };
        let accounts: Vec<_> = producers.iter().map(account).collect();
        for (name, numerator, denominator) in [("active", 2, 3), ("prod.major", 1, 2), ("prod.minor", 1, 3)] {
            let key = (Name::literal("eosio.prods"), name.parse().unwrap());
            let threshold = accounts.len() as u32 * numerator / denominator + 1;
            let permission = self.state.permissions.get_mut(&key).unwrap();
            permission.authority = Authority { threshold, accounts: accounts.clone(), ..Authority::default() };
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
                    // A new account is there before it uses RAM; transactions are billed at their end.
                    if op.operation == RlimitOperation::Update {
                        assert_eq!(self.state.ram[&usage.owner], usage.ram_usage, "{op:?}");
                    }
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
            // A replacement kept the id of what it replaced, until the feature REPLACE_DEFERRED put that right.
            if matches!(op.operation, DtrxOperation::Create | DtrxOperation::PushCreate) {
                assert_eq!(Checksum256::sha256(&packed.bytes), op.transaction_id, "{op:?}");
            }
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
    let index = row.varuint32()?;
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
            let deferred =
                Deferred { payer: row.name()?, id: row.checksum256()?, packed: row.blob("transaction")?.to_vec() };
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
    assert_eq!(index, 0, "version of {table}");
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
    // The node keeps permission number 0 free with an empty one.
    assert_eq!(theirs.permissions.remove(&Default::default()), Some(Permission::default()));
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

/// The part of `get_account` that operations tell.
fn account(state: &State, name: Name) -> Value {
    let (net_weight, cpu_weight, ram_bytes) = state.limits[&name];
    let permissions: Value = state
        .permissions
        .range((name, Name::default())..=(name, Name(u64::MAX)))
        .map(|((_, permission), object)| {
            json!({
                "perm_name": permission,
                "parent": object.parent,
                "required_auth": node_json::authority(&object.authority),
            })
        })
        .collect();
    json!({
        "account_name": name,
        "ram_usage": number(state.ram[&name]),
        "ram_quota": number(ram_bytes),
        "net_weight": number(net_weight),
        "cpu_weight": number(cpu_weight),
        "permissions": permissions,
    })
}

fn part_of_account(answer: &Value) -> Value {
    let keys = ["account_name", "ram_usage", "ram_quota", "net_weight", "cpu_weight"];
    let mut part: Value = keys.iter().map(|key| ((*key).to_owned(), answer[key].clone())).collect();
    let permissions = answer["permissions"].as_array().unwrap();
    part["permissions"] = list(permissions, |permission| without(permission.clone(), &["linked_actions"]));
    part
}

/// Rows of a table in the order of their keys.
fn rows(state: &State, table: Table) -> impl Iterator<Item = &(Name, Vec<u8>)> {
    state.rows.range((table, 0)..=(table, u64::MAX)).map(|(_, row)| row)
}

fn compare_tables(what: &str, state: &State, answers: &Value) -> usize {
    let mut compared = 0;
    let answered = answers.as_object().unwrap();
    for (table, payer) in &state.tables {
        let what = format!("{what}, {table:?}: ");
        let answer = &answered[&format!("{}/{}/{}", table.0, table.1, table.2)];
        assert_eq!(answer["payer"], payer.to_string(), "{what}");
        // Tables that the ABI does not have are refused.
        if answer["rows"]["http_error"].is_null() {
            let ours: Value =
                rows(state, *table).map(|(payer, data)| json!({"payer": payer, "data": hex(data)})).collect();
            assert_same(what, &ours, &answer["rows"]);
            compared += ours.as_array().unwrap().len();
        }
    }
    assert_eq!(state.tables.len(), answered.len(), "{what}: tables");
    compared
}

/// State at the head, and the answers of the node that was there.
fn at_head(log: &'static Log) -> Option<(State, Value)> {
    let (chain, answers) = (log.chain()?, recorded::json(&log.beside("answers.json.gz"))?);
    let mut fold = Fold::default();
    for block in chain.canonical() {
        fold.block(block);
    }
    let (resources, info) = (&fold.state.resources[&()], &answers["get_info"]);
    let ours = json!({
        "virtual_block_cpu_limit": number(resources.virtual_cpu_limit),
        "virtual_block_net_limit": number(resources.virtual_net_limit),
        "total_cpu_weight": number(resources.total_cpu_weight),
        "total_net_weight": number(resources.total_net_weight),
    });
    let theirs: Value = ours.as_object().unwrap().keys().map(|key| (key.clone(), info[key].clone())).collect();
    assert_same(format!("{}, get_info: ", log.name), &ours, &theirs);
    Some((fold.state, answers))
}

fn compare_accounts(what: &str, state: &State, answers: &Value) -> usize {
    let answers = answers.as_object().unwrap();
    for (name, answer) in answers {
        let ours = account(state, name.parse().unwrap());
        assert_same(format!("{what}, account {name}: "), &ours, &part_of_account(answer));
    }
    answers.len()
}

#[test]
fn state_at_the_head_is_what_the_node_answers() {
    for (log, row_count, accounts) in [(&SMALL, 113, 42), (&FORK, 19, 17)] {
        let Some((state, answers)) = at_head(log) else { continue };
        assert_eq!(compare_tables(log.name, &state, &answers["raw_tables"]), row_count, "{}", log.name);
        assert_eq!(compare_accounts(log.name, &state, &answers["account"]), accounts, "{}", log.name);
    }
}

#[test]
fn balances_at_the_head_are_what_the_node_answers() {
    let Some((state, answers)) = at_head(&BUSY) else { return };
    assert_eq!(compare_accounts("busy", &state, &answers["accounts"]), 45);
    let mut compared = 0;
    for (key, contract) in [("balances", "eosio.token"), ("usd", "othertoken")] {
        for (owner, theirs) in answers[key].as_object().unwrap() {
            let table = (Name::literal(contract), owner.parse().unwrap(), Name::literal("accounts"));
            let balance = |(_, data): &(Name, Vec<u8>)| Asset::read(&mut Reader::new(data)).unwrap().to_string();
            let ours: Vec<String> = rows(&state, table).map(balance).collect();
            assert_eq!(json!(ours), *theirs, "{contract}: balance of {owner}");
            compared += ours.len();
        }
    }
    assert_eq!(compared, 1189);
}
