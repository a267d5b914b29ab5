//! How far the blocks of endpoints were taken, whatever connections they came through.

use std::collections::BTreeMap;

use dfuse_antelope::Checksum256;
use dfuse_blocks::{BlockRef, EncodedBlock};
use dfuse_proto::sf::firehose::v2::{ForkStep, Request};

use super::Received;

/// How far the blocks were taken: the branch that the endpoint had, and all blocks above what is final on it.
#[derive(Debug)]
pub(super) struct Position {
    /// The number of the first block, of the one to begin with while no block was taken.
    start: u32,
    /// The last block, if there was any; the endpoint is to tell the one after it.
    stop: Option<u32>,
    /// What the endpoint told last, and which endpoint that was.
    cursor: Option<(usize, String)>,
    /// The end of the branch that the endpoint has told. Absent before the first block.
    tip: Option<BlockRef>,
    /// Height that is final on that branch.
    lib: u32,
    /// Blocks that were taken, the last final one and those above, each with the one before it.
    taken: BTreeMap<Checksum256, Checksum256>,
}

/// What a message of an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// A block that was not taken yet.
    Block,
    /// Nothing that was not known.
    Nothing,
}

/// A message that does not follow those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// The block where the messages before end.
    pub(super) tip: BlockRef,
    /// What is wrong with the message.
    pub(super) why: String,
}

impl Position {
    pub(super) fn new(start: u32) -> Self {
        Self { start, stop: None, cursor: None, tip: None, lib: 0, taken: BTreeMap::new() }
    }

    /// Whether any block was taken.
    pub(super) fn has_begun(&self) -> bool {
        self.tip.is_some()
    }

    /// The number of the next block, as far as final ones go.
    pub(super) fn next(&self) -> u32 {
        self.lib.saturating_add(1).max(self.start)
    }

    /// Begins later, while no block was taken.
    pub(super) fn begin_at(&mut self, start: u32) {
        self.start = start;
    }

    /// Ends with that block.
    pub(super) fn stop_at(&mut self, number: u32) {
        self.stop.get_or_insert(number);
    }

    pub(super) fn has_stop(&self) -> bool {
        self.stop.is_some()
    }

    /// The cursor is not taken any more: the endpoint is asked by number.
    pub(super) fn forget_cursor(&mut self) {
        self.cursor = None;
    }

    /// Whether that endpoint is asked by its cursor.
    pub(super) fn has_cursor_of(&self, endpoint: usize) -> bool {
        self.cursor.as_ref().is_some_and(|(of, _)| *of == endpoint)
    }

    /// What to ask an endpoint for. Its own cursor is the exact position. Another endpoint is asked for what comes after the last final
    /// block: what is known among it is passed over.
    pub(super) fn request(&mut self, endpoint: usize) -> Request {
        let stop_block_num = self.stop.map_or(0, u64::from);
        if let Some((_, cursor)) = self.cursor.as_ref().filter(|(of, _)| *of == endpoint) {
            return Request { cursor: cursor.clone(), stop_block_num, ..Request::default() };
        }
        self.cursor = None;
        if let Some(tip) = self.tip {
            self.tip = Some(self.on_branch(tip, self.next().saturating_sub(1)));
        }
        Request { start_block_num: self.next().into(), stop_block_num, ..Request::default() }
    }

    /// The block of the branch that ends at `tip` at a height, or the lowest one that is known.
    fn on_branch(&self, tip: BlockRef, number: u32) -> BlockRef {
        let mut block = tip;
        while block.number > number
            && let Some(previous) = self.taken.get(&block.id)
        {
            block = BlockRef { number: block.number - 1, id: *previous };
        }
        block
    }

    /// Takes a message of an endpoint. Call [`Position::taken`] once the block was handed on.
    pub(super) fn news(&self, received: &Received) -> Result<News, Mismatch> {
        let Received { step, encoded, .. } = received;
        let block = BlockRef { number: encoded.number(), id: encoded.id() };
        let Some(tip) = self.tip else {
            let first = BlockRef { number: self.start.saturating_sub(1), id: encoded.previous() };
            if *step == ForkStep::StepUndo || block.number < self.start {
                return Err(Mismatch { tip: first, why: format!("the stream begins with {step:?} of block {block}") });
            }
            return Ok(News::Block);
        };
        let follows = if *step == ForkStep::StepUndo { tip.id == block.id } else { tip.id == encoded.previous() };
        if !follows {
            let parent = encoded.previous();
            return Err(Mismatch { tip, why: format!("{step:?} of block {block}, whose parent is {parent}") });
        }
        let is_new = *step != ForkStep::StepUndo && !self.taken.contains_key(&block.id);
        Ok(if is_new { News::Block } else { News::Nothing })
    }

    /// A message was taken, and its block handed on if it was new.
    pub(super) fn taken(&mut self, endpoint: usize, step: ForkStep, encoded: &EncodedBlock, cursor: String) {
        let (number, id, previous) = (encoded.number(), encoded.id(), encoded.previous());
        if !cursor.is_empty() {
            self.cursor = Some((endpoint, cursor));
        }
        if step == ForkStep::StepUndo {
            self.tip = Some(BlockRef { number: number.saturating_sub(1), id: previous });
            return;
        }
        if self.tip.is_none() {
            self.start = number;
        }
        self.tip = Some(BlockRef { number, id });
        self.taken.insert(id, previous);
        let lib = encoded.lib_number().min(number);
        if lib > self.lib {
            self.lib = lib;
            let kept = self.taken.keys().find(|id| id.block_num() >= lib).copied();
            if let Some(kept) = kept {
                self.taken = self.taken.split_off(&kept);
            }
        }
    }
}
