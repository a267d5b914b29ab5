//! Clients that only want to be in the way.
#![allow(clippy::print_stdout, reason = "it says how many connections the machine allowed")]

use std::fs;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::TestChain;

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
