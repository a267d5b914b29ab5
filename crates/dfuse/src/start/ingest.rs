//! Blocks from the source into the feed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use dfuse_antelope::{AbiDump, model::Block};
use dfuse_blocks::{
    Added, Backoff, BlockRef, BlockStore, Clock, EncodedBlock, Error,
    bundle::BUNDLE_BLOCKS,
    feed::{Feed, Keeper},
};
use dfuse_node::{Source, SourceEvent, SourceSpec, nodeos::Nodeos};
use dfuse_trx::ForkedTransactions;
use tokio::{
    sync::mpsc::UnboundedSender,
    time::{Interval, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    conditions::Conditions,
    filtering::Filtering,
    origin::{DEMO_AT_ONCE, Origin},
    pace::Pace,
    source_state::SourceState,
};

/// A source that says nothing for so long has no more for the moment.
const IDLE: Duration = Duration::from_secs(1);
/// A block that is not older than this is live.
const LIVE_AGE: Duration = Duration::from_secs(60);
/// Blocks of that time.
const LIVE_BLOCKS: u32 = 120;
/// Time between two blocks of the demo, as on a real chain.
const DEMO_PACE: Duration = Duration::from_millis(500);
/// How often a long catching up is told of.
const REPORT: Duration = Duration::from_secs(10);
/// How long to wait before a store that failed is tried again, the first time and at most; doubled from time to time.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Names of conditions of readiness.
const SOURCE: &str = "source";
const CONNECTION: &str = "source_connection";
const BLOCK_STORE: &str = "block_store";
const BUNDLES: &str = "bundles";
/// Name of a warning.
const MACHINES: &str = "machines";

/// What taking blocks needs.
pub(crate) struct Ingest {
    pub(crate) origin: Origin,
    pub(crate) source: Source,
    /// Absent if all that the source gives is kept.
    pub(super) filtering: Option<Filtering>,
    pub(crate) feed: Feed,
    pub(crate) store: BlockStore,
    pub(crate) dumps: UnboundedSender<AbiDump>,
    pub(crate) forked: Arc<ForkedTransactions>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) readiness: Arc<Conditions>,
    pub(crate) told: SourceState,
    pub(crate) stop: CancellationToken,
    /// Is told the last block that is there for good, and need not be read again.
    pub(crate) durable: Arc<AtomicU32>,
    /// The block of the snapshot that the indexes begin with, if there is one.
    pub(crate) loaded: Option<BlockRef>,
    /// Number of the first block that the indexes had at the start, if they had any.
    pub(crate) indexed_from: Option<u32>,
    /// Number of the last block that the indexes had at the start.
    pub(crate) committed: u32,
    /// Whether blocks are durable before they are seen.
    pub(crate) live: bool,
    pub(crate) log: LogState,
}

/// Where the log of a supervised node stands to what was taken.
pub(crate) struct LogState {
    nodes: Option<Arc<Nodeos>>,
    /// Number of the first block that is wanted.
    first_block: u32,
    /// ABIs that the source began with, until a block shows that they are wanted: that it is of this chain.
    dumps: Vec<AbiDump>,
    /// What comes is passed over until the log begins anew.
    passing_over: bool,
    /// Number of the head for which the node was taken back: once is enough.
    taken_back_for: Option<u32>,
}

impl LogState {
    pub(crate) fn new(nodes: Option<Arc<Nodeos>>, first_block: u32) -> Self {
        Self { nodes, first_block, dumps: Vec::new(), passing_over: false, taken_back_for: None }
    }
}

/// How taking blocks ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The source has no more.
    Source,
    /// It was told to.
    Stopped,
}

/// What needs the block store.
enum Work {
    Keep(AbiDump),
    Push(EncodedBlock, Option<Arc<Block>>),
    GoLive,
}

/// How far taking blocks has come.
struct Progress {
    /// Whether the source is known to have more blocks than were taken.
    catching_up: bool,
    /// Blocks that were taken.
    taken: u64,
    /// Number of a block that the source has; 0 where it does not say.
    source_has: u32,
    /// When it began.
    began: Duration,
    /// When catching up was told of last.
    reported: Duration,
    /// How long the source let wait for the block at work.
    waited: Duration,
    chain_pace: Pace,
    demo_pace: Interval,
}

impl Progress {
    fn new(catching_up: bool, now: Duration) -> Self {
        let mut demo_pace = interval(DEMO_PACE);
        demo_pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (waited, chain_pace) = (Duration::ZERO, Pace::default());
        Self { catching_up, taken: 0, source_has: 0, began: now, reported: now, waited, chain_pace, demo_pace }
    }
}

impl Progress {
    /// How far it is to what the source has, and how long that takes if it goes on so; nothing where the source does not say.
    fn left(&self, number: u32, now: Duration) -> String {
        let left = self.source_has.saturating_sub(number);
        if left == 0 || self.taken == 0 {
            return String::new();
        }
        let seconds = (now - self.began).as_secs_f64() * f64::from(left) / self.taken as f64;
        format!(" of {} or more, ready in about {seconds:.0} s", self.source_has)
    }
}

impl Ingest {
    /// Says what the server waits for, if it has not all that the indexes have had.
    pub(crate) fn tell_begin(&self) {
        if self.is_behind() {
            self.readiness.fails(SOURCE, "waiting for the first block".to_owned());
        }
    }

    /// Takes blocks until the source ends or this is told to stop. Then all blocks are in files; the feed goes on, for
    /// those who read from it.
    pub(crate) async fn run(mut self) -> anyhow::Result<(Ended, Feed)> {
        // What was there at the start is served at once.
        let mut progress = Progress::new(self.is_behind(), self.clock.elapsed());
        let stop = self.stop.clone();
        let ended = loop {
            let asked = self.clock.elapsed();
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => break Ended::Stopped,
                next = timeout(IDLE, self.source.next()) => next,
            };
            let Ok(event) = next else {
                if self.has_more(&progress) {
                    continue;
                }
                self.caught_up(&mut progress.catching_up).await?;
                continue;
            };
            match event? {
                None => break Ended::Source,
                Some(SourceEvent::LogBegins) => {
                    self.log.passing_over = false;
                    self.log.dumps.clear();
                }
                Some(SourceEvent::AbiDump(dump)) => {
                    if let Some(filtering) = &mut self.filtering {
                        filtering.take_dump(&dump);
                    }
                    self.log.dumps.push(dump);
                }
                Some(SourceEvent::HasUpTo(number)) => {
                    progress.source_has = number;
                    self.told.has_up_to(number);
                }
                Some(SourceEvent::ServedBy(endpoint)) => self.told.is_served_by(endpoint),
                Some(SourceEvent::Interrupted(why)) => {
                    self.told.is_up(why.is_none());
                    self.readiness.set(CONNECTION, why.map_or(Ok(()), Err));
                }
                Some(SourceEvent::Weakened(why)) => self.readiness.set_warning(MACHINES, why),
                Some(SourceEvent::Block { .. }) if self.log.passing_over => {}
                Some(SourceEvent::Block { block, encoded }) => {
                    progress.waited = self.clock.elapsed() - asked;
                    if !self.take(block, &encoded, &mut progress).await? {
                        break Ended::Stopped;
                    }
                }
            }
        };
        if ended == Ended::Stopped && self.readiness.is_failing(BLOCK_STORE).is_none() {
            self.tell_dropped(None);
        }
        self.caught_up(&mut progress.catching_up).await?;
        Ok((ended, self.feed))
    }

    /// Takes a block; false if the process is to stop.
    async fn take(
        &mut self,
        block: Option<Arc<Block>>,
        encoded: &EncodedBlock,
        progress: &mut Progress,
    ) -> anyhow::Result<bool> {
        let number = encoded.number();
        if self.is_before_snapshot(encoded)? {
            return Ok(true);
        }
        let head = self.feed.handle().head();
        if head.is_none() && self.log.nodes.is_some() && !self.may_begin_at(number) {
            return Ok(true);
        }
        if head.is_none() {
            self.must_have_what_is_indexed(number)?;
        }
        self.feed.may_begin_with(encoded)?;
        if head.is_none() && !self.keep_dumps().await? {
            self.tell_dropped(Some(number));
            return Ok(false);
        }
        let is_new = head.is_none_or(|head| number > head.number);
        if matches!(self.origin, Origin::Demo) && number > DEMO_AT_ONCE && is_new {
            if !self.live {
                info!("the rest of the recorded chain comes at two blocks a second");
            }
            self.caught_up(&mut progress.catching_up).await?;
            tokio::select! {
                () = self.stop.cancelled() => return Ok(false),
                _ = progress.demo_pace.tick() => {}
            }
        }
        let (block, encoded) = match &mut self.filtering {
            Some(filtering) => filtering.apply(block, encoded).await?,
            None => (block, encoded.clone()),
        };
        let encoded = &encoded;
        let push = Work::Push(encoded.clone(), block.clone());
        let added = match self.retrying(&push).await {
            Err(error) if is_gap(&error) => {
                self.mend_gap(number, error)?;
                return Ok(true);
            }
            added => added?,
        };
        let Some(added) = added else {
            self.tell_dropped(Some(number));
            return Ok(false);
        };
        self.tell_taken(added);
        self.durable.store(self.feed.resume_number().saturating_sub(1), Ordering::Relaxed);
        // Whether a block that is late is of this chain shows later. Of supervised nodes the chain has its ABIs.
        if self.log.nodes.is_none() && added != Added::Late && !self.keep_dumps().await? {
            return Ok(false);
        }
        // Those that were late before the source had caught up are read together then.
        let is_late =
            added == Added::Late && self.live && self.feed.handle().first_block().is_some_and(|it| number >= it);
        if added == Added::Side || is_late {
            let block = block.map_or_else(|| encoded.decode().map(Arc::new), Ok)?;
            self.forked.undone(&block);
        }
        self.tell_progress(encoded, progress).await?;
        Ok(true)
    }

    /// Whether the block is passed over, since the state that was loaded has what it did, or is of another fork.
    fn is_before_snapshot(&self, block: &EncodedBlock) -> anyhow::Result<bool> {
        let Some(loaded) = self.loaded else { return Ok(false) };
        let (handle, number) = (self.feed.handle(), block.number());
        if number <= loaded.number {
            return Ok(handle.first_block().is_none_or(|first| first > loaded.number));
        }
        if handle.head().is_some() {
            return Ok(false);
        }
        if number == loaded.number + 1 {
            let is_next = block.previous() == loaded.id;
            if !is_next {
                warn!(block = %block.id(), snapshot = %loaded.id, "this block does not follow that of the snapshot, and is passed over");
            }
            return Ok(!is_next);
        }
        anyhow::bail!(
            "the snapshot is of block {} {}, and the source has no block {} that follows it, but block {number}: take a source \
             that has it, or a snapshot of the same chain that the source goes on from, in an empty data directory",
            loaded.number,
            loaded.id,
            loaded.number + 1
        )
    }

    /// Says how far the feed is, and whether it has caught up with its source.
    async fn tell_progress(&mut self, block: &EncodedBlock, progress: &mut Progress) -> anyhow::Result<()> {
        let (number, now) = (block.number(), self.clock.elapsed());
        progress.taken += 1;
        let is_all = progress.catching_up
            && progress.chain_pace.is_that_of_the_chain(now, progress.waited, block.time().to_unix_ms());
        if is_all {
            info!(block = number, "old blocks come as fast as they were made: the source has no others");
        }
        if is_all || self.is_live(block, progress) {
            self.caught_up(&mut progress.catching_up).await?;
        } else if progress.catching_up {
            self.readiness.fails(SOURCE, format!("catching up, at block {number}{}", progress.left(number, now)));
        }
        if progress.catching_up && now - progress.reported >= REPORT {
            info!(block = number, taken = progress.taken, "catching up{}", progress.left(number, now));
            progress.reported = now;
        }
        Ok(())
    }

    /// Says what the process, which is told to stop, has got from its source and does not keep: from `refused` on, a block
    /// that cannot be stored, or what is left in the pipe.
    fn tell_dropped(&self, refused: Option<u32>) {
        let handle = self.feed.handle();
        let (head, lib) = (handle.head().map_or(0, |head| head.number), handle.lib().map_or(0, |lib| lib.number));
        let unread_bytes = self.source.queue().map_or(0, |queue| queue.state().bytes);
        let again = match &self.origin {
            Origin::Nodeos => "the node is taken back when dfuse starts again".to_owned(),
            Origin::Spec(SourceSpec::StandardInput) => {
                format!("restart the node from a snapshot at or below block {lib}, or have it replay its blocks")
            }
            Origin::Demo | Origin::Machines | Origin::Spec(_) => {
                "they are read again when dfuse starts again".to_owned()
            }
        };
        match (refused, self.readiness.is_failing(BLOCK_STORE)) {
            (Some(block), Some(why)) => error!(
                block,
                head,
                unread_bytes,
                error = why,
                "dropped: this block and all that the source gave after it, which cannot be stored; {again}"
            ),
            _ if unread_bytes > 0 => {
                warn!(head, unread_bytes, "dropped: what the log has after the head; {again}");
            }
            _ => {}
        }
    }

    /// Keeps the dumps that came, and offers them to the indexes; false if the process is to stop.
    async fn keep_dumps(&mut self) -> anyhow::Result<bool> {
        for dump in std::mem::take(&mut self.log.dumps) {
            let kept = self.retrying(&Work::Keep(dump.clone())).await?.is_some();
            // The receiver goes when the process stops.
            let _ = self.dumps.send(dump);
            if !kept {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells the supervised nodes how far they can be taken back at most.
    fn tell_taken(&mut self, added: Added) {
        let Some(nodes) = &self.log.nodes else { return };
        nodes.set_taken(Some(self.feed.handle().lib().map_or(0, |lib| lib.number)));
        if !matches!(added, Added::Known | Added::Late) {
            self.log.taken_back_for = None;
        }
    }

    /// Whether the history that is kept can begin with this block of a supervised node. The node is taken back to where the
    /// history is to begin if it can, else the history begins with the next hundred.
    fn may_begin_at(&mut self, number: u32) -> bool {
        let first = self.log.first_block;
        if number <= first {
            return number == first;
        }
        let Some(nodes) = &self.log.nodes else { return true };
        if self.log.taken_back_for.is_none() {
            self.log.taken_back_for = Some(0);
            match nodes.rewind(first.saturating_sub(1)) {
                Ok(()) => {
                    warn!(block = number, first, "the node is behind the first block, and is taken back to it");
                    self.log.passing_over = true;
                    return false;
                }
                Err(error) => {
                    warn!(block = number, first, %error, "the history that is kept begins later than at the first block");
                }
            }
        }
        number.is_multiple_of(BUNDLE_BLOCKS)
    }

    /// The block files are gone, and the source is to write them again: from where the indexes begin.
    fn must_have_what_is_indexed(&self, number: u32) -> anyhow::Result<()> {
        match self.indexed_from.filter(|first| number > *first) {
            None => Ok(()),
            Some(first) => anyhow::bail!(
                "there are no block files, the source begins with block {number}, and the indexes with block {first}: restore \
                 the block files, take a source that has block {first}, or name another directory with --data-dir"
            ),
        }
    }

    /// Blocks are missing between those that were taken and this one.
    fn mend_gap(&mut self, number: u32, error: anyhow::Error) -> anyhow::Result<()> {
        let handle = self.feed.handle();
        let (head, lib) = (handle.head().map_or(0, |head| head.number), handle.lib().map_or(0, |lib| lib.number));
        let gap = format!("blocks between {head} and {number} are missing in the log");
        match (&self.log.nodes, &self.origin) {
            (Some(nodes), _) if self.log.taken_back_for != Some(head) => {
                self.log.taken_back_for = Some(head);
                self.log.passing_over = true;
                warn!(head, block = number, "the node is ahead of what was taken of its log, and is taken back");
                nodes.rewind(lib).with_context(|| gap)
            }
            (Some(_), _) => Err(error).context(format!("{gap}, also after the node was taken back")),
            (None, Origin::Spec(SourceSpec::StandardInput)) => Err(error).context(format!(
                "{gap}; restart the node from a snapshot at or below block {lib}, or have it replay its blocks"
            )),
            _ => Err(error),
        }
    }

    /// Whether the source has said that it has blocks that did not come yet.
    fn has_more(&self, progress: &Progress) -> bool {
        self.feed.handle().head().map_or(0, |head| head.number) < progress.source_has
    }

    /// Whether there is no block, or the indexes have blocks that were lost with a kill.
    fn is_behind(&self) -> bool {
        self.feed.handle().head().is_none_or(|head| head.number < self.committed)
    }

    /// Whether a block is live by its age; by the clock of a machine that is behind, blocks that are old are not, so one far below what
    /// the source has is not live in any case.
    fn is_live(&self, block: &EncodedBlock, progress: &Progress) -> bool {
        let age = self.clock.now().as_millis() as i64 - block.time().to_unix_ms();
        age < LIVE_AGE.as_millis() as i64 && progress.source_has.saturating_sub(block.number()) <= LIVE_BLOCKS
    }

    /// From now on blocks are durable before they are seen.
    async fn caught_up(&mut self, catching_up: &mut bool) -> anyhow::Result<()> {
        if !self.live {
            tokio::select! {
                () = self.stop.cancelled() => {}
                written = self.feed.bundles_written() => written?,
            }
            self.live = self.retrying(&Work::GoLive).await?.is_some();
            if let Err(error) = self.forked.take_lost(&self.feed.handle()).await {
                warn!(%error, "blocks that lost cannot be read; their transactions are not known as pending");
            }
        }
        if !self.is_behind() {
            self.readiness.holds(SOURCE);
            *catching_up = false;
        }
        Ok(())
    }

    async fn attempt(&mut self, work: &Work) -> Result<Added, Error> {
        match work {
            // It comes from the store that others write.
            Work::Keep(_) if matches!(self.origin, Origin::Machines) => {}
            Work::Keep(dump) => self.store.write_abi_dump(dump.clone()).await?,
            Work::Push(encoded, Some(block)) => return self.feed.push_decoded(encoded.clone(), block.clone()).await,
            Work::Push(encoded, None) => return self.feed.push(encoded.clone()).await,
            Work::GoLive => self.feed.go_live().await?,
        }
        Ok(Added::Known)
    }

    /// Does `work` again and again as long as the store fails; nothing if the process is to stop first.
    async fn retrying(&mut self, work: &Work) -> anyhow::Result<Option<Added>> {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            let failure = match self.attempt(work).await {
                Ok(added) => {
                    self.readiness.holds(BLOCK_STORE);
                    return Ok(Some(added));
                }
                Err(failure @ Error::Store { .. }) => failure,
                Err(failure) => return Err(failure.into()),
            };
            let pause = backoff.next_pause();
            self.readiness.fails(BLOCK_STORE, failure.to_string());
            error!(error = %failure, "blocks cannot be stored, trying again in {} s", pause.as_secs());
            tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                () = sleep(pause) => {}
            }
        }
    }
}

/// Whether blocks before the refused one are missing.
fn is_gap(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::Unlinked { .. }))
}

/// Keeps bundles until the feed has ended; a store that fails is tried again.
pub(crate) async fn keep(
    mut keeper: Keeper,
    readiness: Arc<Conditions>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        readiness.holds(BUNDLES);
        let failure = match keeper.run().await {
            Ok(()) => return Ok(()),
            Err(failure @ Error::Store { .. }) => failure,
            Err(failure) => return Err(failure.into()),
        };
        let pause = backoff.next_pause();
        readiness.fails(BUNDLES, failure.to_string());
        error!(error = %failure, "bundles cannot be written, trying again in {} s", pause.as_secs());
        tokio::select! {
            // Blocks stay in one-block files.
            () = stop.cancelled() => return Ok(()),
            () = sleep(pause) => {}
        }
    }
}
