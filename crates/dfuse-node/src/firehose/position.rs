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

    /// Whether a block of the endpoint's best chain, or one that was taken, is there.
    pub(super) fn has(&self, id: Checksum256) -> bool {
        self.taken.contains_key(&id) || id.block_num() <= self.lib
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use dfuse_antelope::model::{Block, BlockHeader, wire::ReverseWriter};
    use dfuse_testkit::Random;

    use super::*;

    fn id(number: u32, branch: u8) -> Checksum256 {
        let mut id = Checksum256::sha256(&[branch]);
        id.0[..4].copy_from_slice(&number.to_be_bytes());
        id
    }

    fn message(step: ForkStep, block: BlockRef, previous: Checksum256, lib: u32, cursor: &str) -> Received {
        let block = Arc::new(Block {
            id: block.id,
            number: block.number,
            header: BlockHeader { previous, ..Default::default() },
            dpos_irreversible_blocknum: lib,
            ..Default::default()
        });
        let encoded = EncodedBlock::encode(&block, &mut ReverseWriter::new()).unwrap();
        Received { step, cursor: cursor.to_owned(), block, encoded }
    }

    /// A chain that forks, of which blocks are final that are far enough below its head.
    struct Endpoint {
        /// Ids from block 2 on.
        chain: Vec<Checksum256>,
        branch: u8,
    }

    impl Endpoint {
        const FINAL: usize = 8;

        fn head(&self) -> u32 {
            self.chain.len() as u32 + 1
        }

        fn at(&self, number: u32) -> Option<Checksum256> {
            self.chain.get(number.checked_sub(2)? as usize).copied()
        }

        fn lib(&self, number: u32) -> u32 {
            number.saturating_sub(Self::FINAL as u32).max(1)
        }

        /// Some more blocks, sometimes in the place of some that are not final.
        fn grow(&mut self, random: &mut Random) {
            if random.one_in(3) {
                self.branch += 1;
                let lost = random.position(Self::FINAL - 1).min(self.chain.len().saturating_sub(1));
                self.chain.truncate(self.chain.len() - lost);
                (0..lost).for_each(|_| self.add());
            }
            (0..=random.position(4)).for_each(|_| self.add());
        }

        fn add(&mut self) {
            self.chain.push(id(self.head() + 1, self.branch));
        }
    }

    /// What a client has been told by its stream.
    #[derive(Default)]
    struct Stream(Vec<Checksum256>);

    impl Stream {
        /// The next message: what brings the client nearer to the chain.
        fn next(&mut self, first: u32, of: &Endpoint) -> Option<Received> {
            let before = |number: u32| of.at(number - 1).unwrap_or_else(|| id(1, 0));
            match self.0.last().copied() {
                Some(tip) if of.at(tip.block_num()) != Some(tip) => {
                    self.0.pop();
                    let number = tip.block_num();
                    let previous = self.0.last().copied().unwrap_or_else(|| before(number));
                    Some(message(ForkStep::StepUndo, BlockRef { number, id: tip }, previous, 1, "undo"))
                }
                tip => {
                    let number = tip.map_or(first, |tip| tip.block_num() + 1);
                    let id = of.at(number)?;
                    self.0.push(id);
                    Some(message(ForkStep::StepNew, BlockRef { number, id }, before(number), of.lib(number), "new"))
                }
            }
        }
    }

    #[test]
    fn every_block_comes_once_and_after_its_parent() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let mut endpoint = Endpoint { chain: vec![id(2, 0)], branch: 0 };
            let mut position = Position::new(2);
            let (mut handed_on, mut all) = (BTreeSet::from([id(1, 0)]), 0);
            let mut stream = Stream::default();
            let mut first = 2;
            let mut of = 0;
            for _ in 0..120 {
                endpoint.grow(&mut random);
                if random.one_in(4) {
                    // Connections break, and another endpoint is asked or the same one.
                    of = random.position(2);
                    let request = position.request(of);
                    if request.cursor.is_empty() {
                        stream = Stream::default();
                        first = request.start_block_num as u32;
                    }
                }
                for _ in 0..random.position(12) {
                    let Some(received) = stream.next(first, &endpoint) else { break };
                    match position.news(&received).unwrap() {
                        News::Block => {
                            assert!(handed_on.contains(&received.encoded.previous()), "seed {seed}: {received:?}");
                            assert!(handed_on.insert(received.encoded.id()), "seed {seed}: {received:?} again");
                            all += 1;
                        }
                        News::Nothing => {
                            let known = handed_on.contains(&received.encoded.id());
                            assert!(known, "seed {seed}: {received:?}");
                        }
                    }
                    position.taken(of, received.step, &received.encoded, received.cursor);
                }
            }
            assert!(all > 50 && position.taken.len() < 100, "seed {seed}: {all}");
        }
    }

    #[test]
    fn what_does_not_follow_is_told() {
        let mut position = Position::new(5);
        let block = |number, branch| BlockRef { number, id: id(number, branch) };
        let new =
            |number, branch, parent| message(ForkStep::StepNew, block(number, branch), id(number - 1, parent), 2, "c");
        assert!(position.news(&new(4, 0, 0)).unwrap_err().why.contains("begins with"));
        let first = new(5, 0, 0);
        assert_eq!(position.news(&first), Ok(News::Block));
        position.taken(0, first.step, &first.encoded, first.cursor);
        let mismatch = position.news(&new(6, 1, 1)).unwrap_err();
        assert_eq!(mismatch.tip, block(5, 0));
        assert!(mismatch.why.contains(&id(5, 1).to_string()), "{mismatch:?}");
        let undone = message(ForkStep::StepUndo, block(5, 1), id(4, 0), 2, "c");
        assert!(position.news(&undone).is_err());
        assert!(position.has_cursor_of(0) && !position.has_cursor_of(1));
        // Not before the first block, though nothing of it is final yet.
        assert_eq!(position.request(1).start_block_num, 5);
    }
}
