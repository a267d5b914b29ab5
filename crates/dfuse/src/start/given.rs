//! What is known before anything is opened.

use std::sync::Arc;

use dfuse_antelope::Checksum256;
use dfuse_blocks::{BlockStore, SystemClock};
use dfuse_index::Part;
use dfuse_search::{Filter, TermOptions};

use super::{
    begun::Begun,
    data_dir::DataDir,
    descriptors::Shares,
    machine_name::MachineName,
    origin::Origin,
    roles::Roles,
    settings::{Blocks, Keep, Settings},
};

/// What is known before anything is opened.
pub(super) struct Given<'a> {
    pub(super) settings: &'a Settings,
    pub(super) roles: Roles,
    pub(super) shares: &'a Shares,
    pub(super) origin: Origin,
    pub(super) chain_id: Option<Checksum256>,
    pub(super) terms: TermOptions,
    /// Which transactions are kept.
    pub(super) filter: Filter,
    pub(super) data_dir: DataDir,
    pub(super) clock: Arc<SystemClock>,
    /// What the data directory begins with, if a snapshot was loaded.
    pub(super) loaded: Option<Begun>,
    /// That of one of several machines.
    pub(super) name: Option<Arc<MachineName>>,
}

impl Given<'_> {
    /// The first block of history.
    pub(super) fn first_block(&self) -> u32 {
        let begins = self.loaded.as_ref().and_then(|begun| begun.first_block);
        begins.unwrap_or(self.settings.blocks.first_block)
    }

    /// How much is kept of each part. Block files are removed by the machines that write them.
    pub(super) fn keep(&self) -> anyhow::Result<[(Part, Keep); 4]> {
        let mut parts = self.settings.retention.parts()?;
        for (part, keep) in &mut parts {
            if *part == Part::BlockFiles && !self.roles.ingest {
                *keep = Keep::All;
            }
        }
        Ok(parts)
    }

    /// The block files. Those that other machines write are only read.
    pub(super) fn files(&self) -> dfuse_blocks::Result<BlockStore> {
        let Blocks { store, fsync, .. } = &self.settings.blocks;
        let files = self.data_dir.open_blocks(store.as_deref(), *fsync)?;
        Ok(if self.roles.ingest { files } else { files.reads_only() })
    }
}
