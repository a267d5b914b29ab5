//! Ordered key-value store: one small trait, its engines, and faults for tests.
//!
//! A [`Store`] holds named keyspaces, each a map from bytes to bytes sorted by key. A [`Snapshot`] reads all of them at
//! one moment; a [`WriteBatch`] writes to any of them atomically. Who only reads needs a [`ReadStore`]. Everything is synchronous, so that an engine may block
//! on a disk or a network: call it from CPU threads, never from async ones. [`open`] opens a store, whatever its engine.
//!
//! | engine | for |
//! |---|---|
//! | [`FjallStore`] | the default: embedded, log-structured, one process |
//! | [`MemoryStore`] | tests: same contract, contents live as long as their [`MemoryDisk`] |
//! | [`FaultyStore`] | tests: wraps another one and fails as a seeded [`FaultPlan`] says |
//!
//! # An engine over a network
//!
//! The contract leaves room for a log-structured store on an object store with one fenced writer and many readers
//! (SlateDB): keyspaces become a short prefix of the key, kept in a registry under a reserved one; a snapshot is a
//! database snapshot (on a reader: a checkpoint of the manifest it follows); [`Store::commit`] is its write batch, which
//! awaits the write-ahead log for both durabilities, since a killed process may lose nothing; a range delete within
//! a batch is expanded by the single writer as here; [`Store::ingest`] may write bounded batches, since its contract
//! leaves open how much a failed one leaves behind. A reader is a [`ReadStore`]; a writer that has been fenced answers writes
//! with [`Error::Locked`]. What a network adds is in the reads: [`EntryScan::skip_to`] seeks on a living iterator,
//! [`Snapshot::multi_first`] makes one wait of many seeks, a [`Hint`] says how far to read ahead, and what may pass is
//! [`Error::Unavailable`].

mod batch;
mod engine;
mod error;
mod faults;
mod fjall;
mod keyspace;
mod memory;
mod range;
mod scan;
mod sorter;
mod store;

pub use batch::{MAX_KEY_BYTES, MAX_VALUE_BYTES, WriteBatch};
pub use bytes::Bytes;
pub use engine::{Reopen, copy, open, remove};
pub use error::{Error, Result};
pub use faults::{Counts, FaultPlan, FaultyStore, WriteFault};
pub use fjall::{Damage, EngineOptions, FjallStore, KeyspaceOptions, find_damage};
pub use keyspace::{Entry, Keyspace};
pub use memory::{MemoryDisk, MemoryStore};
pub use range::KeyRange;
pub use scan::{Direction, EntryScan, Hint, Scan};
pub use sorter::{Combine, EntryBuffer, SortMemory, Sorter};
pub use store::{DiskUsage, Durability, ReadStore, Snapshot, Store};
