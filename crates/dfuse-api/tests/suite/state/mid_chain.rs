//! Indexes that begin in the middle of a chain: what is unknown isn't denied.

use std::collections::BTreeSet;

use dfuse_antelope::{BlockTimestamp, Name, raw::Writer};
use dfuse_query::ErrorCode;
use dfuse_state::{RowKey, TableKey};
use serde_json::{Value, json};

use super::made::{K1, Maker, asset, chain, id, key};
use crate::{support::TestChain, websocket::Client};

const FIRST: u32 = 250;
const REASON: &str = "mid_chain_start";

/// A chain of blocks 250 to 253: `old` has rows of before that were changed since, `new` has a table of its own, `made` was
/// created since.
async fn late_chain() -> (TestChain, Maker) {
    let mut chain = TestChain::made_from(FIRST).await;
    let mut maker = Maker::after(FIRST - 3);
    maker.tables("eosio.token", &[("accounts", "balance", "asset")]);
    for row in ["a", "b", "c"] {
        maker.set(key("old", "rows", "s", row), "old", b"before".to_vec());
    }
    maker.permission("old", "active", &[K1]);
    maker.link("old", "eosio.token", "transfer", "active");
    // These two blocks are not seen.
    drop((maker.block(0xaa, 1), maker.block(0xaa, 1)));
    chain.push(maker.block(0xaa, FIRST - 2)).await;

    maker.set(key("old", "rows", "s", "a"), "old", b"since".to_vec());
    maker.remove(key("old", "rows", "s", "b"));
    maker.set(key("old", "rows", "s", "d"), "old", b"since".to_vec());
    maker.set(key("new", "rows", "s", "a"), "new", b"since".to_vec());
    maker.set(key("eosio.token", "accounts", "old", "EOS"), "old", asset("1.0000 EOS"));
    create(&mut maker, "made");
    create(&mut maker, "bare");
    maker.tables("made", &[("rows", "text", "string")]);
    chain.push(maker.block(0xaa, FIRST)).await;
    maker.set(key("made", "rows", "s", "a"), "made", b"\x01x".to_vec());
    maker.link("made", "eosio.token", "transfer", "active");
    maker.remove(key("old", "rows", "s", "d"));
    chain.push(maker.block(0xaa, FIRST)).await;
    chain.push(maker.block(0xaa, FIRST)).await;
    (chain, maker)
}

fn create(maker: &mut Maker, account: &str) {
    let mut data = Writer::new();
    [Name::literal("eosio"), account.parse().unwrap()].into_iter().for_each(|name| data.name(name));
    maker.action("newaccount", data);
}

/// The paths of everything that answers from state, without the height.
const PATHS: &[&str] = &[
    "state/table?account=old&table=rows&scope=s",
    "state/table?account=old&table=rows&scope=s&json=true",
    "state/tables/accounts?accounts=old|new&table=rows&scope=s",
    "state/tables/scopes?account=old&table=rows&scopes=s|t",
    "state/table_scopes?account=eosio.token&table=accounts",
    "state/table/row?account=old&table=rows&scope=s&primary_key=a",
    "state/permission_links?account=old",
];

#[tokio::test]
async fn every_answer_says_from_where_on() {
    let (chain, _) = late_chain().await;
    let get = async |path: &str| chain.get(&format!("/v0/{path}")).await;
    for path in PATHS {
        let answer = get(path).await.json();
        let is_row = path.contains("/row?");
        assert_eq!(
            (&answer["state_from_block"], &answer["complete"]),
            (&json!(FIRST), &json!(is_row)),
            "{path}: {answer}"
        );
        for number in [1, 2, FIRST - 1] {
            unavailable(&get(&format!("{path}&block_num={number}")).await.error(), path);
        }
        let at_first = get(&format!("{path}&block_num={FIRST}")).await;
        if is_row {
            unavailable(&at_first.error(), path);
        } else {
            assert_eq!(at_first.json()["complete"], false, "{path}");
        }
    }
    for path in ["tokens", "tokens?contract=eosio.token", "accounts/old/balances"] {
        let answer = get(path).await.json();
        assert_eq!((&answer["state_from_block"], &answer["complete"]), (&json!(FIRST), &json!(false)), "{path}");
    }
    assert_eq!(get("accounts/old/balances").await.json()["balances"][0]["balance"], "1.0000 EOS");
    let difference = "state/table/diff?account=old&table=rows&scope=s&json=true";
    let answer = get(&format!("{difference}&from_block={FIRST}")).await.json();
    assert_eq!((&answer["state_from_block"], &answer["complete"]), (&json!(FIRST), &json!(false)));
    unavailable(&get(&format!("{difference}&from_block=249")).await.error(), difference);
    let history = "state/table/row/history?account=old&table=rows&scope=s&primary_key=a";
    for (from, is_complete) in
        [("", false), ("&from_block=100", false), ("&from_block=250", true), ("&from_block=252", true)]
    {
        let answer = get(&format!("{history}{from}")).await.json();
        assert_eq!((&answer["state_from_block"], &answer["complete"]), (&json!(FIRST), &json!(is_complete)), "{from}");
    }
    unavailable(&get(&format!("{history}&to_block=249")).await.error(), history);
    let health = chain.get("/healthz").await.json();
    assert_eq!((&health["state_from_block"], &health["complete"]), (&json!(FIRST), &json!(false)));
}

fn unavailable((code, error): &(ErrorCode, Value), what: &str) {
    assert_eq!(*code, ErrorCode::StateUnavailable, "{what}: {error}");
    assert_eq!(error["details"], json!({"first_block_num": FIRST, "reason": REASON}), "{what}");
    assert!(error["message"].as_str().unwrap().contains("block 250"), "{what}: {error}");
}

/// What isn't found is denied where nothing of before can be hidden, and only there.
#[tokio::test]
async fn what_may_be_older_is_not_denied() {
    let (chain, _) = late_chain().await;
    let get = async |path: &str| chain.get(&format!("/v0/state/{path}")).await;
    for path in [
        "table/row?account=old&table=rows&scope=s&primary_key=b",
        "table/row?account=old&table=rows&scope=s&primary_key=c",
        "table/row?account=never&table=rows&scope=s&primary_key=c",
        "table_scopes?account=old&table=others",
        "abi?account=old",
    ] {
        unavailable(&get(path).await.error(), path);
    }
    let other = "PUB_R1_6EPHFSKVYHBjQgxVGQPrwCxTg7BbZ69H9i4gztN9deKTEXYne4";
    for key in [K1, other] {
        unavailable(&get(&format!("key_accounts?public_key={key}")).await.error(), key);
        let legacy = chain.get(&format!("/v1/history/get_key_accounts?public_key={key}")).await.json();
        let expected = json!({"block_num": 0, "state_from_block": FIRST, "complete": false, "account_names": []});
        assert_eq!(legacy, expected);
    }
    let (code, _) = chain.get("/v0/tokens/eosio.token/NONE/holders").await.error();
    assert_eq!(code, ErrorCode::StateUnavailable);
    // Written and removed since; of a table that came since; of an account that was created since.
    for path in [
        "table/row?account=old&table=rows&scope=s&primary_key=d",
        "table/row?account=new&table=rows&scope=s&primary_key=b",
        "table/row?account=made&table=rows&scope=s&primary_key=b",
    ] {
        assert_eq!(get(path).await.error().0, ErrorCode::RowNotFound, "{path}");
    }
    assert_eq!(get("table_scopes?account=made&table=others").await.error().0, ErrorCode::TableNotFound);
    assert_eq!(get("abi?account=bare").await.error().0, ErrorCode::AbiNotFound);
    for path in [
        "table?account=new&table=rows&scope=s",
        "table?account=made&table=rows&scope=s&json=true",
        "table?account=made&table=rows&scope=t&json=true",
        "tables/accounts?accounts=new|made&table=rows&scope=s",
        "table_scopes?account=made&table=rows",
        "permission_links?account=made",
        "abi?account=made",
    ] {
        let answer = get(path).await.json();
        assert_eq!(
            (&answer["state_from_block"], &answer["complete"]),
            (&json!(FIRST), &json!(true)),
            "{path}: {answer}"
        );
    }
    // Rows whose ABI may be older are there, as bytes.
    let rows = get("table?account=old&table=rows&scope=s&json=true").await.json();
    assert_eq!(
        (rows["rows"].as_array().unwrap().len(), &rows["rows"][0]["hex"]),
        (1, &json!(const_hex::encode("since")))
    );
    assert!(rows["rows"][0]["error"].as_str().unwrap().contains("before that block is unknown"), "{rows}");
}

#[tokio::test]
async fn snapshots_of_streams() {
    let (chain, _) = late_chain().await;
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    let fetch = |account: &str, start: i64| {
        json!({"type": "get_table_rows", "req_id": "t", "fetch": true, "start_block": start,
            "data": {"code": account, "table": "rows", "scope": "s", "json": true}})
    };
    for (account, is_complete) in [("old", false), ("new", true), ("made", true)] {
        client.ask(fetch(account, 0)).await;
        let snapshot = client.of("table_snapshot", "t").await;
        assert_eq!(snapshot["rows"].as_array().unwrap().len(), 1, "{snapshot}");
        assert_eq!((&snapshot["state_from_block"], &snapshot["complete"]), (&json!(FIRST), &json!(is_complete)));
    }
    for start in [2, i64::from(FIRST) - 1] {
        let (code, details) = client.refused(fetch("old", start)).await;
        assert_eq!(code, ErrorCode::StateUnavailable);
        assert_eq!(details, json!({"first_block_num": FIRST, "reason": REASON}));
    }
    let account = |name: &str| json!({"type": "get_account", "req_id": "a", "fetch": true, "data": {"name": name}});
    for (name, is_complete) in [("eosio", false), ("made", true)] {
        client.ask(account(name)).await;
        let found = client.of("account", "a").await;
        let found = &found["account"];
        assert_eq!((&found["state_from_block"], &found["complete"]), (&json!(FIRST), &json!(is_complete)), "{name}");
    }
    assert_eq!(client.refused(account("nobody")).await.0, ErrorCode::StateUnavailable);
}

/// A scope whose rows were there before and were written since.
#[tokio::test]
async fn scopes_of_older_tables() {
    let (mut chain, mut maker) = late_chain().await;
    let scopes = async |chain: &TestChain, height: u32| {
        let path = format!("/v0/state/table_scopes?account=old&table=rows&block_num={height}");
        let answer = chain.get(&path).await.json();
        assert_eq!((&answer["state_from_block"], &answer["complete"]), (&json!(FIRST), &json!(false)), "{answer}");
        answer["scopes"].clone()
    };
    assert_eq!(scopes(&chain, 0).await, json!(["s"]));
    maker.set(key("old", "rows", "a", "a"), "old", b"new".to_vec());
    maker.set(key("old", "rows", "z", "a"), "old", b"new".to_vec());
    chain.push(maker.block(0xaa, FIRST)).await;
    maker.remove(key("old", "rows", "z", "a"));
    maker.remove(key("old", "rows", "s", "a"));
    chain.push(maker.block(0xaa, FIRST)).await;
    for (height, expected) in
        [(FIRST, json!([])), (FIRST + 1, json!(["s"])), (FIRST + 4, json!(["a", "s", "z"])), (0, json!(["a"]))]
    {
        assert_eq!(scopes(&chain, height).await, expected, "{height}");
    }
}

/// Wherever rows come as bytes since their ABI may be older, the error says so.
#[tokio::test]
async fn rows_whose_abi_may_be_older() {
    let (chain, _) = late_chain().await;
    let rows_of = |answer: &Value, place: &str| answer.pointer(place).unwrap_or_else(|| panic!("{answer}")).clone();
    let table = "account=old&table=rows&scope=s&json=true";
    for (path, place) in [
        (format!("table?{table}"), "/rows/0"),
        ("tables/accounts?accounts=old|made&table=rows&scope=s&json=true".to_owned(), "/tables/1/rows/0"),
        ("tables/accounts?accounts=old|made&table=rows&scope=s&json=true".to_owned(), "/tables/1"),
        (format!("table/diff?{table}&from_block=250"), "/rows/0/new"),
        (format!("table/row/history?{table}&primary_key=a"), "/changes/0/new"),
    ] {
        let answer = chain.get(&format!("/v0/state/{path}")).await.json();
        let row = rows_of(&answer, place);
        let error = row["error"].as_str().unwrap_or_else(|| panic!("{path}: {answer}"));
        assert!(error.contains("has no ABI") && error.contains("since block 250; state"), "{path}: {error}");
    }
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    for (account, key, is_decoded) in [("old", "a", false), ("made", "a", true)] {
        client
            .ask(json!({"type": "get_table_rows", "req_id": account, "listen": true, "start_block": FIRST,
                "data": {"code": account, "table": "rows", "scope": "s", "json": true}}))
            .await;
        client.of("listening", account).await;
        let delta = client.of("table_delta", account).await;
        assert_eq!(delta["dbop"]["key"], key, "{delta}");
        let error = delta["dbop"]["new"]["error"].as_str();
        assert_eq!(error.is_some_and(|error| error.contains("since block 250; state")), !is_decoded, "{delta}");
        assert_eq!(delta["dbop"]["new"]["json"].is_object(), is_decoded, "{delta}");
        end(&mut client, account).await;
    }
}

/// Ends a stream, and passes over what came of it.
async fn end(client: &mut Client, req_id: &str) {
    client.ask(json!({"type": "unlisten", "req_id": "u", "data": {"req_id": req_id}})).await;
    while client.message().await["type"] != "unlistened" {}
}

/// Streams of what happened begin with the first block at the earliest; what is below is refused, not passed over.
#[tokio::test]
async fn streams_from_below_the_first_block() {
    let (chain, _) = late_chain().await;
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    let streams = [
        json!({"type": "get_action_traces", "req_id": "s", "listen": true, "data": {"accounts": "eosio"}}),
        json!({"type": "get_table_rows", "req_id": "s", "listen": true,
            "data": {"code": "old", "table": "rows", "scope": "s"}}),
    ];
    for mut request in streams {
        for start in [1, 2, FIRST - 1] {
            request["start_block"] = start.into();
            let (code, details) = client.refused(request.clone()).await;
            assert_eq!(code, ErrorCode::RequestValidation, "{start}");
            let problem = details["errors"]["start_block"][0].as_str().unwrap();
            assert!(problem.contains("must be 250 or above"), "{details}");
        }
        // So many blocks below the head are not below the first one.
        for start in [i64::from(FIRST), -100_000] {
            request["start_block"] = start.into();
            client.ask(request.clone()).await;
            assert_eq!(client.of("listening", "s").await["next_block"], FIRST, "{request}");
            end(&mut client, "s").await;
        }
    }
}

/// Block 250 has the time slot 1,000,000,250.
#[tokio::test]
async fn blocks_of_before_the_first_one() {
    let (chain, _) = late_chain().await;
    let by_time = async |comparator: &str, slots_after: i64| {
        let time = BlockTimestamp(u32::try_from(1_000_000_000 + i64::from(FIRST) + slots_after).unwrap());
        chain.get(&format!("/v0/block_id/by_time?comparator={comparator}&time={time}")).await
    };
    for (comparator, after) in [
        ("eq", -1),
        ("eq", -1000),
        ("gte", -1),
        ("gte", -1000),
        ("gt", -2),
        ("lt", 0),
        ("lt", -1),
        ("lte", -1),
        ("lte", -1000),
    ] {
        unavailable(&by_time(comparator, after).await.error(), &format!("{comparator} {after}"));
    }
    for (comparator, after, number) in
        [("eq", 0, 250), ("gte", 0, 250), ("gt", -1, 250), ("gt", 0, 251), ("lte", 0, 250), ("lt", 1, 250)]
    {
        let answer = by_time(comparator, after).await.json();
        assert_eq!(answer["block"]["num"], number, "{comparator} {after}");
    }
    for (comparator, after) in [("eq", 1000), ("gt", 1000), ("gte", 1000)] {
        assert_eq!(by_time(comparator, after).await.error().0, ErrorCode::BlockTimeNotFound, "{comparator}");
    }
    for (comparator, code) in [("gte", ErrorCode::StateUnavailable), ("lte", ErrorCode::BlockTimeNotFound)] {
        let answer = chain.get(&format!("/v0/block_id/by_time?comparator={comparator}&time=1999-01-01")).await;
        assert_eq!(answer.error().0, code, "before there were slots");
    }
    for skip in [0, 1, FIRST - 1] {
        unavailable(&chain.get(&format!("/v0/blocks?limit=5&skip={skip}")).await.error(), "blocks");
    }
    let listed = chain.get(&format!("/v0/blocks?limit=5&skip={FIRST}")).await.json();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["block_num"]), (1, &json!(FIRST)));
    for path in ["", "/transactions?limit=1"] {
        unavailable(&chain.get(&format!("/v0/blocks/{}{path}", id(249, 0xaa))).await.error(), path);
        let later = chain.get(&format!("/v0/blocks/{}{path}", id(FIRST, 0xbb))).await.error();
        assert_eq!(later.0, ErrorCode::BlockNotFound, "{path}");
    }
    // A search for anything finds nothing there, and does not take the first block for it.
    let shortly_before = BlockTimestamp(1_000_000_000 + FIRST - 4);
    for text in [shortly_before.to_string(), "249".to_owned()] {
        let (code, _) = chain.get(&format!("/v0/simple_search?q={text}")).await.error();
        assert_eq!(code, ErrorCode::SimpleSearchNotFound, "{text}");
    }
    let found = chain.get(&format!("/v0/simple_search?q={}", id(249, 0xaa))).await.json();
    assert_eq!(found["type"], "transaction");
}

/// Votes of before the first block are unknown, and that is what is said.
#[tokio::test]
async fn votes_of_before_the_first_block() {
    let (mut chain, mut maker) = late_chain().await;
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    let tally = |kind: &str| json!({"type": "get_vote_tally", "req_id": "v", kind: true});
    for kind in ["fetch", "listen"] {
        let (code, details) = client.refused(tally(kind)).await;
        assert_eq!(code, ErrorCode::StateUnavailable, "{kind}");
        assert_eq!(details, json!({"first_block_num": FIRST, "reason": REASON}));
    }
    // The system contract has its ABI again, but none of its rows was written since.
    maker.tables("eosio", &[("global", "total_activated_stake", "int64"), ("producers", "owner", "name")]);
    chain.push(maker.block(0xaa, FIRST)).await;
    assert_eq!(client.refused(tally("fetch")).await.0, ErrorCode::StateUnavailable);
}

/// The last irreversible block may be below the first one that is known.
#[tokio::test]
async fn before_anything_is_irreversible() {
    let mut chain = TestChain::made_from(FIRST).await;
    let mut maker = Maker::after(FIRST - 1);
    maker.set(key("old", "rows", "s", "a"), "old", b"since".to_vec());
    chain.push(maker.block(0xaa, FIRST - 5)).await;
    for path in ["state/table?account=old&table=rows&scope=s&irreversible_only=true", "tokens?irreversible_only=true"] {
        unavailable(&chain.get(&format!("/v0/{path}")).await.error(), path);
    }
}

/// A chain that is known from its beginning has nothing at lower heights, and says nothing of it.
#[tokio::test]
async fn a_whole_chain_has_nothing_before_it() {
    let (chain, _) = chain().await;
    let table = "/v0/state/table?account=eosio.token&table=accounts&scope=eosio1";
    for (height, rows) in [("", 1), ("&block_num=1", 0), ("&block_num=2", 0)] {
        let answer = chain.get(&format!("{table}{height}")).await.json();
        assert_eq!(answer["rows"].as_array().unwrap().len(), rows, "{height}");
        assert!(answer.get("state_from_block").is_none() && answer.get("complete").is_none(), "{answer}");
    }
    let health = chain.get("/healthz").await.json();
    assert!(health.get("state_from_block").is_none() && health.get("complete").is_none(), "{health}");
}

/// Everything that was ever written.
#[derive(Default)]
struct Written {
    rows: BTreeSet<RowKey>,
    tables: BTreeSet<TableKey>,
}

impl Written {
    fn of(chain: &TestChain) -> Self {
        let mut written = Self::default();
        for block in chain.best() {
            let traces = block.transaction_traces().iter().filter(|trace| !trace.is_reverted());
            for key in traces.flat_map(|trace| &trace.db_ops).map(RowKey::of) {
                written.tables.insert(key.table);
                written.rows.insert(key);
            }
        }
        written
    }
}

/// Compares what a chain answers whose log begins with that block with what the whole one answers. Returns how many tables
/// were complete, and how many were not.
async fn compare(log: &str, first: u32) -> Option<[usize; 2]> {
    let (whole, late) = (TestChain::recorded(log).await?, TestChain::recorded_from(log, first).await?);
    let (head, written) = (whole.blocks.last().unwrap().number, Written::of(&whole));
    let mut counts = [0, 0];
    for number in [first, (first + head) / 2, head] {
        let ask = async |path: &str| {
            let uri = format!("/v0/state/{path}&key_type=uint64&block_num={number}");
            (whole.get(&uri).await, late.get(&uri).await)
        };
        for TableKey { contract, table, scope } in &written.tables {
            let path = format!("table?account={contract}&table={table}&scope={scope}");
            let (expected, found) = ask(&path).await;
            let (expected, found) = (expected.json(), found.json());
            assert_eq!(found["state_from_block"], first);
            let [all, known] = [&expected, &found].map(|answer| answer["rows"].as_array().unwrap());
            if found["complete"] == true {
                assert_eq!(known, all, "{path} at {number}");
                counts[0] += 1;
            } else {
                assert!(known.iter().all(|row| all.contains(row)), "{path} at {number}");
                counts[1] += 1;
            }
        }
        for RowKey { table: TableKey { contract, table, scope }, primary_key } in &written.rows {
            let path = format!("table/row?account={contract}&table={table}&scope={scope}&primary_key={primary_key}");
            let (expected, found) = ask(&path).await;
            if found.status == 200 {
                assert_eq!(found.json()["row"], expected.json()["row"], "{path} at {number}");
            } else if found.error().0 == ErrorCode::RowNotFound {
                assert_eq!(expected.error().0, ErrorCode::RowNotFound, "{path} at {number}");
            } else {
                assert_eq!(found.error().0, ErrorCode::StateUnavailable, "{path} at {number}");
            }
        }
    }
    Some(counts)
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_chains_from_their_middle_on() {
    for (log, first) in [("small/small.dmlog.zst", 70), ("fork/fork.dmlog.zst", 50)] {
        let Some(counts) = compare(log, first).await else { return };
        assert!(counts.iter().all(|count| *count > 0), "{log}: {counts:?}");
    }
}

/// Rows were written at about block 210, and the log begins with block 250.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_begins_after_the_rows() {
    let Some(chain) = TestChain::recorded_from("cases/abi-rows.dmlog.gz", FIRST).await else { return };
    for table in ["account", "plainv"] {
        for json in ["", "&json=true"] {
            let path = format!("/v0/state/table?account=vartab&table={table}&scope=vartab{json}");
            let answer = chain.get(&path).await.json();
            assert_eq!((&answer["state_from_block"], &answer["complete"]), (&json!(FIRST), &json!(false)), "{answer}");
            let row = format!(
                "/v0/state/table/row?account=vartab&table={table}&scope=vartab&primary_key=1&key_type=uint64{json}"
            );
            unavailable(&chain.get(&row).await.error(), &row);
            unavailable(&chain.get(&format!("{path}&block_num=215")).await.error(), &path);
        }
    }
}
