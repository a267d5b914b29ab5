//! One client's requests beside another's, dear ones beside cheap ones, and bodies beside each other.

use std::{future::ready, io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};

use crate::support::Options;
use axum::{body::Body, extract::ConnectInfo, http::Request};
use dfuse_query::{ErrorCode, OpenAccess};
use dfuse_testkit::synthetic::SyntheticChain;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    select,
};

use crate::support::{Answer, Listening, TestChain};

async fn small(options: Options) -> TestChain {
    let chain = SyntheticChain::builder().seed(1).blocks(5).build();
    let mut chain = TestChain::synthetic(chain, Arc::new(OpenAccess), options).await;
    chain.grow(usize::MAX).await;
    chain
}

async fn ask(chain: &TestChain, client: u8, uri: &str) -> Answer {
    let mut request = Request::get(uri).body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, client], 1))));
    chain.request(request).await
}

const LOOK_UP: &str = "/v0/block_id/by_time?time=2000-01-01T00:00:00Z&comparator=gte";
const PAGE: &str = "/v0/blocks?limit=1";
const SEARCH: &str = "/v0/search/transactions?q=action:none";
const HISTORY: &str = "/v0/accounts/eosio/actions";

#[tokio::test]
async fn a_flood_of_one_client_is_refused_and_others_wait_for_their_turn() {
    // There is no turn for anybody, so that all wait.
    let query = dfuse_query::Options {
        readers: 0,
        max_waiting_reads: 4,
        max_waiting_reads_of_client: 2,
        read_timeout: Duration::from_secs(3600),
        ..dfuse_query::Options::default()
    };
    let options = Options { query, ..Options::default() };
    let chain = small(options).await;
    let mut waiting = Vec::new();
    let mut waits = async |client: u8, uri: &'static str| {
        let mut answer = Box::pin(ask(&chain, client, uri));
        // Read as far as to its place in the queue.
        select! { biased; _ = &mut answer => panic!("{client} {uri}: an answer"), () = ready(()) => {} }
        waiting.push(answer);
    };
    let refused = async |client: u8, uri: &'static str| {
        let answer = ask(&chain, client, uri).await;
        assert_eq!(answer.error().0, ErrorCode::ServiceUnavailable, "{client} {uri}");
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"), "{client} {uri}");
    };
    // Searches and histories are of one class.
    waits(1, SEARCH).await;
    waits(1, HISTORY).await;
    refused(1, SEARCH).await;
    refused(1, HISTORY).await;
    // Another client, and what is cheaper, has nothing to do with that.
    waits(2, SEARCH).await;
    for uri in [PAGE, LOOK_UP] {
        waits(1, uri).await;
        waits(1, uri).await;
        refused(1, uri).await;
        waits(2, uri).await;
    }
    // All together are too many in the end.
    waits(3, SEARCH).await;
    refused(4, SEARCH).await;
    waits(4, PAGE).await;
    // Whatever is at work, the server can say how it is.
    assert_eq!(ask(&chain, 1, "/healthz").await.status, 200);
    // Who leaves makes room.
    drop(waiting);
    let mut again = Box::pin(ask(&chain, 4, SEARCH));
    select! { biased; _ = &mut again => panic!("an answer"), () = ready(()) => {} }
}

/// A request whose body is not there yet.
async fn begin(listening: &Listening, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(listening.address).await.unwrap();
    let head =
        format!("POST /v0/blocks HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\nlimit=1");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// The rest of it, and the answer.
async fn complete(mut stream: TcpStream, length: usize) -> String {
    let rest = "&".repeat(length - "limit=1".len());
    // Who is refused need not take it.
    let _ = stream.write_all(rest.as_bytes()).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

const LARGE: usize = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn bodies_wait_for_room_and_small_ones_do_not_wait_for_large_ones() {
    let http = dfuse_http::Options {
        max_body_bytes: LARGE,
        // Room for one that is large.
        max_bodies_bytes: LARGE,
        body_timeout: Duration::from_secs(3600),
        ..dfuse_http::Options::default()
    };
    let options = Options { http, ..Options::default() };
    let chain = small(options).await;
    let listening = chain.listen().await;
    let first = begin(&listening, LARGE).await;
    // What it says of itself tells when it has its room.
    while chain.api().body_bytes() < LARGE {
        tokio::task::yield_now().await;
    }
    let second = begin(&listening, LARGE).await;
    let answer = complete(begin(&listening, 10).await, 10).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(second.try_read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(chain.api().body_bytes(), LARGE.next_multiple_of(1024), "the second has no room yet");
    let answer = complete(first, LARGE).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let answer = complete(second, LARGE).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // Given back, also by one that leaves.
    let third = begin(&listening, LARGE).await;
    drop(third);
    while chain.api().body_bytes() > 0 {
        tokio::task::yield_now().await;
    }
}
