use std::{io, sync::Arc, thread, time::Duration};

use dfuse_antelope::{AbiDump, model::Block};
use dfuse_blocks::{BlockStore, EncodedBlock, StoreOptions};
use dfuse_deep_mind::MAX_LINE;
use tokio::sync::mpsc;

use crate::{Error, Queue, Result, SourceSpec, log, store};

/// Blocks that are read ahead. With the one at work on either side this bounds memory.
const AHEAD: usize = 32;

pub(crate) type Sender = mpsc::Sender<Result<SourceEvent>>;

/// What a source gives.
#[derive(Debug, Clone)]
pub enum SourceEvent {
    /// A block, after its parent.
    Block {
        /// The block decoded, where the source had it so.
        block: Option<Arc<Block>>,
        /// The block as it is stored and sent.
        encoded: EncodedBlock,
    },
    /// ABIs that were in force before the blocks that follow.
    AbiDump(AbiDump),
    /// A supervised node was started, for the first time or again: what follows may repeat what came before, or begin behind
    /// blocks that were never read.
    LogBegins,
}

/// How to read a source.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// First block of interest: a block store begins there. A log always begins at its beginning.
    pub start_block: u32,
    /// At the end of a block store, wait for more rather than end.
    pub follow: bool,
    /// How long to wait before looking for more.
    pub poll: Duration,
    /// Most bytes that are read from a pipe and not decoded yet.
    pub queue_bytes: usize,
    /// Most bytes of a line of a log.
    pub max_line_bytes: usize,
    /// How to open a block store.
    pub store: StoreOptions,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            start_block: 0,
            follow: false,
            poll: Duration::from_secs(1),
            queue_bytes: 256 << 20,
            max_line_bytes: MAX_LINE,
            store: StoreOptions::default(),
        }
    }
}

/// A source that is being read in the background, a few blocks ahead.
#[derive(Debug)]
pub struct Source {
    events: mpsc::Receiver<Result<SourceEvent>>,
    queue: Option<Queue>,
}

impl Source {
    /// Opens a source and begins to read. A log is decoded on a thread of its own, a block store on the runtime at hand.
    /// Standard input is drained into a queue on another thread, so that the node that writes to it waits for nobody.
    ///
    /// # Errors
    /// What cannot be opened. What goes wrong later comes from [`Source::next`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(spec: &SourceSpec, options: SourceOptions) -> Result<Self> {
        let (sender, events) = mpsc::channel(AHEAD);
        let opened = |e| Error::Open { place: spec.to_string(), source: e };
        let mut queue = None;
        match spec {
            SourceSpec::Log(file) => {
                let stream = log::open_log(file)?;
                spawn(sender, options.max_line_bytes, move || Ok(stream)).map_err(opened)?;
            }
            // Looking at the first bytes waits for the node to write some.
            SourceSpec::StandardInput => {
                let stdin = queue.insert(Queue::new(options.queue_bytes)).clone();
                stdin.fill(io::stdin(), "dfuse-pipe").map_err(opened)?;
                spawn(sender, options.max_line_bytes, || log::decompressed(stdin)).map_err(opened)?;
            }
            SourceSpec::Blocks(place) => {
                let store = BlockStore::open_existing(place, options.store.clone())?;
                let place = place.clone();
                tokio::spawn(async move {
                    if let Err(error) = store::read(&place, store, &options, &sender).await {
                        // The receiver is gone if this fails: nobody wants to know.
                        let _ = sender.send(Err(error)).await;
                    }
                });
            }
        }
        Ok(Self { events, queue })
    }

    /// A source of what somebody sends.
    pub(crate) fn of_events(events: mpsc::Receiver<Result<SourceEvent>>) -> Self {
        Self { events, queue: None }
    }

    /// What is read from standard input and not decoded yet.
    pub fn queue(&self) -> Option<&Queue> {
        self.queue.as_ref()
    }

    /// Reads a log that is at hand, decompressed if it must be, on a thread of its own.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn of_log(log: impl io::Read + Send + 'static) -> Result<Self> {
        let (sender, events) = mpsc::channel(AHEAD);
        let opened = |source| Error::Open { place: "the log".to_owned(), source };
        spawn(sender, MAX_LINE, move || log::decompressed(log)).map_err(opened)?;
        Ok(Self::of_events(events))
    }

    /// The next event; none at the end of the source. After an error there is nothing more.
    pub async fn next(&mut self) -> Result<Option<SourceEvent>> {
        self.events.recv().await.transpose()
    }
}

fn spawn<R: io::Read>(
    sender: Sender,
    max_line_bytes: usize,
    open: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> io::Result<()> {
    let read = move || {
        let opened = open().map_err(|source| Error::Open { place: "the log".to_owned(), source });
        if let Err(error) = opened.and_then(|stream| log::read(stream, &sender, max_line_bytes, None)) {
            let _ = sender.blocking_send(Err(error));
        }
    };
    thread::Builder::new().name("dfuse-log".to_owned()).spawn(read).map(drop)
}
