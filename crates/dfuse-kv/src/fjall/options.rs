use std::collections::BTreeMap;

use ::fjall::{
    Database, DatabaseBuilder, KeyspaceCreateOptions,
    config::{BlockSizePolicy, FilterPolicy, RestartIntervalPolicy},
};

use crate::{Error, Result};

/// The engine asks for no less.
const MIN_JOURNAL_BYTES: u64 = 64 << 20;

/// The engine puts up with no fewer.
const MIN_OPEN_FILES: usize = 10;

/// How to open a [`FjallStore`](crate::FjallStore).
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Memory for blocks read from disk, over all keyspaces.
    pub cache_bytes: u64,
    /// Journal on disk beyond which keyspaces are written out, so that it can be cut: at least 64 MiB. Bounds the time
    /// of the next open after a crash (about 5 s a GiB) and the memory of unwritten entries.
    pub journal_bytes: u64,
    /// Files of tables that are kept open between reads, at least ten. While tables are read, merged and written, more are open
    /// for a moment.
    pub open_files: usize,
    /// Threads that write out memory and compact. From two on, one keeps to the former: it hands back whatever else it is
    /// given at once, and again and again as long as no other is free, which takes a whole core. Of two threads, the other is busy
    /// whenever it compacts; three are often all busy, since every keyspace that is written out asks all of them to compact; of
    /// four, there is nearly always one that takes what was handed back.
    pub workers: usize,
    /// For keyspaces not in `keyspaces`.
    pub keyspace: KeyspaceOptions,
    /// By name of the keyspace.
    pub keyspaces: BTreeMap<String, KeyspaceOptions>,
    /// Keyspaces to delete with all they hold before opening, wanted or not, existing or not: the fast way to empty
    /// one. Not atomic with anything else.
    pub discard: Vec<String>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            journal_bytes: MIN_JOURNAL_BYTES,
            open_files: 900,
            workers: 4,
            keyspace: KeyspaceOptions::default(),
            keyspaces: BTreeMap::new(),
            discard: Vec::new(),
        }
    }
}

/// How a keyspace is laid out. Fixed when it is made: later opens do not change it.
#[derive(Debug, Clone)]
pub struct KeyspaceOptions {
    /// Entries are gathered in memory up to this size before they are written out.
    pub memtable_bytes: u64,
    /// Entries are read from disk, checked and cached in blocks of about this size before compression. Larger ones scan
    /// faster and take less disk, smaller ones serve single keys faster.
    pub block_bytes: u32,
    /// Every how many entries a block holds a whole key. Fewer find a key faster, more take less disk.
    pub restart_interval: u8,
    /// Filters that spare reads of keys that are not there. For keyspaces that are only scanned they are a waste.
    pub filters: bool,
}

impl Default for KeyspaceOptions {
    fn default() -> Self {
        Self { memtable_bytes: 16 << 20, block_bytes: 8 << 10, restart_interval: 16, filters: true }
    }
}

impl EngineOptions {
    pub(super) fn apply(&self, builder: DatabaseBuilder<Database>) -> Result<DatabaseBuilder<Database>> {
        if self.journal_bytes < MIN_JOURNAL_BYTES {
            return Err(Error::Invalid(format!("journal bound of {} bytes, least is 64 MiB", self.journal_bytes)));
        }
        Ok(builder
            .cache_size(self.cache_bytes)
            .max_journaling_size(self.journal_bytes)
            .max_cached_files(Some(self.open_files.max(MIN_OPEN_FILES)))
            .worker_threads(self.workers.max(1)))
    }

    pub(super) fn create(&self, keyspace: &str) -> KeyspaceCreateOptions {
        let options = self.keyspaces.get(keyspace).unwrap_or(&self.keyspace);
        let create = KeyspaceCreateOptions::default()
            .max_memtable_size(options.memtable_bytes)
            .data_block_size_policy(BlockSizePolicy::all(options.block_bytes))
            .data_block_restart_interval_policy(RestartIntervalPolicy::all(options.restart_interval.max(1)));
        if options.filters { create } else { create.filter_policy(FilterPolicy::disabled()) }
    }
}
