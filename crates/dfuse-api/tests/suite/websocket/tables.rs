//! Rows of tables: a client that applies what comes, without looking, has the table.

use std::collections::{BTreeMap, BTreeSet};

use dfuse_antelope::{
    Checksum256, Name,
    abi::{Abi, AbiSerializer, Rendering},
    model::{
        Action, ActionReceipt, ActionTrace, Block, BlockHeader, DbOp, DbOperation, TransactionReceiptHeader,
        TransactionStatus, TransactionTrace,
    },
    raw::{Reader, Writer},
};
use dfuse_api::WebSocketOptions;
use dfuse_query::{ErrorCode, StreamOptions};
use dfuse_state::{RowKey, TableKey};
use dfuse_testkit::{recorded, synthetic::SyntheticChain};
use serde_json::{Value, json};

use super::{Client, serve, serve_with};
use crate::support::{Options, TestChain};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// By primary key, payer and bytes.
type Rows = BTreeMap<String, (String, String)>;

/// All tables after every block, from the operations alone.
#[derive(Default)]
struct Model {
    parents: BTreeMap<Checksum256, Checksum256>,
    states: BTreeMap<Checksum256, BTreeMap<TableKey, Rows>>,
}

fn operations(block: &Block) -> impl Iterator<Item = &DbOp> {
    block.transaction_traces().iter().filter(|trace| !trace.is_reverted()).flat_map(|trace| &trace.db_ops)
}

impl Model {
    fn add(&mut self, block: &Block) {
        let mut state = self.states.get(&block.header.previous).cloned().unwrap_or_default();
        for op in operations(block) {
            let rows = state.entry(RowKey::of(op).table).or_default();
            let key = op.primary_key.to_string();
            if op.operation == DbOperation::Remove {
                rows.remove(&key);
            } else {
                rows.insert(key, (op.new_payer.to_string(), const_hex::encode(&op.new_data)));
            }
        }
        self.parents.insert(block.id, block.header.previous);
        self.states.insert(block.id, state);
    }

    /// On the branch that ends there; nothing before the first block.
    fn rows(&self, tip: Checksum256, number: u32, table: TableKey) -> Rows {
        let mut block = tip;
        while block.block_num() > number {
            block = self.parents.get(&block).copied().unwrap_or_default();
        }
        self.states.get(&block).and_then(|state| state.get(&table)).cloned().unwrap_or_default()
    }
}

/// A stream as its client sees it.
struct Follower {
    table: TableKey,
    confirmations: u32,
    rows: Rows,
    /// What the snapshot must have.
    snapshot: Option<Rows>,
    next_block: u32,
    listening: bool,
    /// Blocks that told something and were not undone.
    blocks: Vec<String>,
    undoing: String,
    undone: BTreeSet<String>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Follower {
    fn take(&mut self, message: &Value) {
        let data = &message["data"];
        match message["type"].as_str().unwrap() {
            "table_snapshot" => {
                let rows = data["rows"].as_array().unwrap();
                self.rows =
                    rows.iter().map(|row| (text(&row["key"]), (text(&row["payer"]), text(&row["hex"])))).collect();
                assert_eq!(Some(&self.rows), self.snapshot.take().as_ref(), "{message}");
                assert_eq!(self.rows.len(), rows.len());
            }
            "listening" => {
                assert!(self.snapshot.is_none() && !self.listening);
                assert_eq!(data, &json!({"next_block": self.next_block}));
                self.listening = true;
            }
            "table_delta" => self.apply(data),
            _ => panic!("{message}"),
        }
    }

    fn apply(&mut self, data: &Value) {
        let block = text(&data["block_id"]);
        assert_eq!(data["block_num"], u32::from_str_radix(&block[..8], 16).unwrap());
        let step = data["step"].as_str().unwrap();
        if step == "undo" {
            if self.undoing != block {
                // What the snapshot had is not among the blocks.
                let last = self.blocks.pop();
                assert!(last.is_none_or(|last| last == block), "{data}");
                self.undone.insert(block.clone());
                self.undoing = block;
            }
        } else {
            assert_eq!(step, if self.undone.contains(&block) { "redo" } else { "new" });
            self.undoing.clear();
            if self.blocks.last() != Some(&block) {
                self.blocks.push(block);
            }
        }
        let op = &data["dbop"];
        let row = |key| op.get(key).map(|row| (text(&row["payer"]), text(&row["hex"])));
        let (key, old, new) = (text(&op["key"]), row("old"), row("new"));
        let has = self.rows.remove(&key);
        assert_eq!(has, old, "{data}");
        let kind = match (&old, &new) {
            (None, Some(_)) => "ins",
            (Some(_), Some(_)) => "upd",
            _ => "rem",
        };
        assert_eq!(op["op"], kind, "{data}");
        self.rows.extend(new.map(|new| (key, new)));
    }
}

async fn pump(client: &mut Client, followers: &mut [Follower]) {
    let message = client.message().await;
    let at: usize = message["req_id"].as_str().unwrap().parse().unwrap();
    followers[at].take(&message);
}

fn request(table: TableKey, data: Value) -> Value {
    let TableKey { contract, table, scope } = table;
    let mut request = json!({"type": "get_table_rows", "req_id": "t", "fetch": true,
        "data": {"code": contract.to_string(), "scope": scope.to_string(), "table": table.to_string()}});
    let Value::Object(options) = data else { panic!("{data} is no object") };
    for (key, value) in options {
        match key.as_str() {
            "json" | "with_block_num" => request["data"][key] = value,
            _ => request[key] = value,
        }
    }
    request
}

fn options() -> Options {
    Options { websocket: WebSocketOptions { max_streams: 1000, ..WebSocketOptions::default() }, ..Options::default() }
}

/// Number of the newest block with so many on top, or irreversible.
fn newest(chain: &TestChain, confirmations: u32) -> u32 {
    let feed = &chain.api().chain().feed;
    feed.head().unwrap().number.saturating_sub(confirmations).max(feed.lib().unwrap().number)
}

/// Tables that lost blocks wrote to, those with most writes first.
fn contested(chain: &TestChain) -> Vec<TableKey> {
    let best: BTreeSet<_> = chain.best().iter().map(|block| block.id).collect();
    let lost = chain.blocks.iter().filter(|block| !best.contains(&block.id));
    let mut writes: BTreeMap<TableKey, usize> = BTreeMap::new();
    for op in lost.flat_map(|block| operations(block)) {
        *writes.entry(RowKey::of(op).table).or_default() += 1;
    }
    let mut tables: Vec<_> = writes.into_iter().collect();
    tables.sort_by_key(|(_, writes)| std::cmp::Reverse(*writes));
    tables.into_iter().map(|(table, _)| table).take(6).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_recorded_chain_through_its_forks() {
    const LOG: &str = "fork/fork.dmlog.zst";
    let Some(whole) = TestChain::recorded(LOG).await else { return };
    let tables = contested(&whole);
    assert!(tables.len() > 3, "{tables:?}");
    drop(whole);
    let mut chain = TestChain::recorded_from_start(LOG, options()).await.unwrap();
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    let mut model = Model::default();
    let mut followers: Vec<Follower> = Vec::new();
    // On the branches that lose, and elsewhere.
    let mut moments = BTreeSet::from([2, 40, 62, 75, 82, 120, 138, 146, 206, 215, 227, 300]);
    while chain.grow(1).await > 0 {
        model.add(chain.blocks.last().unwrap());
        let head = chain.api().chain().feed.head().unwrap();
        if moments.remove(&head.number) {
            for table in &tables {
                // How far below the head, absent for a stream without a snapshot; and confirmations.
                for (fetched, confirmations) in [
                    (Some(0), 0),
                    (Some(-1), 0),
                    (Some(-20), 0),
                    (Some(-100), 0),
                    (None, 0),
                    (Some(0), 3),
                    (Some(-20), 25),
                    (None, 1),
                    (Some(0), 1000),
                ] {
                    if confirmations > 0 && head.number < 60 {
                        continue;
                    }
                    let start_block = fetched.unwrap_or(-45);
                    let newest = i64::from(newest(&chain, confirmations));
                    let number = (newest + start_block).max(2) as u32;
                    let mut ask = request(*table, json!({"fetch": fetched.is_some(), "listen": true}));
                    ask["req_id"] = followers.len().to_string().into();
                    ask["start_block"] = if start_block == -20 { number.into() } else { start_block.into() };
                    ask["confirmations"] = confirmations.into();
                    client.ask(ask).await;
                    let of = if fetched.is_some() { number } else { number - 1 };
                    let rows = model.rows(head.id, of, *table);
                    followers.push(Follower {
                        table: *table,
                        confirmations,
                        snapshot: fetched.map(|_| rows.clone()),
                        rows,
                        next_block: of + 1,
                        listening: false,
                        blocks: Vec::new(),
                        undoing: String::new(),
                        undone: BTreeSet::new(),
                    });
                }
            }
        }
        for at in 0..followers.len() {
            let newest = newest(&chain, followers[at].confirmations);
            let wanted = model.rows(head.id, newest, followers[at].table);
            while !followers[at].listening || followers[at].rows != wanted {
                pump(&mut client, &mut followers).await;
            }
        }
    }
    assert!(moments.is_empty(), "{moments:?}");
    let undone: BTreeSet<_> = followers.iter().flat_map(|follower| &follower.undone).collect();
    assert!(undone.len() > 20, "{undone:?}");

    // Any height, without a stream.
    let mut client = Client::connect(&listening).await;
    let head = chain.api().chain().feed.head().unwrap();
    for number in (1..head.number).step_by(37) {
        for table in &tables {
            client.ask(request(*table, json!({"start_block": number}))).await;
            let snapshot = client.of("table_snapshot", "t").await;
            let rows = snapshot["rows"].as_array().unwrap().iter();
            let rows = rows.map(|row| (text(&row["key"]), (text(&row["payer"]), text(&row["hex"]))));
            assert_eq!(rows.collect::<Rows>(), model.rows(head.id, number, *table), "{table:?} {number}");
        }
    }
    let answers = recorded::json("fork/answers.json.gz").unwrap();
    let mut count = 0;
    for (path, answer) in answers["tables"].as_object().unwrap() {
        let [contract, scope, table] = path.split('/').map(name).collect::<Vec<_>>()[..] else { panic!("{path}") };
        let Some(wanted) = answer["rows"].as_array() else { continue };
        client.ask(request(TableKey { contract, table, scope }, json!({"json": true}))).await;
        let snapshot = client.of("table_snapshot", "t").await;
        let rows = snapshot["rows"].as_array().unwrap().iter();
        let rows: Vec<_> = rows.map(|row| (row["payer"].clone(), row["json"].clone())).collect();
        let wanted: Vec<_> = wanted.iter().map(|row| (row["payer"].clone(), row["data"].clone())).collect();
        assert_eq!(rows, wanted, "{path}");
        count += rows.len();
    }
    assert!(count > 10);
}

/// Rows are decoded by what was in force when they were written, also where that changes within a block.
#[tokio::test(flavor = "multi_thread")]
async fn rows_are_decoded_as_of_their_action() {
    let Some(mut chain) = TestChain::recorded_from_start("small/small.dmlog.zst", options()).await else { return };
    chain.grow(usize::MAX).await;
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    // By account, the sequences of its ABIs.
    let mut abis: BTreeMap<Name, BTreeMap<u64, Option<AbiSerializer>>> = BTreeMap::new();
    let mut wanted: BTreeMap<TableKey, Vec<Value>> = BTreeMap::new();
    for trace in chain.best().iter().flat_map(|block| block.transaction_traces()).filter(|trace| !trace.is_reverted()) {
        for action in &trace.action_traces {
            let Some(receipt) = &action.receipt else { continue };
            if (action.receiver, action.action.name) == (name("eosio"), name("setabi")) {
                let mut reader = Reader::sharing(&action.action.raw_data);
                let (account, abi) = (reader.name().unwrap(), reader.bytes("ABI").unwrap());
                let abi = Abi::from_bytes(&abi).ok().map(|abi| AbiSerializer::new(&abi));
                abis.entry(account).or_default().insert(receipt.global_sequence, abi);
            }
        }
        for op in &trace.db_ops {
            let Some(of_account) = abis.get(&op.code).filter(|_| op.code != name("eosio")) else { continue };
            let sequence =
                trace.action_traces[op.action_index as usize].receipt.as_ref().map_or(0, |it| it.global_sequence);
            let abi = of_account.range(..sequence).next_back().and_then(|(_, abi)| abi.as_ref());
            let row = |data: &[u8]| {
                let mut text = Vec::new();
                let decoded = abi?.table(op.table_name).ok()?.decode(data, Rendering::Plain, 1 << 20, &mut text);
                decoded.is_ok().then(|| serde_json::from_slice::<Value>(&text).unwrap())
            };
            let rows = [&op.old_data, &op.new_data].map(|data| match row(data) {
                _ if data.is_empty() => Value::Null,
                Some(json) => json,
                None => const_hex::encode(data).into(),
            });
            wanted.entry(RowKey::of(op).table).or_default().push(json!(rows));
        }
    }
    for (table, wanted) in &wanted {
        client.ask(request(*table, json!({"fetch": false, "listen": true, "start_block": 2, "json": 1}))).await;
        assert_eq!(client.of("listening", "t").await, json!({"next_block": 2}));
        for wanted in wanted {
            let data = client.of("table_delta", "t").await;
            let rows = ["old", "new"].map(|key| match &data["dbop"][key] {
                row if row.get("json").is_some() => row["json"].clone(),
                row if row.get("hex").is_some() => {
                    assert!(row["error"].is_string());
                    row["hex"].clone()
                }
                _ => Value::Null,
            });
            assert_eq!(json!(rows), *wanted, "{data}");
        }
        client.ask(json!({"type": "unlisten", "req_id": "t", "data": {"req_id": "t"}})).await;
        client.of("unlistened", "t").await;
    }
    assert!(wanted.values().map(Vec::len).sum::<usize>() > 100);
}

/// A made chain: one row an operation.
struct Maker {
    sequence: u64,
}

impl Maker {
    /// The rows are in table `rows` of scope `s` of `acc`; an operation is a key with what was before and what is after.
    fn block(&mut self, parent: Checksum256, salt: u8, transactions: &[Vec<Made>]) -> Block {
        let number = parent.block_num() + 1;
        let mut id = Checksum256::default();
        id.0[..4].copy_from_slice(&number.to_be_bytes());
        id.0[4] = salt;
        let traces = transactions.iter().zip(0u8..).map(|(made, at)| {
            let mut trace = TransactionTrace {
                id: Checksum256::sha256(&[&id.0[..], &[at]].concat()),
                receipt: Some(TransactionReceiptHeader {
                    status: TransactionStatus::Executed,
                    ..TransactionReceiptHeader::default()
                }),
                ..TransactionTrace::default()
            };
            for made in made {
                self.sequence += 1;
                let action_index = trace.action_traces.len() as u32;
                let mut action = Action { account: name("acc"), name: name("act"), ..Action::default() };
                match made {
                    Made::Row(key, old, new) => trace.db_ops.push(DbOp {
                        operation: match (*old, *new) {
                            ("", _) => DbOperation::Insert,
                            (_, "") => DbOperation::Remove,
                            _ => DbOperation::Update,
                        },
                        action_index,
                        code: name("acc"),
                        scope: name("s"),
                        table_name: name("rows"),
                        primary_key: name(key),
                        old_payer: name(if old.is_empty() { "" } else { "p" }),
                        new_payer: name(if new.is_empty() { "" } else { "p" }),
                        old_data: const_hex::decode(old).unwrap().into(),
                        new_data: const_hex::decode(new).unwrap().into(),
                        ..DbOp::default()
                    }),
                    Made::Abi(field) => {
                        let abi = json!({"version": "eosio::abi/1.1", "tables": [{"name": "rows", "type": "row"}],
                            "structs": [{"name": "row", "base": "", "fields": [{"name": field, "type": "uint16"}]}]});
                        let abi: Abi = serde_json::from_value(abi).unwrap();
                        let mut data = Writer::new();
                        data.name(name("acc"));
                        // Bytes that are no ABI if there is to be none that can be read.
                        data.blob(&if field.is_empty() { b"\xff".to_vec() } else { abi.to_bytes() });
                        (action.account, action.name) = (name("eosio"), name("setabi"));
                        action.raw_data = data.bytes.into();
                    }
                }
                let receiver = action.account;
                let receipt = ActionReceipt { global_sequence: self.sequence, receiver, ..ActionReceipt::default() };
                let action = ActionTrace { receiver, action, receipt: Some(receipt), ..ActionTrace::default() };
                trace.action_traces.push(action);
            }
            trace
        });
        let unfiltered_transaction_traces = traces.collect();
        let timestamp = dfuse_antelope::BlockTimestamp(1_000_000_000 + number);
        let header = BlockHeader { previous: parent, timestamp, ..BlockHeader::default() };
        Block { id, number, header, dpos_irreversible_blocknum: 1, unfiltered_transaction_traces, ..Block::default() }
    }
}

/// What an action does.
enum Made {
    Row(&'static str, &'static str, &'static str),
    Abi(&'static str),
}

fn parent_of_first() -> Checksum256 {
    let mut id = Checksum256::default();
    id.0[3] = 1;
    id
}

fn made_table() -> TableKey {
    TableKey { contract: name("acc"), table: name("rows"), scope: name("s") }
}

fn block_id(number: u32, salt: u8) -> String {
    format!("{number:08x}{salt:02x}{}", "00".repeat(27))
}

async fn made() -> (TestChain, crate::support::Listening) {
    // Its blocks are not used.
    serve(SyntheticChain::builder().seed(1).blocks(1).build(), WebSocketOptions::default()).await
}

/// Exactly what comes, through a fork and back.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_comes_goes_and_comes_again() {
    use Made::Row;
    let (mut chain, listening) = made().await;
    // Longer than the pause between two messages of progress: each block is told, however late the stream comes to it.
    chain.clock.stride(300);
    let mut maker = Maker { sequence: 0 };
    let mut client = Client::connect(&listening).await;
    let not_ready = client.refused(request(made_table(), json!({}))).await;
    assert_eq!(not_ready.0, ErrorCode::NotReady);
    let first = maker.block(parent_of_first(), 0xa, &[vec![Row("a", "", "01"), Row("a", "01", "02")]]);
    let (first_id, second) =
        (first.id, maker.block(first.id, 0xa, &[vec![Row("a", "02", "03")], vec![Row("b", "", "04")]]));
    chain.push(first).await;
    let both = json!({"listen": true, "with_progress": 1, "with_block_num": true});
    client.ask(request(made_table(), both)).await;
    let frame = async |client: &mut Client| client.frame().await.unwrap().into_text().unwrap().to_string();
    let with = |kind: &str, data: &str| format!("{{\"type\":\"{kind}\",\"req_id\":\"t\",\"data\":{data}}}");
    let snapshot = r#"{"rows":[{"key":"a","payer":"p","hex":"02","block":2}]}"#;
    assert_eq!(frame(&mut client).await, with("table_snapshot", snapshot));
    assert_eq!(frame(&mut client).await, with("listening", r#"{"next_block":3}"#));

    let delta = |salt: u8, dbop: &str, step: &str| {
        let id = block_id(3, salt);
        with(
            "table_delta",
            &format!("{{\"block_num\":3,\"block_id\":\"{id}\",\"dbop\":{{{dbop}}},\"step\":\"{step}\"}}"),
        )
    };
    let progress = |number: u32, salt: u8| {
        with("progress", &format!("{{\"block_num\":{number},\"block_id\":\"{}\"}}", block_id(number, salt)))
    };
    let op = |op: &str, key: &str, rows: &str| {
        format!(r#""op":"{op}","action_idx":0,"account":"acc","table":"rows","scope":"s","key":"{key}",{rows}"#)
    };
    let there = [
        op("upd", "a", r#""old":{"payer":"p","hex":"02"},"new":{"payer":"p","hex":"03"}"#),
        op("ins", "b", r#""new":{"payer":"p","hex":"04"}"#),
    ];
    let back = [
        op("rem", "b", r#""old":{"payer":"p","hex":"04"}"#),
        op("upd", "a", r#""old":{"payer":"p","hex":"03"},"new":{"payer":"p","hex":"02"}"#),
    ];
    let other =
        [op("rem", "a", r#""old":{"payer":"p","hex":"02"}"#), op("ins", "a", r#""new":{"payer":"p","hex":"02"}"#)];

    let second_id = second.id;
    chain.push(second).await;
    for wanted in [delta(0xa, &there[0], "new"), delta(0xa, &there[1], "new"), progress(3, 0xa)] {
        assert_eq!(frame(&mut client).await, wanted);
    }
    let second = maker.block(first_id, 0xb, &[vec![Row("a", "02", "")]]);
    let third = maker.block(second.id, 0xb, &[]);
    chain.push(second).await;
    chain.push(third).await;
    let (undone, done) = (back.map(|op| delta(0xa, &op, "undo")), delta(0xb, &other[0], "new"));
    for wanted in undone.into_iter().chain([done, progress(3, 0xb), progress(4, 0xb)]) {
        assert_eq!(frame(&mut client).await, wanted);
    }
    let third = maker.block(second_id, 0xa, &[]);
    let fourth = maker.block(third.id, 0xa, &[]);
    chain.push(third).await;
    chain.push(fourth).await;
    let (undone, redone) = (delta(0xb, &other[1], "undo"), there.map(|op| delta(0xa, &op, "redo")));
    for wanted in [undone].into_iter().chain(redone).chain([progress(4, 0xa), progress(5, 0xa)]) {
        assert_eq!(frame(&mut client).await, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn abis_that_change_within_a_block() {
    use Made::{Abi, Row};
    let (mut chain, listening) = made().await;
    let mut maker = Maker { sequence: 0 };
    let first = maker.block(parent_of_first(), 0xa, &[vec![Row("a", "", "0100")]]);
    let second = [
        vec![Abi("one"), Row("a", "0100", "0200"), Abi("two"), Row("a", "0200", "0300")],
        vec![Row("a", "0300", "05")],
        vec![Row("a", "05", "0600"), Abi("")],
        vec![Row("a", "0600", "0700")],
    ];
    let second = maker.block(first.id, 0xa, &second);
    let (first_id, second_id) = (first.id, second.id);
    chain.push(first).await;
    let mut client = Client::connect(&listening).await;
    client.ask(request(made_table(), json!({"listen": true, "json": true}))).await;
    let snapshot = client.of("table_snapshot", "t").await;
    assert_eq!(
        snapshot,
        json!({"rows": [{"key": "a", "payer": "p", "hex": "0100", "error": "Account \"acc\" has no ABI at block 2."}]})
    );
    assert_eq!(client.of("listening", "t").await, json!({"next_block": 3}));
    chain.push(second).await;
    let (one, two) = (|it: u8| json!({"one": it}), |it: u8| json!({"two": it}));
    let wanted = [
        [one(1), one(2)],
        [two(2), two(3)],
        [two(3), json!("05")],
        [json!("05"), two(6)],
        [json!("0600"), json!("0700")],
    ];
    let rows = |data: &Value| {
        ["old", "new"].map(|key| {
            let row = &data["dbop"][key];
            assert_eq!(row.get("hex").is_some(), row.get("error").is_some(), "{data}");
            row.get("json").unwrap_or(&row["hex"]).clone()
        })
    };
    for wanted in &wanted {
        assert_eq!(rows(&client.of("table_delta", "t").await), *wanted);
    }
    // Of a block that the chain has left, and with the ABI that cannot be read before and after.
    client.ask(json!({"type": "unlisten", "req_id": "t", "data": {"req_id": "t"}})).await;
    client.of("unlistened", "t").await;
    client.ask(request(made_table(), json!({"listen": true, "json": true}))).await;
    let row = client.of("table_snapshot", "t").await["rows"][0].clone();
    assert_eq!(row["hex"], "0700");
    let error = row["error"].as_str().unwrap();
    assert!(error.starts_with("The ABI that \"acc\" set in block 3 is malformed: "), "{error}");
    client.of("listening", "t").await;
    let other = maker.block(first_id, 0xb, &[]);
    let third = maker.block(other.id, 0xb, &[]);
    chain.push(other).await;
    chain.push(third).await;
    for wanted in wanted.iter().rev() {
        let data = client.of("table_delta", "t").await;
        assert_eq!((&data["step"], &data["block_id"]), (&json!("undo"), &json!(second_id.to_string())));
        let [old, new] = rows(&data);
        assert_eq!([new, old], *wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused() {
    use ErrorCode::*;
    let streams = StreamOptions { max_pending_bytes: 100, ..StreamOptions::default() };
    let query = dfuse_query::Options { streams, ..dfuse_query::Options::default() };
    let options = Options { query, ..Options::default() };
    let (mut chain, listening) = serve_with(SyntheticChain::builder().seed(1).blocks(1).build(), options).await;
    let mut maker = Maker { sequence: 0 };
    let small = maker.block(parent_of_first(), 0xa, &[vec![Made::Row("a", "", "01")]]);
    let large = [vec![Made::Row("b", "", "01"), Made::Row("c", "", "01"), Made::Row("d", "", "01")]];
    let large = maker.block(small.id, 0xa, &large);
    chain.push(small).await;
    chain.push(large).await;
    let mut client = Client::connect(&listening).await;
    let ask = |modes: Value, data: Value| {
        let mut request = json!({"type": "get_table_rows", "req_id": "t", "data": data});
        request.as_object_mut().unwrap().extend(modes.as_object().unwrap().clone());
        request
    };
    let fetch = json!({"fetch": true});
    let whole = json!({"code": "acc", "table": "rows", "scope": "s"});
    let reason = |reason: &str| json!({ "reason": reason });
    for (modes, data, code, details) in [
        (json!({}), json!({}), WsMessageDataValidation, reason("one of 'listen' or 'fetch' required (both supported)")),
        (fetch.clone(), json!({"scope": "s"}), WsMessageDataValidation, reason("'data.code' required")),
        (fetch.clone(), json!({"code": "acc", "table": ""}), WsMessageDataValidation, reason("'data.table' required")),
        (
            json!({"fetch": true, "irreversible_only": true}),
            json!({"code": "acc", "table": "rows", "scope": null}),
            WsMessageDataValidation,
            reason("'data.scope' required"),
        ),
        (
            json!({"fetch": true, "irreversible_only": true}),
            json!({"code": "ACC", "table": "rows", "scope": ""}),
            WsMessageDataValidation,
            reason("'irreversible_only' is not supported"),
        ),
        (
            fetch.clone(),
            json!({"code": "ACC", "table": "rows", "scope": ""}),
            WsMessageDataValidation,
            reason("'data.code' has \"ACC\", which is not a name"),
        ),
        (
            fetch.clone(),
            json!({"code": "acc", "table": "rows", "scope": "4,eos"}),
            WsMessageDataValidation,
            reason("'data.scope' must be a valid EOS name, a symbol such as 4,EOS or its code, not \"4,eos\""),
        ),
        (json!({}), json!({"json": "yes"}), WsInvalidJsonMessageData, reason("'json' must be a boolean, not a string")),
        (
            json!({"fetch": true, "listen": true, "start_block": 4}),
            whole.clone(),
            TableRowsInFuture,
            json!({"start_block": 4}),
        ),
        (json!({"fetch": true, "listen": true}), whole.clone(), TableSnapshotTooLarge, json!({"limit": 100})),
    ] {
        let refused = client.refused(ask(modes.clone(), data.clone())).await;
        assert_eq!(refused, (code, details), "{modes} {data}");
    }
    // Scopes in all forms, a table that there is not, heights before the table.
    for (scope, start_block, count) in
        [("s", 2, 1), ("s", -1, 1), ("s", -1000, 1), ("s", 1, 0), ("4,EOS", 0, 0), ("EOS", 0, 0), ("", 0, 0)]
    {
        let data = json!({"code": "acc", "table": "rows", "scope": scope, "json": 0});
        client.ask(ask(json!({"fetch": true, "start_block": start_block}), data)).await;
        let snapshot = client.of("table_snapshot", "t").await;
        assert_eq!(snapshot["rows"].as_array().unwrap().len(), count, "{scope} {start_block}");
    }
    // Before the first block, and ahead of the head.
    client.ask(ask(json!({"fetch": true, "listen": true, "start_block": 1}), whole.clone())).await;
    assert_eq!(client.of("table_snapshot", "t").await, json!({"rows": []}));
    assert_eq!(client.of("listening", "t").await, json!({"next_block": 2}));
    for (number, key) in [(2, "a"), (3, "b"), (3, "c"), (3, "d")] {
        let data = client.of("table_delta", "t").await;
        assert_eq!((&data["block_num"], &data["dbop"]["key"]), (&json!(number), &json!(key)));
    }
    client.ask(json!({"type": "unlisten", "req_id": "t", "data": {"req_id": "t"}})).await;
    client.of("unlistened", "t").await;
    client.ask(ask(json!({"listen": true, "start_block": 5}), whole)).await;
    assert_eq!(client.of("listening", "t").await, json!({"next_block": 5}));
    let last = chain.blocks.last().unwrap().id;
    let fourth = maker.block(last, 0xa, &[vec![Made::Row("e", "", "01")]]);
    let fifth = maker.block(fourth.id, 0xa, &[vec![Made::Row("f", "", "01")]]);
    chain.push(fourth).await;
    chain.push(fifth).await;
    assert_eq!(client.of("table_delta", "t").await["dbop"]["key"], "f");
}
