//! Threads that make entries of rows.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use dfuse_ship::StateRow;

use super::{entries::LoadedEntries, families::Sorters};
use crate::{Error, Index, Result};

/// Bytes of entries that a thread gathers before they are sorted.
const GATHERED_BYTES: usize = 32 << 20;

/// What threads share.
struct Shared {
    pieces: Mutex<Receiver<Vec<StateRow>>>,
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
}

/// The threads. Dropped, they end by themselves.
#[derive(Default)]
pub(super) struct Workers {
    sender: Option<SyncSender<Vec<StateRow>>>,
    shared: Option<Arc<Shared>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(super) fn begin(indexes: &[Arc<dyn Index>], number: u32, sorters: &Arc<Sorters>, threads: usize) -> Self {
        let threads = threads.max(1);
        let (sender, receiver) = sync_channel(threads);
        let shared = Arc::new(Shared {
            pieces: Mutex::new(receiver),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
        });
        let indexes: Arc<[_]> = indexes.iter().filter(|index| index.holds_state()).cloned().collect();
        let threads = (0..threads).map(|_| {
            let (indexes, sorters, shared) = (indexes.clone(), sorters.clone(), shared.clone());
            thread::spawn(move || {
                if let Err(error) = run(&indexes, number, &sorters, &shared) {
                    shared.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    shared.failed.store(true, Ordering::Release);
                    // Whoever sends must not wait for room.
                    while shared.next().is_some() {}
                }
            })
        });
        Self { sender: Some(sender), threads: threads.collect(), shared: Some(shared) }
    }

    /// Hands rows to the next thread that is free, or waits for one.
    pub(super) fn take(&self, piece: Vec<StateRow>) -> Result<()> {
        if let Some(shared) = &self.shared
            && shared.failed.load(Ordering::Acquire)
        {
            return Err(shared.failure());
        }
        let sent = self.sender.as_ref().map(|sender| sender.send(piece));
        sent.map_or(Ok(()), |sent| sent.map_err(|_| Error::Usage("the threads that load have ended".into())))
    }

    /// Waits until all rows are taken.
    pub(super) fn end(mut self) -> Result<()> {
        drop(self.sender.take());
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        match self.shared.take() {
            Some(shared) if shared.failed.load(Ordering::Acquire) => Err(shared.failure()),
            _ => Ok(()),
        }
    }
}

impl Shared {
    fn next(&self) -> Option<Vec<StateRow>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    fn failure(&self) -> Error {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.unwrap_or_else(|| Error::Usage("loading has failed before".into()))
    }
}

fn run(indexes: &[Arc<dyn Index>], number: u32, sorters: &Sorters, shared: &Shared) -> Result<()> {
    let mut gathered: Vec<LoadedEntries> = indexes.iter().map(|_| LoadedEntries::default()).collect();
    let sort = |gathered: &mut Vec<LoadedEntries>| {
        let mut all = gathered.iter_mut().flat_map(|entries| std::mem::take(entries).into_families());
        all.try_for_each(|(family, entries)| sorters.add(family, entries))
    };
    while let Some(piece) = shared.next() {
        for (index, entries) in indexes.iter().zip(&mut gathered) {
            index.load(&piece, number, entries)?;
        }
        if gathered.iter().map(LoadedEntries::memory_bytes).sum::<usize>() >= GATHERED_BYTES {
            sort(&mut gathered)?;
        }
    }
    sort(&mut gathered)
}
