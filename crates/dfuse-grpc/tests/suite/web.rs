//! Calls of browsers, as their bytes.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use dfuse_proto::{
    dfuse::graphql::v1::{Request, Response},
    sf::firehose::v2::{InfoRequest, InfoResponse},
};
use dfuse_query::OpenAccess;
use prost::Message;
use prost_types::{Struct, Value, value::Kind};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::TestChain;

const EXECUTE: &str = "/dfuse.graphql.v1.GraphQL/Execute";
const INFO: &str = "/sf.firehose.v2.EndpointInfo/Info";

/// An answer over HTTP/1.1.
#[derive(Debug)]
struct Answer {
    status: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

async fn ask(chain: &TestChain, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(chain.address).await.unwrap();
    let length = body.len();
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n");
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all(&[format!("{head}\r\n").as_bytes(), body].concat()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().to_owned();
    let headers: BTreeMap<_, _> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body = &answer[end + 4..];
    let is_chunked = headers.get("transfer-encoding").is_some_and(|it| it == "chunked");
    Answer { status, headers, body: if is_chunked { unchunked(body) } else { body.to_vec() } }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|bytes| bytes == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 4 + length..];
    }
}

/// A message with its length before it.
fn framed(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat()
}

/// The messages of a body, and the trailers at its end.
fn parts<M: Message + Default>(mut body: &[u8]) -> (Vec<M>, BTreeMap<String, String>) {
    let mut messages = Vec::new();
    loop {
        let (kind, length) = (body[0], u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize);
        let part = &body[5..5 + length];
        body = &body[5 + length..];
        if kind == 0 {
            messages.push(M::decode(part).unwrap());
            continue;
        }
        assert!(kind == 0x80 && body.is_empty(), "trailers come last");
        let trailers = String::from_utf8(part.to_vec()).unwrap();
        let trailers = trailers.lines().map(|line| line.split_once(':').unwrap());
        return (messages, trailers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect());
    }
}

fn subscription(count: f64) -> Request {
    let fields = [("count".to_owned(), Value { kind: Some(Kind::NumberValue(count)) })].into();
    Request { query: "subscription { x }".to_owned(), variables: Some(Struct { fields }), ..Request::default() }
}

fn numbers(answers: &[Response]) -> Vec<Json> {
    answers.iter().map(|it| serde_json::from_str::<Json>(&it.data).unwrap()["number"].clone()).collect()
}

#[tokio::test]
async fn pages_of_other_origins_execute_documents() {
    let chain = TestChain::synthetic(1, Arc::new(OpenAccess)).await;
    let of_page = [("Origin", "https://wallet.example"), ("Content-Type", "application/grpc-web+proto")];
    let answer = ask(&chain, "POST", EXECUTE, &of_page, &framed(&subscription(3.0))).await;
    assert_eq!(answer.status, "HTTP/1.1 200 OK", "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/grpc-web+proto");
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let exposed = &answer.headers["access-control-expose-headers"];
    assert!(["x-trace-id", "x-error-code", "grpc-status"].iter().all(|name| exposed.contains(name)), "{exposed}");
    assert_eq!(answer.headers["x-trace-id"].len(), 32);
    let (answers, trailers) = parts::<Response>(&answer.body);
    assert_eq!((numbers(&answers), &*trailers["grpc-status"]), (vec![1.into(), 2.into(), 3.into()], "0"));

    // As text, for browsers that cannot read a body in parts.
    let as_text = [("Content-Type", "application/grpc-web-text"), ("Accept", "application/grpc-web-text")];
    let body = BASE64_STANDARD.encode(framed(&subscription(2.0)));
    let answer = ask(&chain, "POST", EXECUTE, &as_text, body.as_bytes()).await;
    assert_eq!(answer.headers["content-type"], "application/grpc-web-text+proto", "{answer:?}");
    // Each part is text of its own.
    let body = String::from_utf8(answer.body).unwrap();
    let parts_of_text = body.split_inclusive('=').collect::<Vec<_>>();
    let mut whole = Vec::new();
    let mut text = String::new();
    for part in parts_of_text {
        text += part;
        if text.len().is_multiple_of(4) {
            whole.extend(BASE64_STANDARD.decode(&text).unwrap());
            text.clear();
        }
    }
    assert_eq!(text, "");
    assert_eq!(numbers(&parts::<Response>(&whole).0), [1, 2]);
}

#[tokio::test]
async fn browsers_may_ask_first_and_errors_are_told() {
    let mut chain = TestChain::synthetic(3, Arc::new(OpenAccess)).await;
    chain.grow(3).await;
    chain.served().await;
    let question = [
        ("Origin", "https://wallet.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type,x-grpc-web"),
    ];
    let answer = ask(&chain, "OPTIONS", EXECUTE, &question, b"").await;
    assert_eq!((&*answer.status, &*answer.headers["access-control-max-age"]), ("HTTP/1.1 200 OK", "86400"));
    assert_eq!(answer.headers["access-control-allow-headers"], "authorization,content-type,x-grpc-web");
    assert!(answer.headers["access-control-allow-methods"].contains("POST"));

    let of_page = [("Origin", "https://wallet.example"), ("Content-Type", "application/grpc-web+proto")];
    let answer = ask(&chain, "POST", INFO, &of_page, &framed(&InfoRequest {})).await;
    let (infos, trailers) = parts::<InfoResponse>(&answer.body);
    assert_eq!((infos.len(), &*trailers["grpc-status"]), (1, "0"));
    // The same in plain JSON may be asked from other origins, too.
    let plain = [("Origin", "https://wallet.example"), ("Content-Type", "application/json")];
    let answer = ask(&chain, "POST", INFO, &plain, b"{}").await;
    assert_eq!((&*answer.status, &*answer.headers["access-control-allow-origin"]), ("HTTP/1.1 200 OK", "*"));

    let told = |answer: &Answer| {
        let in_headers = answer.headers.get("grpc-status").cloned();
        let trailers = if answer.body.is_empty() { BTreeMap::new() } else { parts::<Response>(&answer.body).1 };
        let of = |name: &str| answer.headers.get(name).or_else(|| trailers.get(name)).cloned();
        (in_headers.or_else(|| trailers.get("grpc-status").cloned()), of("x-error-code"))
    };
    let unknown = ask(&chain, "POST", "/dfuse.graphql.v1.GraphQL/Nothing", &of_page, &framed(&InfoRequest {})).await;
    assert_eq!(told(&unknown), (Some("12".to_owned()), Some("route_not_found_error".to_owned())), "{unknown:?}");
    let no_message = ask(&chain, "POST", EXECUTE, &of_page, b"\0\0\0\0\x05nonsense").await;
    assert_eq!(told(&no_message).1.as_deref(), Some("request_malformed_error"), "{no_message:?}");
    let no_text = [("Content-Type", "application/grpc-web-text")];
    let no_text = ask(&chain, "POST", EXECUTE, &no_text, b"!!!!").await;
    assert_eq!(told(&no_text).1.as_deref(), Some("request_malformed_error"), "{no_text:?}");
    // Other methods are no calls.
    let get = ask(&chain, "GET", EXECUTE, &of_page, b"").await;
    assert!(!get.status.contains(" 500 "), "{get:?}");
}
