//! Streams of whole blocks against a naive model of the chain.

use std::sync::Arc;

use dfuse_antelope::model::{Block, Message as _};
use dfuse_blocks::BlockRef;
use dfuse_proto::sf::firehose::v2::{
    InfoRequest, Request, Response, SingleBlockRequest,
    endpoint_info_client::EndpointInfoClient,
    fetch_client::FetchClient,
    single_block_request::{BlockHashAndNumber, BlockNumber, Cursor, Reference},
    stream_client::StreamClient,
};
use dfuse_query::OpenAccess;
use tonic::{Code, Status, Streaming, codec::CompressionEncoding, transport::Channel};

use crate::{
    model::{Event, FINAL, Model, NEW, UNDO, event, family, tip},
    support::{FORKS, TestChain, code},
};

fn client(chain: &TestChain) -> StreamClient<Channel> {
    StreamClient::new(chain.channel.clone()).max_decoding_message_size(usize::MAX)
}

async fn stream(chain: &TestChain, request: Request) -> Streaming<Response> {
    client(chain).blocks(request).await.unwrap().into_inner()
}

async fn all(chain: &TestChain, request: Request) -> Vec<Response> {
    let mut stream = stream(chain, request).await;
    let mut responses = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        responses.push(response);
    }
    responses
}

fn events(responses: &[Response], model: &Model) -> Vec<Event> {
    responses.iter().map(|response| event(response, model)).collect()
}

fn after(cursor: &str) -> Request {
    Request { cursor: cursor.to_owned(), ..Request::default() }
}

#[tokio::test]
async fn a_live_stream_through_forks_and_every_cursor_of_it() {
    let Some(mut chain) = TestChain::recorded(FORKS).await else { return };
    // It begins before there is a block.
    let mut live = stream(&chain, Request::default()).await;
    let mut model = Model::default();
    let mut seen: Vec<(Event, String)> = Vec::new();
    while chain.grow(1).await > 0 {
        let expected = model.push(chain.blocks.last().unwrap());
        for expected in expected {
            let response = live.message().await.unwrap().unwrap();
            assert_eq!(event(&response, &model), expected);
            seen.push((expected, response.cursor));
        }
    }
    let undone = seen.iter().filter(|((step, _), _)| *step == UNDO).count();
    assert!(undone >= 3, "the recording has forks: {undone}");

    // From every cursor, to the head.
    let head = u64::from(model.head.unwrap().block_num());
    for (event, cursor) in &seen {
        let rest = model.way(Some(tip(event, &model)));
        let responses = all(&chain, Request { stop_block_num: head, ..after(cursor) }).await;
        assert_eq!(events(&responses, &model), rest, "after {event:?}");
    }
    // Killed now and then, and resumed.
    let mut client_tip = None;
    let mut cursor = String::new();
    for round in 0.. {
        let mut stream = stream(&chain, Request { stop_block_num: head, ..after(&cursor) }).await;
        let mut ended = false;
        for _ in 0..=round % 7 {
            match stream.message().await.unwrap() {
                Some(response) => {
                    let (step, id) = event(&response, &model);
                    let previous = model.blocks[&id].header.previous;
                    assert!(step == NEW && client_tip.is_none_or(|tip| tip == previous), "{id} twice or too early");
                    client_tip = Some(id);
                    cursor = response.cursor;
                }
                None => ended = true,
            }
        }
        if ended {
            break;
        }
    }
    assert_eq!(client_tip, model.head);
}

#[tokio::test]
async fn final_blocks_come_once_and_in_order() {
    let Some(mut chain) = TestChain::recorded(FORKS).await else { return };
    let mut live = stream(&chain, Request { final_blocks_only: true, ..Request::default() }).await;
    chain.grow(usize::MAX).await;
    let mut model = Model::default();
    chain.blocks.iter().for_each(|block| drop(model.push(block)));
    let best = model.chain(model.head);
    let lib = model.blocks[&model.head.unwrap()].dpos_irreversible_blocknum;
    let expected: Vec<_> = best.iter().filter(|id| id.block_num() <= lib).map(|id| (FINAL, *id)).collect();
    let mut cursors = Vec::new();
    for expected in &expected {
        let response = live.message().await.unwrap().unwrap();
        assert_eq!(event(&response, &model), *expected);
        cursors.push(response.cursor);
    }
    for (at, cursor) in cursors.iter().enumerate().step_by(17) {
        let request = Request { final_blocks_only: true, stop_block_num: lib.into(), ..after(cursor) };
        assert_eq!(events(&all(&chain, request).await, &model), expected[at + 1..]);
        // The same place in a stream of new blocks.
        let request = Request { stop_block_num: model.head.unwrap().block_num().into(), ..after(cursor) };
        assert_eq!(events(&all(&chain, request).await, &model), model.way(Some(expected[at].1)));
    }
}

async fn refused(chain: &TestChain, request: Request) -> (Code, String, String) {
    let status = client(chain).blocks(request).await.map(drop).unwrap_err();
    (status.code(), code(&status), status.message().to_owned())
}

#[tokio::test]
async fn where_streams_begin_and_end() {
    let mut chain = TestChain::synthetic(250, Arc::new(OpenAccess)).await;
    let status = client(&chain).blocks(Request { start_block_num: -1, ..Request::default() }).await.unwrap_err();
    assert_eq!((status.code(), &*code(&status)), (Code::Unavailable, "app_not_ready_error"));
    chain.grow(200).await;
    chain.write_bundles().await;
    let mut model = Model::default();
    chain.blocks.iter().for_each(|block| drop(model.push(block)));
    let (first, head) = (u64::from(chain.blocks[0].number), u64::from(model.head.unwrap().block_num()));
    for (start, stop, expected) in [
        (0, 10, first..=10),
        (1, 10, first..=10),
        (99, 101, 99..=101),
        (-5, head, head - 5..=head),
        (-100_000, first, first..=first),
        (i64::MIN, first, first..=first),
        (7, 7, 7..=7),
    ] {
        let request = Request { start_block_num: start, stop_block_num: stop, ..Request::default() };
        let numbers: Vec<_> = all(&chain, request).await.iter().map(|it| it.metadata.as_ref().unwrap().num).collect();
        assert_eq!(numbers, expected.collect::<Vec<_>>(), "{start} to {stop}");
    }
    let request = |start, stop| Request { start_block_num: start, stop_block_num: stop, ..Request::default() };
    let (status, code, message) = refused(&chain, request(10, 9)).await;
    assert_eq!((status, &*code), (Code::InvalidArgument, "request_validation_error"));
    assert!(message.contains("start block 10 is after stop block 9"), "{message}");
    assert_eq!(refused(&chain, request(1 << 40, 0)).await.0, Code::InvalidArgument);
    let transform = dfuse_proto::Any { type_url: "type.googleapis.com/x.Y".into(), value: Default::default() };
    let (status, code, message) = refused(&chain, Request { transforms: vec![transform], ..Request::default() }).await;
    assert_eq!((status, &*code), (Code::Unimplemented, "firehose_transform_unsupported_error"));
    assert!(message.contains("type.googleapis.com/x.Y"), "{message}");

    // What is above the head comes when it is there.
    let mut above = stream(&chain, request(head as i64 + 3, 0)).await;
    chain.grow(3).await;
    assert_eq!(above.message().await.unwrap().unwrap().metadata.unwrap().num, head + 3);
}

#[tokio::test]
async fn whole_chains_come_in_every_compression() {
    let mut chain = TestChain::synthetic(250, Arc::new(OpenAccess)).await;
    chain.grow(usize::MAX).await;
    chain.write_bundles().await;
    let mut model = Model::default();
    chain.blocks.iter().for_each(|block| drop(model.push(block)));
    let request = Request { stop_block_num: model.head.unwrap().block_num().into(), ..Request::default() };
    let expected = model.way(None);
    for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let mut client = client(&chain);
        if let Some(encoding) = encoding {
            client = client.accept_compressed(encoding).send_compressed(encoding);
        }
        let answer = client.blocks(request.clone()).await.unwrap();
        let used = answer.metadata().get("grpc-encoding").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(used.is_some(), encoding.is_some(), "{used:?}");
        let mut stream = answer.into_inner();
        for expected in &expected {
            assert_eq!(event(&stream.message().await.unwrap().unwrap(), &model), *expected);
        }
        assert!(stream.message().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn clients_come_with_cursors_of_other_servers() {
    let Some(mut chain) = TestChain::recorded(FORKS).await else { return };
    chain.grow(usize::MAX).await;
    let mut model = Model::default();
    chain.blocks.iter().for_each(|block| drop(model.push(block)));
    let best = model.chain(model.head);
    let head = u64::from(model.head.unwrap().block_num());
    let lib_of = |block: &Block| {
        let chain = model.chain(Some(block.id));
        chain.into_iter().rev().find(|id| id.block_num() <= block.dpos_irreversible_blocknum)
    };
    let mut on_forks = 0;
    // Every block that was forked out, and some others.
    for (block, at) in chain.blocks.iter().zip(0..) {
        if best.contains(&block.id) && at % 16 != 0 {
            continue;
        }
        let Some(lib) = lib_of(block) else { continue };
        let (id, lib_num) = (block.id, lib.block_num());
        on_forks += usize::from(!best.contains(&id));
        let parent = block.header.previous;
        let new = format!("c1:1:{}:{id}:{lib_num}:{lib}", block.number);
        let undo = format!("c3:2:{}:{id}:{}:{parent}:{lib_num}:{lib}", block.number, block.number - 1);
        for (plain, tip) in [(new, id), (undo, parent)] {
            let request = Request { stop_block_num: head, ..after(&family(&plain)) };
            assert_eq!(events(&all(&chain, request).await, &model), model.way(Some(tip)), "{plain}");
        }
    }
    assert!(on_forks > 0);
    // Of final blocks alone.
    let lib = model.blocks[&model.head.unwrap()].dpos_irreversible_blocknum;
    let finals: Vec<_> = best.iter().filter(|id| id.block_num() <= lib).collect();
    let some = finals[finals.len() / 2];
    let request = Request {
        final_blocks_only: true,
        stop_block_num: lib.into(),
        ..after(&family(&format!("c2:16:{}:{some}:{head}:{}", some.block_num(), model.head.unwrap())))
    };
    let expected: Vec<_> = finals[finals.len() / 2 + 1..].iter().map(|id| (FINAL, **id)).collect();
    assert_eq!(events(&all(&chain, request).await, &model), expected);
}

#[tokio::test]
async fn cursors_that_lead_nowhere_are_refused() {
    let Some(mut chain) = TestChain::recorded(FORKS).await else { return };
    chain.grow(usize::MAX).await;
    let head = chain.feed.handle().head().unwrap();
    let lib = chain.feed.handle().lib().unwrap();
    let mut unknown = head;
    unknown.id.0[31] ^= 1;
    let mut ahead = unknown;
    ahead.number += 9;
    ahead.id.0[..4].copy_from_slice(&ahead.number.to_be_bytes());
    let of = |block: BlockRef| family(&format!("c1:1:{}:{}:{}:{}", block.number, block.id, lib.number, lib.id));
    for (cursor, final_blocks_only, expected) in [
        ("no cursor".to_owned(), false, Code::InvalidArgument),
        ("x".repeat(10_000), false, Code::InvalidArgument),
        (family("c1:1:1:2"), false, Code::InvalidArgument),
        (of(unknown), false, Code::InvalidArgument),
        (of(ahead), false, Code::Unavailable),
        // It was not final then.
        (of(head), true, Code::InvalidArgument),
    ] {
        let (status, ..) = refused(&chain, Request { final_blocks_only, ..after(&cursor) }).await;
        assert_eq!(status, expected, "{cursor}");
    }
}

fn single(reference: Reference) -> SingleBlockRequest {
    SingleBlockRequest { reference: Some(reference), transforms: Vec::new() }
}

#[tokio::test]
async fn single_blocks_of_every_branch_are_fetched() {
    let Some(mut chain) = TestChain::recorded(FORKS).await else { return };
    let mut live = stream(&chain, Request::default()).await;
    chain.grow(usize::MAX).await;
    let mut model = Model::default();
    chain.blocks.iter().for_each(|block| drop(model.push(block)));
    let best = model.chain(model.head);
    let mut client = FetchClient::new(chain.channel.clone()).max_decoding_message_size(usize::MAX);
    for block in &chain.blocks {
        let (num, hash) = (block.number.into(), block.id.to_string());
        let asked = single(Reference::BlockHashAndNumber(BlockHashAndNumber { num, hash }));
        let found = client.block(asked).await.unwrap().into_inner();
        assert_eq!(found.block.unwrap().value, block.to_bytes());
        assert_eq!(found.metadata.unwrap().id, block.id.to_string());
    }
    for id in best.iter().step_by(13) {
        let asked = single(Reference::BlockNumber(BlockNumber { num: id.block_num().into() }));
        assert_eq!(client.block(asked).await.unwrap().into_inner().metadata.unwrap().id, id.to_string());
    }
    let first = live.message().await.unwrap().unwrap();
    let asked = single(Reference::Cursor(Cursor { cursor: first.cursor }));
    assert_eq!(client.block(asked).await.unwrap().into_inner().metadata, first.metadata);

    let hash = |num, hash: &str| Reference::BlockHashAndNumber(BlockHashAndNumber { num, hash: hash.to_owned() });
    let some = best[0];
    let mut unknown = some;
    unknown.0[31] ^= 1;
    for (reference, expected) in [
        (Some(Reference::BlockNumber(BlockNumber { num: 1 << 20 })), Code::NotFound),
        (Some(Reference::BlockNumber(BlockNumber { num: 1 << 40 })), Code::NotFound),
        (Some(Reference::BlockNumber(BlockNumber { num: 0 })), Code::NotFound),
        (Some(hash(some.block_num().into(), &unknown.to_string())), Code::NotFound),
        (Some(hash(7, &some.to_string())), Code::InvalidArgument),
        (Some(hash(some.block_num().into(), "0x12")), Code::InvalidArgument),
        (Some(Reference::Cursor(Cursor { cursor: "no cursor".to_owned() })), Code::InvalidArgument),
        (None, Code::InvalidArgument),
    ] {
        let status: Status =
            client.block(SingleBlockRequest { reference: reference.clone(), ..Default::default() }).await.unwrap_err();
        assert_eq!(status.code(), expected, "{reference:?}");
        code(&status);
    }
}

#[tokio::test]
async fn the_endpoint_says_what_it_serves() {
    let mut chain = TestChain::synthetic(10, Arc::new(OpenAccess)).await;
    let mut client = EndpointInfoClient::new(chain.channel.clone());
    let status = client.info(InfoRequest {}).await.unwrap_err();
    assert_eq!((status.code(), &*code(&status)), (Code::Unavailable, "app_not_ready_error"));
    chain.grow(usize::MAX).await;
    let info = client.info(InfoRequest {}).await.unwrap().into_inner();
    let first = &chain.blocks[0];
    assert_eq!(info.first_streamable_block_num, u64::from(first.number));
    assert_eq!(info.first_streamable_block_id, first.id.to_string());
    assert_eq!(info.block_id_encoding().as_str_name(), "BLOCK_ID_ENCODING_HEX");
}
