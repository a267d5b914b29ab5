//! Who may ask: the gate, its upkeep, and the socket for commands.

use std::{path::Path, sync::Arc, time::Duration};

use dfuse_access::{Gate, KvAccessStore, Options};
use dfuse_blocks::{SystemClock, SystemEntropy};
use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use tracing::{info, warn};

use crate::control::{ACCESS, Control};

/// Usage that a crash may lose.
const FLUSH_EVERY: Duration = Duration::from_secs(2);
/// Seconds after which another key signs tokens.
const ROTATE_AFTER: u64 = 30 * 86_400;

/// The gate of a server that has locked its data directory.
pub(super) async fn open(data_dir: &Path, clock: Arc<SystemClock>, options: Options) -> anyhow::Result<Arc<Gate>> {
    let path = data_dir.join(ACCESS);
    let opened = spawn_blocking(move || -> dfuse_access::Result<_> {
        let store = Arc::new(KvAccessStore::open(&path)?);
        Gate::open(store, clock, Arc::new(SystemEntropy), options)
    });
    let gate = Arc::new(opened.await??);
    if gate.is_in_maintenance() {
        warn!("the server is under maintenance; `dfuse maintenance off` ends it");
    }
    Ok(gate)
}

/// Takes commands, writes usage and changes signing keys, until the process stops.
pub(super) async fn run(gate: Arc<Gate>, data_dir: Box<Path>, mut stopped: watch::Receiver<bool>) {
    let commands = Control::listen(&data_dir, gate.clone());
    let commands = async move {
        match commands {
            Ok(control) => control.run().await,
            Err(error) => warn!(error = %crate::failure::one_line(&error), "no commands"),
        }
        std::future::pending::<()>().await;
    };
    let upkeep = async {
        let mut failed = false;
        loop {
            sleep(FLUSH_EVERY).await;
            failed = keep_up(&gate, failed).await;
        }
    };
    tokio::select! {
        () = commands => {}
        () = upkeep => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

/// Writes the last of what was used, and closes the store, once nobody is served any more.
pub(super) async fn close(gate: Arc<Gate>) {
    let closed = spawn_blocking(move || gate.flush_usage().and_then(|()| gate.store().close())).await;
    if let Ok(Err(error)) = closed {
        warn!(%error, "the last usage of keys was not written");
    }
}

/// Returns whether it failed; only the first of several failures is told.
async fn keep_up(gate: &Arc<Gate>, has_failed: bool) -> bool {
    let gate = gate.clone();
    let done = spawn_blocking(move || {
        gate.flush_usage()?;
        gate.rotate_if_older(ROTATE_AFTER)
    });
    match done.await {
        Ok(Ok(rotated)) => {
            if let Some(kid) = rotated {
                info!(kid, "another key signs tokens");
            }
            false
        }
        Ok(Err(error)) => {
            if !has_failed {
                warn!(%error, "usage of keys cannot be written; it is kept and tried again");
            }
            true
        }
        Err(_) => true,
    }
}
