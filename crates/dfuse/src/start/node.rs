//! The parts of the process, and how they begin and end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use dfuse_antelope::Checksum256;
use dfuse_api::Endpoints;
use dfuse_blocks::{
    CursorKey, SystemClock, SystemEntropy,
    feed::{Feed, FeedHandle, FeedOptions, Mode},
};
use dfuse_http::{Api, Server};
use dfuse_index::{Options, Pipeline, Serving};
use dfuse_kv::{Durability, EngineOptions};
use dfuse_node::{Source, nodeos::Nodeos};
use dfuse_query::{Chain, GateAccess, Service};
use dfuse_search::{SearchIndex, TermOptions};
use dfuse_trx::ForkedTransactions;
use futures::{StreamExt, stream};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{
    DataDir, Settings, access,
    conditions::Conditions,
    descriptors::Shares,
    index::Indexing,
    ingest::{Ended, Ingest, LogState, keep},
    nodes,
    origin::Origin,
    repair,
};
use crate::{
    failure::{one_line, usage},
    indexes::{IndexStore, indexes},
};

/// How often it is looked whether the indexes have come to the end of the chain.
const POLL: Duration = Duration::from_millis(50);
/// How long what supervised nodes have logged may take to be taken, once they have stopped.
const LAST_BLOCKS: Duration = Duration::from_secs(30);

/// Runs until a signal, until the source has ended if that is wanted, or until something fails.
pub(crate) async fn run(settings: &Settings, shares: &Shares) -> anyhow::Result<()> {
    let origin = Origin::parse(&settings.source)?;
    let chain_id = origin.chain_id(settings)?;
    // What is wrong with them is said before anything begins.
    settings.chain_api.options(None, shares)?;
    let terms = settings.search.options()?;
    settings.websocket.options()?;
    if settings.http.readers == Some(0) {
        return Err(usage("http.readers must be 1 or more"));
    }
    address(&settings.grpc_listen)?;
    settings.access.options(address(&settings.listen)?)?;
    let listener = listen(&settings.listen).await?;
    let mut signals = Signals::new()?;
    let data_dir = match (&settings.data_dir, &origin) {
        (None, Origin::Demo) => DataDir::temporary()?,
        (path, _) => DataDir::open(path.as_deref())?,
    };
    info!(
        version = env!("CARGO_PKG_VERSION"),
        source = settings.source,
        data_dir = %data_dir.path().display(),
        open_files = shares.limit,
        connections = shares.connections,
        "dfuse starts"
    );
    let clock = Arc::new(SystemClock::new());
    if !matches!(origin, Origin::Nodeos) {
        let given = Given { origin, chain_id, terms, listener, data_dir, clock, nodes: None };
        return run_parts(settings, shares, given, &mut signals).await;
    }
    // They start while all else is opened.
    let (nodes, source) = nodes::start(settings, chain_id, clock.clone())?;
    let supervised = nodes.clone();
    let result = async {
        let chain_id = match chain_id {
            Some(id) => Some(id),
            None => tokio::select! {
                id = nodes.chain_id() => id,
                signal = signals.next() => {
                    info!(signal, "dfuse stops");
                    return Ok(());
                }
            },
        };
        let given = Given { origin, chain_id, terms, listener, data_dir, clock, nodes: Some((supervised, source)) };
        run_parts(settings, shares, given, &mut signals).await
    };
    let result = result.await;
    // Unless they were stopped with the other parts.
    tokio::select! {
        () = nodes.stop() => {}
        signal = signals.next() => info!(signal, "a second signal, the nodes stop by themselves"),
    }
    result
}

/// What there is before the parts begin.
struct Given {
    origin: Origin,
    chain_id: Option<Checksum256>,
    terms: TermOptions,
    listener: TcpListener,
    data_dir: DataDir,
    clock: Arc<SystemClock>,
    nodes: Option<(Arc<Nodeos>, Source)>,
}

/// Opens everything and runs it.
async fn run_parts(settings: &Settings, shares: &Shares, given: Given, signals: &mut Signals) -> anyhow::Result<()> {
    let Given { origin, chain_id, terms, listener, data_dir, clock, nodes } = given;
    let gate_options = settings.access.options(address(&settings.listen)?)?;
    let own_node = nodes.as_ref().and_then(|(nodes, _)| nodes.api());
    let api_options = dfuse_api::Options {
        chain_api: settings.chain_api.options(own_node, shares)?,
        websocket: settings.websocket.options()?,
    };
    let http_options = dfuse_http::Options { max_connections: shares.connections, ..settings.http.options() };
    let query_options =
        dfuse_query::Options { streams: settings.websocket.stream_options(), ..settings.http.query_options() };
    // Its journal is read while the feed finds its files.
    let engine = EngineOptions {
        cache_bytes: settings.index.cache_mib << 20,
        open_files: shares.tables,
        ..EngineOptions::default()
    };
    let options = Options {
        chain_id,
        overlay_bytes: settings.index.memory_mib << 20,
        durability: if settings.index.fsync { Durability::Sync } else { Durability::Buffer },
        ..Options::default()
    };
    let folder = data_dir.index();
    let search = Arc::new(SearchIndex::new(terms.clone()));
    let indexes = indexes(search.clone());
    let files = data_dir.open_blocks(settings.blocks.store.as_deref(), settings.blocks.fsync)?;
    if settings.rebuild_damaged {
        repair::rebuild_damaged(&folder, &files).await?;
    }
    let opened = spawn_blocking(move || -> anyhow::Result<_> {
        let (store, reopen) = IndexStore::open(&folder, &indexes, engine)?;
        let pipeline = Pipeline::open(store.current(), Some(reopen), indexes, options.clone())?;
        Ok((store, pipeline, options))
    });
    let feed_options = FeedOptions {
        data_dir: Some(data_dir.path().to_owned()),
        first_streamable: settings.blocks.first_block,
        mode: if origin.repeats() { Mode::CatchUp } else { Mode::Live },
        memory_bytes: settings.blocks.memory_mib << 20,
        keep_forked: settings.blocks.keep_forked,
        history_bytes: (settings.websocket.memory_mib << 20) / 4,
        ..FeedOptions::default()
    };
    let key = CursorKey::open(data_dir.path(), &SystemEntropy)?;
    // If both fail, what is wrong with the indexes is told: their files are the more numerous.
    let feed = Feed::open(files.clone(), key, feed_options, &*clock).await;
    let opened_gate = access::open(data_dir.path(), clock.clone(), &settings.access, gate_options).await;
    let (store, pipeline, options) = opened.await??;
    let (feed, keeper) = feed?;
    let access = opened_gate?;
    let gate = access.gate.clone();
    let handle = feed.handle();
    repair::must_begin_with(&pipeline, &handle)?;
    let indexed_from = pipeline.first_number();
    let forked = Arc::new(ForkedTransactions::restore(&handle).await?);
    let chain = Chain {
        serving: pipeline.serving().clone(),
        feed: handle.clone(),
        forked: forked.clone(),
        search,
        chain_id: pipeline.chain_id(),
        clock: clock.clone(),
        entropy: Arc::new(SystemEntropy),
    };
    let chain_id = chain.chain_id;
    let serving = chain.serving.clone();
    let service = Service::new(chain, Arc::new(GateAccess(gate.clone())), query_options);
    let conditions = Arc::new(Conditions(service.clone()));
    let api = Api::new(service, http_options);
    let endpoints = Endpoints::new(&api, api_options);
    let server = Server::new(api, [endpoints.routes()]);
    if let Some(shortage) = shares.shortage(settings.http.max_connections) {
        warn!("{shortage}");
        conditions.warn("open_files", shortage);
    }

    let (stop, stopped) = watch::channel(false);
    let (dumps, offered) = mpsc::unbounded_channel();
    for dump in repair::usable_dumps(&files, &pipeline).await? {
        dumps.send(dump)?;
    }
    let indexing = Indexing {
        store: store.clone(),
        options,
        files: files.clone(),
        feed: handle.clone(),
        forked: forked.clone(),
        search: terms,
    };
    let offered = stream::unfold(offered, async |mut offered| Some((offered.recv().await?, offered))).fuse();
    let index = tokio::spawn(indexing.run(pipeline, Box::pin(offered)));
    let (nodes, source) = match nodes {
        Some((nodes, source)) => (Some(nodes), source),
        None => (None, origin.open(feed.resume_number(), &settings.nodeos, settings.exit_at_end)?),
    };
    if let Some(nodes) = &nodes {
        nodes.set_taken(handle.head().map(|_| handle.lib().map_or(0, |lib| lib.number)));
        if let Some(id) = chain_id {
            nodes.expect_chain(id);
        }
    }
    // Before anybody asks whether they are ready.
    nodes::tell(nodes.as_deref(), source.queue(), &conditions);
    let report = nodes::report(nodes.clone(), source.queue().cloned(), conditions.clone(), stopped.clone());
    tokio::spawn(report);
    let ingest = Ingest {
        live: !origin.repeats(),
        log: LogState::new(nodes.clone(), settings.blocks.first_block),
        origin,
        source,
        feed,
        store: files,
        dumps,
        forked,
        clock: clock.clone(),
        readiness: conditions.clone(),
        stop: stopped.clone(),
        indexed_from,
        committed: serving.status().committed.map_or(0, |block| block.number),
    };
    let address = listener.local_addr()?;
    let serve = tokio::spawn({
        let mut stopped = stopped.clone();
        tokio::spawn(endpoints.look_after_nodes());
        // It holds a snapshot of the indexes, which then keep what they write while they close.
        drop(endpoints);
        async move { server.serve(listener, async { drop(stopped.wait_for(|stop| *stop).await) }).await }
    });
    info!(
        "REST at http://{address}/v0/, the node's API at http://{address}/v1/chain/, WebSocket at ws://{address}/v1/stream, metrics at http://{address}/metrics"
    );
    let parts = Parts {
        ingest: tokio::spawn(ingest.run()),
        index,
        keeper: tokio::spawn(keep(keeper, conditions.clone(), stopped.clone())),
        access: tokio::spawn(access::run(access, data_dir.path().into(), stopped)),
        serve,
        stop,
        feed: handle,
        serving,
        conditions,
        nodes,
    };
    let result = parts.supervise(signals, settings.exit_at_end).await;
    access::close(gate).await;
    let closed = spawn_blocking(move || store.current().close()).await?.context(
        "the indexes were not closed cleanly; nothing is lost of them, the next start makes from the block files what they lack",
    );
    result.and(closed)
}

fn address(text: &str) -> anyhow::Result<SocketAddr> {
    text.parse().map_err(|_| {
        usage(format!("\"{text}\" is not an address to listen at; write it as 127.0.0.1:8080 or [::1]:8080"))
    })
}

/// Binds the address of the server.
async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(self::address(address)?).await.with_context(|| {
        format!("cannot listen at {address}; stop what uses this port, or name another address with --listen")
    })
}

/// Signals that end the process.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// What runs.
struct Parts {
    ingest: JoinHandle<anyhow::Result<(Ended, Feed)>>,
    index: JoinHandle<dfuse_index::Result<()>>,
    keeper: JoinHandle<anyhow::Result<()>>,
    access: JoinHandle<()>,
    serve: JoinHandle<()>,
    stop: watch::Sender<bool>,
    feed: FeedHandle,
    serving: Arc<Serving>,
    conditions: Arc<Conditions>,
    nodes: Option<Arc<Nodeos>>,
}

impl Parts {
    /// Waits for the reason to end, then ends everything in order. A second signal ends it at once.
    async fn supervise(mut self, signals: &mut Signals, exit_at_end: bool) -> anyhow::Result<()> {
        let mut feed = None;
        let mut is_ready = false;
        let result = loop {
            tokio::select! {
                signal = signals.next() => {
                    info!(signal, "dfuse stops");
                    break Ok(());
                }
                ended = &mut self.ingest, if feed.is_none() => match ended? {
                    Ok((Ended::Source, ended)) => {
                        let head = self.feed.head().map_or(0, |head| head.number);
                        info!(head, "the source has no more blocks{}", if exit_at_end { "" } else { ", the server goes on" });
                        feed = Some(ended);
                    }
                    Ok((Ended::Stopped, ended)) => feed = Some(ended),
                    Err(error) => {
                        // It took the feed with it.
                        self.ingest = tokio::spawn(async { anyhow::bail!("taking blocks has failed") });
                        break Err(error);
                    }
                },
                ended = &mut self.index => {
                    self.index = tokio::spawn(async { Err(dfuse_blocks::Error::Closed.into()) });
                    break self.cause(ended?.map_err(Into::into), feed.is_some()).await;
                }
                ended = &mut self.keeper => {
                    self.keeper = tokio::spawn(async { Ok(()) });
                    match ended? {
                        Ok(()) => {}
                        Err(error) => break self.cause(Err(error), feed.is_some()).await,
                    }
                }
                () = sleep(POLL), if !is_ready || exit_at_end && feed.is_some() => {
                    if !is_ready && self.conditions.all_hold() && self.is_indexed() {
                        is_ready = true;
                        info!(head = self.feed.head().map(|head| head.number), "ready");
                    }
                    if exit_at_end && feed.is_some() && self.is_indexed() {
                        info!("all blocks are indexed, dfuse stops");
                        break Ok(());
                    }
                }
            }
        };
        tokio::select! {
            stopped = self.stop(feed) => result.and(stopped),
            signal = signals.next() => Err(result.err().unwrap_or_else(|| {
                anyhow::anyhow!("a second signal, {signal}, ended the process before it had stopped cleanly; nothing is lost")
            })),
        }
    }

    /// What a part ended with; if that is for want of the feed, why there is no feed any more.
    async fn cause(&mut self, ended: anyhow::Result<()>, has_feed: bool) -> anyhow::Result<()> {
        if has_feed || ended.is_ok() {
            return ended;
        }
        match timeout(POLL, &mut self.ingest).await {
            Ok(ingest) => {
                self.ingest = tokio::spawn(async { anyhow::bail!("taking blocks has failed") });
                ingest?.map(drop).and(ended)
            }
            Err(_) => ended,
        }
    }

    /// Whether the indexes have all that the feed has.
    fn is_indexed(&self) -> bool {
        let (snapshot, lib) = (self.serving.snapshot(), self.feed.lib());
        // Before the first block is final, nothing is.
        let none_final = lib.map(|lib| lib.number) < self.feed.first_block();
        snapshot.head() == self.feed.head() && (none_final || snapshot.lib() == lib)
    }

    /// Ends every part; what one fails with does not keep the others.
    async fn stop(mut self, mut feed: Option<Feed>) -> anyhow::Result<()> {
        let mut is_taken = feed.is_some();
        if let Some(nodes) = &self.nodes {
            // First, so that all that they log is taken.
            nodes.stop().await;
            if !is_taken && let Ok(ended) = timeout(LAST_BLOCKS, &mut self.ingest).await {
                (feed, is_taken) = (ended?.ok().map(|(_, feed)| feed), true);
            }
        }
        self.stop.send_replace(true);
        if !is_taken {
            feed = self.ingest.await?.ok().map(|(_, feed)| feed);
        }
        let mut result = Ok(());
        if let Some(feed) = feed {
            let unwritten = feed.unwritten();
            result = feed.close().await.with_context(|| match unwritten {
                Some(numbers) => {
                    let (first, last) = numbers.into_inner();
                    format!(
                        "dropped: blocks {first} to {last}, which could not be written; the source must repeat them"
                    )
                }
                None => "the last blocks were not written; the source must repeat them".to_owned(),
            });
        }
        match self.index.await? {
            Ok(()) | Err(dfuse_index::Error::Blocks(dfuse_blocks::Error::Closed)) => {}
            Err(error) => warn!(%error, "the indexes ended"),
        }
        if let Err(error) = self.keeper.await? {
            warn!(error = %one_line(&error), "bundles were not written");
        }
        self.serve.await?;
        self.access.await?;
        result
    }
}
