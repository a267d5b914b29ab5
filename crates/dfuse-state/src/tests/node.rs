//! Follows a chain as a server does: undoes, applies, finalizes, and starts again.

use std::{collections::BTreeMap, sync::Arc};

use dfuse_antelope::{Checksum256, model::Block};
use dfuse_deep_mind::{Event, Reader};
use dfuse_index::{BlockRef, Index, Options, Pipeline, ServingSnapshot, View, blocks::Blocks, keyspaces};
use dfuse_kv::{MemoryDisk, MemoryStore};

use super::model::State;
use crate::{KeyAccounts, PermissionLinks, Rows, Scopes, StateAt, account_state::AccountState, tokens::Tokens};

pub(crate) struct Node {
    disk: MemoryDisk,
    indexes: Vec<Arc<dyn Index>>,
    pipeline: Option<Pipeline>,
    /// The states after blocks of all branches.
    states: BTreeMap<Checksum256, State>,
    /// The best chain.
    pub(crate) best: Vec<Arc<Block>>,
    /// Of the states of final blocks only one in so many is kept.
    pub(crate) sample: u32,
    /// Memory for the writes of reversible blocks.
    overlay_bytes: usize,
}

pub(crate) fn reference(block: &Block) -> BlockRef {
    BlockRef { number: block.number, id: block.id }
}

impl Node {
    pub(crate) fn new(rows: Rows) -> Self {
        Self::with_overlay(rows, Options::default().overlay_bytes)
    }

    /// With so much memory for the writes of reversible blocks.
    pub(crate) fn with_overlay(rows: Rows, overlay_bytes: usize) -> Self {
        let indexes: Vec<Arc<dyn Index>> = vec![
            Arc::new(Blocks),
            Arc::new(rows),
            Arc::new(Scopes),
            Arc::new(KeyAccounts),
            Arc::new(PermissionLinks),
            Arc::new(Tokens),
            Arc::new(AccountState),
        ];
        let mut node = Self {
            disk: MemoryDisk::default(),
            indexes,
            pipeline: None,
            states: BTreeMap::new(),
            best: Vec::new(),
            sample: 1,
            overlay_bytes,
        };
        node.pipeline = Some(node.open());
        node
    }

    /// Of a log that was recorded or made.
    pub(crate) fn follow(log: impl std::io::Read, sample: u32, mut at_head: impl FnMut(&mut Self)) -> Self {
        let mut node = Self::new(Rows::default());
        node.sample = sample;
        let mut reader = Reader::new(log);
        while let Some(event) = reader.next_event().unwrap() {
            if let Event::Block(block) = event {
                let lib = block.lib_num();
                node.push(*block);
                node.finalize(lib);
                at_head(&mut node);
            }
        }
        node
    }

    fn open(&self) -> Pipeline {
        let store = MemoryStore::open(&self.disk, &keyspaces(&self.indexes)).unwrap();
        let options = Options { overlay_bytes: self.overlay_bytes, ..Options::default() };
        Pipeline::open(Arc::new(store), None, self.indexes.clone(), options).unwrap()
    }

    pub(crate) fn pipeline(&mut self) -> &mut Pipeline {
        self.pipeline.as_mut().unwrap()
    }

    pub(crate) fn snapshot(&self) -> Arc<ServingSnapshot> {
        self.pipeline.as_ref().unwrap().serving().snapshot()
    }

    pub(crate) fn lib(&self) -> u32 {
        self.pipeline.as_ref().unwrap().committed().map_or(0, |block| block.number)
    }

    /// The state after a block, if it is kept. Before the first one there is nothing.
    pub(crate) fn state(&self, id: Checksum256) -> Option<&State> {
        self.states.get(&id)
    }

    pub(crate) fn head_state(&self) -> State {
        self.best.last().map(|block| self.states[&block.id].clone()).unwrap_or_default()
    }

    /// A block comes; what is not its parent is undone.
    pub(crate) fn push(&mut self, block: Block) {
        while let Some(head) = self.best.pop_if(|head| head.id != block.header.previous) {
            self.pipeline().undo(reference(&head)).unwrap();
        }
        let state = self.head_state().after(&block);
        self.pipeline().apply(&block).unwrap();
        self.states.insert(block.id, state);
        self.best.push(Arc::new(block));
    }

    /// Everything up to that height is final; passed over if it was, or if it is not known yet.
    pub(crate) fn finalize(&mut self, lib: u32) {
        let Some(block) = self.best.iter().find(|block| block.number == lib).cloned() else { return };
        if lib > self.lib() {
            self.pipeline().finalize(reference(&block)).unwrap();
            let sample = self.sample;
            self.states.retain(|id, _| id.block_num() >= lib || id.block_num() % sample == 0);
        }
    }

    /// The process ends and starts again from its files.
    pub(crate) fn restart(&mut self) {
        self.pipeline = None;
        self.pipeline = Some(self.open());
        for block in self.best.clone() {
            self.pipeline().apply(&block).unwrap();
        }
    }

    /// Compares the state at a height.
    pub(crate) fn check_at(&self, number: u32) {
        let snapshot = self.snapshot();
        let at = StateAt::at_number(&snapshot, number).unwrap().unwrap();
        assert_eq!(at.number(), number);
        let Some(block) = self.best.iter().find(|block| block.number == number) else {
            State::default().check(&at, &self.head_state());
            return;
        };
        let ever = self.head_state();
        let state = &self.states[&block.id];
        state.check(&at, &ever);
        // A view at the head answers for reversible heights, too.
        state.check(&StateAt::below(snapshot.view().clone(), number), &ever);
    }

    /// Compares the states of all reversible blocks, of any branch.
    pub(crate) fn check_branches(&self) -> usize {
        let snapshot = self.snapshot();
        let forked: Vec<_> = snapshot.forked_blocks().collect();
        for block in &forked {
            let view: View = snapshot.view_at(block.id).unwrap().unwrap();
            let state = &self.states[&block.id];
            state.check(&StateAt::of(view.clone()), state);
            state.check_tokens(&StateAt::of(view));
        }
        forked.len()
    }
}
