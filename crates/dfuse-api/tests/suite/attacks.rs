//! Clients that only want to be in the way.
#![allow(clippy::print_stdout, reason = "it says how many connections the machine allowed, and how long others waited")]

use std::fs;

use dfuse_blocks::{Clock, SystemClock};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{support::TestChain, websocket::Client};

/// Five thousand, or as many as the limit of open files allows with both ends in this process, beside other tests.
fn most_connections() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find(|line| line.starts_with("Max open files"));
    let files = files.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    (files.unwrap_or(1024) / 4).min(5000)
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_idle_connections_hold_up_nobody() {
    let chain = TestChain::small().await;
    let listening = chain.listen().await;
    let most = most_connections();
    println!("{most} idle connections");
    let mut idle = Vec::with_capacity(most);
    for number in 0..most {
        let mut stream = TcpStream::connect(listening.address).await.unwrap();
        // Some say nothing, others do not come to an end.
        let beginning = ["", "GET ", "GET /v0/blocks?limit=1 HTTP/1.1\r\nHost: a\r\n"][number % 3];
        stream.write_all(beginning.as_bytes()).await.unwrap();
        idle.push(stream);
    }
    let mut stream = TcpStream::connect(listening.address).await.unwrap();
    let request = b"GET /v0/blocks?limit=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&answer));
    let health = chain.get("/healthz").await.json();
    assert!(health["connections"]["open"].as_u64().unwrap() as usize >= most, "{health}");
    drop(idle);
}

/// Those who send a body byte by byte, who ask for long answers and read none, and who open streams and read nothing.
#[tokio::test(flavor = "multi_thread")]
async fn slow_writers_and_readers_hold_up_nobody() {
    let chain = TestChain::small().await;
    let listening = chain.listen().await;
    let each = (most_connections() / 8).min(100);
    let connect = async || TcpStream::connect(listening.address).await.unwrap();
    let (mut writers, mut readers, mut streams) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..each {
        let mut writer = connect().await;
        let head = "POST /v0/state/abi/bin_to_json HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{";
        writer.write_all(head.as_bytes()).await.unwrap();
        writers.push(writer);
        let reader = connect().await;
        let request = "GET /v0/transactions?limit=100 HTTP/1.1\r\nHost: a\r\n\r\n";
        // The requests fill what the kernel keeps for the server, too: nobody waits for that.
        let requests = request.repeat(100);
        let _ = reader.try_write(requests.as_bytes());
        readers.push(reader);
        let mut stream = Client::over(connect().await).await;
        for req_id in ["a", "b", "c"] {
            let data = json!({"receivers": "eosio|eosio.token", "with_inline_traces": true});
            let request = json!({"type": "get_action_traces", "listen": true, "start_block": 2, "data": data});
            let mut request = request;
            request["req_id"] = json!(format!("{req_id}{number}"));
            stream.ask(request).await;
        }
        streams.push(stream);
    }
    let clock = SystemClock::new();
    let mut taken = Vec::new();
    for number in 0..200 {
        // The attackers go on, as slowly as they can.
        writers[number % each].write_all(b" ").await.unwrap();
        let began = clock.elapsed();
        let mut other = connect().await;
        let request = "GET /v0/blocks?limit=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        other.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        other.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&answer));
        taken.push(clock.elapsed() - began);
    }
    // None of them was sent away to serve the others.
    let health = chain.get("/healthz").await.json();
    assert!(health["connections"]["open"].as_u64().unwrap() as usize >= 3 * each, "{health}");
    taken.sort_unstable();
    println!("beside 3 x {each} slow clients: p50 {:?}, p99 {:?}, longest {:?}", taken[99], taken[197], taken[199]);
    drop((writers, readers, streams));
}
