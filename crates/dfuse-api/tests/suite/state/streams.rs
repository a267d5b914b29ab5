//! Answers that are too long for one piece.

use std::time::Duration;

use crate::support::Options;
use axum::{
    body::Body,
    http::{Request, header},
};
use dfuse_antelope::{BlockTimestamp, Checksum256, Name};
use dfuse_query::ErrorCode;
use dfuse_state::TableKey;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use super::made::{Maker, key};
use crate::support::TestChain;

const ROWS: u64 = 25_000;
const SCOPES: u64 = 5_000;
const PATH: &str = "/v0/state/table?account=c&table=t&scope=s&key_type=uint64";

/// A table of many rows in block 2, in a chain up to block 3 that is irreversible up to 2.
async fn big_table(options: Options) -> (TestChain, Maker) {
    let mut chain = TestChain::made(options).await;
    let mut maker = Maker::after(1);
    maker.tables("c", &[("t", "n", "uint64")]);
    let table = key("c", "t", "s", "").table;
    for n in 0..ROWS {
        maker.set(table.row(n), "c", n.to_le_bytes());
    }
    for scope in 1..=SCOPES {
        maker.set(TableKey { table: Name(1 << 60), scope: Name(scope), ..table }.row(0), "c", []);
    }
    chain.push(maker.block(1, 0)).await;
    maker.remove(table.row(7));
    chain.push(maker.block(1, 2)).await;
    (chain, maker)
}

/// Takes pieces of a body; none where it breaks off.
async fn rest(body: &mut Body, mut pause: impl FnMut() -> Duration) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        text.extend_from_slice(frame.ok()?.data_ref().unwrap());
        let pause = pause();
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    Some(text)
}

fn numbers(text: &[u8]) -> Vec<u64> {
    let answer: Value = serde_json::from_slice(text).unwrap();
    answer["rows"].as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap().parse().unwrap()).collect()
}

async fn start(chain: &TestChain, path: &str) -> Body {
    let response = chain.server.handle(Request::get(path).body(Body::empty()).unwrap()).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()[header::CONTENT_TYPE]),
        (200, &"application/json".parse().unwrap())
    );
    response.into_body()
}

#[tokio::test]
async fn rows_are_read_as_they_are_taken() {
    let (chain, _) = big_table(Options::default()).await;
    let before = chain.clock.asked();
    let mut body = start(&chain, PATH).await;
    sleep(Duration::from_millis(300)).await;
    // The clock is asked once for each row.
    let asked = chain.clock.asked() - before;
    assert!(asked < 6_000, "{asked}");
    let text = rest(&mut body, || Duration::ZERO).await.unwrap();
    assert!(text.ends_with(b"}\n"));
    assert_eq!(numbers(&text), (0..7).chain(8..ROWS).collect::<Vec<_>>());
    // What is short has a length.
    let answer = chain.get(&format!("{PATH}&limit=1000")).await;
    assert_eq!(answer.json()["rows"].as_array().unwrap().len(), 1000);
    // Rows that are passed are not text.
    let answer = chain.get(&format!("{PATH}&offset=24998&json=1")).await;
    assert_eq!(numbers(&answer.body), [24_999]);
    assert_eq!(numbers(&chain.get(&format!("{PATH}&limit=2&lower_bound=6")).await.body), [6, 8]);
    let diff = chain.get(&format!("{}&from_block=2", PATH.replace("table?", "table/diff?"))).await.json();
    assert_eq!(diff["rows"].as_array().unwrap().len(), 1);
    // No body at all.
    let head = chain.request(Request::head(PATH).body(Body::empty()).unwrap()).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let http = dfuse_http::Options { client_timeout: Duration::from_millis(5), ..Default::default() };
    let options = Options { http, ..Options::default() };
    let (chain, _) = big_table(options).await;
    let mut body = start(&chain, PATH).await;
    assert_eq!(rest(&mut body, || Duration::from_millis(200)).await, None);
}

#[tokio::test]
async fn long_answers_change_to_new_snapshots() {
    let (mut chain, mut maker) = big_table(Options::default()).await;
    let later = |chain: &TestChain, seconds: u32| chain.clock.set(BlockTimestamp(1_000_000_100 + 2 * seconds));
    let (mut old, mut new) = (start(&chain, &format!("{PATH}&block_num=2")).await, start(&chain, PATH).await);
    let mut diff = start(&chain, &format!("{}&from_block=1&to_block=3", PATH.replace("table?", "table/diff?"))).await;
    let scopes = format!("/v0/state/table_scopes?account=c&table={}", Name(1 << 60));
    let mut scopes = start(&chain, &scopes).await;
    for n in 100..200 {
        maker.remove(key("c", "t", "s", "").table.row(24_000 + n));
    }
    chain.push(maker.block(1, 3)).await;
    later(&chain, 100);
    let mut seconds = 100;
    let text = rest(&mut old, || {
        seconds += 61;
        later(&chain, seconds);
        Duration::ZERO
    });
    assert_eq!(numbers(&text.await.unwrap()), (0..ROWS).collect::<Vec<_>>());
    let expected: Vec<_> = (0..7).chain(8..ROWS).collect();
    assert_eq!(numbers(&rest(&mut new, || Duration::ZERO).await.unwrap()), expected);
    assert_eq!(numbers(&rest(&mut diff, || Duration::ZERO).await.unwrap()), expected);
    let scopes: Value = serde_json::from_slice(&rest(&mut scopes, || Duration::ZERO).await.unwrap()).unwrap();
    let expected: Vec<_> = (1..=SCOPES).map(|scope| Name(scope).to_string()).collect();
    assert_eq!(scopes["scopes"], serde_json::json!(expected));
}

#[tokio::test]
async fn an_answer_breaks_off_when_its_block_is_undone() {
    let (mut chain, mut maker) = big_table(Options::default()).await;
    let mut body = start(&chain, PATH).await;
    let mut forked = start(&chain, PATH).await;
    let parent: Checksum256 = chain.blocks[0].id;
    maker.rewind(2, parent);
    chain.push(maker.block(2, 2)).await;
    chain.push(maker.block(2, 2)).await;
    chain.clock.set(BlockTimestamp(1_000_001_000));
    // As long as the block is kept, it serves.
    assert_eq!(numbers(&rest(&mut forked, || Duration::ZERO).await.unwrap()).len() as u64, ROWS - 1);
    chain.push(maker.block(2, 4)).await;
    chain.clock.set(BlockTimestamp(1_000_002_000));
    assert_eq!(rest(&mut body, || Duration::ZERO).await, None);
}

#[tokio::test]
async fn over_a_connection() {
    let (chain, _) = big_table(Options::default()).await;
    let server = chain.listen().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET {PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept-encoding: gzip\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let header = String::from_utf8(answer[..end].to_vec()).unwrap();
    assert!(header.contains("transfer-encoding: chunked") && header.contains("content-encoding: gzip"), "{header}");
    assert!(answer.ends_with(b"0\r\n\r\n"));
    let mut packed = Vec::new();
    let mut rest = &answer[end + 4..];
    loop {
        let line = rest.windows(2).position(|it| it == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if length == 0 {
            break;
        }
        packed.extend_from_slice(&rest[line + 2..line + 2 + length]);
        rest = &rest[line + 4 + length..];
    }
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut text).unwrap();
    assert_eq!(numbers(&text).len() as u64, ROWS - 1);
}

/// Rows that the client brings, in one body.
fn brought(rows: impl Iterator<Item = String>) -> Request<Body> {
    let rows: Vec<_> = rows.collect();
    let body = serde_json::json!({"account": "c", "table": "t", "hex_rows": rows}).to_string();
    Request::post("/v0/state/abi/bin_to_json").body(Body::from(body)).unwrap()
}

#[tokio::test]
async fn rows_that_are_brought_are_all_decoded_or_none() {
    let (chain, _) = big_table(Options::default()).await;
    let row = |n: u64| const_hex::encode(n.to_le_bytes());
    for count in [1, 3, 4096, 4097, 60_000] {
        let response = chain.server.handle(brought((0..count).map(row))).await;
        assert_eq!(response.status().as_u16(), 200);
        let mut body = response.into_body();
        let (mut text, mut longest) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.unwrap().into_data().unwrap();
            longest = longest.max(frame.len());
            text.extend_from_slice(&frame);
        }
        let answer: Value = serde_json::from_slice(&text).unwrap();
        let rows = answer["rows"].as_array().unwrap();
        assert_eq!(rows.len() as u64, count);
        assert!((0..).zip(rows).all(|(n, row)| row["n"] == n), "{count}");
        // In pieces, however many there are.
        assert!(longest < 512 << 10, "{count}: {longest}");
        assert_eq!(chain.api().body_bytes(), 0, "room is given back with the answer");
    }
    for (count, wrong, code) in [
        (60_000, "01", ErrorCode::TableRowNotDecoded),
        (2, "01", ErrorCode::TableRowNotDecoded),
        (60_000, "xy", ErrorCode::RequestValidation),
        (1, "012", ErrorCode::RequestValidation),
        (0, "", ErrorCode::RequestValidation),
    ] {
        let answer = chain.request(brought((0..count).map(row).chain([wrong.to_owned()]))).await;
        let (found, error) = answer.error();
        assert_eq!(found, code, "{error}");
        match code {
            ErrorCode::TableRowNotDecoded => assert_eq!(error["details"]["data"], wrong),
            _ => {
                let problem = error["details"]["errors"]["hex_rows"][0].as_str().unwrap();
                assert!(problem.starts_with(&format!("hex_rows[{count}] must be hexadecimal")), "{problem}");
            }
        }
        assert_eq!(chain.api().body_bytes(), 0);
    }
}
