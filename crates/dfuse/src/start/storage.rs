//! How much room the indexes take and how much there is, counted now and then.

use std::{path::PathBuf, sync::Arc, time::Duration};

use dfuse_kv::DiskUsage;
use metrics::{describe_gauge, gauge};
use tokio::{task::spawn_blocking, time::sleep};

use super::conditions::Conditions;
use crate::indexes::IndexStore;

/// The engine knows it by heart, but for the length of its journal.
const EVERY: Duration = Duration::from_secs(15);

const FAMILY: &str = "dfuse_index_store_bytes";
const JOURNAL: &str = "dfuse_index_journal_bytes";
const FREE: &str = "dfuse_data_dir_free_bytes";

/// Counts until it is dropped. `data_dir` is where the indexes are.
pub(super) async fn report(store: IndexStore, data_dir: PathBuf, conditions: Arc<Conditions>) {
    conditions.0.metrics().record(|| {
        describe_gauge!(FAMILY, "Bytes on disk of each family of the indexes, before what compaction may still free.");
        describe_gauge!(JOURNAL, "Bytes of the journal that all families share.");
        describe_gauge!(FREE, "Bytes that are left on the disk of the data directory.");
    });
    loop {
        let (store, data_dir) = (store.current(), data_dir.clone());
        let looked = spawn_blocking(move || (store.disk_usage(), rustix::fs::statvfs(&data_dir))).await;
        if let Ok((usage, disk)) = looked {
            conditions.0.metrics().record(|| {
                if let Ok(DiskUsage { keyspaces, journal }) = usage {
                    for (family, bytes) in keyspaces {
                        gauge!(FAMILY, "family" => family).set(bytes as f64);
                    }
                    gauge!(JOURNAL).set(journal as f64);
                }
                if let Ok(disk) = disk {
                    gauge!(FREE).set(disk.f_bavail.saturating_mul(disk.f_frsize) as f64);
                }
            });
        }
        sleep(EVERY).await;
    }
}
