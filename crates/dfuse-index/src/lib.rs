//! From blocks to indexes: the commit pipeline, and the indexes that everything else needs.
//!
//! An [`Index`] computes for every block what it writes, a [`Delta`], from the [`View`] at the block's parent. A
//! [`Follower`] takes the steps of the chain (a new block, a block undone, blocks final) and keeps the deltas of reversible
//! blocks in memory, over a snapshot of the store. After every step it publishes a [`ServingSnapshot`], from which a request
//! reads: consistent from its first byte to its last. The [`Pipeline`] is a follower that commits the deltas of final blocks:
//! one atomic batch, with a [`Checkpoint`] for each index. Speculative data never reaches the committed, so no fork is ever
//! undone on disk. Where another process commits, newer snapshots of the store take the place of the deltas that they contain.
//!
//! Everything here is synchronous and may block on a disk: call it from CPU threads.

pub mod abi;
pub mod accounts;
pub mod block_filters;
pub mod blocks;
mod branch;
mod check;
mod checkpoint;
pub mod codec;
mod delta;
mod earlier;
mod engine;
mod error;
mod families;
mod family;
mod files;
mod filter;
mod follow;
mod follower;
mod index;
mod joined;
mod kept;
mod load;
mod merge;
mod options;
mod overlay;
mod pipeline;
mod reindex;
mod replaceable;
mod retention;
mod scratch;
mod serving;
mod sight;
mod spill;
mod tree;
mod view;

pub use check::{Difference, DifferenceKind, IndexReport, check_indexes};
pub use checkpoint::{ChainIdentity, Checkpoint, CheckpointState};
pub use delta::{Delta, DeltaBuilder, Write};
pub use dfuse_blocks::BlockRef;
pub use dfuse_ship::StateRow;
pub use earlier::{
    EarlierStep, abis_are_known, build as build_earlier, check_gathered, finish as finish_earlier, join_blocks,
    join_lists, move_blocks, plan as plan_earlier,
};
pub use engine::{copy_store, open_store};
pub use error::{Error, Result};
pub use family::Family;
pub use follow::{ChainObserver, ChainStep, follow, follow_feed};
pub use follower::{Adopted, Applied, Follower, open::keyspaces};
pub use index::{BlockContext, ExecutedAction, Index, PutEntry, global_sequences};
pub use joined::{Earlier, EarlierStage, EarlierWay, IndexedPart, JoinPass, UnderWay};
pub use kept::{Aging, Floors, Kept, Part};
pub use load::{
    LoadOptions, LoadProgress, LoadedEntries, LoadedState, Loader, give_up_loaded_state, loaded_state,
    must_not_hold_loaded_state,
};
pub use options::Options;
pub use pipeline::Pipeline;
pub use reindex::{Progress, Rebuild, reindex};
pub use replaceable::{check_dumps, check_replaceable};
pub use retention::{SharedFloors, Sweep, floors_of};
pub use serving::{IndexState, IndexStatus, Serving, ServingSnapshot, Stall, Status};
pub use spill::ScratchSpace;
pub use view::{View, ViewScan};
