//! A chain in one process, and an executor on it.

use std::{
    io::BufRead,
    sync::{Arc, Mutex},
    time::Duration,
};

use dfuse_antelope::{
    BlockTimestamp,
    model::{Block, wire::ReverseWriter},
};
use dfuse_blocks::{
    BlockStore, Clock, CursorKey, EncodedBlock, Entropy, StoreOptions, SystemClock,
    feed::{Feed, FeedOptions, Keeper},
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_graphql::{Executor, Limits};
use dfuse_index::{Index, Pipeline, abi::Abis, accounts::Accounts, blocks::Blocks, follow_feed, keyspaces};
use dfuse_kv::{FaultPlan, FaultyStore, MemoryStore};
use dfuse_query::{
    Caller, Chain, Client, GraphqlExecutor, GraphqlRequest, GraphqlResponse, OpenAccess, Options, Service, TraceIds,
};
use dfuse_search::SearchIndex;
use dfuse_testkit::recorded;
use dfuse_trx::{ForkedTransactions, Transactions};
use futures::{StreamExt, channel::mpsc, stream::BoxStream};
use serde_json::{Map, Value, json};
use tokio::task::{JoinHandle, yield_now};

/// A time that the blocks set.
#[derive(Debug, Default)]
pub(crate) struct SetClock(Mutex<Duration>);

impl SetClock {
    fn set(&self, time: BlockTimestamp) {
        *self.0.lock().unwrap() = Duration::from_millis(time.to_unix_ms() as u64);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn elapsed(&self) -> Duration {
        self.now()
    }
}

/// The same bytes always.
#[derive(Debug)]
struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&self, bytes: &mut [u8]) -> dfuse_blocks::Result<()> {
        bytes.fill(7);
        Ok(())
    }
}

/// A chain that grows when the test says so, and what executes documents over it.
pub(crate) struct TestChain {
    pub(crate) executor: Executor,
    pub(crate) service: Service,
    /// Of the indexes.
    pub(crate) store: Arc<FaultyStore>,
    clock: Arc<SetClock>,
    reader: Reader<Box<dyn BufRead + Send>>,
    feed: Feed,
    dumps: mpsc::UnboundedSender<dfuse_antelope::AbiDump>,
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
        let mut chain = Self::new(Box::new(recorded::open(file)?)).await;
        assert!(chain.grow(usize::MAX).await > 0);
        Some(chain)
    }

    /// Of a log, with no block yet.
    pub(crate) async fn new(log: Box<dyn BufRead + Send>) -> Self {
        Self::with(log, Options::default()).await
    }

    /// The same with other limits.
    pub(crate) async fn with(log: Box<dyn BufRead + Send>, options: Options) -> Self {
        Self::begin(log, options, None).await
    }

    /// Of a chain of which nothing is known before a block.
    pub(crate) async fn from_block(first: Block) -> Self {
        Self::begin(Box::new(std::io::empty()), Options::default(), Some(first)).await
    }

    async fn begin(log: Box<dyn BufRead + Send>, options: Options, first: Option<Block>) -> Self {
        let files = BlockStore::open("memory://", StoreOptions::default()).unwrap();
        let opened = Feed::open(files, CursorKey::new([7; 32]), FeedOptions::default(), &SystemClock::new()).await;
        let (mut feed, keeper) = opened.unwrap();
        let search = Arc::new(SearchIndex::default());
        let mut indexes: Vec<Arc<dyn Index>> =
            vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts), Arc::new(Transactions), search.clone()];
        indexes.extend(dfuse_state::indexes());
        let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new(&keyspaces(&indexes))), FaultPlan::new(0)));
        let pipeline = Pipeline::open(store.clone(), None, indexes, dfuse_index::Options::default()).unwrap();
        let clock = Arc::new(SetClock::default());
        // It has to be there before it is followed.
        if let Some(block) = first {
            let encoded = EncodedBlock::encode(&block, &mut ReverseWriter::new()).unwrap();
            clock.set(block.header.timestamp);
            feed.push_decoded(encoded, Arc::new(block)).await.unwrap();
        }
        let forked = Arc::new(ForkedTransactions::new());
        let chain = Chain {
            serving: pipeline.serving().clone(),
            feed: feed.handle(),
            forked: forked.clone(),
            search,
            chain_id: None,
            clock: clock.clone(),
            entropy: Arc::new(NoEntropy),
        };
        let (dumps, coming) = mpsc::unbounded();
        let handle = feed.handle();
        let follower = tokio::spawn(async move {
            follow_feed(pipeline, &handle, coming, &*forked, std::future::pending()).await.unwrap();
        });
        let service = Service::new(chain, Arc::new(OpenAccess), options);
        let executor = Executor::new(service.clone(), Limits::default());
        Self { executor, service, store, clock, reader: Reader::new(log), feed, dumps, follower, _keeper: keeper }
    }

    /// Takes so many more blocks of the log, and waits after each until it is served. Returns how many there were.
    pub(crate) async fn grow(&mut self, blocks: usize) -> usize {
        let mut taken = 0;
        while taken < blocks
            && let Some(event) = self.reader.next_event().unwrap()
        {
            match event {
                Event::Block(block) => {
                    self.push(*block).await;
                    taken += 1;
                }
                Event::AbiDump(dump) => self.dumps.unbounded_send(dump).unwrap(),
                Event::SwitchFork { .. } => {}
            }
        }
        taken
    }

    /// A block comes to the feed.
    pub(crate) async fn take(&mut self, block: Block) {
        let encoded = EncodedBlock::encode(&block, &mut ReverseWriter::new()).unwrap();
        self.clock.set(block.header.timestamp);
        self.feed.push_decoded(encoded, Arc::new(block)).await.unwrap();
    }

    /// The indexes take no more blocks.
    pub(crate) async fn stop_indexing(&mut self) {
        self.follower.abort();
        assert!((&mut self.follower).await.unwrap_err().is_cancelled());
    }

    /// A block comes; waits until it is served if it is on the best chain then.
    pub(crate) async fn push(&mut self, block: Block) {
        self.take(block).await;
        let (serving, feed) = (&self.service.chain().serving, self.feed.handle());
        // Before any block is final, the feed's LIB is the one before the first.
        let lib = || feed.lib().filter(|lib| feed.first_block().is_some_and(|first| lib.number >= first));
        while serving.snapshot().head() != feed.head() || serving.snapshot().lib() != lib() {
            assert!(!self.follower.is_finished());
            yield_now().await;
        }
    }

    /// The answers to a document.
    pub(crate) fn execute(&self, request: GraphqlRequest) -> BoxStream<'static, GraphqlResponse> {
        let caller = Caller::unrestricted(Client::default());
        let Chain { entropy, clock, .. } = self.service.chain();
        let trace_id = TraceIds::new(entropy.clone(), clock.clone()).next();
        self.executor.execute(request, caller, trace_id)
    }

    /// The one answer to a query, as a transport writes it.
    pub(crate) async fn answer(&self, request: GraphqlRequest) -> Value {
        let mut answers = self.execute(request);
        let answer = answers.next().await.expect("an answer");
        assert!(answers.next().await.is_none(), "one answer only");
        written(answer)
    }
}

/// A request for the only operation of a document.
pub(crate) fn request(query: &str, variables: Value) -> GraphqlRequest {
    let variables = if let Value::Object(variables) = variables { variables } else { Map::new() };
    GraphqlRequest { query: query.to_owned(), operation_name: None, variables }
}

/// An answer as JSON.
pub(crate) fn written(answer: GraphqlResponse) -> Value {
    let mut object = Map::new();
    if !answer.errors.is_empty() {
        let errors = answer.errors.iter();
        let errors = errors.map(|it| json!({"message": it.message, "path": it.path, "extensions": it.extensions}));
        object.insert("errors".to_owned(), errors.collect());
    }
    if let Some(data) = answer.data {
        object.insert("data".to_owned(), serde_json::from_str(&data).unwrap());
    }
    object.into()
}
