//! State in indexes: that of a snapshot, or the one that a history of state history begins with.

use std::{io::Read, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use dfuse_antelope::Checksum256;
use dfuse_blocks::{BlockRef, Clock};
use dfuse_index::{CheckpointState, Index, LoadOptions, Loader};
use dfuse_kv::Store;
use dfuse_node::{SourceSpec, StateEvent, StateLoader, first_state};
use dfuse_ship::{Consensus, Head, Snapshot, SnapshotRow, StateRow};
use tracing::info;

use super::file::read;
use crate::failure::{one_line, usage};

/// How often loading is told of.
const REPORT: Duration = Duration::from_secs(10);

/// A load, with all that it needs.
pub(crate) struct StateLoad<C> {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) indexes: Vec<Arc<dyn Index>>,
    /// The chain's id, if it is known.
    pub(crate) chain_id: Option<Checksum256>,
    pub(crate) options: LoadOptions,
    /// How complete the indexes are then.
    pub(crate) state: CheckpointState,
    pub(crate) clock: Arc<C>,
    /// Where a source of state history keeps the rows that it compares blocks with, if there is such a source.
    pub(crate) rows: Option<PathBuf>,
}

impl<C: Clock> StateLoad<C> {
    /// Loads the snapshot at a place. `begin` is told its block before anything is written.
    pub(crate) fn of_snapshot(
        &self,
        place: &str,
        mut begin: impl FnMut(BlockRef) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        info!(snapshot = place, threads = self.options.threads, "loading a snapshot");
        let mut loading = Loading::new(self, &mut begin);
        read(place, |content| loading.snapshot(content).map_err(refused))?;
        loading.finish()
    }

    /// Loads the state that the history of a source begins with. Nothing happens if the source begins with its chain.
    pub(crate) fn of_source(
        &self,
        source: &SourceSpec,
        mut begin: impl FnMut(BlockRef) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut loading = Loading::new(self, &mut begin);
        let position = first_state(source, |event| match event {
            StateEvent::Begins(id, chain_id) => {
                info!(block = id.block_num(), %source, "loading the state that state history begins with");
                loading.is_of_chain(chain_id)?;
                loading.begin(id)
            }
            StateEvent::Row(row) => loading.push(row, None),
        })?;
        let Some(position) = position else { return Ok(()) };
        loading.position = Some(position);
        loading.finish()
    }
}

/// Refuses a snapshot of another block.
pub(crate) fn must_be_of(place: &str, wanted: BlockRef) -> anyhow::Result<()> {
    read(place, |content| {
        let mut snapshot = Snapshot::open(content)?;
        while snapshot.next_section()?.is_some() {
            while let Some(row) = snapshot.next_row()? {
                let SnapshotRow::Head(head) = row else { continue };
                if head.id() == wanted.id {
                    return Ok(());
                }
                return Err(usage(format!(
                    "the indexes begin with the state after block {} {}, and this snapshot is of block {} {}",
                    wanted.number,
                    wanted.id,
                    head.block_num(),
                    head.id()
                )));
            }
        }
        bail!("the snapshot has no block state")
    })
}

/// A load at work.
struct Loading<'a, C> {
    load: &'a StateLoad<C>,
    begin: &'a mut dyn FnMut(BlockRef) -> anyhow::Result<()>,
    loader: Option<Loader>,
    rows: Option<StateLoader>,
    position: Option<Consensus>,
    chain_id: Option<Checksum256>,
    started: Duration,
    reported: Duration,
}

impl<'a, C: Clock> Loading<'a, C> {
    fn new(load: &'a StateLoad<C>, begin: &'a mut dyn FnMut(BlockRef) -> anyhow::Result<()>) -> Self {
        let started = load.clock.elapsed();
        let (loader, rows, position) = (None, None, None);
        Self { load, begin, loader, rows, position, chain_id: load.chain_id, started, reported: started }
    }

    fn begin(&mut self, id: Checksum256) -> anyhow::Result<()> {
        let block = BlockRef { number: id.block_num(), id };
        (self.begin)(block)?;
        let StateLoad { store, indexes, options, rows, .. } = self.load;
        self.loader = Some(Loader::open(store.clone(), indexes.clone(), block, options.clone())?);
        self.rows = rows.as_deref().map(StateLoader::begin).transpose()?;
        Ok(())
    }

    fn snapshot(&mut self, content: &mut dyn Read) -> anyhow::Result<()> {
        let mut snapshot = Snapshot::open(content)?;
        while let Some(section) = snapshot.next_section()?.map(|section| section.name.clone()) {
            while let Some(row) = snapshot.next_row()? {
                match &row {
                    SnapshotRow::Head(head) => self.head(head)?,
                    SnapshotRow::Genesis(id) => self.is_of_chain(Some(*id))?,
                    SnapshotRow::GlobalProperty(property) => {
                        self.is_of_chain(property.chain_id)?;
                        self.keep(&property.in_history())?;
                    }
                    SnapshotRow::Other(row) => self.keep(&StateRow::Chain(table(&section), row.clone()))?,
                    _ => {}
                }
                if let Some(row) = row.into_state() {
                    self.push(row, Some(snapshot.offset()))?;
                }
            }
        }
        Ok(())
    }

    fn head(&mut self, head: &Head) -> anyhow::Result<()> {
        self.position = Some(Consensus::of_snapshot(head));
        self.begin(head.id())
    }

    /// Takes a row for the source alone: no index holds it.
    fn keep(&mut self, row: &StateRow) -> anyhow::Result<()> {
        self.rows.as_mut().map_or(Ok(()), |rows| Ok(rows.push(row)?))
    }

    fn push(&mut self, row: StateRow, bytes: Option<u64>) -> anyhow::Result<()> {
        self.keep(&row)?;
        let loader = self.loader.as_mut().context("there are rows before the block that they are of")?;
        loader.push(row)?;
        let now = self.load.clock.elapsed();
        if now - self.reported >= REPORT {
            self.reported = now;
            info!(rows = loader.rows(), mib = bytes.map(|bytes| bytes >> 20), "loading state");
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        let Some((loader, position)) = self.loader.zip(self.position) else { bail!("the snapshot has no block state") };
        let block = loader.block().number;
        info!(rows = loader.rows(), "all rows are read; the indexes are written");
        if let Some(rows) = self.rows {
            rows.finish(&position)?;
        }
        let rows = loader.finish(self.chain_id, self.load.state, |step| {
            tracing::debug!(family = step.family.name(), entries = step.entries, "writing the indexes");
        })?;
        let seconds = (self.load.clock.elapsed() - self.started).as_secs();
        info!(block, rows, seconds, "the snapshot is loaded");
        Ok(())
    }

    /// Refuses the state of another chain than the one that is wanted.
    fn is_of_chain(&mut self, found: Option<Checksum256>) -> anyhow::Result<()> {
        match (found, self.load.chain_id) {
            (Some(found), Some(wanted)) if found != wanted => Err(usage(format!(
                "the snapshot is of the chain {found}, but the chain id that is configured is {wanted}: take a snapshot of this \
                 chain, or correct the chain id"
            ))),
            _ => {
                self.chain_id = found.or(self.chain_id);
                Ok(())
            }
        }
    }
}

/// The table of state history that has the row of a section with one row.
fn table(section: &str) -> String {
    let name = section.rsplit("::").next().unwrap_or(section);
    name.strip_suffix("_object").unwrap_or(name).to_owned()
}

/// Files that cannot be used are the user's to replace; damage is not their choice.
fn refused(error: anyhow::Error) -> anyhow::Error {
    use dfuse_ship::Error::{NotASnapshot, Version};
    match error.downcast_ref() {
        Some(NotASnapshot { .. } | Version { .. }) => usage(one_line(&error)),
        _ => error,
    }
}
