use std::sync::Arc;

use dfuse_blocks::{Clock, Entropy};
use quick_cache::sync::Cache;
use tokio::sync::watch;

use crate::{
    AccessStore, Keyring, Meter, Options, Refusal, Tiers, issuers::Issuers, limits::Limits, places::Places,
    signing::SigningKeys, token::Claims,
};

/// What a gate and its grants share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) tiers: Tiers,
    pub(crate) limits: Limits,
    pub(crate) places: Places,
    pub(crate) maintenance: watch::Sender<bool>,
    pub(crate) work_per_request: u64,
    pub(crate) store: Arc<dyn AccessStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) keyring: Keyring,
    pub(crate) signing: SigningKeys,
    pub(crate) issuers: Issuers,
    pub(crate) verified: Verified,
}

/// What valid tokens say, by their digests.
pub(crate) struct Verified(pub(crate) Cache<[u8; 32], Arc<(Claims, Signer)>>);

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verified({})", self.0.len())
    }
}

/// Who signed a token.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signer {
    Us,
    Issuer(usize),
}

impl Shared {
    pub(crate) fn in_maintenance(&self) -> Refusal {
        Refusal::Maintenance { retry_seconds: self.options.maintenance_retry_seconds }
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now().as_secs()
    }
}
