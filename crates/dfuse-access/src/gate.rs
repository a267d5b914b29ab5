use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use dfuse_blocks::{Clock, Entropy};
use ipnet::IpNet;
use quick_cache::sync::Cache;
use ring::digest::{SHA256, digest};
use tokio::sync::watch;

use crate::{
    AccessStore, ApiKey, Asking, ClientAddress, Error, Grant, IssuedToken, IssuerKeys, KeyKind, KeyText, Keyring,
    Meter, Mode, NewKey, Options, OriginPattern, Refusal, Result, Subject, Tier, Tiers, UsedSinceStart,
    address::contains,
    grant::{Inner, some_address},
    issuers::Issuers,
    keyring::Held,
    limits::{Counts, Limits},
    places::Places,
    shared::{Shared, Signer, Verified},
    signing::SigningKeys,
    token::{self, Claims, Rights},
};

/// Tokens that are kept once they are verified, of some half a kilobyte each.
const MAX_VERIFIED: usize = 10_000;
/// Longest name that callers of other issuers are counted under.
const MAX_SUBJECT_BYTES: usize = 128;
/// Most bytes of an origin that an error repeats.
const MAX_ORIGIN_BYTES: usize = 100;
/// Seconds of a day.
const DAY: u64 = 86_400;

/// Decides who may ask what.
#[derive(Debug)]
pub struct Gate(Arc<Shared>);

impl Gate {
    /// Opens keys and signing keys; a first signing key is made. May block on a disk.
    ///
    /// # Errors
    /// Those of the store, and [`Error::Invalid`] for options that cannot be.
    pub fn open(
        store: Arc<dyn AccessStore>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        options: Options,
    ) -> Result<Self> {
        let tiers = Tiers::new(&options.tiers)?;
        if let Some(name) = &options.anonymous_tier
            && tiers.find(Some(name)).is_none()
        {
            let known = tiers.names().join(", ");
            return Err(Error::Invalid(format!(
                "setting \"access.anonymous_tier\": there is no tier \"{name}\"; the tiers are {known}"
            )));
        }
        if options.secret.as_ref().is_some_and(|secret| secret.is_empty()) {
            return Err(Error::Invalid(
                "setting \"access.secret\": it is empty; leave it out, or make one up".to_owned(),
            ));
        }
        let meter = Arc::new(Meter::default());
        let shared = Shared {
            limits: Limits::new(clock.clone()),
            places: Places::default(),
            maintenance: watch::Sender::new(store.maintenance()?),
            work_per_request: options.work_per_request,
            keyring: Keyring::open(store.clone(), entropy.clone(), meter.clone())?,
            signing: SigningKeys::open(&*store, clock.now().as_secs())?,
            issuers: Issuers::new(options.issuers.clone()),
            verified: Verified(Cache::new(MAX_VERIFIED)),
            tiers,
            options,
            store,
            clock,
            entropy,
            meter,
        };
        Ok(Self(Arc::new(shared)))
    }

    /// The client's address, behind the proxies that are configured.
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl Iterator<Item = &'a str>) -> ClientAddress {
        self.0.options.proxies.client(peer, forwarded)
    }

    /// Whether callers need a token.
    pub fn mode(&self) -> Mode {
        self.0.options.mode
    }

    /// Says who asks and what they may do. Their tier and rates are for [`Grant::require`] and [`Grant::take`], which know the
    /// route. Never blocks.
    ///
    /// # Errors
    /// [`Refusal::Maintenance`], those of the token, and [`Refusal::Origin`].
    pub fn admit(&self, asking: &Asking<'_>) -> Result<Grant, Refusal> {
        if *self.0.maintenance.borrow() {
            return Err(self.0.in_maintenance());
        }
        self.decide(self.presented(asking), asking)
    }

    /// Decides whether somebody may see what is for operators: what each key has used, and what others have asked. Under maintenance,
    /// too. Who may: everybody in open mode and in the networks of operators; otherwise whoever has no limits, be it by their network,
    /// by the secret, or by a token for a key of a server or of another issuer.
    ///
    /// # Errors
    /// Those of the token, [`Refusal::Origin`], and [`Refusal::Tier`] for callers with limits.
    pub fn admit_operator(&self, asking: &Asking<'_>) -> Result<Grant, Refusal> {
        let Options { mode, operator_networks, .. } = &self.0.options;
        if *mode == Mode::Open || is_in(operator_networks, asking) {
            return Ok(self.anonymous(asking));
        }
        let grant = self.decide(self.presented(asking), asking)?;
        match grant.subject() {
            Subject::Network | Subject::Secret => Ok(grant),
            Subject::Anonymous => Err(Refusal::TokenMissing),
            Subject::Key(_) | Subject::Foreign(_) => {
                let is_public = grant.key().is_some_and(|(_, kind)| kind != KeyKind::Server);
                let tier = grant.tier().name();
                if tier == Tiers::UNLIMITED && !is_public {
                    return Ok(grant);
                }
                Err(Refusal::Tier { tier: tier.to_owned(), required: Tiers::UNLIMITED.to_owned() })
            }
        }
    }

    /// Whose token it is, if there is one.
    fn presented(&self, asking: &Asking<'_>) -> Option<Result<Grant, Refusal>> {
        let token = asking.token.map(str::trim).filter(|token| !token.is_empty());
        token.map(|token| self.holder(token, asking))
    }

    /// Decides who somebody is that presents an API key itself instead of a token for it.
    ///
    /// # Errors
    /// [`Refusal::Maintenance`], those of the key, and [`Refusal::Origin`].
    pub fn admit_key(&self, api_key: &str, asking: &Asking<'_>) -> Result<Grant, Refusal> {
        if *self.0.maintenance.borrow() {
            return Err(self.0.in_maintenance());
        }
        let address = some_address(asking.address);
        let held = self.may_guess(address).and_then(|()| {
            let held = self.0.keyring.by_text(api_key);
            if held.is_none() {
                self.guessed_wrong(address);
            }
            held.ok_or(Refusal::KeyInvalid)
        });
        self.decide(Some(held.and_then(|held| self.with_key(asking, &held))), asking)
    }

    /// What follows from who somebody is found to be; absent where they do not say.
    fn decide(&self, known: Option<Result<Grant, Refusal>>, asking: &Asking<'_>) -> Result<Grant, Refusal> {
        let shared = &self.0;
        let is_free = is_in(&shared.options.networks, asking);
        match (known, shared.options.mode) {
            (Some(Ok(grant)), _) => Ok(grant),
            (None | Some(Err(_)), _) if is_free => Ok(self.grant(asking, Subject::Network, shared.tiers.unlimited())),
            (None | Some(Err(_)), Mode::Open) => Ok(self.anonymous(asking)),
            (Some(Err(refusal)), Mode::Optional | Mode::Required) => Err(refusal),
            (None, Mode::Optional) => Ok(self.anonymous(asking)),
            (None, Mode::Required) => Err(Refusal::TokenMissing),
        }
    }

    /// Issues a token for an API key, for a page of `origin` if one asks.
    ///
    /// # Errors
    /// [`Error`] if the server fails. The refusals are those of keys, of origins and of rates.
    pub fn issue(
        &self,
        api_key: &str,
        address: Option<IpAddr>,
        origin: Option<&str>,
    ) -> Result<Result<IssuedToken, Refusal>> {
        let shared = &self.0;
        if *shared.maintenance.borrow() {
            return Ok(Err(shared.in_maintenance()));
        }
        let address = some_address(address);
        let bucket = shared.limits.bucket(Counts::Issues(address), None, shared.options.issue_rate);
        let taken = bucket.take().map(drop).map_err(Refusal::Rate);
        if let Err(refusal) = taken.and_then(|()| self.may_guess(address)) {
            return Ok(Err(refusal));
        }
        let now = shared.now();
        let held = shared.keyring.by_text(api_key).filter(|held| held.key.is_valid(now));
        let Some(held) = held else {
            self.guessed_wrong(address);
            return Ok(Err(Refusal::KeyInvalid));
        };
        let key = &held.key;
        if let Err(refusal) = check_origin(key, origin) {
            return Ok(Err(refusal));
        }
        let tier = shared.tiers.find(key.spec.tier.as_deref());
        let only = match &key.spec.origins[..] {
            [only] => only.exact().map(str::to_owned),
            _ => None,
        };
        let rights = Rights {
            key: key.id,
            kind: key.spec.kind,
            user: key.user(),
            tier: key.spec.tier.as_deref().unwrap_or(Tiers::UNLIMITED),
            history: key.spec.history.or(tier.and_then(|tier| tier.history())),
            origin: origin.filter(|_| !key.spec.origins.is_empty()).map(str::to_owned).or(only),
        };
        let mut id = [0; 16];
        shared.entropy.fill(&mut id).map_err(|error| Error::Crypto(error.to_string()))?;
        let mut claims = rights.claims(&shared.options.issuer, token::uuid(id), now);
        // Nothing outlives its key.
        claims.exp = key.spec.expires.map_or(claims.exp, |expires| claims.exp.min(expires));
        let token = shared.signing.sign(&claims)?;
        Ok(Ok(IssuedToken { token, expires_at: claims.exp }))
    }

    /// The public keys that tokens of this server are verified with, as a JSON Web Key Set.
    pub fn public_keys(&self) -> serde_json::Value {
        self.0.signing.public()
    }

    /// The API keys.
    pub fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// Makes an API key, of which the text is told now and never again. May block on a disk.
    ///
    /// # Errors
    /// Those of [`Keyring::create`], and [`Error::Invalid`] for a tier that does not exist.
    pub fn create_key(&self, new: NewKey) -> Result<(KeyText, ApiKey)> {
        if let Some(tier) = &new.tier
            && !self.0.options.any_tier
            && self.0.tiers.find(Some(tier)).is_none()
        {
            let known = self.0.tiers.names().join(", ");
            return Err(Error::Invalid(format!("there is no tier \"{tier}\"; the tiers are {known}")));
        }
        self.0.keyring.create(new, self.0.now())
    }

    /// Tiers of valid keys that are not in the table, so that these keys may do nothing.
    pub fn unknown_tiers(&self) -> BTreeSet<String> {
        let now = self.0.now();
        let valid = self.0.keyring.list().into_iter().filter(|key| key.is_valid(now));
        valid.filter_map(|key| key.spec.tier).filter(|tier| self.0.tiers.find(Some(tier)).is_none()).collect()
    }

    /// Ends an API key with all its tokens and streams. May block on a disk.
    ///
    /// # Errors
    /// Those of [`Keyring::revoke`].
    pub fn revoke_key(&self, id: &str) -> Result<ApiKey> {
        self.0.keyring.revoke(id, self.0.now())
    }

    /// Lets a new key sign tokens; those of the one before count as long as they live. May block on a disk. Returns its id.
    ///
    /// # Errors
    /// Those of the store.
    pub fn rotate(&self) -> Result<String> {
        self.0.signing.rotate(&*self.0.store, self.0.now())
    }

    /// The same, if the key that signs was made so long ago.
    ///
    /// # Errors
    /// Those of the store.
    pub fn rotate_if_older(&self, seconds: u64) -> Result<Option<String>> {
        let made = self.0.signing.signs().unwrap_or_default();
        if self.0.now() < made.saturating_add(seconds) { Ok(None) } else { self.rotate().map(Some) }
    }

    /// Takes the public keys of another issuer, a JSON Web Key Set, instead of those that it had.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a document that is none, or has no key that can be used.
    pub fn set_issuer_keys(&self, issuer: &str, document: &[u8]) -> Result<IssuerKeys> {
        let keys = self.0.issuers.set_keys(issuer, document)?;
        // Tokens of keys that are gone do not count any more.
        self.0.verified.0.clear();
        Ok(keys)
    }

    /// Whether the server is under maintenance.
    pub fn is_in_maintenance(&self) -> bool {
        *self.0.maintenance.borrow()
    }

    /// Why nobody is admitted at the moment, if that is so.
    pub fn closed(&self) -> Option<Refusal> {
        self.is_in_maintenance().then(|| self.0.in_maintenance())
    }

    /// Puts the server under maintenance or takes it out, now and at the next start. Streams are told at once. May block on a disk.
    ///
    /// # Errors
    /// Those of the store; nothing has changed then.
    pub fn set_maintenance(&self, is_on: bool) -> Result<()> {
        self.0.store.set_maintenance(is_on)?;
        self.0.maintenance.send_replace(is_on);
        Ok(())
    }

    /// The same until it is told otherwise, or until the process ends.
    pub fn begin_maintenance(&self) {
        self.0.maintenance.send_replace(true);
    }

    /// Writes what callers used to the table of days. May block on a disk.
    ///
    /// # Errors
    /// Those of the store; nothing is lost then.
    pub fn flush_usage(&self) -> Result<()> {
        self.0.meter.flush(&*self.0.store, self.0.now())
    }

    /// Tells other machines what was used on this one. May block on the store that they share.
    ///
    /// # Errors
    /// Those of the store; nothing is lost then.
    pub fn tell_usage(&self) -> Result<()> {
        self.0.store.tell_usage((self.0.now() / DAY) as u32)
    }

    /// What callers used since the start, for who looks at the server from outside.
    pub fn used_since_start(&self) -> UsedSinceStart {
        self.0.meter.since_start()
    }

    /// Where keys and usage are kept.
    pub fn store(&self) -> &dyn AccessStore {
        &*self.0.store
    }

    /// Who holds the token.
    fn holder(&self, token: &str, asking: &Asking<'_>) -> Result<Grant, Refusal> {
        let shared = &self.0;
        if let Some(secret) = &shared.options.secret
            && secret.is(token)
        {
            return Ok(self.grant(asking, Subject::Secret, shared.tiers.unlimited()));
        }
        let verified = self.verify(token, asking.address)?;
        let (claims, signer) = &*verified;
        match signer {
            Signer::Us => {
                claims.must_last(shared.now())?;
                let held = claims.key().and_then(|id| shared.keyring.by_id(id));
                self.with_key(asking, &held.ok_or(Refusal::TokenInvalid { reason: "its API key does not exist" })?)
            }
            Signer::Issuer(position) => {
                claims.check_time(shared.now())?;
                self.with_foreign(asking, claims, *position)
            }
        }
    }

    /// What a token says, if its signature is right. Those that were right before are known.
    fn verify(&self, token: &str, address: Option<IpAddr>) -> Result<Arc<(Claims, Signer)>, Refusal> {
        let shared = &self.0;
        let mut name = [0; 32];
        name.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        if let Some(known) = shared.verified.0.get(&name) {
            return Ok(known);
        }
        let address = some_address(address);
        let is_open = shared.options.mode == Mode::Open;
        if !is_open {
            self.may_guess(address)?;
        }
        let checked = token::header(token).and_then(|header| {
            let kid = header.kid.as_deref();
            if let Some(claims) = shared.signing.verify(token, kid, &shared.options.issuer) {
                return Ok((claims?, Signer::Us));
            }
            let foreign = shared.issuers.verify(token, kid);
            let unknown = Refusal::TokenInvalid { reason: "no key of its id is known" };
            foreign.unwrap_or(Err(unknown)).map(|(claims, position)| (claims, Signer::Issuer(position)))
        });
        match checked {
            Ok(verified) => {
                let verified = Arc::new(verified);
                shared.verified.0.insert(name, verified.clone());
                Ok(verified)
            }
            Err(refusal) => {
                if !is_open {
                    self.guessed_wrong(address);
                }
                Err(refusal)
            }
        }
    }

    fn may_guess(&self, address: IpAddr) -> Result<(), Refusal> {
        let shared = &self.0;
        let bucket = shared.limits.bucket(Counts::Guesses(address), None, shared.options.guess_rate);
        bucket.may_take().map_err(Refusal::Guesses)
    }

    fn guessed_wrong(&self, address: IpAddr) {
        let shared = &self.0;
        shared.limits.bucket(Counts::Guesses(address), None, shared.options.guess_rate).charge(1);
    }

    fn with_key(&self, asking: &Asking<'_>, held: &Arc<Held>) -> Result<Grant, Refusal> {
        let shared = &self.0;
        let key = &held.key;
        if key.revoked.is_some() {
            return Err(Refusal::KeyRevoked);
        }
        if !key.is_valid(shared.now()) {
            return Err(Refusal::KeyInvalid);
        }
        check_origin(key, asking.origin)?;
        let tier = self.tier(key.spec.tier.as_deref())?;
        let inner = Inner {
            rate: key.spec.rate,
            start_block: key.spec.history.or(tier.history()).map(|blocks| -i64::from(blocks)),
            counts: Some(Counts::Key(key.id)),
            counts_here: Some(Counts::KeyAt(key.id, some_address(asking.address))),
            key: Some(held.clone()),
            counters: held.counters.clone(),
            ..self.inner(asking, Subject::Key(key.id), tier)
        };
        Ok(Grant::new(inner))
    }

    fn with_foreign(&self, asking: &Asking<'_>, claims: &Claims, position: usize) -> Result<Grant, Refusal> {
        let known = self.0.options.issuers.get(position);
        let issuer = known.map_or("", |issuer| &issuer.name);
        if let (Some(allowed), Some(origin)) = (&claims.origin, asking.origin)
            && !allowed.parse::<OriginPattern>().is_ok_and(|pattern| pattern.matches(origin))
        {
            return Err(Refusal::Origin { origin: shortened(origin) });
        }
        // An issuer that knows nothing of tiers does not lift all limits.
        let of_issuer = known.and_then(|issuer| issuer.tier.as_deref()).unwrap_or(Tiers::ANONYMOUS);
        let tier = self.tier(Some(&*claims.tier).filter(|tier| !tier.is_empty()).or(Some(of_issuer)))?;
        let holder = if claims.aki.is_empty() { &claims.sub } else { &claims.aki };
        let name: String = format!("{issuer}:{holder}").chars().filter(|it| !it.is_control()).collect();
        let name = &name[..name.floor_char_boundary(MAX_SUBJECT_BYTES)];
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, format!("{issuer}:{holder}").as_bytes()).as_ref());
        let inner = Inner {
            start_block: claims.stblk.or(tier.history().map(|blocks| -i64::from(blocks))),
            counts: Some(Counts::Foreign(hash)),
            counts_here: Some(Counts::ForeignAt(hash, some_address(asking.address))),
            ..self.inner(asking, Subject::Foreign(name.into()), tier)
        };
        Ok(Grant::new(inner))
    }

    /// The tier of this name.
    fn tier(&self, name: Option<&str>) -> Result<&Arc<Tier>, Refusal> {
        let tiers = &self.0.tiers;
        tiers.find(name).ok_or_else(|| Refusal::TierUnknown { tier: shortened(name.unwrap_or_default()) })
    }

    fn anonymous(&self, asking: &Asking<'_>) -> Grant {
        let Options { mode, anonymous_tier, .. } = &self.0.options;
        let tiers = &self.0.tiers;
        let tier = match anonymous_tier {
            Some(name) => tiers.find(Some(name)).unwrap_or(tiers.anonymous()),
            None if *mode == Mode::Open => tiers.unlimited(),
            None => tiers.anonymous(),
        };
        self.grant(asking, Subject::Anonymous, tier)
    }

    fn grant(&self, asking: &Asking<'_>, subject: Subject, tier: &Arc<Tier>) -> Grant {
        Grant::new(self.inner(asking, subject, tier))
    }

    /// Of somebody who is counted by their address, if by anything.
    fn inner(&self, asking: &Asking<'_>, subject: Subject, tier: &Arc<Tier>) -> Inner {
        let counters = self.0.meter.of(&subject.to_string());
        Inner {
            shared: self.0.clone(),
            tier: tier.clone(),
            rate: None,
            start_block: tier.history().map(|blocks| -i64::from(blocks)),
            address: asking.address,
            counts: None,
            counts_here: Some(Counts::Address(some_address(asking.address))),
            counters,
            key: None,
            subject,
            standing: Mutex::default(),
        }
    }
}

/// Whether somebody asks from one of the networks. A proxy that says nothing of its client may ask for anybody.
fn is_in(networks: &[IpNet], asking: &Asking<'_>) -> bool {
    !asking.is_proxy && asking.address.is_some_and(|address| contains(networks, address))
}

fn check_origin(key: &ApiKey, origin: Option<&str>) -> Result<(), Refusal> {
    if key.allows_origin(origin) {
        return Ok(());
    }
    Err(Refusal::Origin { origin: shortened(origin.unwrap_or_default()) })
}

fn shortened(origin: &str) -> String {
    origin[..origin.floor_char_boundary(MAX_ORIGIN_BYTES)].to_owned()
}
