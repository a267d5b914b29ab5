use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
};

use dfuse_blocks::Entropy;
use tokio::sync::watch;

use crate::{AccessStore, ApiKey, Error, KeyId, KeyText, Meter, NewKey, Result, key::KeyHash, meter::Counters};

/// Digits of an id that name a key if no other begins so.
const MIN_PREFIX: usize = 6;

/// All keys, in memory and in their store. What changes here counts at once.
#[derive(Debug)]
pub struct Keyring {
    store: Arc<dyn AccessStore>,
    entropy: Arc<dyn Entropy>,
    meter: Arc<Meter>,
    keys: RwLock<Keys>,
    /// One writes at a time.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Keys {
    by_id: BTreeMap<KeyId, Arc<Held>>,
    by_hash: BTreeMap<KeyHash, Arc<Held>>,
}

/// A key, and what of it is watched while it is used.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) key: ApiKey,
    /// Set when it is revoked.
    pub(crate) revoked: watch::Sender<bool>,
    pub(crate) counters: Arc<Counters>,
}

impl Keyring {
    /// The keys of the store. May block on a disk, as all that changes keys does.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(store: Arc<dyn AccessStore>, entropy: Arc<dyn Entropy>, meter: Arc<Meter>) -> Result<Self> {
        let keyring = Self { store, entropy, meter, keys: RwLock::default(), writing: Mutex::default() };
        for key in keyring.store.keys()? {
            keyring.hold(key);
        }
        Ok(keyring)
    }

    /// Makes a key, of which the text is told now and never again. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it lacks something, and those of the store.
    pub fn create(&self, new: NewKey, now: u64) -> Result<(KeyText, ApiKey)> {
        new.check(now)?;
        let _writing = self.writing();
        let text = KeyText::generate(new.kind, &*self.entropy)?;
        let key = new.make(&text, now, &*self.entropy)?;
        self.store.put_key(&key)?;
        self.hold(key.clone());
        Ok((text, key))
    }

    /// All keys, the newest last.
    pub fn list(&self) -> Vec<ApiKey> {
        let mut keys: Vec<_> = self.keys().by_id.values().map(|held| held.key.clone()).collect();
        keys.sort_by_key(|key| (key.created, key.id));
        keys
    }

    /// The key whose id this is or begins with this.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] and [`Error::AmbiguousKey`].
    pub fn find(&self, id: &str) -> Result<ApiKey> {
        Ok(self.find_held(id)?.key.clone())
    }

    /// Ends a key with all its tokens and streams. One that was revoked stays so.
    ///
    /// # Errors
    /// Those of [`Keyring::find`] and of the store.
    pub fn revoke(&self, id: &str, now: u64) -> Result<ApiKey> {
        let _writing = self.writing();
        let held = self.find_held(id)?;
        if held.key.revoked.is_some() {
            return Ok(held.key.clone());
        }
        let key = ApiKey { revoked: Some(now), ..held.key.clone() };
        self.store.put_key(&key)?;
        self.hold(key.clone());
        held.revoked.send_replace(true);
        Ok(key)
    }

    /// Takes over what others who share the store have changed; revoked keys end with their streams.
    ///
    /// # Errors
    /// Those of the store. After [`Error::DamagedObject`] all that could be read counts.
    pub fn refresh(&self) -> Result<()> {
        let _writing = self.writing();
        for key in self.store.news()? {
            let before = self.by_id(key.id);
            if before.as_ref().is_some_and(|held| held.key == key) {
                continue;
            }
            let is_revoked = key.revoked.is_some();
            self.hold(key);
            if let Some(before) = before.filter(|_| is_revoked) {
                before.revoked.send_replace(true);
            }
        }
        self.store.must_be_whole()
    }

    /// The key of this text, valid or not.
    pub(crate) fn by_text(&self, text: &str) -> Option<Arc<Held>> {
        let hash = KeyHash::of(text)?;
        // Where the search ends says something of the hash alone, of which nobody can make a text.
        let held = self.keys().by_hash.get(&hash).cloned()?;
        held.key.hash.is(&hash).then_some(held)
    }

    /// The key of this id, valid or not.
    pub(crate) fn by_id(&self, id: KeyId) -> Option<Arc<Held>> {
        self.keys().by_id.get(&id).cloned()
    }

    fn find_held(&self, id: &str) -> Result<Arc<Held>> {
        let keys = self.keys();
        let prefix = id.trim().to_ascii_lowercase();
        if prefix.len() < MIN_PREFIX {
            return Err(Error::Invalid(format!(
                "\"{id}\" is too short: give {MIN_PREFIX} digits of the key's id or more"
            )));
        }
        let mut found = keys.by_id.values().filter(|held| held.key.id.to_string().starts_with(&prefix));
        match (found.next(), found.count()) {
            (None, _) => Err(Error::UnknownKey(prefix)),
            (Some(held), 0) => Ok(held.clone()),
            (Some(_), more) => Err(Error::AmbiguousKey { prefix, count: more + 1 }),
        }
    }

    fn hold(&self, key: ApiKey) {
        let (id, hash) = (key.id, key.hash);
        let counters = self.meter.of(&id.to_string());
        let revoked = watch::Sender::new(key.revoked.is_some());
        let held = Arc::new(Held { key, revoked, counters });
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.by_id.insert(id, held.clone());
        keys.by_hash.insert(hash, held);
    }

    fn keys(&self) -> RwLockReadGuard<'_, Keys> {
        // Nothing can panic while it is held.
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> std::sync::MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
