//! Version 1 of Firehose, and the plain HTTP of its information.

use std::sync::Arc;

use dfuse_proto::sf::firehose::{
    v1::{ForkStep, Request, stream_client::StreamClient},
    v2,
};
use dfuse_query::OpenAccess;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Code;

use crate::support::{FORKS, TestChain, code};

fn asking(steps: &[ForkStep]) -> Request {
    Request { fork_steps: steps.iter().map(|step| *step as i32).collect(), ..Request::default() }
}

#[tokio::test]
async fn version_1_streams_what_version_2_does() {
    let Some(mut chain) = TestChain::recorded(FORKS).await else { return };
    let mut older = StreamClient::new(chain.channel.clone()).max_decoding_message_size(usize::MAX);
    let mut newer = v2::stream_client::StreamClient::new(chain.channel.clone()).max_decoding_message_size(usize::MAX);
    let mut live = older.blocks(asking(&[ForkStep::StepNew, ForkStep::StepUndo])).await.unwrap().into_inner();
    let mut same = newer.blocks(v2::Request::default()).await.unwrap().into_inner();
    let (mut tip, mut undone) = (String::new(), 0);
    let mut cursor = String::new();
    while chain.blocks.len() < 120 && chain.grow(1).await > 0 {
        let head = chain.feed.handle().head().unwrap();
        while tip != head.id.to_string() {
            let (ours, theirs) = (live.message().await.unwrap().unwrap(), same.message().await.unwrap().unwrap());
            assert_eq!((&ours.block, &ours.cursor), (&theirs.block, &theirs.cursor));
            let is_undo = ours.step() == ForkStep::StepUndo;
            assert_eq!(is_undo, theirs.step() == v2::ForkStep::StepUndo);
            undone += usize::from(is_undo);
            cursor = ours.cursor;
            let metadata = theirs.metadata.unwrap();
            tip = if is_undo { metadata.parent_id } else { metadata.id };
        }
    }
    assert!(undone > 0);
    let lib = u64::from(chain.feed.handle().lib().unwrap().number);
    let finals = Request { stop_block_num: lib, ..asking(&[ForkStep::StepIrreversible]) };
    let mut finals = older.blocks(finals).await.unwrap().into_inner();
    let mut count = 0;
    while let Some(response) = finals.message().await.unwrap() {
        assert_eq!(response.step(), ForkStep::StepIrreversible);
        count += 1;
    }
    assert_eq!(count, lib - 1);
    // It goes on after a cursor.
    let asked = Request { start_cursor: cursor, ..asking(&[ForkStep::StepNew]) };
    let mut rest = older.blocks(asked).await.unwrap().into_inner();
    chain.grow(1).await;
    assert_eq!(rest.message().await.unwrap().unwrap().block, same.message().await.unwrap().unwrap().block);

    for steps in [&[][..], &[ForkStep::StepUndo], &[ForkStep::StepIrreversible, ForkStep::StepNew]] {
        let status = older.blocks(asking(steps)).await.unwrap_err();
        assert_eq!((status.code(), &*code(&status)), (Code::InvalidArgument, "request_validation_error"));
    }
}

/// The head and the JSON of an answer to a request by plain HTTP.
async fn post(chain: &TestChain) -> (String, Value) {
    let mut stream = TcpStream::connect(chain.address).await.unwrap();
    let request = "POST /sf.firehose.v2.EndpointInfo/Info HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
                   Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn the_endpoint_says_what_it_serves_over_plain_http() {
    let mut chain = TestChain::synthetic(10, Arc::new(OpenAccess)).await;
    let (head, body) = post(&chain).await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert!(head.contains("x-error-code: app_not_ready_error") && head.contains("x-trace-id: "), "{head}");
    assert_eq!(body["code"], "unavailable");
    chain.grow(usize::MAX).await;
    let (head, body) = post(&chain).await;
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: application/json"), "{head}");
    let first = &chain.blocks[0];
    let expected = json!({
        "firstStreamableBlockNum": first.number.to_string(),
        "firstStreamableBlockId": first.id.to_string(),
        "blockIdEncoding": "BLOCK_ID_ENCODING_HEX",
    });
    assert_eq!(body, expected);
}
