//! What use cases read from.

use std::sync::Arc;

use dfuse_index::{ServingSnapshot, View, abi::ViewAbis};
use dfuse_trx::{BlockSource, FeedBlocks, Lifecycles};

use crate::{ApiError, ApiResult, Chain, Reading, Service, turns::Turn};

/// A read at work, which every use case takes: one snapshot, whatever is asked of it.
///
/// Use cases are functions that block on stores. [`Service::query`] runs them where they may, and whoever asks renders what
/// they answer there, too: decoding takes as long as reading.
#[derive(Debug, Clone, Copy)]
pub struct ReadContext<'a> {
    service: &'a Service,
    snapshot: &'a ServingSnapshot,
    reading: &'a Reading,
}

impl<'a> ReadContext<'a> {
    /// Of a read that is at work: see [`Service::read`].
    pub fn new(service: &'a Service, snapshot: &'a ServingSnapshot, reading: &'a Reading) -> Self {
        Self { service, snapshot, reading }
    }

    /// On whose behalf it reads.
    pub fn service(&self) -> &'a Service {
        self.service
    }

    /// The chain.
    pub fn chain(&self) -> &'a Chain {
        self.service.chain()
    }

    /// What it reads from.
    pub fn snapshot(&self) -> &'a ServingSnapshot {
        self.snapshot
    }

    /// The snapshot's indexes, at its head.
    pub fn view(&self) -> &'a View {
        self.snapshot.view()
    }

    /// The read.
    pub fn reading(&self) -> &'a Reading {
        self.reading
    }

    /// An error when nobody waits for the answer any more; ask now and then within loops. See [`Reading::go_on`].
    ///
    /// # Errors
    /// `service_unavailable_error`: return it.
    pub fn go_on(&self) -> ApiResult<()> {
        self.reading.go_on()
    }

    /// An error before the first block: then nothing is known to be absent.
    ///
    /// # Errors
    /// `app_not_ready_error`.
    pub fn ready(&self) -> ApiResult<()> {
        self.snapshot.head().map(drop).ok_or_else(ApiError::not_ready)
    }

    /// Whether whoever asks may read what was at this block.
    ///
    /// # Errors
    /// `auth_invalid_history_error`.
    pub fn may_read(&self, block: u32) -> ApiResult<()> {
        self.service.caller().may_read(block, self.snapshot.head().map_or(0, |head| head.number))
    }

    /// The first block that whoever asks may read.
    pub fn first_block(&self) -> u32 {
        self.service.caller().first_block(self.snapshot.head().map_or(0, |head| head.number))
    }

    /// The ABIs of a view, for one answer.
    pub fn abis<'b>(&self, view: &'b View) -> ViewAbis<'b>
    where
        'a: 'b,
    {
        match view.is_same(self.view()) {
            true => self.snapshot.abis(self.service.abis()),
            false => ViewAbis::new(view, self.service.abis()),
        }
    }

    /// The blocks, on threads that may block.
    pub(crate) fn blocks(&self) -> FeedBlocks {
        FeedBlocks::new(self.chain().feed.clone())
    }

    /// The transactions of a view, read from those blocks.
    pub(crate) fn lifecycles<'b>(&self, view: &'b View, blocks: &'b dyn BlockSource) -> Lifecycles<'b>
    where
        'a: 'b,
    {
        let chain = self.chain();
        Lifecycles { view, forked: &chain.forked, blocks, signers: self.service.signers() }
    }
}

/// A [`ReadContext`] for whoever cannot borrow one. It must not leave the read that it was given to.
#[derive(Debug, Clone)]
pub struct OwnedRead {
    service: Service,
    snapshot: Arc<ServingSnapshot>,
    reading: Reading,
}

impl OwnedRead {
    /// What use cases take.
    pub fn context(&self) -> ReadContext<'_> {
        ReadContext::new(&self.service, &self.snapshot, &self.reading)
    }

    /// On whose behalf it reads.
    pub fn service(&self) -> &Service {
        &self.service
    }
}

impl OwnedRead {
    /// The newest snapshot, for a read that is at work.
    fn newest(service: &Service, reading: &Reading) -> Self {
        Self { service: service.clone(), snapshot: service.chain().serving.snapshot(), reading: reading.clone() }
    }
}

impl Service {
    /// As [`Service::at_turn`], for work that keeps what it reads from in values of its own.
    ///
    /// # Errors
    /// Those of `work`, and `service_unavailable_error` when that takes too long.
    pub async fn at_turn_owned<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce(OwnedRead) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        let service = self.clone();
        turn.run(move |reading| work(OwnedRead::newest(&service, reading))).await
    }

    /// As [`Service::query_at_any_time`], for work that keeps what it reads from in values of its own. It is done once: whoever
    /// asks sees to blocks that are awaited, with [`Service::comes_to`].
    ///
    /// # Errors
    /// Those of `work`, and `service_unavailable_error` when it takes too long or too many are reading.
    pub async fn query_owned<T: Send + 'static>(
        &self,
        work: impl FnOnce(OwnedRead) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        let service = self.clone();
        self.read_once(move |_, reading| work(OwnedRead::newest(&service, reading))).await
    }

    /// Asks use cases, all of the newest snapshot, on a CPU thread. Reads of the service's class, charged to its client.
    ///
    /// # Errors
    /// Those of `work`, `app_not_ready_error` before the first block, and `service_unavailable_error` when it takes too long or too
    /// many are reading.
    pub async fn query<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&ReadContext<'_>) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        self.query_at_any_time(move |read| read.ready().and_then(|()| work(read))).await
    }

    /// The same for work that has an answer before the first block, too.
    ///
    /// # Errors
    /// Those of `work`, and `service_unavailable_error` when it takes too long or too many are reading.
    pub async fn query_at_any_time<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&ReadContext<'_>) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        let service = self.clone();
        self.read(move |snapshot, reading| work(&ReadContext::new(&service, snapshot, reading))).await
    }
}
