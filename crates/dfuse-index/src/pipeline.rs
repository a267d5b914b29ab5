//! Steps of the chain in, committed indexes and serving snapshots out.

mod commit;
mod earlier;
mod open;

use std::{ops::Deref, sync::Arc};

use dfuse_antelope::{AbiDump, model::Block};
use dfuse_blocks::BlockRef;
use dfuse_kv::{Reopen, Store};

use crate::{Applied, Follower, Result};

/// A [`Follower`] that commits the deltas of blocks when they are final, and then adopts what it wrote: the one writer of a store.
///
/// One thread drives it with the steps of the chain. After a restart it must be given every block above
/// [`Status::committed`](crate::Status::committed) again; earlier ones are passed over.
pub struct Pipeline {
    follower: Follower,
    /// The store that the follower reads from.
    store: Arc<dyn Store>,
    reopen: Option<Reopen>,
}

impl Deref for Pipeline {
    type Target = Follower;

    fn deref(&self) -> &Follower {
        &self.follower
    }
}

impl Pipeline {
    /// The store, which is another one once it was opened again.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Puts floors that were raised into what is served, before the next commit does so.
    ///
    /// # Errors
    /// Those of the store.
    pub fn take_floors(&mut self) -> Result<()> {
        let snapshot = self.store.snapshot()?;
        self.follower.replace_snapshot(snapshot, self.committed());
        self.follower.publish();
        Ok(())
    }

    /// A block follows the head: step New. See [`Follower::apply`].
    pub fn apply(&mut self, block: &Block) -> Result<Applied> {
        let applied = self.follower.advance(block)?;
        if applied == Applied::New {
            self.follower.publish();
        }
        Ok(applied)
    }

    /// A final block follows the head: for many of them at once. They are committed, and published, when enough of them
    /// are there, or by [`Pipeline::flush`].
    pub fn append_final(&mut self, block: &Block) -> Result<Applied> {
        let applied = self.follower.advance(block)?;
        if applied == Applied::New && self.follower.tree.bytes() >= self.follower.options.batch_bytes {
            self.flush()?;
        }
        Ok(applied)
    }

    /// Commits what [`Pipeline::append_final`] has gathered: everything up to the head.
    pub fn flush(&mut self) -> Result<()> {
        match self.head() {
            Some(head) => self.finalize(head),
            None => Ok(()),
        }
    }

    /// The head is undone: step Undo. Its parent is the head now.
    pub fn undo(&mut self, block: BlockRef) -> Result<()> {
        self.follower.undo(block)
    }

    /// A node told the ABIs that it had when it started. They are committed at once, or when the block before the dump is;
    /// until then they are forgotten when the process ends, and must be offered again.
    pub fn abi_dump(&mut self, dump: AbiDump) -> Result<()> {
        self.follower.dumps.push(dump);
        self.enter_dumps()?;
        self.follower.publish();
        Ok(())
    }
}
