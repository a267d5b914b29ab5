//! Lost blocks that were put aside since the start, until it shows that they are of this chain.

use std::collections::VecDeque;

use crate::{BlockStore, OneBlockName, Result};

/// Names that are remembered, the newest. A chain calls its blocks final long before it has so many.
const REMEMBERED: usize = 10_000;

/// Names of files, each with the number of the first block of its branch.
#[derive(Debug, Default)]
pub(super) struct Aside(VecDeque<(u32, OneBlockName)>);

impl Aside {
    /// A block of the branch that begins with block `first` was put aside.
    pub(super) fn put(&mut self, first: u32, name: OneBlockName) {
        self.0.push_back((first, name));
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }

    /// Deletes what was put aside of the branches that begin with block `first`.
    pub(super) async fn remove(&mut self, store: &BlockStore, first: u32) -> Result<()> {
        let names = self.0.iter().filter(|(branch, _)| *branch == first).map(|(_, name)| name.clone());
        store.delete_forked_blocks(names.collect()).await?;
        self.0.retain(|(branch, _)| *branch != first);
        Ok(())
    }
}
