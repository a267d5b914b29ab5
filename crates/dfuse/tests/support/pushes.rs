//! A chain of real nodes with accounts, a token and several producers, and pushes to it.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::{path::Path, process::Command, time::Duration};

use dfuse_antelope::model::PackedTransaction;
use dfuse_node::rpc::{NodeClient, PackedTransactionJson, full_body};
use http_body_util::BodyExt;
use hyper::Request;
use serde_json::{Value, json};

use super::{
    nodes::{KEY, PUBLIC_KEY, RealChain, RealNode},
    text,
};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(150);

/// Everything that the chain of these tests has.
pub(crate) fn boot_sequence(chain: &RealChain) -> String {
    let place = |file: &str| chain.contract(file).display().to_string();
    let schedule = ["a", "b", "c"].map(|it| json!({"producer_name": it, "block_signing_key": PUBLIC_KEY}));
    let own = |file: &str| format!("{}/tests/data/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut steps = vec![
        json!({"op": "system.enable_protocol_features", "label": "features"}),
        json!({"op": "system.setcode", "data": {"account": "eosio", "contract_name_ref": "eosio.bios"}}),
        json!({"op": "system.setabi", "data": {"account": "eosio", "contract_name_ref": "eosio.bios"}}),
        json!({"op": "system.activate_protocol_features", "data": {"features":
            ["ONLY_LINK_TO_EXISTING_PERMISSION", "WTMSIG_BLOCK_SIGNATURES"]}}),
    ];
    for account in ["eosio.token", "schedule", "alice", "bob", "carol", "a", "b", "c"] {
        let data = json!({"creator": "eosio", "new_account": account, "pubkey": "boot"});
        steps.push(json!({"op": "system.newaccount", "label": account, "data": data}));
    }
    steps.extend([
        json!({"op": "system.setcode", "data": {"account": "eosio.token", "contract_name_ref": "eosio.token"}}),
        json!({"op": "system.setabi", "data": {"account": "eosio.token", "contract_name_ref": "eosio.token"}}),
        json!({"op": "system.setcode", "data": {"account": "schedule", "contract_name_ref": "schedule"}}),
        json!({"op": "system.setabi", "data": {"account": "schedule", "contract_name_ref": "schedule"}}),
        json!({"op": "system.setpriv", "data": {"account": "schedule"}}),
        json!({"op": "token.create", "data": {"account": "eosio", "amount": "1000000000.0000 SYS"}}),
        json!({"op": "token.issue", "data": {"account": "eosio", "amount": "1000000.0000 SYS", "memo": "all"}}),
        json!({"op": "token.transfer", "data": {"from": "eosio", "to": "alice", "quantity": "1000.0000 SYS"}}),
        json!({"op": "sleep", "data": {"duration": "600ms"}}),
        json!({"op": "system.pushtransaction", "label": "producers", "data": {"contract": "schedule", "action": "setprods",
            "actor": "schedule", "payload": {"schedule": schedule}}}),
        json!({"op": "system.resign_accounts", "data": {"accounts": ["schedule"]}}),
    ]);
    // JSON is YAML.
    json!({
        "keys": {"boot": KEY},
        "contents": [
            {"name": "eosio.bios.wasm", "url": place("eosio.bios/eosio.bios.wasm")},
            {"name": "eosio.bios.abi", "url": format!("file://{}", place("eosio.bios/eosio.bios.abi"))},
            {"name": "eosio.token.wasm", "url": place("eosio.token/eosio.token.wasm")},
            {"name": "eosio.token.abi", "url": place("eosio.token/eosio.token.abi")},
            // `set_proposed_producers` with what its one action is given: that of eosio.bios does nothing in this build.
            {"name": "schedule.wasm", "url": own("schedule.wasm")},
            {"name": "schedule.abi", "url": own("schedule.abi")},
        ],
        "boot_sequence": steps,
    })
    .to_string()
}

/// Runs `dfuse boot`; what it said.
pub(crate) fn boot(file: &Path, node: &RealNode) -> String {
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    let output = dfuse.args(["boot", text(file), "--node", node.client.url()]).output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    assert!(!log.contains(KEY));
    log
}

/// A push through dfuse.
/// Without a guarantee it is the node that answers.
pub(crate) async fn push(
    server: NodeClient,
    call: &'static str,
    guarantee: impl Into<Option<&'static str>>,
    packed: PackedTransaction,
) -> (u16, Value) {
    try_push(server, call, guarantee, packed).await.unwrap()
}

/// The same to a server that may be gone before it answers.
pub(crate) async fn try_push(
    server: NodeClient,
    call: &'static str,
    guarantee: impl Into<Option<&'static str>>,
    packed: PackedTransaction,
) -> Result<(u16, Value), String> {
    let json = serde_json::to_value(PackedTransactionJson::from(&packed)).unwrap();
    let body =
        if call == "send_transaction2" { json!({"transaction": json, "return_failure_trace": true}) } else { json };
    let mut request = Request::post("/");
    if let Some(guarantee) = guarantee.into() {
        request = request.header("x-eos-push-guarantee", guarantee);
    }
    let request = request.body(full_body(body.to_string())).unwrap();
    let response = server.forward(&format!("/v1/chain/{call}"), request, PATIENCE).await;
    let response = response.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok((status, serde_json::from_slice(&body).unwrap()))
}
