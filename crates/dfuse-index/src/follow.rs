//! Drives a pipeline with the steps of a stream.

use std::{pin::pin, sync::Arc, time::Duration};

use dfuse_antelope::{AbiDump, BlockTimestamp, model::Block};
use dfuse_blocks::{
    Backoff, BlockRef, Cursor, Step,
    feed::{FeedEvent, FeedHandle, Start, Subscription},
};
use futures::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, PollNext},
};
use tokio::time::{Instant, sleep_until};

use crate::{Error, Pipeline, Result, reindex::blocking};

/// Steps that are taken in one go if they are there.
const READY_STEPS: usize = 64;
/// Blocks that are decoded ahead of the one at work.
const DECODED_AHEAD: usize = 8;
/// How long final blocks are gathered for one commit, at most.
const COMMIT_DELAY: Duration = Duration::from_millis(100);
/// How long to wait before the store is tried again, the first time and at most; doubled from time to time.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What happened to the chain.
#[derive(Debug, Clone)]
pub enum ChainStep {
    /// The block follows the head.
    New {
        /// The block.
        block: Arc<Block>,
        /// It is irreversible already, and no other step says so.
        is_final: bool,
    },
    /// The head is undone.
    Undo(BlockRef),
    /// Everything up to this block is irreversible.
    Irreversible(BlockRef),
    /// A node told the ABIs that it had when it started.
    AbiDump(AbiDump),
}

/// Learns what happens to the chain before the indexes do.
pub trait ChainObserver: Sync {
    /// The block is about to be undone.
    fn undone(&self, block: &Block);

    /// A block of this time is about to be final.
    fn finalized(&self, time: BlockTimestamp);
}

/// Follows a feed from the committed block on, and acknowledges what is committed, so that the feed may give it up. See
/// [`follow`].
///
/// ABI dumps are taken before the blocks that come into the feed after them. When `until` is done, the pipeline comes back
/// at its last step.
///
/// A feed that catches up may be behind what is committed after a kill, or on a branch that lost: then this waits until its
/// source has repeated what makes the committed block final. The feed must know that block; otherwise the error is that of
/// its cursor.
pub async fn follow_feed(
    pipeline: Pipeline,
    feed: &FeedHandle,
    dumps: impl Stream<Item = AbiDump> + Send,
    observer: &dyn ChainObserver,
    until: impl Future<Output = ()> + Send,
) -> Result<Pipeline> {
    let committer = feed.committer("index");
    let mut until = pin!(until);
    // The block of a snapshot is not in the feed.
    let start = match pipeline.committed().filter(|block| pipeline.loaded() != Some(*block)) {
        Some(block) => {
            committer.acknowledge(block);
            tokio::select! {
                reached = feed.finalizes(block.number) => reached?,
                () = &mut until => return Ok(pipeline),
            }
            Start::Cursor(Cursor { step: Step::New, block, tip: block, lib: block.number })
        }
        // Blocks of before the snapshot may have joined those of the feed.
        None => {
            let after = pipeline.loaded().map_or(0, |loaded| loaded.number.saturating_add(1));
            Start::Block(feed.first_block().unwrap_or(0).max(after))
        }
    };
    let subscription = feed.subscribe(start).await?;
    let dumps = dumps.map(|dump| Ok(ChainStep::AbiDump(dump)));
    let events = stream::try_unfold(subscription, async |mut subscription: Subscription| {
        Ok::<_, Error>(subscription.next().await?.map(|event| (event, subscription)))
    });
    let decoded = events.map_ok(|event| async {
        let block = match event.step {
            Step::New | Step::Undo => Some(event.block.block().await?),
            Step::Irreversible => None,
        };
        Ok((event, block))
    });
    let blocks = decoded.try_buffered(DECODED_AHEAD).map_ok(|(event, block)| chain_step(&event, block, observer));
    let dumps_first = |(): &mut ()| PollNext::Left;
    let steps = stream::select_with_strategy(dumps, blocks, dumps_first).take_until(until);
    follow(pipeline, steps, |block| committer.acknowledge(block)).await
}

/// The step of an event, whose block was decoded unless it is only final now.
fn chain_step(event: &FeedEvent, decoded: Option<Arc<Block>>, observer: &dyn ChainObserver) -> ChainStep {
    let block = BlockRef::from(event.block.encoded());
    if event.is_final || event.step == Step::Irreversible {
        observer.finalized(event.block.encoded().time());
    }
    match (event.step, decoded) {
        (Step::New, Some(block)) => ChainStep::New { block, is_final: event.is_final },
        (Step::Undo, Some(decoded)) => {
            observer.undone(&decoded);
            ChainStep::Undo(block)
        }
        _ => ChainStep::Irreversible(block),
    }
}

/// Puts steps into a pipeline until the stream ends, and tells how far blocks are committed, at the beginning too. Returns
/// the pipeline.
///
/// Work is done on the runtime's blocking threads, as many steps at a time as are there. Blocks that come as final are
/// committed together, those of a tenth of a second or of [`Options::batch_bytes`](crate::Options::batch_bytes). While the
/// store takes no writes it is tried again after pauses of a second up to a minute; meanwhile steps go on until memory is
/// full.
///
/// # Errors
/// The first one of the stream or of the pipeline, except [`Error::Overloaded`]. Everything that was committed is there.
pub async fn follow<E: Into<Error>>(
    mut pipeline: Pipeline,
    steps: impl Stream<Item = Result<ChainStep, E>> + Send,
    mut committed: impl FnMut(BlockRef) + Send,
) -> Result<Pipeline> {
    let mut steps = pin!(steps.ready_chunks(READY_STEPS));
    let mut waiting: Vec<ChainStep> = Vec::new();
    let mut told = None;
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    // When to try the store again.
    let mut retry = None;
    // When to commit what was gathered.
    let mut due = None;
    let mut ended = false;
    loop {
        if pipeline.committed() != told {
            told = pipeline.committed();
            told.into_iter().for_each(&mut committed);
        }
        let stalled = pipeline.is_stalled();
        if !stalled {
            backoff.reset();
            retry = None;
        } else if retry.is_none() {
            retry = Some(Instant::now() + backoff.next_pause());
        }
        if due.is_some_and(|due| ended || due <= Instant::now()) {
            pipeline = blocking(move || pipeline.flush().map(|()| pipeline)).await?;
            due = None;
            continue;
        }
        if ended && waiting.is_empty() && !stalled {
            return Ok(pipeline);
        }
        let full = stalled && !waiting.is_empty();
        tokio::select! {
            chunk = steps.next(), if !ended && waiting.is_empty() => match chunk {
                Some(chunk) => waiting = chunk.into_iter().collect::<Result<_, E>>().map_err(Into::into)?,
                None => ended = true,
            },
            () = async { sleep_until(retry.unwrap_or_else(Instant::now)).await }, if stalled => {
                pipeline = blocking(move || pipeline.resume().map(|()| pipeline)).await?;
                retry = None;
                continue;
            }
            () = async { sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {}
            () = std::future::ready(()), if !waiting.is_empty() && !full => {}
        }
        if !waiting.is_empty() && !full {
            let work = std::mem::take(&mut waiting);
            let has_gathered = due.is_some();
            let taken;
            (pipeline, taken) = blocking(move || take(pipeline, work, has_gathered)).await?;
            waiting = taken.left;
            due = taken.has_gathered.then(|| due.unwrap_or_else(|| Instant::now() + COMMIT_DELAY));
        }
    }
}

/// What became of some steps.
struct Taken {
    /// Those that there was no memory for.
    left: Vec<ChainStep>,
    /// Whether final blocks wait to be committed.
    has_gathered: bool,
}

/// Puts steps into the pipeline.
fn take(mut pipeline: Pipeline, mut steps: Vec<ChainStep>, mut has_gathered: bool) -> Result<(Pipeline, Taken)> {
    for at in 0..steps.len() {
        let is_final = matches!(steps[at], ChainStep::New { is_final: true, .. });
        if has_gathered && !is_final {
            pipeline.flush()?;
        }
        has_gathered = is_final;
        let taken = match &steps[at] {
            ChainStep::New { block, is_final: true } => pipeline.append_final(block).map(drop),
            ChainStep::New { block, is_final: false } => pipeline.apply(block).map(drop),
            ChainStep::Undo(block) => pipeline.undo(*block),
            // One commit for what becomes final at once.
            ChainStep::Irreversible(_) if matches!(steps.get(at + 1), Some(ChainStep::Irreversible(_))) => Ok(()),
            ChainStep::Irreversible(block) => pipeline.finalize(*block),
            ChainStep::AbiDump(dump) => pipeline.abi_dump(dump.clone()),
        };
        match taken {
            Ok(()) => {}
            Err(Error::Overloaded { .. }) => return Ok((pipeline, Taken { left: steps.split_off(at), has_gathered })),
            Err(error) => return Err(error),
        }
    }
    Ok((pipeline, Taken { left: Vec::new(), has_gathered }))
}
