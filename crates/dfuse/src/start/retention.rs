//! Removes what is kept no longer, while everything else goes on.

use std::{sync::Arc, time::Duration};

use dfuse_antelope::BlockTimestamp;
use dfuse_blocks::{BlockStore, feed::FeedHandle};
use dfuse_index::{
    Family, Floors, Index, IndexState, Part, Pipeline, Result, Serving, ServingSnapshot, SharedFloors, Sweep,
    blocks::{self, TimeMatch},
};
use tokio::{task::spawn_blocking, time::sleep};
use tracing::{info, warn};

use super::{conditions::Conditions, settings::Keep};
use crate::indexes::IndexStore;

/// Floors rise when a part of what is kept has become superfluous: everything is looked through then.
const SHARE: u32 = 8;
/// Blocks that must become final before it is looked again whether floors are to rise.
const LOOK_EVERY: u32 = 20;
/// Between two steps of a sweep, so that requests and blocks are not held up.
const PAUSE: Duration = Duration::from_millis(5);
/// How long to wait after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// Half seconds of a day.
const DAY_SLOTS: u32 = 2 * 24 * 60 * 60;

/// The name of the warning in `/healthz`.
const RETENTION: &str = "retention";

/// What retention works on.
pub(super) struct Retention {
    pub(super) keep: [(Part, Keep); 4],
    pub(super) store: IndexStore,
    pub(super) floors: Arc<SharedFloors>,
    pub(super) serving: Arc<Serving>,
    pub(super) files: BlockStore,
    pub(super) feed: FeedHandle,
    pub(super) indexes: Vec<Arc<dyn Index>>,
    pub(super) conditions: Arc<Conditions>,
}

/// The lowest block that is to be kept of a part, if anything of before may go.
fn wanted(snapshot: &ServingSnapshot, keep: Keep) -> Result<Option<u32>> {
    let Some(lib) = snapshot.lib() else { return Ok(None) };
    Ok(match keep {
        Keep::All => None,
        Keep::Blocks(count) => (lib.number + 1).checked_sub(count),
        // By the time of the chain: that of the machine may jump.
        Keep::Days(count) => {
            let view = snapshot.view();
            let Some(last) = blocks::by_number(view, lib.number)? else { return Ok(None) };
            match last.time.0.checked_sub(count.saturating_mul(DAY_SLOTS)) {
                Some(slot) => {
                    blocks::by_time(view, BlockTimestamp(slot), TimeMatch::AtOrAfter)?.map(|block| block.number)
                }
                None => None,
            }
        }
    })
}

/// The floors that are to be, of which some are higher than they are.
fn higher(snapshot: &ServingSnapshot, keep: &[(Part, Keep)], floors: Floors, feed: &FeedHandle) -> Result<Floors> {
    let lib = snapshot.lib().map_or(0, |lib| lib.number);
    let first = blocks::range(snapshot.view(), 0..=u32::MAX, dfuse_kv::Direction::Forward)?.next().transpose()?;
    let first = first.map_or(u32::MAX, |block| block.number);
    let mut raised = floors;
    for (part, keep) in keep {
        let Some(floor) = wanted(snapshot, *keep)?.filter(|floor| *floor > first) else { continue };
        let step = ((lib - floor.min(lib)) / SHARE).max(1);
        if floor.saturating_sub(floors.get(*part).max(first)) < step {
            continue;
        }
        let floor = match part {
            // By whole bundles.
            Part::BlockFiles => feed.forget_below(floor).filter(|kept| *kept > first).unwrap_or(0),
            Part::State | Part::Search | Part::Transactions => floor,
        };
        raised = raised.raised(*part, floor);
    }
    Ok(raised)
}

/// Raises floors before anything is served, for settings that were changed since: without new blocks they would not rise.
pub(super) fn raise_at_start(pipeline: &mut Pipeline, keep: &[(Part, Keep)], feed: &FeedHandle) -> Result<()> {
    feed.was_kept_from(pipeline.floors().get().get(Part::BlockFiles));
    if !all_live(pipeline.serving()) {
        return Ok(());
    }
    let floors = pipeline.floors().clone();
    let raised = higher(&pipeline.serving().snapshot(), keep, floors.get(), feed)?;
    if raised != floors.get() {
        floors.raise(&**pipeline.store(), raised)?;
        pipeline.take_floors()?;
    }
    Ok(())
}

/// An index that is being built needs the blocks.
fn all_live(serving: &Serving) -> bool {
    serving.status().indexes.iter().all(|index| index.state == IndexState::Live)
}

impl Retention {
    /// Works until it is dropped.
    pub(super) async fn run(self) {
        let this = Arc::new(self);
        let mut changes = this.serving.changes();
        let mut looked_at = None;
        loop {
            let lib = this.serving.snapshot().lib().map_or(0, |lib| lib.number);
            let is_due = looked_at.is_none_or(|last| lib >= last + LOOK_EVERY) || this.floors.is_to_be_swept();
            if is_due && all_live(&this.serving) {
                match this.clone().look().await {
                    Ok(()) => {
                        looked_at = Some(lib);
                        this.conditions.set_warning(RETENTION, None);
                    }
                    Err(error) => {
                        warn!(error = %format!("{error:#}"), "what is kept no longer cannot be removed, trying again in 60 s");
                        this.conditions.warn(RETENTION, format!("what is kept no longer cannot be removed: {error:#}"));
                        sleep(AFTER_FAILURE).await;
                        continue;
                    }
                }
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Raises floors if it is time, and removes what is below them.
    async fn look(self: Arc<Self>) -> anyhow::Result<()> {
        let this = self.clone();
        let floors = spawn_blocking(move || {
            let raised = higher(&this.serving.snapshot(), &this.keep, this.floors.get(), &this.feed)?;
            this.floors.raise(&*this.store.current(), raised)?;
            Ok::<_, dfuse_index::Error>(this.floors.get())
        });
        let floors = floors.await??;
        if !self.floors.is_to_be_swept() {
            return Ok(());
        }
        // From now on nobody asks for what goes.
        self.serving.take_floors(floors);
        let kept = floors.get(Part::BlockFiles);
        // A start that was interrupted may have left some.
        self.feed.forget_below(kept);
        let bundles = if kept > 0 { self.files.delete_bundles_below(kept).await? } else { 0 };
        let sweep = self.clone().sweep(floors).await?;
        let this = self.clone();
        spawn_blocking(move || this.floors.swept(&*this.store.current(), floors)).await??;
        info!(
            state = floors.get(Part::State),
            search = floors.get(Part::Search),
            transactions = floors.get(Part::Transactions),
            block_files = kept,
            bundles,
            entries = sweep,
            "removed what is kept no longer; these are the lowest blocks now"
        );
        Ok(())
    }

    /// Removes entries below the floors, and gives their space back. Returns how many there were.
    async fn sweep(self: Arc<Self>, floors: Floors) -> anyhow::Result<u64> {
        let this = self.clone();
        let begun = spawn_blocking(move || {
            let snapshot = this.serving.snapshot();
            Sweep::new(&this.indexes, floors, snapshot.view(), snapshot.lacks_older_state())
        });
        let mut sweep = begun.await??;
        let mut has_more = true;
        while has_more {
            let store = self.store.current();
            (sweep, has_more) = spawn_blocking(move || {
                let more = sweep.step(&*store)?;
                Ok::<_, dfuse_index::Error>((sweep, more))
            })
            .await??;
            sleep(PAUSE).await;
        }
        for family in sweep.worth_rewriting().iter().copied().map(Family::name) {
            let store = self.store.current();
            spawn_blocking(move || store.compact_keyspace(store.keyspace(family)?)).await??;
        }
        Ok(sweep.removed())
    }
}
