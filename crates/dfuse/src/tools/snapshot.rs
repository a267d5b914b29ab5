//! `dfuse tools snapshot`: what is in a portable snapshot of nodeos.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Write},
};

use anyhow::Context;
use clap::{Args, Subcommand};
use dfuse_antelope::{
    Checksum256, Name,
    abi::{Abi, AbiSerializer, Rendering},
};
use dfuse_ship::{ContractRow, Section, Snapshot, SnapshotRow};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{failure::STDOUT, progress::Progress, snapshot::read};

/// Longest JSON of one row; what would be longer is printed in hex.
const MAX_JSON: usize = 64 << 20;

#[derive(Debug, Subcommand)]
pub(crate) enum Look {
    Info(Info),
    Rows(Rows),
}

impl Look {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Info(tool) => tool.run(),
            Self::Rows(tool) => tool.run(),
        }
    }
}

/// A snapshot's file.
#[derive(Debug, Args)]
struct Place {
    /// A portable snapshot, plain or packed with zstd, gzip or tar, which its content shows; a URL; "-" for standard input
    #[arg(value_name = "FILE")]
    file: String,
}

/// Print the version, the block, the chain and the sections of a snapshot, and its integrity hash. All of it is read, so that
/// damage is found
#[derive(Debug, Args)]
pub(crate) struct Info {
    #[command(flatten)]
    place: Place,
}

impl Info {
    fn run(&self) -> anyhow::Result<()> {
        read(&self.place.file, |content| {
            let mut snapshot = Snapshot::open_with_hash(content)?;
            let mut facts = Facts::default();
            let progress = Progress::new("MiB");
            while let Some(section) = snapshot.next_section()?.cloned() {
                while let Some(row) = snapshot.next_row()? {
                    facts.add(row);
                    progress.set(snapshot.offset() >> 20);
                }
                facts.sections.push(section);
            }
            drop(progress);
            facts.print(snapshot.version(), snapshot.integrity_hash()).context(STDOUT)
        })
    }
}

/// What a snapshot says of the chain.
#[derive(Default)]
struct Facts {
    block: Option<(Checksum256, String, u32)>,
    chain_id: Option<Checksum256>,
    last_sequence: Option<u64>,
    rows: u64,
    secondary_rows: u64,
    tables: u64,
    sections: Vec<Section>,
}

impl Facts {
    fn add(&mut self, row: SnapshotRow) {
        match row {
            SnapshotRow::Head(head) => {
                self.block = Some((head.id(), head.time().to_string(), head.irreversible_block_num()));
            }
            SnapshotRow::Genesis(id) => self.chain_id = Some(id),
            SnapshotRow::GlobalProperty(property) => self.chain_id = property.chain_id.or(self.chain_id),
            SnapshotRow::GlobalActionSequence(sequence) => self.last_sequence = Some(sequence),
            SnapshotRow::Table(_) => self.tables += 1,
            SnapshotRow::Contract(_) => self.rows += 1,
            SnapshotRow::Secondary(_) => self.secondary_rows += 1,
            _ => {}
        }
    }

    fn print(&self, version: u32, integrity_hash: Option<Checksum256>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "version: {version}")?;
        if let Some((id, time, irreversible)) = &self.block {
            writeln!(out, "block: {} {id}", id.block_num())?;
            writeln!(out, "time: {time}")?;
            writeln!(out, "last irreversible block: {irreversible}")?;
        }
        if let Some(id) = self.chain_id {
            writeln!(out, "chain id: {id}")?;
        }
        if let Some(sequence) = self.last_sequence {
            writeln!(out, "last global sequence: {sequence}")?;
        }
        if let Some(hash) = integrity_hash {
            writeln!(out, "integrity hash: {hash}")?;
        }
        writeln!(out, "tables: {}, rows: {}, secondary rows: {}", self.tables, self.rows, self.secondary_rows)?;
        writeln!(out, "sections:")?;
        for section in &self.sections {
            let unknown = if section.known { "" } else { " (unknown)" };
            writeln!(out, "{:>12} rows {:>14} bytes  {}{unknown}", section.rows, section.size, section.name)?;
        }
        out.flush()
    }
}

/// Print rows of contracts' tables, one a line, as JSON
#[derive(Debug, Args)]
pub(crate) struct Rows {
    #[command(flatten)]
    place: Place,
    /// Only rows of this contract. They are decoded by its ABI; rows of all contracts are printed in hex
    #[arg(long, value_name = "NAME")]
    contract: Option<Name>,
    /// Only rows of this scope
    #[arg(long, value_name = "NAME")]
    scope: Option<Name>,
    /// Only rows of this table
    #[arg(long, value_name = "NAME")]
    table: Option<Name>,
}

/// A printed row.
#[derive(Serialize)]
struct Printed<'a> {
    contract: Name,
    scope: Name,
    table: Name,
    primary_key: String,
    payer: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

impl Rows {
    fn run(&self) -> anyhow::Result<()> {
        read(&self.place.file, |content| {
            let mut snapshot = Snapshot::open(content)?;
            let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
            let mut abis = BTreeMap::new();
            while snapshot.next_section()?.is_some() {
                while let Some(row) = snapshot.next_row()? {
                    match row {
                        SnapshotRow::Account(account) if self.contract == Some(account.name) => {
                            // An ABI that cannot be read decodes nothing: its rows are printed in hex.
                            if let Ok(abi) = Abi::from_bytes(&account.abi) {
                                abis.insert(account.name, AbiSerializer::new(&abi));
                            }
                        }
                        SnapshotRow::Contract(row) if self.has(&row) => {
                            print(&row, abis.get(&row.code), &mut out).context(STDOUT)?;
                        }
                        _ => {}
                    }
                }
            }
            out.flush().context(STDOUT)
        })
    }

    fn has(&self, row: &ContractRow) -> bool {
        let is = |wanted: Option<Name>, name| wanted.is_none_or(|wanted| wanted == name);
        is(self.contract, row.code) && is(self.scope, row.scope) && is(self.table, row.table)
    }
}

fn print(row: &ContractRow, abi: Option<&AbiSerializer>, out: &mut impl Write) -> io::Result<()> {
    let mut json = Vec::new();
    let decoded = abi
        .and_then(|abi| abi.table(row.table).ok())
        .and_then(|table| table.decode(&row.value, Rendering::Plain, MAX_JSON, &mut json).ok());
    let decoded = decoded.and_then(|_| serde_json::from_slice::<&RawValue>(&json).ok());
    let printed = Printed {
        contract: row.code,
        scope: row.scope,
        table: row.table,
        primary_key: row.primary_key.to_string(),
        payer: row.payer,
        json: decoded,
        hex: decoded.is_none().then(|| const_hex::encode(&row.value)),
    };
    serde_json::to_writer(&mut *out, &printed)?;
    out.write_all(b"\n")
}
