//! What a source of blocks does: fork choice, and its steps put into a pipeline.

use std::collections::BTreeMap;

use dfuse_antelope::{
    Checksum256,
    model::{Block, wire::ReverseWriter},
};
use dfuse_blocks::{Added, BlockRef, EncodedBlock, ForkDb};
use dfuse_index::Pipeline;
use dfuse_kv::{Direction, KeyRange, Store};

pub(crate) fn reference(block: &Block) -> BlockRef {
    BlockRef { number: block.number, id: block.id }
}

/// Takes blocks in any order and drives a pipeline with the steps that follow.
pub(crate) struct Source {
    forks: ForkDb,
    blocks: BTreeMap<Checksum256, Block>,
    writer: ReverseWriter,
}

impl Source {
    pub(crate) fn new(first: &Block) -> Self {
        let lib = BlockRef { number: first.number - 1, id: first.header.previous };
        Self { forks: ForkDb::new(lib), blocks: BTreeMap::new(), writer: ReverseWriter::new() }
    }

    pub(crate) fn push(&mut self, block: Block, pipeline: &mut Pipeline) {
        let encoded = EncodedBlock::encode(&block, &mut self.writer).unwrap();
        self.blocks.insert(block.id, block);
        if self.forks.add(encoded) != Added::Head {
            return;
        }
        let mut branch = vec![self.forks.head().id];
        while let Some(parent) = self.forks.get(*branch.last().unwrap()).map(EncodedBlock::previous) {
            branch.push(parent);
        }
        while let Some(head) = pipeline.head().filter(|head| !branch.contains(&head.id)) {
            pipeline.undo(head).unwrap();
        }
        for id in branch.iter().rev().filter_map(|id| self.blocks.get(id)) {
            pipeline.apply(id).unwrap();
        }
        if let Some(last) = self.forks.finalize().irreversible.last() {
            pipeline.finalize(last.into()).unwrap();
        }
        assert_eq!(pipeline.head(), Some(self.forks.head()));
    }

    /// The blocks of the best chain, in ascending order.
    pub(crate) fn best_chain(&self) -> Vec<&Block> {
        let head = self.blocks.get(&self.forks.head().id);
        let mut chain: Vec<_> = std::iter::successors(head, |block| self.blocks.get(&block.header.previous)).collect();
        chain.reverse();
        chain
    }
}

/// Keyspaces by name, with their entries.
pub(crate) type Contents = Vec<(String, Vec<(Vec<u8>, Vec<u8>)>)>;

/// Everything in a store, but some keyspaces.
pub(crate) fn contents(store: &dyn Store, without: &[&str]) -> Contents {
    let snapshot = store.snapshot().unwrap();
    let entries = |name: &String| {
        let keyspace = store.keyspace(name).unwrap();
        let scan = snapshot.scan(keyspace, &KeyRange::all(), Direction::Forward).unwrap();
        scan.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
    };
    store
        .keyspaces()
        .iter()
        .filter(|name| !without.contains(&name.as_str()))
        .map(|name| (name.clone(), entries(name)))
        .collect()
}
