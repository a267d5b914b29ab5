//! The parts of the process, and the order in which they begin and end.

use std::{
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use anyhow::Context;
use dfuse_antelope::Checksum256;
use dfuse_blocks::{SystemClock, SystemEntropy};
use dfuse_node::{KeptState, Source, nodeos::Nodeos};
use dfuse_query::Service;
use dfuse_search::Filter;
use futures::{StreamExt, stream};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    task::spawn_blocking,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    DataDir, Settings, access,
    conditions::Conditions,
    descriptors::Shares,
    filtered_before,
    filtering::Filtering,
    given::Given,
    index::PipelineWork,
    ingest::{Ingest, LogState, keep},
    load::{self, Loaded},
    machine_name::MachineName,
    nodes,
    opened::{self, Opened},
    origin::{Known, Origin},
    parts::Parts,
    repair,
    roles::Roles,
    signals::Signals,
    source_state::SourceState,
    storage,
    surfaces::{Listeners, Surfaces},
    watch::Watch,
};
use crate::{control::Commanded, failure::usage};

/// Runs until a signal, until the source has ended if that is wanted, or until something fails.
pub(crate) async fn run(settings: &Settings, shares: &Shares) -> anyhow::Result<()> {
    let roles = Roles::of(settings)?;
    let origin = Origin::of(settings, roles)?;
    let chain_id = origin.chain_id(settings)?;
    // What is wrong with them is said before anything begins.
    settings.chain_api.options(None, shares)?;
    let terms = settings.search.options()?;
    let filter = filter(settings, roles)?;
    settings.websocket.options()?;
    settings.retention.parts()?;
    settings.traces.client()?;
    if settings.http.readers == Some(0) {
        return Err(usage("http.readers must be 1 or more"));
    }
    settings.cursor_keys()?;
    access::gate_options(settings, roles)?;
    let listeners = Listeners::bind(settings, roles).await?;
    let mut signals = Signals::new()?;
    let data_dir = match (&settings.data_dir, &origin) {
        (None, Origin::Demo) => DataDir::temporary()?,
        (path, _) => DataDir::open(path.as_deref())?,
    };
    info!(
        version = env!("CARGO_PKG_VERSION"),
        roles = settings.roles,
        source = if roles.ingest { &*settings.source } else { "other machines" },
        data_dir = %data_dir.path().display(),
        open_files = shares.limit,
        connections = shares.connections,
        "dfuse starts"
    );
    let clock = Arc::new(SystemClock::new());
    let (loaded, name) = (None, None);
    let given = Given { settings, roles, shares, origin, chain_id, terms, filter, data_dir, clock, loaded, name };
    if matches!(given.origin, Origin::Nodeos) {
        with_nodes(given, listeners, &mut signals).await
    } else {
        run_parts(given, None, listeners, &mut signals).await
    }
}

/// The filter of blocks, which this process must be able to apply.
fn filter(settings: &Settings, roles: Roles) -> anyhow::Result<Filter> {
    let filter = settings.filter.programs()?;
    if !roles.ingest && !filter.passes_all() {
        return Err(usage(format!(
            "with the roles {}, blocks come from machines with the role ingest, which filter them: set filter.include and \
             filter.exclude there, and leave them out here",
            settings.roles
        )));
    }
    if !roles.index && filter.reads_data() {
        return Err(usage(format!(
            "the filter looks at data, which is decoded with the ABIs of the indexes, and with the roles {} there are none: leave data \
             out of filter.include, filter.exclude and filter.system, or add the role index",
            settings.roles
        )));
    }
    Ok(filter)
}

/// Starts the supervised nodes first: they start while all else is opened.
async fn with_nodes(mut given: Given<'_>, listeners: Listeners, signals: &mut Signals) -> anyhow::Result<()> {
    let (nodes, source) = nodes::start(given.settings, given.chain_id, given.clock.clone())?;
    let known = match given.chain_id {
        Some(id) => Some(id),
        None => tokio::select! {
            id = nodes.chain_id() => id,
            signal = signals.next() => {
                info!(signal, "dfuse stops");
                stop_nodes(&nodes, signals).await;
                return Ok(());
            }
        },
    };
    given.chain_id = known;
    let result = run_parts(given, Some((nodes.clone(), source)), listeners, signals).await;
    // Unless they were stopped with the other parts.
    stop_nodes(&nodes, signals).await;
    result
}

async fn stop_nodes(nodes: &Nodeos, signals: &mut Signals) {
    tokio::select! {
        () = nodes.stop() => {}
        signal = signals.next() => info!(signal, "a second signal, the nodes stop by themselves"),
    }
}

/// Opens everything and runs it.
async fn run_parts(
    mut given: Given<'_>,
    nodes: Option<(Arc<Nodeos>, Source)>,
    listeners: Listeners,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    opened::take_copy(&given).await?;
    match load::begin(&given, signals).await? {
        Loaded::State(begun) => given.loaded = begun,
        Loaded::Stopped(signal) => {
            info!(signal, "dfuse stops; the snapshot is loaded from its beginning by the next start with it");
            return Ok(());
        }
    }
    let name = tokio::select! {
        name = name_of(&given) => name?,
        signal = signals.next() => {
            info!(signal, "dfuse stops");
            return Ok(());
        }
    };
    given.name = name.clone();
    let opened = Opened::open(&given).await?;
    if given.roles.ingest {
        filtered_before::check(given.data_dir.path(), &given.filter, &opened.handle()).await?;
    }
    let (store, gate) = (opened.store.clone(), opened.access.gate.clone());
    let parts = begin(&given, opened, nodes, listeners).await?;
    let result = parts.supervise(signals, given.settings.exit_at_end).await;
    access::close(gate).await;
    if let Some(name) = name {
        name.give_back().await;
    }
    let closed = spawn_blocking(move || store.current().close()).await?.context(
        "the indexes were not closed cleanly; nothing is lost of them, the next start makes from the block files what they lack",
    );
    result.and(closed)
}

/// The name of one of several machines, which it must have alone, in a store that tells them apart.
async fn name_of(given: &Given<'_>) -> anyhow::Result<Option<Arc<MachineName>>> {
    let (files, roles) = (given.files()?, given.roles);
    // Machines that only build indexes write nothing else there.
    if roles.are_of_several(given.settings) && (roles.ingest || roles.api) && files.is_remote() {
        files.must_tell_writers_apart(&SystemEntropy).await?;
    }
    match &given.settings.machines.name {
        Some(name) => {
            let objects = files.access_objects();
            let name = MachineName::take(name, given.data_dir.path(), objects).await?;
            if roles.ingest {
                name.must_filter_alike(&filtered_before::described(&given.filter)?).await?;
            }
            Ok(Some(Arc::new(name)))
        }
        None => Ok(None),
    }
}

/// Begins all parts.
async fn begin(
    given: &Given<'_>,
    opened: Opened,
    nodes: Option<(Arc<Nodeos>, Source)>,
    listeners: Listeners,
) -> anyhow::Result<Parts> {
    let Given { settings, shares, .. } = given;
    let service = opened.service(given);
    let conditions = Arc::new(Conditions(service.clone()));
    let stop = CancellationToken::new();
    let durable = Arc::new(AtomicU32::new(opened.feed.resume_number().saturating_sub(1)));
    let state = KeptState::in_folder(given.data_dir.state_history());
    let (nodes, source) = match nodes {
        Some((nodes, source)) => (Some(nodes), source),
        None => {
            let known = Known {
                start_block: opened.feed.resume_number(),
                is_empty: opened.handle().head().is_none(),
                chain_id: opened.pipeline.chain_id(),
                dumps: opened.files.abi_dumps().await?,
                state: state.clone(),
                loaded: given.loaded.map(|begun| begun.block.number),
                durable: durable.clone(),
                store: opened.files.clone(),
            };
            (None, given.origin.open(settings, known)?)
        }
    };
    tell_nodes(nodes.as_deref(), &service, opened.pipeline.chain_id());
    if let Some(nodes) = &nodes {
        service.operations().supervise(Arc::new(nodes::Logs(nodes.clone())));
    }
    // Before anybody asks whether they are ready.
    nodes::tell(nodes.as_deref(), source.queue(), &conditions);

    let serving = opened.pipeline.serving().clone();
    let serving = given.roles.index.then_some(serving);
    let drain = Duration::from_secs(settings.http.drain_seconds);
    let mut parts = Parts::new(stop.clone(), (opened.handle(), serving), (conditions.clone(), drain), nodes.clone());
    let surfaces = Surfaces::new(service, (settings, shares, given.roles), nodes.as_deref())?;
    if let Some(shortage) = shares.shortage(settings.http.max_connections) {
        warn!("{shortage}");
        conditions.warn("open_files", shortage);
    }
    let report = nodes::report(nodes.clone(), source.queue().cloned(), conditions.clone());
    spawn_until(&mut parts, "reporting on nodes", &stop, report);
    let report = storage::report(opened.store.clone(), given.data_dir.path().to_owned(), conditions.clone());
    spawn_until(&mut parts, "counting what is stored", &stop, report);
    surfaces.warn_of_key(&conditions).await;
    let (extender, works) = opened.extender(given)?;
    let commanded = Commanded {
        extender,
        gate: opened.access.gate.clone(),
        server: surfaces.http().clone(),
        store: opened.store.clone(),
        data_dir: given.data_dir.path().into(),
        state,
        with_blocks: settings.blocks.store.is_none(),
    };
    let taking = Taking { nodes, source, durable, works };
    work(given, opened, taking, commanded, &conditions, &stop, &mut parts).await?;
    surfaces.serve(&mut parts, listeners, &stop)?;
    Ok(parts)
}

/// Tells the nodes what was taken of their log.
fn tell_nodes(nodes: Option<&Nodeos>, service: &Service, chain_id: Option<Checksum256>) {
    let Some(nodes) = nodes else { return };
    let feed = &service.chain().feed;
    nodes.set_taken(feed.head().map(|_| feed.lib().map_or(0, |lib| lib.number)));
    if let Some(id) = chain_id {
        nodes.expect_chain(id);
    }
}

/// Where blocks come from.
struct Taking {
    nodes: Option<Arc<Nodeos>>,
    source: Source,
    /// The last block that is there for good, which the source is told.
    durable: Arc<AtomicU32>,
    /// What is to be done with the indexes between two blocks.
    works: mpsc::Receiver<PipelineWork>,
}

/// Begins the parts that take blocks, index them, keep them in files, and take commands.
async fn work(
    given: &Given<'_>,
    opened: Opened,
    Taking { nodes, source, durable, works }: Taking,
    commanded: Commanded,
    conditions: &Arc<Conditions>,
    stop: &CancellationToken,
    parts: &mut Parts,
) -> anyhow::Result<()> {
    let indexing = opened.indexing(given);
    let watch = Watch {
        data_dir: given.data_dir.path().to_owned(),
        clock: given.clock.clone(),
        serving: opened.pipeline.serving().clone(),
        feed: opened.handle(),
        filter_changes: given.filter.boundaries(),
        conditions: conditions.clone(),
    };
    spawn_until(parts, "watching disk and clock", stop, watch.run());
    if let Some(name) = given.name.clone() {
        spawn_until(parts, "keeping the machine's name", stop, name.keep(conditions.clone()));
    }
    spawn_until(parts, "retention", stop, opened.retention(given, conditions)?.run());
    let Opened { files, feed, keeper, pipeline, forked, access, .. } = opened;
    let (dumps, offered) = mpsc::unbounded_channel();
    let filter = Some(given.filter.clone()).filter(|filter| !filter.passes_all());
    let mut filtering = filter.map(|it| Filtering::new(it, pipeline.serving().clone(), feed.handle()));
    for dump in repair::usable_dumps(&files, &pipeline).await? {
        if let Some(filtering) = &mut filtering {
            filtering.take_dump(&dump);
        }
        dumps.send(dump)?;
    }
    let ingest = Ingest {
        live: !given.origin.repeats(),
        log: LogState::new(nodes, given.first_block()),
        origin: given.origin.clone(),
        source,
        filtering,
        feed,
        store: files,
        dumps,
        forked,
        clock: given.clock.clone(),
        readiness: conditions.clone(),
        told: SourceState::new(conditions.0.clone(), &given.origin),
        stop: stop.clone(),
        durable,
        loaded: pipeline.loaded(),
        indexed_from: pipeline.first_number(),
        committed: pipeline.serving().status().committed.map_or(0, |block| block.number),
    };
    // Before anybody asks whether the server is ready.
    ingest.tell_begin();
    parts.spawn_ingest(ingest.run());
    if given.roles.index {
        parts.spawn("indexing", async move {
            match indexing.run(pipeline, Box::pin(received(offered)), works).await {
                // Whoever took the feed says why.
                Err(dfuse_index::Error::Blocks(dfuse_blocks::Error::Closed)) => Ok(()),
                result => Ok(result?),
            }
        });
    }
    parts.spawn("writing bundles", keep(keeper, conditions.clone(), stop.clone()));
    spawn_until(parts, "access control", stop, access::run(access, commanded, conditions.clone()));
    Ok(())
}

/// Runs a part that is given up as it is when the process stops.
fn spawn_until(
    parts: &mut Parts,
    name: &'static str,
    stop: &CancellationToken,
    part: impl Future<Output = ()> + Send + 'static,
) {
    let stop = stop.clone();
    parts.spawn(name, async move {
        stop.run_until_cancelled(part).await;
        Ok(())
    });
}

/// What comes through a channel.
fn received<T>(receiver: UnboundedReceiver<T>) -> impl stream::FusedStream<Item = T> {
    stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))).fuse()
}
