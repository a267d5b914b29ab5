//! Blocks that another machine may have had before: a question that names one is asked again once it is here.

use dfuse_index::ServingSnapshot;
use futures::future::BoxFuture;
use tokio::time::timeout;

use crate::{ApiError, ApiResult, Awaited, Chain, ReadContext, Reading, Service};

/// Blocks that another machine may be ahead by: those of ten seconds.
const AHEAD_BLOCKS: u32 = 20;

impl ReadContext<'_> {
    /// What to say of a block of that number that is not known: if it is above the head, it is worth to wait for it.
    pub fn absent(&self, block_num: u32, error: ApiError) -> ApiError {
        absent(self.snapshot(), block_num, error)
    }
}

/// The same of a snapshot.
pub(crate) fn absent(snapshot: &ServingSnapshot, block_num: u32, error: ApiError) -> ApiError {
    let head = snapshot.head().map_or(0, |head| head.number);
    if block_num > head { error.awaiting(block_num) } else { error }
}

impl Service {
    /// Waits until this machine has come to the block, as long as [`Options::ahead_wait`](crate::Options::ahead_wait) says, if another
    /// machine may have had it before. Tells whether it has.
    pub fn comes_to(&self, awaited: Awaited) -> BoxFuture<'_, bool> {
        Box::pin(self.waits_for(awaited))
    }

    async fn waits_for(&self, awaited: Awaited) -> bool {
        let Awaited { block_num, is_final } = awaited;
        let (patience, reached) = (self.options().ahead_wait, self.reached(is_final));
        if patience.is_zero() || block_num > reached.saturating_add(AHEAD_BLOCKS) {
            return false;
        }
        if block_num <= reached {
            return true;
        }
        let _waiting = self.metrics().awaiting_block();
        let Chain { serving, feed, .. } = self.chain();
        let comes = async {
            if self.options().has_indexes {
                let mut changes = serving.changes();
                while self.reached(is_final) < block_num && changes.changed().await.is_ok() {}
                return Ok(());
            }
            if is_final { feed.finalizes(block_num).await } else { feed.reaches(block_num).await }
        };
        // What has come by then counts.
        let _ = timeout(patience, comes).await;
        self.reached(is_final) >= block_num
    }

    /// Number of the newest block that is answered from, of those that are final if they must be.
    fn reached(&self, is_final: bool) -> u32 {
        let Chain { serving, feed, .. } = self.chain();
        let reached = match (self.options().has_indexes, is_final) {
            (true, true) => serving.snapshot().lib(),
            (true, false) => serving.snapshot().head(),
            (false, true) => feed.lib(),
            (false, false) => feed.head(),
        };
        reached.map_or(0, |block| block.number)
    }

    /// Asks; and once more if the answer awaits a block that comes in time. Whatever reads with [`Service::read`] does so by itself.
    ///
    /// # Errors
    /// Those of `ask`.
    pub async fn in_time<T, F>(&self, mut ask: impl FnMut() -> F) -> ApiResult<T>
    where
        F: Future<Output = ApiResult<T>>,
    {
        match ask().await {
            Err(error) if self.comes_for(&error).await => ask().await,
            answer => answer,
        }
    }

    /// Waits for the block that an error awaits, if it awaits one. Tells whether it has come.
    async fn comes_for(&self, error: &ApiError) -> bool {
        match error.awaits() {
            Some(block) => self.comes_to(block).await,
            None => false,
        }
    }

    /// Reads from the newest snapshot on a CPU thread. Within loops, `work` asks [`Reading::go_on`] now and then. If it awaits a
    /// block that comes in time, it is done again.
    ///
    /// # Errors
    /// Those of `work`, and `service_unavailable_error` when it takes too long or too many are reading.
    pub async fn read<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&ServingSnapshot, &Reading) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        let first = self.read_once(move |snapshot, reading| match work(snapshot, reading) {
            Err(error) if error.awaits().is_some() => Ok(Err((error, work))),
            answer => answer.map(Ok),
        });
        let (error, work) = match first.await? {
            Ok(answer) => return Ok(answer),
            Err(awaiting) => awaiting,
        };
        if self.comes_for(&error).await { self.read_once(work).await } else { Err(error) }
    }
}
