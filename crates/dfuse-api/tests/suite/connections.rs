//! What only a socket shows: what is not HTTP, slow clients, the end of the server.

use std::{sync::Arc, time::Duration};

use crate::support::Options;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use dfuse_query::{ErrorCode, OpenAccess};
use dfuse_testkit::synthetic::SyntheticChain;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Answer, Listening, TestChain};

fn limits(http: dfuse_http::Options) -> Options {
    Options { http, ..Options::default() }
}

async fn serve(options: Options) -> (TestChain, Listening) {
    let chain = SyntheticChain::builder().seed(1).blocks(5).build();
    let mut chain = TestChain::synthetic(chain, Arc::new(OpenAccess), options).await;
    chain.grow(usize::MAX).await;
    let listening = chain.listen().await;
    (chain, listening)
}

/// Sends bytes and reads until the server closes.
async fn exchange(listening: &Listening, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(listening.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

/// All responses that were sent.
fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        }
        let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
        let body = bytes[end..end + length].to_vec().into();
        answers.push(Answer { status: StatusCode::from_bytes(status.as_bytes()).unwrap(), headers, body });
        bytes = &bytes[end + length..];
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_gets_an_answer() {
    let (_chain, listening) =
        serve(limits(dfuse_http::Options { max_header_bytes: 10_000, ..Default::default() })).await;
    let many = "x: y\r\n".repeat(200);
    let long = "y".repeat(20_000);
    let uri = "z".repeat(70_000);
    for (request, code) in [
        ("\0\0\0\0\r\n\r\n".to_owned(), ErrorCode::RequestMalformed),
        ("HELLO\r\n\r\n".to_owned(), ErrorCode::RequestMalformed),
        ("GET / HTTP/7.3\r\n\r\n".to_owned(), ErrorCode::RequestMalformed),
        ("GET /\u{e4}\u{0} HTTP/1.1\r\n\r\n".to_owned(), ErrorCode::RequestMalformed),
        ("GET / HTTP/1.1\r\nbad header\r\n\r\n".to_owned(), ErrorCode::RequestMalformed),
        ("GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n".to_owned(), ErrorCode::RequestMalformed),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), ErrorCode::RequestMalformed),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), ErrorCode::RequestHeadersTooLarge),
        (format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n"), ErrorCode::RequestHeadersTooLarge),
    ] {
        let sent = exchange(&listening, request.as_bytes()).await;
        let shown = format!("{:.60}: {}", request, String::from_utf8_lossy(&sent));
        let [answer] = &answers(&sent)[..] else { panic!("{shown}") };
        assert_eq!(answer.error().0, code, "{shown}");
        assert_eq!(answer.header("connection"), "close");
    }
    let (_chain, listening) =
        serve(limits(dfuse_http::Options { max_header_bytes: 100_000, ..Default::default() })).await;
    let sent = exchange(&listening, format!("GET /{uri} HTTP/1.1\r\n\r\n").as_bytes()).await;
    assert_eq!(answers(&sent)[0].error().0, ErrorCode::RequestUriTooLong);
}

/// curl and Go send targets as they are typed.
#[tokio::test(flavor = "multi_thread")]
async fn targets_that_should_have_been_encoded() {
    let (_chain, listening) = serve(Options::default()).await;
    let mut requests = Vec::new();
    for target in [
        "/v0/simple_search?q=some words <here> \"there\"",
        "/v0/simple_search?q=a`b|c{d}^e\\f",
        "/v0/simple_search?q=\u{e4}\u{4e2d}",
        "/v0/simple_search?q=a HTTP/1.1",
    ] {
        // It is searched as it is meant, with a body between two requests of one connection.
        requests.push(format!("POST {target} HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nGET / \" >"));
        requests.push(format!(
            "GET {} HTTP/1.1\r\nhost: a\r\n\r\n",
            target.replacen("simple_search?q", "search/transactions?limit=1&q", 1)
        ));
    }
    requests.push("GET /v0/blocks/<x> y HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned());
    let answers = answers(&exchange(&listening, requests.concat().as_bytes()).await);
    assert_eq!(answers.len(), requests.len());
    for answer in answers.iter().step_by(2).take(requests.len() / 2) {
        assert_eq!(answer.error().0, ErrorCode::SimpleSearchNotFound);
    }
    // After the space a second word begins.
    let (code, error) = answers[1].error();
    assert_eq!((code, &error["details"]["position"]["offset"]), (ErrorCode::RequestValidation, &serde_json::json!(5)));
    let (code, error) = answers[requests.len() - 1].error();
    assert_eq!(code, ErrorCode::RequestValidation);
    assert!(error["details"]["errors"]["id"][0].as_str().unwrap().ends_with("not \"<x> y\""), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_after_a_request_does_not_harm_its_answer() {
    let (_chain, listening) = serve(Options::default()).await;
    let sent =
        exchange(&listening, b"GET /x HTTP/1.1\r\nhost: a\r\n\r\nGET /y HTTP/1.1\r\nhost: a\r\n\r\nGARBAGE\r\n\r\n")
            .await;
    let codes: Vec<_> = answers(&sent).iter().map(|answer| answer.error().0).collect();
    assert_eq!(codes, [ErrorCode::RouteNotFound, ErrorCode::RouteNotFound, ErrorCode::RequestMalformed]);
    let head = exchange(&listening, b"HEAD /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 404 ") && head.ends_with("\r\n\r\n") && head.contains("\r\ncontent-length: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_names_one_host() {
    let (_chain, listening) = serve(Options::default()).await;
    for (version, headers, good) in [
        ("1.1", "host: a", true),
        ("1.1", "host: [::1]:8080", true),
        // What is asked for of no host in particular (RFC 9112, section 3.2).
        ("1.1", "host:", true),
        ("1.0", "host: a", true),
        ("1.0", "x: y", true),
        ("1.1", "x: y", false),
        ("1.1", "host: a\r\nhost: a", false),
        ("1.1", "host: a\r\nx: y\r\nHOST: b", false),
        ("1.0", "host: a\r\nhost: b", false),
        ("1.1", "host: a, b", false),
        ("1.1", "host: a/b", false),
        ("1.1", "host: user@a", false),
    ] {
        for target in ["/v0/blocks?limit=1", "/v1/chain/get_info", "/nowhere", "http://other/v0/blocks?limit=1"] {
            let request = format!("GET {target} HTTP/{version}\r\n{headers}\r\nconnection: close\r\n\r\n");
            let sent = exchange(&listening, request.as_bytes()).await;
            let head = String::from_utf8_lossy(&sent);
            assert_eq!(!head.contains(" 400 Bad Request\r\n"), good, "{request}: {head}");
            if !good && !target.contains("/v1/chain/") {
                let [answer] = &answers(&sent)[..] else { panic!("{request}: {head}") };
                assert_eq!((answer.error().0, answer.header("connection")), (ErrorCode::RequestMalformed, "close"));
            }
        }
    }
    // What came behind it on the connection is not looked at.
    let two = b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(answers(&exchange(&listening, two).await).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_come_in_chunks_or_as_they_are() {
    let (_chain, listening) = serve(Options::default()).await;
    for (coding, code) in [
        ("gzip", Some(ErrorCode::TransferCodingUnsupported)),
        ("gzip, chunked", Some(ErrorCode::TransferCodingUnsupported)),
        ("chunked, identity", Some(ErrorCode::TransferCodingUnsupported)),
        ("x-unknown;q=1, chunked", Some(ErrorCode::TransferCodingUnsupported)),
        ("chunked, chunked", Some(ErrorCode::RequestMalformed)),
        ("Chunked", None),
    ] {
        let request = format!(
            "POST /v0/blocks HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: {coding}\r\n\r\n\
             7\r\nlimit=1\r\n0\r\n\r\n"
        );
        let sent = exchange(&listening, request.as_bytes()).await;
        let [answer] = &answers(&sent)[..] else { panic!("{coding}: {}", String::from_utf8_lossy(&sent)) };
        match code {
            Some(code) => assert_eq!(answer.error().0, code, "{coding}"),
            None => assert_eq!(answer.status, StatusCode::OK, "{coding}"),
        }
    }
}

/// A client may close its side when it has asked, and is answered all the same, whether its answer takes long or not.
#[tokio::test(flavor = "multi_thread")]
async fn who_only_closes_its_side_is_answered() {
    let (_chain, listening) = serve(Options::default()).await;
    let large =
        format!("POST /v0/blocks HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\nlimit=1{}", "&".repeat(299_993));
    for request in
        ["GET /v0/blocks?limit=5 HTTP/1.1\r\nhost: a\r\n\r\n", "GET /healthz HTTP/1.0\r\n\r\n", &large].repeat(20)
    {
        let mut stream = TcpStream::connect(listening.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut sent = Vec::new();
        stream.read_to_end(&mut sent).await.unwrap();
        let sent = String::from_utf8(sent).unwrap();
        assert!(sent.starts_with("HTTP/1.") && sent.contains(" 200 OK"), "{}: {sent}", &request[..30]);
    }
}

/// Sends a request whose connection goes on, and reads its answer.
async fn ask(stream: &mut TcpStream) -> Answer {
    stream.write_all(b"GET /v0/blocks?limit=1 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    loop {
        let read = stream.read_buf(&mut answer).await.unwrap();
        assert!(read > 0, "it was closed after {}", String::from_utf8_lossy(&answer));
        if answer.ends_with(b"]\n") || answer.ends_with(b"]") {
            return answers(&answer).pop().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room() {
    let (chain, listening) = serve(limits(dfuse_http::Options { max_connections: 3, ..Default::default() })).await;
    let connect = async || TcpStream::connect(listening.address).await.unwrap();
    let (mut first, mut silent, mut at_work) = (connect().await, connect().await, connect().await);
    ask(&mut first).await;
    at_work.write_all(b"POST /v0/blocks HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\nlim").await.unwrap();
    // The first one is asked again, so that the one which never said anything has been idle longest.
    ask(&mut first).await;
    let mut fourth = connect().await;
    ask(&mut fourth).await;
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0, "it left for the fourth one");
    let mut fifth = connect().await;
    ask(&mut fifth).await;
    assert_eq!(first.read(&mut [0; 1]).await.unwrap(), 0, "it left for the fifth one");
    // Half of a header is not work: such clients cannot keep others away.
    fourth.write_all(b"GET /v0/blocks HTTP/1.1\r\nhos").await.unwrap();
    let mut sixth = connect().await;
    ask(&mut sixth).await;
    assert!(fourth.read(&mut [0; 1]).await.is_ok_and(|read| read == 0), "it left for the sixth one");
    // Whoever is at work stays, whoever comes.
    at_work.write_all(b"it=").await.unwrap();
    for _ in 0..5 {
        ask(&mut connect().await).await;
    }
    at_work.write_all(b"1").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"]") && !answer.ends_with(b"]\n") {
        assert!(at_work.read_buf(&mut answer).await.unwrap() > 0);
    }
    assert_eq!(answers(&answer)[0].status, StatusCode::OK);
    let health = chain.get("/healthz").await.json();
    assert_eq!(health["connections"]["most"], 3);
    assert!(health["connections"]["open"].as_u64().unwrap() <= 3, "{health}");
    let metrics = String::from_utf8(chain.get("/metrics").await.body.to_vec()).unwrap();
    assert!(metrics.contains("\ndfuse_connections_most 3\n"), "{metrics}");
    assert!(!metrics.contains("\ndfuse_idle_connections_closed_total 0\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_told() {
    let short = Duration::from_millis(100);
    let (_chain, listening) =
        serve(limits(dfuse_http::Options { header_timeout: short, body_timeout: short, ..Default::default() })).await;
    let sent = exchange(&listening, b"GET / HTTP/1.1\r\nhost:").await;
    assert_eq!(answers(&sent)[0].error().0, ErrorCode::RequestTimeout);
    let sent = exchange(&listening, b"POST /v0/blocks HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nlimit").await;
    assert_eq!(answers(&sent)[0].error().0, ErrorCode::RequestTimeout);
    // One that only keeps its connection is not talked to.
    assert_eq!(exchange(&listening, b"").await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_limits() {
    let (_chain, listening) = serve(limits(dfuse_http::Options { max_body_bytes: 1000, ..Default::default() })).await;
    let body = "limit=1&".repeat(20_000);
    let length = body.len();
    let chunked = format!(
        "POST /v0/blocks HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
    );
    for request in [
        format!("POST /v0/blocks HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"),
        format!("POST /v0/blocks HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n"),
        chunked.replacen("transfer-encoding", "connection: close\r\ntransfer-encoding", 1),
    ] {
        let sent = exchange(&listening, request.as_bytes()).await;
        let (code, error) = answers(&sent)[0].error();
        assert_eq!((code, &error["details"]["limit"]), (ErrorCode::RequestBodyTooLarge, &serde_json::json!(1000)));
    }
    let broken = b"POST /v0/blocks HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    assert_eq!(answers(&exchange(&listening, broken).await)[0].error().0, ErrorCode::RequestMalformed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_waits_for_those_at_work() {
    let (chain, listening) = serve(Options::default()).await;
    let mut idle = TcpStream::connect(listening.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut buffer = vec![0; 4096];
    assert!(idle.read(&mut buffer).await.unwrap() > 0);
    // A stream holds the server up until it has said goodbye.
    let mut stream = chain.api().stopping();
    listening.stop.send(()).unwrap();
    stream.begun().await;
    assert_eq!(idle.read(&mut buffer).await.unwrap(), 0, "idle connections are closed");
    let (_, error) = chain.get("/healthz").await.error();
    assert_eq!(error["details"]["conditions"]["running"], "the server is going away");
    assert!(!listening.task.is_finished());
    drop(stream);
    listening.task.await.unwrap();
    assert!(TcpStream::connect(listening.address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_does_not_wait_for_ever() {
    let (chain, listening) =
        serve(limits(dfuse_http::Options { shutdown_grace: Duration::from_millis(50), ..Default::default() })).await;
    let _stream = chain.api().stopping();
    listening.stop.send(()).unwrap();
    listening.task.await.unwrap();
}
