//! Follows the log of a recorded chain, with the indexes that lifecycles need.

use std::{collections::BTreeMap, sync::Arc};

use dfuse_antelope::{
    Checksum256,
    model::{Block, BlockParts, Message, TransactionLifecycle},
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_index::{
    BlockRef, Index, Options, Pipeline, View,
    abi::{AbiCache, Abis, ViewAbis},
    blocks::Blocks,
    keyspaces,
};
use dfuse_kv::MemoryStore;
use dfuse_render::Renderer;
use dfuse_testkit::recorded;
use dfuse_trx::{BlockSource, Error, ForkedTransactions, Lifecycles, Result, Signers, Transactions};
use serde_json::Value;

pub(crate) struct Chain {
    /// Of the best chain.
    pub(crate) best: Vec<Arc<Block>>,
    blocks: Source,
    pipeline: Pipeline,
    forked: ForkedTransactions,
    signers: Option<Signers>,
    cache: AbiCache,
}

/// All blocks, of all branches.
#[derive(Default)]
struct Source(BTreeMap<Checksum256, Arc<Block>>);

impl BlockSource for Source {
    fn block(&self, block: BlockRef) -> Result<Arc<Block>> {
        let found = self.0.get(&block.id).cloned();
        found.ok_or_else(|| Error::Source { block, source: "it is not there".into() })
    }

    fn parts(&self, block: BlockRef) -> Result<Arc<BlockParts>> {
        Ok(Arc::new(BlockParts::locate(self.block(block)?.to_bytes()).unwrap()))
    }
}

fn reference(block: &Block) -> BlockRef {
    BlockRef { number: block.number, id: block.id }
}

impl Chain {
    /// Up to the first block that is the last one wanted.
    pub(crate) fn until(name: &str, is_last: impl Fn(&Block) -> bool) -> Option<Self> {
        let mut reader = Reader::new(recorded::open(&format!("{name}/{name}.dmlog.zst"))?);
        let answers = recorded::json(&format!("{name}/answers.json.gz"))?;
        let indexes: Vec<Arc<dyn Index>> = vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Transactions)];
        let store = Arc::new(MemoryStore::new(&keyspaces(&indexes)));
        let mut chain = Self {
            best: Vec::new(),
            blocks: Source::default(),
            pipeline: Pipeline::open(store, None, indexes, Options::default()).unwrap(),
            forked: ForkedTransactions::new(),
            signers: answers["get_info"]["chain_id"].as_str().map(|id| Signers::new(id.parse().unwrap())),
            cache: AbiCache::new(1 << 20),
        };
        while let Some(event) = reader.next_event().unwrap() {
            match event {
                Event::Block(block) => {
                    let last = is_last(&block);
                    chain.push(*block);
                    if last {
                        break;
                    }
                }
                Event::AbiDump(dump) => chain.pipeline.abi_dump(dump).unwrap(),
                Event::SwitchFork { .. } => {}
            }
        }
        Some(chain)
    }

    pub(crate) fn whole(name: &str) -> Option<Self> {
        Self::until(name, |_| false)
    }

    fn push(&mut self, block: Block) {
        let block = Arc::new(block);
        self.blocks.0.insert(block.id, block.clone());
        while let Some(head) = self.best.pop_if(|head| head.id != block.header.previous) {
            self.forked.undone(&head);
            self.pipeline.undo(reference(&head)).unwrap();
        }
        self.pipeline.apply(&block).unwrap();
        self.best.push(block.clone());
        if let Some(lib) = self.best.iter().find(|it| it.number == block.lib_num()) {
            self.forked.finalized(lib.header.timestamp);
            self.pipeline.finalize(reference(lib)).unwrap();
        }
    }

    pub(crate) fn view(&self) -> View {
        self.pipeline.serving().snapshot().view().clone()
    }

    pub(crate) fn lifecycles(&self, ids: &[Checksum256]) -> Vec<Option<TransactionLifecycle>> {
        let view = self.view();
        Lifecycles { view: &view, forked: &self.forked, blocks: &self.blocks, signers: self.signers.as_ref() }
            .get_all(ids)
            .unwrap()
    }

    /// What is appended to an empty text.
    pub(crate) fn render(&self, write: impl FnOnce(&mut Renderer<'_>) -> dfuse_index::Result<()>) -> String {
        let view = self.view();
        let abis = ViewAbis::new(&view, &self.cache);
        let mut text = Vec::new();
        write(&mut Renderer::new(&mut text, &abis)).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// The JSON of each transaction, in the order of the ids.
    pub(crate) fn json(&self, ids: &[Checksum256]) -> Vec<Value> {
        let view = self.view();
        let abis = ViewAbis::new(&view, &self.cache);
        let render = |lifecycle: Option<TransactionLifecycle>| {
            let mut text = Vec::new();
            Renderer::new(&mut text, &abis).lifecycle(&lifecycle?).unwrap();
            Some(serde_json::from_slice(&text).unwrap())
        };
        self.lifecycles(ids).into_iter().map(|it| render(it).unwrap_or_default()).collect()
    }

    /// Transactions of blocks that were undone and are in no block of the best chain.
    pub(crate) fn lost_receipts(&self) -> Vec<Checksum256> {
        let ids = |block: &Block| block.transactions().iter().map(|receipt| receipt.id).collect::<Vec<_>>();
        let best: Vec<_> = self.best.iter().flat_map(|block| ids(block)).collect();
        self.blocks.0.values().flat_map(|block| ids(block)).filter(|id| !best.contains(id)).collect()
    }
}
