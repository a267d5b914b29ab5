//! The parts of the process at work: who watches them, and how they end.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context;
use dfuse_blocks::feed::{Feed, FeedHandle};
use dfuse_index::Serving;
use dfuse_node::nodeos::Nodeos;
use futures::FutureExt;
use tokio::{
    task::{Id, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{conditions::Conditions, ingest::Ended, signals::Signals};
use crate::failure::one_line;

/// How often it is looked whether the indexes have come to the end of the chain.
const POLL: Duration = Duration::from_millis(50);
/// How long what supervised nodes have logged may take to be taken, once they have stopped.
const LAST_BLOCKS: Duration = Duration::from_secs(30);

/// The part that takes blocks.
const INGEST: &str = "taking blocks";

/// What runs. Each part is a task that ends when it is told to stop, and says by itself what it could not do.
pub(super) struct Parts {
    tasks: JoinSet<End>,
    names: HashMap<Id, &'static str>,
    ingest: Ingest,
    stop: CancellationToken,
    feed: FeedHandle,
    /// Absent without indexes.
    serving: Option<Arc<Serving>>,
    conditions: Arc<Conditions>,
    /// How long clients are served that do not know yet that this process leaves.
    drain: Duration,
    nodes: Option<Arc<Nodeos>>,
}

/// How a part ended.
enum End {
    /// Taking blocks, which hands the feed back.
    Ingest(Box<anyhow::Result<(Ended, Feed)>>),
    /// The part of that name.
    Part(&'static str, anyhow::Result<()>),
}

/// Where taking blocks stands.
enum Ingest {
    AtWork,
    Ended(Box<Feed>),
    /// It took the feed with it.
    Failed,
}

impl Parts {
    /// Nothing runs yet. Parts are told to stop by that token.
    pub(super) fn new(
        stop: CancellationToken,
        (feed, serving): (FeedHandle, Option<Arc<Serving>>),
        (conditions, drain): (Arc<Conditions>, Duration),
        nodes: Option<Arc<Nodeos>>,
    ) -> Self {
        let (tasks, names) = (JoinSet::new(), HashMap::new());
        Self { tasks, names, ingest: Ingest::AtWork, stop, feed, serving, conditions, drain, nodes }
    }

    /// Runs a part. One that ends before it is told to ends the process, unless it says that all is done.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        part: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        // In a box: tokio compiles what is spawned several times.
        let part = part.boxed();
        let task = self.tasks.spawn(async move { End::Part(name, part.await) }.boxed());
        self.names.insert(task.id(), name);
    }

    /// Runs the part that takes blocks.
    pub(super) fn spawn_ingest(&mut self, part: impl Future<Output = anyhow::Result<(Ended, Feed)>> + Send + 'static) {
        let task = self.tasks.spawn(async move { End::Ingest(Box::new(part.await)) }.boxed());
        self.names.insert(task.id(), INGEST);
    }

    /// Waits for a reason to end, then ends every part in order. A second signal ends the process at once.
    pub(super) async fn supervise(mut self, signals: &mut Signals, exit_at_end: bool) -> anyhow::Result<()> {
        let result = self.until_reason_to_end(signals, exit_at_end).await;
        tokio::select! {
            stopped = self.stop() => result.and(stopped),
            signal = signals.next() => Err(result.err().unwrap_or_else(|| {
                anyhow::anyhow!("a second signal, {signal}, ended the process before it had stopped cleanly; nothing is lost")
            })),
        }
    }

    async fn until_reason_to_end(&mut self, signals: &mut Signals, exit_at_end: bool) -> anyhow::Result<()> {
        let mut is_ready = false;
        loop {
            let has_all = matches!(self.ingest, Ingest::Ended(_));
            tokio::select! {
                signal = signals.next() => {
                    info!(signal, "dfuse stops");
                    self.let_clients_leave(signals).await;
                    return Ok(());
                }
                Some(end) = self.next_end() => self.take_end(end, exit_at_end).await?,
                () = sleep(POLL), if !is_ready || exit_at_end && has_all => {
                    if !is_ready && self.conditions.all_hold() && self.is_indexed() {
                        is_ready = true;
                        info!(head = self.feed.head().map(|head| head.number), "ready");
                    }
                    if exit_at_end && has_all && self.is_indexed() {
                        info!("all blocks are indexed, dfuse stops");
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Tells load balancers that this process leaves, and goes on until they know.
    async fn let_clients_leave(&self, signals: &mut Signals) {
        if self.drain.is_zero() {
            return;
        }
        self.conditions.fails("running", "the server is going away".to_owned());
        tokio::select! {
            () = sleep(self.drain) => {}
            signal = signals.next() => info!(signal, "a second signal, nobody is waited for"),
        }
    }

    /// The next part that ends.
    async fn next_end(&mut self) -> Option<End> {
        let end = self.tasks.join_next().await?;
        Some(end.unwrap_or_else(|panic| {
            let name = self.names.get(&panic.id()).copied().unwrap_or_default();
            if let Ingest::AtWork = self.ingest
                && name == INGEST
            {
                return End::Ingest(Box::new(Err(panic.into())));
            }
            End::Part(name, Err(panic.into()))
        }))
    }

    /// Whether the process goes on without the part that has ended; the error says why not.
    async fn take_end(&mut self, end: End, exit_at_end: bool) -> anyhow::Result<()> {
        match end {
            End::Ingest(ended) => {
                if self.take_feed(*ended)? == Ended::Source {
                    let head = self.feed.head().map_or(0, |head| head.number);
                    let goes_on = if exit_at_end { "" } else { ", the server goes on" };
                    info!(head, "the source has no more blocks{goes_on}");
                }
                Ok(())
            }
            End::Part(_, Ok(())) => Ok(()),
            // Parts fail for want of the feed, too. Then taking blocks says why.
            End::Part(name, Err(error)) => match timeout(POLL, self.end_of_ingest()).await {
                Ok(Err(cause)) => Err(cause),
                _ => Err(error.context(format!("{name} has failed"))),
            },
        }
    }

    fn take_feed(&mut self, ended: anyhow::Result<(Ended, Feed)>) -> anyhow::Result<Ended> {
        match ended {
            Ok((ended, feed)) => {
                self.ingest = Ingest::Ended(Box::new(feed));
                Ok(ended)
            }
            Err(error) => {
                self.ingest = Ingest::Failed;
                Err(error)
            }
        }
    }

    /// Waits until taking blocks has ended, if it has not, and says what it failed with.
    async fn end_of_ingest(&mut self) -> anyhow::Result<()> {
        while matches!(self.ingest, Ingest::AtWork)
            && let Some(end) = self.next_end().await
        {
            match end {
                End::Ingest(ended) => drop(self.take_feed(*ended)?),
                End::Part(name, result) => tell_failure(name, result),
            }
        }
        Ok(())
    }

    /// Whether the indexes have all that the feed has.
    fn is_indexed(&self) -> bool {
        let Some(serving) = &self.serving else { return true };
        let (snapshot, lib) = (serving.snapshot(), self.feed.lib());
        // Before the first block is final, nothing is.
        let none_final = lib.map(|lib| lib.number) < self.feed.first_block();
        snapshot.head() == self.feed.head() && (none_final || snapshot.lib() == lib)
    }

    /// Ends every part; what one fails with does not keep the others.
    async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(nodes) = self.nodes.clone() {
            // First, so that all that they log is taken.
            nodes.stop().await;
            if let Ok(Err(error)) = timeout(LAST_BLOCKS, self.end_of_ingest()).await {
                tell_failure(INGEST, Err(error));
            }
        }
        self.stop.cancel();
        tell_failure(INGEST, self.end_of_ingest().await);
        let mut result = Ok(());
        if let Ingest::Ended(feed) = std::mem::replace(&mut self.ingest, Ingest::Failed) {
            result = close(*feed).await;
        }
        while let Some(end) = self.next_end().await {
            if let End::Part(name, result) = end {
                tell_failure(name, result);
            }
        }
        result
    }
}

fn tell_failure(name: &'static str, result: anyhow::Result<()>) {
    if let Err(error) = result {
        warn!(error = %one_line(&error), "{name} has failed while dfuse stops");
    }
}

async fn close(feed: Feed) -> anyhow::Result<()> {
    let unwritten = feed.unwritten();
    feed.close().await.with_context(|| match unwritten {
        Some(numbers) => {
            let (first, last) = numbers.into_inner();
            format!("dropped: blocks {first} to {last}, which could not be written; the source must repeat them")
        }
        None => "the last blocks were not written; the source must repeat them".to_owned(),
    })
}
