//! Use cases asked directly, by someone who never sees JSON, against what REST says of the same chain.

use std::{collections::BTreeMap, ops::ControlFlow};

use dfuse_antelope::{Checksum256, Name, model::Block};
use dfuse_blocks::{
    Step,
    feed::{Request, Start},
};
use dfuse_kv::Direction;
use dfuse_query::{
    Class, ListCursor, ReadContext, Service, Step as Look,
    search::{self, BlockSpan, SearchQuestion, account_history},
    state::{self, AskedHeight, TableOptions},
    streams::{
        ActionFilter, LifecycleBegin, LifecycleSeen, LifecycleState, LifecycleWatch, actions_of, pick_rows, rows_of,
        steps_from,
    },
    transactions,
};
use dfuse_state::{RowKey, RowRange, TableKey};
use dfuse_testkit::synthetic::{Fork, SyntheticChain};
use dfuse_trx::Status;
use serde_json::Value;

use crate::support::{Options, TestChain};

/// A synthetic chain of which a branch was undone and, where there are recordings, a recorded one of which several were.
async fn chains() -> Vec<TestChain> {
    let mut chains = vec![synthetic().await];
    chains.extend(TestChain::recorded("fork/fork.dmlog.zst").await);
    chains
}

async fn synthetic() -> TestChain {
    let chain = SyntheticChain::builder().seed(5).blocks(60).lib_lag(12).fork(Fork::new(36, 2, 3)).build();
    let mut chain = TestChain::synthetic(chain, std::sync::Arc::new(dfuse_query::OpenAccess), Options::default()).await;
    chain.grow(usize::MAX).await;
    chain
}

fn service(chain: &TestChain) -> Service {
    (**chain.api()).reading(Class::Page)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

fn id(value: &Value, key: &str) -> Checksum256 {
    text(value, key).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lifecycles() {
    for chain in chains().await {
        compare_lifecycles(&chain).await;
    }
}

async fn compare_lifecycles(chain: &TestChain) {
    let service = service(chain);
    let (listed, found, cursor) = service
        .query(|read| {
            let page = transactions::recent(read, 20, None)?;
            let mut found = Vec::new();
            let taken = page.each_lifecycle(read, |item, lifecycle| {
                assert_eq!(item.id, lifecycle.id);
                found.push(lifecycle.clone());
                Ok(ControlFlow::Continue(()))
            })?;
            assert_eq!(taken, page.items().len());
            Ok((page.items().to_vec(), found, page.cursor(read, taken)))
        })
        .await
        .unwrap();
    let answer = chain.get("/v0/transactions?limit=20").await.json();
    let told = answer["transactions"].as_array().unwrap();
    assert_eq!(
        listed.iter().map(|it| it.id).collect::<Vec<_>>(),
        told.iter().map(|it| id(it, "id")).collect::<Vec<_>>()
    );
    assert_eq!((listed.len(), cursor.as_deref()), (20, answer["cursor"].as_str()));
    for (lifecycle, told) in found.iter().zip(told) {
        let one = lifecycle.id;
        let again = service.query(move |read| transactions::lifecycle(read, one)).await.unwrap();
        assert_eq!(again, *lifecycle);
        assert_eq!(Status::of(lifecycle).as_str(), text(told, "transaction_status"));
        assert_eq!(Some(lifecycle.execution_irreversible), told["execution_irreversible"].as_bool());
        let trace = lifecycle.execution_trace.as_ref().unwrap();
        assert_eq!(Some(trace.block_num), told["execution_trace"]["block_num"].as_u64());
        let rendered = told["execution_trace"]["action_traces"].as_array().unwrap();
        assert!(!rendered.is_empty() && rendered.len() <= trace.action_traces.len());
        let header = lifecycle.execution_block_header.as_ref().unwrap();
        assert_eq!(header.producer.to_string(), text(&told["execution_block_header"], "producer"));
    }
    // The page that follows begins after this one, for both.
    let second = chain.get(&format!("/v0/transactions?limit=5&cursor={}", cursor.clone().unwrap())).await.json();
    let opened = ListCursor::open(&service, dfuse_blocks::CursorKind::Transactions, &cursor.unwrap()).unwrap().unwrap();
    let place = transactions::place_of(&opened, None).unwrap();
    let next =
        service.query(move |read| Ok(transactions::recent(read, 5, Some(place))?.items().to_vec())).await.unwrap();
    let told: Vec<_> = second["transactions"].as_array().unwrap().iter().map(|it| id(it, "id")).collect();
    assert_eq!(next.iter().map(|it| it.id).collect::<Vec<_>>(), told);
    // One that nobody knows is the same error on both.
    let nobody = Checksum256::sha256(b"nobody");
    let error = service.query(move |read| transactions::lifecycle(read, nobody)).await.unwrap_err();
    assert_eq!(error.code(), chain.get(&format!("/v0/transactions/{nobody}")).await.error().0);
}

/// The account that did most in a chain.
fn busiest(chain: &TestChain) -> Name {
    let mut counts = BTreeMap::new();
    for block in chain.best() {
        for action in block.transaction_traces().iter().flat_map(|trace| &trace.action_traces) {
            *counts.entry(action.receiver).or_insert(0) += 1;
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).unwrap().0
}

fn history(read: &ReadContext<'_>, account: Name, limit: usize) -> dfuse_query::ApiResult<search::SearchPage> {
    let span = BlockSpan { start: 0, count: u32::MAX, direction: Direction::Reverse, with_reversible: true };
    let query = account_history(read.service(), account, None)?;
    search::page(read, SearchQuestion { query, span: span.into(), limit, cursor: None })
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_searches() {
    for chain in chains().await {
        compare_pages_of_searches(&chain).await;
    }
}

async fn compare_pages_of_searches(chain: &TestChain) {
    let (service, account) = (service(chain), busiest(chain));
    let answer = chain.get(&format!("/v0/accounts/{account}/actions?limit=10")).await.json();
    let told: Vec<_> = answer["transactions"].as_array().unwrap().iter().collect();
    assert_eq!(told.len(), 10, "{answer}");
    let (ids, cursor, blocks_read) = service
        .query(move |read| {
            let page = history(read, account, 10)?;
            let ids: Vec<_> = page.items().iter().map(|it| (it.found.id, it.found.actions.clone())).collect();
            Ok((ids, page.cursor(read, 10), page.cost().blocks_read))
        })
        .await
        .unwrap();
    assert_eq!(blocks_read, 0, "who wants ids alone reads no block");
    let rendered = |it: &&Value| {
        let actions = it["action_idx"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap() as u32).collect();
        (id(&it["lifecycle"], "id"), actions)
    };
    assert_eq!(ids, told.iter().map(rendered).collect::<Vec<(_, Vec<u32>)>>());
    assert_eq!(cursor.as_deref(), answer["cursor"].as_str());
    // Lifecycles come when they are asked for, and end the page where the visitor says.
    let (taken, searched, cursor) = service
        .query(move |read| {
            let page = history(read, account, 10)?;
            let mut left = 3;
            let taken = page.each_lifecycle(read, |item, lifecycle, _| {
                assert_eq!(item.found.id, lifecycle.id);
                left -= 1;
                Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            assert!(page.cost().blocks_read > 0);
            Ok((taken, page.searched(taken), page.cursor(read, taken)))
        })
        .await
        .unwrap();
    assert_eq!((taken, searched.is_complete), (3, false));
    let shorter = chain.get(&format!("/v0/accounts/{account}/actions?limit=3")).await.json();
    assert_eq!(cursor.as_deref(), shorter["cursor"].as_str());
    assert_eq!(searched.blocks.map(|blocks| u64::from(*blocks.start())), shorter["range"]["from_block"].as_u64());
}

/// A table of which rows were written, the one with most of them.
fn largest_table(chain: &TestChain) -> TableKey {
    let mut counts = BTreeMap::new();
    for block in chain.best() {
        for op in block.transaction_traces().iter().filter(|it| !it.is_reverted()).flat_map(|trace| &trace.db_ops) {
            *counts.entry(RowKey::of(op).table).or_insert(0) += 1;
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_tables() {
    for chain in chains().await {
        compare_rows_of_tables(&chain).await;
    }
}

async fn compare_rows_of_tables(chain: &TestChain) {
    let (service, key) = (service(chain), largest_table(chain));
    let (contract, table, scope) = (key.contract, key.table, key.scope);
    let path = format!("/v0/state/table?account={contract}&table={table}&scope={scope}&key_type=uint64");
    for (query, block_num, limit) in [("", 0, 0), ("&block_num=20", 20, 0), ("&limit=1", 0, 1)] {
        let (rows, cursor) = service
            .query(move |read| {
                let at = AskedHeight { block_num, irreversible_only: false };
                let options = TableOptions { at, json: false, offset: 0, limit };
                let mut table = state::table(read, key, Some(RowRange::default()), options, None)?;
                let mut rows = Vec::new();
                loop {
                    match table.next_row()? {
                        Look::Item(row) => rows.push((row.primary_key, row.row.data)),
                        Look::Passed => panic!("nothing is to be passed"),
                        Look::End => return Ok((rows, table.cursor()?)),
                    }
                }
            })
            .await
            .unwrap();
        let answer = chain.get(&format!("{path}{query}")).await.json();
        let told = answer["rows"].as_array().unwrap().iter();
        let told = told.map(|row| (text(row, "key").parse().unwrap(), text(row, "hex").to_owned()));
        let hex = |(key, data): (u64, bytes::Bytes)| (key, const_hex::encode(data));
        assert_eq!(rows.into_iter().map(hex).collect::<Vec<_>>(), told.collect::<Vec<_>>(), "{query}");
        assert_eq!(cursor.unwrap_or_default(), answer["cursor"].as_str().unwrap_or_default(), "{query}");
    }
}

/// Every step from the first block on, up to the head.
async fn follow(chain: &TestChain, service: &Service, mut visit: impl FnMut(Step, &Block)) {
    let head = chain.blocks.last().unwrap().id;
    let mut steps = steps_from(Request::from(Start::Block(2)), service).await.unwrap();
    loop {
        let event = steps.next().await.unwrap();
        let block = event.block.block().await.unwrap();
        visit(event.step, &block);
        if event.step == Step::New && block.id == head {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_actions_and_rows() {
    for chain in chains().await {
        compare_streams_of_actions_and_rows(&chain).await;
    }
}

async fn compare_streams_of_actions_and_rows(chain: &TestChain) {
    let (service, account, table) = (service(chain), busiest(chain), largest_table(chain));
    let filter = ActionFilter { accounts: [account].into(), ..ActionFilter::default() };
    let mut found: Vec<(u32, Checksum256, Vec<u64>)> = Vec::new();
    let mut written = BTreeMap::new();
    follow(chain, &service, |step, block| {
        assert_ne!(step, Step::Undo, "a stream of the past has no branches that lost");
        if step != Step::New {
            return;
        }
        for (transaction, action) in filter.pick(&actions_of(block)).iter() {
            let trace = &block.transaction_traces()[*transaction];
            match found.last_mut() {
                Some((number, id, actions)) if (*number, *id) == (block.number, trace.id) => {
                    actions.push(*action as u64);
                }
                _ => found.push((block.number, trace.id, vec![*action as u64])),
            }
        }
        for (transaction, op) in pick_rows(table, &rows_of(block)).iter() {
            let op = &block.transaction_traces()[*transaction].db_ops[*op];
            written.insert(op.primary_key.0, op.new_data.clone());
        }
    })
    .await;
    let mut told = Vec::new();
    let mut cursor = String::new();
    loop {
        let query =
            format!("receiver%3A{account}%20account%3A{account}&with_reversible=true&limit=100&cursor={cursor}");
        let answer = chain.get(&format!("/v0/search/transactions?q={query}")).await.json();
        for it in answer["transactions"].as_array().unwrap() {
            let trace = &it["lifecycle"]["execution_trace"];
            let actions = it["action_idx"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap()).collect();
            told.push((trace["block_num"].as_u64().unwrap() as u32, id(&it["lifecycle"], "id"), actions));
        }
        if answer["range"]["complete"] == true {
            break;
        }
        cursor = text(&answer, "cursor").to_owned();
    }
    assert!(!found.is_empty());
    assert_eq!(found, told);
    // What the stream wrote last is what the table has.
    let (contract, name, scope) = (table.contract, table.table, table.scope);
    let path = format!("/v0/state/table?account={contract}&table={name}&scope={scope}&key_type=uint64");
    let rows = chain.get(&path).await.json();
    let told: BTreeMap<u64, String> = rows["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(row, "key").parse().unwrap(), text(row, "hex").to_owned()))
        .collect();
    let written = written.into_iter().filter(|(_, data)| !data.is_empty());
    assert_eq!(written.map(|(key, data)| (key, const_hex::encode(data))).collect::<BTreeMap<_, _>>(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_followed() {
    let synthetic = SyntheticChain::builder().seed(5).blocks(60).lib_lag(12).build();
    let mut chain =
        TestChain::synthetic(synthetic, std::sync::Arc::new(dfuse_query::OpenAccess), Options::default()).await;
    chain.grow(30).await;
    let newest = chain.get("/v0/transactions?limit=1").await.json();
    let followed = id(&newest["transactions"][0], "id");
    let service = service(&chain);
    let watch = LifecycleWatch::new(&service, followed, 0, |_, _, lifecycle| Ok(lifecycle.execution_irreversible));
    let LifecycleBegin { seen, mut steps, .. } = watch.begin().await.unwrap();
    let LifecycleSeen { told, mut state, execution_block } = seen.unwrap();
    assert_eq!((told, state), (false, LifecycleState::Reversible));
    assert_eq!(Some(u64::from(execution_block)), newest["transactions"][0]["execution_trace"]["block_num"].as_u64());
    chain.grow(usize::MAX).await;
    while state != LifecycleState::Settled {
        let step = steps.next_step().await.unwrap();
        if watch.may_change(&step, state).await.unwrap() {
            watch.indexed(&step).await.unwrap();
            if let Some(seen) = watch.after(&step).await.unwrap() {
                assert_eq!(seen.told, seen.state == LifecycleState::Settled);
                state = seen.state;
            }
        }
    }
    let now = chain.get(&format!("/v0/transactions/{followed}")).await.json();
    assert_eq!(now["execution_irreversible"], true);
}
