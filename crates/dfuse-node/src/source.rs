use std::{fs, io, thread};

use dfuse_blocks::BlockStore;
use dfuse_deep_mind::MAX_LINE;
use tokio::{runtime::Handle, sync::mpsc};

use crate::{
    Error, Queue, Result, SourceEvent, SourceOptions, SourceSpec,
    event::Sender,
    firehose::{self, Endpoint},
    history, live, log, ship, store,
};

/// Blocks that are read ahead. With the one at work on either side this bounds memory.
const AHEAD: usize = 32;

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
        let runtime = Handle::current();
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
            SourceSpec::HistoryLogs(folders) => {
                for folder in [folders.history(), folders.blocks()] {
                    fs::metadata(folder)
                        .map_err(|source| Error::Open { place: folder.display().to_string(), source })?;
                }
                let folder = folders.clone();
                let read = move || {
                    if let Err(error) = history::read(&folder, &options, &sender, &runtime) {
                        // The receiver is gone if this fails: nobody wants to know.
                        let _ = sender.blocking_send(Err(error));
                    }
                };
                thread::Builder::new().name("dfuse-history".to_owned()).spawn(read).map(drop).map_err(opened)?;
            }
            SourceSpec::History(addresses) => {
                let addresses = addresses.clone();
                let follow = move || {
                    if let Err(error) = ship::follow(&addresses, &options, &sender, &runtime) {
                        // The receiver is gone if this fails: nobody wants to know.
                        let _ = sender.blocking_send(Err(error));
                    }
                };
                thread::Builder::new().name("dfuse-history".to_owned()).spawn(follow).map(drop).map_err(opened)?;
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
            SourceSpec::Firehose(endpoints) => {
                firehose::check(endpoints, &options.firehose).map_err(Error::Endpoint)?;
                let endpoints = endpoints.clone();
                tokio::spawn(async move {
                    if let Err(error) = firehose::read(&endpoints, options, &sender).await {
                        let _ = sender.send(Err(error)).await;
                    }
                });
            }
        }
        Ok(Self { events, queue })
    }

    /// Follows machines that take blocks and share this store: whichever sends a block first counts, and what none sends comes
    /// from the store. `place` is what people call the store.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn live(place: String, store: BlockStore, machines: Vec<Endpoint>, options: SourceOptions) -> Self {
        let (sender, events) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            if let Err(error) = live::read(&place, store, machines, &options, &sender).await {
                // The receiver is gone if this fails: nobody wants to know.
                let _ = sender.send(Err(error)).await;
            }
        });
        Self::of_events(events)
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
