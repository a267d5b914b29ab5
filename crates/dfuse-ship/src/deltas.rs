//! Deltas of state history: which rows of chain state a block changed.

use std::io::Read;

use dfuse_antelope::{self as antelope, Error as Wrong, Result as Decoded, TimePoint, raw::Reader};

use crate::{
    Result,
    rows::{authority, u128_of},
    state::{
        Account, AccountMetadata, Code, CodeReference, ContractRow, GeneratedTransaction, Permission, PermissionLink,
        ResourceLimits, ResourceUsage, SecondaryKey, SecondaryRow, Table, UsageAccumulator,
    },
    window::Window,
};

/// Longest name of a table.
const MAX_NAME: usize = 64;

/// A row that a block changed. There is one a row and block, but for a row that was removed and made anew, which is both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaRow {
    /// True: the row is as at the end of the block. False: it was removed, and is as it was at the start of the block.
    pub present: bool,
    /// The row.
    pub row: StateRow,
}

/// A row of chain state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateRow {
    /// An account.
    Account(Account),
    /// What the chain knows of an account besides.
    AccountMetadata(AccountMetadata),
    /// A contract's code.
    Code(Code),
    /// A table of a contract.
    Table(Table),
    /// A row of a contract's table.
    Contract(ContractRow),
    /// An entry of a secondary index.
    Secondary(SecondaryRow),
    /// A deferred transaction that waits.
    GeneratedTransaction(GeneratedTransaction),
    /// A permission. A full state begins with a reserved one, which has no owner.
    Permission(Permission),
    /// A link of a permission.
    PermissionLink(PermissionLink),
    /// Shares of an account in the chain's resources.
    ResourceLimits(ResourceLimits),
    /// What an account uses of them.
    ResourceUsage(ResourceUsage),
    /// A row of the chain as a whole: the table's name, and the packed row.
    Chain(String, Vec<u8>),
}

/// Reads the deltas of one block from a stream, a row at a time: the first deltas of a log are the whole state.
pub struct Deltas<R> {
    window: Window<R>,
    tables: Option<u32>,
    table: String,
    rows: u32,
}

impl<R: Read> Deltas<R> {
    /// Begins to read the `deltas` of a message, or of an entry of `chain_state_history.log`.
    pub fn new(deltas: R) -> Self {
        Self { window: Window::new(deltas), tables: None, table: String::new(), rows: 0 }
    }

    /// The next row. `None` is the end of the deltas.
    ///
    /// # Errors
    /// The bytes are wrong, end too early or go on after the end, or have a form that is not known. Nothing can be read after an
    /// error.
    pub fn next_row(&mut self) -> Result<Option<DeltaRow>> {
        while self.rows == 0 {
            let tables = match self.tables {
                Some(left) => left,
                None => self.window.frame("the number of tables", |r| r.varuint32())?,
            };
            if tables == 0 {
                self.tables = Some(0);
                return match self.window.is_at_end()? {
                    true => Ok(None),
                    false => Err(self.window.damaged("deltas", "there are bytes after the last table")),
                };
            }
            self.tables = Some(tables - 1);
            (self.table, self.rows) = self.window.frame("a table", table)?;
        }
        self.rows -= 1;
        let name = &self.table;
        self.window.frame(name, |reader| delta_row(reader, name)).map(Some)
    }
}

/// Name of a table, and how many rows of it follow.
fn table(reader: &mut Reader<'_>) -> Decoded<(String, u32)> {
    match reader.varuint32()? {
        0 => {}
        1 => return Err(Wrong::invalid("deltas", "they are those of EOSIO 2.1, which cannot be read")),
        other => return Err(Wrong::invalid("deltas", format!("unknown variant {other}"))),
    }
    let length = reader.varuint32()? as usize;
    if length > MAX_NAME {
        return Err(Wrong::Limit { what: "the name of a table", limit: MAX_NAME });
    }
    let name = String::from_utf8_lossy(reader.take(length, "the name of a table")?).into_owned();
    Ok((name, reader.varuint32()?))
}

fn delta_row(reader: &mut Reader<'_>, table: &str) -> Decoded<DeltaRow> {
    let present = reader.u8()? != 0;
    let size = varuint64(reader)?;
    let size = usize::try_from(size).map_err(|_| Wrong::Limit { what: "a row", limit: usize::MAX })?;
    let data = reader.take(size, "a row")?;
    let row = state_row(data, table).map_err(complete)?;
    Ok(DeltaRow { present, row })
}

/// A row is there as a whole: if it ends too early, more bytes of the stream do not help.
fn complete(error: antelope::Error) -> antelope::Error {
    match error.cause() {
        Wrong::Truncated { .. } => Wrong::invalid("row", error.to_string()),
        _ => error,
    }
}

/// LEB128 of at most 64 bits: lengths of rows, which can be longer than lists elsewhere.
pub(crate) fn varuint64(reader: &mut Reader<'_>) -> Decoded<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = reader.u8()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Wrong::invalid("varuint64", "more than ten bytes"))
}

fn state_row(data: &[u8], table: &str) -> Decoded<StateRow> {
    let mut reader = Reader::new(data);
    let r = &mut reader;
    if !CHAIN.contains(&table) {
        version(r)?;
    }
    let row = match table {
        "account" => StateRow::Account(crate::rows::account(r)?),
        "account_metadata" => StateRow::AccountMetadata(account_metadata(r)?),
        "code" => StateRow::Code(code(r)?),
        "contract_table" => {
            StateRow::Table(Table { code: r.name()?, scope: r.name()?, table: r.name()?, payer: r.name()?, rows: None })
        }
        "contract_row" => StateRow::Contract(contract_row(r)?),
        "generated_transaction" => StateRow::GeneratedTransaction(generated_transaction(r)?),
        "permission" => StateRow::Permission(permission(r)?),
        "permission_link" => StateRow::PermissionLink(crate::rows::permission_link(r)?),
        "resource_limits" => StateRow::ResourceLimits(crate::rows::resource_limits(r)?),
        "resource_usage" => StateRow::ResourceUsage(ResourceUsage {
            owner: r.name()?,
            net: usage(r)?,
            cpu: usage(r)?,
            ram_bytes: r.u64()?,
        }),
        _ if CHAIN.contains(&table) => return Ok(StateRow::Chain(table.to_owned(), data.to_vec())),
        _ => StateRow::Secondary(secondary_row(r, table)?),
    };
    reader.finish("row")?;
    Ok(row)
}

/// Tables of one row that are about the chain as a whole.
const CHAIN: [&str; 4] = ["global_property", "protocol_state", "resource_limits_state", "resource_limits_config"];

/// The variant in front of a row, of which there is one so far.
fn version(reader: &mut Reader<'_>) -> Decoded<()> {
    match reader.varuint32()? {
        0 => Ok(()),
        other => Err(Wrong::invalid("row", format!("unknown variant {other}"))),
    }
}

fn account_metadata(reader: &mut Reader<'_>) -> Decoded<AccountMetadata> {
    Ok(AccountMetadata {
        name: reader.name()?,
        privileged: reader.bool()?,
        last_code_update: TimePoint(reader.i64()?),
        code: reader.option(code_reference)?,
        sequences: None,
    })
}

fn code_reference(reader: &mut Reader<'_>) -> Decoded<CodeReference> {
    let (vm_type, vm_version) = (reader.u8()?, reader.u8()?);
    Ok(CodeReference { hash: reader.checksum256()?, vm_type, vm_version })
}

fn code(reader: &mut Reader<'_>) -> Decoded<Code> {
    Ok(Code { reference: code_reference(reader)?, code: reader.bytes("code")? })
}

fn contract_row(reader: &mut Reader<'_>) -> Decoded<ContractRow> {
    Ok(ContractRow {
        code: reader.name()?,
        scope: reader.name()?,
        table: reader.name()?,
        primary_key: reader.u64()?,
        payer: reader.name()?,
        value: reader.bytes("row")?,
    })
}

fn secondary_row(reader: &mut Reader<'_>, index: &str) -> Decoded<SecondaryRow> {
    Ok(SecondaryRow {
        code: reader.name()?,
        scope: reader.name()?,
        table: reader.name()?,
        primary_key: reader.u64()?,
        payer: reader.name()?,
        key: match index {
            "contract_index64" => SecondaryKey::U64(reader.u64()?),
            "contract_index128" => SecondaryKey::U128(u128_of(reader)?),
            // Here both halves are big-endian.
            "contract_index256" => SecondaryKey::U256([
                u128::from_be_bytes(reader.array("uint128")?),
                u128::from_be_bytes(reader.array("uint128")?),
            ]),
            "contract_index_double" => SecondaryKey::Double(reader.u64()?),
            "contract_index_long_double" => SecondaryKey::LongDouble(u128_of(reader)?),
            other => return Err(Wrong::invalid("deltas", format!("unknown table \"{other}\""))),
        },
    })
}

fn generated_transaction(reader: &mut Reader<'_>) -> Decoded<GeneratedTransaction> {
    let (sender, sender_id, payer) = (reader.name()?, u128_of(reader)?, reader.name()?);
    let id = reader.checksum256()?;
    Ok(GeneratedTransaction { id, sender, sender_id, payer, times: None, transaction: reader.bytes("packed_trx")? })
}

fn permission(reader: &mut Reader<'_>) -> Decoded<Permission> {
    let (owner, name, parent) = (reader.name()?, reader.name()?, reader.name()?);
    let last_updated = TimePoint(reader.i64()?);
    Ok(Permission { owner, name, parent, last_updated, last_used: None, authority: authority(reader)? })
}

fn usage(reader: &mut Reader<'_>) -> Decoded<UsageAccumulator> {
    version(reader)?;
    crate::rows::usage(reader)
}
