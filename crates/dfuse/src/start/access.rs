//! Who may ask: the gate, its upkeep, and the socket for commands.

use std::{sync::Arc, time::Duration};

use dfuse_access::{AccessStore, Gate, KvAccessStore, MachinesAccessStore, Mode, Options, configured_signing_keys};
use dfuse_blocks::{BlockStore, SystemEntropy};
use futures::future::join_all;
use tokio::{
    runtime::Handle,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{
    conditions::Conditions, data_dir::DataDir, given::Given, issuers::IssuerKeys, roles::Roles, settings::Settings,
};
use crate::{
    control::{Commanded, Control},
    failure::usage,
};

/// Usage that a crash may lose.
const FLUSH_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked whether other machines have made or revoked keys.
const SHARE_EVERY: Duration = Duration::from_secs(2);
/// How many such looks apart they are told what was used here.
const TELL_EVERY: u32 = 15;
/// How long such a look may take until it is said that it does.
const SHARE_PATIENCE: Duration = Duration::from_secs(3);
/// Name of a condition of readiness.
const KEYS: &str = "keys";
/// Seconds of a day.
const DAY: u64 = 86_400;

/// The gate of a server, and what keeps it up.
pub(super) struct Opened {
    pub(super) gate: Arc<Gate>,
    issuers: Vec<IssuerKeys>,
    rotate_after: u64,
    /// Whether other machines have the same keys.
    is_shared: bool,
}

/// Opens the gate of a server that has locked its data directory.
pub(super) async fn open(given: &Given<'_>, files: &BlockStore) -> anyhow::Result<Opened> {
    let Given { settings, roles, data_dir, clock, .. } = given;
    let options = gate_options(settings, *roles)?;
    let machine = settings.machines.name.clone().filter(|_| roles.api).zip(given.name.as_ref());
    let shared = machine.map(|(name, held)| ((name, held.is_ours()), files.access_objects()));
    data_dir.shares_keys(shared.is_some())?;
    let is_shared = shared.is_some();
    let signing = configured_signing_keys(&settings.access.signing_keys).map_err(usage_of)?;
    let (path, clock, runtime) = (DataDir::access_in(data_dir.path()), clock.clone(), Handle::current());
    let opened = spawn_blocking(move || -> dfuse_access::Result<_> {
        let own = KvAccessStore::open(&path)?;
        let store: Arc<dyn AccessStore> = match shared {
            Some((machine, objects)) => Arc::new(MachinesAccessStore::open(own, objects, runtime, machine, signing)?),
            None => Arc::new(own),
        };
        Gate::open(store, clock, Arc::new(SystemEntropy), options)
    });
    let settings = &settings.access;
    let gate = Arc::new(opened.await?.map_err(usage_of)?);
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
    // Keys that machines share change with their configuration only.
    let rotate_after = if is_shared { u64::MAX } else { settings.rotate_days.saturating_mul(DAY) };
    Ok(Opened { gate, issuers, rotate_after, is_shared })
}

/// Who is let in. Machines that take live blocks show the secret that they share.
pub(super) fn gate_options(settings: &Settings, roles: Roles) -> anyhow::Result<Options> {
    let shared = settings.machines.secret.as_ref().filter(|_| roles.ingest);
    let mut access = settings.access.clone();
    // Whoever has no clients but machines asks the secret of all.
    if shared.is_some() && !roles.api && access.mode.is_none() {
        access.mode = Some(Mode::Required);
    }
    let mut options = access.options(settings.most_open_address()?)?;
    if options.mode != Mode::Open && options.secret.is_none() {
        options.secret = shared.cloned().map(Into::into);
    }
    Ok(options)
}

fn usage_of(error: dfuse_access::Error) -> anyhow::Error {
    match error {
        dfuse_access::Error::Invalid(why) => usage(why),
        error => error.into(),
    }
}

/// Takes commands, writes usage and changes keys, until it is dropped.
pub(super) async fn run(opened: Opened, commanded: Commanded, conditions: Arc<Conditions>) {
    let Opened { gate, issuers, rotate_after, is_shared } = opened;
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
    let sharing = async {
        if is_shared {
            share(&gate, &conditions).await;
        }
        std::future::pending::<()>().await;
    };
    let issuers = async {
        join_all(issuers.into_iter().map(|issuer| issuer.run(gate.clone()))).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = commands => {}
        () = upkeep => {}
        () = sharing => {}
        () = issuers => {}
    }
}

/// Writes the last of what was used, and closes the store, once nobody is served any more.
pub(super) async fn close(gate: Arc<Gate>) {
    let end = move || gate.flush_usage().and_then(|()| gate.tell_usage()).and(gate.store().close());
    let closed = spawn_blocking(end).await;
    if let Ok(Err(error)) = closed {
        warn!(%error, "the last usage of keys was not written");
    }
}

/// Takes over what other machines have changed of the keys, and tells them what was used here. Does not end.
async fn share(gate: &Arc<Gate>, conditions: &Conditions) {
    let mut round = 0u32;
    loop {
        let gate = gate.clone();
        let tells = round.is_multiple_of(TELL_EVERY);
        let mut work = spawn_blocking(move || {
            let read = gate.keyring().refresh();
            if tells { gate.tell_usage().and(read) } else { read }
        });
        let done = match timeout(SHARE_PATIENCE, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                conditions
                    .fails(KEYS, "the keys that machines share cannot be read: the store does not answer".to_owned());
                work.await
            }
        };
        match done {
            Ok(Ok(())) => conditions.holds(KEYS),
            Ok(Err(error)) => conditions.fails(KEYS, error.to_string()),
            Err(_) => return,
        }
        round = round.wrapping_add(1);
        sleep(SHARE_EVERY).await;
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
