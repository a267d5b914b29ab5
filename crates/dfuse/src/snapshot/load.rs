//! The state of a snapshot in indexes.

use std::{io::Read, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use dfuse_antelope::Checksum256;
use dfuse_blocks::{BlockRef, Clock};
use dfuse_index::{CheckpointState, Index, LoadOptions, Loader};
use dfuse_kv::Store;
use dfuse_ship::{Snapshot, SnapshotRow};
use tracing::info;

use super::file::read;
use crate::failure::{one_line, usage};

/// How often loading is told of.
const REPORT: Duration = Duration::from_secs(10);

/// A load, with all that it needs.
pub(crate) struct SnapshotLoad<C> {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) indexes: Vec<Arc<dyn Index>>,
    /// The chain's id, if it is known.
    pub(crate) chain_id: Option<Checksum256>,
    pub(crate) options: LoadOptions,
    /// How complete the indexes are then.
    pub(crate) state: CheckpointState,
    pub(crate) clock: Arc<C>,
}

impl<C: Clock> SnapshotLoad<C> {
    /// Loads the snapshot at a place. `begin` is told its block before anything is written.
    pub(crate) fn run(&self, place: &str, mut begin: impl FnMut(BlockRef) -> anyhow::Result<()>) -> anyhow::Result<()> {
        info!(snapshot = place, threads = self.options.threads, "loading a snapshot");
        read(place, |content| self.load(content, &mut begin).map_err(refused))
    }

    fn load(
        &self,
        content: &mut dyn Read,
        begin: &mut dyn FnMut(BlockRef) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let started = self.clock.elapsed();
        let mut snapshot = Snapshot::open(content)?;
        let (mut loader, mut chain_id) = (None, None);
        let mut reported = started;
        while snapshot.next_section()?.is_some() {
            while let Some(row) = snapshot.next_row()? {
                match &row {
                    SnapshotRow::Head(head) => {
                        let block = BlockRef { number: head.block_num(), id: head.id() };
                        begin(block)?;
                        loader = Some(self.loader(block)?);
                    }
                    SnapshotRow::Genesis(id) => chain_id = Some(*id),
                    SnapshotRow::GlobalProperty(property) => chain_id = property.chain_id.or(chain_id),
                    _ => {}
                }
                self.must_be_of_chain(chain_id)?;
                let Some(row) = row.into_state() else { continue };
                let loader = loader.as_mut().context("the snapshot has rows before its block state")?;
                loader.push(row)?;
                let now = self.clock.elapsed();
                if now - reported >= REPORT {
                    reported = now;
                    info!(rows = loader.rows(), mib = snapshot.offset() >> 20, "loading the snapshot");
                }
            }
        }
        let Some(loader) = loader else { bail!("the snapshot has no block state") };
        let block = loader.block().number;
        info!(rows = loader.rows(), "all rows are read; the indexes are written");
        let rows = loader.finish(chain_id.or(self.chain_id), self.state, |step| {
            tracing::debug!(family = step.family.name(), entries = step.entries, "writing the indexes");
        })?;
        let seconds = (self.clock.elapsed() - started).as_secs();
        info!(block, rows, seconds, "the snapshot is loaded");
        Ok(())
    }

    fn loader(&self, block: BlockRef) -> anyhow::Result<Loader> {
        Ok(Loader::open(self.store.clone(), self.indexes.clone(), block, self.options.clone())?)
    }

    fn must_be_of_chain(&self, found: Option<Checksum256>) -> anyhow::Result<()> {
        match (found, self.chain_id) {
            (Some(found), Some(wanted)) if found != wanted => Err(usage(format!(
                "the snapshot is of the chain {found}, but the chain id that is configured is {wanted}: take a snapshot of this \
                 chain, or correct the chain id"
            ))),
            _ => Ok(()),
        }
    }
}

/// Files that cannot be used are the user's to replace; damage is not their choice.
fn refused(error: anyhow::Error) -> anyhow::Error {
    use dfuse_ship::Error::{NotASnapshot, Version};
    match error.downcast_ref() {
        Some(NotASnapshot { .. } | Version { .. }) => usage(one_line(&error)),
        _ => error,
    }
}
