//! Pages of searches by many at a time, and a thousand subscriptions, in one process without a network. Of a recorded chain with a
//! thousand transfers a minute. Needs `DFUSE_TEST_DATA`.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

#[path = "../tests/suite/support.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod support;

use std::{
    fs,
    time::{Duration, Instant},
};

use dfuse_graphql::Executor;
use dfuse_query::{Caller, Chain, Client, GraphqlExecutor, GraphqlRequest, GraphqlResponse, Service, TraceIds};
use dfuse_testkit::recorded;
use futures::{StreamExt, stream::BoxStream};
use serde_json::{Value, json};
use support::{TestChain, request};
use tokio::task::JoinSet;

const LOG: &str = "busy/busy.dmlog.zst";
/// How long each kind of page is asked for.
const LONG: Duration = Duration::from_secs(6);
const SUBSCRIPTIONS: usize = 1000;
/// The first of the blocks that come while there are subscriptions. They have some fifty transfers each.
const FOLLOWED_FROM: usize = 182;
const FOLLOWED_BLOCKS: usize = 5;

/// Whoever asks: cloned for each that asks at the same time.
#[derive(Clone)]
struct Asking(Executor, Service);

impl Asking {
    fn of(chain: &TestChain, client: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&client.to_le_bytes());
        let caller = Caller::unrestricted(Client::with_key(key));
        Self(chain.executor.clone(), chain.service.on_behalf_of(caller))
    }

    fn execute(&self, request: GraphqlRequest) -> BoxStream<'static, GraphqlResponse> {
        let Chain { entropy, clock, .. } = self.1.chain();
        let trace_id = TraceIds::new(entropy.clone(), clock.clone()).next();
        self.0.execute(request, self.1.caller().clone(), trace_id)
    }
}

/// Asks for the same page again and again, and tells how long each time took.
async fn ask(asking: Asking, document: String, limit: usize, until: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        let mut answers = asking.execute(request(&document, json!({"limit": limit})));
        let answer = answers.next().await.unwrap();
        assert!(answer.errors.is_empty() && answer.data.is_some_and(|data| data.len() > limit * 20));
        times.push(begun.elapsed());
    }
    times
}

async fn pages(chain: &TestChain, name: &str, limit: usize, selected: &str) {
    let document = format!(
        "query($limit: Int64!){{searchTransactionsBackward(query: \"account:eosio.token action:transfer\", \
         limit: $limit){{results{{cursor {selected}}}}}}}"
    );
    for clients in [1, 16, 50] {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            tasks.spawn(ask(Asking::of(chain, client), document.clone(), limit, begun + LONG));
        }
        let mut times: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        let seconds = begun.elapsed().as_secs_f64();
        times.sort_unstable();
        let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)].as_secs_f64() * 1000.0;
        let rate = times.len() as f64 / seconds;
        println!("{name}, {clients}: {rate:.1}/s, p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));
    }
}

/// Bytes that the process has in memory.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Follows until the stream has come to a block. Returns how many results came.
async fn follow(mut answers: BoxStream<'static, GraphqlResponse>, last: usize) -> usize {
    let mut results = 0;
    while let Some(answer) = answers.next().await {
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        let data: Value = serde_json::from_str(&answer.data.unwrap()).unwrap();
        let result = &data["searchTransactionsForward"];
        if !result["trace"].is_null() {
            results += 1;
        } else if result["block"]["num"].as_u64().unwrap() >= last as u64 {
            break;
        }
    }
    results
}

async fn subscriptions() {
    let Some(log) = recorded::open(LOG) else { return };
    let mut chain = TestChain::new(Box::new(log)).await;
    chain.grow(FOLLOWED_FROM - 2).await;
    let before = resident();
    let document = format!(
        "subscription{{searchTransactionsForward(query: \"account:eosio.token action:transfer\", \
         lowBlockNum: {}, liveMarkerInterval: 1){{undo cursor block{{num id}} trace{{id matchingActions{{receiver account name json}}}}}}}}",
        FOLLOWED_FROM - 1
    );
    let mut tasks = JoinSet::new();
    for client in 0..SUBSCRIPTIONS {
        let answers = Asking::of(&chain, client as u64).execute(request(&document, json!({})));
        tasks.spawn(follow(answers, FOLLOWED_FROM + FOLLOWED_BLOCKS - 1));
    }
    let begun = Instant::now();
    chain.grow(FOLLOWED_BLOCKS).await;
    let mut most = resident();
    let mut results = Vec::new();
    while let Some(result) = tasks.join_next().await {
        results.push(result.unwrap());
        most = most.max(resident());
    }
    let seconds = begun.elapsed().as_secs_f64();
    let all = results.iter().sum::<usize>();
    assert!(all > 0 && results.iter().all(|it| *it == results[0]), "each has all: {results:?}");
    println!(
        "{SUBSCRIPTIONS} subscriptions, {FOLLOWED_BLOCKS} blocks: all served in {seconds:.1} s; {all} results, {:.0}/s; \
         {:.0} MB before, {:.0} MB at most",
        all as f64 / seconds,
        before as f64 / 1e6,
        most as f64 / 1e6
    );
}

#[tokio::main]
async fn main() {
    // What `cargo test --benches` asks for: nothing is measured.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let Some(chain) = TestChain::recorded(LOG).await else { return };
    pages(&chain, "100 ids", 100, "trace{id}").await;
    pages(&chain, "100 with JSON", 100, "trace{id matchingActions{receiver account name json}}").await;
    let operations =
        "dbOps{operation key{code table scope key} oldJSON{object} newJSON{object}} ramOps{operation delta}";
    let selected = format!("block{{num id timestamp}} trace{{id matchingActions{{receiver json {operations}}}}}");
    pages(&chain, "10 with operations", 10, &selected).await;
    drop(chain);
    subscriptions().await;
}
