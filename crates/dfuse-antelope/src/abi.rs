//! Contract interfaces: the [`Abi`] as published, and [`AbiSerializer`], which turns the bytes of actions, table rows and
//! return values into JSON text and back.
//!
//! ```
//! use dfuse_antelope::{Name, abi::{Abi, AbiSerializer, Rendering}};
//!
//! let abi: Abi = serde_json::from_str(r#"{
//!     "version": "eosio::abi/1.1",
//!     "structs": [{"name": "account", "base": "", "fields": [{"name": "balance", "type": "asset"}]}],
//!     "tables": [{"name": "accounts", "index_type": "i64", "type": "account"}]
//! }"#)?;
//! let serializer = AbiSerializer::new(&abi);
//! let accounts = serializer.table(Name::literal("accounts"))?;
//!
//! let row = [0xaa, 0x2c, 0x0b, 1, 0, 0, 0, 0, 4, b'E', b'O', b'S', 0, 0, 0, 0];
//! let mut json = Vec::new();
//! accounts.decode(&row, Rendering::Plain, 1 << 20, &mut json)?;
//! assert_eq!(json, br#"{"balance":"1750.9546 EOS"}"#);
//!
//! assert_eq!(accounts.encode(&serde_json::from_slice(&json)?, 1 << 20)?, row);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod builtin;
mod decode;
mod definition;
mod encode;
mod rendering;
mod resolve;
mod validate;

pub use definition::{
    Abi, ActionDef, ActionResultDef, ClausePair, ErrorMessage, Extension, FieldDef, KvPrimaryIndexDef,
    KvSecondaryIndexDef, KvTableDef, StructDef, TableDef, TypeDef, VariantDef,
};
pub use rendering::Rendering;
pub use resolve::{AbiSerializer, AbiType};

/// The packed ABI that `eosio` has from the first block of a chain on, before anybody sets another one. It is built into nodes, the
/// same in all versions.
pub const NATIVE_EOSIO_ABI: &[u8] = include_bytes!("abi/eosio.abi");

#[cfg(test)]
mod tests;
