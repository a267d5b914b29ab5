//! Names of tables and rows, and what a row holds.

use bytes::Bytes;
use dfuse_antelope::{Name, model::DbOp};
use dfuse_index::{
    Family, Result,
    codec::{ValueReader, put_varint},
};

/// Bytes of a table's key.
pub(crate) const TABLE_BYTES: usize = 24;
/// Bytes of a row's key.
pub(crate) const ROW_BYTES: usize = TABLE_BYTES + 8;

/// A table of a contract in one scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableKey {
    /// The contract.
    pub contract: Name,
    /// The table.
    pub table: Name,
    /// The scope: an account, a symbol, a symbol code or any number.
    pub scope: Name,
}

impl TableKey {
    /// The row of that primary key.
    pub fn row(self, primary_key: u64) -> RowKey {
        RowKey { table: self, primary_key }
    }

    pub(crate) fn to_bytes(self) -> [u8; TABLE_BYTES] {
        let mut bytes = [0; TABLE_BYTES];
        for (part, name) in bytes.chunks_exact_mut(8).zip([self.contract, self.table, self.scope]) {
            part.copy_from_slice(&name.0.to_be_bytes());
        }
        bytes
    }
}

/// A row of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// Where it is.
    pub table: TableKey,
    /// Its primary key.
    pub primary_key: u64,
}

impl RowKey {
    /// The row that an operation is about.
    pub fn of(op: &DbOp) -> Self {
        let table = TableKey { contract: op.code, table: op.table_name, scope: op.scope };
        table.row(op.primary_key.0)
    }

    pub(crate) fn to_bytes(self) -> [u8; ROW_BYTES] {
        let mut bytes = [0; ROW_BYTES];
        bytes[..TABLE_BYTES].copy_from_slice(&self.table.to_bytes());
        bytes[TABLE_BYTES..].copy_from_slice(&self.primary_key.to_be_bytes());
        bytes
    }
}

/// What a row holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Who pays for its RAM.
    pub payer: Name,
    /// Its bytes, possibly none. They may share memory with other rows: copy what is kept for long.
    pub data: Bytes,
}

impl Row {
    /// Payer (8 bytes), data.
    pub(crate) fn encode_version(&self) -> Vec<u8> {
        [&self.payer.0.to_be_bytes()[..], &self.data].concat()
    }

    /// The inverse of [`Row::encode_version`]; absent if the value is empty, which says that there is no row.
    pub(crate) fn decode_version(family: Family, value: &Bytes) -> Result<Option<Self>> {
        if value.is_empty() {
            return Ok(None);
        }
        let payer = ValueReader::new(family, value).name()?;
        Ok(Some(Self { payer, data: value.slice(8..) }))
    }
}

/// A row of a table at some height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow {
    /// Its primary key.
    pub primary_key: u64,
    /// What it holds.
    pub row: Row,
    /// The block that wrote it so.
    pub block_number: u32,
}

impl TableRow {
    /// Version, payer (8 bytes), data.
    pub(crate) fn encode_current(row: &Row, version: Version) -> Vec<u8> {
        let mut value = Vec::with_capacity(13 + row.data.len());
        version.encode(&mut value);
        value.extend_from_slice(&row.payer.0.to_be_bytes());
        value.extend_from_slice(&row.data);
        value
    }

    /// The inverse of [`TableRow::encode_current`].
    pub(crate) fn decode_current(family: Family, primary_key: u64, value: &Bytes) -> Result<(Self, Version)> {
        let mut reader = ValueReader::new(family, value);
        let (version, payer) = (Version::decode(&mut reader)?, reader.name()?);
        let data = value.slice(value.len() - reader.rest().len()..);
        Ok((Self { primary_key, row: Row { payer, data }, block_number: version.number }, version))
    }
}

/// Which version of a row it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    /// The block that wrote it.
    pub(crate) number: u32,
    /// There was no row before that block.
    pub(crate) is_first: bool,
}

impl Version {
    /// Twice the block number (varint), and one if it is the first.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.number) << 1 | u64::from(self.is_first));
    }

    /// The inverse of [`Version::encode`].
    pub(crate) fn decode(reader: &mut ValueReader<'_>) -> Result<Self> {
        let value = reader.varint()?;
        let number = u32::try_from(value >> 1).map_err(|_| reader.damaged("a block number over 32 bits"))?;
        Ok(Self { number, is_first: value & 1 == 1 })
    }
}
