use std::{path::PathBuf, time::Duration};

/// How blocks become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Every block is in a one-block file before subscribers see it, or see the next one: see [`Publish`]. A killed process
    /// loses nothing that was seen, or the last block.
    #[default]
    Live,
    /// For a source that can be replayed and has much to catch up with: final blocks go straight into bundles, the rest is in
    /// memory, in one-block files where memory does not suffice. After a kill the source repeats what was not in files.
    /// The source waits for committers that are far behind.
    CatchUp,
}

/// When subscribers see a block of a feed in [`Mode::Live`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Publish {
    /// Once it is in a one-block file.
    #[default]
    WhenDurable,
    /// At once; it is written then, before the next block is taken. For feeds whose blocks another machine has, too.
    OnArrival,
}

/// How to open a feed.
#[derive(Debug, Clone)]
pub struct FeedOptions {
    /// Where to keep `hub.index`, which makes restarts fast. Without it every one-block file is read at the start.
    pub data_dir: Option<PathBuf>,
    /// Number of the first block of the chain's history that a node can give.
    pub first_streamable: u32,
    /// What ends the names of one-block files: letters, digits, `_` and `.` only.
    pub suffix: String,
    /// How blocks become durable at first.
    pub mode: Mode,
    /// When blocks are seen in [`Mode::Live`].
    pub publish: Publish,
    /// Other processes write the store: this feed reads it and changes nothing in it. Every block that is pushed is in the
    /// store already, or comes there, and the mode is of no importance.
    pub reads_only: bool,
    /// Encoded blocks that are kept in memory, in bytes; the oldest leave first and are read back from files when they are
    /// wanted.
    pub memory_bytes: usize,
    /// Decoded blocks of the chain's end that are kept in memory, in bytes.
    pub decoded_bytes: usize,
    /// Final blocks that live streams may be behind the LIB before they are too slow.
    pub live_window: u32,
    /// Blocks below the LIB for which lost ones are kept, so that a cursor on a fork resolves.
    pub keep_forked: u32,
    /// How long a stream waits for the block of its cursor, which another machine may have had first.
    pub cursor_wait: Duration,
    /// Final blocks that a committer may be behind before a source that catches up has to wait.
    pub committer_lag: u32,
    /// What is read at once of history, in bytes. Whoever uses [`Subscription::next`](super::Subscription::next) there holds two such pieces.
    pub history_piece_bytes: usize,
    /// What is kept of the blocks that streams read in history, for all streams that do not read ahead: half of it encoded
    /// blocks, half of it decoded ones.
    pub history_bytes: usize,
}

impl Default for FeedOptions {
    fn default() -> Self {
        Self {
            data_dir: None,
            first_streamable: 2,
            suffix: "dfuse".to_owned(),
            mode: Mode::Live,
            publish: Publish::WhenDurable,
            reads_only: false,
            memory_bytes: 64 << 20,
            decoded_bytes: 32 << 20,
            live_window: 1000,
            keep_forked: 50_000,
            cursor_wait: Duration::ZERO,
            committer_lag: 2000,
            history_piece_bytes: 1 << 20,
            history_bytes: 64 << 20,
        }
    }
}
