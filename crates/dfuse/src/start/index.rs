//! The indexes: following the feed, and building those that lack blocks beside it.

use std::sync::Arc;

use dfuse_antelope::AbiDump;
use dfuse_blocks::{BlockRef, BlockStore, feed::FeedHandle};
use dfuse_index::{Error, IndexState, Options, Pipeline, Progress, Rebuild, Result, follow_feed, reindex};
use dfuse_search::{SearchIndex, TermOptions};
use dfuse_trx::{BlockSource, FeedBlocks, ForkedTransactions};
use futures::{FutureExt, Stream};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};
use tracing::{info, warn};

use crate::indexes::{IndexStore, indexes};

/// Blocks between two reports of an index that is being built.
const REPORT_BLOCKS: u32 = 50_000;

/// Any error but [`Error::Usage`] ends the following of the feed.
type Work = Box<dyn FnOnce(&mut Pipeline) -> Result<()> + Send>;

/// Work on the pipeline between two steps of the chain, and who waits for it.
pub(crate) struct PipelineWork {
    pub(crate) work: Work,
    pub(crate) done: oneshot::Sender<std::result::Result<(), String>>,
}

/// What the indexes live on.
pub(crate) struct Indexing {
    pub(crate) store: IndexStore,
    pub(crate) options: Options,
    pub(crate) files: BlockStore,
    pub(crate) feed: FeedHandle,
    pub(crate) forked: Arc<ForkedTransactions>,
    /// What is indexed for searching.
    pub(crate) search: TermOptions,
}

impl PipelineWork {
    async fn run_on(self, mut pipeline: Pipeline) -> Result<Pipeline> {
        let Self { work, done } = self;
        let worked = spawn_blocking(move || {
            let result = work(&mut pipeline);
            (pipeline, result)
        });
        let (pipeline, result) = worked.await.map_err(|_| Error::Usage("the process stops".to_owned()))?;
        // Whoever waited may be gone.
        let _ = done.send(result.as_ref().copied().map_err(ToString::to_string));
        match result {
            Ok(()) | Err(Error::Usage(_)) => Ok(pipeline),
            Err(error) => Err(error),
        }
    }
}

impl Indexing {
    /// Follows the feed until it ends. An index that others are ahead of is built from the block files meanwhile, and then
    /// takes part. `works` are done between two steps.
    pub(crate) async fn run(
        self,
        mut pipeline: Pipeline,
        mut dumps: impl Stream<Item = AbiDump> + Send + Unpin,
        mut works: mpsc::Receiver<PipelineWork>,
    ) -> Result<()> {
        let status = pipeline.serving().status();
        let behind = status.indexes.iter().filter(|index| matches!(index.state, IndexState::Behind(_)));
        for name in behind.map(|index| index.name) {
            info!(index = name, "building an index from the block files, while the others serve");
            let mut built = Ok(());
            let building = self.build(name).map(|result| built = result);
            pipeline = follow_feed(pipeline, &self.feed, &mut dumps, &*self.forked, building).await?;
            // Nothing is committed from here on: what is missing is little.
            if built.is_ok() {
                built = self.build(name).await;
            }
            pipeline = match built {
                Ok(()) => self.join(pipeline, name).await?,
                Err(error) => {
                    warn!(index = name, %error, "the index was not built; `dfuse tools reindex` continues, or the next start");
                    pipeline
                }
            };
        }
        loop {
            let mut next = None;
            let come = async {
                match works.recv().await {
                    Some(work) => next = Some(work),
                    None => std::future::pending().await,
                }
            };
            pipeline = follow_feed(pipeline, &self.feed, &mut dumps, &*self.forked, come).await?;
            let Some(work) = next else { return Ok(()) };
            pipeline = work.run_on(pipeline).await?;
        }
    }

    /// Builds an index up to where the others are.
    async fn build(&self, name: &'static str) -> Result<()> {
        let (store, options) = (self.store.current(), self.options.clone());
        let indexes = indexes(Arc::new(SearchIndex::new(self.search.clone())));
        let opened = spawn_blocking(move || Rebuild::open(store, &indexes, name, options, |_| ())).await;
        let rebuild = opened.map_err(|_| Error::Usage("the process stops".to_owned()))??;
        let mut reported = 0;
        let progress = |progress| {
            if let Progress::Blocks { number, last } = progress
                && number / REPORT_BLOCKS != reported
            {
                reported = number / REPORT_BLOCKS;
                info!(index = name, number, last, "building");
            }
        };
        reindex(&self.files, rebuild, progress).await.map(drop)
    }

    async fn join(&self, mut pipeline: Pipeline, name: &'static str) -> Result<Pipeline> {
        let blocks = FeedBlocks::new(self.feed.clone());
        let read = move |block: BlockRef| blocks.block(block).map_err(|error| Error::Usage(error.to_string()));
        let joined = spawn_blocking(move || {
            let result = pipeline.join(name, read);
            (pipeline, result)
        });
        let (pipeline, result) = joined.await.map_err(|_| Error::Usage("the process stops".to_owned()))?;
        match result {
            Ok(()) => info!(index = name, "the index is built and serves"),
            Err(error) => warn!(index = name, %error, "the index is built, but serves from the next start only"),
        }
        Ok(pipeline)
    }
}
