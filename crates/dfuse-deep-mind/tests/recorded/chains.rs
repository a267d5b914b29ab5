//! The recorded chains, each decoded once.

use std::{collections::BTreeMap, sync::OnceLock};

use dfuse_antelope::{
    AbiDump, Checksum256,
    model::{Block, TransactionTrace},
};
use dfuse_deep_mind::{Event, Reader, Stats};
use dfuse_testkit::recorded;

/// A recorded log.
pub(crate) struct Log {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    chain: OnceLock<Option<Chain>>,
}

/// All that a log decodes to.
#[derive(Default)]
pub(crate) struct Chain {
    /// Blocks as the node applied them, those of abandoned branches included.
    pub(crate) blocks: Vec<Block>,
    pub(crate) dumps: Vec<AbiDump>,
    pub(crate) switches: Vec<(Checksum256, Checksum256)>,
    pub(crate) stats: Stats,
    pub(crate) unfinished_block: Option<u32>,
}

pub(crate) static SMALL: Log = Log::new("small", "small/small.dmlog.zst");
pub(crate) static FORK: Log = Log::new("fork", "fork/fork.dmlog.zst");
pub(crate) static BUSY: Log = Log::new("busy", "busy/busy.dmlog.zst");
pub(crate) static DEMO: Log = Log::new("demo", "demo/demo.dmlog.zst");
pub(crate) static EMPTY: Log = Log::new("empty", "empty.dmlog.gz");
pub(crate) static ABI_ROWS: Log = Log::new("abi rows", "cases/abi-rows.dmlog.gz");
pub(crate) static LEAP_5: Log = Log::new("leap 5", "public/leap-5.0-battlefield.dmlog.zst");
pub(crate) static LEAP_UNIT: Log = Log::new("leap unit test", "public/leap-unittest.dmlog.zst");
pub(crate) static SPRING: Log = Log::new("spring unit test", "public/spring-unittest.dmlog.zst");

impl Log {
    const fn new(name: &'static str, file: &'static str) -> Self {
        Self { name, file, chain: OnceLock::new() }
    }

    /// The decoded log, unless it is absent.
    pub(crate) fn chain(&'static self) -> Option<&'static Chain> {
        self.chain.get_or_init(|| decode(self.file)).as_ref()
    }

    /// A file of the folder in which the log is.
    pub(crate) fn beside(&self, file: &str) -> String {
        format!("{}/{file}", self.name)
    }
}

fn decode(file: &str) -> Option<Chain> {
    let mut reader = Reader::new(recorded::open(file)?);
    let mut chain = Chain::default();
    while let Some(event) = reader.next_event().unwrap_or_else(|error| panic!("{file}: {error}")) {
        match event {
            Event::Block(block) => chain.blocks.push(*block),
            Event::AbiDump(dump) => chain.dumps.push(dump),
            Event::SwitchFork { from, to } => chain.switches.push((from, to)),
        }
    }
    chain.stats = reader.stats().clone();
    chain.unfinished_block = reader.unfinished_block();
    Some(chain)
}

impl Chain {
    pub(crate) fn head(&self) -> &Block {
        self.blocks.last().expect("a log has blocks")
    }

    /// The blocks from the first to the head, along parents.
    pub(crate) fn canonical(&self) -> Vec<&Block> {
        let by_id: BTreeMap<Checksum256, &Block> = self.blocks.iter().map(|block| (block.id, block)).collect();
        let parent = |block: &&Block| by_id.get(&block.header.previous).copied();
        let mut blocks: Vec<&Block> = std::iter::successors(Some(self.head()), parent).collect();
        blocks.reverse();
        blocks
    }
}

/// The traces of a block without failed deferred transactions that a handler follows: it contains them.
pub(crate) fn traces_of_receipts(block: &Block) -> impl Iterator<Item = &TransactionTrace> {
    let traces = &block.unfiltered_transaction_traces;
    let followed = |at: usize| traces.get(at + 1).is_some_and(|next| next.failed_dtrx_trace.is_some());
    traces.iter().enumerate().filter(move |(at, _)| !followed(*at)).map(|(_, trace)| trace)
}
