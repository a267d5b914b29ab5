//! The public keys of other issuers, from files or addresses.

use std::{path::Path, sync::Arc, time::Duration};

use dfuse_access::Gate;
use dfuse_node::rpc::{NodeClient, NodeOptions};
use tokio::{task::spawn_blocking, time::sleep};
use tracing::{info, warn};

use super::settings::IssuerSettings;
use crate::failure::{one_line, usage};

/// How often keys are looked for again: an issuer that rotates them shows the next ones for longer.
const AGAIN: Duration = Duration::from_secs(300);
/// The same where there are none yet.
const SOON: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(20);
/// Longest document.
const MAX_BYTES: usize = 1 << 20;

/// An issuer, and where its keys are.
pub(super) struct IssuerKeys {
    name: String,
    place: Place,
    has_keys: bool,
    /// Keys that could not be used, which are told when there are others.
    refused: Vec<String>,
}

#[derive(Clone)]
enum Place {
    File(Arc<Path>),
    Address(NodeClient),
}

impl IssuerKeys {
    /// Reads a file at once; an address is asked later, so that the server begins without it.
    ///
    /// # Errors
    /// A file that cannot be read or has no keys, or an address that is none.
    pub(super) async fn open(settings: &IssuerSettings, gate: &Arc<Gate>) -> anyhow::Result<Self> {
        let place = if settings.keys.contains("://") {
            let options =
                NodeOptions { timeout: TIMEOUT, max_answer_bytes: MAX_BYTES, max_idle: 1, ..NodeOptions::default() };
            Place::Address(NodeClient::new(&settings.keys, options).map_err(|error| usage(error.to_string()))?)
        } else {
            Place::File(Path::new(&settings.keys).into())
        };
        let mut keys = Self { name: settings.name.clone(), place, has_keys: false, refused: Vec::new() };
        if let Place::File(_) = keys.place {
            keys.load(gate).await?;
        }
        Ok(keys)
    }

    /// Keeps them up to date, for ever.
    pub(super) async fn run(mut self, gate: Arc<Gate>) {
        loop {
            if !matches!(self.place, Place::File(_)) || self.has_keys {
                match self.load(&gate).await {
                    Ok(()) => {}
                    Err(error) => {
                        warn!(issuer = self.name, error = %one_line(&error), "keys of the issuer were not read; they are tried again");
                    }
                }
            }
            sleep(if self.has_keys { AGAIN } else { SOON }).await;
        }
    }

    async fn load(&mut self, gate: &Arc<Gate>) -> anyhow::Result<()> {
        let document = match self.place.clone() {
            Place::Address(address) => address.get().await?.to_vec(),
            Place::File(path) => {
                let read = spawn_blocking({
                    let path = path.clone();
                    move || std::fs::read(path)
                });
                let unreadable = |error| usage(format!("access.issuers: cannot read {}: {error}", path.display()));
                read.await?.map_err(unreadable)?
            }
        };
        let dfuse_access::IssuerKeys { count, refused } =
            gate.set_issuer_keys(&self.name, &document).map_err(|error| usage(error.to_string()))?;
        if refused != self.refused {
            for key in &refused {
                warn!(issuer = self.name, key, "a key of the issuer cannot be used: tokens that it signs are refused");
            }
            self.refused = refused;
        }
        if !self.has_keys {
            info!(issuer = self.name, keys = count, "tokens of the issuer count");
        }
        self.has_keys = true;
        Ok(())
    }
}
