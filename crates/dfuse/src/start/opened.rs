//! What the parts work on: the stores of a data directory, opened together.

use std::{sync::Arc, time::Duration};

use dfuse_blocks::{
    BlockStore, CursorKey, SystemEntropy,
    feed::{Feed, FeedHandle, FeedOptions, Keeper, Mode, Publish},
};
use dfuse_index::{Options, Pipeline, ScratchSpace};
use dfuse_kv::{Durability, EngineOptions};
use dfuse_query::{Chain, GateAccess, Service};
use dfuse_search::SearchIndex;
use dfuse_trx::ForkedTransactions;
use tokio::{sync::mpsc, task::spawn_blocking};
use tracing::{info, warn};

use super::{
    access,
    conditions::Conditions,
    extend::Extender,
    given::Given,
    index::{Indexing, PipelineWork},
    repair,
    retention::{self, Retention},
    settings,
};
use crate::{
    failure::{UsageError, one_line},
    index_copy,
    indexes::{IndexStore, indexes},
};

/// What a data directory has.
pub(super) struct Opened {
    pub(super) files: BlockStore,
    pub(super) feed: Feed,
    pub(super) keeper: Keeper,
    pub(super) store: IndexStore,
    pub(super) pipeline: Pipeline,
    pub(super) forked: Arc<ForkedTransactions>,
    pub(super) access: access::Opened,
    index_options: Options,
    search: Arc<SearchIndex>,
}

/// Takes indexes that are not there from a copy, where there is to be one; and with them what the data directory begins with.
pub(super) async fn take_copy(given: &Given<'_>) -> anyhow::Result<()> {
    let is_wanted = given.roles.index && !given.data_dir.index().exists();
    let Some(place) = given.settings.index.copy.as_ref().filter(|_| is_wanted) else { return Ok(()) };
    match index_copy::restore(given.data_dir.path(), place).await {
        Ok(copy) => info!(mib = copy.bytes() >> 20, "the indexes begin with a copy"),
        // The first machine makes it.
        Err(error) if error.is::<UsageError>() => {
            warn!("the indexes are built from the blocks: {}", one_line(&error));
        }
        Err(error) => return Err(error.context("the copy of the indexes cannot be taken")),
    }
    Ok(())
}

impl Opened {
    /// Opens the block files, the indexes and the keys, all at once.
    pub(super) async fn open(given: &Given<'_>) -> anyhow::Result<Self> {
        let Given { settings, shares, data_dir, .. } = given;
        let engine = EngineOptions {
            cache_bytes: settings.index.cache_mib << 20,
            open_files: shares.tables,
            ..EngineOptions::default()
        };
        let index_options = Options {
            chain_id: given.chain_id,
            overlay_bytes: settings.index.memory_mib << 20,
            scratch: ScratchSpace::in_directory(data_dir.scratch()),
            durability: if settings.index.fsync { Durability::Sync } else { Durability::Buffer },
            ..Options::default()
        };
        let folder = data_dir.index();
        let search = Arc::new(SearchIndex::new(given.terms.clone()));
        let indexes = indexes(search.clone());
        let files = given.files()?;
        let has_indexes = given.roles.index;
        if settings.rebuild_damaged && has_indexes {
            repair::rebuild_damaged(&folder, &files).await?;
        }
        // Those that were damaged may be gone.
        take_copy(given).await?;
        // The engine's journal is read while the feed finds its files.
        let options = index_options.clone();
        let opened = spawn_blocking(move || -> anyhow::Result<_> {
            let (store, reopen) = match has_indexes {
                true => IndexStore::open(&folder, &indexes, engine)?,
                false => IndexStore::none(&indexes),
            };
            let pipeline = Pipeline::open(store.current(), Some(reopen), indexes, options)?;
            Ok((store, pipeline))
        });
        // If both fail, what is wrong with the indexes is told: their files are the more numerous.
        let feed = open_feed(given, &files).await;
        let access = access::open(given, &files).await;
        let (store, mut pipeline) = opened.await??;
        let (feed, keeper) = feed?;
        repair::must_have_snapshot(&pipeline, given.loaded.as_ref().map(|begun| begun.block))?;
        repair::must_begin_with(&pipeline, &feed.handle())?;
        let (keep, handle) = (given.keep()?, feed.handle());
        let pipeline = spawn_blocking(move || {
            retention::raise_at_start(&mut pipeline, &keep, &handle)?;
            Ok::<_, dfuse_index::Error>(pipeline)
        })
        .await??;
        let forked = Arc::new(ForkedTransactions::restore(&feed.handle()).await?);
        Ok(Self { files, feed, keeper, store, pipeline, forked, access: access?, index_options, search })
    }

    /// What the use cases answer from.
    pub(super) fn service(&self, given: &Given<'_>) -> Service {
        let Given { settings, clock, .. } = given;
        let chain = Chain {
            serving: self.pipeline.serving().clone(),
            feed: self.feed.handle(),
            forked: self.forked.clone(),
            search: self.search.clone(),
            chain_id: self.pipeline.chain_id(),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
        };
        let options = dfuse_query::Options {
            streams: settings.websocket.stream_options(),
            has_indexes: given.roles.index,
            ahead_wait: match given.roles.are_of_several(settings) {
                true => settings.ahead_wait(),
                false => Duration::ZERO,
            },
            ..settings.http.query_options()
        };
        Service::new(chain, Arc::new(GateAccess(self.access.gate.clone())), options)
    }

    /// What follows the feed with the indexes.
    pub(super) fn indexing(&self, given: &Given<'_>) -> Indexing {
        Indexing {
            store: self.store.clone(),
            options: self.index_options.clone(),
            files: self.files.clone(),
            feed: self.handle(),
            forked: self.forked.clone(),
            search: given.terms.clone(),
        }
    }

    /// What has earlier blocks join, and the work that it has for the pipeline.
    pub(super) fn extender(&self, given: &Given<'_>) -> anyhow::Result<(Extender, mpsc::Receiver<PipelineWork>)> {
        let stores = (self.files.clone(), self.store.clone());
        Extender::new(given, &self.pipeline, self.handle(), stores, self.forked.clone())
    }

    /// What removes what is kept no longer.
    pub(super) fn retention(&self, given: &Given<'_>, conditions: &Arc<Conditions>) -> anyhow::Result<Retention> {
        Ok(Retention {
            keep: given.keep()?,
            store: self.store.clone(),
            floors: self.pipeline.floors().clone(),
            serving: self.pipeline.serving().clone(),
            files: self.files.clone(),
            feed: self.handle(),
            indexes: indexes(self.search.clone()),
            conditions: conditions.clone(),
        })
    }

    /// For those who read blocks.
    pub(super) fn handle(&self) -> FeedHandle {
        self.feed.handle()
    }
}

async fn open_feed(given: &Given<'_>, files: &BlockStore) -> anyhow::Result<(Feed, Keeper)> {
    let Given { settings, data_dir, origin, clock, .. } = given;
    let options = FeedOptions {
        data_dir: Some(data_dir.path().to_owned()),
        first_streamable: given.first_block(),
        suffix: settings.machines.name.clone().unwrap_or_else(|| FeedOptions::default().suffix),
        reads_only: !given.roles.ingest,
        publish: match settings.machines.publish {
            settings::Publish::WhenDurable => Publish::WhenDurable,
            settings::Publish::OnArrival => Publish::OnArrival,
        },
        cursor_wait: settings.ahead_wait(),
        mode: if origin.repeats() { Mode::CatchUp } else { Mode::Live },
        memory_bytes: settings.blocks.memory_mib << 20,
        keep_forked: settings.blocks.keep_forked,
        history_bytes: (settings.websocket.memory_mib << 20) / 4,
        ..FeedOptions::default()
    };
    let key = match CursorKey::shared(data_dir.path(), &settings.cursor_keys()?)? {
        Some(key) => key,
        None => CursorKey::open(data_dir.path(), &SystemEntropy)?,
    };
    Ok(Feed::open(files.clone(), key, options, &**clock).await?)
}
