//! The runtimes of the server and of commands.
//!
//! Tokio compiles a future once for every kind of scheduler that may run it, with all that it awaits. These runtimes take futures in
//! boxes: each is compiled once.

use std::{future::Future, io};

use futures::future::LocalBoxFuture;
use tokio::runtime::Builder;

/// A runtime that waits for what is in a box.
pub(crate) struct Runtime(tokio::runtime::Runtime);

impl Runtime {
    /// For a command that asks a server or a node.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn of_one_thread() -> io::Result<Self> {
        Builder::new_current_thread().enable_all().build().map(Self)
    }

    /// For a command that reads or writes block stores.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn of_two_threads() -> io::Result<Self> {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().map(Self)
    }

    /// For the server: a thread for each core, and as many as this that may block.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn of_all_cores(blocking_threads: usize) -> io::Result<Self> {
        Builder::new_multi_thread().enable_all().max_blocking_threads(blocking_threads).build().map(Self)
    }

    /// Waits for the end of `work`.
    ///
    /// # Panics
    /// On a thread of a runtime.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        let work: LocalBoxFuture<'_, T> = Box::pin(work);
        self.0.block_on(work)
    }

    /// Ends without waiting for work that blocks still.
    pub(crate) fn shutdown_background(self) {
        self.0.shutdown_background();
    }
}
