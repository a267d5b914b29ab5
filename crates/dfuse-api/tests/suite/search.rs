//! Searches from outside, compared with scans of the blocks.

mod mid_chain;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::support::Options;
use axum::{body::Body, http::Request};
use dfuse_antelope::{Checksum256, model::Block};
use dfuse_blocks::{BlockRef, CursorKey};
use dfuse_query::{ErrorCode, OpenAccess};
use dfuse_search::{Place, Position};
use dfuse_testkit::{
    Random,
    search::{AbiState, Documents, Like, Vocabulary, Wanted, documents, dumped},
    synthetic::SyntheticChain,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::support::TestChain;

/// Number of the block, id of the transaction, actions.
type Found = (u32, Checksum256, Vec<u32>);

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn key() -> CursorKey {
    CursorKey::new([7; 32])
}

/// What can be found in the blocks of a chain so far.
#[derive(Default)]
struct Scanner {
    blocks: BTreeMap<Checksum256, (Arc<Block>, Arc<Documents>)>,
    seen: usize,
}

impl Scanner {
    /// Looks at the blocks that came.
    fn follow(&mut self, chain: &TestChain) {
        let genesis: AbiState = chain.abi_dumps.iter().flat_map(dumped).collect();
        for block in &chain.blocks[self.seen..] {
            let parent = self.blocks.get(&block.header.previous).map(|(_, parent)| parent.abis.clone());
            let documents = documents(block, parent.unwrap_or_else(|| genesis.clone()));
            self.blocks.insert(block.id, (block.clone(), Arc::new(documents)));
        }
        self.seen = chain.blocks.len();
    }

    fn vocabulary(&self) -> Vocabulary {
        Vocabulary::of(self.blocks.values().map(|(_, documents)| documents))
    }

    /// The best chain, in ascending order.
    fn best(&self, chain: &TestChain) -> Vec<Arc<Documents>> {
        let head = chain.api().chain().serving.snapshot().head().unwrap();
        let parent = |(block, _): &&(Arc<Block>, Arc<Documents>)| self.blocks.get(&block.header.previous);
        let best = std::iter::successors(self.blocks.get(&head.id), parent);
        let mut best: Vec<_> = best.map(|(_, documents)| documents.clone()).collect();
        best.reverse();
        best
    }

    fn scan(&self, chain: &TestChain, wanted: &Wanted) -> Vec<Found> {
        let found = wanted.scan(self.best(chain).iter());
        found.into_iter().map(|(number, _, id, actions)| (number, id, actions)).collect()
    }
}

/// The results of a page; true for those that are taken back.
fn results(page: &Value) -> Vec<(Found, bool)> {
    let results = page["transactions"].as_array().unwrap_or_else(|| panic!("{page}")).iter().map(|result| {
        let trace = &result["lifecycle"]["execution_trace"];
        let number = trace["block_num"].as_u64().unwrap() as u32;
        let id = result["lifecycle"]["id"].as_str().unwrap().parse().unwrap();
        let actions = result["action_idx"].as_array().unwrap().iter().map(|it| it.as_u64().unwrap() as u32).collect();
        ((number, id, actions), result.get("undo").is_some_and(|undo| undo == true))
    });
    results.collect()
}

/// Random queries, ranges, directions and page sizes.
async fn compare(log: &str, queries: usize, most: usize) {
    let Some(chain) = TestChain::recorded(log).await else { return };
    let mut scanner = Scanner::default();
    scanner.follow(&chain);
    let (vocabulary, mut random) = (scanner.vocabulary(), Random::new(11));
    let snapshot = chain.api().chain().serving.snapshot();
    let (head, lib) = (snapshot.head().unwrap().number, snapshot.lib().unwrap().number);
    let mut compared = 0;
    for _ in 0..queries {
        let wanted = vocabulary.query(&mut random, 2);
        let text = wanted.text();
        if text.len() < 5 {
            continue;
        }
        let (reversible, descending) = (random.one_in(2), random.one_in(2));
        let last = if reversible { head } else { lib };
        let start = if random.one_in(2) { 0 } else { 1 + random.position(last as usize) as u32 };
        let count = if random.one_in(2) { u32::MAX } else { 1 + random.position(head as usize) as u32 };
        let blocks = match (descending, start) {
            (false, 0) => 1..=last.min(count.saturating_add(1)),
            (false, start) => start..=last.min(start.saturating_add(count)),
            (true, 0) => last.saturating_sub(count)..=last,
            (true, start) => start.saturating_sub(count)..=start,
        };
        let mut expected = scanner.scan(&chain, &wanted);
        expected.retain(|(number, ..)| blocks.contains(number));
        let range = format!("q={}&start_block={start}&block_count={count}&with_reversible={reversible}", encode(&text));
        if !descending {
            let counted = chain.get(&format!("/v0/search/count?{range}")).await.json();
            let actions: usize = expected.iter().map(|(.., actions)| actions.len()).sum();
            let numbers = (&counted["transactions"], &counted["actions"], &counted["complete"]);
            assert_eq!(numbers, (&json!(expected.len()), &json!(actions), &json!(true)), "{text}");
        } else {
            expected.reverse();
        }
        let most_limit = if random.one_in(2) { 5 } else { 100 };
        let limit = 1 + random.position(most_limit);
        let sort = if descending { "DESC" } else { "asc" };
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let query = format!("{range}&limit={limit}&sort={sort}&cursor={cursor}");
            let page = chain.get(&format!("/v0/search/transactions?{query}")).await.json();
            let results = results(&page);
            assert!(results.len() <= limit && results.iter().all(|(_, undo)| !undo), "{text}");
            assert!(page.get("forked_head_warning").is_none());
            let range = &page["range"];
            if let (Some(from), Some(to)) = (range["from_block"].as_u64(), range["to_block"].as_u64()) {
                assert!(from <= to && results.iter().all(|((number, ..), _)| (from..=to).contains(&(*number).into())));
            }
            cursor = page["cursor"].as_str().unwrap().to_owned();
            // An ascending search that has come to the end of the chain can go on later.
            let is_open = !descending && *blocks.end() == last && !results.is_empty();
            assert!(!cursor.is_empty() || range["complete"] == true, "{page}");
            assert!(range["complete"] == false || is_open || cursor.is_empty(), "{text}: {range} {cursor}");
            found.extend(results.into_iter().map(|(found, _)| found));
            if cursor.is_empty() || found.len() >= most {
                break;
            }
        }
        let compare = if cursor.is_empty() { expected.len() } else { found.len() };
        assert_eq!(found, expected[..compare], "{text} {range} limit {limit} {sort}");
        compared += compare;
    }
    assert!(compared > queries, "{compared}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_small() {
    compare("small/small.dmlog.zst", 60, 120).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_fork() {
    compare("fork/fork.dmlog.zst", 60, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_demo() {
    compare("demo/demo.dmlog.zst", 30, 60).await;
}

/// Clients that ask again and again have at any time what a scan finds.
#[tokio::test(flavor = "multi_thread")]
async fn cursors_go_on_after_forks() {
    let options = Options::default();
    let Some(mut chain) = TestChain::recorded_from_start("fork/fork.dmlog.zst", options).await else { return };
    let is = |field: &str, value: &str| Wanted::Is(field.into(), vec![Like::Text(value.into())]);
    let wanted = [is("action", "onblock"), is("action", "transfer"), Wanted::Not(Box::new(is("action", "onblock")))];
    let starts = [0, 70, 0];
    let mut clients: [(String, Vec<Found>); 3] = Default::default();
    let (mut scanner, mut undone, mut warnings, mut refused) = (Scanner::default(), 0, 0, 0);
    chain.grow(75).await;
    while chain.grow(3).await > 0 {
        scanner.follow(&chain);
        for ((wanted, start), (cursor, sent)) in wanted.iter().zip(starts).zip(&mut clients) {
            let path = format!("/v0/search/transactions?with_reversible=true&q={}", encode(&wanted.text()));
            if !cursor.is_empty() {
                let answer = chain.get(&format!("{path}&sort=desc&cursor={cursor}")).await;
                if answer.status != 200 {
                    let (code, error) = answer.error();
                    assert_eq!(code, ErrorCode::RequestValidation);
                    let message = error["message"].as_str().unwrap();
                    assert!(message.starts_with("cursor is not valid anymore: it points to block "), "{message}");
                    assert!(message.contains(", which was forked out. The correct block ID at this height is "));
                    assert_eq!(error["details"]["errors"]["cursor"], json!([message]));
                    refused += 1;
                }
            }
            loop {
                let page = chain.get(&format!("{path}&start_block={start}&limit=7&cursor={cursor}")).await.json();
                warnings += u32::from(page["forked_head_warning"] == true);
                for (found, undo) in results(&page) {
                    if undo {
                        undone += 1;
                        assert_eq!(sent.pop(), Some(found));
                    } else {
                        sent.push(found);
                    }
                }
                if let Some(next) = page["cursor"].as_str().filter(|next| !next.is_empty()) {
                    *cursor = next.to_owned();
                }
                if page["range"]["complete"] == true {
                    break;
                }
            }
            let mut expected = scanner.scan(&chain, wanted);
            expected.retain(|(number, ..)| *number >= start);
            assert!(*sent == expected, "{}", wanted.text());
        }
    }
    assert!(undone > 50 && warnings > 5 && refused > 5, "{undone} {warnings} {refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_of_other_chains_and_times() {
    let chain = TestChain::small().await;
    let path = "/v0/search/transactions?q=action:onblock&with_reversible=true";
    let cursor = |number: u32, place| {
        let mut id = Checksum256::sha256(b"other");
        id.0[..4].copy_from_slice(&number.to_be_bytes());
        Position { block: BlockRef { number, id }, place }.seal(&key())
    };
    let (code, _) = chain.get(&format!("{path}&cursor={}", cursor(5, Place::End))).await.error();
    assert_eq!(code, ErrorCode::CursorTooOld);
    let (code, error) = chain.get(&format!("{path}&sort=desc&cursor={}", cursor(5, Place::End))).await.error();
    assert_eq!((code, error["details"]["errors"]["cursor"].is_array()), (ErrorCode::RequestValidation, true));
    let answer = chain.get(&format!("{path}&cursor={}", cursor(500, Place::Before(0)))).await;
    assert_eq!((answer.error().0, answer.header("retry-after")), (ErrorCode::ServiceUnavailable, "5"));
    // Of a block that is not in the range.
    let block = &chain.blocks[20];
    let block = BlockRef { number: block.number, id: block.id };
    let cursor = Position { block, place: Place::End }.seal(&key());
    for sort in ["asc", "desc"] {
        let start = if sort == "asc" { 2 } else { 10 };
        let answer = chain.get(&format!("{path}&start_block={start}&block_count=5&sort={sort}&cursor={cursor}")).await;
        let (code, error) = answer.error();
        assert_eq!(code, ErrorCode::RequestValidation);
        assert!(error["message"].as_str().unwrap().contains("is out of requested block range ["), "{error}");
    }
    // Cursors of other lists are of another kind.
    let list = chain.get("/v0/transactions?limit=1").await.json();
    let (code, error) = chain.get(&format!("{path}&cursor={}", list["cursor"].as_str().unwrap())).await.error();
    assert_eq!((code, error["details"]["errors"]["cursor"].is_array()), (ErrorCode::RequestValidation, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters() {
    let chain = TestChain::small().await;
    for (query, field, problems) in [
        ("", "q", 2),
        ("q=auth", "q", 1),
        ("q=", "q", 2),
        ("start_block=-1", "start_block", 1),
        ("start_block=a", "start_block", 2),
        ("start_block=4294967296", "start_block", 1),
        ("block_count=0", "block_count", 1),
        ("block_count=a", "block_count", 2),
        ("limit=0", "limit", 1),
        ("limit=101", "limit", 1),
        ("limit=a", "limit", 2),
        ("limit=", "limit", 1),
        ("cursor=---", "cursor", 1),
        ("sort=", "sort", 1),
        ("sort=bla", "sort", 1),
        ("with_reversible=", "with_reversible", 1),
        ("with_reversible=bla", "with_reversible", 1),
        ("explain=bla", "explain", 1),
    ] {
        let q = if field == "q" { "" } else { "q=action:onblock&" };
        let (code, error) = chain.get(&format!("/v0/search/transactions?{q}{query}")).await.error();
        let errors = error["details"]["errors"].as_object().unwrap();
        assert_eq!(code, ErrorCode::RequestValidation);
        assert_eq!((errors.len(), errors[field].as_array().unwrap().len()), (1, problems), "{query}: {error}");
    }
    for query in ["", "sort=dESc", "cursor=", "format=anything", "block_count=99999999999", "with_reversible=true"] {
        let answer = chain.get(&format!("/v0/search/transactions?q=action:onblock&{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
    }
    let form = Body::from("q=action:onblock&limit=2&sort=desc");
    let page = chain.request(Request::post("/v0/search/transactions?limit=0").body(form).unwrap()).await.json();
    assert_eq!(results(&page).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_queries() {
    let chain = TestChain::small().await;
    let refused = async |query: &str, more: &str| {
        let (code, error) = chain.get(&format!("/v0/search/transactions?q={}{more}", encode(query))).await.error();
        assert_eq!(code, ErrorCode::RequestValidation);
        error["details"].clone()
    };
    assert_eq!(
        refused("action:onblock AND", "").await,
        json!({
            "errors": {"q": ["is not a query: missing expression after 'and' clause: expected a search term, minus sign or \
                              left parenthesis, got end of input at column 18"]},
            "position": {"offset": 18, "line": 1, "column": 19},
        })
    );
    let details = refused("abcdef", "&limit=0").await;
    assert_eq!(details["errors"].as_object().unwrap().len(), 2);
    assert_eq!(details["position"]["offset"], 0);
    assert_eq!(
        refused("reciever:bob from:bob -nothing:like", "").await,
        json!({"errors": {"q": [
            "has the field \"from\", which is not indexed; did you mean \"data.from\"?",
            "has the field \"nothing\", which is not indexed",
            "has the field \"reciever\", which is not indexed; did you mean \"receiver\"?",
        ]}})
    );
    // What a setting leaves out, with the name of the setting.
    let left_out = "has the field \"act_digest\", which is not indexed: the setting search.act_digest leaves it out";
    for query in ["act_digest:00112233", "action:onblock -act_digest:0011*", "(act_digest:a OR act_digest:b)"] {
        assert_eq!(refused(query, "").await, json!({"errors": {"q": [left_out]}}), "{query}");
    }
    let (code, error) = chain.get("/v0/search/count?q=act_digest:00").await.error();
    assert_eq!((code, &error["details"]["errors"]["q"][0]), (ErrorCode::RequestValidation, &json!(left_out)));
    assert!(refused("block_num:x", "").await["errors"]["q"].is_array());
    for start in ["start_block=32", "start_block=4294967295", "start_block=32&sort=desc"] {
        let details = refused("action:onblock", &format!("&with_reversible=true&{start}")).await;
        let message = details["errors"]["start_block"][0].as_str().unwrap();
        assert!(message.starts_with("invalid start block num: goes beyond HEAD, use `0` to follow HEAD (requested: "));
    }
    let lib = chain.api().chain().serving.snapshot().lib().unwrap().number;
    let details = refused("action:onblock", &format!("&start_block={}", lib + 1)).await;
    let requested = lib + 1;
    let message =
        format!("invalid start block num: goes beyond LIB, use `0` to follow LIB (requested: {requested}, lib: {lib})");
    assert_eq!(details["errors"]["start_block"], json!([message]));
    let many = format!("({})", (0..=5000).map(|_| "data.x:a").collect::<Vec<_>>().join(" "));
    let body = Body::from(format!("q={}", encode(&many)));
    let error = chain.request(Request::post("/v0/search/transactions").body(body).unwrap()).await.error().1;
    assert!(error["details"]["errors"]["q"][0].as_str().unwrap().contains("query is too long"));
}

#[tokio::test(flavor = "multi_thread")]
async fn explained() {
    let chain = TestChain::small().await;
    let query = encode("receiver:eosio AND data.x:[b, 'a c'] action : onblock OR notif:true");
    let page = chain.get(&format!("/v0/search/transactions?q={query}&explain=true")).await.json();
    let explain = &page["explain"];
    assert_eq!(explain["query"], "action:onblock data.x:[\"a c\",b] receiver:eosio OR notif:true");
    assert_eq!(
        explain["terms"],
        json!([
            {"field": "action", "values": ["onblock"]},
            {"field": "data.x", "values": ["\"a c\"", "b"]},
            {"field": "receiver", "values": ["eosio"]},
            {"field": "notif", "values": ["true"]},
        ])
    );
    assert!(explain["work"].as_u64().unwrap() > 0 && explain["search_ms"].is_u64(), "{explain}");
    let page = chain.get("/v0/search/transactions?q=action:onblock&limit=5&explain=1").await.json();
    assert_eq!(page["explain"]["blocks_read"], 5);
    // However many results are in it.
    let page = chain.get("/v0/search/transactions?q=receiver:eosio.token%20scheduled:false&explain=1").await.json();
    let results = results(&page);
    let blocks: BTreeSet<_> = results.iter().map(|((number, ..), _)| number).collect();
    assert!(results.len() > blocks.len(), "{} {}", results.len(), blocks.len());
    assert_eq!(page["explain"]["blocks_read"], blocks.len());
    assert!(chain.get("/v0/search/transactions?q=action:onblock").await.json().get("explain").is_none());
}

/// With hardly any budget a search ends early, and comes to its end in some pages all the same.
#[tokio::test(flavor = "multi_thread")]
async fn cut_by_the_budget() {
    let query = dfuse_query::Options { search_work: 1, ..dfuse_query::Options::default() };
    let options = Options { query, ..Options::default() };
    let log = SyntheticChain::builder().seed(5).blocks(60).lib_lag(3).build();
    let mut chain = TestChain::synthetic(log, Arc::new(OpenAccess), options).await;
    chain.stretch = 30_011;
    chain.grow(usize::MAX).await;
    let mut scanner = Scanner::default();
    scanner.follow(&chain);
    let wanted = Wanted::Is("action".into(), vec![Like::Text("onblock".into())]);
    let all = scanner.scan(&chain, &wanted);
    for sort in ["asc", "desc"] {
        let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let query = format!("q=action:onblock&with_reversible=true&sort={sort}&cursor={cursor}");
            let page = chain.get(&format!("/v0/search/transactions?{query}")).await.json();
            found.extend(results(&page).into_iter().map(|(found, _)| found));
            pages += 1;
            cursor = page["cursor"].as_str().unwrap().to_owned();
            if page["range"]["complete"] == true {
                break;
            }
            assert!(!cursor.is_empty());
        }
        if sort == "desc" {
            found.reverse();
        }
        assert!(pages > 10 && found == all, "{pages}");
    }
    let count = chain.get("/v0/search/count?q=action:onblock&with_reversible=true").await.json();
    assert_eq!(
        count,
        json!({
            "actions": 0,
            "transactions": 0,
            "complete": false,
            "range": {"from_block": null, "to_block": null, "complete": false},
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_of_accounts() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let mut scanner = Scanner::default();
    scanner.follow(&chain);
    let is = |field: &str, value: &str| Wanted::Is(field.into(), vec![Like::Text(value.into())]);
    let mut compared = 0;
    for account in ["alice", "bob", "eosio.msig", "eosio.ram", "nobody"] {
        let of_account = Wanted::Or(vec![is("receiver", account), is("auth", account)]);
        for contract in ["", "eosio.token", "eosio"] {
            let wanted = match contract {
                "" => of_account.clone(),
                contract => Wanted::And(vec![of_account.clone(), is("account", contract)]),
            };
            let mut expected = scanner.scan(&chain, &wanted);
            expected.reverse();
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let path = format!("/v0/accounts/{account}/actions?contract={contract}&limit=20&cursor={cursor}");
                let page = chain.get(&path).await.json();
                found.extend(results(&page).into_iter().map(|(found, _)| found));
                cursor = page["cursor"].as_str().unwrap().to_owned();
                if cursor.is_empty() {
                    break;
                }
            }
            assert_eq!(found, expected, "{account} {contract}");
            compared += found.len();
        }
    }
    assert!(compared > 100, "{compared}");
    for path in
        ["/v0/accounts/Alice/actions", "/v0/accounts/./actions", "/v0/accounts/alice/actions?contract=1a2b3c4d5e6f7"]
    {
        assert_eq!(chain.get(path).await.error().0, ErrorCode::RequestValidation, "{path}");
    }
    assert_eq!(results(&chain.get("/v0/accounts/true/actions").await.json()), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_text_names() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let find = async |text: &str| chain.get(&format!("/v0/simple_search?q={}", encode(text))).await.json();
    let block = chain.blocks.iter().find(|block| block.number == 100).unwrap();
    let transaction = block.transaction_traces()[0].id;
    let found = find(&block.id.to_string().to_uppercase()).await;
    assert_eq!((&found["type"], &found["data"]["id"]), (&json!("block"), &json!(block.id)));
    assert!(found["data"]["sibling_blocks"].is_array());
    assert_eq!(find("100").await, json!({"type": "block", "data": {"id": block.id}}));
    let time = block.header.timestamp.to_string();
    assert_eq!(find(&time).await, json!({"type": "block", "data": {"id": block.id}}));
    for digits in [14, 15, 40, 64] {
        let found = find(&transaction.to_string()[..digits]).await;
        assert_eq!((&found["type"], &found["data"]["id"]), (&json!("transaction"), &json!(transaction)), "{digits}");
        assert!(found["data"]["execution_trace"].is_object());
    }
    let unknown = "ab".repeat(32);
    assert_eq!(find(&unknown).await, json!({"type": "transaction", "data": {"id": unknown}}));
    let account = find("alice").await;
    assert_eq!((&account["type"], &account["data"]["account_name"]), (&json!("account"), &json!("alice")));
    assert_eq!(account["data"]["creator"]["created"], "alice");
    // Every time that is not the chain's own has its zone.
    for name in ["alice", "bob", "eosio.token"] {
        let time = find(name).await["data"]["creator"]["block_time"].as_str().unwrap().to_owned();
        assert!(time.ends_with('Z') && !time.contains(".500") && time.len() >= 20, "{name}: {time}");
    }
    assert_eq!(find("EOSIO").await, json!({"type": "account", "data": {"account_name": "eosio", "creator": null}}));
    // Of genesis, and never used in an action.
    for genesis in ["eosio.null", "eosio.prods"] {
        let expected = json!({"type": "account", "data": {"account_name": genesis, "creator": null}});
        assert_eq!(find(genesis).await, expected);
    }
    for text in ["nobody", "99999999", "2001-01-01", "abcdefabcdefab", "some words", "\u{e9}", &"a".repeat(5000)] {
        let (code, _) = chain.get(&format!("/v0/simple_search?q={}", encode(text))).await.error();
        assert_eq!(code, ErrorCode::SimpleSearchNotFound, "{text}");
    }
    let (code, error) = chain.get("/v0/simple_search?q=").await.error();
    assert_eq!((code, error["details"]["errors"]["q"].is_array()), (ErrorCode::RequestValidation, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn completions() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let complete = async |text: &str| chain.get(&format!("/v0/search/completion?prefix={}", encode(text))).await.json();
    let keys = |section: &Value| {
        let suggestions = section["suggestions"].as_array().unwrap();
        assert!(suggestions.len() <= 5 && suggestions.iter().all(|it| it["key"] == it["label"]));
        suggestions.iter().map(|it| it["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let sections = complete("eosio.r").await;
    assert_eq!((&sections[0]["id"], &sections[1]["id"]), (&json!("accounts"), &json!("query")));
    assert_eq!(keys(&sections[0]), ["eosio.ram", "eosio.ramfee", "eosio.rex"]);
    for (prefix, account) in [("eosio", "eosio"), ("eosio.n", "eosio.null"), ("eosio.p", "eosio.prods")] {
        assert!(keys(&complete(prefix).await[0]).contains(&account.to_owned()), "{prefix}");
    }
    assert!(keys(&complete("eosio.").await[0]).iter().all(|account| account.starts_with("eosio.")));
    assert_eq!(keys(&sections[1])[0], "(auth:eosio.r OR receiver:eosio.r)");
    assert_eq!(sections[1]["suggestions"][1]["summary"], "signed_by");
    let sections = complete("action:transfer data.to:ali").await;
    assert_eq!((sections.as_array().unwrap().len(), &sections[0]["id"]), (1, &json!("query")));
    assert_eq!(keys(&sections[0])[0], "action:transfer data.to:alice");
    assert_eq!(complete("some words").await, json!([]));
    assert_eq!(chain.get("/v0/search/completion").await.error().0, ErrorCode::RequestValidation);
}

/// Accounts of before the first block are known once they are used.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_are_only_seen_in_use() {
    let Some(chain) = TestChain::recorded_from("demo/demo.dmlog.zst", 3900).await else { return };
    let actors: std::collections::BTreeSet<_> = {
        let blocks = chain.best();
        let traces = blocks.iter().flat_map(|block| block.transaction_traces()).filter(|trace| !trace.is_reverted());
        let actions = traces.flat_map(|trace| &trace.action_traces);
        actions.flat_map(|action| &action.action.authorization).map(|level| level.actor.to_string()).collect()
    };
    assert!(actors.len() > 5, "{actors:?}");
    for account in actors.iter().map(String::as_str).chain(["eosio.null", "eosio.prods"]) {
        let found = chain.get(&format!("/v0/simple_search?q={account}")).await.json();
        assert_eq!(found, json!({"type": "account", "data": {"account_name": account, "creator": null}}));
        let sections = chain.get(&format!("/v0/search/completion?prefix={account}")).await.json();
        assert_eq!(sections[0]["suggestions"][0]["key"], account);
    }
}

/// The examples of docs/search.md, on the demo.
#[tokio::test(flavor = "multi_thread")]
async fn examples_of_the_documentation() {
    let Some(chain) = TestChain::recorded("demo/demo.dmlog.zst").await else { return };
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/search.md")).unwrap();
    let (_, examples) = page.split_once("\n## Examples\n").unwrap();
    let (found, refused) = examples.split_once("\n## ").unwrap().0.split_once("These are refused:").unwrap();
    let rows = |table: &str| {
        let rows = table.lines().filter(|line| line.starts_with("| `"));
        let cell = |cell: &str| cell.trim().trim_matches('`').replace("\\|", "|");
        // What stands between bars that are not part of a query.
        let cells =
            |row: &str| row.replace("\\|", "\u{1}").split('|').map(|text| cell(&text.replace('\u{1}', "|"))).collect();
        rows.map(cells).collect::<Vec<Vec<String>>>()
    };
    let (found, refused) = (rows(found), rows(refused));
    assert!(found.len() >= 15 && refused.len() >= 5);
    for row in found {
        let query = encode(&row[1]);
        let counted = chain.get(&format!("/v0/search/count?q={query}&with_reversible=true")).await.json();
        let numbers = [&counted["actions"], &counted["transactions"]].map(|number| number.to_string());
        assert_eq!(numbers, row[2..4], "{}", row[1]);
        let page = chain.get(&format!("/v0/search/transactions?q={query}&limit=5&with_reversible=true")).await.json();
        assert_eq!(results(&page).is_empty(), row[3] == "0", "{}", row[1]);
    }
    for row in refused {
        let (code, error) = chain.get(&format!("/v0/search/transactions?q={}", encode(&row[1]))).await.error();
        let said = match code {
            ErrorCode::RequestValidation => error["details"]["errors"]["q"][0].as_str().unwrap().to_owned(),
            code => code.row().code.to_owned(),
        };
        assert_eq!(said.trim_start_matches("is not a query: "), row[2], "{}", row[1]);
    }
}
