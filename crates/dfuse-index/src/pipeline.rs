//! Steps of the chain in, committed indexes and serving snapshots out.

mod commit;
pub(crate) mod open;
mod side_by_side;

use std::sync::Arc;

use dfuse_antelope::{AbiDump, Checksum256, model::Block};
use dfuse_blocks::BlockRef;
use dfuse_kv::{Durability, Keyspace, Reopen, Store};
use side_by_side::{cores, map_all};
use tracing::warn;

use crate::{
    BlockContext, ChainIdentity, CheckpointState, Delta, Error, Index, IndexState, IndexStatus, Result, Serving,
    ScratchSpace, ServingSnapshot, SharedFloors, Stall, Status, View, blocks, families::Families, overlay::Overlay,
    serving::Forks, spill::Spill, tree::Tree, view::Committed,
};

/// Actions from which on the indexes of a block are made side by side: for fewer it takes longer to begin a thread.
const MANY_ACTIONS: usize = 64;

/// How a pipeline works.
#[derive(Debug, Clone)]
pub struct Options {
    /// The chain's id, if it is known.
    pub chain_id: Option<Checksum256>,
    /// Memory of final blocks that are gathered for one commit when catching up, about.
    pub batch_bytes: usize,
    /// Memory for the writes of reversible blocks, about; what goes beyond is put into the scratch space.
    pub overlay_bytes: usize,
    /// Where that is.
    pub scratch: ScratchSpace,
    /// What a commit has survived when it returns.
    pub durability: Durability,
    /// Indexes that are to be built again, whatever the store has of them. `*` for all that must be.
    pub rebuild: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chain_id: None,
            batch_bytes: 32 << 20,
            overlay_bytes: 512 << 20,
            scratch: ScratchSpace::in_memory(),
            durability: Durability::Buffer,
            rebuild: Vec::new(),
        }
    }
}

/// What became of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is the head now.
    New,
    /// It was there already.
    Known,
}

struct Slot {
    index: Arc<dyn Index>,
    state: IndexState,
}

impl Slot {
    fn is_live(&self) -> bool {
        self.state == IndexState::Live
    }
}

/// Computes the deltas of blocks, commits them when they are final, and publishes what requests read.
///
/// One thread drives it with the steps of the chain. After a restart it must be given every block above
/// [`Status::committed`] again; earlier ones are passed over.
pub struct Pipeline {
    store: Arc<dyn Store>,
    reopen: Option<Reopen>,
    options: Options,
    slots: Vec<Slot>,
    checkpoints: Keyspace,
    spill: Spill,
    /// How complete the live indexes are when this has committed.
    state: CheckpointState,
    identity: Option<ChainIdentity>,
    families: Arc<Families>,
    overlay: Arc<Overlay>,
    committed: Arc<Committed>,
    /// The committed block; before the first commit the parent of the first block.
    root: Option<BlockRef>,
    tree: Tree,
    head: Option<BlockRef>,
    /// The last final block, where it is not committed yet.
    target: Option<BlockRef>,
    stall: Option<Stall>,
    /// Reversible blocks that are not on the best chain.
    forks: Arc<Forks>,
    /// ABI dumps that wait for their blocks.
    dumps: Vec<AbiDump>,
    serving: Arc<Serving>,
    floors: Arc<SharedFloors>,
}

impl Pipeline {
    /// Where requests find what is published.
    pub fn serving(&self) -> &Arc<Serving> {
        &self.serving
    }

    /// The head of the best chain.
    pub fn head(&self) -> Option<BlockRef> {
        self.head
    }

    /// The store, which is another one once it was opened again.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What is kept. Views have the floors of the commit that they were made after.
    pub fn floors(&self) -> &Arc<SharedFloors> {
        &self.floors
    }

    /// Puts floors that were raised into what is served, before the next commit does so.
    ///
    /// # Errors
    /// Those of the store.
    pub fn take_floors(&mut self) -> Result<()> {
        let snapshot = self.store.snapshot()?;
        self.replace_snapshot(snapshot, self.committed.block);
        self.publish();
        Ok(())
    }

    /// The last committed block: all that came before need not be sent again.
    pub fn committed(&self) -> Option<BlockRef> {
        self.committed.block
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

    fn view(&self, root: BlockRef, block: BlockRef) -> View {
        View::new(self.committed.clone(), self.tree.branch(root, block), Some(block))
    }

    /// The indexes at the head.
    pub fn head_view(&self) -> View {
        match (self.root, self.head) {
            (Some(root), Some(head)) => self.view(root, head),
            _ => View::new(self.committed.clone(), crate::branch::Branch::committed(0), None),
        }
    }

    /// A block follows the head: step New. It may have been undone before.
    ///
    /// Blocks at or below the committed one are passed over, and so are those on the best chain already. After an error
    /// nothing has changed.
    pub fn apply(&mut self, block: &Block) -> Result<Applied> {
        let applied = self.advance(block)?;
        if applied == Applied::New {
            self.publish();
        }
        Ok(applied)
    }

    /// A final block follows the head: for many of them at once. They are committed, and published, when enough of them
    /// are there, or by [`Pipeline::flush`].
    pub fn append_final(&mut self, block: &Block) -> Result<Applied> {
        let applied = self.advance(block)?;
        if applied == Applied::New && self.tree.bytes() >= self.options.batch_bytes {
            self.flush()?;
        }
        Ok(applied)
    }

    /// Commits what [`Pipeline::append_final`] has gathered: everything up to the head.
    pub fn flush(&mut self) -> Result<()> {
        match self.head {
            Some(head) => self.finalize(head),
            None => Ok(()),
        }
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

    fn advance(&mut self, block: &Block) -> Result<Applied> {
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
            let view = self.view(root, parent);
            let delta = |slot: &Slot| match slot.is_live() {
                true => slot.index.delta(&context, &view),
                false => Ok(Delta::default()),
            };
            let threads = if action_count(block) < MANY_ACTIONS { 1 } else { cores() };
            let deltas = map_all(&self.slots, threads, delta)?;
            let branch = self.tree.branch_of_child(root, parent);
            let place = branch.place().expect("the branch of a reversible block");
            for delta in &deltas {
                self.overlay.insert(&self.families, place, delta)?;
            }
            self.tree.insert(reference, parent, branch, place, deltas);
        } else {
            Arc::make_mut(&mut self.forks).remove(&reference.id);
        }
        self.root = Some(root);
        self.head = Some(reference);
        if self.identity.is_none() {
            let chain_id = self.options.chain_id;
            self.identity = Some(ChainIdentity { chain_id, first_parent: root, is_loaded: false });
            self.warn_of_mid_chain_start();
        }
        Ok(Applied::New)
    }

    fn warn_of_mid_chain_start(&self) {
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

    fn is_live(&self, index: &str) -> bool {
        self.slots.iter().any(|slot| slot.is_live() && slot.index.name() == index)
    }

    /// A node told the ABIs that it had when it started. They are committed at once, or when the block before the dump is;
    /// until then they are forgotten when the process ends, and must be offered again.
    pub fn abi_dump(&mut self, dump: AbiDump) -> Result<()> {
        self.dumps.push(dump);
        self.enter_dumps()?;
        self.publish();
        Ok(())
    }

    fn publish(&mut self) {
        let status = self.status();
        let view = self.head_view();
        let forks = self.forks.clone();
        self.serving.publish(ServingSnapshot::new(view, self.committed.block, forks, self.identity), status);
        // What was published before no longer holds on to what is committed.
        self.overlay.forget(&self.families, self.committed.generation, Vec::new());
    }

    #[cfg(test)]
    pub(crate) fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    fn publish_status(&self) {
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
            irreversible: self.target.or(self.committed.block),
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
