use std::sync::Arc;

use bytes::Bytes;
use dfuse_antelope::Checksum256;
use dfuse_blocks::{Clock, Entropy, feed::FeedHandle};
use dfuse_index::{Serving, ServingSnapshot, abi::AbiCache};
use dfuse_search::{Evaluations, SearchIndex};
use dfuse_trx::{ForkedTransactions, Signers};

use crate::{
    Access, ApiError, ApiResult, Asking, Caller, Class, Client, Metrics, Operations, Readiness, Reading,
    options::{Options, StreamOptions, cores},
    outbox::Memory,
    readers::Readers,
    streams::{Recent, RowItem},
    turns::{Turn, Turns},
};

/// Packed ABIs that are kept parsed: those of some two thousand contracts.
const ABI_CACHE_BYTES: usize = 16 << 20;

/// Bytes that are parsed where they are: some tens of microseconds.
const SMALL_BODY: usize = 16 << 10;

/// Newest blocks of which it is kept which transactions they mention, and how much that may take.
const MENTIONING_BLOCKS: usize = 512;
const MENTIONS_BYTES: usize = 8 << 20;
/// Newest blocks that are kept with their JSON, and their bytes.
const FILLED_BLOCKS: usize = 16;
const FILLED_BYTES: usize = 32 << 20;

/// Newest blocks of which it is kept which rows they change, and how much that may take.
const ROW_BLOCKS: usize = 32;
const ROWS_BYTES: usize = 8 << 20;

/// What the use cases answer from.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The indexes.
    pub serving: Arc<Serving>,
    /// The blocks.
    pub feed: FeedHandle,
    /// Transactions of blocks that were undone.
    pub forked: Arc<ForkedTransactions>,
    /// Which terms can be searched, and those of the newest blocks.
    pub search: Arc<SearchIndex>,
    /// The chain's id where it is known: without it, keys cannot be recovered from signatures.
    pub chain_id: Option<Checksum256>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives trace ids.
    pub entropy: Arc<dyn Entropy>,
}

impl StreamOptions {
    /// For what waits for clients.
    fn new_memory(&self) -> Arc<Memory> {
        // The longest message must fit.
        Memory::new(self.memory_bytes / 2, self.max_pending_bytes.max(self.memory_bytes / 8))
    }
}

/// What all use cases share, and on whose behalf they read. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Service {
    shared: Arc<Shared>,
    class: Class,
    caller: Caller,
}

#[derive(Debug)]
struct Shared {
    chain: Chain,
    options: Options,
    access: Arc<dyn Access>,
    readers: Readers,
    /// For what streams make of blocks, which seldom waits for a disk: more threads would take memory and win nothing.
    turns: Turns,
    /// What waits for clients of streams.
    queues: Arc<Memory>,
    readiness: Readiness,
    operations: Operations,
    metrics: Metrics,
    abis: AbiCache,
    /// Who signed the transactions that were asked for last; absent if the chain's id is unknown.
    signers: Option<Signers>,
    /// The transactions that a block says something of, in the order of ids, by the block's id.
    mentions: Recent<Checksum256, Arc<[Checksum256]>>,
    /// The changes of rows in the newest blocks, by table.
    row_items: Recent<Checksum256, Arc<[RowItem]>>,
    /// The newest blocks with their JSON.
    filled: Recent<Checksum256, Bytes>,
    /// What queries find in the newest blocks, for all who follow them.
    evaluations: Evaluations,
}

impl Service {
    /// Answers from that chain whoever `access` lets in.
    pub fn new(chain: Chain, access: Arc<dyn Access>, options: Options) -> Self {
        let evaluations = Evaluations::new(chain.search.clone());
        let signers = chain.chain_id.map(Signers::new);
        let shared = Arc::new(Shared {
            readers: Readers::new(&options, &chain.clock),
            turns: Turns::new(cores(), options.read_timeout),
            queues: options.streams.new_memory(),
            chain,
            access,
            readiness: Readiness::default(),
            operations: Operations::default(),
            metrics: Metrics::new(),
            abis: AbiCache::new(ABI_CACHE_BYTES),
            signers,
            mentions: Recent::new(MENTIONING_BLOCKS, MENTIONS_BYTES),
            row_items: Recent::new(ROW_BLOCKS, ROWS_BYTES),
            filled: Recent::new(FILLED_BLOCKS, FILLED_BYTES),
            evaluations,
            options,
        });
        Self { shared, class: Class::LookUp, caller: Caller::default() }
    }

    /// On behalf of that client.
    #[must_use]
    pub fn charged_to(&self, client: Client) -> Self {
        self.on_behalf_of(Caller { client, ..self.caller.clone() })
    }

    /// On behalf of that caller, within what they may read.
    #[must_use]
    pub fn on_behalf_of(&self, caller: Caller) -> Self {
        Self { caller, ..self.clone() }
    }

    /// On whose behalf it reads.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// With reads of that class.
    #[must_use]
    pub fn reading(&self, class: Class) -> Self {
        Self { class, ..self.clone() }
    }

    /// Says who asks and what they may do.
    ///
    /// # Errors
    /// They may not ask; the error says why.
    pub async fn admit(&self, asking: &Asking<'_>) -> ApiResult<Caller> {
        self.shared.access.admit(asking).await
    }

    /// Who decides that.
    pub fn access(&self) -> &dyn Access {
        &*self.shared.access
    }

    /// The chain.
    pub fn chain(&self) -> &Chain {
        &self.shared.chain
    }

    /// The limits.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Conditions that must hold before clients are sent here.
    pub fn readiness(&self) -> &Readiness {
        &self.shared.readiness
    }

    /// What operators look at beside conditions and counts.
    pub fn operations(&self) -> &Operations {
        &self.shared.operations
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Parsed ABIs.
    pub fn abis(&self) -> &AbiCache {
        &self.shared.abis
    }

    /// Who signed transactions; absent if the chain's id is unknown.
    pub(crate) fn signers(&self) -> Option<&Signers> {
        self.shared.signers.as_ref()
    }

    /// As [`Service::read`], without waiting for a block that another machine may have had before.
    ///
    /// # Errors
    /// Those of `work`, and `service_unavailable_error` when it takes too long or too many are reading.
    pub(crate) async fn read_once<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ServingSnapshot, &Reading) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        self.shared.readers.run(self.class, self.caller.client, self.of_newest(work)).await
    }

    /// The same for the rest of an answer that has begun, which waits for its turn however long it takes.
    ///
    /// # Errors
    /// Those of `work`, and `service_unavailable_error` when that takes too long.
    pub async fn read_on<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ServingSnapshot, &Reading) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        self.shared.readers.run_in_turn(self.class, self.caller.client, self.of_newest(work)).await
    }

    /// Work with the snapshot that is the newest when its turn comes.
    fn of_newest<T>(
        &self,
        work: impl FnOnce(&ServingSnapshot, &Reading) -> ApiResult<T> + Send + 'static,
    ) -> impl FnOnce(&Reading) -> ApiResult<T> + Send + 'static {
        let shared = self.shared.clone();
        move |reading| {
            let answer = work(&shared.chain.serving.snapshot(), reading);
            if let Some(why) = answer.as_ref().err().and_then(ApiError::damage) {
                shared.operations.note_damage(why);
            }
            answer
        }
    }

    /// What blocks mention, for all who follow transactions.
    pub(crate) fn mentions(&self) -> &Recent<Checksum256, Arc<[Checksum256]>> {
        &self.shared.mentions
    }

    /// Which rows blocks change, for all who follow tables.
    pub(crate) fn row_items(&self) -> &Recent<Checksum256, Arc<[RowItem]>> {
        &self.shared.row_items
    }

    /// The newest blocks with their JSON, for all who follow the chain.
    pub(crate) fn filled(&self) -> &Recent<Checksum256, Bytes> {
        &self.shared.filled
    }

    /// What queries find in single blocks, for all who follow them.
    pub(crate) fn evaluations(&self) -> &Evaluations {
        &self.shared.evaluations
    }

    /// The memory of what waits for clients of streams.
    pub fn queues(&self) -> &Arc<Memory> {
        &self.shared.queues
    }

    /// Whose turn it is among the streams.
    pub fn turns(&self) -> &Turns {
        &self.shared.turns
    }

    /// Reads from the newest snapshot for a stream whose turn it is.
    ///
    /// # Errors
    /// Those of `work`, and `service_unavailable_error` when that takes too long.
    pub async fn at_turn<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce(&ServingSnapshot, &Reading) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        turn.run(self.of_newest(work)).await
    }

    /// Parses what a client sent, which has so many bytes: not on the runtime's threads, unless it takes no longer than the way to
    /// another one.
    ///
    /// # Errors
    /// Those of `work`, and `service_unavailable_error` when it takes too long or too much is being parsed.
    pub async fn parse<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        if bytes <= SMALL_BODY { work() } else { self.read_sent(work).await }
    }

    /// The same for what takes long however short it is.
    ///
    /// # Errors
    /// Those of [`Service::parse`].
    pub async fn read_sent<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        self.shared.readers.run(Class::Body, self.caller.client, |_| work()).await
    }
}
