use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE};
use bytes::{Buf, BufMut, Bytes};
use crypto_secretbox::{KeyInit, XSalsa20Poly1305, aead::Aead};
use dfuse_antelope::model::wire::ReverseWriter;
use dfuse_blocks::{
    BlockStore, CursorKey, EncodedBlock, StoreOptions, SystemClock, SystemEntropy,
    feed::{Feed, FeedOptions},
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_graphql::{Executor, Limits};
use dfuse_grpc::GrpcServer;
use dfuse_index::{Index, Pipeline, abi::Abis, accounts::Accounts, blocks::Blocks, follow_feed, keyspaces};
use dfuse_kv::MemoryStore;
use dfuse_proto::sf::firehose::v2::{
    Request, SingleBlockRequest,
    single_block_request::{Cursor, Reference},
};
use dfuse_query::{Chain, OpenAccess, Options, Service};
use dfuse_search::SearchIndex;
use dfuse_testkit::synthetic::{Fork, SyntheticChain};
use dfuse_trx::{ForkedTransactions, Transactions};
use futures::channel::mpsc;
use http::uri::PathAndQuery;
use prost::Message;
use tokio::{net::TcpListener, runtime::Runtime, time::timeout};
use tonic::{
    Code, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

/// How long an answer is waited for: a stream may have nothing to say.
const LISTENED: Duration = Duration::from_millis(50);
/// Messages of a stream that are read.
const MESSAGES: usize = 5;
const BLOCKS: &str = "/sf.firehose.v2.Stream/Blocks";
const BLOCK: &str = "/sf.firehose.v2.Fetch/Block";

/// A server of a short chain with a fork.
struct Server {
    runtime: Runtime,
    channel: Channel,
    _feed: Feed,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (channel, feed) = runtime.block_on(serve());
    Server { runtime, channel, _feed: feed }
});

async fn serve() -> (Channel, Feed) {
    let clock = Arc::new(SystemClock::new());
    let files = BlockStore::open("memory://", StoreOptions::default()).unwrap();
    let (mut feed, _) = Feed::open(files, CursorKey::new([7; 32]), FeedOptions::default(), &*clock).await.unwrap();
    let search = Arc::new(SearchIndex::default());
    let indexes: Vec<Arc<dyn Index>> =
        vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts), Arc::new(Transactions), search.clone()];
    let store = Arc::new(MemoryStore::new(&keyspaces(&indexes)));
    let pipeline = Pipeline::open(store, None, indexes, dfuse_index::Options::default()).unwrap();
    let forked = Arc::new(ForkedTransactions::new());
    let chain = Chain {
        serving: pipeline.serving().clone(),
        feed: feed.handle(),
        forked: forked.clone(),
        search,
        chain_id: None,
        clock,
        entropy: Arc::new(SystemEntropy),
    };
    let handle = feed.handle();
    tokio::spawn(async move {
        let (_dumps, coming) = mpsc::unbounded();
        follow_feed(pipeline, &handle, coming, &*forked, std::future::pending()).await.unwrap();
    });
    let mut log = Vec::new();
    SyntheticChain::builder().seed(1).blocks(40).fork(Fork::new(20, 2, 3)).build().write_log(&mut log).unwrap();
    let (mut reader, mut writer) = (Reader::new(&log[..]), ReverseWriter::new());
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(block) = event {
            let encoded = EncodedBlock::encode(&block, &mut writer).unwrap();
            feed.push_decoded(encoded, Arc::new(*block)).await.unwrap();
        }
    }
    let service = Service::new(chain, Arc::new(OpenAccess), Options::default());
    let executor = Arc::new(Executor::new(service.clone(), Limits::default()));
    let server = GrpcServer::new(service, Some(executor), dfuse_grpc::Options::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { server.serve(listener, std::future::pending()).await.unwrap() });
    (Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy(), feed)
}

/// A request for a stream or a block, as bytes; or a cursor of it, as text, or as what other servers of the family seal in one. It is
/// answered, or refused with a code of ours.
pub fn firehose_request(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let (path, message) = match kind % 4 {
        0 => (BLOCKS, Bytes::copy_from_slice(data)),
        1 => (BLOCK, Bytes::copy_from_slice(data)),
        kind => {
            let text = if kind == 2 { String::from_utf8_lossy(data).into_owned() } else { sealed(data) };
            let request = Request { cursor: text.clone(), ..Request::default() };
            ask(BLOCKS, request.encode_to_vec().into());
            let reference = Some(Reference::Cursor(Cursor { cursor: text }));
            (BLOCK, SingleBlockRequest { reference, transforms: Vec::new() }.encode_to_vec().into())
        }
    };
    ask(path, message);
}

fn ask(path: &'static str, message: Bytes) {
    let Server { runtime, channel, .. } = &*SERVER;
    let listen = async {
        let mut client = Grpc::new(channel.clone());
        client.ready().await.expect("the server is there");
        let path = PathAndQuery::from_static(path);
        let mut stream = client.server_streaming(tonic::Request::new(message), path, Raw).await?.into_inner();
        for _ in 0..MESSAGES {
            if stream.message().await?.is_none() {
                break;
            }
        }
        Ok(())
    };
    let answer = runtime.block_on(async { timeout(LISTENED, listen).await });
    if let Ok(Err(status)) = answer {
        assert_refused(&status);
    }
}

fn assert_refused(status: &Status) {
    assert!(status.metadata().contains_key("x-error-code"), "{status:?}");
    // No request makes a fault.
    let faults = [Code::Internal, Code::Unknown, Code::Ok];
    assert!(!faults.contains(&status.code()) && !status.message().is_empty(), "{status:?}");
}

/// What is in a cursor of other servers of the family, sealed as they do it.
fn sealed(plain: &[u8]) -> String {
    let bytes = |hex: &str| const_hex::decode(hex).unwrap();
    let key = bytes("7bfcacee257409099edd2bb6a442638b559a80bfbfc0b9acdea0d8344b10eb00");
    let nonce = bytes("261554c45ab9b752abad4f19c242605702d55a0d91616a1b");
    let cipher = XSalsa20Poly1305::new_from_slice(&key).unwrap();
    URL_SAFE.encode(cipher.encrypt(nonce.as_slice().into(), plain).unwrap())
}

/// Messages as they are.
#[derive(Debug, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
