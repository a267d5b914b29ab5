//! Firehose endpoints that are not what they should be, and several of them with different heads.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use dfuse_antelope::model::{Block, Message};
use dfuse_deep_mind::{Event, Reader};
use dfuse_node::{
    Source, SourceEvent, SourceOptions,
    firehose::{FirehoseOptions, ForkStep},
};
use dfuse_proto::{
    Any,
    sf::firehose::v2::{
        InfoRequest, InfoResponse, Request, Response,
        endpoint_info_server::{EndpointInfo, EndpointInfoServer},
        stream_server::{Stream, StreamServer},
    },
};
use dfuse_testkit::synthetic::SyntheticChain;
use futures::{FutureExt, StreamExt, stream, stream::BoxStream};
use tokio::net::TcpListener;
use tonic::{
    Status,
    transport::{Server, server::TcpIncoming},
};

/// Blocks below the head that are not final.
const REVERSIBLE: u32 = 3;

type Messages = BoxStream<'static, Result<Response, Status>>;

/// An endpoint that answers as a test says.
#[derive(Clone)]
struct Endpoint {
    answer: Arc<Mutex<dyn FnMut(Request) -> Messages + Send>>,
    chain_name: String,
}

#[tonic::async_trait]
impl Stream for Endpoint {
    type BlocksStream = Messages;

    async fn blocks(&self, request: tonic::Request<Request>) -> Result<tonic::Response<Messages>, Status> {
        Ok(tonic::Response::new(self.answer.lock().unwrap()(request.into_inner())))
    }
}

#[tonic::async_trait]
impl EndpointInfo for Endpoint {
    async fn info(&self, _: tonic::Request<InfoRequest>) -> Result<tonic::Response<InfoResponse>, Status> {
        let chain_name = self.chain_name.clone();
        Ok(tonic::Response::new(InfoResponse { chain_name, first_streamable_block_num: 2, ..InfoResponse::default() }))
    }
}

/// Starts an endpoint; returns its address.
async fn endpoint(chain_name: &str, answer: impl FnMut(Request) -> Messages + Send + 'static) -> String {
    let endpoint = Endpoint { answer: Arc::new(Mutex::new(answer)), chain_name: chain_name.to_owned() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Server::builder()
        .add_service(StreamServer::new(endpoint.clone()))
        .add_service(EndpointInfoServer::new(endpoint))
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);
    address
}

/// The blocks of a chain, the first one at 0 and with the number 2.
fn chain(seed: u64) -> Vec<Block> {
    let mut log = Vec::new();
    SyntheticChain::builder().seed(seed).blocks(40).build().write_log(&mut log).unwrap();
    let (mut reader, mut blocks) = (Reader::new(&log[..]), Vec::new());
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(mut block) = event {
            block.dpos_irreversible_blocknum = block.number.saturating_sub(REVERSIBLE);
            blocks.push(*block);
        }
    }
    blocks
}

fn message(step: ForkStep, block: &Block) -> Response {
    let type_url = "type.googleapis.com/sf.antelope.type.v1.Block".to_owned();
    let block_bytes = block.to_bytes().to_vec();
    let cursor = block.number.to_string();
    Response { block: Some(Any { type_url, value: block_bytes.into() }), step: step.into(), cursor, metadata: None }
}

fn new(block: &Block) -> Response {
    message(ForkStep::StepNew, block)
}

fn source(endpoints: &[String], silence: Duration) -> Source {
    let firehose = FirehoseOptions {
        silence,
        prefer_again: Duration::from_millis(50),
        pauses: (Duration::from_millis(10), Duration::from_millis(20)),
        ..FirehoseOptions::default()
    };
    let chain_id = Some("11".repeat(32).parse().unwrap());
    let options = SourceOptions { start_block: 2, follow: true, firehose, chain_id, ..SourceOptions::default() };
    Source::open(&format!("firehose:{}", endpoints.join(",")).parse().unwrap(), options).unwrap()
}

/// What comes of an endpoint: the numbers of its blocks, and what is wrong with it, which is told as a failure that may pass or ends
/// the source.
async fn outcome(
    chain_name: &str,
    answer: impl FnMut(Request) -> Messages + Send + 'static,
) -> (Vec<u32>, String, bool) {
    let mut source = source(&[endpoint(chain_name, answer).await], Duration::from_millis(500));
    let (mut numbers, mut told) = (Vec::new(), String::new());
    loop {
        match source.next().await {
            Ok(Some(SourceEvent::Block { encoded, .. })) => numbers.push(encoded.number()),
            // The same again, or without an end: it goes on like that.
            Ok(Some(SourceEvent::Interrupted(Some(why)))) if why == told || why.contains("silent") => {
                return (numbers, why, false);
            }
            Ok(Some(SourceEvent::Interrupted(Some(why)))) => told = why,
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended after {numbers:?}"),
            Err(error) => return (numbers, error.to_string(), true),
        }
    }
}

/// An endpoint that sends these messages and no more, whatever it is asked for but its head.
fn sends(head: Response, messages: Vec<Response>) -> impl FnMut(Request) -> Messages + Send + 'static {
    move |request| match request.start_block_num {
        ..0 => stream::iter([Ok(head.clone())]).boxed(),
        _ => stream::iter(messages.clone()).map(Ok).chain(stream::pending()).boxed(),
    }
}

#[tokio::test]
async fn what_endpoints_send_is_checked() {
    let (chain, other) = (chain(1), chain(2));
    let with = |change: &dyn Fn(&mut Block)| {
        let mut block = chain[1].clone();
        change(&mut block);
        vec![new(&chain[0]), new(&block)]
    };
    let of_type = |type_url: &str| {
        let mut message = new(&chain[1]);
        message.block.as_mut().unwrap().type_url = type_url.to_owned();
        vec![new(&chain[0]), message]
    };
    let bytes = |value: Vec<u8>| {
        let mut message = new(&chain[1]);
        message.block.as_mut().unwrap().value = value.into();
        vec![new(&chain[0]), message]
    };
    let undo = |block| message(ForkStep::StepUndo, block);
    let lost = "it is of another chain, or has lost blocks";
    for (what, messages, wanted) in [
        ("no protobuf", bytes(vec![0xff; 9]), "cannot be read"),
        ("an empty block", bytes(vec![]), "cannot be"),
        ("another chain's blocks", of_type("type.googleapis.com/sf.ethereum.type.v2.Block"), "another kind of chain"),
        ("a number that is not that of its id", with(&|block| block.number = 77), "cannot be"),
        ("an id of another number", with(&|block| block.id.0[0] = 9), "cannot be"),
        ("an undo of nothing", vec![undo(&chain[0])], lost),
        ("an undo of another block", vec![new(&chain[0]), new(&chain[1]), undo(&chain[0])], lost),
        ("a gap", vec![new(&chain[0]), new(&chain[2])], lost),
        ("blocks out of order", vec![new(&chain[0]), new(&chain[2]), new(&chain[1])], lost),
        ("the same block", vec![new(&chain[0]), new(&chain[0]), new(&chain[0])], lost),
        ("a change of chains", vec![new(&chain[0]), new(&other[1])], lost),
    ] {
        let (numbers, told, ended) = outcome("", sends(new(&chain[2]), messages)).await;
        assert!(ended && told.contains(wanted), "{what}: {told}");
        // Nothing of it was handed on, and nothing twice.
        assert!([&[][..], &[2], &[2, 3]].contains(&&*numbers), "{what}: {numbers:?}");
    }
}

#[tokio::test]
async fn endpoints_that_bring_nothing_are_left() {
    let chain = chain(1);
    let [first, second] = [0, 1].map(|at| new(&chain[at]));
    let undo = message(ForkStep::StepUndo, &chain[1]);
    let (begin, again) = ([first.clone(), second.clone()], [undo, second]);
    let head = move || stream::iter([Ok(first.clone())]).boxed();
    let is_head = |request: &Request| request.start_block_num < 0;
    let (one, two, three) = (head.clone(), head.clone(), head);

    let (numbers, told, ended) =
        outcome("", move |request| if is_head(&request) { one() } else { stream::empty().boxed() }).await;
    assert!(numbers.is_empty() && !ended && told.contains("it ended its stream"), "{told}");
    let silent = move |request| if is_head(&request) { two() } else { stream::pending().boxed() };
    let (numbers, told, ended) = outcome("", silent).await;
    assert!(numbers.is_empty() && !ended && told.contains("it was silent"), "{told}");
    // The same two blocks for ever.
    let turning = move |request| match is_head(&request) {
        true => three(),
        false => stream::iter(begin.clone().into_iter().chain(again.clone().into_iter().cycle())).map(Ok).boxed(),
    };
    let (numbers, told, ended) = outcome("", turning).await;
    assert!(numbers == [2, 3] && !ended && told.contains("it was silent"), "{numbers:?} {told}");
    // Whoever serves another chain, or does not serve us, is not asked again.
    let (_, told, ended) = outcome(&"22".repeat(32), |_| stream::empty().boxed()).await;
    assert!(ended && told.contains(&format!("not {}", "11".repeat(32))), "{told}");
    let denied = |_| stream::iter([Err(Status::unauthenticated("who are you?"))]).boxed();
    let (_, told, ended) = outcome("", denied).await;
    assert!(ended && told.contains("who are you?") && told.contains("firehose.api_key"), "{told}");
}

/// How far an endpoint is.
#[derive(Default)]
struct Standing {
    /// Its head; 0: it is away.
    head: u32,
    /// How often it was asked for that.
    asked: u32,
}

/// An endpoint of the chain as far as it is, which sends what is there when it is asked.
async fn standing(chain: &[Block], head: u32) -> (String, Arc<Mutex<Standing>>) {
    let standing = Arc::new(Mutex::new(Standing { head, asked: 0 }));
    let (chain, own) = (chain.to_vec(), standing.clone());
    let address = endpoint("", move |request| {
        let mut standing = own.lock().unwrap();
        let head = standing.head;
        standing.asked += u32::from(request.start_block_num < 0);
        let first = match request.cursor.parse::<u32>() {
            Ok(cursor) => cursor + 1,
            Err(_) if request.start_block_num < 0 => head,
            Err(_) => u32::try_from(request.start_block_num).unwrap().max(2),
        };
        let messages: Vec<_> = chain.iter().filter(|block| (first..=head).contains(&block.number)).map(new).collect();
        let away = stream::once(async { Err(Status::unavailable("away")) });
        let own = own.clone();
        // It ends when the endpoint goes away.
        let end = stream::unfold(own, async |own| {
            while own.lock().unwrap().head != 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            None
        });
        stream::iter(messages).map(Ok).chain(end).chain(away).boxed()
    });
    (address.await, standing)
}

#[tokio::test]
async fn an_endpoint_that_is_behind_is_not_waited_for() {
    let chain = chain(1);
    let (first_at, first) = standing(&chain, 20).await;
    let (second_at, second) = standing(&chain, 5).await;
    let mut source = source(&[first_at.clone(), second_at.clone()], Duration::from_secs(60));
    let (mut numbers, mut served) = (Vec::new(), Vec::new());
    let mut told = String::new();
    while numbers.last() != Some(&35) {
        match source.next().await.unwrap().unwrap() {
            SourceEvent::Block { encoded, .. } => numbers.push(encoded.number()),
            SourceEvent::ServedBy(endpoint) => served.push(endpoint),
            SourceEvent::Interrupted(Some(why)) => told = why,
            _ => {}
        }
        match numbers.last() {
            Some(20) if told.contains("its chain ends with block 5, and block 18 is the next one") => {
                second.lock().unwrap().head = 30;
            }
            Some(20) => first.lock().unwrap().head = 0,
            // The first one is back, but has to begin anew.
            Some(30) if first.lock().unwrap().head == 0 => {
                *first.lock().unwrap() = Standing { head: 10, asked: 0 };
                while first.lock().unwrap().asked < 2 {
                    // Nothing comes meanwhile.
                    assert!(source.next().now_or_never().is_none());
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                first.lock().unwrap().head = 35;
            }
            _ => {}
        }
    }
    assert_eq!(numbers, (2..=35).collect::<Vec<_>>());
    assert_eq!(served, [&*first_at, &second_at, &first_at]);
}
