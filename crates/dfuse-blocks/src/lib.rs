//! Block files and object stores, the fork database and the block feed.
//!
//! [`BlockStore`] keeps blocks in the files of the Firehose family, in a directory or an object store.
//! [`Merger`] turns blocks as a node sends them, forks included, into such files.
//! [`feed::Feed`] follows the chain: everything that does so subscribes to it. `docs/block-files.md` describes the
//! formats.
//!
//! | module | what |
//! |---|---|
//! | `store`, [`bundle`], `dbin`, `names`, `range` | block files: where they are, what is in them, reading one or many |
//! | `link`, `forks`, `lost`, `merge`, `check` | fork choice and finality; lost branches told from other chains; a log turned into files; files verified |
//! | [`feed`] | the stream of steps: `writer` takes blocks, `hub` knows the chain's end and what a stream sends next, `subscription` sends it, `history` reads bundles ahead, `keeper` writes them, `restore` and `index` rebuild the hub |
//! | `objects` | what machines that share a store keep there beside the blocks |
//! | [`archive`] | whole folders in a directory or an object store, each file with its digest |
//! | `cursor`, `cursor_key`, `clock` | positions, and their authenticated text; the only place that reads clock and randomness |

mod abi_dump;
pub mod archive;
mod backoff;
mod block;
pub mod bundle;
mod check;
mod clock;
mod cursor;
mod cursor_key;
pub mod dbin;
mod dumps;
mod earlier;
mod error;
pub mod feed;
mod forks;
mod link;
mod lost;
mod mend;
mod merge;
mod names;
mod objects;
mod range;
mod store;
#[cfg(test)]
mod testing;

pub use backoff::Backoff;
pub use block::EncodedBlock;
pub use check::{AbiDumpSummary, CheckOptions, CheckProgress, CheckReport, Fault, Finding, OneBlockSummary, check};
pub use clock::{Clock, Entropy, SystemClock, SystemEntropy};
pub use cursor::{Cursor, CursorKind, Step};
pub use cursor_key::CursorKey;
pub use dumps::{AbiDumpState, CheckedAbiDump};
pub use error::{Error, MEND, Result, with_causes};
pub use forks::{Added, Finalized, ForkDb};
pub use link::{BlockRef, Linked};
pub use mend::{Mended, mend};
pub use merge::{BundleWriter, MergeSummary, Merger};
pub use names::OneBlockName;
pub use objects::Objects;
pub use store::{BlockStore, StoreOptions, locate::Located};
