//! What state history cannot tell is said on every surface where it is asked for, and of no other source.
#![allow(clippy::unwrap_used)]

#[path = "../../dfuse-node/tests/history_node/mod.rs"]
mod history_node;
mod support;

use dfuse_testkit::recorded;
use history_node::Script;
use serde_json::{Value, json};
use support::{Server, text};
use tempfile::TempDir;
use tungstenite::{Message, client::IntoClientRequest};

/// What a stream answers first.
fn first_message(server: &mut Server, request: &Value) -> Value {
    let (mut socket, _) = tungstenite::connect(format!("ws://{}/v1/stream", server.address())).unwrap();
    socket.send(Message::text(request.to_string())).unwrap();
    let Message::Text(first) = socket.read().unwrap() else { panic!("not text") };
    serde_json::from_str(&first).unwrap()
}

fn graphql(server: &mut Server, field: &str, query: &str) -> Value {
    let document = format!("{{{field}(query:%22{query}%22){{details{{reason%20fields%20lowBlockNum%20message}}}}}}");
    let answer = server.get(&format!("/graphql?query={document}")).json();
    answer["data"][field]["details"].clone()
}

/// The first result of a stream of a search, and the number of its block.
fn streamed(server: &mut Server, query: &str) -> (u64, Value) {
    let mut request = format!("ws://{}/graphql", server.address()).into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "graphql-transport-ws".parse().unwrap());
    let (mut socket, _) = tungstenite::connect(request).unwrap();
    let document = "subscription($query: String!){searchTransactionsForward(query: $query, lowBlockNum: 2, limit: 1){\
        block{num} details{fields lowBlockNum} trace{details{fields highBlockNum}}}}";
    let payload = json!({"query": document, "variables": {"query": query}});
    for message in [json!({"type": "connection_init"}), json!({"id": "1", "type": "subscribe", "payload": payload})] {
        socket.send(Message::text(message.to_string())).unwrap();
        let Message::Text(answer) = socket.read().unwrap() else { panic!("not text") };
        let answer: Value = serde_json::from_str(&answer).unwrap();
        if answer["type"] != "connection_ack" {
            let result = answer["payload"]["data"]["searchTransactionsForward"].clone();
            return (result["block"]["num"].as_u64().unwrap_or_else(|| panic!("{answer}")), result);
        }
    }
    panic!("no result")
}

#[test]
fn what_state_history_cannot_tell_is_said() {
    let (Some(blocks), Some(log)) = (history_node::chain("small"), recorded::find("small/small.dmlog.zst")) else {
        return;
    };
    let last = blocks.last().unwrap().id;
    let (address, _requests) = Script::new(blocks).serve();
    let folder = TempDir::new().unwrap();
    let sources = [(address, true), (format!("deep-mind:{}", text(&log)), false)];
    for (at, (source, is_told)) in sources.iter().enumerate() {
        let data = folder.path().join(at.to_string());
        let mut server = Server::start(&["--source", source, "--data-dir", text(&data)]);
        server.wait_for("ready");
        server.wait_until_it_has(&format!("/v0/blocks/{last}"));
        let told = |value: Value| if *is_told { value } else { Value::Null };

        for kind in ["transactions", "count"] {
            let path =
                format!("/v0/search/{kind}?q=(db.table:accounts%20OR%20ram.consumed:alice)&with_reversible=true");
            let details = server.get(&path).json()["details"].take();
            let reason = (&details[0]["reason"], &details[0]["fields"], &details[0]["from_block"]);
            assert_eq!(
                reason,
                (&told(json!("state_history")), &told(json!(["db.table", "ram.consumed"])), &told(json!(2)))
            );
            let message = details[0]["message"].as_str().unwrap_or_default();
            assert_eq!(
                message.starts_with(&format!("Blocks 2 to {} come from state history", last.block_num())),
                *is_told
            );
            // Nothing else is asked for.
            assert!(server.get(&format!("/v0/search/{kind}?q=action:onblock")).json().get("details").is_none());
        }
        for field in ["searchTransactionsForward", "searchTransactionsBackward", "searchCount"] {
            let details = graphql(&mut server, field, "db.table:accounts");
            assert_eq!(
                (&details[0]["fields"], &details[0]["lowBlockNum"]),
                (&told(json!(["db.table"])), &told(json!(2)))
            );
            assert_eq!(graphql(&mut server, field, "action:onblock"), json!([]), "{field}");
        }
        // A stream says so of the block of each result, and each transaction of what its actions did.
        let (number, results) = streamed(&mut server, "db.table:accounts");
        let own = told(json!([number]));
        assert_eq!(
            (&results["details"][0]["fields"], &results["details"][0]["lowBlockNum"]),
            (&told(json!(["db.table"])), &own[0])
        );
        let operations = told(json!(["dbOps", "dtrxOps", "ramOps", "tableOps"]));
        assert_eq!(
            (&results["trace"]["details"][0]["fields"], &results["trace"]["details"][0]["highBlockNum"]),
            (&operations, &own[0])
        );
        assert_eq!(streamed(&mut server, "action:onblock").1["details"], json!([]));
        let streams = [
            (json!({"type": "get_action_traces", "data": {"accounts": "eosio", "with_dbops": true}}), "with_dbops"),
            (
                json!({"type": "get_table_rows", "data": {"code": "eosio", "scope": "eosio", "table": "global"}}),
                "action_idx",
            ),
        ];
        for (mut request, field) in streams {
            request["listen"] = true.into();
            request["start_block"] = 5.into();
            let first = first_message(&mut server, &request);
            assert_eq!((&first["type"], &first["data"]["next_block"]), (&json!("listening"), &json!(5)), "{first}");
            assert_eq!(first["data"]["details"][0]["fields"], told(json!([field])), "{first}");
        }
        let plain = json!({"type": "get_action_traces", "listen": true, "data": {"accounts": "eosio"}});
        assert!(first_message(&mut server, &plain)["data"].get("details").is_none());
        // The page for people says it, too.
        let page = server.get("/search?q=db.table:accounts");
        let said = String::from_utf8_lossy(&page.body).contains("come from state history");
        assert_eq!(said, *is_told);
        let covered = server.get("/v0/coverage").json()["of_state_history"].take();
        assert_eq!(covered["from_block"], told(json!(2)), "{covered}");
        server.stop();
    }
}
