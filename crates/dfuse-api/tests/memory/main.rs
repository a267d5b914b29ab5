//! A table of a million rows: the memory that it takes to answer with all of them, and what is read before the first byte.
//!
//! The store is one in memory, which reads no more than it is asked for; the memory is that of this process, as Linux counts
//! it, which is why there is no other test in it.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use dfuse_antelope::{
    Checksum256, Name,
    abi::Abi,
    model::{
        Action, ActionReceipt, ActionTrace, Block, BlockHeader, DbOp, DbOperation, TransactionReceiptHeader,
        TransactionStatus, TransactionTrace,
    },
    raw::Writer,
};
use dfuse_api::{Endpoints, Options};
use dfuse_blocks::{
    BlockStore, Clock, CursorKey, StoreOptions, SystemClock, SystemEntropy,
    feed::{Feed, FeedOptions},
};
use dfuse_http::{Api, Server};
use dfuse_index::{Index, Pipeline, abi::Abis, blocks::Blocks, keyspaces};
use dfuse_kv::MemoryStore;
use dfuse_query::{Chain, OpenAccess, Service};
use dfuse_search::SearchIndex;
use dfuse_state::Rows;
use dfuse_trx::ForkedTransactions;
use http_body_util::BodyExt;

const ROWS: u64 = 1_000_000;
/// Rows of a block.
const PER_BLOCK: u64 = 50_000;
/// Rows that the last block removes.
const REMOVED: u64 = 1000;
/// Most memory that an answer may take, as a part of its text.
const MAX_PART: u64 = 4;

/// Stands still, and counts how often it was asked what time passed.
#[derive(Debug, Default)]
struct CountingClock(AtomicUsize);

impl Clock for CountingClock {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn elapsed(&self) -> Duration {
        self.0.fetch_add(1, Ordering::Relaxed);
        Duration::ZERO
    }
}

impl CountingClock {
    fn asked(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn contract() -> Name {
    "c".parse().unwrap()
}

fn set_abi() -> ActionTrace {
    let abi: Abi = serde_json::from_value(serde_json::json!({
        "version": "eosio::abi/1.1",
        "structs": [{"name": "t", "base": "", "fields": [{"name": "n", "type": "uint32"}]}],
        "tables": [{"name": "t", "type": "t"}],
    }))
    .unwrap();
    let mut data = Writer::new();
    data.name(contract());
    data.blob(&abi.to_bytes());
    let eosio = Name::literal("eosio");
    let action =
        Action { account: eosio, name: Name::literal("setabi"), raw_data: data.bytes.into(), ..Action::default() };
    let receipt = ActionReceipt { global_sequence: 1, receiver: eosio, ..ActionReceipt::default() };
    ActionTrace { receiver: eosio, action, receipt: Some(receipt), ..ActionTrace::default() }
}

fn block(parent: Checksum256, number: u32, action_traces: Vec<ActionTrace>, db_ops: Vec<DbOp>) -> Block {
    let mut id = Checksum256::sha256(&number.to_be_bytes());
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    let receipt = TransactionReceiptHeader { status: TransactionStatus::Executed, ..Default::default() };
    let trace = TransactionTrace { receipt: Some(receipt), action_traces, db_ops, ..TransactionTrace::default() };
    let header = BlockHeader { previous: parent, ..BlockHeader::default() };
    Block { id, number, header, unfiltered_transaction_traces: vec![trace], ..Block::default() }
}

fn op(operation: DbOperation, n: u64) -> DbOp {
    let (table_name, scope) = (Name::literal("t"), Name::literal("s"));
    let (payer, data) = (contract(), (n as u32).to_le_bytes().to_vec());
    DbOp {
        operation,
        code: contract(),
        scope,
        table_name,
        primary_key: Name(n),
        old_payer: payer,
        new_payer: payer,
        old_data: data.clone().into(),
        new_data: data.into(),
        ..DbOp::default()
    }
}

/// Serves a chain whose last two blocks have the table with all its rows, and without some.
async fn server(clock: Arc<CountingClock>) -> (Server, u32) {
    let indexes: Vec<Arc<dyn Index>> = vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Rows::default())];
    let store = Arc::new(MemoryStore::new(&keyspaces(&indexes)));
    let mut pipeline = Pipeline::open(store, None, indexes, dfuse_index::Options::default()).unwrap();
    let (mut parent, mut number) = (Checksum256::default(), 0);
    for first in (0..ROWS).step_by(PER_BLOCK as usize) {
        number += 1;
        let actions = if first == 0 { vec![set_abi()] } else { Vec::new() };
        let ops = (first..first + PER_BLOCK).map(|n| op(DbOperation::Insert, n)).collect();
        let block = block(parent, number, actions, ops);
        pipeline.append_final(&block).unwrap();
        pipeline.flush().unwrap();
        parent = block.id;
    }
    let removed = (0..REMOVED).map(|n| op(DbOperation::Remove, n * (ROWS / REMOVED))).collect();
    pipeline.append_final(&block(parent, number + 1, Vec::new(), removed)).unwrap();
    pipeline.flush().unwrap();

    let files = BlockStore::open("memory://", StoreOptions::default()).unwrap();
    let opened = Feed::open(files, CursorKey::new([7; 32]), FeedOptions::default(), &SystemClock::new()).await;
    let chain = Chain {
        serving: pipeline.serving().clone(),
        feed: opened.unwrap().0.handle(),
        forked: Arc::new(ForkedTransactions::new()),
        search: Arc::new(SearchIndex::default()),
        chain_id: None,
        clock,
        entropy: Arc::new(SystemEntropy),
    };
    let service = Service::new(chain, Arc::new(OpenAccess), dfuse_query::Options::default());
    let api = Api::new(service, dfuse_http::Options::default());
    let routes = Endpoints::new(&api, Options::default()).routes();
    (Server::new(api, [routes]), number)
}

/// A line of `/proc/self/status`, in KiB.
fn memory(line: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|it| it.strip_prefix(line))?;
    value.trim().trim_end_matches(" kB").parse().ok()
}

/// Compares the number of rows of an answer, and what it takes.
async fn check(server: &Server, clock: &CountingClock, query: &str, rows: u64) {
    let uri = format!("/v0/state/table?account=c&table=t&scope=s&key_type=uint64&json=1&with_block_num=1&{query}");
    // Forgets the highest so far.
    let can_count = fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = memory("VmRSS:");
    let asked = clock.asked();
    let response = server.handle(Request::get(uri).body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    let (mut braces, mut bytes, mut first) = (0, 0, true);
    while let Some(frame) = body.frame().await {
        let frame = frame.unwrap();
        let text = frame.data_ref().unwrap();
        bytes += text.len() as u64;
        braces += text.iter().filter(|byte| **byte == b'{').count() as u64;
        if std::mem::take(&mut first) {
            // The clock is asked once for each row, and rows are read in slices of a thousand.
            let asked = clock.asked() - asked;
            assert!(asked < 6_000, "{asked}");
        }
    }
    // One brace for the answer, two for each row: a row in hex would have one.
    assert_eq!(braces, 1 + 2 * rows);
    let text = bytes >> 10;
    if let (true, Some(before), Some(highest)) = (can_count, before, memory("VmHWM:")) {
        let grown = highest.saturating_sub(before);
        println!("{query}: {text} KiB of text, {grown} KiB of memory");
        assert!(grown < text / MAX_PART, "{grown} of {text} KiB");
    } else {
        println!("skipped: no counts of memory here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_rows() {
    let clock = Arc::new(CountingClock::default());
    let (server, full) = server(clock.clone()).await;
    // At the head, from the rows that are there now; below it, from the history.
    check(&server, &clock, "limit=0", ROWS - REMOVED).await;
    check(&server, &clock, &format!("block_num={full}&upper_bound={}", ROWS / 2 - 1), ROWS / 2).await;
}
