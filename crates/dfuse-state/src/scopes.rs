//! Which tables a contract has in which scopes, and who pays for them.

use bytes::Bytes;
use dfuse_antelope::{Name, model::TableOperation};
use dfuse_index::{
    Aging, BlockContext, Delta, DeltaBuilder, Family, Index, Kept, LoadedEntries, Part, Result, StateRow, View,
    codec::ValueReader,
};
use dfuse_kv::{Direction, KeyRange};

use crate::{
    TableKey,
    versions::{newest, present, versioned},
};

/// Contract, table, scope and inverted block number to payer; empty where the table was removed.
pub const SCOPES: Family = Family::new("scope");

/// The index of tables and their scopes. Its name is `scopes`.
///
/// It follows the chain's own operations on tables. Contracts have tables of secondary indexes beside those of their ABI.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scopes;

/// A scope in which a contract has a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableScope {
    /// The scope.
    pub scope: Name,
    /// Who pays for the table's entry.
    pub payer: Name,
    /// The block that made the table.
    pub block_number: u32,
}

impl Index for Scopes {
    fn name(&self) -> &'static str {
        "scopes"
    }

    fn schema_version(&self) -> u32 {
        1
    }

    fn families(&self) -> &'static [Family] {
        &[SCOPES]
    }

    fn kept(&self, _: Family) -> Option<Kept> {
        Some(Kept { parts: &[Part::State], aging: Aging::Versions })
    }

    fn delta(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        let number = context.block().number;
        let mut delta = DeltaBuilder::new();
        let mut operations: Vec<_> = context
            .block()
            .table_operations()
            .filter(|op| op.operation != TableOperation::Unknown)
            .map(|op| (TableKey { contract: op.code, table: op.table_name, scope: op.scope }, op))
            .collect();
        // Stable: operations on one table stay in their order.
        operations.sort_by_key(|(key, _)| *key);
        for of_one in operations.chunk_by(|(key, _), (next, _)| key == next) {
            let Some((key, last)) = of_one.last() else { continue };
            let key = key.to_bytes();
            let after = match last.operation {
                TableOperation::Remove => Bytes::new(),
                _ => Bytes::copy_from_slice(&last.payer.0.to_be_bytes()),
            };
            let before = newest(view, SCOPES, &key, number)?.map_or_else(Bytes::new, |(_, payer)| payer);
            if before != after {
                delta.put(SCOPES, versioned(&key, number), after);
            }
        }
        Ok(delta.build())
    }

    fn holds_state(&self) -> bool {
        true
    }

    fn load(&self, rows: &[StateRow], number: u32, entries: &mut LoadedEntries) -> Result<()> {
        for row in rows {
            let StateRow::Table(row) = row else { continue };
            let key = TableKey { contract: row.code, table: row.table, scope: row.scope }.to_bytes();
            entries.put(SCOPES, &[&key, &(!number).to_be_bytes()], &[&row.payer.0.to_be_bytes()]);
        }
        Ok(())
    }
}

pub(crate) fn scopes(
    view: &View,
    contract: Name,
    table: Name,
    after: Option<Name>,
    number: u32,
) -> Result<impl Iterator<Item = Result<TableScope>> + Send + use<>> {
    let prefix = [contract, table].map(|name| name.0.to_be_bytes()).concat();
    let after = after.map(|scope| scope.0.to_be_bytes());
    let after = after.as_ref().map(|bytes| &bytes[..]);
    Ok(present(view, SCOPES, &prefix, after, number)?.map(move |entry| {
        let (key, block_number, value) = entry?;
        let mut reader = ValueReader::new(SCOPES, &key);
        reader.take(prefix.len())?;
        Ok(TableScope { scope: reader.name()?, payer: ValueReader::new(SCOPES, &value).name()?, block_number })
    }))
}

pub(crate) fn was_seen(view: &View, contract: Name, table: Name) -> Result<bool> {
    let prefix = [contract, table].map(|name| name.0.to_be_bytes()).concat();
    Ok(view.first(SCOPES, &KeyRange::prefix(prefix), Direction::Forward)?.is_some())
}

/// Whether the table came or went at or below a height.
pub(crate) fn changed(view: &View, table: TableKey, number: u32) -> Result<bool> {
    Ok(newest(view, SCOPES, &table.to_bytes(), number)?.is_some())
}
