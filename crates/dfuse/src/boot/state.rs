//! What was run, in a file beside the sequence.

use std::path::Path;

use dfuse_antelope::Checksum256;
use serde::{Deserialize, Serialize};

use crate::small_file;

/// What was run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// SHA-256 of the file.
    pub(super) revision: Checksum256,
    pub(super) chain_id: Checksum256,
    /// The last irreversible block when it was done.
    pub(super) block_num: u32,
    pub(super) block_id: Checksum256,
    /// Seconds since 1970.
    pub(super) booted_at: u64,
}

impl State {
    pub(super) fn read(file: &Path) -> anyhow::Result<Option<Self>> {
        let what = || {
            format!("{} is not the state of a boot sequence; remove it, or name another with --state", file.display())
        };
        small_file::read_json(file, what)
    }
}
