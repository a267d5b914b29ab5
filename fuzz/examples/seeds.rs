//! Writes first inputs into the corpus of every target, from recorded and synthetic chains: `cargo run --example seeds`.
//! `README.md` says how to keep only those that add coverage.

use std::{
    collections::BTreeSet,
    fs,
    io::{Cursor, Read},
    path::Path,
};

use dfuse_antelope::{
    Asset, ExtendedAsset, Name, PublicKey, Signature, abi::Abi, model::wire::ReverseWriter, raw::Writer,
};
use dfuse_blocks::{CursorKey, CursorKind, EncodedBlock, bundle};
use dfuse_deep_mind::{Event, Reader};
use dfuse_proto::{
    Any,
    dfuse::firehose::v1::SearchFilter,
    sf::firehose::v2::{
        Request, SingleBlockRequest, single_block_request,
        single_block_request::{BlockHashAndNumber, BlockNumber, Reference},
    },
};
use dfuse_ship::{BlocksRequest, HistoryLog, Position};
use dfuse_testkit::{
    recorded,
    synthetic::{Fork, Software, SyntheticChain},
};
use prost::Message;

/// Longest log: what is longer is fuzzed too slowly.
const MAX_LOG: usize = 24 * 1024;

const NAMES: [&str; 6] = ["eosio", "eosio.token", "......2ndx2k4", "zzzzzzzzzzzzj", "a...", "EOSIO"];

const ASSETS: [&str; 9] =
    ["1.0000 EOS", "-0.00000001 WAX", "0 A", "4611686018427387903 X", "18,ZZZZZZZ", "0,A", "EOS", "1. EOS", "-1 eos"];

const KEYS: [&str; 10] = [
    "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV",
    "PUB_K1_6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5BoDq63",
    "PUB_R1_6EPHFSKVYHBjQgxVGQPrwCxTg7BbZ69H9i4gztN9deKTEXYne4",
    "PUB_WA_WdCPfafVNxVMiW5ybdNs83oWjenQXvSt1F49fg9mv7qrCiRwHj5b38U3ponCFWxQTkDsMC",
    "EOS1111111111111111111111111111111114T1Anm",
    "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3",
    "PVT_R1_iyQmnyPEGvFd8uffnk152WC2WryBjgTrg22fXQryuGL9mU6qW",
    "SIG_K1_JxLti9hgiCJ5Bu3CFTr7saFnCg37CLtommkLQiQrzFABmnkKppvnk4TkxXUkocGygmwdXZyt7v6ngo2jXyRqsumLQQycZU",
    "SIG_R1_K7N5d2hgxeZnzYuvUiHnU73mJ9RYgqY1Eo7aYRCnaJG89W7PiPfMwXFC5XHdWgfdUgvjFdx2AsLVJRvucWJTZd2h8FFNY8",
    "SIG_WA_PAmH7fjMVadx19QK8jQooKFsL8szj81CFMPAfAuZ9GkSPQczccCEVCuMKAFS9YP7CvkmzXYULYxvdBMx3Chi9Ld2tPkvtbC6TE",
];

const PRIMARY_KEYS: [&str; 11] = [
    "",
    "eos",
    "........ehbo5",
    "zzzzzzzzzzzzj",
    "4,EOS",
    "99,ZZZZZZZ",
    "EOS",
    "5459781",
    "18446744073709551615",
    "abcdef1234567890",
    "9078563412EFCDAB",
];

/// Messages of WebSocket clients.
const MESSAGES: [&str; 24] = [
    r#"{"type":"get_action_traces","req_id":"a","listen":true,"start_block":-350,"irreversible_only":true,"with_progress":5,"data":{"accounts":"eosio.token|eosio","receivers":"alice","action_names":"transfer","with_inline_traces":1,"with_dbops":true,"with_ramops":true,"with_dtrxops":true,"with_tableops":true,"with_soft_fail":true,"with_undo":true}}"#,
    r#"{"type":"get_actions","listen":true,"confirmations":3,"data":{"account":"eosio","receiver":"eosio","action_name":"onblock"}}"#,
    r#"{"type":"get_table_rows","req_id":"t","fetch":true,"listen":true,"start_block":1,"data":{"code":"eosio.token","scope":"alice","table":"accounts","json":true,"with_block_num":1}}"#,
    r#"{"type":"get_table_rows","fetch":true,"data":{"code":"a","scope":"4,EOS","table":"b","json":0}}"#,
    r#"{"type":"get_transaction_lifecycle","req_id":"x","fetch":true,"listen":true,"data":{"id":"abababababababababababababababababababababababababababababababab"}}"#,
    r#"{"type":"get_transaction","fetch":true,"data":{"id":"abcdef01"}}"#,
    r#"{"type":"get_head_info","listen":true,"fetch":false}"#,
    r#"{"type":"get_price","fetch":true}"#,
    r#"{"req_id":"X","type":"unlisten","data":{"req_id":"X"}}"#,
    r#"{"type":"pong"}"#,
    r#"{"TYPE":"get_head_info","type":null,"Listen":true,"x":[[],{}]}"#,
    r#"{"type":"get_acount"}"#,
    r#"null"#,
    r#"[]"#,
    r#"{"type":5}"#,
    r#"{"type":"get_head_info","fetch":"yes"}"#,
    r#"{"type":"get_head_info","start_block":5.5,"fetch":true}"#,
    r#"{"type":"get_head_info","confirmations":-1,"fetch":true}"#,
    r#"{"type":"get_head_info","confirmations":4294967296,"fetch":true}"#,
    r#"{"type":"get_action_traces","listen":true,"data":{"accounts":"EOS"}}"#,
    r#"{"type":"get_action_traces","listen":true,"data":[]}"#,
    r#"{"type":"get_table_rows","fetch":true,"irreversible_only":true,"data":{"code":"a","scope":null,"table":"b"}}"#,
    r#"{"type":"get_transaction","fetch":true,"data":{"id":"0x"}}"#,
    r#"{"type":"\u0000\ud834\udd1e","req_id":"\u2028"}"#,
];

/// Messages over WebSocket; what they ask to execute also stands by itself.
const GRAPHQL: &[&str] = &[
    r#"{"type":"connection_init","payload":{"Authorization":"Bearer a.b.c"}}"#,
    r#"{"type":"connection_init","payload":{"Authorization":7}}"#,
    r#"{"type":"ping","payload":[1]}"#,
    r#"{"id":"1","type":"stop"}"#,
    r#"{"id":"1","type":"start","payload":{"query":"{block(num: 1){id}}"}}"#,
    r#"{"id":"1","type":"subscribe","payload":{"query":"query($c: String, $l: Int64){searchTransactionsForward(query: \"a:b OR c:\\\"d e\\\"\", cursor: $c, lowBlockNum: $l){cursor results{undo trace{id ...T}}}} fragment T on TransactionTrace{matchingActions{json dbOps(code: \"x\"){key{key(encoding: DECIMAL)}} ...A}} fragment A on ActionTrace{creatorAction{seq}}","variables":{"c":"9hd1ai3EX1dUhNPvo0dj0Q==","l":"-5","x":null},"operationName":null}}"#,
    r#"{"id":"1","type":"start","payload":{"query":"query A{a: blockIDByTime(time: \"2020-01-01T00:00:00Z\"){num} b: blockIDByTime(time: 1, comparator: GT){num}} query B{__schema{types{name fields(includeDeprecated: true){name}}}}","operationName":"B"}}"#,
    r#"{"id":"1","type":"start","payload":{"query":"query($i: Boolean!){tableRows(code: \"eosio\", table: \"a\", scope: \"4,EOS\", lowerKey: \"0f\", keyEncoding: HEXADECIMAL, blockNum: 3){rows @skip(if: $i){key}} tableRow(code: \"a\", table: \"b\", scope: \"\", key: \"c\"){row{data}} tableDiff(code: \"a\", table: \"b\", scope: \"\", fromBlockNum: 1){rows{key}}}","variables":{"i":true}}}"#,
    r#"{"id":"1","type":"start","payload":{"query":"query($a: [String!], $l: Uint32){tokens(tokenSymbols: $a, limit: $l, sortField: ALPHA){edges{node{symbol}}} accountBalances(account: \"a\", options: [EOS_INCLUDE_STAKED]){blockRef{id}} transactionLifecycle(id: \"0123456789abcdef\"){status}}","variables":{"a":["EOS","é"],"l":4294967296}}}"#,
    r#"{"id":"1","type":"start","payload":{"query":"subscription{searchTransactionsForward(query: \"action:transfer\", lowBlockNum: 0, limit: 1, liveMarkerInterval: 1){undo cursor block{num}}}"}}"#,
    r#"{"id":"1","type":"start","payload":{"query":"subscription($c: String!){tableDeltas(code: \"a\", table: \"b\", scope: \"c\", cursor: $c){cursor deltas{dbOp{operation}}}}","variables":{"c":"bad"}}}"#,
    r#"{"id":"1","type":"start","payload":{"query":"subscription{head{block{id}}}"}}"#,
    r#"{"id":"1","type":"start","payload":{"query":"subscription{transactionLifecycle(id: \"00\"){id}}"}}"#,
    r#"{"id":"1","type":"start","payload":{"query":"mutation{x}"}}"#,
    r#"{"id":"1","type":"start","payload":{"query":"{...a} fragment a on Query{...b} fragment b on Query{...a}"}}"#,
];

fn main() {
    for text in GRAPHQL {
        write("graphql_message", text.as_bytes());
        let message: serde_json::Value = serde_json::from_str(text).expect("a message is JSON");
        let payload = &message["payload"];
        if let Some(document) = payload["query"].as_str() {
            write("graphql_document", document.as_bytes());
            if payload.get("variables").is_some() {
                write("graphql_document", payload.to_string().as_bytes());
            }
        }
    }
    firehose_requests();
    MESSAGES.iter().for_each(|text| write("stream_message", text.as_bytes()));
    for text in PRIMARY_KEYS {
        write("primary_keys", text.as_bytes());
    }
    write("primary_keys", &u64::MAX.to_le_bytes());
    for (at, kind) in (0..).zip(CursorKind::ALL) {
        let content = [at + 5; 64];
        write("cursors", &[&[at, 40], &content[..]].concat());
        let text = CursorKey::new([8; 32]).seal_content(kind, &content);
        write("cursors", &[&[at, 7], text.as_bytes()].concat());
    }
    for text in NAMES {
        write("names", text.as_bytes());
        text.parse::<Name>().iter().for_each(|name| write("names", &name.0.to_le_bytes()));
    }
    for text in ASSETS {
        write("assets", text.as_bytes());
        text.parse().iter().for_each(|asset: &Asset| write("assets", &extended(*asset)));
    }
    for text in KEYS {
        write("keys", text.as_bytes());
        text.parse().iter().for_each(|key: &PublicKey| write("keys", &packed(|writer| key.write(writer))));
        text.parse().iter().for_each(|signature: &Signature| write("keys", &packed(|writer| signature.write(writer))));
    }
    write("keys", &[7; 32]);

    let logs: Vec<Vec<u8>> = recorded_logs().chain(synthetic_logs()).filter(|log| log.len() <= MAX_LOG).collect();
    for log in novel(&logs) {
        write("log_reader", log);
        write("log_lines", log);
        bundle_files(log);
    }
    abis();
    snapshots();
    histories();
}

/// Requests of every kind, and cursors of every form.
fn firehose_requests() {
    let any = |type_url: &str, value: Vec<u8>| Any { type_url: type_url.to_owned(), value: value.into() };
    let filter = |query: &str| SearchFilter { query: query.to_owned(), include_empty_blocks: true }.encode_to_vec();
    let id = format!("{:08x}{}", 5, "ab".repeat(28));
    for request in [
        Request::default(),
        Request { start_block_num: -5, stop_block_num: 30, ..Request::default() },
        Request { start_block_num: 9, stop_block_num: 3, ..Request::default() },
        Request { start_block_num: i64::MAX, final_blocks_only: true, ..Request::default() },
        Request { transforms: vec![any("x/dfuse.firehose.v1.SearchFilter", filter("a:b"))], ..Request::default() },
        Request {
            transforms: vec![any("/dfuse.firehose.v1.SearchFilter", filter("receiver:eosio action:onblock"))],
            stop_block_num: 20,
            ..Request::default()
        },
        Request { transforms: vec![any("type.googleapis.com/sf.x.Y", vec![1])], ..Request::default() },
    ] {
        write("firehose_request", &[&[0], &request.encode_to_vec()[..]].concat());
    }
    for reference in [
        Reference::BlockNumber(BlockNumber { num: 7 }),
        Reference::BlockHashAndNumber(BlockHashAndNumber { num: 5, hash: id.clone() }),
        Reference::Cursor(single_block_request::Cursor { cursor: "AQID".to_owned() }),
    ] {
        let request = SingleBlockRequest { reference: Some(reference), transforms: Vec::new() };
        write("firehose_request", &[&[1], &request.encode_to_vec()[..]].concat());
    }
    let text = CursorKey::new([8; 32]).seal_content(CursorKind::Stream, &[3; 64]);
    write("firehose_request", &[&[2], text.as_bytes()].concat());
    for plain in [
        format!("c1:1:5:{id}:5:{id}"),
        format!("c2:16:5:{id}:5:{id}"),
        format!("c3:2:5:{id}:5:{id}:5:{id}"),
        "c1:17:1:2".to_owned(),
        "c4".to_owned(),
    ] {
        write("firehose_request", &[&[3], plain.as_bytes()].concat());
    }
}

/// Recorded logs of state history and of blocks, cut after their first entries, and what these entries say.
fn histories() {
    for (file, kept) in [("state-history/trace_history.log", 14), ("state-history/chain_state_history.log", 14)] {
        let Some(log) = recorded::tar_member("small/ship-and-blocks.tar.zst", file) else { return };
        let (mut reader, mut end) = (HistoryLog::open(Cursor::new(&log)).unwrap(), 0);
        for number in 0..kept {
            let entry = reader.next_entry().unwrap().unwrap();
            end = entry.offset;
            let mut content = vec![];
            reader.content(&entry).unwrap().read_to_end(&mut content).unwrap();
            if number % 3 == 1 {
                write("history_message", &content);
            }
        }
        write("history_log", &log[..usize::try_from(end).unwrap()]);
    }
    let Some(log) = recorded::tar_member("small/ship-and-blocks.tar.zst", "blocks/blocks.log") else { return };
    write("history_log", &log[..3000]);
    let request = BlocksRequest { have_positions: vec![Position::default(); 2], ..BlocksRequest::default() };
    write("history_message", &dfuse_ship::Request::Blocks(request).pack());
    let mut result = vec![1];
    result.extend([7; 72]);
    result.extend([0, 0, 1, 3, 1, 2, 3, 1, 1, 0, 0]);
    write("history_message", &result);
}

/// A recorded snapshot, of which sections that are longer than a limit have no rows.
fn snapshots() {
    let Some(file) = recorded::bytes("snapshots/small-345.bin.zst") else { return };
    for limit in [8 << 10, 24 << 10] {
        let (mut seed, mut at) = (file[..8].to_vec(), 8);
        loop {
            let size = u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
            if size == u64::MAX {
                break;
            }
            let end = at + 8 + usize::try_from(size).unwrap();
            let name = file[at + 16..].split_inclusive(|byte| *byte == 0).next().unwrap();
            if end - at <= limit {
                seed.extend(&file[at..end]);
            } else {
                seed.extend((8 + name.len() as u64).to_le_bytes());
                seed.extend(0_u64.to_le_bytes());
                seed.extend(name);
            }
            at = end;
        }
        seed.extend(u64::MAX.to_le_bytes());
        write("snapshot", &seed);
    }
}

/// A file in the corpus of `target`, named by its content.
fn write(target: &str, input: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder).unwrap();
    let name = dfuse_antelope::Checksum256::sha256(input).to_string();
    fs::write(folder.join(&name[..40]), input).unwrap();
}

fn packed(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.bytes.to_vec()
}

fn extended(quantity: Asset) -> Vec<u8> {
    packed(|writer| ExtendedAsset { quantity, contract: Name::literal("eosio.token") }.write(writer))
}

/// Genesis of a recorded chain, and each of its blocks alone behind a version line.
fn recorded_logs() -> impl Iterator<Item = Vec<u8>> {
    ["small/small.dmlog.zst", "fork/fork.dmlog.zst"].into_iter().flat_map(|file| {
        let (mut logs, mut log) = (vec![], vec![]);
        for line in recorded::lines(file).into_iter().flatten() {
            if line.starts_with(b"DMLOG START_BLOCK ") {
                logs.push(std::mem::replace(&mut log, b"DMLOG DEEP_MIND_VERSION leap 13 0\n".to_vec()));
            }
            log.extend_from_slice(&line);
            log.push(b'\n');
        }
        logs
    })
}

/// Short logs with a fork, as each kind of software writes them.
fn synthetic_logs() -> impl Iterator<Item = Vec<u8>> {
    let all = [Software::Leap, Software::Spring { savanna_from: 5 }, Software::Eosio20, Software::Eosio21];
    all.into_iter().flat_map(|software| {
        let options = SyntheticChain::builder().software(software).blocks(60).users(2).transactions_per_block(0..=2);
        let chain = options.fork(Fork::new(8, 1, 2)).build();
        let prelude = chain.prelude().to_vec();
        let version = prelude.split_inclusive(|byte| *byte == b'\n').find(|line| line.starts_with(b"DMLOG DEEP_MIND"));
        let version = version.expect("every log has a version line").to_vec();
        let blocks: Vec<_> = chain.map(|block| [&version[..], &block.lines].concat()).collect();
        std::iter::once(prelude).chain(blocks)
    })
}

/// The shortest logs that have every kind of line between them.
fn novel(logs: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    let mut logs: Vec<&[u8]> = logs.iter().map(Vec::as_slice).collect();
    logs.sort_by_key(|log| log.len());
    let mut seen = BTreeSet::new();
    logs.into_iter().filter(move |log| {
        let version = log.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"DMLOG DEEP_MIND")).unwrap_or(b"");
        let kinds = log.split(|byte| *byte == b'\n').map(|line| [version, &kind(line)].concat());
        kinds.filter(|kind| seen.insert(kind.clone())).count() > 0
    })
}

/// Keyword, operation and number of fields.
fn kind(line: &[u8]) -> Vec<u8> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let words = fields.iter().enumerate().filter(|(at, field)| {
        let ram = fields.get(1) == Some(&b"RAM_OP".as_slice()) && (4..=6).contains(at);
        ram || *at < 5 && field.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_')
    });
    let mut kind: Vec<u8> = words.flat_map(|(_, word)| [b" ", *word].concat()).collect();
    kind.push(fields.len() as u8);
    kind
}

/// The blocks of a log as a file of ours, and uncompressed as others may write it.
fn bundle_files(log: &[u8]) {
    let mut writer = ReverseWriter::new();
    let events = Reader::new(log).map_while(Result::ok);
    let blocks: Vec<EncodedBlock> = events
        .filter_map(|event| if let Event::Block(block) = event { Some(block) } else { None })
        .map(|block| EncodedBlock::encode(&block, &mut writer).unwrap())
        .collect();
    if blocks.iter().any(|block| block.number() >= 100) || blocks.is_empty() {
        return;
    }
    let file = bundle::encode(&blocks, bundle::COMPRESSION_LEVEL).unwrap();
    write("bundle_file", &zstd::decode_all(&file[..]).unwrap());
    write("bundle_file", &file);
}

/// Every ABI of a recorded chain with one row of each of its tables, packed, and once as JSON.
fn abis() {
    let Some(answers) = recorded::json("small/answers.json.gz") else { return };
    let mut seen = BTreeSet::new();
    for (account, answer) in answers["abi"].as_object().unwrap() {
        let Ok(abi) = serde_json::from_value::<Abi>(answer["abi"].clone()) else { continue };
        let tables = answers["raw_tables"].as_object().unwrap();
        let rows = tables.iter().filter(|(table, _)| table.split('/').next() == Some(account.as_str()));
        let rows =
            rows.filter_map(|(_, table)| table["rows"][0]["data"].as_str()).map(|row| const_hex::decode(row).unwrap());
        for row in rows.chain([vec![]]) {
            for definition in [abi.to_bytes(), serde_json::to_vec(&abi).unwrap()] {
                let Ok(length) = u16::try_from(definition.len()) else { continue };
                if definition.len() < MAX_LOG && seen.insert((definition.clone(), row.len())) {
                    write("abi_decode", &[&length.to_le_bytes()[..], &definition, &row].concat());
                }
            }
        }
    }
}
