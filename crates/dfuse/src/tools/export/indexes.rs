//! What logs of deep mind do not say: entries of secondary indexes, and rows of tables that no ABI names. Snapshots and logs of state
//! history have them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::bail;
use dfuse_antelope::{Checksum256, Name};
use dfuse_node::{HistoryFolders, state_changes};
use dfuse_ship::{ContractRow, SecondaryRow, Snapshot, SnapshotRow, StateRow};
use serde::Serialize;

use crate::{
    failure::usage,
    migration::{Hex, INDEXES, IndexEntry, LINES, Row, TABLES, index_key},
    snapshot,
};

/// Most rows and entries that are held in memory.
const MOST: usize = 5_000_000;

/// Rows by scope.
type Counts = BTreeMap<Name, u64>;

/// What was found.
pub(super) struct Found {
    /// The block after which it is so.
    pub(super) block: Checksum256,
    /// Entries, by contract.
    pub(super) entries: BTreeMap<Name, u64>,
    /// Rows, by contract and table.
    pub(super) rows: BTreeMap<(Name, Name), Counts>,
}

/// Writes rows and entries of some contracts into their folders. `place` is a snapshot, or the data directory of a node with state history.
pub(super) fn copy(
    place: &str,
    block: Option<u32>,
    accounts: &BTreeSet<Name>,
    folder: impl Fn(Name) -> PathBuf,
) -> anyhow::Result<Found> {
    let mut files = Files::create(accounts, folder)?;
    let block = match (Path::new(place).is_dir(), block) {
        (true, Some(block)) => of_history(place, block, &mut files)?,
        (true, None) => return Err(usage("state history has every block: name one with --block")),
        (false, block) => of_snapshot(place, block, &mut files)?,
    };
    files.finish(block)
}

/// The files of all contracts.
struct Files<F> {
    folder: F,
    entries: BTreeMap<Name, (BufWriter<File>, u64)>,
    rows: BTreeMap<(Name, Name), (BufWriter<File>, Counts)>,
}

impl<F: Fn(Name) -> PathBuf> Files<F> {
    fn create(accounts: &BTreeSet<Name>, folder: F) -> anyhow::Result<Self> {
        let mut entries = BTreeMap::new();
        for account in accounts {
            let folder = folder(*account);
            fs::create_dir_all(folder.join(TABLES))?;
            entries.insert(*account, (BufWriter::new(File::create(folder.join(INDEXES))?), 0));
        }
        Ok(Self { folder, entries, rows: BTreeMap::new() })
    }

    fn is_wanted(&self, contract: Name) -> bool {
        self.entries.contains_key(&contract)
    }

    fn add_entry(&mut self, row: &SecondaryRow) -> anyhow::Result<()> {
        let Some((out, count)) = self.entries.get_mut(&row.code) else { return Ok(()) };
        let SecondaryRow { table, scope, primary_key: key, payer, .. } = *row;
        let (kind, hex) = index_key(row.key);
        *count += 1;
        write_line(out, &IndexEntry { table, scope, key, payer, kind, hex })
    }

    fn add_row(&mut self, row: &ContractRow) -> anyhow::Result<()> {
        if !self.is_wanted(row.code) {
            return Ok(());
        }
        let at = (row.code, row.table);
        if !self.rows.contains_key(&at) {
            let file = (self.folder)(row.code).join(TABLES).join(format!("{}.{LINES}", row.table));
            self.rows.insert(at, (BufWriter::new(File::create(file)?), BTreeMap::new()));
        }
        let Some((out, counts)) = self.rows.get_mut(&at) else { return Ok(()) };
        *counts.entry(row.scope).or_default() += 1;
        let hex = Hex(row.value.to_vec());
        write_line(out, &Row { scope: row.scope, key: row.primary_key, payer: row.payer, hex })
    }

    fn finish(self, block: Checksum256) -> anyhow::Result<Found> {
        let (mut entries, mut rows) = (BTreeMap::new(), BTreeMap::new());
        for (account, (mut out, count)) in self.entries {
            out.flush()?;
            entries.insert(account, count);
        }
        for (table, (mut out, counts)) in self.rows {
            out.flush()?;
            rows.insert(table, counts);
        }
        Ok(Found { block, entries, rows })
    }
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    Ok(out.write_all(b"\n")?)
}

fn of_snapshot<F: Fn(Name) -> PathBuf>(
    place: &str,
    wanted: Option<u32>,
    files: &mut Files<F>,
) -> anyhow::Result<Checksum256> {
    let mut block = None;
    snapshot::read(place, |content| {
        let mut snapshot = Snapshot::open(content)?;
        while snapshot.next_section()?.is_some() {
            while let Some(row) = snapshot.next_row()? {
                match row {
                    SnapshotRow::Head(head) => {
                        let number = head.id().block_num();
                        if wanted.is_some_and(|wanted| wanted != number) {
                            return Err(usage(format!("the snapshot is of block {number}: leave --block out")));
                        }
                        block = Some(head.id());
                    }
                    SnapshotRow::Contract(row) => files.add_row(&row)?,
                    SnapshotRow::Secondary(row) => files.add_entry(&row)?,
                    _ => {}
                }
            }
        }
        Ok(())
    })?;
    match block {
        Some(block) => Ok(block),
        None => bail!("{place} does not say of which block it is"),
    }
}

/// The last state of each row and entry. They are held in memory: most blocks change some.
fn of_history<F: Fn(Name) -> PathBuf>(place: &str, block: u32, files: &mut Files<F>) -> anyhow::Result<Checksum256> {
    let folders: HistoryFolders = place.parse()?;
    let (mut rows, mut entries) = (Latest::default(), Latest::default());
    let id = state_changes(&folders, block, |number, delta| {
        match delta.row {
            StateRow::Contract(row) if files.is_wanted(row.code) => {
                rows.note((row.code, row.table, row.scope, row.primary_key), row, delta.present, number);
            }
            StateRow::Secondary(row) if files.is_wanted(row.code) => {
                entries.note((row.code, row.table, row.scope, row.primary_key), row, delta.present, number);
            }
            _ => {}
        }
        if rows.0.len() + entries.0.len() > MOST {
            bail!(
                "there are more than {MOST} rows and entries of secondary indexes; take a snapshot of that block instead"
            );
        }
        Ok(())
    })?;
    rows.0.values().try_for_each(|(row, _)| files.add_row(row))?;
    entries.0.values().try_for_each(|(row, _)| files.add_entry(row))?;
    Ok(id)
}

/// Contract, table, scope and primary key.
type Key = (Name, Name, Name, u64);

/// Rows as they are last, and the blocks that wrote them.
struct Latest<R>(BTreeMap<Key, (R, u32)>);

impl<R> Default for Latest<R> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<R> Latest<R> {
    fn note(&mut self, key: Key, row: R, is_present: bool, block: u32) {
        if is_present {
            self.0.insert(key, (row, block));
        } else if self.0.get(&key).is_some_and(|(_, written)| *written != block) {
            // A row that was removed and made anew in one block is both, in either order.
            self.0.remove(&key);
        }
    }
}
