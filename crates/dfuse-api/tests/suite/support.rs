//! A chain in one process, from the log of a recorded or a synthetic one, and a server of every surface on it.

use std::{
    collections::BTreeMap,
    io::BufRead,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, Request, Response, StatusCode},
};
use bytes::Bytes;
use dfuse_antelope::{
    AbiDump, BlockTimestamp,
    model::{Block, wire::ReverseWriter},
};
use dfuse_api::{ChainApiOptions, Endpoints, WebSocketOptions};
use dfuse_blocks::{
    BlockStore, Clock, CursorKey, EncodedBlock, Entropy, StoreOptions, SystemClock,
    feed::{Feed, FeedOptions, Keeper},
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_graphql::{Executor, Limits, SocketOptions};
use dfuse_http::{Api, Server};
use dfuse_index::{Index, Pipeline, abi::Abis, accounts::Accounts, blocks::Blocks, follow_feed, keyspaces};
use dfuse_kv::{FaultPlan, FaultyStore, MemoryStore};
use dfuse_query::{Access, Chain, ErrorCode, OpenAccess, Service};
use dfuse_search::SearchIndex;
use dfuse_testkit::{recorded, synthetic::SyntheticChain};
use dfuse_trx::{ForkedTransactions, Transactions};
use futures::channel::mpsc;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::{JoinHandle, yield_now},
};

/// A time that tests set; both its times are the same, unless there is a stride.
#[derive(Debug, Default)]
pub(crate) struct SetClock(Mutex<Duration>, AtomicUsize, AtomicU32);

impl SetClock {
    pub(crate) fn set(&self, time: BlockTimestamp) {
        *self.0.lock().unwrap() = Duration::from_millis(time.to_unix_ms() as u64);
    }

    pub(crate) fn advance(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }

    /// So many milliseconds pass whenever it is asked what time passed.
    pub(crate) fn stride(&self, milliseconds: u32) {
        self.2.store(milliseconds, Ordering::Relaxed);
    }

    /// How often it was asked what time passed.
    pub(crate) fn asked(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl Clock for SetClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn elapsed(&self) -> Duration {
        let asked = self.1.fetch_add(1, Ordering::Relaxed) as u32;
        self.now() + Duration::from_millis(self.2.load(Ordering::Relaxed).into()) * asked
    }
}

/// Repeats from a seed.
#[derive(Debug)]
pub(crate) struct SeededEntropy(Mutex<u64>);

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) -> dfuse_blocks::Result<()> {
        let mut state = self.0.lock().unwrap();
        for byte in bytes {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (*state >> 56) as u8;
        }
        Ok(())
    }
}

/// Limits of everything that a chain is served with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) query: dfuse_query::Options,
    pub(crate) http: dfuse_http::Options,
    pub(crate) websocket: WebSocketOptions,
    pub(crate) chain_api: ChainApiOptions,
}

/// A chain that grows when the test says so, and its server.
pub(crate) struct TestChain {
    pub(crate) server: Server,
    endpoints: Endpoints,
    pub(crate) clock: Arc<SetClock>,
    /// Of the indexes.
    pub(crate) store: Arc<FaultyStore>,
    /// The blocks so far, in the order in which the node had them, forks included.
    pub(crate) blocks: Vec<Arc<Block>>,
    /// ABIs that the node told so far.
    pub(crate) abi_dumps: Vec<AbiDump>,
    /// Added to global sequences for each block, so that few actions are as far from each other as many.
    pub(crate) stretch: u64,
    reader: Reader<Box<dyn BufRead + Send>>,
    feed: Feed,
    dumps: mpsc::UnboundedSender<AbiDump>,
    follower: JoinHandle<()>,
    _keeper: Keeper,
}

impl Drop for TestChain {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl TestChain {
    /// Of a recorded log, up to its end; none without the file.
    pub(crate) async fn recorded(file: &str) -> Option<Self> {
        let mut chain = Self::recorded_from_start(file, Options::default()).await?;
        chain.grow(usize::MAX).await;
        Some(chain)
    }

    /// Of a recorded log, with no block yet; none without the file.
    pub(crate) async fn recorded_from_start(file: &str, options: Options) -> Option<Self> {
        Some(Self::new(Box::new(recorded::open(file)?), Arc::new(OpenAccess), options).await)
    }

    /// Of a recorded log without the blocks below `first`, as a node writes it that starts from a snapshot; none without the file.
    pub(crate) async fn recorded_from(file: &str, first: u32) -> Option<Self> {
        let start = format!("DMLOG START_BLOCK {first}").into_bytes();
        let lines = recorded::lines(file)?.skip_while(|line| *line != start);
        let lines = std::iter::once(b"DMLOG DEEP_MIND_VERSION leap 13 0".to_vec()).chain(lines);
        let log: Vec<u8> = lines.flat_map(|line| [line, b"\n".to_vec()]).flatten().collect();
        let log = Box::new(std::io::Cursor::new(log));
        let mut chain = Self::from_block(log, Arc::new(OpenAccess), Options::default(), first).await;
        assert!(chain.grow(usize::MAX).await > 0);
        Some(chain)
    }

    /// The branch that ends with the last block.
    pub(crate) fn best(&self) -> Vec<Arc<Block>> {
        let by_id: BTreeMap<_, _> = self.blocks.iter().map(|block| (block.id, block)).collect();
        let parent = |block: &Arc<Block>| by_id.get(&block.header.previous).map(|parent| Arc::clone(parent));
        let mut best: Vec<_> = std::iter::successors(self.blocks.last().cloned(), parent).collect();
        best.reverse();
        best
    }

    /// A synthetic one, with no block yet.
    pub(crate) async fn synthetic(chain: SyntheticChain, access: Arc<dyn Access>, options: Options) -> Self {
        let mut log = Vec::new();
        chain.write_log(&mut log).unwrap();
        Self::new(Box::new(std::io::Cursor::new(log)), access, options).await
    }

    /// A synthetic one of some blocks, with everything as usual.
    pub(crate) async fn small() -> Self {
        let chain = SyntheticChain::builder().seed(1).blocks(30).build();
        let mut chain = Self::synthetic(chain, Arc::new(OpenAccess), Options::default()).await;
        chain.grow(usize::MAX).await;
        chain
    }

    /// Of blocks that the test pushes.
    pub(crate) async fn made(options: Options) -> Self {
        Self::new(Box::new(std::io::empty()), Arc::new(OpenAccess), options).await
    }

    /// Of blocks that the test pushes, the first one in the middle of a chain.
    pub(crate) async fn made_from(first: u32) -> Self {
        Self::from_block(Box::new(std::io::empty()), Arc::new(OpenAccess), Options::default(), first).await
    }

    async fn new(log: Box<dyn BufRead + Send>, access: Arc<dyn Access>, options: Options) -> Self {
        Self::from_block(log, access, options, FeedOptions::default().first_streamable).await
    }

    async fn from_block(
        log: Box<dyn BufRead + Send>,
        access: Arc<dyn Access>,
        options: Options,
        first_streamable: u32,
    ) -> Self {
        let files = BlockStore::open("memory://", StoreOptions::default()).unwrap();
        let feed_options = FeedOptions { first_streamable, ..FeedOptions::default() };
        let opened = Feed::open(files, CursorKey::new([7; 32]), feed_options, &SystemClock::new()).await;
        let (feed, keeper) = opened.unwrap();
        let search = Arc::new(SearchIndex::default());
        let mut indexes: Vec<Arc<dyn Index>> =
            vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts), Arc::new(Transactions), search.clone()];
        indexes.extend(dfuse_state::indexes());
        let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new(&keyspaces(&indexes))), FaultPlan::new(0)));
        let pipeline = Pipeline::open(store.clone(), None, indexes, dfuse_index::Options::default()).unwrap();
        let clock = Arc::new(SetClock::default());
        let forked = Arc::new(ForkedTransactions::new());
        let chain = Chain {
            serving: pipeline.serving().clone(),
            feed: feed.handle(),
            forked: forked.clone(),
            search,
            chain_id: None,
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy(Mutex::new(7))),
        };
        let (dumps, coming) = mpsc::unbounded();
        let handle = feed.handle();
        let follower = tokio::spawn(async move {
            follow_feed(pipeline, &handle, coming, &*forked, std::future::pending()).await.unwrap();
        });
        let Options { query, http, websocket, chain_api } = options;
        let service = Service::new(chain, access, query);
        let executor = Arc::new(Executor::new(service.clone(), Limits::default()));
        let api = Api::new(service, http);
        let endpoints = Endpoints::new(&api, dfuse_api::Options { websocket, chain_api });
        let graphql = dfuse_graphql::Endpoints::new(&api, executor, SocketOptions::default());
        let pages = dfuse_web::Endpoints::new(&api, dfuse_web::Options::default());
        let server = Server::new(api, [endpoints.routes(), graphql.routes(), pages.routes()]);
        let reader = Reader::new(log);
        Self {
            server,
            endpoints,
            clock,
            store,
            blocks: Vec::new(),
            abi_dumps: Vec::new(),
            stretch: 0,
            reader,
            feed,
            dumps,
            follower,
            _keeper: keeper,
        }
    }

    pub(crate) fn api(&self) -> &Api {
        self.server.api()
    }

    /// Takes so many more blocks of the log, and waits after each until it is served: branches that come and go unseen are not
    /// streamed. Returns how many there were.
    pub(crate) async fn grow(&mut self, blocks: usize) -> usize {
        let mut taken = 0;
        while taken < blocks
            && let Some(event) = self.reader.next_event().unwrap()
        {
            match event {
                Event::Block(mut block) => {
                    let traces = block.unfiltered_transaction_traces.iter_mut();
                    let actions = traces.flat_map(|trace| &mut trace.action_traces);
                    for receipt in actions.filter_map(|action| action.receipt.as_mut()) {
                        receipt.global_sequence += self.stretch * u64::from(block.number);
                    }
                    self.push(*block).await;
                    taken += 1;
                }
                Event::AbiDump(dump) => self.tell_abis(dump),
                Event::SwitchFork { .. } => {}
            }
        }
        taken
    }

    /// The node tells the ABIs that it has.
    pub(crate) fn tell_abis(&mut self, dump: AbiDump) {
        self.abi_dumps.push(dump.clone());
        self.dumps.unbounded_send(dump).unwrap();
    }

    /// A block comes; waits until it is served if it is on the best chain then.
    pub(crate) async fn push(&mut self, block: Block) {
        let encoded = EncodedBlock::encode(&block, &mut ReverseWriter::new()).unwrap();
        let block = Arc::new(block);
        self.clock.set(block.header.timestamp);
        self.feed.push_decoded(encoded, block.clone()).await.unwrap();
        self.blocks.push(block);
        self.served().await;
    }

    async fn served(&self) {
        let (serving, feed) = (&self.api().chain().serving, self.feed.handle());
        // Before any block is final, the feed's LIB is the one before the first.
        let lib = || feed.lib().filter(|lib| feed.first_block().is_some_and(|first| lib.number >= first));
        while serving.snapshot().head() != feed.head() || serving.snapshot().lib() != lib() {
            assert!(!self.follower.is_finished());
            yield_now().await;
        }
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        self.request(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn request(&self, request: Request<Body>) -> Answer {
        Answer::of(self.server.handle(request).await).await
    }

    /// Serves on a port of its own.
    pub(crate) async fn listen(&self) -> Listening {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = self.server.clone();
        tokio::spawn(self.endpoints.look_after_nodes());
        let task = tokio::spawn(async move {
            server
                .serve(listener, async {
                    let _ = stopped.await;
                })
                .await;
        });
        Listening { address, stop, task }
    }
}

/// A server at a port.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<()>,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn trace_id(&self) -> &str {
        let trace_id = self.header("x-trace-id");
        assert!(trace_id.len() == 32 && trace_id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{trace_id}");
        trace_id
    }

    /// Asserts that the body is an error in its one form, and returns it with its code.
    pub(crate) fn error(&self) -> (ErrorCode, Value) {
        let body = self.json();
        let mut keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let with_details = ["code", "details", "message", "trace_id"];
        let without: Vec<_> = with_details.into_iter().filter(|key| *key != "details").collect();
        assert!(keys == with_details || keys == without, "{body}");
        assert!(body.get("details").is_none_or(|details| !details.as_object().unwrap().is_empty()), "{body}");
        assert_eq!(body["trace_id"], self.trace_id());
        assert!(!body["message"].as_str().unwrap().is_empty());
        assert!(self.body.ends_with(b"}\n"));
        let code = ErrorCode::ALL.iter().find(|code| code.row().code == body["code"]);
        let code = *code.unwrap_or_else(|| panic!("{body} has a code that is not in the table"));
        assert_eq!(self.status, code.row().status, "{body}");
        for detail in code.row().details {
            assert!(detail.optional || body["details"].get(detail.key).is_some(), "{body} lacks {}", detail.key);
        }
        (code, body)
    }
}
