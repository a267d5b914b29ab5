//! What a source gives, and how it is read.

use std::{
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use dfuse_antelope::{AbiDump, Checksum256, model::Block};
use dfuse_blocks::{EncodedBlock, StoreOptions};
use dfuse_deep_mind::MAX_LINE;
use tokio::{runtime::Handle, sync::mpsc};

use crate::{KeptState, Result, firehose::FirehoseOptions};

pub(crate) type Sender = mpsc::Sender<Result<SourceEvent>>;

/// Waits on a thread for at most that long. True: nobody wants more events.
pub(crate) fn closes_within(sender: &Sender, time: Duration, runtime: &Handle) -> bool {
    runtime.block_on(async { tokio::time::timeout(time, sender.closed()).await.is_ok() })
}

/// What a source gives.
#[derive(Debug, Clone)]
pub enum SourceEvent {
    /// A block, after its parent.
    Block {
        /// The block decoded, where the source had it so.
        block: Option<Arc<Block>>,
        /// The block as it is stored and sent.
        encoded: EncodedBlock,
    },
    /// ABIs that were in force before the blocks that follow.
    AbiDump(AbiDump),
    /// A supervised node was started, for the first time or again: what follows may repeat what came before, or begin behind
    /// blocks that were never read.
    LogBegins,
    /// The source has blocks up to that number at least.
    HasUpTo(u32),
    /// Blocks come from this one of several endpoints or nodes from now on.
    ServedBy(String),
    /// The source gives no blocks for this reason, or does again.
    Interrupted(Option<String>),
    /// The source gives blocks, but has lost what would give them when others fail; or has it again.
    Weakened(Option<String>),
}

/// How to read a source.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// First block of interest: a block store begins there. A log always begins at its beginning.
    pub start_block: u32,
    /// At the end of a block store, wait for more rather than end.
    pub follow: bool,
    /// How long to wait before looking for more.
    pub poll: Duration,
    /// Most bytes that are read from a pipe and not decoded yet.
    pub queue_bytes: usize,
    /// Most bytes of a line of a log.
    pub max_line_bytes: usize,
    /// How to open a block store.
    pub store: StoreOptions,
    /// How to follow Firehose endpoints.
    pub firehose: FirehoseOptions,
    /// The id of the chain, as far as it is known. Nodes and endpoints that say that theirs is another one are not followed.
    pub chain_id: Option<Checksum256>,
    /// Whether no block is there yet: the history may then begin later than with the first block of interest, if the endpoints have
    /// none before.
    pub is_empty: bool,
    /// Blocks of the ABI dumps that are there.
    pub known_dumps: Vec<u32>,
    /// Where a source of state history keeps the rows that it compares blocks with, so that they need neither memory nor to be read
    /// again; without it they are in memory.
    pub state: Option<KeptState>,
    /// The block whose state was loaded there, see [`StateLoader`](crate::StateLoader), if history begins after one.
    pub loaded: Option<u32>,
    /// The last block that whoever takes blocks has for good, and need not get again. It goes up; at its highest it says nothing.
    pub durable: Arc<AtomicU32>,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            start_block: 0,
            follow: false,
            poll: Duration::from_secs(1),
            queue_bytes: 256 << 20,
            max_line_bytes: MAX_LINE,
            store: StoreOptions::default(),
            firehose: FirehoseOptions::default(),
            chain_id: None,
            is_empty: true,
            known_dumps: Vec::new(),
            state: None,
            loaded: None,
            durable: Arc::new(AtomicU32::new(u32::MAX)),
        }
    }
}
