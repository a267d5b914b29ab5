//! Index and blocks that are not of the same chain: an error, never a wrong answer.

use std::sync::Arc;

use dfuse_antelope::model::{Block, BlockParts, Message};
use dfuse_index::BlockRef;
use dfuse_testkit::synthetic::{Mix, SyntheticChain};
use dfuse_trx::{BlockSource, Error, Lifecycles, Result};

use crate::node::{Node, blocks_of};

/// Changes a block, or has none.
struct Wrong<'a>(&'a [Block], fn(&Block) -> Option<Block>);

impl BlockSource for Wrong<'_> {
    fn block(&self, block: BlockRef) -> Result<Arc<Block>> {
        let found = self.0.iter().find(|it| it.id == block.id).and_then(self.1);
        found.map(Arc::new).ok_or_else(|| Error::Source { block, source: "it is gone".into() })
    }

    fn parts(&self, block: BlockRef) -> Result<Arc<BlockParts>> {
        Ok(Arc::new(BlockParts::locate(self.block(block)?.to_bytes()).unwrap()))
    }
}

#[test]
fn the_block_does_not_have_what_the_index_says() {
    let mix = Mix { transfers: 10, app: 5, deferred: 60, accounts: 2, permissions: 0, abis: 0 };
    let blocks = blocks_of(SyntheticChain::builder().seed(3).blocks(60).users(6).mix(mix));
    let mut node = Node::new();
    blocks.iter().for_each(|block| node.push(block.clone(), |_| ()));
    let view = node.view();
    let get = |change, id| {
        let source = Wrong(&blocks, change);
        Lifecycles { blocks: &source, ..node.lifecycles(&view, None) }.get(id).map(|found| found.is_some())
    };
    for id in node.model.all_ids() {
        assert!(get(|block| Some(block.clone()), id).unwrap());
        let gone = get(|_| None, id).unwrap_err();
        assert!(gone.to_string().contains("it is gone"), "{gone}");
        let other = get(|_| Some(Block::default()), id).unwrap_err();
        assert!(matches!(other, Error::Mismatch { what: "its id", .. }), "{other}");
        let empty = get(|block| Some(Block { id: block.id, ..Block::default() }), id).unwrap_err();
        assert!(matches!(empty, Error::Mismatch { .. }), "{empty}");
        let turned = |block: &Block| {
            let mut block = block.clone();
            block.unfiltered_transactions.reverse();
            // None is in the middle.
            block.unfiltered_transaction_traces.insert(0, Default::default());
            Some(block)
        };
        assert!(matches!(get(turned, id).unwrap_err(), Error::Mismatch { .. }), "{id}");
    }
}
