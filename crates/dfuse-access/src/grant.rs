use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use crate::{
    Counted, KeyId, KeyKind, Place, Rate, Refusal, RouteClass, Standing, Tier, Usage,
    keyring::Held,
    limits::{Bucket, Counts},
    meter::Counters,
    shared::Shared,
};

/// Who a caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Nobody in particular, where no token is needed or none was sent.
    Anonymous,
    /// Somebody in a network that needs no token.
    Network,
    /// Somebody who knows the shared secret.
    Secret,
    /// Somebody with an API key.
    Key(KeyId),
    /// Somebody with a token of another issuer: the issuer, and the key or user that it names.
    Foreign(Arc<str>),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Network => f.write_str("network"),
            Self::Secret => f.write_str("secret"),
            Self::Key(id) => id.fmt(f),
            Self::Foreign(name) => f.write_str(name),
        }
    }
}

/// What a caller may do. It charges them, counts what they use, and says when a stream of theirs has to end. Cloning is cheap, and
/// all clones are the same caller.
#[derive(Clone)]
pub struct Grant(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) subject: Subject,
    pub(crate) tier: Arc<Tier>,
    /// Instead of what the tier says.
    pub(crate) rate: Option<Rate>,
    /// The first block that may be read: if 0 or below, so many below the head.
    pub(crate) start_block: Option<i64>,
    pub(crate) address: Option<IpAddr>,
    /// By whom everything of the subject is counted; nobody where nothing is limited.
    pub(crate) counts: Option<Counts>,
    /// By whom everything of the subject at this address is.
    pub(crate) counts_here: Option<Counts>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) key: Option<Arc<Held>>,
    /// Where the caller stood when a request was last taken.
    pub(crate) standing: Mutex<Option<Standing>>,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("subject", &self.0.subject)
            .field("tier", &self.0.tier.name())
            .finish_non_exhaustive()
    }
}

impl Grant {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Who it is.
    pub fn subject(&self) -> &Subject {
        &self.0.subject
    }

    /// The API key and its kind, if they have one that was made here.
    pub fn key(&self) -> Option<(KeyId, KeyKind)> {
        self.0.key.as_ref().map(|held| (held.key.id, held.key.spec.kind))
    }

    /// The client's address, if requests have one.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    /// The caller's tier.
    pub fn tier(&self) -> &Tier {
        &self.0.tier
    }

    /// How far back the caller may go, as tokens have it: from this block on if above 0, otherwise so many blocks below the head.
    /// Anywhere without it.
    pub fn start_block(&self) -> Option<i64> {
        self.0.start_block
    }

    /// The first block that the caller may read, with the chain's head at this number.
    pub fn first_block(&self, head: u32) -> u32 {
        let first = match self.0.start_block {
            None => 0,
            Some(block) if block > 0 => block,
            Some(below) => i64::from(head).saturating_add(below),
        };
        u32::try_from(first.max(0)).unwrap_or(u32::MAX)
    }

    /// Whether the caller may go on: no maintenance, and the key was not revoked.
    ///
    /// # Errors
    /// [`Refusal::Maintenance`] and [`Refusal::KeyRevoked`].
    pub fn check(&self) -> Result<(), Refusal> {
        if *self.0.shared.maintenance.borrow() {
            return Err(self.0.shared.in_maintenance());
        }
        match &self.0.key {
            Some(held) if *held.revoked.borrow() => Err(Refusal::KeyRevoked),
            _ => Ok(()),
        }
    }

    /// Waits until the caller may not go on, and says why. For streams.
    pub async fn ended(&self) -> Refusal {
        let mut maintenance = self.0.shared.maintenance.subscribe();
        let mut revoked = self.0.key.as_ref().map(|held| held.revoked.subscribe());
        tokio::select! {
            () = is_set(&mut maintenance) => self.0.shared.in_maintenance(),
            () = async {
                match &mut revoked {
                    Some(revoked) => is_set(revoked).await,
                    None => std::future::pending().await,
                }
            } => Refusal::KeyRevoked,
        }
    }

    /// Whether the caller's tier has the routes.
    ///
    /// # Errors
    /// [`Refusal::Tier`].
    pub fn require(&self, class: RouteClass) -> Result<(), Refusal> {
        if self.0.tier.has(class) {
            return Ok(());
        }
        let required = self.0.shared.tiers.with(class).name().to_owned();
        Err(Refusal::Tier { tier: self.0.tier.name().to_owned(), required })
    }

    /// Takes one request of the class, and says where the caller stands if there is a limit.
    ///
    /// # Errors
    /// [`Refusal::Rate`].
    pub fn take(&self, class: RouteClass) -> Result<Option<Standing>, Refusal> {
        let mut standing = None;
        // The address first: what one of them does too much of is not taken from the others.
        for bucket in self.buckets(class).into_iter().flatten() {
            match bucket.take() {
                Ok(taken) => standing = Some(taken.tighter(standing)),
                Err(refused) => {
                    self.note(Some(refused));
                    self.record(Usage { rate_limited: 1, ..Usage::default() });
                    return Err(Refusal::Rate(refused));
                }
            }
        }
        self.note(standing);
        Ok(standing)
    }

    /// Where the caller stood when a request was last taken, if there was a limit: for surfaces that tell it after the fact.
    pub fn standing(&self) -> Option<Standing> {
        *self.0.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, standing: Option<Standing>) {
        if standing.is_some() {
            *self.0.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
        }
    }

    /// Charges work beyond what a request is worth, in the units of its class. It never fails: what is not there any more is
    /// taken from what comes.
    pub fn charge_work(&self, class: RouteClass, work: u64) {
        // The request itself was taken.
        let requests = (work / self.0.shared.work_per_request.max(1)).saturating_sub(1);
        if requests > 0 {
            for bucket in self.buckets(class).into_iter().flatten() {
                bucket.charge(requests);
            }
        }
    }

    /// A place for a connection that streams go over, until it is dropped.
    ///
    /// # Errors
    /// [`Refusal::Number`].
    pub fn connection(&self) -> Result<Place, Refusal> {
        self.place(Counted::Connections, self.0.tier.max_connections())
    }

    /// A place for a stream, until it is dropped.
    ///
    /// # Errors
    /// [`Refusal::Number`].
    pub fn stream(&self) -> Result<Place, Refusal> {
        self.place(Counted::Streams, self.0.tier.max_streams())
    }

    /// Counts what the caller used.
    pub fn record(&self, usage: Usage) {
        self.0.counters.add(usage);
    }

    fn place(&self, counted: Counted, limit: Option<u32>) -> Result<Place, Refusal> {
        let (Some(counts), Some(limit)) = (self.0.counts.or(self.0.counts_here), limit) else {
            return Ok(Place::default());
        };
        self.0.shared.places.take(counts, counted, limit).map_err(|limit| Refusal::Number { counted, limit })
    }

    /// Where requests of the class are taken from: those of the address, and those of the key.
    fn buckets(&self, class: RouteClass) -> [Option<Arc<Bucket>>; 2] {
        let Inner { shared, tier, counts, counts_here, rate, .. } = &*self.0;
        let by_key = rate.or(tier.rate(class));
        let by_address = tier.address_rate(class).or(by_key.filter(|_| counts.is_none()));
        let bucket =
            |counts: &Option<Counts>, rate: Option<Rate>| Some(shared.limits.bucket((*counts)?, Some(class), rate?));
        [bucket(counts_here, by_address), bucket(counts, by_key)]
    }
}

/// An address for those of which none is known.
pub(crate) fn some_address(address: Option<IpAddr>) -> IpAddr {
    address.map_or(Ipv4Addr::UNSPECIFIED.into(), crate::network)
}

async fn is_set(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|is_set| *is_set).await.is_err() {
        // Nobody can set it any more.
        std::future::pending::<()>().await;
    }
}
