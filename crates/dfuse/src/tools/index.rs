//! `dfuse tools reindex` and `dfuse tools check index`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, thread::available_parallelism};

use anyhow::bail;
use clap::Args;
use dfuse_blocks::{BlockRef, BlockStore, SystemClock};
use dfuse_index::{
    CheckpointState, Index, LoadOptions, Options, Progress as Step, Rebuild, check_indexes, check_replaceable,
    give_up_loaded_state, loaded_state, must_not_hold_loaded_state, reindex,
};
use dfuse_kv::{EngineOptions, Store, find_damage};
use dfuse_search::SearchIndex;

use crate::{
    failure::{damaged_indexes, explained, usage},
    indexes::indexes,
    progress::Progress,
    remedy,
    snapshot::{StateLoad, must_be_of},
    start::{DataDir, Settings},
    tools::runtime,
};

/// Differences that are listed.
const MAX_LISTED: usize = 20;

/// Where indexes and blocks are.
#[derive(Debug, Clone, Args)]
pub(super) struct Place {
    /// Configuration file of dfuse start; its section "search" says what is indexed
    #[arg(long, value_name = "FILE", env = "DFUSE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Data directory [default: ./dfuse-data]
    #[arg(long, value_name = "DIR", env = "DFUSE_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
    /// Snapshot that the indexes begin with, if they begin with one: a file or a URL
    #[arg(long, value_name = "FILE|URL")]
    snapshot: Option<String>,
    /// Directory of the block files, or the URL of an object store (s3://, gs:// or az://)
    /// [default: blocks in the data directory]
    #[arg(long, value_name = "STORE", env = "DFUSE_BLOCKS__STORE", hide_env_values = true)]
    blocks: Option<String>,
}

/// What a tool works on.
pub(super) struct Opened {
    pub(super) data_dir: DataDir,
    pub(super) files: BlockStore,
    indexes: Vec<Arc<dyn Index>>,
}

impl Place {
    pub(super) fn open(&self) -> anyhow::Result<Opened> {
        // Flags of dfuse start are none of a tool.
        let settings = Settings::load(self.config.as_ref(), &BTreeMap::<&str, &str>::new())?;
        let indexes = indexes(Arc::new(SearchIndex::new(settings.search.options()?)));
        let data_dir = DataDir::existing(self.data_dir.as_deref().or(settings.data_dir.as_deref()))?;
        let blocks = self.blocks.as_deref().or(settings.blocks.store.as_deref());
        let files = data_dir.open_blocks(blocks, false)?;
        remedy::set(remedy::Context {
            data_dir: Some(data_dir.path().to_owned()),
            config: self.config.clone(),
            blocks: blocks.map(str::to_owned),
            ..remedy::Context::default()
        });
        Ok(Opened { data_dir, files, indexes })
    }
}

impl Opened {
    fn store(&self) -> dfuse_kv::Result<Arc<dyn Store>> {
        let (store, _) = dfuse_index::open_store(self.data_dir.index(), &self.indexes, EngineOptions::default())?;
        Ok(store)
    }

    /// Loads the state of a snapshot into indexes, which begin with the state after that block.
    fn load(
        &self,
        place: &str,
        wanted: BlockRef,
        (store, indexes): (Arc<dyn Store>, Vec<Arc<dyn Index>>),
        state: CheckpointState,
    ) -> anyhow::Result<()> {
        let threads = available_parallelism().map_or(1, usize::from);
        let load = StateLoad {
            store,
            indexes,
            chain_id: None,
            options: LoadOptions { threads, ..LoadOptions::new(self.data_dir.path().join("loading")) },
            state,
            clock: Arc::new(SystemClock::new()),
            rows: None,
        };
        must_be_of(place, wanted)?;
        load.of_snapshot(place, |_| Ok(()))
    }

    /// The files of the indexes that are damaged, as an error that names them and says what to do.
    pub(super) fn damage(&self) -> anyhow::Result<Option<anyhow::Error>> {
        tracing::info!("reading all files of the indexes");
        let path = std::path::absolute(self.data_dir.index())?;
        let damage = find_damage(&path)?;
        Ok((!damage.is_empty()).then(|| damaged_indexes(&damage, "")))
    }

    /// The store to build indexes in; an empty one in place of one that is damaged, if all indexes are to be built.
    fn store_to_build_in(&self, all: bool) -> anyhow::Result<(Arc<dyn Store>, bool)> {
        let damage = match self.damage()? {
            Some(damage) => damage,
            None => match self.store() {
                Err(error @ (dfuse_kv::Error::Corrupt { .. } | dfuse_kv::Error::Format { .. })) => {
                    explained(error.into())
                }
                opened => return Ok((opened?, false)),
            },
        };
        if !all {
            bail!("{damage}; all indexes are in the same files, so run it without names of indexes");
        }
        runtime()?.block_on(dfuse_index::check_dumps(&self.files))?;
        tracing::warn!("{damage}: they are removed and built anew");
        dfuse_kv::remove(self.data_dir.index())?;
        Ok((self.store()?, true))
    }
}

/// The names that were given, all if there are none, in the order in which they are built.
fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static str>> {
    let known: Vec<_> = indexes(Arc::default()).iter().map(|index| index.name()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(usage(format!("there is no index \"{unknown}\"; there are {}", known.join(", "))));
    }
    Ok(known.into_iter().filter(|name| names.is_empty() || names.iter().any(|chosen| chosen == name)).collect())
}

/// Rebuild indexes from the block files. No other process may use the data directory meanwhile. `dfuse start` itself completes an
/// index that lacks blocks, while it serves the others. An interrupted rebuild is continued. Damaged indexes are removed first;
/// intact ones are left alone if the block files do not contain everything that is in them.
#[derive(Debug, Args)]
pub(crate) struct Reindex {
    #[command(flatten)]
    pub(super) place: Place,
    /// Names of the indexes [default: all]
    #[arg(value_name = "INDEX")]
    pub(super) indexes: Vec<String>,
}

impl Reindex {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let names = chosen(&self.indexes)?;
        let opened = self.place.open()?;
        let (store, was_damaged) = opened.store_to_build_in(self.indexes.is_empty())?;
        let Opened { files, indexes, .. } = &opened;
        let mut loaded = Vec::new();
        let mut block = None;
        for index in indexes.iter().filter(|index| names.contains(&index.name())) {
            let Some(of) = loaded_state(&*store, &**index)? else { continue };
            if self.place.snapshot.is_none() {
                must_not_hold_loaded_state(&*store, &**index)?;
            }
            block = Some(of);
            loaded.push(index.clone());
        }
        let runtime = runtime()?;
        let read = Progress::new("blocks, before the indexes are given up");
        let with_block_files: Vec<_> =
            indexes.iter().filter(|index| index.is_read_with_block_files()).map(|index| index.name()).collect();
        runtime.block_on(check_replaceable(files, &store, &names, &with_block_files, |step| {
            if let Step::Blocks { number, .. } = step {
                read.set(number.into());
            }
        }))?;
        drop(read);
        if let (Some(place), Some(block)) = (&self.place.snapshot, block) {
            // Refused before anything is given up.
            must_be_of(place, block)?;
            for index in &loaded {
                give_up_loaded_state(&*store, &**index)?;
            }
            opened.load(place, block, (store.clone(), loaded), CheckpointState::Building)?;
        }
        let result = names.into_iter().try_for_each(|name| {
            let blocks = Progress::new(&format!("blocks, index {name}"));
            let rebuild = Rebuild::open(store.clone(), indexes, name, Options::default(), |_| ())?;
            let built = runtime.block_on(reindex(files, rebuild, |step| {
                if let Step::Blocks { number, .. } = step {
                    blocks.set(number.into());
                }
            }))?;
            drop(blocks);
            let Some(last) = built else {
                if was_damaged {
                    bail!("the damaged indexes are removed; there are no bundles to build them from, dfuse start builds them");
                }
                bail!("there are no blocks to build indexes from; run dfuse start first");
            };
            tracing::info!(index = name, block = last.number, "built");
            Ok(())
        });
        store.close()?;
        result
    }
}

/// Compare indexes with the block files. Exits with code 1 if they differ. No other process may use the data directory
/// meanwhile.
#[derive(Debug, Args)]
pub(crate) struct CheckIndex {
    #[command(flatten)]
    pub(super) place: Place,
    /// Names of the indexes; those that they are built from are always compared [default: all]
    #[arg(value_name = "INDEX")]
    pub(super) indexes: Vec<String>,
}

impl CheckIndex {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let names = chosen(&self.indexes)?;
        let opened = self.place.open()?;
        if let Some(damage) = opened.damage()? {
            return Err(damage);
        }
        let store = opened.store()?;
        let Opened { data_dir, files, indexes } = &opened;
        // An index reads from those before it at most.
        let last = indexes.iter().rposition(|index| names.contains(&index.name())).map_or(0, |last| last + 1);
        let checked = &indexes[..last];
        let folder = tempfile::Builder::new().prefix("check-").tempdir_in(data_dir.path())?;
        let (empty, _) = dfuse_index::open_store(folder.path(), indexes, EngineOptions::default())?;
        let mut begin = None;
        for index in checked {
            begin = begin.or(loaded_state(&*store, &**index)?);
        }
        if let (Some(place), Some(block)) = (&self.place.snapshot, begin) {
            opened.load(place, block, (empty.clone(), checked.to_vec()), CheckpointState::Complete)?;
        }
        let progress = Progress::new("blocks");
        let report =
            runtime()?.block_on(check_indexes(files, &*store, empty, checked, MAX_LISTED, |step| match step {
                Step::Blocks { number, .. } => progress.set(number.into()),
                Step::Comparing { entries, .. } => progress.set(entries),
                Step::Dropping(_) => {}
            }));
        drop(progress);
        store.close()?;
        let report = report?;
        for difference in &report.differences {
            let (kind, key) = (format!("{:?}", difference.kind).to_lowercase(), const_hex::encode(&difference.key));
            tracing::warn!(family = difference.family.name(), key, "an entry is {kind}");
        }
        let Some(block) = report.block else { bail!("there are no indexes to check; run dfuse start first") };
        if report.different > 0 {
            bail!(
                "{} of {} entries differ from the blocks; build the indexes anew with `dfuse tools reindex`",
                report.different,
                report.equal + report.different
            );
        }
        if !report.passed_over.is_empty() {
            tracing::warn!(
                indexes = report.passed_over.join(", "),
                "earlier blocks have joined these indexes, which are not compared"
            );
        }
        tracing::info!(block = block.number, entries = report.equal, "the indexes are what the blocks say");
        Ok(())
    }
}
