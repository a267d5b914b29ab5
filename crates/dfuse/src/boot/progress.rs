//! How far a sequence was run that broke off: so far that it need not be run again.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use dfuse_antelope::Checksum256;
use dfuse_node::rpc::Info;
use serde::{Deserialize, Serialize};

use super::chain::Chain;
use crate::small_file;

/// How often it is written, in transactions.
const EVERY: u32 = 20;

/// A place in a sequence, on a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    /// SHA-256 of the sequence.
    revision: Checksum256,
    chain_id: Checksum256,
    /// The last irreversible block.
    block_id: Checksum256,
    /// The number of the step, from 1, and how many rows of it are on the chain.
    step: usize,
    rows: u64,
}

/// Keeps the place in a file. Only steps that inject rows have places: they can be run again from any of them.
pub(super) struct Progress {
    file: PathBuf,
    place: Place,
    /// Places that are not irreversible yet, with the block that they may be in.
    waiting: VecDeque<(usize, u64, u32)>,
    unwritten: u32,
}

impl Progress {
    /// Where to go on: the step, and how many rows of it are there. The file is of no use for another chain or sequence.
    pub(super) async fn read(file: PathBuf, revision: Checksum256, chain: &Chain) -> anyhow::Result<Self> {
        let block_id = chain.info().await?.last_irreversible_block_id;
        let new = Place { revision, chain_id: chain.chain_id(), block_id, step: 1, rows: 0 };
        let place = match place(&file)? {
            Some(place) if place.revision == revision && chain.has_block(place.chain_id, place.block_id).await? => {
                place
            }
            _ => new,
        };
        Ok(Self { file, place, waiting: VecDeque::new(), unwritten: 0 })
    }

    pub(super) fn step(&self) -> usize {
        self.place.step
    }

    pub(super) fn rows(&self) -> u64 {
        self.place.rows
    }

    /// Notes what a transaction has added, and writes what has become irreversible since.
    pub(super) fn reached(&mut self, step: usize, rows: u64, before: &Info) -> anyhow::Result<()> {
        self.waiting.push_back((step, rows, before.head_block_num + 1));
        while let Some((step, rows, _)) =
            self.waiting.pop_front_if(|(_, _, block)| *block < before.last_irreversible_block_num)
        {
            (self.place.step, self.place.rows) = (step, rows);
            self.place.block_id = before.last_irreversible_block_id;
            self.unwritten += 1;
        }
        if self.unwritten >= EVERY { self.write() } else { Ok(()) }
    }

    /// Goes back to a place.
    pub(super) fn set(&mut self, step: usize, rows: u64) -> anyhow::Result<()> {
        self.waiting.clear();
        (self.place.step, self.place.rows) = (step, rows);
        self.write()
    }

    fn write(&mut self) -> anyhow::Result<()> {
        self.unwritten = 0;
        small_file::write_json(&self.file, &self.place)
    }

    /// All is done, or a step comes that cannot be run again.
    pub(super) fn forget(&mut self) -> anyhow::Result<()> {
        self.waiting.clear();
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.file.display()))
            }
            _ => Ok(()),
        }
    }
}

fn place(file: &Path) -> anyhow::Result<Option<Place>> {
    let what =
        || format!("{} does not say how far a boot sequence is; remove it, and take a fresh chain", file.display());
    small_file::read_json(file, what)
}
