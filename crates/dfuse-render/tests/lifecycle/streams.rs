//! What messages of streams say of actions and rows.

use dfuse_antelope::{
    Name,
    model::{DbOp, TransactionTrace},
};
use dfuse_render::{ActionTree, JsonWriter, RowChange, RowChangeForm};
use serde_json::{Value, json};

use crate::{chain::Chain, pretty};

fn find(chain: &Chain, id: &str) -> TransactionTrace {
    let id = id.parse().unwrap();
    let mut traces = chain.best.iter().flat_map(|block| block.transaction_traces());
    traces.find(|trace| trace.id == id).unwrap().clone()
}

/// A transfer, with a contract that defers another one when it is notified.
fn transfer(chain: &Chain) -> TransactionTrace {
    find(chain, "d92b81c3f7a1406c13cd8b99bb468e4005267d508f245c8cdf96664abc8831c7")
}

#[test]
fn an_action_with_all_that_it_did() {
    let Some(chain) = Chain::whole("small") else { return };
    let trace = transfer(&chain);
    let tree = ActionTree::new(&trace.action_traces);
    let text = chain.render(|renderer| {
        renderer.json().begin_object();
        renderer.json().key("trace");
        renderer.action_trace(&trace, 0, Some(&tree))?;
        renderer.json().key("dbops").array(&trace.db_ops, JsonWriter::db_op_v0);
        renderer.json().key("ramops").array(&trace.ram_ops, JsonWriter::ram_op_v0);
        renderer.json().key("dtrxops").begin_array();
        for op in &trace.dtrx_ops {
            renderer.dtrx_op_v0(op, &trace)?;
        }
        renderer.json().end_array();
        renderer.json().end_object();
        Ok(())
    });
    insta::assert_snapshot!("action_trace", pretty(&text));

    let alone = chain.render(|renderer| renderer.action_trace(&trace, 0, None));
    let mut nested: Value = serde_json::from_str::<Value>(&text).unwrap()["trace"].take();
    nested["inline_traces"] = json!([]);
    assert_eq!(serde_json::from_str::<Value>(&alone).unwrap(), nested);
    let inner = chain.render(|renderer| renderer.action_trace(&trace, 2, Some(&tree)));
    let inner: Value = serde_json::from_str(&inner).unwrap();
    assert_eq!((&inner["receiver"], &inner["inline_traces"]), (&json!("proxyacct"), &json!([])));
}

#[test]
fn an_action_that_failed() {
    let Some(chain) = Chain::whole("small") else { return };
    let trace = find(&chain, "febc987bb93cfeff96c1794c401210805a366c1532f55f191791f8f8d8f6c4e1");
    // Pushed first, run later.
    assert!(trace.action_traces.is_empty());
    let trace = find(&chain, "b5bf4ca77fd1c6059903c5d363deb6706ea7ed2cebb281b63d2713bf49fafb3e");
    insta::assert_snapshot!("failed_action_trace", pretty(&chain.render(|it| it.action_trace(&trace, 0, None))));
}

#[test]
fn rows_that_change_and_change_back() {
    let Some(chain) = Chain::whole("small") else { return };
    let trace = transfer(&chain);
    let op = &trace.db_ops[0];
    let place = json!({"op": "upd", "action_idx": 0, "account": "eosio.token", "table": "accounts", "scope": "alice",
        "key": "........ehgp3"});
    let with = |old: Value, new: Value| {
        let mut expected = place.clone();
        (expected["old"], expected["new"]) = (old, new);
        expected
    };
    let hex = ["07dcf305000000000453595300000000", "777cf205000000000453595300000000"];
    let hex = hex.map(|hex| json!({"payer": "alice", "hex": hex}));
    let decoded =
        ["9986.7655 SYS", "9977.7655 SYS"].map(|balance| json!({"payer": "alice", "json": {"balance": balance}}));
    let block_number = u32::try_from(trace.block_num).unwrap();
    let of_action = |op| RowChange { block_number, trace: Some(&trace), op };
    let delta = |change: RowChange<'_>, undone, form| -> Value {
        serde_json::from_str(&chain.render(|renderer| renderer.table_delta(&change, undone, form))).unwrap()
    };
    let json = RowChangeForm::Decoded(None);
    assert_eq!(delta(of_action(op), false, RowChangeForm::Hex), with(hex[0].clone(), hex[1].clone()));
    assert_eq!(delta(of_action(op), true, RowChangeForm::Hex), with(hex[1].clone(), hex[0].clone()));
    let [before, after] = [false, true].map(|undone| delta(of_action(op), undone, json));
    assert_eq!(before, with(decoded[0].clone(), decoded[1].clone()));
    assert_eq!(after, with(decoded[1].clone(), decoded[0].clone()));
    // Of the block as a whole: the same without an action.
    let mut of_block = delta(RowChange { block_number, trace: None, op }, false, json);
    assert_eq!(of_block.get("action_idx"), None);
    of_block["action_idx"] = json!(0);
    assert_eq!(of_block, before);

    let unknown = DbOp { table_name: Name::literal("nosuch"), ..op.clone() };
    let unknown = delta(of_action(&unknown), false, json);
    assert_eq!(unknown["old"]["hex"], hex[0]["hex"]);
    assert!(unknown["new"]["error"].as_str().unwrap().contains("nosuch"), "{unknown}");
    let without_abi = DbOp { code: Name::literal("nobody"), ..op.clone() };
    let told = delta(of_action(&without_abi), false, RowChangeForm::Decoded(Some("it is too old")));
    assert_eq!((&told["old"]["hex"], &told["old"]["error"]), (&hex[0]["hex"], &json!("it is too old")));

    let ops = || chain.best.iter().flat_map(|block| block.transaction_traces()).flat_map(|trace| &trace.db_ops);
    let inserted = ops().find(|op| op.old_payer.0 == 0 && op.table_name == Name::literal("accounts")).unwrap();
    let [new, undone] = [false, true].map(|undone| delta(of_action(inserted), undone, json));
    assert_eq!((&new["op"], new.get("old"), &new["new"]), (&json!("ins"), None, &undone["old"]));
    assert_eq!((&undone["op"], undone.get("new")), (&json!("rem"), None));
    let wrong = DbOp { table_name: Name::literal("stat"), ..inserted.clone() };
    let wrong = delta(of_action(&wrong), false, json);
    assert!(
        wrong["new"]["hex"].is_string() && wrong["new"]["error"].as_str().unwrap().contains("currency_stats"),
        "{wrong}"
    );
}

/// A contract's first ABI comes with an action that writes rows itself: they decode by the ABI after their block.
#[test]
fn rows_written_with_the_first_abi() {
    let Some(chain) = Chain::whole("small") else { return };
    let is_first = |op: &DbOp| op.code == Name::EOSIO && op.table_name == Name::literal("abihash");
    let all = chain.best.iter().flat_map(|block| block.transaction_traces());
    let mut changes = all.flat_map(|trace| trace.db_ops.iter().map(move |op| (trace, op)));
    let (trace, op) = changes.find(|(_, op)| is_first(op) && op.primary_key == Name::EOSIO).unwrap();
    let change = RowChange { block_number: u32::try_from(trace.block_num).unwrap(), trace: Some(trace), op };
    let text = chain.render(|renderer| renderer.table_delta(&change, false, RowChangeForm::Decoded(None)));
    let delta: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(delta["new"]["json"]["owner"], "eosio", "{delta}");
}
