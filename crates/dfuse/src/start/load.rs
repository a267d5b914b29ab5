//! The state of a snapshot, loaded before anything else begins.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread::available_parallelism,
};

use anyhow::anyhow;
use dfuse_antelope::Checksum256;
use dfuse_blocks::{BlockRef, SystemClock};
use dfuse_index::{CheckpointState, Index, LoadOptions, LoadedState, open_store};
use dfuse_kv::{EngineOptions, Store};
use dfuse_node::SourceSpec;
use dfuse_search::SearchIndex;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::{begun::Begun, given::Given, origin::Origin, signals::Signals};
use crate::{failure::usage, indexes::indexes, snapshot::StateLoad};

/// Where entries that do not fit into memory are sorted.
const FOLDER: &str = "loading";
/// Threads at most: reading is one more, and soon the slowest.
const MAX_THREADS: usize = 8;

/// How beginning ended.
pub(super) enum Loaded {
    /// What the data directory begins with; absent without a snapshot.
    State(Option<Begun>),
    /// A signal came while the state was loaded.
    Stopped(&'static str),
}

/// What is loaded.
enum Place {
    Snapshot(String),
    /// What the history of a source begins with, unless that is the beginning of its chain.
    Source(SourceSpec),
}

/// What the data directory begins with. A snapshot that was asked for is loaded unless it was before, and so is the state that state
/// history begins with which began in mid-chain.
pub(super) async fn begin(given: &Given<'_>, signals: &mut Signals) -> anyhow::Result<Loaded> {
    let data_dir = given.data_dir.path();
    let begun = Begun::read(data_dir)?;
    let place = match (&given.settings.snapshot, &given.origin) {
        (Some(place), _) => Place::Snapshot(place.clone()),
        (None, Origin::Spec(source)) if given.origin.keeps_rows() => Place::Source(source.clone()),
        _ => return Ok(Loaded::State(begun)),
    };
    let files = given.data_dir.open_blocks(given.settings.blocks.store.as_deref(), given.settings.blocks.fsync)?;
    let has_blocks = !files.bundles_from(0).await?.is_empty() || !files.one_blocks().await?.is_empty();
    let first_block = match begun {
        // A load that was cut off begins anew.
        Some(begun) => begun.first_block,
        None if has_blocks && matches!(place, Place::Source(_)) => return Ok(Loaded::State(None)),
        None if has_blocks => None,
        None => Some(0),
    };
    let options = LoadOptions {
        memory_bytes: given.settings.index.memory_mib << 19,
        threads: available_parallelism().map_or(1, usize::from).min(MAX_THREADS),
        ..LoadOptions::new(data_dir.join(FOLDER))
    };
    let stop = options.stop.clone();
    let load = Load {
        place,
        data_dir: data_dir.to_owned(),
        has_blocks,
        is_first: first_block.is_some(),
        index: given.data_dir.index(),
        indexes: indexes(Arc::new(SearchIndex::new(given.terms.clone()))),
        chain_id: given.chain_id,
        options,
        clock: given.clock.clone(),
        rows: given.origin.keeps_rows().then(|| given.data_dir.state_history()),
    };
    let mut work = spawn_blocking(move || load.run());
    tokio::select! {
        loaded = &mut work => Ok(Loaded::State(loaded??)),
        signal = signals.next() => {
            stop.store(true, Ordering::Relaxed);
            match work.await? {
                Err(error) if !is_stopped(&error) => Err(error),
                _ => Ok(Loaded::Stopped(signal)),
            }
        }
    }
}

fn is_stopped(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(dfuse_index::Error::Stopped))
}

/// A load, with all that it needs.
struct Load {
    place: Place,
    data_dir: PathBuf,
    has_blocks: bool,
    /// Whether history begins with the snapshot.
    is_first: bool,
    index: PathBuf,
    indexes: Vec<Arc<dyn Index>>,
    chain_id: Option<Checksum256>,
    options: LoadOptions,
    clock: Arc<SystemClock>,
    rows: Option<PathBuf>,
}

impl Load {
    fn run(self) -> anyhow::Result<Option<Begun>> {
        let (store, _) = open_store(&self.index, &self.indexes, EngineOptions::default())?;
        let loaded = match LoadedState::of(&*store, &self.indexes)? {
            LoadedState::Loaded(block) => {
                info!(block = block.number, "the indexes have the state of a snapshot already");
                let begun = Begun::read(&self.data_dir)?.filter(|begun| begun.block == block);
                let missing =
                    || anyhow!("{} is missing: restore it from a backup", Begun::place(&self.data_dir).display());
                begun.ok_or_else(missing).map(Some)
            }
            LoadedState::None if matches!(self.place, Place::Source(_)) => Ok(None),
            LoadedState::None => Err(usage(
                "the indexes of this data directory have begun without a snapshot: name another directory with --data-dir, or \
                 leave --snapshot out",
            )),
            LoadedState::Empty => self.load(&store),
            LoadedState::Unfinished(block) => {
                warn!(block = block.number, "loading a snapshot was cut off, and begins anew");
                self.load(&store)
            }
        };
        let closed = store.close();
        let loaded = loaded?;
        closed?;
        Ok(loaded)
    }

    fn load(&self, store: &Arc<dyn Store>) -> anyhow::Result<Option<Begun>> {
        let mut begun = None;
        let load = StateLoad {
            store: store.clone(),
            indexes: self.indexes.clone(),
            chain_id: self.chain_id,
            options: self.options.clone(),
            state: CheckpointState::Complete,
            clock: self.clock.clone(),
            rows: self.rows.clone(),
        };
        let begin = |block: BlockRef| {
            let other = Begun::read(&self.data_dir)?.filter(|before| self.has_blocks && before.block != block);
            if let Some(before) = other {
                return Err(usage(format!(
                    "the blocks of this data directory begin after block {} {}, and this is the state after block {} {}: give \
                     that of the former with --snapshot, or name another directory with --data-dir",
                    before.block.number, before.block.id, block.number, block.id
                )));
            }
            let first_block = self.is_first.then(|| block.number.saturating_add(1));
            begun = Some(Begun { block, first_block }.write(&self.data_dir)?);
            Ok(())
        };
        match &self.place {
            Place::Snapshot(place) => load.of_snapshot(place, begin)?,
            Place::Source(source) => load.of_source(source, begin)?,
        }
        Ok(begun)
    }
}
