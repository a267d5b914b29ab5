//! Earlier blocks that join the data directory, while it serves.

use std::{fs, io, path::PathBuf, sync::Arc};

use anyhow::{Context, bail};
use dfuse_antelope::{Checksum256, model::Block};
use dfuse_blocks::{BlockRef, BlockStore, EncodedBlock, Merger, bundle::BUNDLE_BLOCKS, feed::FeedHandle};
use dfuse_index::{
    Earlier, EarlierStage, EarlierStep, EarlierWay, Index, JoinPass, Pipeline, Serving, View, abis_are_known,
    block_filters, build_earlier, check_gathered, finish_earlier, join_blocks, join_lists, move_blocks, plan_earlier,
};
use dfuse_kv::EngineOptions;
use dfuse_node::{KeptState, Source, SourceEvent, SourceOptions, SourceSpec};
use dfuse_search::{SearchIndex, TermOptions};
use dfuse_trx::{BlockSource, FeedBlocks, ForkedTransactions};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::spawn_blocking,
};
use tracing::info;

use super::{given::Given, index::PipelineWork};
use crate::{
    failure::{one_line, usage},
    indexes::{IndexStore, indexes},
    input,
};

/// The folder of the data directory for what is needed until the blocks have joined.
const FOLDER: &str = "extending";
/// Ends the names of one-block files that wait beside the store.
const SUFFIX: &str = "earlier";
/// Number of the first block of a chain that has any.
const FIRST_BLOCK: u32 = 2;
/// A filter goes by the ABIs that later blocks have, and says of a block whether it is another one than the block before had.
const FILTERED: &str =
    "earlier blocks cannot join those that went through a filter; index the chain from its beginning with the filter";
/// Blocks between two reports.
const REPORT_BLOCKS: u32 = 10_000;

/// Has earlier blocks join what a process serves.
#[derive(Clone)]
pub(crate) struct Extender {
    works: mpsc::Sender<PipelineWork>,
    serving: Arc<Serving>,
    feed: FeedHandle,
    files: BlockStore,
    store: IndexStore,
    forked: Arc<ForkedTransactions>,
    terms: TermOptions,
    folder: PathBuf,
    chain_id: Option<Checksum256>,
    source: SourceOptions,
    /// Why this process cannot do it.
    refused: Option<&'static str>,
    one_at_a_time: Arc<Mutex<()>>,
}

impl Extender {
    /// That of what was opened, and the work that it has for the pipeline.
    pub(super) fn new(
        given: &Given<'_>,
        pipeline: &Pipeline,
        feed: FeedHandle,
        (files, store): (BlockStore, IndexStore),
        forked: Arc<ForkedTransactions>,
    ) -> anyhow::Result<(Self, mpsc::Receiver<PipelineWork>)> {
        let (works, received) = mpsc::channel(1);
        let settings = given.settings;
        let source = SourceOptions {
            max_line_bytes: settings.nodeos.max_line_mib << 20,
            firehose: settings.firehose.options()?,
            store: input::store_options(false),
            ..SourceOptions::default()
        };
        let is_whole = given.roles.index && given.roles.ingest;
        let refused = match is_whole {
            false => {
                Some("this process does not both take blocks and index them; ask one with the roles ingest and index")
            }
            true if !settings.filter.programs()?.passes_all() => Some(FILTERED),
            true => None,
        };
        let extender = Self {
            works,
            serving: pipeline.serving().clone(),
            feed,
            files,
            store,
            forked,
            terms: given.terms.clone(),
            folder: given.data_dir.path().join(FOLDER),
            chain_id: pipeline.chain_id(),
            source,
            refused,
            one_at_a_time: Arc::default(),
        };
        Ok((extender, received))
    }

    /// Has the blocks from number `first` on join, which the source has. Goes on with what was begun. Returns the first block that was
    /// there.
    ///
    /// # Errors
    /// What is wrong with the source or its blocks, and what the stores fail with.
    pub(crate) async fn extend(&self, source: &str, first: u32) -> anyhow::Result<u32> {
        if let Some(why) = self.refused {
            return Err(usage(why));
        }
        let Ok(_alone) = self.one_at_a_time.try_lock() else {
            return Err(usage("earlier blocks are joining already; try again when they have"));
        };
        let spec: SourceSpec = source.parse().map_err(|error: dfuse_node::Error| usage(error.to_string()))?;
        let mut earlier = self.plan(first)?;
        let under_way = earlier.under_way.context("nothing is to be joined")?;
        let (joint, mut stage) = (under_way.joint, under_way.stage);
        let beside = self.files.earlier();
        if stage == EarlierStage::Files {
            let is_new = Earlier::of(&*self.store.current())?.is_none_or(|found| found.under_way.is_none());
            // A backup has the record without what was gathered.
            if is_new || first_of(&beside).await?.is_none() {
                // What an earlier one left if it was killed at its very end.
                remove_folder(&self.folder)?;
                self.gather(&spec, first, joint).await?;
            }
            earlier.reach(&*self.store.current(), EarlierStage::Files)?;
            info!(first, last = joint.number, "the earlier blocks are there; their files join");
            self.keep_forked().await?;
            move_blocks(&self.files, first, joint, Some(&self.feed)).await?;
            earlier.reach(&*self.store.current(), EarlierStage::Lists)?;
            stage = EarlierStage::Lists;
        }
        beside.remove_all().await?;
        self.join(first, joint, stage).await?;
        finish_earlier(&*self.store.current())?;
        self.feed.begins_with(first);
        self.on_pipeline(Pipeline::take_earlier).await?;
        remove_folder(&self.folder)?;
        info!(first, last = joint.number, "earlier blocks have joined");
        Ok(joint.number.saturating_add(1))
    }

    /// Blocks that lost are kept as the store keeps others, and their transactions are known to have been in them.
    async fn keep_forked(&self) -> anyhow::Result<()> {
        let beside = self.files.earlier();
        for name in beside.forked_blocks().await? {
            let block = beside.read_forked_block(&name).await?;
            self.files.write_forked_block(&block, &name.suffix).await?;
            let forked = self.forked.clone();
            spawn_blocking(move || block.decode().map(|block| forked.undone(&block))).await??;
        }
        Ok(())
    }

    /// What is to join, or is joining.
    fn plan(&self, first: u32) -> anyhow::Result<Earlier> {
        let snapshot = self.serving.snapshot();
        if !block_filters::all(snapshot.view())?.is_empty() {
            return Err(usage(FILTERED));
        }
        let abis_known = match snapshot.mid_chain_start() {
            Some(start) => !snapshot.lacks_older_state() || abis_are_known(snapshot.view(), start)?,
            None => true,
        };
        let indexes = self.indexes();
        let indexes: Vec<_> = indexes.iter().map(|index| &**index).collect();
        plan_earlier(&*self.store.current(), &indexes, first, abis_known).map_err(|error| match error {
            dfuse_index::Error::Usage(why) => usage(why),
            other => other.into(),
        })
    }

    /// Indexes that nobody else uses.
    fn indexes(&self) -> Vec<Arc<dyn Index>> {
        indexes(Arc::new(SearchIndex::new(self.terms.clone())))
    }

    /// Reads the source into the store beside that of block files.
    async fn gather(&self, spec: &SourceSpec, first: u32, joint: BlockRef) -> anyhow::Result<()> {
        let beside = self.files.earlier();
        if first_of(&beside).await?.is_some_and(|found| found != first) {
            beside.remove_all().await?;
        }
        self.read(spec, &beside, first, joint).await?;
        let checked = leads_to(&beside, first, joint).await;
        if checked.is_err() {
            // The next source may have others.
            beside.remove_all().await?;
        }
        checked
    }

    async fn read(&self, spec: &SourceSpec, beside: &BlockStore, first: u32, joint: BlockRef) -> anyhow::Result<()> {
        let mut merger = Merger::open(beside.clone(), first, SUFFIX).await?;
        let known = beside.bundles().await?.last().map_or(first, |base| base.saturating_add(BUNDLE_BLOCKS));
        // A log is read from its beginning, and its rows with it.
        let rows = self.folder.join("state-history");
        remove_folder(&rows)?;
        let options = SourceOptions {
            start_block: if matches!(spec, SourceSpec::HistoryLogs(_)) { first } else { known },
            chain_id: self.chain_id,
            state: Some(KeptState::in_folder(rows)),
            ..self.source.clone()
        };
        if known > joint.number {
            return Ok(());
        }
        let mut source = Source::open(spec, options).map_err(|error| usage(one_line(&error.into())))?;
        let mut is_empty = merger.irreversible().is_none();
        while let Some(event) = source.next().await? {
            match event {
                SourceEvent::Block { block, encoded } if encoded.number() >= first => {
                    if std::mem::take(&mut is_empty) && encoded.number() > first {
                        return Err(usage(format!(
                            "the source begins with block {}, and has none from block {first} on",
                            encoded.number()
                        )));
                    }
                    must_be_whole(block, &encoded).await?;
                    merger.push(encoded).await?;
                }
                // A dump without a block has the ABIs that every chain begins with.
                SourceEvent::AbiDump(dump)
                    if dump.block_num < first && (dump.block_num > 0 || first <= FIRST_BLOCK) =>
                {
                    beside.write_abi_dump(dump).await?;
                }
                _ => {}
            }
            if merger.irreversible().is_some_and(|lib| lib.number >= joint.number) {
                break;
            }
        }
        merger.finish().await?;
        Ok(())
    }

    /// Has the lists and then the blocks join, whose files are there.
    async fn join(&self, first: u32, joint: BlockRef, stage: EarlierStage) -> anyhow::Result<()> {
        let mut lists = self.indexes();
        lists.retain(|index| index.earlier_way() == EarlierWay::Lists);
        let path = self.folder.join("index");
        fs::create_dir_all(&path)?;
        let opened = lists.clone();
        let (aside, _) =
            spawn_blocking(move || dfuse_index::open_store(path, &opened, EngineOptions::default())).await??;
        let mut report = report();
        let range = (first, joint);
        let built = build_earlier(&self.files, aside.clone(), lists.clone(), range, self.chain_id, &mut report).await?;
        let view = built.head_view();
        drop(built);
        if stage == EarlierStage::Lists {
            self.join_lists(&lists, view.clone(), JoinPass::Before).await?;
            let (abis_known, view) = (abis_are_known(&view, first)?, view.clone());
            let blocks = FeedBlocks::new(self.feed.clone());
            let reversible =
                move |block| blocks.block(block).map_err(|error| dfuse_index::Error::Usage(error.to_string()));
            self.on_pipeline(move |pipeline| pipeline.join_earlier(&view, abis_known, reversible)).await?;
        }
        self.join_lists(&lists, view, JoinPass::After).await?;
        spawn_blocking(move || aside.close()).await??;
        let (store, serving) = (self.store.current(), self.serving.clone());
        let own = move || serving.snapshot().view().clone();
        join_blocks(&self.files, &store, &self.indexes(), own, report).await?;
        Ok(())
    }

    async fn join_lists(&self, lists: &[Arc<dyn Index>], view: View, pass: JoinPass) -> anyhow::Result<()> {
        let (store, lists) = (self.store.current(), lists.to_vec());
        let own = self.serving.snapshot();
        Ok(spawn_blocking(move || join_lists(&*store, &lists, &view, own.view(), pass)).await??)
    }

    /// Does something between two steps of the chain.
    async fn on_pipeline(
        &self,
        work: impl FnOnce(&mut Pipeline) -> dfuse_index::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let (done, answer) = oneshot::channel();
        let stopped = "the indexes are not followed any more";
        self.works.send(PipelineWork { work: Box::new(work), done }).await.ok().context(stopped)?;
        answer.await.context(stopped)?.map_err(anyhow::Error::msg)
    }
}

/// Blocks that a filter left something out of cannot join.
async fn must_be_whole(block: Option<Arc<Block>>, encoded: &EncodedBlock) -> anyhow::Result<()> {
    let is_filtered = match block {
        Some(block) => block.filtering_applied,
        None => {
            let encoded = encoded.clone();
            spawn_blocking(move || encoded.decode().map(|block| block.filtering_applied)).await??
        }
    };
    match is_filtered {
        true => Err(usage(format!(
            "block {} of the source went through a filter; give a source that has whole blocks",
            encoded.number()
        ))),
        false => Ok(()),
    }
}

/// Says now and then how far joining is.
fn report() -> impl FnMut(EarlierStep) {
    let mut reported = None;
    move |step| {
        let (what, number) = match step {
            EarlierStep::Indexing(number) => ("indexing earlier blocks", number),
            EarlierStep::Entering(number) => ("entering earlier blocks, downwards", number),
        };
        if reported.replace((what, number / REPORT_BLOCKS)) != Some((what, number / REPORT_BLOCKS)) {
            info!(number, "{what}");
        }
    }
}

/// Number of the first block in a store that is being gathered.
async fn first_of(beside: &BlockStore) -> anyhow::Result<Option<u32>> {
    let single = beside.one_blocks().await?.iter().map(|name| name.number).min();
    let Some(base) = beside.bundles().await?.first().copied() else { return Ok(single) };
    Ok(beside.first_in_bundle(base).await?.into_iter().chain(single).min())
}

/// The blocks that were gathered must be those before the first one that is there.
async fn leads_to(beside: &BlockStore, first: u32, joint: BlockRef) -> anyhow::Result<()> {
    let wrong = match check_gathered(beside, first, joint).await {
        Ok(()) => return Ok(()),
        Err(dfuse_index::Error::Conflict { found, .. }) => format!("block {} there is {}", found.number, found.id),
        Err(dfuse_index::Error::Blocks(dfuse_blocks::Error::NotFound(what))) => format!("it has not {what}"),
        Err(other) => return Err(other.into()),
    };
    bail!(usage(format!(
        "the source does not lead to the first block that is there, whose parent is {} {}: {wrong}",
        joint.number, joint.id
    )))
}

fn remove_folder(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
