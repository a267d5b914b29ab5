//! `/v1/chain/*`, which says everything in the words of a node.

use std::{collections::BTreeSet, time::Duration};

use axum::http::Method;
use dfuse_access::{KeyKind, Mode, NewKey, RouteClass, TierOptions};
use dfuse_api::ChainApiOptions;
use serde_json::json;

use crate::{
    access::Guarded,
    chain_api::{fake::nobody, node_shaped},
    support::{Answer, Options},
};

/// What a node takes, what it does not, and both pushes.
const CALLS: [&str; 6] =
    ["get_info", "get_account", "get_table_rows", "whatever", "send_transaction", "push_transaction"];
const METHODS: [Method; 2] = [Method::GET, Method::POST];
const UNHANDLED: i64 = 3_990_001;
const GUARANTEE: (&str, &str) = ("x-eos-push-guarantee", "in-block");

/// A transaction of nothing, which can be read.
fn transaction() -> String {
    let nothing = "00".repeat(16);
    json!({"signatures": [], "compression": "none", "packed_context_free_data": "", "packed_trx": nothing}).to_string()
}

#[derive(Default)]
struct Contract(BTreeSet<String>);

impl Contract {
    #[track_caller]
    fn holds(&mut self, what: &str, answer: &Answer, status: u16) {
        assert!(self.0.insert(answer.trace_id().to_owned()), "{what} has a trace id twice");
        node_shaped(answer, status, UNHANDLED);
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{what}");
        if [429, 503].contains(&status) {
            assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{what} does not say when to ask again");
        }
    }
}

/// A server whose tokens count for `/v1/chain/*`, too.
async fn guarded(upstreams: bool, tiers: Vec<TierOptions>) -> Guarded {
    let upstreams = if upstreams { vec![nobody().await] } else { vec![] };
    let chain_api =
        ChainApiOptions { upstreams, authenticate: true, retry_pause: Duration::ZERO, ..ChainApiOptions::default() };
    let access = dfuse_access::Options {
        mode: Mode::Required,
        tiers,
        guess_rate: "1000000/s".parse().unwrap(),
        ..dfuse_access::Options::default()
    };
    Guarded::with(access, Options { chain_api, ..Options::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away() {
    for upstreams in [false, true] {
        // Each chain names its requests in the same order.
        let mut contract = Contract::default();
        let guarded = guarded(upstreams, vec![]).await;
        let token = format!("Bearer {}", guarded.token());
        let token = ("authorization", &*token);
        for method in METHODS {
            for call in CALLS {
                let answer = guarded.ask(method.clone(), &format!("/v1/chain/{call}"), &[token], "{}").await;
                contract.holds(&format!("{method} {call}, {upstreams}"), &answer, 503);
            }
        }
        for call in ["send_transaction", "push_transaction"] {
            let path = format!("/v1/chain/{call}");
            let answer = guarded.ask(Method::POST, &path, &[token, GUARANTEE], &transaction()).await;
            contract.holds(&format!("{call} with a guarantee, {upstreams}"), &answer, 503);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_ask() {
    let elsewhere = TierOptions { name: "slow".into(), routes: vec![RouteClass::List], ..TierOptions::default() };
    let all = TierOptions { name: "all".into(), ..TierOptions::default() };
    let guarded = guarded(true, vec![elsewhere, all]).await;
    let origins = vec!["https://app.example.com".parse().unwrap()];
    let of_page = NewKey { origins, ..NewKey::new(KeyKind::Web, "page") };
    let page_key = json!({"api_key": guarded.key(of_page).0}).to_string();
    let issued = guarded.issue(&[("origin", "https://app.example.com")], &page_key).await.json();
    let of_page = format!("Bearer {}", issued["token"].as_str().unwrap());
    let of_tier = format!("Bearer {}", guarded.slow_token());
    let mut contract = Contract::default();
    for maintenance in [false, true] {
        guarded.gate.set_maintenance(maintenance).unwrap();
        for method in METHODS {
            for call in CALLS {
                let path = format!("/v1/chain/{call}");
                for (headers, status) in [
                    (&[][..], 401),
                    (&[("authorization", "Bearer a.b.c")], 401),
                    (&[("authorization", &*of_page), ("origin", "https://evil.org")], 403),
                    (&[("authorization", &*of_tier)], 403),
                ] {
                    let answer = guarded.ask(method.clone(), &path, headers, "{}").await;
                    let status = if maintenance { 503 } else { status };
                    contract.holds(&format!("{method} {call} {headers:?}"), &answer, status);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_much() {
    let slow = TierOptions { name: "slow".into(), rate: "1/h".parse().ok(), ..TierOptions::default() };
    let guarded = guarded(true, vec![slow]).await;
    let mut contract = Contract::default();
    for headers in [&[][..], &[GUARANTEE]] {
        let token = format!("Bearer {}", guarded.slow_token());
        let headers = [&[("authorization", &*token)], headers].concat();
        let ask = async || guarded.ask(Method::POST, "/v1/chain/push_transaction", &headers, &transaction()).await;
        contract.holds("the first", &ask().await, 503);
        let answer = ask().await;
        contract.holds("the second", &answer, 429);
        assert_eq!((answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining")), ("1", "0"));
    }
    let token = format!("Bearer {}", guarded.token());
    let large = [("authorization", &*token), ("content-length", "99999999")];
    contract.holds("too large", &guarded.ask(Method::POST, "/v1/chain/get_block", &large, "x").await, 413);
    let nowhere = guarded.ask(Method::GET, "/v1/chain/a/../b", &[("authorization", &*token)], "").await;
    contract.holds("nowhere", &nowhere, 404);
}
