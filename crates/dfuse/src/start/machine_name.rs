//! The name of one of several machines, which one process at a time has: files and usage carry it.
//!
//! An object of the block store says who has it. Whoever has it renews the object, and looks whether another process has done so. Times
//! are not compared, since clocks differ: a name is free when its object stays as it is for some time.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use dfuse_blocks::{Entropy, Objects, SystemEntropy};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::{error, info};

use super::conditions::Conditions;
use crate::failure::usage;

/// How often the object is renewed: each time it is read and written.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// So many times as long it must stay as it is until the name is free.
const FREE_AFTER: u32 = 3;
/// How often whoever wants the name looks whether it is renewed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The file with what a data directory is known by.
const FILE: &str = "machine.id";
/// Name of a warning.
const WARNING: &str = "machine_name";

/// What the object says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// The data directory. A process of the same one comes back to its name at once.
    data_dir: String,
    process: String,
    renewed: u64,
}

/// The name, which this process has.
#[derive(Debug)]
pub(super) struct MachineName {
    name: String,
    objects: Objects,
    own: Record,
    /// Whether no other process has it, too.
    is_ours: Arc<AtomicBool>,
}

impl MachineName {
    /// Takes the name. One that another data directory had is taken when it is not renewed any more.
    ///
    /// # Errors
    /// Another machine has it; those of the store.
    pub(super) async fn take(name: &str, data_dir: &Path, objects: Objects) -> anyhow::Result<Self> {
        let own = Record { data_dir: data_dir_id(data_dir)?, process: SystemEntropy.unique_name()?, renewed: 0 };
        let machine = Self { name: name.to_owned(), objects, own, is_ours: Arc::new(AtomicBool::new(true)) };
        while !machine.try_take().await? {}
        Ok(machine)
    }

    /// Tells the other machines that take blocks for the same store what this one filters by, which must be the same.
    ///
    /// # Errors
    /// One of them is at work and filters by something else; those of the store.
    pub(super) async fn must_filter_alike(&self, filter: &str) -> anyhow::Result<()> {
        let of = |name: &str| format!("filters/{name}");
        for name in self.objects.list("filters").await? {
            let other = self.objects.get(&of(&name)).await?.unwrap_or_default();
            if name == self.name || other == filter.as_bytes() || !self.is_at_work(&name).await? {
                continue;
            }
            let (theirs, own) = (String::from_utf8_lossy(&other), filter);
            return Err(usage(format!(
                "the machine \"{name}\" takes blocks for the same store, and filters them by {theirs}, this one by {own}: blocks of one \
                 store must be filtered alike; set the same filter.include, filter.exclude and filter.system on all machines with the role \
                 ingest. To change them, stop all of these machines first"
            )));
        }
        Ok(self.objects.replace(&of(&self.name), filter.as_bytes().to_vec()).await?)
    }

    /// Whether a machine renews its name.
    async fn is_at_work(&self, name: &str) -> anyhow::Result<bool> {
        let object = format!("machines/{name}");
        let Some(known) = self.objects.get(&object).await? else { return Ok(false) };
        info!(name, "this machine filters blocks by something else: it is seen whether it is at work");
        for _ in 0..(RENEW_EVERY * FREE_AFTER).as_secs() / LOOK_EVERY.as_secs() {
            sleep(LOOK_EVERY).await;
            match self.objects.get(&object).await? {
                None => return Ok(false),
                Some(now) if now != known => return Ok(true),
                Some(_) => {}
            }
        }
        Ok(false)
    }

    /// For those who do without the name while another process has it, too.
    pub(super) fn is_ours(&self) -> Arc<AtomicBool> {
        self.is_ours.clone()
    }

    fn object(&self) -> String {
        format!("machines/{}", self.name)
    }

    /// What is no record is one of nobody.
    async fn read(&self) -> dfuse_blocks::Result<Option<Record>> {
        let content = self.objects.get(&self.object()).await?;
        Ok(content.map(|content| serde_json::from_slice(&content).unwrap_or_default()))
    }

    async fn write(&self, renewed: u64) -> anyhow::Result<()> {
        let record = Record { renewed, ..self.own.clone() };
        Ok(self.objects.replace(&self.object(), serde_json::to_vec(&record)?).await?)
    }

    /// False if another process was faster.
    async fn try_take(&self) -> anyhow::Result<bool> {
        let Some(known) = self.read().await? else {
            return Ok(self.objects.create(&self.object(), serde_json::to_vec(&self.own)?).await?);
        };
        if known.data_dir != self.own.data_dir {
            let (name, patience) = (&self.name, RENEW_EVERY * FREE_AFTER);
            info!(
                name,
                seconds = patience.as_secs(),
                "another data directory had the name of this machine: it is seen whether it is in use"
            );
            for _ in 0..patience.as_secs() / LOOK_EVERY.as_secs() {
                sleep(LOOK_EVERY).await;
                match self.read().await? {
                    None => return Ok(false),
                    Some(now) if now != known => return Err(usage(self.in_use())),
                    Some(_) => {}
                }
            }
        }
        self.write(0).await.map(|()| true)
    }

    fn in_use(&self) -> String {
        format!(
            "another machine that shares the block store has the name \"{}\": give each its own in machines.name",
            self.name
        )
    }

    /// Renews it, and says if another process has it, too. Does not end.
    pub(super) async fn keep(self: Arc<Self>, conditions: Arc<Conditions>) {
        let (mut other, mut renewed) = (Other::default(), 0);
        loop {
            sleep(RENEW_EVERY).await;
            // A store that fails is told of elsewhere.
            let Ok(found) = self.read().await else { continue };
            let is_ours = found.as_ref().is_none_or(|found| found.process == self.own.process) || other.is_gone(found);
            if is_ours {
                renewed += 1;
                if self.write(renewed).await.is_err() {
                    continue;
                }
                other = Other::default();
            }
            match (self.is_ours.swap(is_ours, Ordering::Relaxed), is_ours) {
                (true, false) => {
                    error!(
                        "{}; until then, the other machines are not told how keys are used on this one",
                        self.in_use()
                    );
                }
                (false, true) => info!(name = self.name, "no other machine has the name of this one any more"),
                _ => {}
            }
            conditions.set_warning(WARNING, (!is_ours).then(|| self.in_use()));
        }
    }

    /// Gives the name back, at the end of the process. If that fails, another data directory waits for it.
    pub(super) async fn give_back(&self) {
        if let Ok(Some(found)) = self.read().await
            && found.process == self.own.process
        {
            let _ = self.objects.delete(&self.object()).await;
        }
    }
}

/// What another process wrote, and how often it was found unchanged.
#[derive(Debug, Default)]
struct Other {
    record: Option<Record>,
    unchanged: u32,
}

impl Other {
    /// Whether it does not renew the name any more.
    fn is_gone(&mut self, found: Option<Record>) -> bool {
        if self.record == found {
            self.unchanged += 1;
        } else {
            *self = Self { record: found, unchanged: 0 };
        }
        self.unchanged >= FREE_AFTER
    }
}

/// What the data directory is known by; it is given that the first time.
fn data_dir_id(data_dir: &Path) -> anyhow::Result<String> {
    let file = data_dir.join(FILE);
    if let Ok(id) = std::fs::read_to_string(&file) {
        return Ok(id.trim().to_owned());
    }
    let id = SystemEntropy.unique_name()?;
    std::fs::write(&file, format!("{id}\n")).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(id)
}
