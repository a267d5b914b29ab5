//! Subscriptions that are killed and resumed by cursor, over random chains with forks.

use dfuse_query::GraphqlResponse;
use dfuse_testkit::{Random, synthetic::SyntheticChain};
use futures::{StreamExt, stream::BoxStream};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{TestChain, request, written};

const DOCUMENT: &str = "subscription($c: String){searchTransactionsForward(query: \"account:eosio OR account:eosio.token\", \
    lowBlockNum: 5, cursor: $c, liveMarkerInterval: 1){undo cursor block{id num} trace{id}}}";

/// What a client has of a stream.
struct Client {
    stream: Option<BoxStream<'static, GraphqlResponse>>,
    cursor: String,
    /// Whether each was taken back, its block and its transaction.
    seen: Vec<(bool, String, String)>,
    /// The block of the newest marker.
    marker: String,
}

impl Client {
    fn new(chain: &TestChain) -> Self {
        let mut client = Self { stream: None, cursor: String::new(), seen: Vec::new(), marker: String::new() };
        client.resume(chain);
        client
    }

    fn resume(&mut self, chain: &TestChain) {
        self.stream = Some(chain.execute(request(DOCUMENT, json!({"c": self.cursor}))));
        self.marker.clear();
    }

    async fn take(&mut self) {
        let answer = written(self.stream.as_mut().unwrap().next().await.expect("it goes on"));
        assert!(answer["errors"].is_null(), "{answer}");
        let result = &answer["data"]["searchTransactionsForward"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.cursor = text(&result["cursor"]);
        match &result["trace"] {
            Value::Null => self.marker = text(&result["block"]["id"]),
            trace => {
                let undo = result["undo"].as_bool().unwrap();
                self.seen.push((undo, text(&result["block"]["id"]), text(&trace["id"])));
            }
        }
    }

    /// Takes what there is up to the head.
    async fn catch_up(&mut self, head: &str) {
        while self.marker != head {
            self.take().await;
        }
    }

    /// What is left of what was sent, which is taken back in the order that is opposite to that in which it came.
    fn left(&self) -> Vec<(String, String)> {
        let mut left = Vec::new();
        for (undo, block, id) in &self.seen {
            let own = (block.clone(), id.clone());
            match undo {
                false => left.push(own),
                true => assert_eq!(left.pop(), Some(own)),
            }
        }
        left
    }
}

/// One that is never disturbed, one that is killed between any two answers and resumed at once, and one that comes back later.
async fn streams(seed: u64, blocks: u32, forks: (u32, u32), lib_lag: u32) {
    let mut log = Vec::new();
    let chain = SyntheticChain::builder().seed(seed).blocks(blocks).random_forks(forks.0, forks.1).lib_lag(lib_lag);
    chain.build().write_log(&mut log).unwrap();
    let mut chain = TestChain::new(Box::new(std::io::Cursor::new(log))).await;
    assert_eq!(chain.grow(6).await, 6);
    let mut random = Random::new(seed);
    let (mut calm, mut killed, mut away) = (Client::new(&chain), Client::new(&chain), Client::new(&chain));
    let mut head = String::new();
    loop {
        let newest = chain.service.chain().serving.snapshot().head().unwrap().id.to_string();
        if newest != head {
            head = newest;
            calm.catch_up(&head).await;
            while killed.marker != head {
                killed.take().await;
                if random.below(5) == 0 {
                    killed.resume(&chain);
                }
            }
            assert_eq!(killed.seen, calm.seen);
            if away.stream.is_none() && random.below(3) == 0 {
                away.resume(&chain);
            }
            if away.stream.is_some() {
                away.catch_up(&head).await;
                assert_eq!(away.left(), calm.left());
                if random.below(3) == 0 {
                    away.stream = None;
                }
            }
        }
        if chain.grow(1).await == 0 {
            break;
        }
    }
    away.resume(&chain);
    away.catch_up(&head).await;
    assert_eq!(away.left(), calm.left());
    assert!(calm.left().len() > 10);
}

/// A fork that begins below the first block that is asked for: a stream that was killed in between was given what lies there.
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_begins_below_the_range() {
    streams(5_979_614_471_410_159_413, 34, (227, 4), 11).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn killed_streams_yield_what_undisturbed_ones_do(
        seed: u64,
        blocks in 20..60u32,
        forks in (100..400u32, 1..5u32),
        lib_lag in 4..12u32,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(streams(seed, blocks, forks, lib_lag));
    }
}
