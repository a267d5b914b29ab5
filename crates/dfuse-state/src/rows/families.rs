//! The families of rows.

use dfuse_index::Family;

/// Contract, table, scope, primary key and inverted block number to payer and data; empty where the row was removed.
pub const ROW_HISTORY: Family = Family::new("row-history");
/// Contract, table, scope and primary key to version, payer and data of the rows that are there now.
pub const ROW_CURRENT: Family = Family::new("row-current");
/// Contract, table, scope, block number and primary key of every removal, to how many there were since the table's last
/// list of keys, and the version that was removed.
pub const ROW_REMOVALS: Family = Family::new("row-removal");
/// Contract, table, scope, block number and a primary key to the keys from that one on that the table then had, with the
/// versions of their rows.
pub const ROW_KEYS: Family = Family::new("row-keys");
