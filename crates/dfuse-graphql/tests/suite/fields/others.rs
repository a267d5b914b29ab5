//! What all fields but those of transactions, blocks and histories answer, compared with the transactions and the rows that they are of.

use std::collections::{BTreeMap, BTreeSet};

use dfuse_antelope::{
    Name,
    model::{Block, TransactionStatus, TransactionTrace},
};
use dfuse_testkit::recorded;
use futures::StreamExt;
use serde_json::{Map, Value, json};

use super::{
    Walk, documents,
    expected::{block_header, items, without},
};
use crate::support::{TestChain, request, written};

/// Of everything that was executed.
const EXECUTED: &str = "status:executed";

/// Results of a stream that are compared.
const STREAMED: usize = 50;

/// A chain, its blocks, and the traces that were compared with REST's answers.
pub(super) struct Others<'a> {
    pub(super) chain: &'a TestChain,
    pub(super) blocks: &'a [Block],
    pub(super) walk: &'a mut Walk,
    pub(super) known: BTreeMap<String, Value>,
}

/// A table of a contract.
type Table = (String, String, String);

impl Others<'_> {
    fn lib(&self) -> u64 {
        self.chain.service.chain().serving.snapshot().lib().unwrap().number.into()
    }

    fn head(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    async fn ask(&mut self, document: &str, variables: Value) -> Value {
        let answer = self.chain.answer(request(document, variables)).await;
        assert!(answer["errors"].is_null(), "{document}: {answer}");
        self.walk.see("Query", &answer["data"]);
        let fields = answer["data"].as_object().unwrap();
        fields.values().next().unwrap().clone()
    }

    /// So many answers of a subscription, or all.
    async fn follow(&mut self, document: &str, variables: Value, most: usize) -> Vec<Value> {
        let mut answers = self.chain.execute(request(document, variables)).take(most);
        let mut all = Vec::new();
        while let Some(answer) = answers.next().await {
            let answer = written(answer);
            assert!(answer["errors"].is_null(), "{document}: {answer}");
            self.walk.see("Subscription", &answer["data"]);
            all.push(answer["data"].as_object().unwrap().values().next().unwrap().clone());
        }
        all
    }

    /// What a transaction did, as it was compared with REST's answer.
    async fn trace(&mut self, id: &str) -> Value {
        if !self.known.contains_key(id) {
            let found = self.ask(&documents::lifecycle(), json!({"id": id})).await;
            self.known.insert(id.to_owned(), found["trace"].clone());
        }
        self.known[id].clone()
    }

    fn same_position(&self, result: &Value, block: &Value) {
        let (number, lib) = (result["block"]["num"].as_u64().unwrap(), self.lib());
        assert_eq!((&result["block"], &result["isIrreversible"]), (block, &json!(number <= lib)), "{result}");
        let known = result["irreversibleBlockNum"].as_u64().unwrap();
        assert_eq!(known >= number, number <= lib, "{result}");
        assert!(!result["cursor"].as_str().unwrap().is_empty());
    }

    /// A result of a search for everything: all actions match.
    async fn same_result(&mut self, result: &Value) {
        let own = &result["trace"];
        let mut expected = self.trace(own["id"].as_str().unwrap()).await;
        self.same_position(result, &expected["block"]);
        assert_eq!((&result["filtered"], &result["details"]), (&json!(false), &json!([])));
        let actions = expected["executedActions"].as_array_mut().unwrap();
        actions.iter_mut().for_each(|action| action["isMatchingQuery"] = true.into());
        let all = actions.iter().map(|action| json!({"seq": action["seq"]}));
        expected["matchingActions"] = all.collect();
        assert_eq!(*own, expected);
    }

    /// Searches in both directions, of both roots, of so many results.
    pub(super) async fn searches(&mut self, most: usize) {
        let executed = |block: &Block| {
            let traces = block.transaction_traces().iter();
            let is_executed = |status: Option<TransactionStatus>| status == Some(TransactionStatus::Executed);
            let traces = traces.filter(move |it| is_executed(it.receipt.as_ref().map(|it| it.status)));
            traces.map(|trace| trace.id.to_string()).collect::<Vec<_>>()
        };
        let ids: Vec<_> = self.blocks.iter().flat_map(executed).collect();
        let mut forward = Vec::new();
        let mut cursor = Value::Null;
        loop {
            let page =
                self.ask(&documents::search("query", "Forward"), json!({"query": EXECUTED, "cursor": cursor})).await;
            lacks_nothing(&page);
            forward.extend(items(&page["results"]).to_vec());
            cursor = page["cursor"].clone();
            if cursor.is_null() || forward.len() >= most {
                break;
            }
        }
        forward.truncate(most);
        for result in &forward {
            assert_eq!(result["undo"], false);
            self.same_result(result).await;
        }
        let id = |result: &Value| result["trace"]["id"].as_str().unwrap().to_owned();
        assert_eq!(forward.iter().map(id).collect::<Vec<_>>(), ids[..ids.len().min(most)]);
        let page = self.ask(&documents::search("query", "Backward"), json!({"query": EXECUTED})).await;
        assert!(page["cursor"].is_string());
        lacks_nothing(&page);
        let range = json!({"query": EXECUTED, "low": 2, "high": self.head().number});
        let high = ids.len() - items(&page["results"]).len();
        assert_eq!(items(&page["results"]).iter().rev().map(id).collect::<Vec<_>>(), ids[high..]);
        for result in items(&page["results"]) {
            self.same_result(result).await;
        }
        let stream = self.follow(&documents::search("subscription", "Forward"), range.clone(), STREAMED).await;
        let shown = |result: &Value| without(result, &["cursor", "irreversibleBlockNum", "isIrreversible"]);
        assert_eq!(
            stream.iter().map(shown).collect::<Vec<_>>(),
            forward.iter().take(STREAMED).map(shown).collect::<Vec<_>>()
        );
        let stream = self.follow(&documents::search("subscription", "Backward"), range, STREAMED).await;
        let results = items(&page["results"]).iter().take(STREAMED);
        assert_eq!(stream.iter().map(shown).collect::<Vec<_>>(), results.map(shown).collect::<Vec<_>>());
        let count = self.ask(&documents::count(), json!({"query": EXECUTED})).await;
        lacks_nothing(&count);
        let count = without(&count, &COVERAGE);
        let of_block = |block: &Block| {
            let ids: BTreeSet<_> = executed(block).into_iter().collect();
            let traces = block.transaction_traces().iter().filter(|it| ids.contains(&it.id.to_string()));
            traces.map(|trace| trace.action_traces.len()).sum::<usize>()
        };
        let actions: usize = self.blocks.iter().map(of_block).sum();
        let expected = json!({"transactions": ids.len().to_string(), "actions": actions.to_string(),
            "lowBlockNum": 2, "highBlockNum": self.head().number, "isComplete": true});
        assert_eq!(count, expected);
    }

    /// Blocks that are named in another way, and the head.
    pub(super) async fn names_of_blocks(&mut self) {
        for block in self.blocks {
            let header = block_header(block.id, block.number, &block.header);
            let expected = json!({"time": header["timestamp"], "num": header["num"], "id": header["id"]});
            let found = self.ask(documents::BY_TIME, json!({"time": header["timestamp"]})).await;
            assert_eq!(found, expected);
            for account in block.transaction_traces().iter().filter(|it| !it.is_reverted()).flat_map(created) {
                let found = self.ask(documents::AT_CREATION, json!({"account": account})).await;
                assert_eq!(found, expected, "{account}");
            }
        }
        let heads = self.follow(&documents::head(), json!({}), 1).await;
        let head = block_header(self.head().id, self.head().number, &self.head().header);
        let lib = self.blocks.iter().find(|block| u64::from(block.number) == self.lib()).unwrap();
        let expected =
            json!({"block": head, "irreversibleBlockNum": lib.number, "irreversibleBlockID": lib.id.to_string()});
        assert_eq!(heads, [expected]);
    }

    /// The first answer to who follows a transaction is what is known of it.
    pub(super) async fn followed_transactions(&mut self, every: usize) {
        let all = self.blocks.iter().flat_map(|block| block.transaction_traces());
        for trace in all.step_by(every) {
            let id = json!({"id": trace.id.to_string()});
            let known = self.ask(&documents::lifecycle(), id.clone()).await;
            let followed = self.follow(&documents::lifecycle().replace("query(", "subscription("), id, 1).await;
            assert_eq!(followed, [known]);
        }
    }

    /// The changes of a table are those of all transactions, and the last one of each row is what there is: of the tables with most
    /// changes.
    pub(super) async fn tables(&mut self, most: usize) {
        let mut changes: BTreeMap<Table, Vec<(Value, Value)>> = BTreeMap::new();
        for block in self.blocks {
            for trace in block.transaction_traces() {
                let trace = self.trace(&trace.id.to_string()).await;
                if trace["block"]["id"] != block.id.to_string().as_str() {
                    continue;
                }
                for op in items(&trace["executedActions"]).iter().flat_map(|action| items(&action["dbOps"])) {
                    let of = |name: &str| op["key"][name].as_str().unwrap().to_owned();
                    let table = (of("code"), of("table"), of("scope"));
                    changes.entry(table).or_default().push((trace.clone(), op.clone()));
                }
            }
        }
        let (mut events, mut rows) = (0, 0);
        let mut changes: Vec<_> = changes.into_iter().collect();
        changes.sort_by_key(|(_, changes)| std::cmp::Reverse(changes.len()));
        for ((code, table, scope), changes) in changes.into_iter().take(most) {
            let of_table = json!({"code": code, "table": table, "scope": scope});
            let mut variables = of_table.clone();
            variables["high"] = self.head().number.into();
            let answers = self.follow(&documents::deltas(), variables, usize::MAX).await;
            let deltas = answers.iter().flat_map(|answer| {
                self.same_position(answer, &answer["deltas"][0]["trace"]["block"]);
                assert_eq!(answer["undo"], false);
                items(&answer["deltas"]).iter().map(|delta| (delta["trace"].clone(), delta["dbOp"].clone()))
            });
            let deltas: Vec<_> = deltas.map(|(trace, op)| (trace, bytes_of(&op))).collect();
            let place = |trace: &Value| json!({"id": trace["id"], "block": trace["block"], "status": trace["status"]});
            let expected = changes.iter().map(|(trace, op)| (place(trace), bytes_of(op)));
            assert!(deltas.iter().cloned().eq(expected), "{of_table}");
            events += answers.len();
            rows += self.rows(&of_table, &changes).await;
        }
        assert!(events > 100 && rows > 20, "{events} {rows}");
    }

    /// The rows of a table at the head, of which the changes were these.
    async fn rows(&mut self, of_table: &Value, changes: &[(Value, Value)]) -> usize {
        let mut last: BTreeMap<String, Value> = BTreeMap::new();
        for (trace, op) in changes {
            let key = op["key"]["key"].as_str().unwrap().to_owned();
            let (payer, data) = (op["newPayer"].clone(), op["newData"].clone());
            if op["operation"] == "REM" {
                last.remove(&key);
                continue;
            }
            // What is written as it was is no change.
            let is_same = last.get(&key).is_some_and(|row| row["payer"] == payer && row["data"] == data);
            if !is_same {
                let row = json!({"key": key, "payer": payer, "blockNum": trace["block"]["num"], "data": data});
                last.insert(key, row);
            }
        }
        let answer = self.chain.answer(request(&documents::rows(), of_table.clone())).await;
        // Of a contract without an ABI, or of a table that it does not have, there is no JSON.
        if !answer["errors"].is_null() {
            assert!(
                answer["errors"][0]["extensions"]["code"].as_str().unwrap().ends_with("_not_found_error"),
                "{answer}"
            );
            return 0;
        }
        self.walk.see("Query", &answer["data"]);
        let state = &answer["data"]["tableRows"];
        self.same_state(state);
        let of_row = |row: &Value| (row["key"].as_str().unwrap().to_owned(), without(row, &["json"]));
        let shown: BTreeMap<_, _> = items(&state["rows"]).iter().map(of_row).collect();
        assert_eq!(shown, last, "{of_table}");
        let mut variables = of_table.clone();
        variables["from"] = 1.into();
        let difference = self.ask(&documents::difference(), variables).await;
        self.same_state(&difference);
        assert_eq!((&difference["fromBlockNum"], &difference["toBlockNum"]), (&json!(1), &json!(self.head().number)));
        let of_difference = |row: &Value| {
            assert!(row["old"].is_null() && row["key"] == row["new"]["key"], "{row}");
            row["new"].clone()
        };
        let by_key =
            |rows: Vec<Value>| rows.into_iter().map(|row| (row["key"].to_string(), row)).collect::<BTreeMap<_, _>>();
        let new = items(&difference["rows"]).iter().map(of_difference).collect();
        assert_eq!(by_key(new), by_key(items(&state["rows"]).to_vec()));
        for row in items(&state["rows"]).iter().step_by(7) {
            let mut variables = of_table.clone();
            variables["key"] = row["key"].clone();
            let found = self.ask(&documents::row(), variables).await;
            self.same_state(&found);
            assert_eq!(found["row"], *row);
        }
        shown.len()
    }

    fn same_state(&self, state: &Value) {
        self.same_height(state, self.head());
    }

    /// The state of a block, of which all is known.
    fn same_height(&self, state: &Value, of: &Block) {
        let members = ["blockRef", "isIrreversible", "irreversibleBlockNum", "stateFromBlockNum", "isComplete"];
        let shown: Map<_, _> = members.iter().map(|name| ((*name).to_owned(), state[*name].clone())).collect();
        let block = json!({"number": of.number.to_string(), "id": of.id.to_string()});
        let is_final = u64::from(of.number) <= self.lib();
        let expected = json!({"blockRef": block, "isIrreversible": is_final, "irreversibleBlockNum": self.lib(),
            "stateFromBlockNum": null, "isComplete": true});
        assert_eq!(Value::Object(shown), expected);
    }

    /// Tokens and balances are the rows of their contracts at the last irreversible block.
    pub(super) async fn tokens(&mut self) {
        let tokens = self.ask(&documents::tokens(), json!({"limit": 100})).await;
        let (lib, mut balances) = (self.lib(), BTreeMap::<_, Vec<Value>>::new());
        self.same_page(&tokens);
        // The same one by one.
        let (all, mut cursor) = (items(&tokens["edges"]), Value::Null);
        for (at, edge) in all.iter().enumerate() {
            let page = self.ask(&documents::tokens(), json!({"limit": 1, "cursor": cursor})).await;
            assert_eq!(page["edges"], json!([edge]));
            cursor = edge["cursor"].clone();
            let expected = json!({"startCursor": cursor, "endCursor": cursor, "hasNextPage": at + 1 < all.len(),
                "hasPreviousPage": at > 0});
            assert_eq!(page["pageInfo"], expected);
        }
        assert!(!all.is_empty());
        for edge in items(&tokens["edges"]) {
            let token = &edge["node"];
            let of_row = json!({"code": token["contract"], "table": "stat", "scope": token["symbol"], "at": lib});
            let state = self.ask(&documents::rows(), of_row).await;
            let row = &state["rows"][0]["json"]["object"];
            let supply = row["supply"].as_str().unwrap();
            let precision = supply.split_once(' ').unwrap().0.split_once('.').map_or(0, |(_, digits)| digits.len());
            let named = json!({"contract": token["contract"], "symbol": token["symbol"]});
            let holders = self.ask(&documents::token_balances(), named).await;
            self.same_page(&holders);
            let expected = json!({"contract": token["contract"], "symbol": token["symbol"], "issuer": row["issuer"],
                "precision": precision, "maximumSupply": row["max_supply"], "totalSupply": supply,
                "holders": items(&holders["edges"]).len().to_string()});
            assert_eq!(*token, expected);
            for edge in items(&holders["edges"]) {
                let held = edge["node"].clone();
                let of_row =
                    json!({"code": held["contract"], "table": "accounts", "scope": held["account"], "at": lib});
                let state = self.ask(&documents::rows(), of_row).await;
                let mut rows = items(&state["rows"]).iter().map(|row| &row["json"]["object"]["balance"]);
                assert!(rows.any(|balance| *balance == held["balance"]), "{held}");
                assert_eq!((&held["precision"], &held["symbol"]), (&token["precision"], &token["symbol"]));
                balances.entry(held["account"].as_str().unwrap().to_owned()).or_default().push(held);
            }
        }
        for (account, held) in balances.into_iter().take(30) {
            let own = self.ask(&documents::account_balances(), json!({"account": account})).await;
            self.same_page(&own);
            let sorted = |mut all: Vec<Value>| {
                all.sort_by_key(ToString::to_string);
                all
            };
            let own = items(&own["edges"]).iter().map(|edge| edge["node"].clone()).collect();
            assert_eq!(sorted(own), sorted(held), "{account}");
        }
    }

    fn same_page(&self, page: &Value) {
        let edges = items(&page["edges"]);
        let cursor = |edge: Option<&Value>| edge.map_or(json!(""), |edge| edge["cursor"].clone());
        let expected = json!({"startCursor": cursor(edges.first()), "endCursor": cursor(edges.last()),
            "hasNextPage": false, "hasPreviousPage": false});
        assert_eq!(page["pageInfo"], expected);
        let lib = self.blocks.iter().find(|block| u64::from(block.number) == self.lib()).unwrap();
        self.same_height(page, lib);
    }

    /// Rows are those that a node answered when it had the same blocks, with who pays for them.
    pub(super) async fn rows_of_node(&mut self, file: &str) {
        let answers = recorded::json(file).unwrap();
        let mut compared = 0;
        for (key, theirs) in answers["tables"].as_object().unwrap() {
            let names: Vec<_> = key.split('/').collect();
            let of_table = json!({"code": names[0], "scope": names[1], "table": names[2]});
            let answer = self.chain.answer(request(&documents::rows(), of_table)).await;
            let Some(own) = answer["data"]["tableRows"]["rows"].as_array() else { continue };
            let Some(theirs) = theirs["rows"].as_array() else { continue };
            assert_eq!(own.len(), theirs.len(), "{key}");
            for (own, theirs) in own.iter().zip(theirs) {
                if let Some(payer) = theirs.get("payer") {
                    assert_eq!(own["payer"], *payer, "{key}");
                }
                compared += 1;
            }
        }
        assert!(compared > 100, "{compared}");
    }
}

/// What says what an answer lacks.
const COVERAGE: [&str; 4] = ["filtered", "stateFromBlockNum", "holes", "details"];

/// Asserts that a search says that it was of all there is.
#[track_caller]
pub(super) fn lacks_nothing(answer: &Value) {
    let expected = [json!(false), Value::Null, json!([]), json!([])];
    assert_eq!(COVERAGE.map(|name| answer[name].clone()), expected, "{answer}");
}

/// A change without what it is decoded to: by the ABI of its block, or of its transaction.
fn bytes_of(op: &Value) -> Value {
    without(op, &["oldJSON", "newJSON"])
}

/// The accounts that a transaction created.
fn created(trace: &TransactionTrace) -> Vec<String> {
    let actions = trace.action_traces.iter().filter(|it| it.receiver == it.action.account);
    let actions = actions.filter(|it| it.action.name == Name::literal("newaccount"));
    let name = |data: &[u8]| data.get(8..16).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
    actions.filter_map(|it| name(&it.action.raw_data)).map(|name| Name(name).to_string()).collect()
}
