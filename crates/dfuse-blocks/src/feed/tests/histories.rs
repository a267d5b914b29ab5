//! Random chains, streams, restarts and faults, all from one seed.

use std::{fmt::Write, path::Path as FsPath, sync::Arc};

use object_store::path::Path;

use super::{
    super::{Committer, Feed, FeedEvent, FeedHandle, FeedOptions, Keeper, Mode, Next, Request, Start, Subscription},
    support::{Faulty, Random, Reader, Reference, fork_tree},
};
use crate::{BlockStore, Cursor, CursorKey, EncodedBlock, Error, Result, SystemClock};

/// One client: it reads when its turn comes, and goes and comes back with its cursor.
struct Client {
    reader: Reader,
    stream: Option<Subscription>,
    cursor: Option<String>,
    done: bool,
}

struct History<'a> {
    random: Random,
    objects: Faulty,
    data_dir: &'a FsPath,
    options: FeedOptions,
    blocks: Vec<EncodedBlock>,
    /// Of `blocks`, the next one that the source has.
    next: usize,
    /// The one that it had first since it began again; 0 at the very beginning.
    began: usize,
    /// Up to here they came at least once.
    reached: usize,
    reference: Reference,
    clients: Vec<Client>,
    /// Faults are over.
    ending: bool,
    trace: String,
}

struct Running {
    feed: Feed,
    keeper: Keeper,
    committer: Option<Committer>,
}

/// The next event of a stream that holds no block while it waits.
async fn step_by_step(stream: &mut Subscription, handle: &FeedHandle) -> Result<Option<FeedEvent>> {
    stream.ready().await?;
    let step = match stream.try_next().await? {
        Next::Step(step) => step,
        Next::End => return Ok(None),
        Next::Nothing => panic!("nothing after it was ready"),
    };
    loop {
        match handle.block(step.block).await {
            Ok(block) => return Ok(Some(step.with(block))),
            // The step is taken: its block is asked for again.
            Err(error) => assert!(transient(&error), "{error}"),
        }
    }
}

fn transient(error: &Error) -> bool {
    matches!(error, Error::Store { .. })
}

impl<'a> History<'a> {
    fn new(seed: u64, reads_fail: bool, data_dir: &'a FsPath) -> Self {
        let mut random = Random(seed);
        let first = [2, 60, 95, 300][random.below(4)];
        let count = 30 + random.below(140);
        let blocks = fork_tree(&mut random, first, count);
        let has_forks = blocks.windows(2).any(|pair| pair[1].previous() != pair[0].id());
        let options = FeedOptions {
            // Without it a restart does not know which of two branches of one length came first.
            data_dir: (has_forks || random.percent(50)).then(|| data_dir.to_owned()),
            first_streamable: first,
            mode: if random.percent(30) { Mode::CatchUp } else { Mode::Live },
            memory_bytes: [0, 2000, 20_000, 1 << 20][random.below(4)],
            decoded_bytes: 20_000,
            history_bytes: [0, 5000, 1 << 20][random.below(3)],
            live_window: [0, 10, 60][random.below(3)],
            history_piece_bytes: [1, 3000, 1 << 20][random.below(3)],
            ..FeedOptions::default()
        };
        let objects = Faulty::new(random.u64(), [0, 5, 30][random.below(3)], reads_fail);
        let reference = Reference::new(&blocks[0]);
        let (next, began, reached, clients, ending, trace) = (0, 0, 0, vec![], false, String::new());
        Self { random, objects, data_dir, options, blocks, next, began, reached, reference, clients, ending, trace }
    }

    async fn start(&mut self) -> Running {
        let store = BlockStore::new(Arc::new(self.objects.clone()), Path::from("chain"));
        let committed = self.random.percent(40);
        for attempt in 0.. {
            // It may read hundreds of files: in the end the store works again.
            self.objects.enable(attempt < 3 && !self.ending);
            let key = CursorKey::new([5; 32]);
            match Feed::open(store.clone(), key, self.options.clone(), &SystemClock::new()).await {
                Ok((feed, keeper)) => {
                    self.objects.enable(!self.ending);
                    let committer = committed.then(|| feed.handle().committer("index"));
                    return Running { feed, keeper, committer };
                }
                Err(error) => assert!(transient(&error), "{error}"),
            }
        }
        unreachable!("the store works from the fourth attempt on")
    }

    async fn run(mut self) -> String {
        let mut running = self.start().await;
        while self.reached < self.blocks.len() {
            match self.random.below(100) {
                0..55 => {
                    if !self.push(&mut running).await && self.random.percent(30) {
                        running = self.restart(running).await;
                    }
                }
                55..65 => drop(running.keeper.step().await.map_err(|error| assert!(transient(&error), "{error}"))),
                65..68 => self.acknowledge(&running),
                68..74 if self.clients.len() < 8 => self.join(&running).await,
                68..97 => {
                    if !self.clients.is_empty() {
                        let client = self.random.below(self.clients.len());
                        self.turn(client, &running).await;
                    }
                }
                97 => running = self.restart(running).await,
                98 => running.feed.catch_up(),
                _ => drop(running.feed.go_live().await.map_err(|error| assert!(transient(&error), "{error}"))),
            }
            let (lib, head) = (running.feed.handle().lib(), running.feed.handle().head());
            writeln!(self.trace, "{:?} {:?}", head.map(|head| head.id), lib.map(|lib| lib.number)).unwrap();
        }
        self.end(running).await
    }

    /// Pushes the next block; whether it was taken.
    async fn push(&mut self, running: &mut Running) -> bool {
        let Some(block) = self.blocks.get(self.next).cloned() else { return true };
        match running.feed.push(block.clone()).await {
            Ok(_) => {
                if self.next == self.reached {
                    self.reference.add(&block);
                    self.reached += 1;
                    let handle = running.feed.handle();
                    assert_eq!((handle.head(), handle.lib()), (Some(self.reference.head), Some(self.reference.lib)));
                }
                self.next += 1;
                true
            }
            // It began in the middle of a branch that was only in memory.
            Err(Error::Unlinked { .. } | Error::OtherChain { .. }) if self.began > 0 => {
                (self.began, self.next) = (0, 0);
                true
            }
            Err(error) => {
                assert!(transient(&error), "{error}");
                false
            }
        }
    }

    /// As after a kill; some sources begin again somewhere.
    async fn restart(&mut self, running: Running) -> Running {
        drop(running);
        self.clients.iter_mut().for_each(|client| client.stream = None);
        let again = self.start().await;
        self.objects.enable(false);
        let handle = again.feed.handle();
        // The last write may have failed only after it was done.
        if let Some(block) = self.blocks.get(self.reached)
            && handle.block(block.into()).await.is_ok()
        {
            self.reference.add(block);
            self.reached += 1;
        }
        // A source repeats what was only in memory, and may repeat more.
        let mut kept = 0;
        while kept < self.reached && handle.block((&self.blocks[kept]).into()).await.is_ok() {
            kept += 1;
        }
        self.objects.enable(!self.ending);
        if kept < self.next || self.random.percent(50) {
            self.next = if self.random.percent(50) { 0 } else { self.random.below(kept + 1) };
            self.began = self.next;
        }
        again
    }

    fn acknowledge(&mut self, running: &Running) {
        if let (Some(committer), Some(lib)) = (&running.committer, running.feed.handle().lib()) {
            committer.acknowledge(lib);
        }
    }

    async fn join(&mut self, running: &Running) {
        let first = self.blocks[0].number();
        let head = running.feed.handle().head().map_or(first, |head| head.number);
        let start = match self.random.below(4) {
            0 => Start::Block(first + self.random.below((head - first + 10) as usize) as u32),
            1 => Start::Head(self.random.below(15) as u32),
            2 => Start::Lib,
            _ => Start::Block(0),
        };
        let stop_block = self.random.percent(20).then(|| head + self.random.below(30) as u32 + 10);
        let confirmations = if self.random.percent(40) { self.random.below(15) as u32 } else { 0 };
        let request = Request { start, irreversible_only: self.random.percent(30), confirmations, stop_block };
        let reader = Reader::new(request);
        self.clients.push(Client { reader, stream: None, cursor: None, done: false });
        self.turn(self.clients.len() - 1, running).await;
    }

    async fn turn(&mut self, client: usize, running: &Running) {
        if self.random.percent(15) {
            self.clients[client].stream = None;
            return;
        }
        let count = match self.random.below(4) {
            0 => 1,
            1 => 1 + self.random.below(20),
            _ => usize::MAX,
        };
        self.read(client, running, count).await;
    }

    async fn read(&mut self, client: usize, running: &Running, count: usize) {
        let handle = running.feed.handle();
        let number = client;
        let client = &mut self.clients[client];
        if client.done {
            return;
        }
        if client.stream.is_none() {
            let mut request = client.reader.request;
            if let Some(text) = &client.cursor {
                request.start = Start::Cursor(handle.open_cursor(text).unwrap());
            }
            client.stream = loop {
                match handle.subscribe(request).await {
                    Ok(stream) => break Some(stream),
                    Err(error) if transient(&error) => {}
                    // What the source of a feed that was catching up has not repeated yet.
                    Err(Error::CursorAhead { .. } | Error::CursorUnknown(_)) if self.next < self.reached => return,
                    Err(error) => panic!("{error}"),
                }
            };
        }
        let stream = client.stream.as_mut().unwrap();
        for _ in 0..count {
            if stream.is_idle() {
                client.reader.check(
                    &self.reference,
                    handle.head().unwrap_or(self.reference.head),
                    handle.lib().unwrap_or(self.reference.lib),
                );
                return;
            }
            // Every other client takes steps, and their blocks later.
            let next = if number.is_multiple_of(2) { stream.next().await } else { step_by_step(stream, &handle).await };
            match next {
                Ok(Some(event)) => {
                    client.reader.take(&event);
                    let Cursor { step, block, .. } = event.cursor;
                    writeln!(self.trace, "{number}: {step:?} {block} {}", event.is_final).unwrap();
                    client.cursor = Some(handle.seal(&event.cursor));
                    assert_eq!(stream.cursor(), Some(event.cursor));
                }
                Ok(None) => {
                    let reached = client.reader.tip().map(|tip| tip.number);
                    // One that did not come to read before may begin behind its end.
                    let from_number = matches!(client.reader.request.start, Start::Block(_));
                    assert!(reached == client.reader.request.stop_block || (reached.is_none() && !from_number));
                    client.done = true;
                    return;
                }
                Err(Error::TooSlow { cursor }) => {
                    assert_eq!(cursor.map(|cursor| handle.seal(&cursor)), client.cursor);
                    writeln!(self.trace, "{number}: too slow").unwrap();
                    client.stream = None;
                    return;
                }
                Err(error) => assert!(transient(&error), "{error}"),
            }
        }
    }

    /// All come to the same end.
    async fn end(mut self, mut running: Running) -> String {
        self.ending = true;
        self.objects.enable(false);
        if self.random.percent(50) {
            running = self.restart(running).await;
        }
        while self.next < self.blocks.len() {
            assert!(self.push(&mut running).await);
        }
        running.committer = None;
        if self.random.percent(50) {
            while running.keeper.step().await.unwrap() {}
        }
        for client in 0..self.clients.len() {
            // The first time it may be too slow.
            self.read(client, &running, usize::MAX).await;
            self.read(client, &running, usize::MAX).await;
            let handle = running.feed.handle();
            let client = &self.clients[client];
            assert!(client.done || client.stream.as_ref().is_some_and(|stream| stream.is_idle()));
            if !client.done {
                client.reader.check(&self.reference, handle.head().unwrap(), handle.lib().unwrap());
            }
        }
        running.feed.close().await.unwrap();
        while running.keeper.step().await.unwrap() {}
        self.check_files().await;
        let digests = self.objects.digests().await;
        writeln!(self.trace, "{digests:?}").unwrap();
        self.trace
    }

    /// The final chain is in bundles, every other block in a one-block file or aside.
    async fn check_files(&self) {
        let store = BlockStore::new(Arc::new(self.objects.clone()), Path::from("chain"));
        let report = crate::check(&store, &crate::CheckOptions::default(), |_| {}).await.unwrap();
        assert_eq!(report.findings, []);
        let full = (self.reference.lib.number + 1) / 100;
        let next_base =
            if full * 100 > self.options.first_streamable { full * 100 } else { self.options.first_streamable };
        assert_eq!(report.range.map_or(self.options.first_streamable, |(_, last)| last + 1), next_base);
        let (files, aside) = (store.one_blocks().await.unwrap(), store.forked_blocks().await.unwrap());
        let chain = self.reference.chain(self.options.first_streamable, self.reference.head);
        for block in &self.blocks {
            let is_file = files.iter().any(|name| name.is_of(block));
            let is_aside = aside.iter().any(|name| name.is_of(block));
            let on_chain = chain.binary_search(&block.into()).is_ok();
            if on_chain && block.number() < next_base {
                assert_eq!(store.read_block(block.number()).await.unwrap(), *block);
            } else {
                assert!(is_file || is_aside, "{block:?}");
                assert!(!on_chain || is_file, "{block:?}");
            }
        }
    }
}

fn run(seed: u64, reads_fail: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let history = History::new(seed, reads_fail, folder.path());
        assert!(history.data_dir.is_dir());
        history.run().await
    })
}

/// Seeds that failed once. 4129: the last event of a client is an undo down to a final block, to which the source has not come
/// again after a restart.
const REGRESSIONS: [u64; 1] = [4129];

#[test]
fn every_stream_of_every_history_is_whole() {
    // More in a long run, as of the property tests.
    let histories = std::env::var("PROPTEST_CASES").map_or(200, |count| count.parse().unwrap());
    for seed in REGRESSIONS.into_iter().chain(0..histories) {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed, seed % 2 == 1)) {
            eprintln!("history {seed} failed");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..8 {
        // Reads run beside each other in an order of their own, and with them their failures.
        assert!(run(seed, false) == run(seed, false), "{seed}");
    }
}
