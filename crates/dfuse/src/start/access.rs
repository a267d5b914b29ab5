//! Who may ask: the gate, its upkeep, and the socket for commands.

use std::{path::Path, sync::Arc, time::Duration};

use dfuse_access::{Gate, KvAccessStore, Options};
use dfuse_blocks::{SystemClock, SystemEntropy};
use futures::future::join_all;
use tokio::{task::spawn_blocking, time::sleep};
use tracing::{info, warn};

use super::{data_dir::DataDir, issuers::IssuerKeys, settings::Access};
use crate::{
    control::{Commanded, Control},
    failure::usage,
};

/// Usage that a crash may lose.
const FLUSH_EVERY: Duration = Duration::from_secs(2);
/// Seconds of a day.
const DAY: u64 = 86_400;

/// The gate of a server, and what keeps it up.
pub(super) struct Opened {
    pub(super) gate: Arc<Gate>,
    issuers: Vec<IssuerKeys>,
    rotate_after: u64,
}

/// Opens the gate of a server that has locked its data directory.
pub(super) async fn open(
    data_dir: &Path,
    clock: Arc<SystemClock>,
    settings: &Access,
    options: Options,
) -> anyhow::Result<Opened> {
    let path = DataDir::access_in(data_dir);
    let opened = spawn_blocking(move || -> dfuse_access::Result<_> {
        let store = Arc::new(KvAccessStore::open(&path)?);
        Gate::open(store, clock, Arc::new(SystemEntropy), options)
    });
    let gate = Arc::new(opened.await?.map_err(|error| match error {
        dfuse_access::Error::Invalid(why) => usage(why),
        error => error.into(),
    })?);
    for tier in gate.unknown_tiers() {
        warn!(tier, "there are keys of this tier, which is not in access.tiers: whoever has them may do nothing");
    }
    if settings.maintenance {
        gate.begin_maintenance();
    }
    if gate.is_in_maintenance() {
        warn!("the server is under maintenance; `dfuse maintenance off` ends it");
    }
    let mut issuers = Vec::new();
    for issuer in &settings.issuers {
        issuers.push(IssuerKeys::open(issuer, &gate).await?);
    }
    Ok(Opened { gate, issuers, rotate_after: settings.rotate_days.saturating_mul(DAY) })
}

/// Takes commands, writes usage and changes keys, until it is dropped.
pub(super) async fn run(opened: Opened, commanded: Commanded) {
    let Opened { gate, issuers, rotate_after } = opened;
    let commands = Control::listen(commanded);
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
            failed = keep_up(&gate, rotate_after, failed).await;
        }
    };
    let issuers = async {
        join_all(issuers.into_iter().map(|issuer| issuer.run(gate.clone()))).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = commands => {}
        () = upkeep => {}
        () = issuers => {}
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
async fn keep_up(gate: &Arc<Gate>, rotate_after: u64, has_failed: bool) -> bool {
    let gate = gate.clone();
    let done = spawn_blocking(move || {
        gate.flush_usage()?;
        gate.rotate_if_older(rotate_after)
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
