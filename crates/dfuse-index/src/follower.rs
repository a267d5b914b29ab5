//! Steps of the chain in, serving snapshots out: what every machine does that serves, whoever writes the store.

mod adopt;
pub(crate) mod open;
mod room;
mod side_by_side;

use std::{collections::VecDeque, sync::Arc};

use dfuse_antelope::{AbiDump, Checksum256, model::Block};
use dfuse_blocks::BlockRef;
use dfuse_kv::{Keyspace, ReadStore, Snapshot};
use side_by_side::{cores, map_all};
use tracing::warn;

use crate::{
    BlockContext, ChainIdentity, CheckpointState, Delta, Error, Index, IndexState, IndexStatus, Options, Result,
    Serving, ServingSnapshot, SharedFloors, Stall, Status, View, blocks, branch::Branch, families::Families,
    overlay::Overlay, serving::Forks, spill::Spill, tree::Tree, view::Committed,
};

/// Actions from which on the indexes of a block are made side by side: for fewer it takes longer to begin a thread.
const MANY_ACTIONS: usize = 64;

/// What became of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is the head now.
    New,
    /// It was there already.
    Known,
}

/// What became of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopted {
    /// Views read from it now.
    Taken,
    /// Its block is not final here yet. It is taken when it is; until then views read from the one before.
    Waiting,
    /// It is behind the one that views read from, as after the store was restored from a copy. It is not taken.
    Refused,
}

/// Who makes what is final part of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The [`Pipeline`](crate::Pipeline) around the follower: what is final is committed.
    Pipeline,
    /// Another process, or another part of this one. It is behind, or ahead.
    Other,
}

pub(crate) struct Slot {
    pub(crate) index: Arc<dyn Index>,
    pub(crate) state: IndexState,
}

impl Slot {
    pub(crate) fn is_live(&self) -> bool {
        self.state == IndexState::Live
    }
}

/// Computes the deltas of blocks, keeps them over a snapshot of the store, and publishes what requests read.
///
/// It never writes to the store. Whoever does commits the deltas of final blocks, which are the same whoever computes them: so a
/// newer snapshot takes the place of the deltas of its blocks ([`Follower::adopt`]), and no answer changes.
///
/// One thread drives it with the steps of the chain, from the block after [`Follower::committed`] on. Without any step it serves
/// what is committed.
pub struct Follower {
    pub(crate) store: Arc<dyn ReadStore>,
    pub(crate) writer: Writer,
    pub(crate) options: Options,
    pub(crate) slots: Vec<Slot>,
    pub(crate) checkpoints: Keyspace,
    /// How complete the live indexes are when their blocks are committed.
    pub(crate) state: CheckpointState,
    pub(crate) spill: Spill,
    pub(crate) identity: Option<ChainIdentity>,
    pub(crate) families: Arc<Families>,
    pub(crate) overlay: Arc<Overlay>,
    pub(crate) committed: Arc<Committed>,
    /// The committed block; before the first commit the parent of the first block.
    pub(crate) root: Option<BlockRef>,
    pub(crate) tree: Tree,
    pub(crate) head: Option<BlockRef>,
    /// The last final block, where it is not committed yet.
    pub(crate) target: Option<BlockRef>,
    pub(crate) stall: Option<Stall>,
    /// Reversible blocks that are not on the best chain.
    pub(crate) forks: Arc<Forks>,
    /// ABI dumps that are not in the store.
    pub(crate) dumps: Vec<AbiDump>,
    pub(crate) serving: Arc<Serving>,
    pub(crate) floors: Arc<SharedFloors>,
    /// Whether a block has come.
    is_fed: bool,
    /// Snapshots whose blocks are not final here yet: the first, and the newest.
    waiting: VecDeque<(BlockRef, Arc<dyn Snapshot>)>,
    /// The block of a snapshot that was refused since the last one was taken.
    refused: Option<BlockRef>,
    /// The store's changes that were looked at.
    seen: Option<u64>,
}

impl Follower {
    /// Where requests find what is published.
    pub fn serving(&self) -> &Arc<Serving> {
        &self.serving
    }

    /// The head of the best chain.
    pub fn head(&self) -> Option<BlockRef> {
        self.head
    }

    /// What is kept. Views have the floors of the commit that they were made after.
    pub fn floors(&self) -> &Arc<SharedFloors> {
        &self.floors
    }

    /// The last committed block that is seen: all that came before need not be sent again.
    pub fn committed(&self) -> Option<BlockRef> {
        self.committed.block
    }

    /// The last block that is final.
    pub fn irreversible(&self) -> Option<BlockRef> {
        self.target.or(self.committed.block)
    }

    /// The chain's id, from the options or as the store remembers it.
    pub fn chain_id(&self) -> Option<Checksum256> {
        self.identity.map_or(self.options.chain_id, |identity| identity.chain_id)
    }

    /// Number of the first block that the indexes have, if they have any.
    pub fn first_number(&self) -> Option<u32> {
        self.committed.block?;
        self.identity.map(|identity| identity.first_parent.number + 1)
    }

    /// The block whose state the indexes begin with, if it was loaded.
    pub fn loaded(&self) -> Option<BlockRef> {
        self.identity.filter(|identity| identity.is_loaded).map(|identity| identity.first_parent)
    }

    /// Number of the block that must come next, if it is known.
    pub fn next_number(&self) -> Option<u32> {
        self.head.map(|head| head.number + 1)
    }

    /// The indexes at a block of any branch that is not below the committed one.
    pub fn view_at(&self, block: BlockRef) -> Option<View> {
        let root = self.root?;
        (block == root || self.tree.get(block.id).is_some()).then(|| self.view(root, block))
    }

    pub(crate) fn view(&self, root: BlockRef, block: BlockRef) -> View {
        View::new(self.committed.clone(), self.tree.branch(root, block), Some(block))
    }

    /// The indexes at the head.
    pub fn head_view(&self) -> View {
        match (self.root, self.head) {
            (Some(root), Some(head)) => self.view(root, head),
            _ => View::new(self.committed.clone(), Branch::committed(0), None),
        }
    }

    /// A block follows the head: step New. It may have been undone before.
    ///
    /// Blocks at or below the committed one are passed over, and so are those on the best chain already. After an error
    /// nothing has changed.
    ///
    /// # Errors
    /// [`Error::AwaitsDump`] until a snapshot has what [`Follower::abi_dump`] was told.
    pub fn apply(&mut self, block: &Block) -> Result<Applied> {
        self.must_have_dumps()?;
        let applied = self.advance(block)?;
        if applied == Applied::New {
            self.publish();
        }
        Ok(applied)
    }

    /// The head is undone: step Undo. Its parent is the head now.
    pub fn undo(&mut self, block: BlockRef) -> Result<()> {
        let parent = self.tree.get(block.id).filter(|_| self.head == Some(block)).map(|node| node.parent);
        let Some((root, parent)) = self.root.zip(parent) else {
            return Err(Error::unlinked(block, format!("it is to be undone, but the head is {:?}", self.head)));
        };
        if self.target.is_some_and(|target| target.number >= block.number) {
            return Err(Error::unlinked(block, "it is to be undone, but it is irreversible"));
        }
        self.head = Some(parent);
        let branch = self.tree.branch(root, block);
        Arc::make_mut(&mut self.forks).insert(block.id, (block, branch));
        self.publish();
        Ok(())
    }

    /// Everything up to `to`, on the best chain, is final: step Irreversible. A snapshot that waited for it is taken.
    ///
    /// # Errors
    /// [`Error::OtherChain`] if the store has another block at that height: stop.
    pub fn finalize(&mut self, to: BlockRef) -> Result<()> {
        if self.mark_final(to)? {
            // Lifecycles in views tell what is final.
            self.replace_snapshot(self.committed.snapshot.clone(), self.committed.block);
            self.adopt_waiting()?;
            self.publish();
        }
        Ok(())
    }

    /// Whether something is final now that was not.
    pub(crate) fn mark_final(&mut self, to: BlockRef) -> Result<bool> {
        let Some((root, head)) = self.root.zip(self.head) else {
            return Err(Error::unlinked(to, "there is no block yet"));
        };
        if to.number <= root.number {
            return if to.number < root.number || to == root {
                Ok(false)
            } else {
                Err(Error::Conflict { found: to, committed: root.id })
            };
        }
        if !self.tree.is_ancestor(to, head) {
            return Err(Error::unlinked(to, format!("it is not before the head {}", head.id)));
        }
        if self.target.is_some_and(|target| target.number >= to.number) {
            return Ok(false);
        }
        self.target = Some(to);
        if self.writer == Writer::Other
            && let Some(place) = self.tree.get(to.id).map(|node| node.place)
            && !self.forks.is_empty()
        {
            // What can no longer be is told no more, whether the store has come so far or not.
            let forks = Arc::make_mut(&mut self.forks);
            forks.retain(|_, (block, branch)| block.number > to.number && branch.contains(place));
        }
        Ok(true)
    }

    pub(crate) fn advance(&mut self, block: &Block) -> Result<Applied> {
        self.try_advance(block).map_err(|error| match error {
            // The store is being opened again.
            Error::Store(dfuse_kv::Error::Closed) if self.is_stalled() => {
                Error::Overloaded { bytes: self.tree.bytes() }
            }
            other => other,
        })
    }

    fn try_advance(&mut self, block: &Block) -> Result<Applied> {
        let context = BlockContext::new(block);
        let (reference, parent) = (context.reference(), context.parent());
        if reference.id.block_num() != reference.number || parent.id.block_num() != parent.number {
            return Err(Error::unlinked(reference, format!("its id and its parent's, {}, do not fit", parent.id)));
        }
        let root = self.root.unwrap_or(parent);
        if reference.number <= root.number {
            return self.check_committed(reference, parent).map(|()| Applied::Known);
        }
        let head = self.head.unwrap_or(root);
        if self.tree.is_ancestor(reference, head) {
            return Ok(Applied::Known);
        }
        if parent != head {
            return Err(Error::unlinked(reference, format!("its parent is {}, the head is {}", parent.id, head.id)));
        }
        if self.tree.get(reference.id).is_none() {
            self.make_room()?;
            self.enter(&context, root)?;
        } else {
            Arc::make_mut(&mut self.forks).remove(&reference.id);
        }
        self.root = Some(root);
        self.head = Some(reference);
        self.is_fed = true;
        if self.identity.is_none() {
            let chain_id = self.options.chain_id;
            self.identity = Some(ChainIdentity { chain_id, first_parent: root, is_loaded: false });
            self.warn_of_mid_chain_start();
        }
        Ok(Applied::New)
    }

    /// Puts what the indexes write for a block into the overlay. Its parent is there, or is the root.
    pub(crate) fn enter(&mut self, context: &BlockContext<'_>, root: BlockRef) -> Result<()> {
        let parent = context.parent();
        let view = self.view(root, parent);
        let delta = |slot: &Slot| match slot.is_live() {
            true => slot.index.delta(context, &view),
            false => Ok(Delta::default()),
        };
        let threads = if action_count(context.block()) < MANY_ACTIONS { 1 } else { cores() };
        let deltas = map_all(&self.slots, threads, delta)?;
        let branch = self.tree.branch_of_child(root, parent);
        let place = branch.place().expect("the branch of a reversible block");
        for delta in &deltas {
            self.overlay.insert(&self.families, place, delta)?;
        }
        self.tree.insert(context.reference(), parent, branch, place, deltas);
        Ok(())
    }

    pub(crate) fn warn_of_mid_chain_start(&self) {
        // An index that is built again begins where the others do, who have said so.
        if self.state == CheckpointState::Complete
            && let Some(identity) = self.identity.filter(|identity| !identity.is_loaded)
            && let Some(first_block) = identity.mid_chain_start()
        {
            warn!(
                first_block,
                "the chain had begun before the first block that is indexed: state that was written earlier is unknown, and \
                 answers say so with state_from_block and complete"
            );
        }
    }

    /// A block at or below the committed one must be the one that is committed.
    fn check_committed(&self, block: BlockRef, parent: BlockRef) -> Result<()> {
        let Some(identity) = self.identity else { return Ok(()) };
        let first = identity.first_parent;
        if block.number == first.number && block.id != first.id
            || parent.number == first.number && parent.id != first.id
        {
            return Err(Error::OtherChain(format!("they begin after block {}, not {}", first.id, block.id)));
        }
        let committed = match self.committed.block {
            Some(committed) if committed.number == block.number => Some(committed.id),
            _ if block.number <= first.number => None,
            _ if self.is_live(blocks::Blocks.name()) => {
                blocks::by_number(&self.head_view(), block.number)?.map(|block| block.id)
            }
            _ => None,
        };
        match committed {
            Some(committed) if committed != block.id => Err(Error::Conflict { found: block, committed }),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_live(&self, index: &str) -> bool {
        self.slots.iter().any(|slot| slot.is_live() && slot.index.name() == index)
    }

    pub(crate) fn publish(&mut self) {
        let status = self.status();
        let view = self.head_view();
        let (forks, lib) = (self.forks.clone(), self.committed.irreversible);
        self.serving.publish(ServingSnapshot::new(view, lib, forks, self.identity), status);
        // What was published before no longer holds on to what is committed.
        self.overlay.forget(&self.families, self.committed.generation, Vec::new());
    }

    #[cfg(test)]
    pub(crate) fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    pub(crate) fn publish_status(&self) {
        self.serving.publish_status(self.status());
    }

    fn status(&self) -> Status {
        let indexes = self.slots.iter().map(|slot| IndexStatus {
            name: slot.index.name(),
            schema_version: slot.index.schema_version(),
            state: slot.state,
        });
        Status {
            head: self.head,
            committed: self.committed.block,
            irreversible: self.irreversible(),
            is_fed: self.is_fed,
            waiting: self.waiting.back().map(|(block, _)| *block),
            refused: self.refused,
            reversible_blocks: self.tree.len(),
            overlay_bytes: self.tree.bytes(),
            spilled_blocks: self.tree.spilled(),
            stall: self.stall.clone(),
            indexes: indexes.collect(),
        }
    }
}

fn action_count(block: &Block) -> usize {
    block.transaction_traces().iter().map(|trace| trace.action_traces.len()).sum()
}
