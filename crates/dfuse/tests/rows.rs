//! What becomes of rows, told alike by GraphQL, the WebSocket and REST, over recorded chains: of deep mind, and of state history,
//! which does not tell of every change which action made it.
#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::BTreeMap, fs, net::TcpStream, path::Path, time::Duration};

use dfuse_antelope::Name;
use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::recorded;
use serde_json::{Value, json};
use support::{Server, text};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{
    Message, WebSocket, client, client::IntoClientRequest, handshake::HandshakeError,
};

/// Longest that a message may take that comes at all.
const PATIENCE: Duration = Duration::from_secs(120);
/// Tables that are looked at of each chain: those with most changes.
const TABLES: usize = 30;
const DELTAS: &str = "subscription($code: String!, $table: String!, $scope: String!, $high: Uint32){tableDeltas(code: $code, \
    table: $table, scope: $scope, lowBlockNum: 2, highBlockNum: $high){block{num id} deltas{trace{id} dbOp{operation oldPayer \
    newPayer key{code table scope key} oldData newData oldJSON{object error} newJSON{object error}}}}}";
const DIFF: &str = "query($code: String!, $table: String!, $scope: String!, $from: Uint32!, $to: Uint32!){tableDiff(code: $code, \
    table: $table, scope: $scope, fromBlockNum: $from, toBlockNum: $to){rows{key old{...R} new{...R}}}} fragment R on \
    TableRow{payer blockNum data json{object error}}";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Table {
    code: Name,
    table: Name,
    scope: Name,
}

impl Table {
    fn variables(&self) -> Value {
        json!({"code": self.code.to_string(), "table": self.table.to_string(), "scope": self.scope.to_string()})
    }
}

fn with(mut value: Value, more: &Value) -> Value {
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

/// The tables of a chain with most changes.
fn tables(chain: &str) -> Option<Vec<Table>> {
    let mut reader = Reader::new(recorded::open(&format!("{chain}/{chain}.dmlog.zst"))?);
    let mut counts = BTreeMap::new();
    while let Some(event) = reader.next_event().unwrap() {
        let Event::Block(block) = event else { continue };
        for op in block.row_operations() {
            let table = Table { code: op.code, table: op.table_name, scope: op.scope };
            *counts.entry(table).or_insert(0) += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Some(counts.into_iter().take(TABLES).map(|(table, _)| table).collect())
}

type Socket = WebSocket<TcpStream>;

fn connect(server: &mut Server, path: &str, protocol: Option<&str>) -> Socket {
    let mut request = format!("ws://{}{path}", server.address()).into_client_request().unwrap();
    if let Some(protocol) = protocol {
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
    }
    let stream = server.connect();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    match client(request, stream) {
        Ok((socket, _)) => socket,
        Err(HandshakeError::Failure(error)) => panic!("{error}"),
        Err(HandshakeError::Interrupted(_)) => panic!("interrupted"),
    }
}

fn send(socket: &mut Socket, message: &Value) {
    socket.send(Message::text(message.to_string())).unwrap();
}

/// The next message but pings.
fn receive(socket: &mut Socket) -> Value {
    loop {
        if let Message::Text(text) = socket.read().unwrap() {
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["type"] != "ping" {
                return message;
            }
        }
    }
}

/// A change as both surfaces tell it.
#[derive(Debug, PartialEq)]
struct Told {
    block: Value,
    has_action: bool,
    operation: String,
    /// Contract, table, scope and key.
    place: [Value; 4],
    /// Payer, bytes where they are told, JSON of the row before and after.
    sides: [Option<(Value, Value, Value)>; 2],
}

/// All changes of a table over GraphQL, as its messages have them.
fn over_graphql(socket: &mut Socket, table: &Table, high: u32) -> Vec<Told> {
    let variables = with(table.variables(), &json!({"high": high}));
    let payload = json!({"query": DELTAS, "variables": variables});
    send(socket, &json!({"id": "1", "type": "subscribe", "payload": payload}));
    let mut told = Vec::new();
    loop {
        let message = receive(socket);
        match message["type"].as_str() {
            Some("next") => {}
            Some("complete") => return told,
            _ => panic!("{message}"),
        }
        assert!(message["payload"]["errors"].is_null(), "{message}");
        let event = &message["payload"]["data"]["tableDeltas"];
        for delta in event["deltas"].as_array().unwrap() {
            let op = &delta["dbOp"];
            let side = |payer: &str, data: &str, json: &str| {
                let json = &op[json];
                // The WebSocket has bytes only in place of what does not decode.
                let bytes = if json["object"].is_null() { op[data].clone() } else { Value::Null };
                let is_there = !op[payer].is_null() || !op[data].is_null();
                assert_eq!(json["object"].is_null(), !is_there || json["error"].is_string(), "{op}");
                is_there.then(|| (op[payer].clone(), bytes, json["object"].clone()))
            };
            let key = &op["key"];
            told.push(Told {
                block: event["block"].clone(),
                has_action: delta["trace"]["id"].is_string(),
                operation: op["operation"].as_str().unwrap().to_lowercase(),
                place: ["code", "table", "scope", "key"].map(|name| key[name].clone()),
                sides: [side("oldPayer", "oldData", "oldJSON"), side("newPayer", "newData", "newJSON")],
            });
        }
    }
}

/// The same over the WebSocket: so many.
fn over_websocket(socket: &mut Socket, table: &Table, count: usize) -> Vec<Told> {
    let data = with(table.variables(), &json!({"json": true}));
    send(socket, &json!({"type": "get_table_rows", "req_id": "a", "listen": true, "start_block": 2, "data": data}));
    assert_eq!(receive(socket)["type"], "listening");
    let mut told = Vec::new();
    for _ in 0..count {
        let message = receive(socket);
        assert_eq!(message["type"], "table_delta", "{message}");
        let (data, op) = (&message["data"], &message["data"]["dbop"]);
        assert_eq!(data["step"], "new");
        let side = |key: &str| {
            let get = |name: &str| op[key].get(name).cloned().unwrap_or_default();
            assert_eq!(get("json").is_null(), get("error").is_string() || op.get(key).is_none(), "{op}");
            op.get(key).map(|_| (get("payer"), get("hex"), get("json")))
        };
        told.push(Told {
            block: json!({"num": data["block_num"], "id": data["block_id"]}),
            has_action: op.get("action_idx").is_some(),
            operation: op["op"].as_str().unwrap().to_owned(),
            place: ["account", "table", "scope", "key"].map(|name| op[name].clone()),
            sides: [side("old"), side("new")],
        });
    }
    send(socket, &json!({"type": "unlisten", "req_id": "b", "data": {"req_id": "a"}}));
    assert_eq!(receive(socket)["type"], "unlistened");
    told
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Rows that differ between two blocks, or the code of the error: over GraphQL and over REST.
fn compare_differences(server: &mut Server, table: &Table, from: u32, to: u32) -> usize {
    let variables = with(table.variables(), &json!({"from": from, "to": to}));
    let own = server.get(&format!("/graphql?query={}&variables={}", encoded(DIFF), encoded(&variables.to_string())));
    let own = own.json();
    let Table { code, table: name, scope } = table;
    let path = format!(
        "account={code}&table={name}&scope={scope}&from_block={from}&to_block={to}&json=true&with_block_num=true"
    );
    let rest = server.get(&format!("/v0/state/table/diff?{path}")).json();
    if let Some(code) = rest["code"].as_str() {
        assert_eq!(own["errors"][0]["extensions"]["code"], code, "{own} {rest}");
        return 0;
    }
    assert!(own["errors"].is_null(), "{own} {rest}");
    let side = |row: &Value| match row {
        Value::Null => Value::Null,
        row => {
            let get = |name: &str| row.get(name).cloned().unwrap_or_default();
            json!([get("payer"), get("block"), get("json"), get("error")])
        }
    };
    let own_side = |row: &Value| match row {
        Value::Null => Value::Null,
        row => json!([row["payer"], row["blockNum"], row["json"]["object"], row["json"]["error"]]),
    };
    let rest: Vec<_> = rest["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["key"].clone(), side(&it["old"]), side(&it["new"])))
        .collect();
    let rows = own["data"]["tableDiff"]["rows"].as_array().unwrap().iter();
    let own: Vec<_> = rows.map(|it| (it["key"].clone(), own_side(&it["old"]), own_side(&it["new"]))).collect();
    assert_eq!(own, rest, "{table:?} {from} {to}");
    own.len()
}

/// Compares all surfaces of a server once it says that it has the whole chain. Returns how many changes were of an action, and of
/// none.
fn compare(chain: &str, source: &str, end: &str, folder: &Path) -> Option<[usize; 2]> {
    let tables = tables(chain)?;
    let mut server = Server::start(&["--source", source, "--data-dir", text(folder)]);
    server.wait_for(end);
    server.wait_for("ready");
    let head = "{searchTransactionsBackward(query: \"action:onblock\", limit: 1){results{block{num}}}}";
    let head = server.get(&format!("/graphql?query={}", encoded(head))).json();
    let head = &head["data"]["searchTransactionsBackward"]["results"][0]["block"]["num"];
    let head = u32::try_from(head.as_u64().unwrap()).unwrap();
    let mut graphql = connect(&mut server, "/graphql", Some("graphql-transport-ws"));
    send(&mut graphql, &json!({"type": "connection_init"}));
    assert_eq!(receive(&mut graphql)["type"], "connection_ack");
    let mut stream = connect(&mut server, "/v1/stream", None);
    let (mut counts, mut differ) = ([0, 0], 0);
    for table in &tables {
        let own = over_graphql(&mut graphql, table, head);
        let theirs = over_websocket(&mut stream, table, own.len());
        for (own, theirs) in own.iter().zip(&theirs) {
            assert_eq!(own, theirs, "{chain} {table:?}");
            counts[usize::from(!own.has_action)] += 1;
        }
        for (from, to) in [(1, head), (head / 3, head / 3 * 2), (head, 40)] {
            differ += compare_differences(&mut server, table, from, to);
        }
    }
    assert!(differ > 20, "{differ}");
    server.stop();
    Some(counts)
}

#[test]
fn surfaces_tell_the_same_of_rows() {
    let folder = TempDir::new().unwrap();
    for chain in ["small", "fork"] {
        let Some(log) = recorded::bytes(&format!("{chain}/{chain}.dmlog.zst")) else { return };
        let file = folder.path().join(chain);
        fs::write(&file, log).unwrap();
        let data = folder.path().join(format!("{chain}-data"));
        let source = format!("deep-mind:{}", text(&file));
        let counts = compare(chain, &source, "the source has no more blocks", &data);
        let Some([of_actions, of_block]) = counts else { return };
        assert!(of_actions > 500 && of_block == 0, "{of_actions} {of_block}");
    }
}

#[test]
fn surfaces_tell_the_same_of_rows_without_actions() {
    let folder = TempDir::new().unwrap();
    let Some(members) = recorded::tar("small/ship-and-blocks.tar.zst") else { return };
    for member in members {
        let file = folder.path().join("node").join(&member.path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, member.content).unwrap();
    }
    let source = format!("ship-log:{}", text(&folder.path().join("node")));
    let counts = compare("small", &source, "this is the end of the block log", &folder.path().join("data"));
    let Some([of_actions, of_block]) = counts else { return };
    assert!(of_actions > 300 && of_block > 100, "{of_actions} {of_block}");
}
