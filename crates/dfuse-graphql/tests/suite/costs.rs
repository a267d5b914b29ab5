//! What an answer costs: only what its selection needs is read and decoded.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{TestChain, request};

/// Blocks read, traces decoded, ABIs asked for.
fn counted(chain: &TestChain) -> [u64; 3] {
    let text = chain.service.metrics().render();
    ["blocks_read", "traces_decoded", "abis_asked"].map(|name| {
        let name = format!("dfuse_graphql_{name}_total ");
        text.lines().find_map(|line| line.strip_prefix(&*name)).map_or(0, |count| count.parse().unwrap())
    })
}

/// An answer, and what it cost.
async fn cost(chain: &TestChain, document: &str) -> (Value, [u64; 3]) {
    let before = counted(chain);
    let answer = chain.answer(request(document, json!({}))).await;
    assert!(answer["errors"].is_null(), "{answer}");
    let after = counted(chain);
    (answer["data"].clone(), [0, 1, 2].map(|at| after[at] - before[at]))
}

fn page(way: &str, limit: usize, selected: &str) -> String {
    format!(
        "{{searchTransactions{way}(query: \"account:eosio.token action:transfer\", limit: {limit}){{results{{cursor \
         isIrreversible irreversibleBlockNum block{{id num timestamp}} trace{{id {selected}}}}}}}}}"
    )
}

fn results(data: &Value, way: &str) -> Vec<Value> {
    data[format!("searchTransactions{way}")]["results"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_selected_is_read() {
    let Some(chain) = TestChain::recorded("fork/fork.dmlog.zst").await else { return };
    for way in ["Forward", "Backward"] {
        // Ids stand in the index.
        let (data, spent) = cost(&chain, &page(way, 100, "")).await;
        assert_eq!((results(&data, way).len(), spent), (100, [0, 0, 0]));
        // Blocks are read once each, whatever is selected of them, and each trace is decoded once.
        for (limit, selected) in [
            (100, "status"),
            (
                100,
                "block{producer previous} matchingActions{receiver name hexData} executedActions{seq dbOps{oldData}}",
            ),
            (100, "matchingActions{json}"),
            (1000, "block{producer} matchingActions{json dbOps{newJSON{object}}} executedActions{data}"),
        ] {
            let (data, spent) = cost(&chain, &page(way, limit, selected)).await;
            let results = results(&data, way);
            assert!(results.len() >= 100);
            let blocks: BTreeSet<_> = results.iter().map(|result| result["block"]["num"].as_u64().unwrap()).collect();
            assert_eq!(spent[..2], [blocks.len() as u64, results.len() as u64], "{way} {limit} {selected}");
            // No ABI is asked for where nothing is decoded.
            assert_eq!(spent[2] > 0, selected.contains("JSON") || selected.contains("json"), "{selected}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_decoded_where_that_is_selected() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let rows = |selected: &str| {
        format!(
            "{{tableRows(code: \"eosio.token\", table: \"accounts\", scope: \"alice\"){{rows{{key payer {selected}}}}}}}"
        )
    };
    assert_eq!(cost(&chain, &rows("data blockNum")).await.1, [0, 0, 0]);
    let (data, spent) = cost(&chain, &rows("json{object}")).await;
    assert_eq!(spent, [0, 0, 1], "one ABI for all rows");
    assert!(data["tableRows"]["rows"].as_array().unwrap().len() > 1);
    // A lifecycle is read by its use case; its trace is not decoded again, and nothing by ABIs unless it is asked for.
    let id = cost(&chain, &page("Backward", 1, "")).await.0;
    let id = &results(&id, "Backward")[0]["trace"]["id"];
    let lifecycle = |selected: &str| format!("{{transactionLifecycle(id: {id}){{status {selected}}}}}");
    assert_eq!(cost(&chain, &lifecycle("trace{status executedActions{name}}")).await.1, [0, 0, 0]);
    assert!(cost(&chain, &lifecycle("trace{executedActions{json}}")).await.1[2] > 0);
}
