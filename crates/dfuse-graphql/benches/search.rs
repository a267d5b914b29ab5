//! Pages of searches, of a recorded chain with a thousand transfers a minute. Needs `DFUSE_TEST_DATA`.
#![allow(clippy::unwrap_used)]

#[path = "../tests/suite/support.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod support;

use std::sync::{LazyLock, Mutex};

use divan::{Bencher, counter::ItemsCount};
use serde_json::json;
use support::{TestChain, request};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static CHAIN: LazyLock<Mutex<Option<TestChain>>> =
    LazyLock::new(|| Mutex::new(RUNTIME.block_on(TestChain::recorded("busy/busy.dmlog.zst"))));

fn main() {
    divan::main();
}

/// Pages of so many transfers with what is selected of each.
fn pages(bencher: Bencher<'_, '_>, limit: usize, selected: &str) {
    let chain = CHAIN.lock().unwrap();
    let Some(chain) = &*chain else { return };
    let document = format!(
        "query($limit: Int64!){{searchTransactionsBackward(query: \"account:eosio.token action:transfer\", \
         limit: $limit){{results{{cursor {selected}}}}}}}"
    );
    bencher.counter(ItemsCount::new(limit)).bench_local(|| {
        let answer = RUNTIME.block_on(chain.answer(request(&document, json!({"limit": limit}))));
        assert_eq!(answer["data"]["searchTransactionsBackward"]["results"].as_array().unwrap().len(), limit);
        answer
    });
}

/// No block is read for them.
#[divan::bench]
fn ids_alone(bencher: Bencher<'_, '_>) {
    pages(bencher, 100, "trace{id}");
}

#[divan::bench]
fn with_json(bencher: Bencher<'_, '_>) {
    pages(bencher, 100, "trace{id matchingActions{receiver account name json}}");
}

#[divan::bench]
fn ten_with_operations(bencher: Bencher<'_, '_>) {
    let operations =
        "dbOps{operation key{code table scope key} oldJSON{object} newJSON{object}} ramOps{operation delta}";
    pages(bencher, 10, &format!("block{{num id timestamp}} trace{{id matchingActions{{receiver json {operations}}}}}"));
}
