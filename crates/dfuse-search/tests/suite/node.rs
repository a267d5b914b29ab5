//! Follows a chain as a server does, and compares what is found.

use std::{collections::BTreeMap, sync::Arc};

use dfuse_antelope::{AbiDump, Checksum256, model::Block};
use dfuse_deep_mind::{Event, Reader};
use dfuse_index::{BlockRef, View};
use dfuse_index::{Index, Options, Pipeline, ServingSnapshot, abi::Abis, blocks::Blocks, keyspaces};
use dfuse_kv::{Direction, MemoryDisk, MemoryStore};
use dfuse_search::{
    Budget, Error, Evaluations, LiveRow, LostBlocks, Match, PageEnd, Position, Query, Request, Result, SearchIndex,
    TermOptions, count, resume, search,
};
use dfuse_testkit::{
    Random,
    search::{AbiState, Documents, Found, Vocabulary, Wanted, documents, dumped},
    synthetic,
};

/// How many times as many queries as usual are compared: the number in `DFUSE_TEST_SEARCHES`.
pub(crate) fn times() -> usize {
    std::env::var("DFUSE_TEST_SEARCHES").map_or(1, |times| times.parse().unwrap())
}

pub(crate) fn plain(found: &Match) -> Found {
    (found.block.number, found.transaction, found.id, found.actions.clone())
}

pub(crate) fn reference(block: &Block) -> BlockRef {
    BlockRef { number: block.number, id: block.id }
}

pub(crate) struct Node {
    disk: MemoryDisk,
    pub(crate) index: Arc<SearchIndex>,
    pipeline: Option<Pipeline>,
    pub(crate) evaluations: Evaluations,
    pub(crate) blocks: BTreeMap<Checksum256, (Arc<Block>, Arc<Documents>)>,
    dump: AbiState,
    dumps: Vec<AbiDump>,
    /// Added to global sequences for each block.
    stretch: u64,
    batch_bytes: usize,
}

fn indexes(index: &Arc<SearchIndex>) -> Vec<Arc<dyn Index>> {
    vec![Arc::new(Blocks), Arc::new(Abis), index.clone()]
}

fn open(disk: &MemoryDisk, index: &Arc<SearchIndex>, batch_bytes: usize) -> Pipeline {
    let store = MemoryStore::open(disk, &keyspaces(&indexes(index))).unwrap();
    let options = Options { batch_bytes, ..Options::default() };
    Pipeline::open(Arc::new(store), None, indexes(index), options).unwrap()
}

/// Blocks and dumps of a log.
pub(crate) fn events(log: impl std::io::BufRead) -> Vec<Event> {
    let mut reader = Reader::new(log);
    std::iter::from_fn(|| reader.next_event().unwrap()).collect()
}

pub(crate) fn synthetic_events(chain: synthetic::Builder) -> Vec<Event> {
    let mut log = Vec::new();
    chain.build().write_log(&mut log).unwrap();
    events(&log[..])
}

/// Moves the global sequences of each block up by `stretch` times its number, so that few blocks fill many chunks.
pub(crate) fn stretched(mut block: Block, stretch: u64) -> Block {
    let actions = block.unfiltered_transaction_traces.iter_mut().flat_map(|trace| &mut trace.action_traces);
    for receipt in actions.filter_map(|action| action.receipt.as_mut()) {
        receipt.global_sequence += stretch * u64::from(block.number);
    }
    block
}

impl LostBlocks for Node {
    fn lost_block(&self, block: BlockRef) -> Result<Option<Arc<Block>>> {
        Ok(self.blocks.get(&block.id).map(|(block, _)| block.clone()))
    }
}

impl Node {
    pub(crate) fn new(stretch: u64, batch_bytes: usize) -> Self {
        let disk = MemoryDisk::default();
        let index = Arc::new(SearchIndex::new(TermOptions::default()));
        let pipeline = Some(open(&disk, &index, batch_bytes));
        let evaluations = Evaluations::new(index.clone());
        let (blocks, dump) = (BTreeMap::new(), AbiState::new());
        Self { disk, index, pipeline, evaluations, blocks, dump, dumps: Vec::new(), stretch, batch_bytes }
    }

    /// The process ends and starts again.
    pub(crate) fn restart(&mut self) {
        let best: Vec<_> = self.best().map(|(block, _)| block.clone()).collect();
        self.index = Arc::new(SearchIndex::new(TermOptions::default()));
        self.pipeline = None;
        self.pipeline = Some(open(&self.disk, &self.index, self.batch_bytes));
        self.evaluations = Evaluations::new(self.index.clone());
        for dump in self.dumps.clone() {
            self.pipeline().abi_dump(dump).unwrap();
        }
        for block in best.into_iter().rev() {
            self.pipeline().apply(&block).unwrap();
        }
    }

    fn pipeline(&mut self) -> &mut Pipeline {
        self.pipeline.as_mut().unwrap()
    }

    pub(crate) fn head(&self) -> Option<BlockRef> {
        self.pipeline.as_ref().unwrap().head()
    }

    /// Everything is final; the process ends. What it leaves on disk.
    pub(crate) fn finish(mut self) -> MemoryDisk {
        let head = self.head().unwrap();
        self.pipeline().finalize(head).unwrap();
        self.disk
    }

    pub(crate) fn push(&mut self, event: Event) {
        match event {
            Event::AbiDump(dump) => {
                self.dump.extend(dumped(&dump));
                self.dumps.push(dump.clone());
                self.pipeline().abi_dump(dump).unwrap();
            }
            Event::Block(block) => self.block(stretched(*block, self.stretch)),
            Event::SwitchFork { .. } => {}
        }
    }

    fn block(&mut self, block: Block) {
        let known = self.blocks.get(&block.header.previous).map(|(_, parent)| parent.abis.clone());
        let documents = Arc::new(documents(&block, known.unwrap_or_else(|| self.dump.clone())));
        let block = Arc::new(block);
        self.blocks.insert(block.id, (block.clone(), documents));
        while let Some(head) = self.head().filter(|head| head.id != block.header.previous) {
            self.pipeline().undo(head).unwrap();
        }
        self.pipeline().apply(&block).unwrap();
        let lib = self.best().find(|(best, _)| best.number == block.lib_num()).map(|(best, _)| reference(best));
        if let Some(lib) = lib {
            self.pipeline().finalize(lib).unwrap();
        }
    }

    /// The best chain, newest first.
    pub(crate) fn best(&self) -> impl Iterator<Item = &(Arc<Block>, Arc<Documents>)> {
        let head = self.head().and_then(|head| self.blocks.get(&head.id));
        std::iter::successors(head, |(block, _)| self.blocks.get(&block.header.previous))
    }

    pub(crate) fn snapshot(&self) -> Arc<ServingSnapshot> {
        self.pipeline.as_ref().unwrap().serving().snapshot()
    }

    pub(crate) fn vocabulary(&self) -> Vocabulary {
        Vocabulary::of(self.blocks.values().map(|(_, documents)| documents))
    }

    pub(crate) fn parse(&self, wanted: &Wanted) -> Query {
        Query::parse(&wanted.text(), self.index.options()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What a scan finds on the best chain, in ascending order.
    pub(crate) fn scan(&self, wanted: &Wanted) -> Vec<Found> {
        let mut chain: Vec<_> = self.best().map(|(_, documents)| documents).collect();
        chain.reverse();
        wanted.scan(chain.into_iter())
    }

    /// Compares one query in random ranges, directions and pages.
    pub(crate) fn compare(&self, wanted: &Wanted, random: &mut Random) -> usize {
        let query = self.parse(wanted);
        let snapshot = self.snapshot();
        let all = self.scan(wanted);
        let head = self.head().map_or(0, |head| head.number);
        let mut number = || if random.one_in(3) { 0 } else { random.position(head as usize + 2) as u32 };
        let (a, b) = (number(), head + 1 - number().min(head));
        let blocks = a.min(b)..=a.max(b);
        let mut expected: Vec<_> = all.iter().filter(|found| blocks.contains(&found.0)).cloned().collect();
        let direction = if random.one_in(2) { Direction::Forward } else { Direction::Reverse };
        if direction == Direction::Reverse {
            expected.reverse();
        }
        let most = if random.one_in(2) { 10 } else { 1000 };
        // Every page plans the query again.
        let limit = (1 + random.position(most)).max(expected.len() / 40);
        let work = if random.one_in(2) { u64::MAX } else { random.position(200) as u64 };
        let mut request = Request { query: &query, blocks: blocks.clone(), direction, after: None, limit };
        let mut found = Vec::new();
        for pages in 0.. {
            assert!(pages < 1000, "no end: {query}");
            let page = search(snapshot.view(), &request, &mut Budget::new(work)).unwrap();
            assert!(page.matches.len() <= limit);
            found.extend(page.matches.iter().map(plain));
            request.after = match page.end {
                PageEnd::Complete => break,
                PageEnd::Limit => page.matches.last().map(Match::position),
                PageEnd::Partial(position) => Some(position),
            };
        }
        assert!(found == expected, "{query} in {blocks:?} {direction:?}:\n{found:?}\n{expected:?}");
        request.after = None;
        let counted = count(snapshot.view(), &request, &mut Budget::unlimited()).unwrap().unwrap();
        let actions: usize = expected.iter().map(|found| found.3.len()).sum();
        assert_eq!((counted.transactions, counted.actions), (expected.len() as u64, actions as u64), "{query}");
        expected.len()
    }

    /// What the query matches in one block, alone.
    pub(crate) fn of_block(&self, query: &Query, block: &Block) -> Arc<[Match]> {
        self.evaluations.matches(query, block, &self.view_before(block)).unwrap()
    }

    /// The view at the block's parent, or at the head if the parent is committed.
    pub(crate) fn view_before(&self, block: &Block) -> View {
        let snapshot = self.snapshot();
        snapshot.view_at(block.header.previous).unwrap().unwrap_or_else(|| snapshot.view().clone())
    }

    /// Goes on from a position, with what was sent up to there; gives what is sent after all. False while the best chain has not come
    /// to the position's height again: then whoever asks has to wait.
    pub(crate) fn resume(&self, query: &Query, position: Position, sent: &mut Vec<Found>) -> bool {
        let snapshot = self.snapshot();
        let resumed = match resume(&snapshot, &self.index, query, position, self) {
            Err(Error::CursorAhead { cursor, head }) => {
                assert_eq!((cursor, Some(head)), (position.block, self.head().map(|head| head.number)));
                assert!(position.block.number > head);
                return false;
            }
            resumed => resumed.unwrap(),
        };
        for row in &resumed.undone {
            let LiveRow::Match { found, undo: true, .. } = row else { panic!("{row:?}") };
            assert_eq!(sent.pop().as_ref(), Some(&plain(found)), "{query}");
        }
        let blocks = 0..=u32::MAX;
        let after = Some(resumed.position);
        let request = Request { query, blocks, direction: Direction::Forward, after, limit: usize::MAX };
        let page = search(snapshot.view(), &request, &mut Budget::unlimited()).unwrap();
        assert_eq!(page.end, PageEnd::Complete);
        sent.extend(page.matches.iter().map(plain));
        true
    }
}
