//! Portable snapshots: what nodeos writes on `create_snapshot`, versions 2 to 6 and 8.

mod contracts;
mod global;
mod head;
mod row;
mod section;

use std::{collections::HashSet, io::Read};

use contracts::{ContractTables, Left, SplitRows};
use dfuse_antelope::{Checksum256, Result as Decoded, raw::Reader};
pub use head::{Head, LegacyHead, ProposedSchedule, SavannaHead};
pub use row::{Section, SnapshotRow};
use section::Kind;

use crate::{Error, Result, rows, state::Table, window::Window};

/// What a snapshot begins with.
const MAGIC: u32 = 0x3051_0550;
/// The version of the container.
const CONTAINER: u32 = 1;
/// In place of the size of a section: there are no more.
const END: u64 = u64::MAX;
/// Longest name of a section.
const MAX_NAME: usize = 256;
/// Most sections. A snapshot has at most 28; more than that are unknown.
const MAX_SECTIONS: usize = 256;

/// Whether a file that begins with these bytes is a portable snapshot.
pub fn is_snapshot(start: &[u8]) -> bool {
    start.starts_with(&MAGIC.to_le_bytes())
}

/// The section that is being read.
struct Open {
    section: Section,
    kind: Kind,
    /// Rows that are left.
    rows: u64,
    /// Where it ends.
    end: u64,
    tables: ContractTables,
    split: SplitRows,
}

/// Reads a portable snapshot in one pass, a row at a time. Only version 8 has something to be kept: the list of its tables, 40 bytes each.
pub struct Snapshot<R> {
    window: Window<R>,
    version: u32,
    open: Option<Open>,
    seen: HashSet<String>,
    tables: Vec<Table>,
    ended: bool,
}

impl<R: Read> Snapshot<R> {
    /// Begins to read an uncompressed snapshot.
    ///
    /// # Errors
    /// The file is none, or has a version that cannot be read.
    pub fn open(file: R) -> Result<Self> {
        Self::begin(Window::new(file))
    }

    /// Begins to read, and computes the integrity hash, which takes some time.
    ///
    /// # Errors
    /// As [`Snapshot::open`].
    pub fn open_with_hash(file: R) -> Result<Self> {
        let mut window = Window::new(file);
        window.begin_digest();
        Self::begin(window)
    }

    fn begin(mut window: Window<R>) -> Result<Self> {
        let start = window.frame("the start of a snapshot", |r| Ok((r.u32()?, r.u32()?)));
        let (magic, container) = match start {
            Err(Error::Truncated { .. }) => return Err(not_a_snapshot("it has less than eight bytes")),
            start => start?,
        };
        if magic != MAGIC {
            let bytes = magic.to_le_bytes();
            return Err(not_a_snapshot(format!("it begins with {bytes:02x?} instead of [50, 05, 51, 30]")));
        }
        if container != CONTAINER {
            return Err(not_a_snapshot(format!("its container has version {container} instead of {CONTAINER}")));
        }
        let mut snapshot = Self { window, version: 0, open: None, seen: HashSet::new(), tables: vec![], ended: false };
        match snapshot.open_section()? {
            Some(section) if section.name == "chain_snapshot_header" => {}
            _ => return Err(not_a_snapshot("its first section is not chain_snapshot_header")),
        }
        if let Some(open) = &mut snapshot.open {
            let mut left = Left { name: &open.section.name, rows: &mut open.rows, end: open.end };
            snapshot.version = left.row(&mut snapshot.window, |r| r.u32())?;
        }
        snapshot.close_section()?;
        let software = match snapshot.version {
            2..=6 | 8 => return Ok(snapshot),
            0 | 1 => "EOSIO before 1.8",
            7 => "Spring 1.0.0, whose form later releases gave up",
            _ => "newer software",
        };
        Err(Error::Version { version: snapshot.version, software })
    }

    /// The version, from 2 to 8.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Bytes of the uncompressed file that were read.
    pub fn offset(&self) -> u64 {
        self.window.offset()
    }

    /// The hash of all rows, which `/v1/producer/get_integrity_hash` of the node answers for the same state. There is none before the
    /// last section has been read, nor unless the snapshot was opened by [`Snapshot::open_with_hash`].
    pub fn integrity_hash(&self) -> Option<Checksum256> {
        self.window.digest().filter(|_| self.ended).map(dfuse_antelope::Checksum)
    }

    /// Goes to the next section, past the rows of this one that were not read. `None` is the end of the snapshot. In version 8,
    /// rows of contracts can be read only if the section `table_id_object` was.
    ///
    /// # Errors
    /// The file is damaged, cut off, goes on after its end, or lacks sections.
    pub fn next_section(&mut self) -> Result<Option<&Section>> {
        if self.ended {
            return Ok(None);
        }
        if let Some(open) = &mut self.open {
            open.rows = 0;
            self.window.skip(&open.section.name, open.end - self.window.offset())?;
            self.close_section()?;
        }
        self.open_section()
    }

    /// The next row of this section. `None` is the end of the section.
    ///
    /// # Errors
    /// The section is damaged or cut off. Nothing can be read after an error.
    pub fn next_row(&mut self) -> Result<Option<SnapshotRow>> {
        let Some(open) = &mut self.open else { return Ok(None) };
        if open.kind == Kind::Unknown {
            open.rows = 0;
            self.window.skip(&open.section.name, open.end - self.window.offset())?;
        }
        let (kind, version) = (open.kind, self.version);
        let mut left = Left { name: &open.section.name, rows: &mut open.rows, end: open.end };
        let row = match kind {
            Kind::ContractTables => open.tables.next(&mut self.window, &mut left)?,
            Kind::Rows(kind) => open.split.next(&mut self.window, &mut left, &self.tables, kind)?,
            _ if *left.rows == 0 => None,
            kind => Some(left.row(&mut self.window, |reader| decode(reader, kind, version))?),
        };
        if let (Some(SnapshotRow::Table(table)), Kind::TableId) = (&row, kind) {
            self.tables.push(*table);
        }
        if row.is_none() {
            self.close_section()?;
        }
        Ok(row)
    }

    fn open_section(&mut self) -> Result<Option<&Section>> {
        let offset = self.window.offset();
        let size = self.window.frame("the size of a section", |r| r.u64())?;
        if size == END {
            return self.end().map(|()| None);
        }
        let begin = self.window.offset();
        let (rows, name) = self.window.frame("the name of a section", |r| Ok((r.u64()?, section_name(r)?)))?;
        let end = begin.checked_add(size).filter(|end| *end >= self.window.offset());
        let end = end.ok_or_else(|| self.window.damaged(&name, format!("has an impossible size of {size} bytes")))?;
        if self.seen.len() == MAX_SECTIONS || !self.seen.insert(name.clone()) {
            return Err(self.window.damaged(&name, "stands in the file twice, or after too many others"));
        }
        let kind = match self.version {
            0 => Kind::Header,
            version => Kind::of(&name, version),
        };
        let section = Section { name, offset, size: end - self.window.offset(), rows, known: kind != Kind::Unknown };
        let (tables, split) = (ContractTables::default(), SplitRows::default());
        let open = self.open.insert(Open { section, kind, rows, end, tables, split });
        Ok(Some(&open.section))
    }

    /// All rows of the section were read: nothing may be left of it.
    fn close_section(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        match open.end - self.window.offset() {
            0 if open.rows == 0 => Ok(()),
            left => Err(self.window.damaged(&open.section.name, format!("{left} bytes are left after its last row"))),
        }
    }

    fn end(&mut self) -> Result<()> {
        if !self.window.is_at_end()? {
            return Err(self.window.damaged("the end of the snapshot", "the file goes on"));
        }
        if let Some(missing) = section::required(self.version).find(|name| !self.seen.contains(*name)) {
            let why = format!("a snapshot of version {} has one", self.version);
            return Err(self.window.damaged(&format!("the section {missing} is missing"), why));
        }
        self.ended = true;
        Ok(())
    }
}

fn not_a_snapshot(why: impl Into<String>) -> Error {
    Error::NotASnapshot { why: why.into() }
}

/// A name that ends with NUL, without its prefix.
fn section_name(reader: &mut Reader<'_>) -> Decoded<String> {
    let mut name = Vec::new();
    loop {
        match reader.u8()? {
            0 => return Ok(section::short(&String::from_utf8_lossy(&name)).to_owned()),
            _ if name.len() == MAX_NAME => {
                return Err(dfuse_antelope::Error::Limit { what: "the name of a section", limit: MAX_NAME });
            }
            byte => name.push(byte),
        }
    }
}

/// Reads a row of a section whose rows follow each other.
fn decode(reader: &mut Reader<'_>, kind: Kind, version: u32) -> Decoded<SnapshotRow> {
    Ok(match kind {
        Kind::Genesis => {
            let state = reader.remaining();
            let before = reader.position();
            global::genesis(reader)?;
            SnapshotRow::Genesis(Checksum256::sha256(&state[..reader.position() - before]))
        }
        Kind::BlockState => SnapshotRow::Head(Box::new(Head::unpack(reader, version)?)),
        Kind::Account => SnapshotRow::Account(rows::account(reader)?),
        Kind::AccountMetadata => SnapshotRow::AccountMetadata(rows::account_metadata(reader)?),
        Kind::RamCorrection => SnapshotRow::RamCorrection(reader.name()?, reader.u64()?),
        Kind::GlobalProperty => SnapshotRow::GlobalProperty(Box::new(global::global_property(reader, version)?)),
        Kind::ProtocolState => SnapshotRow::ProtocolState(global::protocol_state(reader)?),
        Kind::DynamicGlobalProperty => SnapshotRow::GlobalActionSequence(reader.u64()?),
        Kind::BlockSummary => SnapshotRow::BlockSummary(reader.checksum256()?),
        Kind::Transaction => {
            let expiration = reader.u32()?;
            SnapshotRow::Transaction(reader.checksum256()?, expiration)
        }
        Kind::GeneratedTransaction => SnapshotRow::GeneratedTransaction(rows::generated_transaction(reader)?),
        Kind::TableId => SnapshotRow::Table(rows::table(reader)?),
        Kind::Code => SnapshotRow::Code(rows::code(reader)?),
        Kind::KeyValue => SnapshotRow::KeyValue(rows::key_value(reader)?),
        Kind::Permission => SnapshotRow::Permission(rows::permission(reader)?),
        Kind::PermissionLink => SnapshotRow::PermissionLink(rows::permission_link(reader)?),
        Kind::ResourceLimits => SnapshotRow::ResourceLimits(rows::resource_limits(reader)?),
        Kind::ResourceUsage => SnapshotRow::ResourceUsage(rows::resource_usage(reader)?),
        Kind::Other(size) => SnapshotRow::Other(reader.take(size, "limits")?.to_vec()),
        // Their rows stand in groups, or are passed over; the header was read when the file was opened.
        Kind::Header | Kind::ContractTables | Kind::Rows(_) | Kind::Unknown => SnapshotRow::Other(vec![]),
    })
}
