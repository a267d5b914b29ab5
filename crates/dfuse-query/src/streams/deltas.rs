//! What becomes of the rows of a table: for each block that changes some, all its changes at once, so that a cursor stands
//! between blocks.

use std::{collections::BTreeSet, fmt, sync::Arc};

use dfuse_antelope::{Checksum256, model::Block};
use dfuse_blocks::{
    Cursor, Step,
    feed::{FeedStep, Request, Start},
};
use dfuse_index::{ServingSnapshot, View};
use dfuse_state::TableKey;

use super::{
    blocks::may_begin,
    follow::{Steps, Taken, view_of},
    places::Places,
    rows::{pick_rows, rows_of},
    start::{start_block, steps_from},
};
use crate::{ApiResult, Service, turns::Class};

/// What a stream is about.
#[derive(Debug, Clone, Copy)]
pub struct RowFollow {
    /// The table.
    pub table: TableKey,
    /// Where it begins.
    pub start: RowStart,
    /// The last block; without it the stream follows the chain.
    pub stop_block: Option<u32>,
    /// A block is told when so many stand on top of it.
    pub confirmations: u32,
    /// Whether only blocks count that can no longer be undone.
    pub irreversible_only: bool,
    /// Blocks after which one without changes is told, too; 0 for none.
    pub marker_interval: u32,
}

/// Where a stream begins.
#[derive(Debug, Clone, Copy)]
pub enum RowStart {
    /// With a block, as [`start_block`] counts.
    Block(i64),
    /// After a position.
    Cursor(Cursor),
}

/// What a block does to the rows of a table, or takes back.
#[derive(Clone)]
pub struct RowChanges {
    /// What happened to the block, and where the stream goes on.
    pub step: FeedStep,
    /// The block.
    pub block: Arc<Block>,
    /// The indexes with whose ABIs rows are decoded.
    pub view: View,
    /// Where the changes are in the block, in the order in which they are told. None if the stream only tells how far it is.
    pub places: Places,
    /// Whose turn it is to tell of it.
    pub class: Class,
}

impl fmt::Debug for RowChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowChanges").field("step", &self.step).field("places", &self.places).finish_non_exhaustive()
    }
}

impl RowChanges {
    /// Whether the block was undone.
    pub fn is_undo(&self) -> bool {
        self.step.step == Step::Undo
    }

    /// The newest block that could not be undone by then; its own number if it is final.
    pub fn irreversible(&self) -> u32 {
        let FeedStep { step, block, is_final, lib, .. } = self.step;
        if is_final || step == Step::Irreversible { block.number } else { lib.number.min(block.number) }
    }
}

/// A stream of what becomes of the rows of a table.
#[derive(Debug)]
pub struct RowStream {
    service: Service,
    follow: RowFollow,
    steps: Steps,
    /// Blocks that the chain took back before the indexes came to them: nothing of them was told.
    untold: BTreeSet<Checksum256>,
    /// The block of the newest answer.
    told: u32,
}

impl RowStream {
    /// Begins a stream, within what the caller may read.
    ///
    /// # Errors
    /// `auth_invalid_streaming_start_block_error`, `request_validation_error` for blocks that no chain has and cursors that lead
    /// nowhere, and those of the feed.
    pub async fn begin(service: &Service, follow: RowFollow) -> ApiResult<Self> {
        let RowFollow { start, stop_block, irreversible_only, .. } = follow;
        let feed = &service.chain().feed;
        // Final blocks have as many confirmations as anybody asks for.
        let confirmations = if irreversible_only { u32::MAX } else { follow.confirmations };
        let start = match start {
            RowStart::Block(asked) => Start::Block(start_block(asked, confirmations, feed, service.caller())?),
            RowStart::Cursor(cursor) => {
                may_begin(cursor.tip.number, feed, service.caller())?;
                Start::Cursor(cursor)
            }
        };
        let confirmations = if irreversible_only { 0 } else { confirmations };
        let steps = steps_from(Request { start, irreversible_only, confirmations, stop_block }, service).await?;
        let follow = RowFollow { confirmations, ..follow };
        Ok(Self { service: service.clone(), follow, steps, untold: BTreeSet::new(), told: 0 })
    }

    /// The next block that has something; none after the last one.
    ///
    /// # Errors
    /// Those of reading and of the feed.
    pub async fn next(&mut self) -> ApiResult<Option<RowChanges>> {
        loop {
            let Some(step) = self.steps.next_or_end().await? else { return Ok(None) };
            // Whoever has new blocks has had those that become final.
            let is_repeated = step.step == Step::Irreversible && !self.follow.irreversible_only;
            if is_repeated || step.step == Step::Undo && self.untold.remove(&step.block.id) {
                continue;
            }
            let Some(changes) = self.see(step).await? else {
                self.untold.insert(step.block.id);
                continue;
            };
            self.untold.retain(|id| id.block_num() > step.lib.number);
            if !changes.places.is_empty() || self.is_marker_due(&step) {
                self.told = step.block.number;
                return Ok(Some(changes));
            }
        }
    }

    fn is_marker_due(&self, step: &FeedStep) -> bool {
        let interval = self.follow.marker_interval;
        interval > 0 && step.step != Step::Undo && step.block.number.saturating_sub(self.told) >= interval
    }

    /// What a step does to the table, once the indexes have it. Absent if the chain took it back before.
    async fn see(&self, step: FeedStep) -> ApiResult<Option<RowChanges>> {
        let service = &self.service;
        let mut taken = Taken::of_block(service, &step, self.follow.confirmations);
        loop {
            if !taken.may_be().await? {
                return Ok(None);
            }
            let class = self.steps.class(&step);
            let turn = service.turns().turn(class).await;
            let block = service.chain().feed.block(step.block).await?.block().await?;
            let (check, table, own) = (taken.check(), self.follow.table, service.clone());
            let look = move |snapshot: &ServingSnapshot, _: &_| {
                if !check.is_in(snapshot)? {
                    return Ok(None);
                }
                let items = own.row_items().get_or_make(&block.id, || rows_of(&block));
                let mut places = pick_rows(table, &items);
                if step.step == Step::Undo {
                    Arc::make_mut(&mut places).reverse();
                }
                let view = view_of(snapshot, block.id)?;
                Ok(Some(RowChanges { step, block, view, places, class }))
            };
            if let Some(changes) = service.at_turn(turn, look).await? {
                return Ok(Some(changes));
            }
            if !taken.later().await? {
                return Ok(None);
            }
        }
    }
}
