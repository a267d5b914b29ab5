//! Follows a chain as a server does: undoes, applies, finalizes, and starts again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use dfuse_antelope::{
    Checksum256,
    model::{Block, BlockParts, Message, TransactionLifecycle},
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_index::{BlockRef, Index, Options, Pipeline, View, blocks::Blocks, keyspaces};
use dfuse_kv::{MemoryDisk, MemoryStore};
use dfuse_testkit::synthetic;
use dfuse_trx::{BlockSource, Error, ForkedTransactions, Lifecycles, Result, Signers, Status, Transactions};

use crate::model::{Model, assert_same};

pub(crate) struct Node {
    disk: MemoryDisk,
    pipeline: Option<Pipeline>,
    forked: ForkedTransactions,
    /// All blocks, as block files keep them.
    pub(crate) source: Source,
    lost: BTreeMap<Checksum256, Arc<Block>>,
    pub(crate) model: Model,
}

#[derive(Default)]
pub(crate) struct Source {
    blocks: Mutex<BTreeMap<Checksum256, Arc<Block>>>,
    reads: AtomicUsize,
}

impl Source {
    /// How many blocks were read since this was asked.
    pub(crate) fn take_reads(&self) -> usize {
        self.reads.swap(0, Ordering::Relaxed)
    }
}

impl BlockSource for Source {
    fn block(&self, block: BlockRef) -> Result<Arc<Block>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let found = self.blocks.lock().unwrap().get(&block.id).cloned();
        found.ok_or_else(|| Error::Source { block, source: "it is not there".into() })
    }

    fn parts(&self, block: BlockRef) -> Result<Arc<BlockParts>> {
        Ok(Arc::new(BlockParts::locate(self.block(block)?.to_bytes()).unwrap()))
    }
}

fn indexes() -> Vec<Arc<dyn Index>> {
    vec![Arc::new(Blocks), Arc::new(Transactions)]
}

fn open(disk: &MemoryDisk) -> Pipeline {
    let store = MemoryStore::open(disk, &keyspaces(&indexes())).unwrap();
    Pipeline::open(Arc::new(store), None, indexes(), Options::default()).unwrap()
}

/// The blocks of a synthetic chain, as its node applies them.
pub(crate) fn blocks_of(chain: synthetic::Builder) -> Vec<Block> {
    let mut log = Vec::new();
    chain.build().write_log(&mut log).unwrap();
    let blocks = Reader::new(&log[..]).filter_map(|event| match event.unwrap() {
        Event::Block(block) => Some(*block),
        _ => None,
    });
    blocks.collect()
}

fn reference(block: &Block) -> BlockRef {
    BlockRef { number: block.number, id: block.id }
}

impl Node {
    pub(crate) fn new() -> Self {
        let disk = MemoryDisk::default();
        let pipeline = Some(open(&disk));
        Self {
            disk,
            pipeline,
            forked: ForkedTransactions::new(),
            source: Source::default(),
            lost: BTreeMap::new(),
            model: Model::default(),
        }
    }

    fn pipeline(&mut self) -> &mut Pipeline {
        self.pipeline.as_mut().unwrap()
    }

    pub(crate) fn view(&self) -> View {
        self.pipeline.as_ref().unwrap().serving().snapshot().view().clone()
    }

    pub(crate) fn lifecycles<'a>(&'a self, view: &'a View, signers: Option<&'a Signers>) -> Lifecycles<'a> {
        Lifecycles { view, forked: &self.forked, blocks: &self.source, signers }
    }

    /// The block of the node's log comes; `at_head` is called at every head on the way to it.
    pub(crate) fn push(&mut self, block: Block, mut at_head: impl FnMut(&Self)) {
        let block = Arc::new(block);
        self.source.blocks.lock().unwrap().insert(block.id, block.clone());
        while let Some(head) = self.model.head().filter(|head| head.id != block.header.previous).cloned() {
            self.forked.undone(&head);
            self.pipeline().undo(reference(&head)).unwrap();
            self.lost.insert(head.id, head);
            self.model.undo();
            at_head(self);
        }
        self.pipeline().apply(&block).unwrap();
        self.lost.remove(&block.id);
        self.model.push(block.clone());
        if let Some(lib) = self.model.finalize(block.lib_num()) {
            self.forked.finalized(lib.header.timestamp);
            self.pipeline().finalize(reference(&lib)).unwrap();
        }
        at_head(self);
    }

    /// The process ends and starts again from its files.
    pub(crate) fn restart(&mut self) {
        self.pipeline = None;
        self.pipeline = Some(open(&self.disk));
        self.forked = ForkedTransactions::new();
        self.lost.values().for_each(|block| self.forked.undone(block));
        if let Some(lib) = self.model.lib() {
            self.forked.finalized(lib.header.timestamp);
        }
        let best = self.model.best().to_vec();
        for block in best {
            self.pipeline().apply(&block).unwrap();
        }
    }
}

/// Compares what is said of the ids with the model, and returns it. No block is read twice, and none for an outline.
pub(crate) fn check(node: &Node, ids: &[Checksum256]) -> Vec<Option<TransactionLifecycle>> {
    let view = node.view();
    let lifecycles = node.lifecycles(&view, None);
    node.source.take_reads();
    let found = lifecycles.get_all(ids).unwrap();
    assert!(node.source.take_reads() <= node.model.blocks_ever());
    for (id, found) in ids.iter().zip(&found) {
        let outline = lifecycles.outline(*id).unwrap();
        assert_eq!(outline.map(|outline| outline.status), found.as_ref().map(Status::of));
        assert_same(found.as_ref(), node.model.lifecycle(*id).as_ref(), format_args!("{id} at {:?}", view.block()));
    }
    assert_eq!(node.source.take_reads(), 0);
    found
}
