//! A stream of the feed.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::watch;

use super::{
    block::FeedBlock,
    history::History,
    hub::{Entry, Filter, Hub, Link, Plan, Position, Standing},
    shared::Shared,
};
use crate::{BlockRef, Cursor, Error, Linked, Result, Step};

/// Where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With this block; it may be ahead of the head. Numbers below the chain's first block mean that one.
    Block(u32),
    /// With the block so many below the head, 0 for the head itself.
    Head(u32),
    /// With the last irreversible block.
    Lib,
    /// After a cursor.
    Cursor(Cursor),
}

/// What to stream.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Where it begins.
    pub start: Start,
    /// Only [`Step::Irreversible`], of every block from the start on.
    pub irreversible_only: bool,
    /// A block is sent as new when so many stand on top of it, or it is final. The head is the newest such block then.
    pub confirmations: u32,
    /// The stream ends after this block was sent, as new or in a stream of irreversible blocks as irreversible.
    pub stop_block: Option<u32>,
}

impl From<Start> for Request {
    /// All steps, without end.
    fn from(start: Start) -> Self {
        Self { start, irreversible_only: false, confirmations: 0, stop_block: None }
    }
}

/// Something that happened to the chain.
#[derive(Debug, Clone)]
pub struct FeedEvent {
    /// What happened.
    pub step: Step,
    /// To which block. All subscribers get the same one.
    pub block: Arc<FeedBlock>,
    /// The block is final. Of a `New` one that is, no `Irreversible` follows.
    pub is_final: bool,
    /// Where the stream continues.
    pub cursor: Cursor,
    /// The best block of the chain at the moment.
    pub head: BlockRef,
    /// The last irreversible block of the chain at the moment.
    pub lib: BlockRef,
}

/// The same without the block: it can wait as long as it must, for it keeps nothing in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedStep {
    /// What happened.
    pub step: Step,
    /// To which block: [`super::FeedHandle::block`] gives it.
    pub block: BlockRef,
    /// As in [`FeedEvent`].
    pub is_final: bool,
    /// Where the stream continues.
    pub cursor: Cursor,
    /// The best block of the chain at the moment.
    pub head: BlockRef,
    /// The last irreversible block of the chain at the moment.
    pub lib: BlockRef,
}

impl From<&FeedEvent> for FeedStep {
    fn from(event: &FeedEvent) -> Self {
        let FeedEvent { step, ref block, is_final, cursor, head, lib } = *event;
        Self { step, block: block.encoded().into(), is_final, cursor, head, lib }
    }
}

impl FeedStep {
    /// The event of that block.
    pub(super) fn with(self, block: Arc<FeedBlock>) -> FeedEvent {
        let Self { step, is_final, cursor, head, lib, .. } = self;
        FeedEvent { step, block, is_final, cursor, head, lib }
    }
}

/// What there is for a stream that does not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This happened.
    Step(FeedStep),
    /// Nothing, until [`Subscription::ready`] returns.
    Nothing,
    /// The stop block was sent.
    End,
}

/// A stream of the feed; see [`super::Feed`] for what it sends. It keeps a position and, in history, what is read ahead.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    changes: watch::Receiver<()>,
    filter: Filter,
    place: Place,
    history: Option<History>,
    /// It has come to the head once: it is too slow if it loses sight of it.
    live: bool,
    last: Option<Cursor>,
}

/// What a stream sends next, and what was known of the chain when that was found.
struct Due {
    position: Position,
    what: What,
    head: BlockRef,
    lib: BlockRef,
}

enum What {
    Wait,
    End,
    Send(Step, Entry),
    /// A final block that is in bundles.
    SendHistory(Step, u32),
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// To be found when there is a first block.
    Start(Start),
    At(Position),
}

impl Subscription {
    pub(super) async fn new(shared: Arc<Shared>, request: Request) -> Result<Self> {
        let Request { start, irreversible_only, confirmations, stop_block } = request;
        if let (Start::Block(start), Some(stop)) = (start, stop_block)
            && start > stop
        {
            return Err(Error::Usage(format!("a stream from block {start} cannot stop at block {stop}")));
        }
        let (place, last) = match start {
            Start::Cursor(cursor) => {
                (Place::At(shared.resolve_in_time(&cursor, irreversible_only).await?), Some(cursor))
            }
            start => match &*shared.hub() {
                Some(hub) => (Place::At(begin(start, confirmations, hub, &shared)?), None),
                None => (Place::Start(start), None),
            },
        };
        let changes = shared.changes.clone();
        let filter = Filter { irreversible_only, confirmations, stop_block };
        Ok(Self { shared, changes, filter, place, history: None, live: false, last })
    }

    /// The cursor of the last event; the one that the stream began with before the first.
    pub fn cursor(&self) -> Option<Cursor> {
        self.last
    }

    /// The next event; none after the stop block. Waits for it, and in history reads ahead. Nothing is lost if the future is
    /// dropped, nor by an error: it can be called again.
    ///
    /// # Errors
    /// [`Error::TooSlow`] and [`Error::Closed`] end the stream; errors of the store may pass.
    pub async fn next(&mut self) -> Result<Option<FeedEvent>> {
        loop {
            let Due { position, what, head, lib } = self.due().await?;
            let (step, block) = match what {
                What::Wait => {
                    self.history = None;
                    self.changed().await?;
                    continue;
                }
                What::End => return Ok(None),
                What::Send(step, entry) => (step, self.shared.load(entry).await?),
                What::SendHistory(step, number) => (step, self.historic_block(number).await?),
            };
            let taken = self.advance(position, step, &Link::of(block.encoded()), head, lib);
            return Ok(Some(taken.with(block)));
        }
    }

    /// Returns when there is something to send, or no more. Meanwhile the stream is nothing but its place.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn ready(&mut self) -> Result<()> {
        self.history = None;
        while let Due { what: What::Wait, .. } = self.due().await? {
            self.changed().await?;
        }
        Ok(())
    }

    /// The next step without its block, if there is one. What is in bundles is read for all streams together, and no stream
    /// reads ahead for itself.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn try_next(&mut self) -> Result<Next> {
        let Due { position, what, head, lib } = self.due().await?;
        let (step, link) = match what {
            What::Wait => return Ok(Next::Nothing),
            What::End => return Ok(Next::End),
            What::Send(step, entry) => (step, entry.link),
            What::SendHistory(step, number) => {
                let block = self.shared.past_block(number).await?;
                (step, Link::of(block.encoded()))
            }
        };
        Ok(Next::Step(self.advance(position, step, &link, head, lib)))
    }

    /// What is to be sent next, before the block is read.
    async fn due(&mut self) -> Result<Due> {
        loop {
            // What changes from here on ends the waiting for a change.
            self.changes.mark_unchanged();
            let planned = match &*self.shared.hub() {
                None => None,
                Some(hub) => {
                    let position = match self.place {
                        Place::Start(start) => begin(start, self.filter.confirmations, hub, &self.shared)?,
                        Place::At(position) => position,
                    };
                    self.place = Place::At(position);
                    Some((position, hub.plan(&position, self.filter), hub.head(), hub.lib()))
                }
            };
            let Some((position, plan, head, lib)) = planned else {
                self.changed().await?;
                continue;
            };
            let what = match plan {
                Plan::Send(step, entry) => What::Send(step, entry),
                Plan::End => What::End,
                Plan::Wait => {
                    self.live = true;
                    What::Wait
                }
                Plan::SendHistory(..) | Plan::Unplaced if self.live => {
                    return Err(Error::TooSlow { cursor: self.last.map(Box::new) });
                }
                Plan::SendHistory(step, number) => What::SendHistory(step, number),
                Plan::Unplaced => match self.shared.standing_of_cursor(position.tip).await? {
                    Standing::OnChain => {
                        self.place = Place::At(Position { settled: true, ..position });
                        continue;
                    }
                    Standing::Lost(entry) => What::Send(Step::Undo, entry),
                    Standing::Unknown => return Err(self.shared.unresolved(position.tip)),
                },
            };
            return Ok(Due { position, what, head, lib });
        }
    }

    /// Whether there is nothing to send now.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        let hub = self.shared.hub();
        let Some(hub) = &*hub else { return true };
        let position = match self.place {
            Place::Start(start) => begin(start, self.filter.confirmations, hub, &self.shared).unwrap(),
            Place::At(position) => position,
        };
        matches!(hub.plan(&position, self.filter), Plan::Wait)
    }

    async fn changed(&mut self) -> Result<()> {
        self.changes.changed().await.map_err(|_| Error::Closed)
    }

    fn advance(&mut self, mut position: Position, step: Step, link: &Link, head: BlockRef, lib: BlockRef) -> FeedStep {
        let this = BlockRef { number: link.number(), id: link.id };
        let is_final = step != Step::Undo && this.number <= lib.number;
        match step {
            Step::New => position.tip = this,
            Step::Undo => position.tip = BlockRef { number: this.number - 1, id: link.previous },
            Step::Irreversible if self.filter.irreversible_only => position.tip = this,
            Step::Irreversible => {}
        }
        if is_final {
            position.lib = this.number;
        }
        position.settled &= step == Step::Irreversible;
        self.place = Place::At(position);
        let cursor = Cursor { step, block: this, tip: position.tip, lib: position.lib };
        self.last = Some(cursor);
        FeedStep { step, block: this, is_final, cursor, head, lib }
    }

    /// A block that is in a bundle, read ahead of this stream alone.
    fn historic_block(&mut self, number: u32) -> BoxFuture<'_, Result<Arc<FeedBlock>>> {
        Box::pin(async move {
            let bundled = self.shared.hub().as_ref().map_or(0, Hub::bundled);
            for _ in 0..2 {
                let history = match &mut self.history {
                    Some(history) if history.next_number() == number => history,
                    _ => {
                        let piece_bytes = self.shared.options.history_piece_bytes;
                        self.history.insert(History::open(&self.shared.store, number, bundled, piece_bytes))
                    }
                };
                match history.block().await {
                    Ok(Some(block)) => return Ok(FeedBlock::new(block, &self.shared.recent)),
                    // Its range ended at the last bundle of the time when it was opened.
                    Ok(None) => self.history = None,
                    Err(error) => {
                        self.history = None;
                        return Err(self.shared.unread(number, error));
                    }
                }
            }
            Err(Error::NotFound(format!("block {number}")))
        })
    }
}

/// Where a stream begins.
fn begin(start: Start, confirmations: u32, hub: &Hub, shared: &Shared) -> Result<Position> {
    let number = match start {
        // Earlier blocks may have joined.
        Start::Block(number) => number.max(shared.options.first_streamable.min(hub.first)),
        Start::Head(below) => hub.confirmed(confirmations).saturating_sub(below).max(hub.first),
        Start::Lib => hub.lib().number.max(hub.first),
        Start::Cursor(cursor) => return Ok(Position { tip: cursor.tip, lib: cursor.lib, settled: false }),
    };
    if number < hub.first {
        return Err(Error::NotFound(format!("block {number} (the first is {})", hub.first)));
    }
    Ok(Position::before(number))
}
