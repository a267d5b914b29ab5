//! The tasks that keep nodes running.

use std::{
    io,
    process::Command,
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::Duration,
};

use dfuse_antelope::Checksum256;
use dfuse_blocks::{Backoff, Clock};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::{error, info, warn};

use super::{
    NodeConfig, NodeStatus, NodeosOptions,
    check::{Diagnosis, check, check_ports, diagnose, read_settings},
    config::NodeSettings,
    monitor::{Monitor, Verdict},
    output::Output,
    process::{Claim, Process},
    restore::Plan,
    shared::{Node, Shared, lock},
    snapshots::list,
};
use crate::{
    Error, Queue, Result, Source, SourceEvent,
    event::Sender,
    log::{self, OtherLines},
};

/// Blocks that are decoded ahead.
const AHEAD: usize = 32;
/// A run that was up for so long was a good one: the pauses between restarts begin anew.
const GOOD_RUN: Duration = Duration::from_secs(60);
/// How long a node waits for a peer that is supervised, too.
const PEER_PATIENCE: Duration = Duration::from_secs(30);
/// How long the addresses of a node may still be in use: a process that is about to end gives up its name before them.
const PORT_PATIENCE: Duration = Duration::from_secs(5);
/// How often what is waited for is looked at.
const STEP: Duration = Duration::from_millis(100);
/// How long the rest of a log that nobody takes is waited for, once its node has ended or is to end.
const LOG_PATIENCE: Duration = Duration::from_secs(10);
/// How often the end of a process that was told to stop is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// Nodes that are supervised.
#[derive(Debug)]
pub struct Nodeos {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Nodeos {
    /// Begins to start the nodes. The source ends when they are stopped.
    ///
    /// # Errors
    /// [`Error::Node`] for what can be seen at once to be wrong. What goes wrong later and starting again cannot mend comes
    /// from the source.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(options: NodeosOptions, clock: Arc<dyn Clock>) -> Result<(Self, Source)> {
        let failure = |config: &NodeConfig, why| Error::Node { node: config.name.clone(), why };
        if options.nodes.iter().filter(|node| node.deep_mind).count() != 1 {
            return Err(Error::Nodes(
                "exactly one of nodeos.nodes must have deep_mind = true: the one whose log is read".into(),
            ));
        }
        let mut names: Vec<_> = options.nodes.iter().map(|node| &node.name).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::Nodes(format!("two of nodeos.nodes have the name \"{}\"", pair[0])));
        }
        let (mut nodes, mut claims) = (Vec::new(), Vec::new());
        for config in &options.nodes {
            let fails = |why| failure(config, why);
            let settings = check(config, options.snapshot_blocks > 0).map_err(fails)?;
            claims.push(Claim::take(&config.data_dir).map_err(fails)?);
            nodes.push(Node::new(config, &settings));
        }
        let (sender, events) = mpsc::channel(AHEAD);
        let (stop, _) = watch::channel(false);
        let chain_id = options.chain_id.map_or_else(OnceLock::new, OnceLock::from);
        let shared = Arc::new(Shared { options, nodes, clock, chain_id, taken: watch::Sender::new(None) });
        let supervise = |(index, claim)| {
            let supervisor = Supervisor {
                shared: shared.clone(),
                index,
                claim,
                sender: sender.clone(),
                stop: stop.subscribe(),
                rewind: shared.nodes[index].rewind.subscribe(),
            };
            tokio::spawn(supervisor.run())
        };
        let tasks = Mutex::new(claims.into_iter().enumerate().map(supervise).collect());
        Ok((Self { shared, stop, tasks }, Source::of_events(events)))
    }

    /// What is known of each node, in the order of the configuration.
    pub fn status(&self) -> Vec<NodeStatus> {
        self.shared.nodes.iter().map(Node::status).collect()
    }

    /// The last lines that a node wrote in its present run, or in the last one, the newest at the end. None if there is no such node.
    pub fn last_lines(&self, name: &str) -> Vec<String> {
        let node = self.shared.nodes.iter().find(|node| node.config.name == name);
        node.map(|node| lock(&node.output).last_lines()).unwrap_or_default()
    }

    /// The chain's id as it is known, or as the first node to answer says. None if no node answers before the log has filled
    /// its queue, or before one needs help.
    pub async fn chain_id(&self) -> Option<Checksum256> {
        loop {
            if let Some(id) = self.shared.chain_id.get() {
                return Some(*id);
            }
            let waits = self.status().iter().any(|status| status.log.is_some_and(|log| log.is_full));
            if waits || lock(&self.tasks).iter().any(JoinHandle::is_finished) {
                return None;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Says which chain is wanted, if it is not known yet.
    pub fn expect_chain(&self, id: Checksum256) {
        self.shared.chain_id.get_or_init(|| id);
    }

    /// `http://host:port` of the node that takes transactions; of the other one if there is no such.
    pub fn api(&self) -> Option<String> {
        let nodes = &self.shared.nodes;
        nodes.iter().find(|node| !node.config.deep_mind).or(nodes.first()).map(|node| node.http.clone())
    }

    /// Says up to which block all is taken and final: the node whose log is read is never restored to a later one. None if
    /// nothing was taken yet. No node is restored before this was said.
    pub fn set_taken(&self, number: Option<u32>) {
        let number = Some(number.unwrap_or(u32::MAX));
        self.shared.taken.send_if_modified(|taken| std::mem::replace(taken, number) != number);
    }

    /// Has the log begin again at the block after `number`, or before: a node that is ahead of what was taken of its log is
    /// restored from a snapshot, or executes its blocks again. What is still on its way comes first; then
    /// [`SourceEvent::LogBegins`].
    ///
    /// # Errors
    /// [`Error::Node`] if it has neither.
    pub fn rewind(&self, number: u32) -> Result<()> {
        let Some(node) = self.shared.nodes.iter().find(|node| node.config.deep_mind) else { return Ok(()) };
        let failure = |why| Error::Node { node: node.config.name.clone(), why };
        let settings = read_settings(&node.config).map_err(failure)?;
        Plan::new(&node.config, &settings, number).map_err(failure)?;
        node.rewind.send_replace(Some(number));
        Ok(())
    }

    /// Stops all nodes, and waits until they have; if the wait is given up, the next one is over at once.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        for task in tasks {
            if let Err(error) = task.await {
                error!(%error, "the supervision of a node has failed");
            }
        }
    }
}

/// How a run of a node ended.
enum Ended {
    /// As it was told to.
    Stopped,
    /// It is to be taken back.
    Rewind(u32),
    /// By itself, or by force. `good` says whether it was up for long.
    Down { diagnosis: Diagnosis, was_up: bool, good: bool, killed: bool },
    /// There is no use in going on.
    Failed(Error),
}

/// The task of one node.
struct Supervisor {
    shared: Arc<Shared>,
    index: usize,
    claim: Claim,
    sender: Sender,
    stop: watch::Receiver<bool>,
    rewind: watch::Receiver<Option<u32>>,
}

impl Supervisor {
    fn node(&self) -> &Node {
        &self.shared.nodes[self.index]
    }

    fn error(&self, why: String) -> Error {
        Error::Node { node: self.node().config.name.clone(), why }
    }

    async fn run(mut self) {
        let failure = self.keep_running().await.err();
        self.node().update(|status| status.is_up = false);
        if let Some(failure) = failure {
            self.node().fails(failure.to_string());
            // The receiver is gone if nobody wants to know.
            let _ = self.sender.send(Err(failure)).await;
        } else {
            self.node().fails("it was stopped".to_owned());
        }
    }

    /// Runs the node until it is to stop, or cannot go on.
    async fn keep_running(&mut self) -> Result<()> {
        let (first_pause, longest_pause) = self.shared.options.restart_pauses;
        let (mut backoff, mut was_ever_up) = (Backoff::new(first_pause, longest_pause), false);
        let mut plan = Plan::AsItIs;
        if self.shared.options.restore {
            let limit = self.limit().await;
            plan = self.plan(limit)?;
        }
        loop {
            let (was_up, good, killed, diagnosis) = match self.run_once(&plan).await {
                Ended::Stopped => return Ok(()),
                Ended::Failed(error) => return Err(error),
                Ended::Rewind(number) => {
                    plan = self.plan(number)?;
                    continue;
                }
                Ended::Down { diagnosis, was_up, good, killed } => (was_up, good, killed, diagnosis),
            };
            was_ever_up |= was_up;
            if good {
                backoff.reset();
            }
            let restored = std::mem::replace(&mut plan, Plan::AsItIs);
            let why = match diagnosis {
                Diagnosis::Mend(why) if !was_ever_up => return Err(self.error(why)),
                Diagnosis::Mend(why) => why,
                // What was begun is not finished: once more, or another way.
                _ if restored != Plan::AsItIs && !was_up && killed => {
                    plan = restored;
                    "it was killed while its state was made anew".to_owned()
                }
                Diagnosis::Dirty | Diagnosis::Other(_) if restored != Plan::AsItIs && !was_up => {
                    let give_up = || {
                        self.error(
                            "its state could not be made anew, see its log; remove its data directory to begin anew"
                                .into(),
                        )
                    };
                    plan = restored.next().ok_or_else(give_up)?;
                    "its state could not be made anew in this way".to_owned()
                }
                Diagnosis::Dirty => {
                    let limit = self.limit().await;
                    plan = self.plan(limit)?;
                    "its state was not closed cleanly, it is made anew".to_owned()
                }
                Diagnosis::BlockLog if restored == Plan::HardReplay => {
                    let why = "its blocks are damaged beyond repair; remove its data directory to begin anew";
                    return Err(self.error(why.to_owned()));
                }
                Diagnosis::BlockLog => {
                    plan = Plan::HardReplay;
                    "its blocks are damaged, all that are whole are executed again".to_owned()
                }
                Diagnosis::Other(why) => why,
            };
            // An unusable state is known to be no accident of the moment.
            let wait = match plan {
                Plan::AsItIs => backoff.next_pause(),
                _ => Duration::ZERO,
            };
            let node = &self.node().config.name;
            error!(node, pause_seconds = wait.as_secs(), "the node is started again: {why}");
            self.node().fails(format!("it is started again: {why}"));
            if self.stops_within(wait).await {
                return Ok(());
            }
        }
    }

    /// The highest block that a restored state may have.
    async fn limit(&mut self) -> u32 {
        if !self.node().config.deep_mind {
            return u32::MAX;
        }
        let mut taken = self.shared.taken.subscribe();
        tokio::select! {
            known = taken.wait_for(Option::is_some) => known.ok().and_then(|taken| *taken).unwrap_or(0),
            // It is asked for no more.
            _ = self.stop.wait_for(|stop| *stop) => 0,
        }
    }

    fn plan(&self, limit: u32) -> Result<Plan> {
        let config = &self.node().config;
        let settings = read_settings(config).map_err(|why| self.error(why))?;
        let plan = Plan::new(config, &settings, limit).map_err(|why| self.error(why))?;
        match &plan {
            Plan::Snapshot(snapshot) => {
                warn!(node = config.name, block = snapshot.number, "the node is restored from a snapshot");
            }
            Plan::Replay => {
                warn!(
                    node = config.name,
                    "the node executes all its blocks again, as it has no snapshot to begin with"
                );
            }
            Plan::AsItIs | Plan::HardReplay => {}
        }
        Ok(plan)
    }

    /// Waits, unless it is told to stop first.
    async fn stops_within(&mut self, time: Duration) -> bool {
        timeout(time, self.stop.wait_for(|stop| *stop)).await.is_ok()
    }

    /// Starts the node and looks after it until it has ended.
    async fn run_once(&mut self, plan: &Plan) -> Ended {
        let shared = self.shared.clone();
        let node = &shared.nodes[self.index];
        let config = &node.config;
        self.claim.end_leftover(&config.name, shared.options.stop_timeout).await;
        let down = |diagnosis| Ended::Down { diagnosis, was_up: false, good: false, killed: false };
        let settings = match check(config, shared.options.snapshot_blocks > 0) {
            Ok(settings) => settings,
            Err(why) => return down(Diagnosis::Mend(why)),
        };
        match self.waits_for_ports(&settings).await {
            None => return Ended::Stopped,
            Some(Err(why)) => return down(Diagnosis::Mend(why)),
            Some(Ok(())) => {}
        }
        if self.waits_for_peers().await {
            return Ended::Stopped;
        }
        let mut arguments = match plan.prepare(config, &settings, &shared.options) {
            Ok(arguments) => arguments,
            Err(why) => return down(Diagnosis::Mend(why)),
        };
        // Its last blocks are lost to it, but not to its followers, for which they may be final: it takes them before it makes more.
        let paused = node.pausable && *plan != Plan::AsItIs && shared.followers(node).next().is_some();
        if paused {
            arguments.push("--pause-on-startup".to_owned());
        }
        let mut run = match self.begin(arguments).await {
            Ok(run) => run,
            Err(error) => {
                return down(Diagnosis::Mend(format!("cannot start {}: {error}", config.binary.display())));
            }
        };
        let snapshots = settings.snapshots(&config.data_dir);
        node.update(|status| {
            status.starts += 1;
            status.problem = Some("it starts".to_owned());
            status.snapshot = list(&snapshots).last().map_or(0, |snapshot| snapshot.number);
        });
        let mut monitor = match Monitor::new(&shared, node, snapshots, run.output.clone(), paused) {
            Ok(monitor) => monitor,
            Err(error) => {
                self.end(&mut run, shared.options.stop_timeout).await;
                return Ended::Failed(self.error(error.to_string()));
            }
        };
        let ended = match self.watch(&mut run, &mut monitor).await {
            Ok(ended) => ended,
            Err(failed) => return failed,
        };
        if ended.is_some() {
            node.fails("it is told to stop".to_owned());
            self.end(&mut run, shared.options.stop_timeout).await;
        }
        self.claim.note(None);
        node.update(|status| status.is_up = false);
        self.rest_of_log(&mut run).await;
        match run.log.take() {
            // It ended before it wrote anything.
            None | Some(Ok(()) | Err(Error::Log(dfuse_deep_mind::Error::NotALog { .. }))) => {}
            Some(Err(error)) => return Ended::Failed(error),
        }
        let status = run.status.take().unwrap_or_default();
        ended.unwrap_or_else(|| Ended::Down {
            diagnosis: diagnose(&run.output.last_lines(), &status),
            was_up: monitor.was_up(),
            good: monitor.up_for() >= GOOD_RUN,
            killed: status.starts_with("signal"),
        })
    }

    /// Watches a node that runs until it ends, hangs or is to stop, and gives why it is to stop; or how the supervisor fails.
    async fn watch(&mut self, run: &mut Run, monitor: &mut Monitor<'_>) -> std::result::Result<Option<Ended>, Ended> {
        let shared = self.shared.clone();
        let node = &shared.nodes[self.index];
        loop {
            let verdict = tokio::select! {
                biased;
                status = run.process.ended() => {
                    run.status = Some(status);
                    return Ok(None);
                }
                _ = self.stop.wait_for(|stop| *stop) => return Ok(Some(Ended::Stopped)),
                number = rewound(&mut self.rewind) => return Ok(Some(Ended::Rewind(number))),
                result = &mut run.decoded, if run.log.is_none() => {
                    run.log = Some(result.unwrap_or(Ok(())));
                    continue;
                }
                verdict = monitor.look(run.queue.as_ref()) => verdict,
            };
            match verdict {
                Verdict::Fine => {}
                Verdict::Hangs => {
                    warn!(node = node.config.name, "the node neither answers nor logs anything, it is stopped");
                    node.fails("it hung and is stopped".to_owned());
                    self.end(run, shared.options.hang_timeout.max(LOG_PATIENCE)).await;
                    return Ok(None);
                }
                Verdict::OtherChain { found, wanted } => {
                    self.end(run, shared.options.stop_timeout).await;
                    return Err(Ended::Failed(self.error(format!(
                        "it follows the chain {found}, but the data directory or the configuration is of chain {wanted}; name \
                         another data directory with --data-dir, or another node"
                    ))));
                }
            }
            // The log cannot be read any further.
            if let Some(Err(_)) = run.log {
                self.end(run, shared.options.stop_timeout).await;
                return Ok(None);
            }
        }
    }

    /// Waits until the addresses of the node are free, or tells what is to be mended; nothing if it is told to stop meanwhile.
    async fn waits_for_ports(&mut self, settings: &NodeSettings) -> Option<std::result::Result<(), String>> {
        let mut waited = Duration::ZERO;
        loop {
            let checked = check_ports(settings);
            if checked.is_ok() || waited >= PORT_PATIENCE {
                return Some(checked);
            }
            if self.stops_within(STEP).await {
                return None;
            }
            waited += STEP;
        }
    }

    /// Waits for supervised peers that come first to be up; true if it is told to stop meanwhile.
    async fn waits_for_peers(&mut self) -> bool {
        let shared = self.shared.clone();
        let (before, node) = (&shared.nodes[..self.index], &shared.nodes[self.index]);
        let mut waited = Duration::ZERO;
        while waited < PEER_PATIENCE {
            let peers = before.iter().filter(|peer| node.follows(peer));
            let Some(missing) = peers.map(Node::status).find(|status| !status.is_up) else { return false };
            node.fails(format!("it waits for its peer {}", missing.name));
            if self.stops_within(STEP).await {
                return true;
            }
            waited += STEP;
        }
        false
    }

    /// Starts the process and the threads that read what it writes.
    async fn begin(&mut self, arguments: Vec<String>) -> io::Result<Run> {
        let node = self.node();
        let config = &node.config;
        let mut command = Command::new(&config.binary);
        command.args(&config.arguments).arg("--data-dir").arg(&config.data_dir);
        command.arg("--config-dir").arg(&config.config_dir).args(arguments);
        command.args(config.peers.iter().flat_map(|peer| ["--p2p-peer-address", peer]));
        command.envs(config.environment.iter().map(|(name, value)| (name, value)));
        info!(node = config.name, "starting {}", shown(&command));
        let (process, (stdout, stderr)) = Process::start(command, &config.name).await?;
        let output = Arc::new(Output::default());
        lock(&node.output).clone_from(&output);
        let (told, told_all) = oneshot::channel();
        pass_on(&config.name, stderr, output.clone(), Some(told))?;
        let (decoding, decoded) = oneshot::channel();
        let queue = match config.deep_mind {
            true => {
                let queue = Queue::new(self.shared.options.queue_bytes);
                widen(&stdout);
                queue.fill(stdout, &format!("dfuse-pipe-{}", config.name))?;
                let max_line_bytes = self.shared.options.max_line_bytes;
                decode(&config.name, queue.clone(), max_line_bytes, self.sender.clone(), output.clone(), decoding)?;
                Some(queue)
            }
            false => {
                pass_on(&config.name, stdout, output.clone(), None)?;
                let _ = decoding.send(Ok(()));
                None
            }
        };
        lock(&node.queue).clone_from(&queue);
        let id = process.id();
        self.claim.note(id);
        Ok(Run { process, queue, output, told_all, decoded, log: None, status: None })
    }

    /// Stops the process, by force if it does not stop within `patience`.
    async fn end(&self, run: &mut Run, patience: Duration) {
        let name = &self.node().config.name;
        run.process.terminate();
        let (mut waited, mut full) = (Duration::ZERO, Duration::ZERO);
        loop {
            match timeout(LOOK, run.process.ended()).await {
                Ok(status) => {
                    info!(node = name, "the node has stopped ({status})");
                    run.status = Some(status);
                    return;
                }
                Err(_) => waited += LOOK,
            }
            // A node that waits for its log to be taken cannot stop.
            let is_full = run.queue.as_ref().is_some_and(|queue| queue.state().is_full);
            full = if is_full { full + LOOK } else { Duration::ZERO };
            if full >= LOG_PATIENCE
                && let Some(queue) = &run.queue
            {
                warn!(node = name, "nobody takes the blocks of the node any more; they come again at the next start");
                queue.abandon();
            }
            if waited >= patience {
                warn!(node = name, "the node did not stop within {} s and is killed", patience.as_secs());
                run.process.kill();
            } else if waited.as_secs() % 10 == 0 {
                info!(node = name, "the node takes its time to stop, {} s so far", waited.as_secs());
            }
        }
    }

    /// Waits until everything that the process wrote is taken.
    async fn rest_of_log(&mut self, run: &mut Run) {
        // A process that it started may hold its pipes open.
        let _ = timeout(LOG_PATIENCE, &mut run.told_all).await;
        let (mut idle, mut stopping) = (Duration::ZERO, Duration::ZERO);
        while run.log.is_none() {
            if let Ok(result) = timeout(LOOK, &mut run.decoded).await {
                run.log = Some(result.unwrap_or(Ok(())));
                return;
            }
            let Some(queue) = &run.queue else { return };
            idle = if queue.state().bytes == 0 { idle + LOOK } else { Duration::ZERO };
            if *self.stop.borrow() {
                stopping += LOOK;
            }
            if stopping >= 3 * LOG_PATIENCE {
                warn!(
                    node = self.node().config.name,
                    "the last blocks of the node were not taken; they come again at the next start"
                );
                queue.abandon();
                return;
            }
            if idle >= LOG_PATIENCE {
                queue.abandon();
            }
        }
    }
}

/// A process and what it writes.
struct Run {
    process: Process,
    queue: Option<Queue>,
    output: Arc<Output>,
    /// Standard error has ended.
    told_all: oneshot::Receiver<()>,
    /// The log has ended, or cannot be read.
    decoded: oneshot::Receiver<Result<()>>,
    log: Option<Result<()>>,
    /// How the process ended.
    status: Option<String>,
}

/// The block that the node is to be taken back to.
async fn rewound(rewind: &mut watch::Receiver<Option<u32>>) -> u32 {
    loop {
        if rewind.changed().await.is_err() {
            return std::future::pending().await;
        }
        if let Some(number) = *rewind.borrow_and_update() {
            return number;
        }
    }
}

fn pass_on(
    node: &str,
    stream: impl io::Read + Send + 'static,
    output: Arc<Output>,
    told: Option<oneshot::Sender<()>>,
) -> io::Result<()> {
    let node = node.to_owned();
    let pass_on = move || {
        output.pass_on(&node, stream);
        if let Some(told) = told {
            let _ = told.send(());
        }
    };
    thread::Builder::new().name("dfuse-node-log".to_owned()).spawn(pass_on).map(drop)
}

fn decode(
    node: &str,
    queue: Queue,
    max_line_bytes: usize,
    sender: Sender,
    output: Arc<Output>,
    done: oneshot::Sender<Result<()>>,
) -> io::Result<()> {
    let node = node.to_owned();
    let decode = move || {
        let mut result = Ok(());
        if sender.blocking_send(Ok(SourceEvent::LogBegins)).is_ok() {
            let other_lines: OtherLines = Box::new(move |line: &[u8]| output.line(&node, line));
            result = log::read(queue.clone(), &sender, max_line_bytes, Some(other_lines));
        }
        // Nobody reads on.
        queue.abandon();
        drop(sender);
        let _ = done.send(result);
    };
    thread::Builder::new().name("dfuse-log".to_owned()).spawn(decode).map(drop)
}

/// Has the operating system keep more of what the node writes, where it allows that.
#[cfg(target_os = "linux")]
fn widen(pipe: &impl std::os::fd::AsFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, 1 << 20);
}

#[cfg(not(target_os = "linux"))]
fn widen<T>(_pipe: &T) {}

/// A command as one would type it. Variables are left out: they may be secret.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
