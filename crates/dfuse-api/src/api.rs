use std::{sync::Arc, time::Duration};

use dfuse_antelope::Checksum256;
use dfuse_blocks::{Clock, Entropy, feed::FeedHandle};
use dfuse_search::SearchIndex;
use dfuse_trx::ForkedTransactions;
use tokio::sync::watch;

use crate::{
    Access, ApiError, ApiResult, ChainApiOptions, Class, IntegritySecret, Metrics, Readiness, Reading, Stopping,
    WebSocketOptions,
    bodies::Bodies,
    chain_api::ChainApi,
    client::Client,
    readers::{Readers, cores},
    server::Places,
    turns::{Turn, Turns},
    websocket::outbox::Memory,
};
use axum::{extract::FromRequestParts, http::request::Parts};
use dfuse_index::{Serving, ServingSnapshot, abi::AbiCache};

/// Packed ABIs that are kept parsed: those of some two thousand contracts.
const ABI_CACHE_BYTES: usize = 16 << 20;

/// Bytes of a body that are read where they are: some tens of microseconds.
const SMALL_BODY: usize = 16 << 10;

/// What the API answers from.
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

/// Limits of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most connections at a time. When one more comes, the one that has been idle longest is closed; if all are at work, it waits.
    pub max_connections: usize,
    /// Most bytes of a request's header, path and query included.
    pub max_header_bytes: usize,
    /// Most bytes of a request's body.
    pub max_body_bytes: usize,
    /// How long the header of a request may take. A connection between two requests is closed after this time, too.
    pub header_timeout: Duration,
    /// How long the body of a request may take.
    pub body_timeout: Duration,
    /// How long reading from stores may take, for one request.
    pub read_timeout: Duration,
    /// Reads of each [`Class`] that work at a time; more wait for their turn, within their time. Two for each core by default:
    /// most find in memory what they read, and then more at a time only take longer, each of them.
    pub readers: usize,
    /// Requests of each class that may wait for their turn.
    pub max_waiting_reads: usize,
    /// Of them, those of one client.
    pub max_waiting_reads_of_client: usize,
    /// Most bytes of the bodies of all requests together.
    pub max_bodies_bytes: usize,
    /// How long a client may take nothing of a long answer before it is given up.
    pub client_timeout: Duration,
    /// How much work one search may do before it answers with what it has; a unit is some microseconds.
    pub search_work: u64,
    /// How long requests at work may go on after the server was told to stop.
    pub shutdown_grace: Duration,
    /// Of WebSocket connections.
    pub websocket: WebSocketOptions,
    /// Of `/v1/chain/*`.
    pub chain_api: ChainApiOptions,
    /// From which age of the head block on the server is not ready; never if absent, as for a chain that is replayed.
    pub max_head_age: Option<Duration>,
    /// What answers are proven with to clients that ask for it; without it there are no proofs.
    pub integrity_secret: Option<IntegritySecret>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_header_bytes: 80 << 10,
            max_body_bytes: 10 << 20,
            header_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            read_timeout: Duration::from_secs(30),
            readers: 2 * cores(),
            max_waiting_reads: 4096,
            max_waiting_reads_of_client: 1024,
            max_bodies_bytes: 64 << 20,
            client_timeout: Duration::from_secs(60),
            search_work: 1_000_000,
            shutdown_grace: Duration::from_secs(20),
            websocket: WebSocketOptions::default(),
            chain_api: ChainApiOptions::default(),
            max_head_age: None,
            integrity_secret: None,
        }
    }
}

/// What all handlers share, and on whose behalf they read. Cloning is cheap.
///
/// A handler takes it as an argument, for reads of its endpoint's class that are charged to the client.
#[derive(Debug, Clone)]
pub struct Api {
    shared: Arc<Inner>,
    class: Class,
    client: Client,
}

#[derive(Debug)]
struct Inner {
    chain: Chain,
    options: Options,
    access: Arc<dyn Access>,
    readers: Readers,
    /// For what streams make of blocks, which seldom waits for a disk: more threads would take memory and win nothing.
    turns: Turns,
    /// What waits for clients of WebSocket connections.
    queues: Arc<Memory>,
    bodies: Bodies,
    readiness: Readiness,
    metrics: Metrics,
    abis: AbiCache,
    chain_api: ChainApi,
    places: Arc<Places>,
    stop: watch::Sender<bool>,
}

impl Api {
    pub(crate) fn new(chain: Chain, access: Arc<dyn Access>, options: Options) -> Self {
        let readers = Readers::new(&options, &chain.clock);
        let turns = Turns::new(cores(), options.read_timeout);
        let bodies = Bodies::new(&options);
        let shared = Arc::new(Inner {
            chain_api: ChainApi::new(&options.chain_api, &chain),
            chain,
            access,
            readers,
            turns,
            queues: options.websocket.new_memory(),
            bodies,
            readiness: Readiness::default(),
            metrics: Metrics::new(),
            abis: AbiCache::new(ABI_CACHE_BYTES),
            places: Arc::new(Places::new(options.max_connections)),
            stop: watch::Sender::new(false),
            options,
        });
        Self { shared, class: Class::LookUp, client: Client::default() }
    }

    /// On behalf of that client.
    pub(crate) fn charged_to(&self, client: Client) -> Self {
        Self { client, ..self.clone() }
    }

    /// With reads of that class.
    pub(crate) fn reading(&self, class: Class) -> Self {
        Self { class, ..self.clone() }
    }

    /// Room that bodies of requests have at the moment, in bytes: at most [`Options::max_bodies_bytes`].
    pub fn body_bytes(&self) -> usize {
        self.shared.bodies.taken()
    }

    pub(crate) fn bodies(&self) -> &Bodies {
        &self.shared.bodies
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

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Parsed ABIs.
    pub fn abis(&self) -> &AbiCache {
        &self.shared.abis
    }

    pub(crate) fn chain_api(&self) -> &ChainApi {
        &self.shared.chain_api
    }

    /// Places for connections.
    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.shared.places
    }

    pub(crate) fn access(&self) -> &dyn Access {
        &*self.shared.access
    }

    /// Tells when the server is to stop, and holds it up until dropped.
    pub fn stopping(&self) -> Stopping {
        Stopping(self.shared.stop.subscribe())
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.shared.stop.borrow()
    }

    pub(crate) fn stop(&self) -> &watch::Sender<bool> {
        &self.shared.stop
    }

    /// Reads from the newest snapshot on a CPU thread. Within loops, `work` asks [`Reading::go_on`] now and then.
    ///
    /// # Errors
    /// Those of `work`, and `service_unavailable_error` when it takes too long or too many are reading.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ServingSnapshot, &Reading) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        // Taken when it is this request's turn: the newest then.
        let serving = self.chain().serving.clone();
        let work = move |reading: &Reading| work(&serving.snapshot(), reading);
        self.shared.readers.run(self.class, self.client, work).await
    }

    /// The same for the rest of an answer that has begun, which waits for its turn however long it takes.
    ///
    /// # Errors
    /// Those of `work`, and `service_unavailable_error` when that takes too long.
    pub(crate) async fn read_on<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ServingSnapshot, &Reading) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        let serving = self.chain().serving.clone();
        let work = move |reading: &Reading| work(&serving.snapshot(), reading);
        self.shared.readers.run_in_turn(self.class, self.client, work).await
    }

    /// The memory of what waits for clients of WebSocket connections.
    pub(crate) fn queues(&self) -> &Arc<Memory> {
        &self.shared.queues
    }

    /// Whose turn it is among the streams.
    pub(crate) fn turns(&self) -> &Turns {
        &self.shared.turns
    }

    /// The same for a stream whose turn it is.
    ///
    /// # Errors
    /// Those of `work`, and `service_unavailable_error` when that takes too long.
    pub(crate) async fn at_turn<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce(&ServingSnapshot, &Reading) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        let serving = self.chain().serving.clone();
        turn.run(move |reading| work(&serving.snapshot(), reading)).await
    }

    /// Reads what a client sent, which has so many bytes: not on the runtime's threads, unless it takes no longer than the way to
    /// another one.
    ///
    /// # Errors
    /// Those of `work`, and `service_unavailable_error` when it takes too long or too much is being read.
    pub(crate) async fn parse<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        if bytes <= SMALL_BODY { work() } else { self.read_sent(work).await }
    }

    /// The same for what takes long however short it is.
    ///
    /// # Errors
    /// Those of [`Api::parse`].
    pub(crate) async fn read_sent<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        self.shared.readers.run(Class::Body, self.client, |_| work()).await
    }
}

impl FromRequestParts<Self> for Api {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Self) -> ApiResult<Self> {
        let class = parts.extensions.get::<Class>().copied();
        let class = class.ok_or_else(|| ApiError::unexpected("an endpoint without a class of reads"))?;
        Ok(api.reading(class).charged_to(Client::of(&parts.extensions)))
    }
}
