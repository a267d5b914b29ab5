//! A chain that grows when the test says so, and a gRPC server on it.

use std::{
    io::{BufRead, Cursor},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use dfuse_antelope::{
    AbiDump,
    model::{Block, wire::ReverseWriter},
};
use dfuse_blocks::{
    BlockStore, Clock, CursorKey, EncodedBlock, Entropy, StoreOptions, SystemClock,
    feed::{Feed, FeedOptions, Keeper},
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_grpc::{GrpcServer, Options};
use dfuse_index::{Index, Pipeline, abi::Abis, accounts::Accounts, blocks::Blocks, follow_feed, keyspaces};
use dfuse_kv::{FaultPlan, FaultyStore, MemoryStore};
use dfuse_query::{
    Access, ApiResult, Caller, Chain, GraphqlError, GraphqlExecutor, GraphqlLocation, GraphqlOperation, GraphqlRequest,
    GraphqlResponse, OpenAccess, RouteClass, Service, TraceId,
};
use dfuse_search::SearchIndex;
use dfuse_testkit::{recorded, synthetic::SyntheticChain};
use dfuse_trx::{ForkedTransactions, Transactions};
use futures::{
    StreamExt,
    channel::mpsc,
    stream::{self, BoxStream},
};
use serde_json::json;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;

/// The recorded chain that has forks.
pub(crate) const FORKS: &str = "fork/fork.dmlog.zst";

/// Blocks without JSON.
fn raw() -> Options {
    Options { firehose_json: false, ..Options::default() }
}

/// A time that stands still.
#[derive(Debug)]
pub(crate) struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// Repeats from a seed.
#[derive(Debug)]
struct SeededEntropy(Mutex<u64>);

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

/// Answers with what it was asked: queries once, subscriptions for each number up to the variable `count`, without end if it is 0.
/// A document "fail" fails.
#[derive(Debug)]
struct Echo;

impl GraphqlExecutor for Echo {
    fn operation(&self, request: &GraphqlRequest) -> ApiResult<GraphqlOperation> {
        let is_subscription = request.query.starts_with("subscription");
        Ok(if is_subscription { GraphqlOperation::Subscription } else { GraphqlOperation::Query })
    }

    fn execute(
        &self,
        request: GraphqlRequest,
        caller: Caller,
        trace_id: TraceId,
    ) -> BoxStream<'static, GraphqlResponse> {
        let class = match self.operation(&request) {
            Ok(GraphqlOperation::Subscription) => RouteClass::Stream,
            _ => RouteClass::Search,
        };
        // As late as an executor may. Nobody asks for more than they may.
        let begin = async move {
            caller.take(class).unwrap();
            Self::answers(request, trace_id)
        };
        stream::once(begin).flatten().boxed()
    }
}

impl Echo {
    fn answers(request: GraphqlRequest, trace_id: TraceId) -> BoxStream<'static, GraphqlResponse> {
        if request.query == "fail" {
            let extensions = json!({"code": "x", "trace_id": trace_id.to_string(), "terminal": true});
            let error = GraphqlError {
                message: format!("no (trace_id: {trace_id})"),
                locations: vec![GraphqlLocation { line: 1, column: 2 }],
                path: vec![json!("a"), json!(3)],
                extensions: extensions.as_object().cloned().unwrap_or_default(),
            };
            let response = GraphqlResponse { data: None, errors: vec![error], documents: 0 };
            return stream::iter([response]).boxed();
        }
        let GraphqlRequest { query, operation_name, variables } = request;
        let count = variables.get("count").and_then(serde_json::Value::as_u64);
        let answer = move |number: u64| GraphqlResponse {
            data: Some(
                json!({"query": &query, "name": &operation_name, "variables": &variables, "number": number})
                    .to_string(),
            ),
            errors: Vec::new(),
            documents: 1,
        };
        match count {
            None => stream::iter([answer(0)]).boxed(),
            Some(0) => stream::iter([answer(0)]).chain(stream::pending()).boxed(),
            Some(count) => stream::iter(1..=count).map(answer).boxed(),
        }
    }
}

/// A chain, and its server until it is dropped.
pub(crate) struct TestChain {
    pub(crate) service: Service,
    pub(crate) channel: Channel,
    pub(crate) address: SocketAddr,
    /// The blocks so far, in the order in which the node had them, forks included.
    pub(crate) blocks: Vec<Arc<Block>>,
    reader: Reader<Box<dyn BufRead + Send>>,
    pub(crate) feed: Feed,
    /// Of the indexes.
    pub(crate) store: Arc<FaultyStore>,
    dumps: mpsc::UnboundedSender<AbiDump>,
    follower: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
    keeper: Keeper,
}

impl Drop for TestChain {
    fn drop(&mut self) {
        self.follower.abort();
        self.server.abort();
    }
}

impl TestChain {
    /// Of a recorded log, with no block yet; none without the file. Its blocks come as they are in the log.
    pub(crate) async fn recorded(file: &str) -> Option<Self> {
        Self::recorded_with(file, raw()).await
    }

    /// The same with limits and defaults of the server.
    pub(crate) async fn recorded_with(file: &str, options: Options) -> Option<Self> {
        Self::recorded_in(file, "memory://", options).await
    }

    /// Of a recorded log, with no block yet, and documents executed as they are; none without the file.
    pub(crate) async fn with_documents(file: &str) -> Option<Self> {
        let execute = |service: &Service| -> Arc<dyn GraphqlExecutor> {
            Arc::new(dfuse_graphql::Executor::new(service.clone(), dfuse_graphql::Limits::default()))
        };
        let (log, options) = (Box::new(recorded::open(file)?), Options::default());
        let query = dfuse_query::Options::default();
        Some(Self::executing(log, "memory://", Arc::new(OpenAccess), options, query, execute).await)
    }

    /// The same with its block files in a folder.
    pub(crate) async fn recorded_in(file: &str, place: &str, options: Options) -> Option<Self> {
        Some(Self::new(Box::new(recorded::open(file)?), place, Arc::new(OpenAccess), options).await)
    }

    /// A synthetic one of so many blocks, with none of them yet.
    pub(crate) async fn synthetic(blocks: u32, access: Arc<dyn Access>) -> Self {
        let mut log = Vec::new();
        SyntheticChain::builder().seed(1).blocks(blocks).build().write_log(&mut log).unwrap();
        Self::new(Box::new(Cursor::new(log)), "memory://", access, raw()).await
    }

    /// The same, of one of several machines.
    pub(crate) async fn machine(blocks: u32, query: dfuse_query::Options) -> Self {
        let mut log = Vec::new();
        SyntheticChain::builder().seed(1).blocks(blocks).build().write_log(&mut log).unwrap();
        let (access, echo) = (Arc::new(OpenAccess), |_: &Service| -> Arc<dyn GraphqlExecutor> { Arc::new(Echo) });
        Self::executing(Box::new(Cursor::new(log)), "memory://", access, raw(), query, echo).await
    }

    /// Without blocks, with a server of those options.
    pub(crate) async fn with(options: Options) -> Self {
        Self::new(Box::new(std::io::empty()), "memory://", Arc::new(OpenAccess), options).await
    }

    async fn new(log: Box<dyn BufRead + Send>, place: &str, access: Arc<dyn Access>, options: Options) -> Self {
        let query = dfuse_query::Options::default();
        Self::executing(log, place, access, options, query, |_| Arc::new(Echo)).await
    }

    async fn executing(
        log: Box<dyn BufRead + Send>,
        place: &str,
        access: Arc<dyn Access>,
        options: Options,
        query: dfuse_query::Options,
        executor: impl FnOnce(&Service) -> Arc<dyn GraphqlExecutor>,
    ) -> Self {
        let files = BlockStore::open(place, StoreOptions::default()).unwrap();
        // What is in bundles is read from there.
        let options_of_feed = FeedOptions { live_window: 10, ..FeedOptions::default() };
        let opened = Feed::open(files, CursorKey::new([7; 32]), options_of_feed, &SystemClock::new()).await;
        let (feed, keeper) = opened.unwrap();
        let search = Arc::new(SearchIndex::default());
        let indexes: Vec<Arc<dyn Index>> =
            vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts), Arc::new(Transactions), search.clone()];
        let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new(&keyspaces(&indexes))), FaultPlan::new(0)));
        let pipeline = Pipeline::open(store.clone(), None, indexes, dfuse_index::Options::default()).unwrap();
        let forked = Arc::new(ForkedTransactions::new());
        let chain = Chain {
            serving: pipeline.serving().clone(),
            feed: feed.handle(),
            forked: forked.clone(),
            search,
            chain_id: None,
            clock: Arc::new(StoppedClock),
            entropy: Arc::new(SeededEntropy(Mutex::new(7))),
        };
        let (dumps, coming) = mpsc::unbounded();
        let handle = feed.handle();
        let follower = tokio::spawn(async move {
            follow_feed(pipeline, &handle, coming, &*forked, std::future::pending()).await.unwrap();
        });
        let service = Service::new(chain, access, query);
        let server = GrpcServer::new(service.clone(), Some(executor(&service)), options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(async move { server.serve(listener, async { drop(stopped.await) }).await.unwrap() });
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        let stop = Some(stop);
        let (blocks, reader) = (Vec::new(), Reader::new(log));
        Self { service, channel, address, blocks, reader, feed, store, dumps, follower, stop, server, keeper }
    }

    /// Tells the server to stop, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        (&mut self.server).await.unwrap();
    }

    /// Takes so many more blocks of the log. Returns how many there were.
    pub(crate) async fn grow(&mut self, blocks: usize) -> usize {
        let mut taken = 0;
        while taken < blocks
            && let Some(event) = self.reader.next_event().unwrap()
        {
            if let Event::AbiDump(dump) = event {
                self.dumps.unbounded_send(dump).unwrap();
            } else if let Event::Block(block) = event {
                let encoded = EncodedBlock::encode(&block, &mut ReverseWriter::new()).unwrap();
                let block = Arc::new(*block);
                self.feed.push_decoded(encoded, block.clone()).await.unwrap();
                self.blocks.push(block);
                taken += 1;
            }
        }
        taken
    }

    /// Puts into bundles what belongs there: it is not in memory any more.
    pub(crate) async fn write_bundles(&mut self) {
        while self.keeper.step().await.unwrap() {}
    }

    /// Waits until the newest block is indexed.
    pub(crate) async fn served(&self) {
        let serving = &self.service.chain().serving;
        let mut changes = serving.changes();
        while serving.snapshot().head() != self.service.chain().feed.head() {
            changes.changed().await.unwrap();
        }
    }
}

/// The code of the one table in a status, which must be in its metadata and its details alike.
pub(crate) fn code(status: &Status) -> String {
    let metadata = |name: &str| status.metadata().get(name).unwrap().to_str().unwrap().to_owned();
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((&*info.reason, &*info.domain), (&*metadata("x-error-code"), "dfuse"));
    assert_eq!(info.metadata["trace_id"], metadata("x-trace-id"));
    assert_eq!(info.metadata["trace_id"].len(), 32);
    info.reason.clone()
}
