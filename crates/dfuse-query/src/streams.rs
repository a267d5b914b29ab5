//! Streams: steps of the chain as they are taken, and what of them is told to those who follow.
//!
//! A stream follows the feed of blocks and answers from the indexes, which come to a block a little later. [`Steps`] gives the
//! steps, each with what a cursor needs to go on after it; [`Taken`] waits for the indexes; [`read_after`] reads from the first
//! snapshot that has a step. What is made of a block for one stream is kept for others that want the same: [`Recent`].

mod actions;
mod blocks;
mod deltas;
mod filled;
mod filtered;
mod follow;
mod heads;
mod lifecycle;
mod lifecycles;
mod past;
mod places;
mod progress;
mod recent;
mod rows;
mod search;
mod start;

pub use actions::{ActionFilter, ActionItem, actions_of};
pub use blocks::{BlockName, BlockSteps, BlocksAsked, BlocksStart, after_undo, whole_block};
pub use deltas::{RowChanges, RowFollow, RowStart, RowStream};
pub use filled::filled_block;
pub use filtered::{BlockFilter, FilteredBlock, FilteredSteps};
pub use follow::{Check, Steps, Taken, after, confirmed, confirmed_view, next_step, read_after, view_of};
pub use heads::{HeadInfo, NewHeads, current_head};
pub use lifecycle::{LifecycleBegin, LifecycleSeen, LifecycleState, LifecycleWatch};
pub use lifecycles::{LifecycleLook, LifecycleStep, LifecycleStream};
pub use past::{PastReader, PastStep};
pub use places::Places;
pub use progress::Progress;
pub use recent::{Recent, Weigh};
pub use rows::{RowItem, pick_rows, rows_of};
pub use search::{SearchFollow, SearchRow, SearchRowKind, SearchRows, SearchStream};
pub use start::{start_block, steps_from};
