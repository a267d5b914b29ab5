//! Blocks made by hand.

use std::collections::BTreeMap;

use crate::support::Options;
use dfuse_antelope::{
    Asset, BlockTimestamp, Checksum256, Name, SymbolCode,
    model::{
        Action, ActionReceipt, ActionTrace, Authority, Block, BlockHeader, DbOp, DbOperation, KeyWeight, PermOp,
        PermOperation, PermissionObject, TableOp, TableOperation, TransactionReceiptHeader, TransactionStatus,
        TransactionTrace,
    },
    raw::Writer,
};
use dfuse_state::{Row, RowKey, TableKey};

use crate::support::TestChain;

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A row's key; the last part is a name or a symbol code.
pub(crate) fn key(contract: &str, table: &str, scope: &str, primary_key: &str) -> RowKey {
    let primary_key =
        primary_key.parse().map_or_else(|_| primary_key.parse::<SymbolCode>().unwrap().0, |it: Name| it.0);
    TableKey { contract: name(contract), table: name(table), scope: name(scope) }.row(primary_key)
}

pub(crate) fn asset(text: &str) -> Vec<u8> {
    let mut writer = Writer::new();
    text.parse::<Asset>().unwrap().write(&mut writer);
    writer.bytes
}

/// Keeps the state, so that operations have what was before.
#[derive(Debug, Clone, Default)]
pub(crate) struct Maker {
    rows: BTreeMap<RowKey, Row>,
    permissions: BTreeMap<(Name, Name), PermissionObject>,
    parent: (u32, Checksum256),
    trace: TransactionTrace,
    traces: Vec<TransactionTrace>,
    sequence: u64,
}

impl Maker {
    /// After a block of that number.
    pub(crate) fn after(number: u32) -> Self {
        let mut id = Checksum256::default();
        id.0[..4].copy_from_slice(&number.to_be_bytes());
        Self { parent: (number, id), ..Self::default() }
    }

    pub(crate) fn set(&mut self, key: RowKey, payer: &str, data: impl Into<Vec<u8>>) {
        let row = Row { payer: name(payer), data: data.into().into() };
        if !self.has_rows(key.table) {
            self.table_op(TableOperation::Insert, key.table, row.payer);
        }
        let old = self.rows.insert(key, row.clone());
        let operation = if old.is_some() { DbOperation::Update } else { DbOperation::Insert };
        self.db_op(operation, key, old, Some(row));
    }

    pub(crate) fn remove(&mut self, key: RowKey) {
        let old = self.rows.remove(&key);
        let payer = old.as_ref().unwrap().payer;
        self.db_op(DbOperation::Remove, key, old, None);
        if !self.has_rows(key.table) {
            self.table_op(TableOperation::Remove, key.table, payer);
        }
    }

    fn has_rows(&self, table: TableKey) -> bool {
        self.rows.range(table.row(0)..=table.row(u64::MAX)).next().is_some()
    }

    fn db_op(&mut self, operation: DbOperation, key: RowKey, old: Option<Row>, new: Option<Row>) {
        let TableKey { contract, table, scope } = key.table;
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        self.trace.db_ops.push(DbOp {
            operation,
            code: contract,
            scope,
            table_name: table,
            primary_key: Name(key.primary_key),
            old_payer: old.payer,
            new_payer: new.payer,
            old_data: old.data,
            new_data: new.data,
            ..DbOp::default()
        });
    }

    fn table_op(&mut self, operation: TableOperation, table: TableKey, payer: Name) {
        let TableKey { contract, table, scope } = table;
        let op = TableOp { operation, payer, code: contract, scope, table_name: table, action_index: 0 };
        self.trace.table_ops.push(op);
    }

    /// An action of the system contract.
    pub(crate) fn action(&mut self, action: &str, data: Writer) {
        self.action_of("eosio", action, data);
    }

    pub(crate) fn action_of(&mut self, contract: &str, action: &str, data: Writer) {
        self.sequence += 1;
        let receiver = name(contract);
        let action = Action { account: receiver, name: name(action), raw_data: data.bytes.into(), ..Action::default() };
        let receipt = ActionReceipt { global_sequence: self.sequence, receiver, ..ActionReceipt::default() };
        let trace = ActionTrace { receiver, action, receipt: Some(receipt), ..ActionTrace::default() };
        self.trace.action_traces.push(trace);
    }

    pub(crate) fn abi(&mut self, account: &str, abi: &[u8]) {
        let mut data = Writer::new();
        data.name(name(account));
        data.blob(abi);
        self.action("setabi", data);
    }

    /// An ABI of tables and the one field that rows of each have.
    pub(crate) fn tables(&mut self, account: &str, tables: &[(&str, &str, &str)]) {
        let structs = tables.iter().map(|(table, field, of)| {
            serde_json::json!({"name": table, "base": "", "fields": [{"name": field, "type": of}]})
        });
        let rows = tables.iter().map(|(table, ..)| serde_json::json!({"name": table, "type": table}));
        let abi = serde_json::json!({
            "version": "eosio::abi/1.1",
            "structs": structs.collect::<Vec<_>>(),
            "tables": rows.collect::<Vec<_>>(),
        });
        let abi: dfuse_antelope::abi::Abi = serde_json::from_value(abi).unwrap();
        self.abi(account, &abi.to_bytes());
    }

    pub(crate) fn link(&mut self, account: &str, contract: &str, action: &str, permission: &str) {
        let mut data = Writer::new();
        [account, contract, action, permission].iter().for_each(|it| data.name(name(it)));
        self.action("linkauth", data);
    }

    pub(crate) fn unlink(&mut self, account: &str, contract: &str, action: &str) {
        let mut data = Writer::new();
        [account, contract, action].iter().for_each(|it| data.name(name(it)));
        self.action("unlinkauth", data);
    }

    pub(crate) fn permission(&mut self, account: &str, permission: &str, keys: &[&str]) {
        let (owner, permission) = (name(account), name(permission));
        let keys = keys.iter().map(|key| KeyWeight { public_key: (*key).to_owned(), weight: 1 }).collect();
        let authority = Authority { threshold: 1, keys, ..Authority::default() };
        let new = PermissionObject { owner, name: permission, authority, ..PermissionObject::default() };
        let old_perm = self.permissions.insert((owner, permission), new.clone());
        let operation = if old_perm.is_some() { PermOperation::Update } else { PermOperation::Insert };
        self.trace.perm_ops.push(PermOp { operation, action_index: 0, old_perm, new_perm: Some(new) });
    }

    /// Ends a transaction; returns its id.
    pub(crate) fn transaction(&mut self) -> Checksum256 {
        let mut trace = std::mem::take(&mut self.trace);
        let seed = [&self.parent.1.0[..], &(self.traces.len() as u64).to_be_bytes()].concat();
        trace.id = Checksum256::sha256(&seed);
        trace.receipt = Some(TransactionReceiptHeader {
            status: TransactionStatus::Executed,
            ..TransactionReceiptHeader::default()
        });
        let id = trace.id;
        self.traces.push(trace);
        id
    }

    /// Ends a block, whose id is its number and the salt.
    pub(crate) fn block(&mut self, salt: u8, lib: u32) -> Block {
        self.transaction();
        let number = self.parent.0 + 1;
        let mut id = Checksum256::default();
        id.0[..4].copy_from_slice(&number.to_be_bytes());
        id.0[4] = salt;
        let header = BlockHeader {
            previous: self.parent.1,
            timestamp: BlockTimestamp(1_000_000_000 + number),
            ..BlockHeader::default()
        };
        self.parent = (number, id);
        Block {
            id,
            number,
            header,
            dpos_irreversible_blocknum: lib,
            unfiltered_transaction_traces: std::mem::take(&mut self.traces),
            ..Block::default()
        }
    }
}

/// The id of a made block.
pub(crate) fn id(number: u32, salt: u8) -> String {
    format!("{number:08x}{salt:02x}{}", "00".repeat(27))
}

pub(crate) const K1: &str = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV";
pub(crate) const K1_PREFIXED: &str = "PUB_K1_6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5BoDq63";

/// The packed ABI of `eosio.test` in block 5.
pub(crate) const TEST_ABI: &str = "0e656f73696f3a3a6162692f312e3000010576616c7565000102746f0675696e743634000100000000008139bd0000000576616c756500000000";

/// Blocks 2 to 6 of salt 0xaa, irreversible up to 5: token contracts `eosio.token` and `eosio.nekot`, a contract `eosio.test`
/// whose ABI changes, a key, and a link.
pub(crate) async fn chain() -> (TestChain, Maker) {
    let mut chain = TestChain::made(Options::default()).await;
    let mut maker = Maker::after(1);
    maker.tables("eosio.token", &[("accounts", "balance", "asset")]);
    maker.tables("eosio.nekot", &[("accounts", "balance", "asset")]);
    maker.tables("eosio.test", &[("rows", "from", "string")]);
    maker.permission("eosio1", "active", &[K1]);
    maker.permission("eosio1", "owner", &[K1]);
    maker.permission("eosio2", "active", &[K1_PREFIXED]);
    maker.link("eosio1", "eosio.token", "transfer", "active");
    maker.link("eosio1", "eosio.token", "", "owner");
    maker.link("eosio1", "b", "", "owner");
    chain.push(maker.block(0xaa, 0)).await;

    let eos = |scope: &str| key("eosio.token", "accounts", scope, "eos");
    for (scope, balance) in [("eosio1", "1.0000 EOS"), ("eosio2", "2.0000 EOS"), ("eosio3", "3.0000 EOS")] {
        maker.set(eos(scope), scope, asset(balance));
    }
    maker.transaction();
    maker.set(eos("eosio2"), "eosio2", asset("20.0000 EOS"));
    for (scope, balance) in [("eosio1", "1.0000 SOE"), ("eosio5", "5.0000 SOE")] {
        maker.set(key("eosio.nekot", "accounts", scope, "SOE"), scope, asset(balance));
    }
    for (row, text) in [("a", "a"), ("b", "b1"), ("b", "b2"), ("c", "c")] {
        let mut data = Writer::new();
        data.blob(text.as_bytes());
        maker.set(key("eosio.test", "rows", "s", row), "s", data.bytes);
    }
    chain.push(maker.block(0xaa, 2)).await;

    maker.set(eos("eosio1"), "eosio1", asset("10.0000 EOS"));
    maker.remove(eos("eosio3"));
    maker.permission("eosio2", "active", &[]);
    maker.unlink("eosio1", "eosio.token", "");
    chain.push(maker.block(0xaa, 3)).await;

    maker.abi("eosio.test", &const_hex::decode(TEST_ABI).unwrap());
    let number = |row: &str| key("eosio.test", "rows2", "s", row);
    for (row, to) in [("a", 1u64), ("b", 2), ("c", 3)] {
        maker.set(number(row), "s", to.to_le_bytes());
    }
    chain.push(maker.block(0xaa, 4)).await;

    maker.set(eos("eosio2"), "eosio2", asset("22.0000 EOS"));
    maker.remove(number("a"));
    for (row, to) in [("b", 20u64), ("d", 4), ("e", 5), ("f", 6)] {
        maker.set(number(row), "s", to.to_le_bytes());
    }
    chain.push(maker.block(0xaa, 5)).await;
    (chain, maker)
}

impl Maker {
    /// Goes on after that block, with the state as it is.
    pub(crate) fn rewind(&mut self, number: u32, id: Checksum256) {
        self.parent = (number, id);
    }
}
