//! Names of sections, and which versions have them.

use std::ops::RangeInclusive;

/// The kind of a section, hence of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Header,
    Genesis,
    BlockState,
    Account,
    AccountMetadata,
    RamCorrection,
    GlobalProperty,
    ProtocolState,
    DynamicGlobalProperty,
    BlockSummary,
    Transaction,
    GeneratedTransaction,
    TableId,
    Code,
    KeyValue,
    ContractTables,
    /// Rows of a kind in version 8: 0 are primary rows, 1 to 5 secondary indexes.
    Rows(u8),
    Permission,
    PermissionLink,
    ResourceLimits,
    ResourceUsage,
    /// State and configuration of resource limits, of which only the size is of use.
    Other(usize),
    /// A section that this reader does not know.
    Unknown,
}

/// Name, kind and versions. The prefix `eosio::chain::` is left out.
pub(super) const SECTIONS: [(&str, Kind, RangeInclusive<u32>); 26] = [
    ("chain_snapshot_header", Kind::Header, 2..=8),
    ("genesis_state", Kind::Genesis, 2..=2),
    ("block_state", Kind::BlockState, 2..=8),
    ("account_object", Kind::Account, 2..=8),
    ("account_metadata_object", Kind::AccountMetadata, 2..=8),
    ("account_ram_correction_object", Kind::RamCorrection, 2..=8),
    ("global_property_object", Kind::GlobalProperty, 2..=8),
    ("protocol_state_object", Kind::ProtocolState, 2..=8),
    ("dynamic_global_property_object", Kind::DynamicGlobalProperty, 2..=8),
    ("block_summary_object", Kind::BlockSummary, 2..=8),
    ("transaction_object", Kind::Transaction, 2..=8),
    ("generated_transaction_object", Kind::GeneratedTransaction, 2..=8),
    ("code_object", Kind::Code, 2..=8),
    ("kv_object", Kind::KeyValue, 4..=5),
    ("contract_tables", Kind::ContractTables, 2..=6),
    ("table_id_object", Kind::TableId, 8..=8),
    ("key_value_object", Kind::Rows(0), 8..=8),
    ("index64_object", Kind::Rows(1), 8..=8),
    ("index128_object", Kind::Rows(2), 8..=8),
    ("index256_object", Kind::Rows(3), 8..=8),
    ("index_double_object", Kind::Rows(4), 8..=8),
    ("index_long_double_object", Kind::Rows(5), 8..=8),
    ("permission_object", Kind::Permission, 2..=8),
    ("permission_link_object", Kind::PermissionLink, 2..=8),
    ("resource_limits::resource_limits_object", Kind::ResourceLimits, 2..=8),
    ("resource_limits::resource_usage_object", Kind::ResourceUsage, 2..=8),
];

/// Sections of one row, of which the size is known, and the sizes.
pub(super) const FIXED: [(&str, usize); 2] = [
    ("resource_limits::resource_limits_state_object", 2 * 20 + 7 * 8),
    ("resource_limits::resource_limits_config_object", 2 * (8 + 8 + 4 + 4 + 4 * 8) + 2 * 4),
];

/// The name without its prefix.
pub(super) fn short(name: &str) -> &str {
    name.strip_prefix("eosio::chain::").unwrap_or(name)
}

impl Kind {
    /// The kind of a section of this name in a snapshot of this version.
    pub(super) fn of(name: &str, version: u32) -> Self {
        let name = short(name);
        if let Some((_, size)) = FIXED.iter().find(|(known, _)| *known == name) {
            return Self::Other(*size);
        }
        let known = SECTIONS.iter().find(|(known, _, versions)| *known == name && versions.contains(&version));
        known.map_or(Self::Unknown, |(_, kind, _)| *kind)
    }
}

/// Names of the sections that a snapshot of this version must have. `kv_object` is absent where the node has no such store.
pub(super) fn required(version: u32) -> impl Iterator<Item = &'static str> {
    let of_version =
        SECTIONS.iter().filter(move |(_, kind, versions)| *kind != Kind::KeyValue && versions.contains(&version));
    of_version.map(|(name, _, _)| *name).chain(FIXED.iter().map(|(name, _)| *name))
}
