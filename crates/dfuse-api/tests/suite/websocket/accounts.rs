//! `get_account` and `get_vote_tally`.

use std::sync::atomic::{AtomicUsize, Ordering};

use dfuse_antelope::{
    BlockTimestamp, Name,
    abi::{Abi, AbiSerializer},
    raw::Reader,
};
use dfuse_api::ChainApiOptions;
use dfuse_query::{ErrorCode, OpenAccess};
use dfuse_testkit::{recorded, synthetic::SyntheticChain};
use serde_json::{Value, json};

use super::Client;
use crate::{
    chain_api::fake::{FakeNode, nobody, refusal, reply},
    state::made::{K1, Maker, key},
    support::{Options, TestChain},
};

fn get_account(name: &str) -> Value {
    json!({"type": "get_account", "req_id": "a", "fetch": true, "data": {"name": name}})
}

/// A chain and its first account that another one created, with the block and the transaction in which it did.
async fn chain(chain_api: ChainApiOptions) -> (TestChain, Name, Value) {
    let log = SyntheticChain::builder().seed(1).blocks(60).build();
    let options = Options { chain_api, ..Options::default() };
    let mut chain = TestChain::synthetic(log, std::sync::Arc::new(OpenAccess), options).await;
    chain.grow(usize::MAX).await;
    let created = chain.best().into_iter().find_map(|block| {
        let actions = block.transaction_traces().iter().flat_map(|trace| &trace.action_traces);
        let created =
            actions.clone().find(|it| it.action.name == Name::literal("newaccount") && it.receipt.is_some())?;
        let mut data = Reader::new(&created.action.raw_data);
        let (creator, account) = (data.name().unwrap(), data.name().unwrap());
        let expected = json!({"created": account, "creator": creator, "block_id": block.id, "block_num": block.number,
            "trx_id": created.transaction_id});
        Some((account, expected))
    });
    let (account, creator) = created.unwrap();
    (chain, account, creator)
}

#[tokio::test]
async fn an_account_of_node_and_indexes() {
    let answer = json!({"account_name": "x", "privileged": false, "last_code_update": "2026-11-22T10:05:00.500",
        "created": "2026-11-22T10:05:00.500", "ram_quota": 5, "permissions": [], "voter_info": null,
        "total_resources": {"owner": "x", "net_weight": "1.0000 SYS", "cpu_weight": "2.0000 SYS", "ram_bytes": 5},
        "rex_info": null});
    let node = FakeNode::always(200, answer.clone()).await;
    let options = ChainApiOptions { upstreams: vec![nobody().await, node.client()], ..ChainApiOptions::default() };
    let (chain, account, creator) = chain(options).await;
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    client.ask(get_account(&account.to_string())).await;
    let data = client.of("account", "a").await;
    let found = data["account"].as_object().unwrap();
    for (key, value) in answer.as_object().unwrap().iter().filter(|(_, value)| !value.is_null()) {
        assert_eq!(&found[key], value, "{key}");
    }
    check_required(&data["account"]);
    for (key, value) in creator.as_object().unwrap() {
        assert_eq!(&found["creator"][key], value, "{key}");
    }
    assert!(found["creator"]["block_time"].as_str().unwrap().ends_with('Z'));
    assert_eq!((&found["has_contract"], &found["account_verifications"]), (&json!(true), &json!(null)));
    let links = chain.get(&format!("/v0/state/permission_links?account={account}")).await.json();
    assert_eq!(found["linked_permissions"], links["linked_permissions"]);
    let asked: Vec<_> = node.got().into_iter().filter(|got| got.target == "/v1/chain/get_account").collect();
    assert_eq!(serde_json::from_slice::<Value>(&asked[0].body).unwrap(), json!({"account_name": account}));
    // From genesis on.
    client.ask(get_account("eosio")).await;
    assert_eq!(client.of("account", "a").await["account"]["creator"], json!(null));
}

/// Fields that old clients read without asking; only `refund_request` may be null.
fn check_required(account: &Value) {
    let asset = |value: &Value| value.as_str().is_some_and(|text| text.contains(' '));
    let number = |value: &Value| value.is_number() || value.as_str().is_some_and(|text| text.parse::<f64>().is_ok());
    assert!(account["refund_request"].is_null() || account["refund_request"].is_object(), "{account}");
    assert!(account["permissions"].is_array() && account["privileged"].is_boolean(), "{account}");
    assert!(asset(&account["core_liquid_balance"]), "{account}");
    for key in ["ram_quota", "ram_usage", "net_weight", "cpu_weight"] {
        assert!(number(&account[key]), "{key}: {account}");
    }
    for part in ["net_limit", "cpu_limit"] {
        assert!(["used", "available", "max"].iter().all(|key| number(&account[part][key])), "{part}: {account}");
    }
    for part in ["total_resources", "self_delegated_bandwidth"] {
        assert!(["net_weight", "cpu_weight"].iter().all(|key| asset(&account[part][key])), "{part}: {account}");
    }
    assert!(number(&account["total_resources"]["ram_bytes"]), "{account}");
    let voter = &account["voter_info"];
    let numbers = ["staked", "last_vote_weight", "proxied_vote_weight", "is_proxy"];
    assert!(numbers.iter().all(|key| number(&voter[key])) && voter["producers"].is_array(), "{account}");
    assert!(voter["owner"].is_string() && voter["proxy"].is_string(), "{account}");
    let nulls = account.as_object().unwrap().iter().filter(|(_, value)| value.is_null()).map(|(key, _)| &**key);
    let may_be = ["creator", "account_verifications", "refund_request"];
    assert!(nulls.into_iter().all(|key| may_be.contains(&key)), "{account}");
}

/// Without a node, what it would say is told from the indexes, as far as they can know it.
async fn compare_with_node(folder: &str) -> Option<usize> {
    let chain = TestChain::recorded(&format!("{folder}/{folder}.dmlog.zst")).await?;
    let answers = recorded::json(&format!("{folder}/answers.json.gz"))?;
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    let mut structs = 0;
    for (name, theirs) in answers["account"].as_object().unwrap() {
        client.ask(get_account(name)).await;
        let data = client.of("account", "a").await;
        let ours = &data["account"];
        check_required(ours);
        for key in [
            "account_name",
            "head_block_num",
            "head_block_time",
            "privileged",
            "last_code_update",
            "created",
            "ram_quota",
            "ram_usage",
            "net_weight",
            "cpu_weight",
        ] {
            assert_eq!(ours[key], theirs[key], "{name}: {key}");
        }
        for key in
            ["core_liquid_balance", "total_resources", "self_delegated_bandwidth", "refund_request", "voter_info"]
        {
            if theirs[key].is_null() {
                let zero = &ours[key];
                let is_zero = zero.is_null() || *zero == "0 " || zero["owner"] == "" || zero["from"] == "";
                assert!(is_zero, "{name}: {key} is {zero}");
            } else {
                assert_eq!(ours[key], theirs[key], "{name}: {key}");
                structs += 1;
            }
        }
        for key in ["net_limit", "cpu_limit"] {
            assert_eq!(ours[key]["max"] == -1, theirs[key]["max"] == -1, "{name}: {key}");
        }
        // The node wasn't told to list links.
        let without_links = |permissions: &Value| -> Vec<Value> {
            let mut permissions = permissions.as_array().unwrap().clone();
            permissions.iter_mut().for_each(|it| drop(it.as_object_mut().unwrap().remove("linked_actions")));
            permissions
        };
        assert_eq!(without_links(&ours["permissions"]), without_links(&theirs["permissions"]), "{name}");
        assert_eq!(ours["has_contract"], theirs["last_code_update"] != "1970-01-01T00:00:00.000", "{name}");
        let is_genesis = ["eosio", "eosio.null", "eosio.prods"].contains(&&**name);
        assert_eq!(ours["creator"].is_null(), is_genesis, "{name}");
        let linked = |it: &Value| it["linked_actions"].as_array().unwrap().len();
        let links = ours["permissions"].as_array().unwrap().iter().map(linked).sum::<usize>();
        let any = ours["eosio_any_linked_actions"].as_array().unwrap().len();
        assert_eq!(links + any, ours["linked_permissions"].as_array().unwrap().len(), "{name}");
    }
    Some(structs)
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_without_a_node() {
    let Some(structs) = compare_with_node("small").await else { return };
    assert!(structs > 20, "{structs}");
    // No account of this one has any of them.
    assert_eq!(compare_with_node("fork").await, Some(0));
}

#[tokio::test]
async fn accounts_that_cannot_be_told() {
    let unknown = json!({"code": 500, "message": "", "error": {"code": 0, "name": "exception", "what": "unspecified",
        "details": [{"message": "unknown key (eosio::chain::name): nobody", "file": "", "line_number": 0, "method": ""}]}});
    let replies = [
        (500, refusal(3_060_002, "account_query_exception")),
        (500, unknown),
        (500, refusal(3_080_006, "deadline_exception")),
        (502, json!("a gateway")),
    ];
    let asked = AtomicUsize::new(0);
    let node = FakeNode::start(move |_, got| {
        // Beside what is looked at to see whether it is well.
        let of_account = got.target.ends_with("get_account");
        let position = if of_account { asked.fetch_add(1, Ordering::Relaxed) } else { 3 };
        let (status, body) = &replies[position];
        Some(reply(*status, body))
    })
    .await;
    let (chain, ..) = chain(ChainApiOptions { upstreams: vec![node.client()], ..ChainApiOptions::default() }).await;
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    for code in [
        ErrorCode::AccountNotFound,
        ErrorCode::AccountNotFound,
        ErrorCode::ServiceUnavailable,
        ErrorCode::ServiceUnavailable,
    ] {
        let (found, details) = client.refused(get_account("nobody")).await;
        assert_eq!(found, code);
        assert!(code != ErrorCode::AccountNotFound || details == json!({"account": "nobody"}));
    }
    let (chain, ..) = self::chain(ChainApiOptions::default()).await;
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    assert_eq!(client.refused(get_account("nobody")).await.0, ErrorCode::AccountNotFound);
    for (message, reason) in [
        (json!({"type": "get_account"}), "'fetch' is required"),
        (json!({"type": "get_account", "fetch": true, "listen": true}), "'listen' is not supported"),
        (
            json!({"type": "get_account", "fetch": true, "irreversible_only": true}),
            "'irreversible_only' is not supported",
        ),
        (json!({"type": "get_account", "fetch": true}), "'data.name' is required"),
        (
            json!({"type": "get_account", "fetch": true, "data": {"name": "Not A Name"}}),
            "The data.name field must be a valid EOS name",
        ),
        (json!({"type": "get_vote_tally"}), "one of 'listen' or 'fetch' required (both supported)"),
        (
            json!({"type": "get_vote_tally", "fetch": true, "irreversible_only": true}),
            "'irreversible_only' is not supported",
        ),
    ] {
        let (code, details) = client.refused(message).await;
        assert_eq!((code, &details["reason"]), (ErrorCode::WsMessageDataValidation, &json!(reason)));
    }
}

/// Tables of the system contract, as far as votes are made of them.
const SYSTEM: &str = r#"{"version": "eosio::abi/1.1", "structs": [
    {"name": "producer", "base": "", "fields": [{"name": "owner", "type": "name"}, {"name": "total_votes", "type": "float64"},
        {"name": "producer_key", "type": "public_key"}, {"name": "is_active", "type": "bool"}, {"name": "url", "type": "string"},
        {"name": "unpaid_blocks", "type": "uint32"}, {"name": "location", "type": "uint16"}]},
    {"name": "global", "base": "", "fields": [{"name": "total_activated_stake", "type": "int64"},
        {"name": "total_producer_vote_weight", "type": "float64"}]}],
    "tables": [{"name": "producers", "index_type": "i64", "type": "producer"},
        {"name": "global", "index_type": "i64", "type": "global"}]}"#;

struct Votes {
    chain: TestChain,
    maker: Maker,
    abi: AbiSerializer,
    slot: u32,
}

impl Votes {
    fn row(&mut self, table: &str, primary_key: &str, row: &Value) {
        let data = self.abi.table(table.parse().unwrap()).unwrap().encode(row, 1000).unwrap();
        self.maker.set(key("eosio", table, "eosio", primary_key), "eosio", data);
    }

    fn producer(&mut self, owner: &str, votes: f64) {
        let row = json!({"owner": owner, "total_votes": votes, "producer_key": K1, "is_active": true, "url": "https://x",
            "unpaid_blocks": 7, "location": 3});
        self.row("producers", owner, &row);
    }

    /// Ends a block so many seconds after the last one.
    async fn block(&mut self, seconds: u32) {
        self.slot += 2 * seconds;
        let mut block = self.maker.block(0xaa, 1);
        block.header.timestamp = BlockTimestamp(self.slot);
        self.chain.push(block).await;
    }
}

#[tokio::test]
async fn votes() {
    let chain = TestChain::made(Options::default()).await;
    let abi: Abi = serde_json::from_str(SYSTEM).unwrap();
    let mut votes = Votes { chain, maker: Maker::after(1), abi: AbiSerializer::new(&abi), slot: 1_000_000_000 };
    let listening = votes.chain.listen().await;
    let mut client = Client::connect(&listening).await;
    votes.block(1).await;
    let fetch = json!({"type": "get_vote_tally", "req_id": "f", "fetch": true});
    assert_eq!(client.refused(fetch.clone()).await.0, ErrorCode::VoteTallyNotReady);
    client.ask(json!({"type": "get_vote_tally", "req_id": "l", "listen": true})).await;
    votes.maker.abi("eosio", &abi.to_bytes());
    votes.row(
        "global",
        "global",
        &json!({"total_activated_stake": 15_000_000_000_000_u64, "total_producer_vote_weight": 30.5}),
    );
    votes.producer("alice", 10.25);
    votes.producer("bob", 20.25);
    // With the second one the indexes have the first for certain.
    votes.block(1).await;
    votes.block(1).await;
    let tally = client.of("vote_tally", "l").await;
    let producer = |owner: &str, votes: f64| {
        json!({"owner": owner, "total_votes": votes, "producer_key": K1, "is_active": true, "url": "https://x",
            "unpaid_blocks": 7, "location": 3})
    };
    let found = &tally["vote_tally"];
    assert_eq!(found["producers"], json!([producer("bob", 20.25), producer("alice", 10.25)]));
    assert_eq!((&found["total_activated_stake"], &found["total_votes"]), (&json!(1.5e13), &json!(30.5)));
    // 826 weeks after the beginning of the year 2000.
    let weight = found["decay_weight"].as_f64().unwrap();
    assert!((weight - (826.0f64 / 52.0).exp2()).abs() < 1e-6, "{weight}");
    client.ask(fetch).await;
    assert_eq!(client.of("vote_tally", "f").await, tally);
    // Nothing is sent until something else is to be told, and the period is over.
    votes.block(20).await;
    votes.producer("alice", 30.0);
    votes.block(20).await;
    votes.block(20).await;
    let found = client.of("vote_tally", "l").await;
    assert_eq!(found["vote_tally"]["producers"], json!([producer("alice", 30.0), producer("bob", 20.25)]));
    client.ask(json!({"type": "unlisten", "data": {"req_id": "l"}})).await;
    client.of("unlistened", "").await;
    // The block with her votes has one on top.
    for (confirmations, votes) in [(1, 30.0), (2, 10.25)] {
        client
            .ask(json!({"type": "get_vote_tally", "req_id": "c", "fetch": true, "confirmations": confirmations}))
            .await;
        let found = client.of("vote_tally", "c").await;
        let producers = found["vote_tally"]["producers"].as_array().unwrap();
        assert!(producers.contains(&producer("alice", votes)), "{confirmations}: {producers:?}");
    }
}
