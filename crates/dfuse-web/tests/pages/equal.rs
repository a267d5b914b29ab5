//! What pages show over whole recorded chains equals what the API answers.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    support::TestChain,
    walk::{SMALL, assert_shows, text},
};

const FORK: &str = "fork/fork.dmlog.zst";

/// Every text of a value, but for what pages cut or show in another way: long texts, and those with characters that are hidden.
fn assert_shows_all(page: &str, value: &Value) {
    match value {
        Value::String(text) if text.len() > 1000 || text.chars().any(char::is_control) => {}
        Value::Array(items) => items.iter().for_each(|item| assert_shows_all(page, item)),
        Value::Object(fields) => fields.values().for_each(|field| assert_shows_all(page, field)),
        value => assert_shows(page, value),
    }
}

/// Traces with all that they created.
fn flat<'a>(traces: &'a Value, found: &mut Vec<&'a Value>) {
    for trace in traces.as_array().into_iter().flatten() {
        found.push(trace);
        flat(&trace["inline_traces"], found);
    }
}

async fn transactions_are_equal(chain: &TestChain, step: usize, statuses_there: usize) {
    let head = chain.json("/v0/blocks?limit=1").await[0]["block_num"].as_u64().unwrap();
    let mut statuses = BTreeMap::new();
    for number in (2..=head).step_by(step) {
        let Some(block) = chain.json(&format!("/v0/blocks?limit=1&skip={number}")).await.get(0).cloned() else {
            continue;
        };
        let id = text(&block, "/id");
        let page = chain.page(&format!("/block/{id}")).await;
        let listed = chain.json(&format!("/v0/blocks/{id}/transactions?limit=25")).await;
        for transaction in listed["transactions"].as_array().unwrap() {
            let id = text(transaction, "/id");
            assert!(page.contains(&format!("/tx/{id}")), "block {number} lacks {id}");
            let lifecycle = chain.json(&format!("/v0/transactions/{id}")).await;
            let page = chain.page(&format!("/tx/{id}")).await;
            let status = text(&lifecycle, "/transaction_status");
            *statuses.entry(status.to_owned()).or_insert(0) += 1;
            assert!(page.contains(status), "{id} lacks {status}");
            if page.contains("class=\"rest\" href=\"/v0/transactions/") && page.contains("… the rest") {
                continue;
            }
            let mut traces = Vec::new();
            flat(&lifecycle["execution_trace"]["action_traces"], &mut traces);
            for trace in traces {
                assert_shows_all(&page, &trace["act"]["data"]);
                assert_shows_all(&page, &trace["act"]["account"]);
                assert_shows_all(&page, &trace["act"]["authorization"]);
            }
            assert_shows_all(&page, &lifecycle["pub_keys"]);
            let mut ram = BTreeMap::<&str, i64>::new();
            for op in lifecycle["ramops"].as_array().into_iter().flatten() {
                *ram.entry(text(op, "/payer")).or_default() += op["delta"].as_i64().unwrap();
            }
            for (payer, delta) in ram {
                let row = format!(">{payer}</a></td><td class=\"right\">{delta:+}</td>");
                assert!(page.contains(&row), "{id} lacks {row}");
            }
        }
    }
    println!("{statuses:?}");
    assert!(statuses.len() >= statuses_there, "{statuses:?}");
}

#[tokio::test]
async fn transactions_of_a_chain() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    transactions_are_equal(&chain, 3, 3).await;
}

#[tokio::test]
async fn transactions_of_a_chain_with_forks() {
    let Some(chain) = TestChain::recorded(FORK).await else { return };
    transactions_are_equal(&chain, 20, 1).await;
}

#[tokio::test]
async fn tables_at_several_heights() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let mut compared = 0;
    for contract in ["eosio", "eosio.token", "eosio.msig"] {
        let abi = chain.json(&format!("/v0/state/abi?account={contract}&json=true")).await;
        for table in abi["abi"]["tables"].as_array().unwrap() {
            let table = text(table, "/name");
            for height in [120, 250, 345] {
                let of_table = format!("account={contract}&table={table}&block_num={height}");
                let scopes = chain.request(&format!("/v0/state/table_scopes?{of_table}"), "application/json").await;
                // Of a table without rows there is nothing to compare.
                let scopes: Value = serde_json::from_str(&scopes.text).unwrap();
                for scope in scopes["scopes"].as_array().into_iter().flatten().take(3) {
                    let query = format!("{of_table}&scope={}&key_type=name", scope.as_str().unwrap());
                    let page = chain.page(&format!("/table?{query}")).await;
                    let rows =
                        chain.json(&format!("/v0/state/table?{query}&json=true&with_block_num=true&limit=25")).await;
                    if page.contains("… the rest") {
                        continue;
                    }
                    for row in rows["rows"].as_array().unwrap() {
                        assert_shows_all(&page, row);
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

#[tokio::test]
async fn balances_of_all_holders_at_several_heights() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let tokens = chain.json("/v0/tokens?limit=50").await;
    let mut compared = 0;
    for token in tokens["tokens"].as_array().unwrap() {
        let (contract, symbol) = (text(token, "/contract"), text(token, "/symbol"));
        let holders = chain.json(&format!("/v0/tokens/{contract}/{symbol}/holders?limit=10")).await;
        for holder in holders["accounts"].as_array().unwrap() {
            let account = text(holder, "/account");
            let page = chain.page(&format!("/account/{account}")).await;
            assert_shows(&page, &holder["balance"]);
            for height in [120, 300] {
                let page = chain.page(&format!("/account/{account}?block_num={height}")).await;
                let query = format!("account={contract}&table=accounts&scope={account}&block_num={height}&json=true");
                let rows = chain.request(&format!("/v0/state/table?{query}"), "application/json").await;
                let rows: Value = serde_json::from_str(&rows.text).unwrap();
                for row in rows["rows"].as_array().into_iter().flatten() {
                    assert_shows(&page, &row["json"]["balance"]);
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 10, "{compared}");
}
