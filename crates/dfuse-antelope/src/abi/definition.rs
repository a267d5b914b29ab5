//! The ABI as a contract publishes it, in its binary form (`setabi`, ABI dumps) and in its JSON form.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    Name, Result,
    raw::{Reader, Writer},
};

/// A contract's interface: its types, actions and tables (`abi_def`).
///
/// Nothing in it has been checked: see [`Abi::validate`]. In JSON any list may be absent, and empty lists are left out when
/// written. In binary form, strings that are not UTF-8 are read with U+FFFD in place of what is invalid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Abi {
    /// `eosio::abi/1.x`. It does not tell which lists there are.
    pub version: String,
    /// Aliases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<TypeDef>,
    /// Structs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub structs: Vec<StructDef>,
    /// Actions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionDef>,
    /// Tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableDef>,
    /// Ricardian clauses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ricardian_clauses: Vec<ClausePair>,
    /// Texts of error codes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub error_messages: Vec<ErrorMessage>,
    /// Extensions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub abi_extensions: Vec<Extension>,
    /// Variants (ABI 1.1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<VariantDef>,
    /// Types of action return values (ABI 1.2).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub action_results: Vec<ActionResultDef>,
    /// Key-value tables (EOSIO 2.1 only).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kv_tables: BTreeMap<Name, KvTableDef>,
}

/// Another name for a type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeDef {
    /// The new name.
    pub new_type_name: String,
    /// The type expression that it stands for.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// A struct: the fields of its base, then its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StructDef {
    /// Its name.
    pub name: String,
    /// The struct that it extends, or empty.
    #[serde(default)]
    pub base: String,
    /// Its own fields.
    #[serde(default)]
    pub fields: Vec<FieldDef>,
}

/// A field of a struct.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDef {
    /// Its name.
    pub name: String,
    /// Its type expression, which may end in `$`.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// An action.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionDef {
    /// Its name.
    pub name: Name,
    /// The type of its data.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its contract in prose.
    #[serde(default)]
    pub ricardian_contract: String,
}

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDef {
    /// Its name.
    pub name: Name,
    /// The kind of its primary index, `i64` in practice.
    #[serde(default)]
    pub index_type: String,
    /// Names of its keys; compilers leave it empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_names: Vec<String>,
    /// Types of its keys; compilers leave it empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_types: Vec<String>,
    /// The type of its rows.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// A ricardian clause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClausePair {
    /// Its title.
    pub id: String,
    /// Its text.
    pub body: String,
}

/// The text of an error code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorMessage {
    /// The code given to `eosio_assert_code`; a string in JSON when it is above 2^32 - 1, as in nodeos.
    #[serde(serialize_with = "write_code", deserialize_with = "read_code")]
    pub error_code: u64,
    /// Its text.
    pub error_msg: String,
}

/// An extension: `[type, hex]` in JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension(
    /// What it is.
    pub u16,
    /// Its content.
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    pub Vec<u8>,
);

/// A variant: one of several types.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariantDef {
    /// Its name.
    pub name: String,
    /// Type expressions of its alternatives.
    #[serde(default)]
    pub types: Vec<String>,
}

/// The type of an action's return value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionResultDef {
    /// The action.
    pub name: Name,
    /// The type expression of what it returns.
    pub result_type: String,
}

/// A key-value table (EOSIO 2.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvTableDef {
    /// The type of its values.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its primary index.
    pub primary_index: KvPrimaryIndexDef,
    /// Its other indexes.
    #[serde(default)]
    pub secondary_indices: BTreeMap<Name, KvSecondaryIndexDef>,
}

/// The primary index of a key-value table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvPrimaryIndexDef {
    /// Its name.
    pub name: Name,
    /// The type of its keys.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// A secondary index of a key-value table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvSecondaryIndexDef {
    /// The type of its keys.
    #[serde(rename = "type")]
    pub type_name: String,
}

impl Abi {
    /// Reads the binary form (packed `abi_def`, field order as nodeos writes it).
    ///
    /// The lists that came with later versions are read while bytes remain, whatever the version says. What follows
    /// `action_results` is taken for the key-value tables of EOSIO 2.1 if it is exactly that, and ignored otherwise, as
    /// nodeos ignores it.
    pub fn from_bytes(data: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(data);
        let r = &mut reader;
        let mut abi = Self {
            version: r.string("ABI version")?,
            types: r.list(2, "ABI types", |r| {
                Ok(TypeDef { new_type_name: r.string("ABI type name")?, type_name: r.string("ABI type")? })
            })?,
            structs: r.list(3, "ABI structs", |r| {
                Ok(StructDef {
                    name: r.string("ABI struct name")?,
                    base: r.string("ABI struct base")?,
                    fields: r.list(2, "ABI struct fields", |r| {
                        Ok(FieldDef { name: r.string("ABI field name")?, type_name: r.string("ABI field type")? })
                    })?,
                })
            })?,
            actions: r.list(10, "ABI actions", |r| {
                Ok(ActionDef {
                    name: r.name()?,
                    type_name: r.string("ABI action type")?,
                    ricardian_contract: r.string("ricardian contract")?,
                })
            })?,
            tables: r.list(12, "ABI tables", |r| {
                Ok(TableDef {
                    name: r.name()?,
                    index_type: r.string("ABI index type")?,
                    key_names: r.list(1, "ABI key names", |r| r.string("ABI key name"))?,
                    key_types: r.list(1, "ABI key types", |r| r.string("ABI key type"))?,
                    type_name: r.string("ABI table type")?,
                })
            })?,
            ricardian_clauses: r.list(2, "ricardian clauses", |r| {
                Ok(ClausePair { id: r.string("ricardian clause id")?, body: r.string("ricardian clause")? })
            })?,
            error_messages: r.list(9, "ABI error messages", |r| {
                Ok(ErrorMessage { error_code: r.u64()?, error_msg: r.string("ABI error message")? })
            })?,
            abi_extensions: r
                .list(3, "ABI extensions", |r| Ok(Extension(r.u16()?, r.blob("ABI extension")?.to_vec())))?,
            ..Self::default()
        };
        if !r.is_empty() {
            abi.variants = r.list(2, "ABI variants", |r| {
                Ok(VariantDef {
                    name: r.string("ABI variant name")?,
                    types: r.list(1, "ABI variant types", |r| r.string("ABI variant type"))?,
                })
            })?;
        }
        if !r.is_empty() {
            abi.action_results = r.list(9, "ABI action results", |r| {
                Ok(ActionResultDef { name: r.name()?, result_type: r.string("ABI action result type")? })
            })?;
        }
        if !r.is_empty() {
            abi.kv_tables = read_kv_tables(r).unwrap_or_default();
        }
        Ok(abi)
    }

    /// The binary form. `variants` and `action_results` are always in it, as nodeos writes them; `kv_tables` only if there
    /// are any.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let w = &mut writer;
        write_text(w, &self.version);
        w.list(&self.types, |w, alias| {
            write_text(w, &alias.new_type_name);
            write_text(w, &alias.type_name);
        });
        w.list(&self.structs, |w, definition| {
            write_text(w, &definition.name);
            write_text(w, &definition.base);
            w.list(&definition.fields, |w, field| {
                write_text(w, &field.name);
                write_text(w, &field.type_name);
            });
        });
        w.list(&self.actions, |w, action| {
            w.name(action.name);
            write_text(w, &action.type_name);
            write_text(w, &action.ricardian_contract);
        });
        w.list(&self.tables, |w, table| {
            w.name(table.name);
            write_text(w, &table.index_type);
            w.list(&table.key_names, |w, name| write_text(w, name));
            w.list(&table.key_types, |w, name| write_text(w, name));
            write_text(w, &table.type_name);
        });
        w.list(&self.ricardian_clauses, |w, clause| {
            write_text(w, &clause.id);
            write_text(w, &clause.body);
        });
        w.list(&self.error_messages, |w, message| {
            w.u64(message.error_code);
            write_text(w, &message.error_msg);
        });
        w.list(&self.abi_extensions, |w, Extension(kind, content)| {
            w.u16(*kind);
            w.blob(content);
        });
        w.list(&self.variants, |w, variant| {
            write_text(w, &variant.name);
            w.list(&variant.types, |w, name| write_text(w, name));
        });
        w.list(&self.action_results, |w, result| {
            w.name(result.name);
            write_text(w, &result.result_type);
        });
        if !self.kv_tables.is_empty() {
            w.count(self.kv_tables.len());
            for (name, table) in &self.kv_tables {
                w.name(*name);
                write_text(w, &table.type_name);
                w.name(table.primary_index.name);
                write_text(w, &table.primary_index.type_name);
                w.count(table.secondary_indices.len());
                for (name, index) in &table.secondary_indices {
                    w.name(*name);
                    write_text(w, &index.type_name);
                }
            }
        }
        writer.bytes
    }
}

fn read_kv_tables(reader: &mut Reader<'_>) -> Result<BTreeMap<Name, KvTableDef>> {
    let tables = reader.list(19, "ABI key-value tables", |r| {
        let name = r.name()?;
        let table = KvTableDef {
            type_name: r.string("ABI key-value table type")?,
            primary_index: KvPrimaryIndexDef { name: r.name()?, type_name: r.string("ABI index type")? },
            secondary_indices: r
                .list(9, "ABI secondary indexes", |r| {
                    Ok((r.name()?, KvSecondaryIndexDef { type_name: r.string("ABI index type")? }))
                })?
                .into_iter()
                .collect(),
        };
        Ok((name, table))
    })?;
    reader.finish("ABI key-value tables")?;
    Ok(tables.into_iter().collect())
}

fn write_text(writer: &mut Writer, text: &str) {
    writer.blob(text.as_bytes());
}

fn write_code<S: Serializer>(code: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if *code > u64::from(u32::MAX) { serializer.collect_str(code) } else { serializer.serialize_u64(*code) }
}

fn read_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Code {
        Number(u64),
        Text(String),
    }
    match Code::deserialize(deserializer)? {
        Code::Number(code) => Ok(code),
        Code::Text(text) => text.parse().map_err(|_| de::Error::custom("an error code is a number below 2^64")),
    }
}

fn write_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&const_hex::encode(bytes))
}

fn read_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    const_hex::decode(String::deserialize(deserializer)?).map_err(de::Error::custom)
}
