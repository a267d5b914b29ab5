//! Keys and usage that several machines share: objects in their block store.
//!
//! | object | content |
//! |---|---|
//! | `keys/NNNNNNNNNN` | an [`ApiKey`]; of several of one id, the last counts |
//! | `usage/DAY/MACHINE` | rows of usage of one machine, which alone writes them |
//!
//! Keys are a journal that only grows: whoever makes or revokes one creates the next object, and if another machine was faster reads
//! that one first. To know what is new, a machine asks for one object, which mostly is not there.
//!
//! Each machine keeps all that it has read in its own store, too. An object that is damaged is passed over and told, so that what comes
//! after it counts; a machine that knows a key better than the objects that can be read says it again when it starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use dfuse_blocks::Objects;
use futures::{StreamExt, TryStreamExt, future::LocalBoxFuture, stream};
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

use crate::{AccessStore, ApiKey, Error, KeyId, KvAccessStore, Result, SigningRecord, Usage, UsageRow};

/// Objects that are read at the same time.
const PARALLEL: usize = 16;

/// Keys and usage of machines that share a block store. What is used is counted on this machine first, and then told to the others.
#[derive(Debug)]
pub struct MachinesAccessStore {
    /// What this machine used, the keys that it knows, and whether it is under maintenance.
    own: KvAccessStore,
    objects: Objects,
    runtime: Handle,
    machine: String,
    /// Whether no other machine has that name, too.
    is_named: Arc<AtomicBool>,
    signing: Vec<SigningRecord>,
    journal: Mutex<Journal>,
    /// What was told of days last.
    told: Mutex<BTreeMap<u32, Vec<UsageRow>>>,
}

/// How far the keys were read.
#[derive(Debug, Default)]
struct Journal {
    next: u64,
    keys: BTreeMap<KeyId, ApiKey>,
    /// Changed since it was last asked.
    news: BTreeSet<KeyId>,
    /// Objects that cannot be read, with what is wrong.
    damaged: BTreeMap<u64, String>,
}

impl MachinesAccessStore {
    /// Reads the keys, and adds those that only this machine has: it was alone until now, or the object of one was damaged. `machine` is its name, and whether no other
    /// machine has that, too: as long as one has, what was used here is not told, since it would take the place of what the other one
    /// tells. Tokens are signed with `signing`, of which the first that is not retired signs. Blocks; to be used on threads that may.
    ///
    /// # Errors
    /// Those of both stores.
    pub fn open(
        own: KvAccessStore,
        objects: Objects,
        runtime: Handle,
        (machine, is_named): (String, Arc<AtomicBool>),
        signing: Vec<SigningRecord>,
    ) -> Result<Self> {
        let (journal, told) = Default::default();
        let store = Self { own, objects, runtime, machine, is_named, signing, journal, told };
        store.read_on(&mut store.journal())?;
        for key in store.own.keys()? {
            let known = store.journal().keys.get(&key.id).map(|known| known.revoked.is_some());
            if known.is_none_or(|is_revoked| key.revoked.is_some() && !is_revoked) {
                store.put_key(&key)?;
            }
        }
        store.keep_own(&store.journal())?;
        store.journal().news.clear();
        Ok(store)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        // What was read is whole before it is noted.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<T>(&self, work: impl Future<Output = dfuse_blocks::Result<T>>) -> Result<T> {
        // In a box, so that it is compiled once and not for every kind of scheduler.
        let work: LocalBoxFuture<'_, _> = Box::pin(work);
        self.runtime.block_on(work).map_err(|error| Error::Shared(Box::new(error)))
    }

    /// Reads what others have added, and what was damaged.
    fn read_on(&self, journal: &mut Journal) -> Result<()> {
        for number in journal.damaged.keys().copied().collect::<Vec<_>>() {
            // Without the object nothing is known of it either.
            if let Some(content) = self.wait(self.objects.get(&name(number)))? {
                journal.take(number, &content);
            }
        }
        let mut at_once = 1;
        loop {
            let numbers = journal.next..journal.next + at_once;
            let reads = stream::iter(numbers).map(|number| async move { self.objects.get(&name(number)).await });
            let found: Vec<_> = self.wait(reads.buffered(PARALLEL).try_collect())?;
            for content in found {
                let Some(content) = content else { return Ok(()) };
                let number = journal.next;
                journal.take(number, &content);
                journal.next += 1;
            }
            at_once = PARALLEL as u64;
        }
    }

    /// Keeps here what is known of keys.
    fn keep_own(&self, journal: &Journal) -> Result<()> {
        let own: BTreeMap<_, _> = self.own.keys()?.into_iter().map(|key| (key.id, key)).collect();
        let new = journal.keys.values().filter(|key| own.get(&key.id) != Some(key));
        new.into_iter().try_for_each(|key| self.own.put_key(key))
    }

    /// What this machine used on these days.
    fn own_days(&self, days: RangeInclusive<u32>) -> Result<BTreeMap<u32, Vec<UsageRow>>> {
        let mut by_day: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for row in self.own.usage(days)? {
            by_day.entry(row.day).or_default().push(row);
        }
        Ok(by_day)
    }

    fn usage_name(&self, day: u32) -> String {
        format!("{}/{}", day_folder(day), self.machine)
    }
}

impl Journal {
    /// What the object of that number says.
    fn take(&mut self, number: u64, content: &[u8]) {
        match serde_json::from_slice(content) {
            Ok(key) => {
                self.damaged.remove(&number);
                self.add(key);
            }
            Err(error) => drop(self.damaged.insert(number, format!("at byte {}", error.column()))),
        }
    }

    /// # Errors
    /// [`Error::DamagedObject`] for the first object that cannot be read.
    fn must_be_whole(&self) -> Result<()> {
        match self.damaged.iter().next() {
            Some((number, why)) => Err(Error::DamagedObject { object: format!("{number:010}"), why: why.clone() }),
            None => Ok(()),
        }
    }

    fn add(&mut self, key: ApiKey) {
        // Who revokes and who knows nothing of it may come in any order: what is revoked stays so.
        let is_revoked = self.keys.get(&key.id).is_some_and(|known| known.revoked.is_some());
        if !is_revoked || key.revoked.is_some() {
            self.news.insert(key.id);
            self.keys.insert(key.id, key);
        }
    }
}

impl AccessStore for MachinesAccessStore {
    fn keys(&self) -> Result<Vec<ApiKey>> {
        Ok(self.journal().keys.values().cloned().collect())
    }

    fn put_key(&self, key: &ApiKey) -> Result<()> {
        let mut journal = self.journal();
        loop {
            self.read_on(&mut journal)?;
            let name = name(journal.next);
            let content = serde_json::to_vec(key).map_err(|error| Error::Invalid(error.to_string()))?;
            // If this fails after all, the next reading finds it, and adding it again does no harm.
            if self.wait(self.objects.create(&name, content))? {
                journal.next += 1;
                journal.add(key.clone());
                return Ok(());
            }
        }
    }

    fn news(&self) -> Result<Vec<ApiKey>> {
        let mut journal = self.journal();
        self.read_on(&mut journal)?;
        let news = std::mem::take(&mut journal.news);
        let news: Vec<_> = news.iter().filter_map(|id| journal.keys.get(id).cloned()).collect();
        news.iter().try_for_each(|key| self.own.put_key(key))?;
        Ok(news)
    }

    fn must_be_whole(&self) -> Result<()> {
        self.journal().must_be_whole()
    }

    fn signing_keys(&self) -> Result<Vec<SigningRecord>> {
        Ok(self.signing.clone())
    }

    fn set_signing_keys(&self, _: &[SigningRecord]) -> Result<()> {
        Err(Error::Invalid(
            "machines share their signing keys: put a new one first in access.signing_keys on all of them, and start them again"
                .to_owned(),
        ))
    }

    fn add_usage(&self, day: u32, used: &[(&str, Usage)]) -> Result<()> {
        self.own.add_usage(day, used)
    }

    fn usage(&self, days: RangeInclusive<u32>) -> Result<Vec<UsageRow>> {
        let mut sums: BTreeMap<(u32, String), Usage> = BTreeMap::new();
        let mut add = |row: UsageRow| *sums.entry((row.day, row.subject)).or_default() += row.usage;
        self.own.usage(days.clone())?.into_iter().for_each(&mut add);
        for folder in self.wait(self.objects.folders("usage"))? {
            let Some(day) = folder.parse().ok().filter(|day| days.contains(day)) else { continue };
            for machine in self.wait(self.objects.list(&day_folder(day)))? {
                if machine == self.machine {
                    continue;
                }
                let name = format!("{}/{machine}", day_folder(day));
                let Some(content) = self.wait(self.objects.get(&name))? else { continue };
                decode::<Vec<UsageRow>>(&name, &content)?.into_iter().for_each(&mut add);
            }
        }
        Ok(sums.into_iter().map(|((day, subject), usage)| UsageRow { day, subject, usage }).collect())
    }

    fn tell_usage(&self, today: u32) -> Result<()> {
        if !self.is_named.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (day, rows) in self.own_days(today.saturating_sub(1)..=today)? {
            if told.get(&day) == Some(&rows) {
                continue;
            }
            let content = serde_json::to_vec(&rows).map_err(|error| Error::Invalid(error.to_string()))?;
            self.wait(self.objects.replace(&self.usage_name(day), content))?;
            told.insert(day, rows);
        }
        told.retain(|day, _| *day + 1 >= today);
        Ok(())
    }

    fn maintenance(&self) -> Result<bool> {
        self.own.maintenance()
    }

    fn set_maintenance(&self, is_on: bool) -> Result<()> {
        self.own.set_maintenance(is_on)
    }

    fn close(&self) -> Result<()> {
        self.own.close()
    }
}

fn name(number: u64) -> String {
    format!("keys/{number:010}")
}

fn day_folder(day: u32) -> String {
    format!("usage/{day:010}")
}

fn decode<T: DeserializeOwned>(record: &str, content: &[u8]) -> Result<T> {
    let damaged = |error: serde_json::Error| Error::Damaged {
        record: record.to_owned(),
        why: format!("at byte {}", error.column()),
    };
    serde_json::from_slice(content).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use dfuse_blocks::{BlockStore, StoreOptions, SystemEntropy};

    use super::*;
    use crate::{KeyKind, KeyText, NewKey, testing::memory_store};

    fn key(name: &str) -> ApiKey {
        let text = KeyText::generate(KeyKind::Server, &SystemEntropy).unwrap();
        NewKey::new(KeyKind::Server, name).make(&text, 7, &SystemEntropy).unwrap()
    }

    #[test]
    fn a_damaged_object_holds_nothing_up_and_is_made_good() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = BlockStore::open(folder.path().to_str().unwrap(), StoreOptions::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let open = |machine: &str, own: KvAccessStore| {
            let machine = (machine.to_owned(), Arc::new(AtomicBool::new(true)));
            MachinesAccessStore::open(own, blocks.access_objects(), runtime.handle().clone(), machine, Vec::new())
                .unwrap()
        };
        let known = |store: &MachinesAccessStore| {
            let keys = store.keys().unwrap().into_iter().map(|key| (key.spec.name, key.revoked.is_some()));
            keys.collect::<BTreeMap<_, _>>()
        };
        let (a, keys) = (open("a", memory_store()), ["x", "y", "z"].map(key));
        keys.iter().for_each(|key| a.put_key(key).unwrap());
        a.put_key(&ApiKey { revoked: Some(9), ..keys[0].clone() }).unwrap();
        a.news().unwrap();
        // The second key, and that the first one is revoked.
        for number in [1, 3] {
            std::fs::write(folder.path().join("access").join(name(number)), "{\"id\":").unwrap();
        }
        let b = open("b", memory_store());
        let says = |key: &str, is_revoked| (key.to_owned(), is_revoked);
        assert_eq!(known(&b), [says("x", false), says("z", false)].into());
        assert!(b.news().unwrap().is_empty());
        let told = b.must_be_whole().unwrap_err().to_string();
        assert!(told.contains("the object 0000000001 in access, keys"), "{told}");
        // What comes later counts on all.
        b.put_key(&ApiKey { revoked: Some(10), ..keys[2].clone() }).unwrap();
        assert_eq!(a.news().unwrap().len(), 1);
        a.must_be_whole().unwrap();
        // One that has known all says it again.
        let a = open("a", a.own);
        b.news().unwrap();
        let all = [says("x", true), says("y", false), says("z", true)].into();
        assert_eq!((known(&a), known(&b)), (all, known(&a)));
        // Any object in their place will do.
        for number in [1, 3] {
            b.must_be_whole().unwrap_err();
            let keys = folder.path().join("access");
            std::fs::copy(keys.join(name(0)), keys.join(name(number))).unwrap();
            b.news().unwrap();
        }
        b.must_be_whole().unwrap();
        assert_eq!(known(&b), known(&a));
    }

    #[test]
    fn machines_share_keys_and_usage() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = BlockStore::open(folder.path().to_str().unwrap(), StoreOptions::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let is_named = Arc::new(AtomicBool::new(true));
        let open = |machine: &str, own: KvAccessStore| {
            let (objects, machine) = (blocks.access_objects(), (machine.to_owned(), is_named.clone()));
            MachinesAccessStore::open(own, objects, runtime.handle().clone(), machine, Vec::new()).unwrap()
        };
        let alone = memory_store();
        let first = key("from before");
        alone.put_key(&first).unwrap();
        let a = open("a", alone);
        let b = open("b", memory_store());
        assert_eq!(b.keys().unwrap(), std::slice::from_ref(&first));
        assert!(a.news().unwrap().is_empty() && b.news().unwrap().is_empty());
        let (second, third) = (key("second"), key("third"));
        b.put_key(&second).unwrap();
        // Of what b wrote it does not know yet.
        a.put_key(&third).unwrap();
        let revoked = ApiKey { revoked: Some(9), ..first.clone() };
        b.put_key(&revoked).unwrap();
        // It comes too late, as from somebody who does not know of the end of the key.
        a.put_key(&first).unwrap();
        for store in [&a, &b, &open("c", memory_store())] {
            store.news().unwrap();
            let keys: BTreeMap<_, _> = store.keys().unwrap().into_iter().map(|key| (key.id, key)).collect();
            assert_eq!(keys, [&revoked, &second, &third].map(|key| (key.id, key.clone())).into());
            assert!(store.news().unwrap().is_empty());
        }
        assert!(a.set_signing_keys(&[]).unwrap_err().to_string().contains("access.signing_keys"));

        let used = |requests| Usage { requests, ..Usage::default() };
        a.add_usage(5, &[("x", used(1)), ("y", used(2))]).unwrap();
        b.add_usage(5, &[("x", used(10))]).unwrap();
        b.add_usage(6, &[("x", used(20))]).unwrap();
        a.tell_usage(5).unwrap();
        b.tell_usage(6).unwrap();
        a.add_usage(5, &[("x", used(100))]).unwrap();
        // Another machine has its name for a while.
        is_named.store(false, Ordering::Relaxed);
        a.tell_usage(5).unwrap();
        assert_eq!(b.usage(5..=5).unwrap()[0].usage, used(11));
        is_named.store(true, Ordering::Relaxed);
        a.tell_usage(5).unwrap();
        let row = |day, subject: &str, requests| UsageRow { day, subject: subject.to_owned(), usage: used(requests) };
        for store in [&a, &b] {
            assert_eq!(store.usage(0..=9).unwrap(), [row(5, "x", 111), row(5, "y", 2), row(6, "x", 20)]);
            assert_eq!(store.usage(6..=6).unwrap(), [row(6, "x", 20)]);
        }
    }
}
