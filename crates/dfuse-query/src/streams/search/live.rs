//! What the steps of the chain bring to a stream.

use std::{collections::BTreeSet, sync::Arc};

use dfuse_antelope::{Checksum256, model::Block};
use dfuse_blocks::{
    Step,
    feed::{FeedStep, Request, Start},
};
use dfuse_index::{ServingSnapshot, View};
use dfuse_search::{LiveRow, LiveTail, Match, Position, Query};

use super::{
    past::CaughtUp,
    told::{SearchRow, SearchRowKind, SearchRows},
};
use crate::{
    ApiResult, Reading, Service,
    streams::{Steps, Taken, after, view_of},
};

/// A stream at the end of the chain.
#[derive(Debug)]
pub(super) struct Live {
    steps: Steps,
    /// Of blocks below nothing was ever sent.
    first: u32,
    /// Up to where in a block that comes an earlier stream has sent it.
    ahead: Option<Position>,
    /// The last block that is asked for.
    high: u32,
    /// Blocks that the chain took back before the indexes came to them: nothing of them was sent.
    passed: BTreeSet<Checksum256>,
    is_over: bool,
}

/// A step with what it is about.
struct Seen {
    view: View,
    matches: Arc<[Match]>,
}

impl Live {
    /// Goes on after what was searched.
    pub(super) async fn begin(service: &Service, caught_up: &CaughtUp) -> ApiResult<Self> {
        let feed = &service.chain().feed;
        let CaughtUp { irreversible_only, next, .. } = *caught_up;
        let start = match caught_up.reached {
            Some(reached) if !irreversible_only => after(reached, caught_up.lib, feed),
            _ => Start::Block(next),
        };
        let steps = Steps::from(Request { irreversible_only, ..start.into() }, feed).await?;
        let CaughtUp { first_asked: first, ahead, high, .. } = *caught_up;
        Ok(Self { steps, first, ahead, high, passed: BTreeSet::new(), is_over: false })
    }

    /// What the next step brings; none after the last block.
    pub(super) async fn next(
        &mut self,
        service: &Service,
        query: &Arc<Query>,
        tail: &mut LiveTail,
    ) -> ApiResult<Option<SearchRows>> {
        loop {
            if self.is_over {
                return Ok(None);
            }
            let step = self.steps.next_step().await?;
            if !tail.wants(step.step, step.is_final) || self.is_passed(&step) {
                continue;
            }
            let block = service.chain().feed.block(step.block).await?.block().await?;
            let Some(seen) = self.see(service, &step, &block, query).await? else {
                self.passed.insert(step.block.id);
                continue;
            };
            self.is_over = step.step != Step::Undo && step.block.number >= self.high;
            let head = if step.step == Step::Irreversible { step.lib } else { step.head };
            let rows = tail.rows(step.step, step.block, step.block == head, &seen.matches);
            let is_final = step.is_final || step.step == Step::Irreversible;
            let irreversible = if is_final { step.block.number } else { block.lib_num() };
            let sent = self.ahead.filter(|ahead| ahead.block == step.block);
            let rows = rows.into_iter().map(|row| own_row(row, irreversible));
            let rows: Vec<_> = rows.filter(|row| sent.is_none_or(|sent| row.position > sent)).collect();
            if !rows.is_empty() {
                return Ok(Some(SearchRows { view: seen.view, block: Some(block), rows }));
            }
        }
    }

    /// Whether nothing is told of a step.
    fn is_passed(&mut self, step: &FeedStep) -> bool {
        step.block.number < self.first || step.step == Step::Undo && self.passed.remove(&step.block.id)
    }

    /// What the query finds in the block, once the indexes have it. Absent if the chain took it back before.
    async fn see(
        &self,
        service: &Service,
        step: &FeedStep,
        block: &Arc<Block>,
        query: &Arc<Query>,
    ) -> ApiResult<Option<Seen>> {
        let mut taken = Taken::of_block(service, step, 0);
        loop {
            if !taken.may_be().await? {
                return Ok(None);
            }
            let (check, block, query, own) = (taken.check(), block.clone(), query.clone(), service.clone());
            let look = move |snapshot: &ServingSnapshot, _: &Reading| {
                if !check.is_in(snapshot)? {
                    return Ok(None);
                }
                let view = view_of(snapshot, block.id)?;
                let matches = own.evaluations().matches(&query, &block, &view)?;
                Ok(Some(Seen { view, matches }))
            };
            let class = self.steps.class(step);
            if let Some(seen) = service.at_turn(service.turns().turn(class).await, look).await? {
                return Ok(Some(seen));
            }
            if !taken.later().await? {
                return Ok(None);
            }
        }
    }
}

fn own_row(row: LiveRow, irreversible: u32) -> SearchRow {
    match row {
        LiveRow::Match { found, undo: false, position } => {
            SearchRow { kind: SearchRowKind::New(found), position, irreversible }
        }
        LiveRow::Match { found, undo: true, position } => {
            SearchRow { kind: SearchRowKind::Undo(found), position, irreversible }
        }
        LiveRow::Marker(position) => SearchRow { kind: SearchRowKind::Marker, position, irreversible },
    }
}
