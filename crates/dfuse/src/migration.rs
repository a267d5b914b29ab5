//! A contract in a directory, with all that it has: what `dfuse tools export` writes, and `migration.inject` of `dfuse boot` reads.
//!
//! ```text
//! code.wasm                 absent if it has none
//! abi.bin                   the ABI byte by byte as it was set; absent if it has none
//! abi.json                  the same for people; it counts where there is no abi.bin
//! permissions.json          its permissions
//! permission_links.json     which of them its actions ask for
//! tables/TABLE.jsonl        rows, one a line
//! indexes.jsonl             entries of secondary indexes, one a line; absent if they are not known
//! ```

use std::{
    fmt,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::Context;
use dfuse_antelope::{Name, abi::Abi};
use dfuse_ship::SecondaryKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, de::DeserializeOwned};

use crate::small_file;

pub(crate) const CODE: &str = "code.wasm";
pub(crate) const ABI: &str = "abi.bin";
pub(crate) const ABI_JSON: &str = "abi.json";
pub(crate) const PERMISSIONS: &str = "permissions.json";
pub(crate) const LINKS: &str = "permission_links.json";
pub(crate) const TABLES: &str = "tables";
pub(crate) const INDEXES: &str = "indexes.jsonl";
/// Ending of files with one JSON object a line.
pub(crate) const LINES: &str = "jsonl";

/// A row of a table. It stands in the file of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) scope: Name,
    #[serde(with = "decimal")]
    pub(crate) key: u64,
    pub(crate) payer: Name,
    pub(crate) hex: Hex,
}

/// An entry of a secondary index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexEntry {
    /// As the chain has it: that of the first index is the table's own, others have their number in the last character.
    pub(crate) table: Name,
    pub(crate) scope: Name,
    /// The primary key.
    #[serde(with = "decimal")]
    pub(crate) key: u64,
    pub(crate) payer: Name,
    pub(crate) kind: IndexKind,
    /// The secondary key, as it lies in the memory of contracts.
    pub(crate) hex: Hex,
}

/// Kinds of secondary keys, in the order of the injector's variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IndexKind {
    I64,
    I128,
    I256,
    Double,
    LongDouble,
}

impl IndexKind {
    /// Bytes of a key.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::I64 | Self::Double => 8,
            Self::I128 | Self::LongDouble => 16,
            Self::I256 => 32,
        }
    }
}

/// The kind of a secondary key, and its bytes.
pub(crate) fn index_key(key: SecondaryKey) -> (IndexKind, Hex) {
    let (kind, bytes) = match key {
        SecondaryKey::U64(key) => (IndexKind::I64, key.to_le_bytes().to_vec()),
        SecondaryKey::U128(key) => (IndexKind::I128, key.to_le_bytes().to_vec()),
        SecondaryKey::U256(halves) => (IndexKind::I256, halves.map(u128::to_le_bytes).concat()),
        SecondaryKey::Double(bits) => (IndexKind::Double, bits.to_le_bytes().to_vec()),
        SecondaryKey::LongDouble(bits) => (IndexKind::LongDouble, bits.to_le_bytes().to_vec()),
    };
    (kind, Hex(bytes))
}

/// Bytes that are written in hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(&self.0))
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&const_hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        const_hex::decode(text).map(Self).map_err(|error| de::Error::custom(format!("hex: {error}")))
    }
}

/// A permission of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Permission {
    pub(crate) permission: Name,
    /// Empty at the top.
    pub(crate) parent: Name,
    pub(crate) authority: Authority,
}

/// Who may use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Authority {
    pub(crate) threshold: u32,
    pub(crate) keys: Vec<KeyWeight>,
    pub(crate) accounts: Vec<LevelWeight>,
    pub(crate) waits: Vec<WaitWeight>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyWeight {
    pub(crate) key: String,
    pub(crate) weight: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LevelWeight {
    pub(crate) permission: Level,
    pub(crate) weight: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Level {
    pub(crate) actor: Name,
    pub(crate) permission: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitWeight {
    pub(crate) wait_sec: u32,
    pub(crate) weight: u16,
}

/// A permission that actions of a contract ask for; an empty action is all of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Link {
    pub(crate) contract: Name,
    pub(crate) action: Name,
    pub(crate) permission_name: Name,
}

/// The directory of a contract.
#[derive(Debug, Clone)]
pub(crate) struct Contract {
    folder: PathBuf,
    pub(crate) permissions: Vec<Permission>,
    pub(crate) links: Vec<Link>,
    /// Names of tables, sorted.
    tables: Vec<Name>,
}

impl Contract {
    /// Reads all but the rows.
    ///
    /// # Errors
    /// The directory or a file in it cannot be read, or is none of these.
    pub(crate) fn open(folder: PathBuf) -> anyhow::Result<Self> {
        let what = || format!("{} is not the directory of an exported contract", folder.display());
        if !folder.is_dir() {
            anyhow::bail!("there is no directory {}", folder.display());
        }
        let permissions = json(&folder.join(PERMISSIONS)).with_context(what)?.unwrap_or_default();
        let links = json(&folder.join(LINKS)).with_context(what)?.unwrap_or_default();
        let tables = tables(&folder.join(TABLES)).with_context(what)?;
        Ok(Self { permissions, links, tables, folder })
    }

    /// The code, and the packed ABI, each empty if there is none.
    pub(crate) fn code_and_abi(&self) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
        let code = small_file::read(&self.folder.join(CODE))?.unwrap_or_default();
        let abi = match small_file::read(&self.folder.join(ABI))? {
            Some(packed) => packed,
            None => json::<Abi>(&self.folder.join(ABI_JSON))?.map(|abi| abi.to_bytes()).unwrap_or_default(),
        };
        Ok((code, abi))
    }

    /// Whether entries of secondary indexes are there, if only to say that there are none.
    pub(crate) fn has_indexes(&self) -> bool {
        self.folder.join(INDEXES).is_file()
    }

    pub(crate) fn tables(&self) -> &[Name] {
        &self.tables
    }

    /// The rows of a table, read as they are asked for.
    pub(crate) fn rows(&self, table: Name) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Row>> + use<>> {
        lines(self.folder.join(TABLES).join(format!("{table}.{LINES}")))
    }

    /// The entries of secondary indexes, read as they are asked for.
    pub(crate) fn index_entries(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<IndexEntry>> + use<>> {
        lines(self.folder.join(INDEXES))
    }
}

fn json<T: DeserializeOwned>(file: &Path) -> anyhow::Result<Option<T>> {
    small_file::read_json(file, || file.display().to_string())
}

fn tables(folder: &Path) -> anyhow::Result<Vec<Name>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
    };
    let mut tables = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == LINES) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            tables.push(name.parse().with_context(|| path.display().to_string())?);
        }
    }
    tables.sort_unstable();
    Ok(tables)
}

/// The lines of a file; none if there is no file.
fn lines<T: DeserializeOwned>(file: PathBuf) -> anyhow::Result<impl Iterator<Item = anyhow::Result<T>>> {
    let reader: Box<dyn BufRead> = match File::open(&file) {
        Ok(opened) => Box::new(BufReader::new(opened)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Box::new(io::empty()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    Ok((1_u64..).zip(reader.lines()).map(move |(number, line)| {
        let place = || format!("{}, line {number}", file.display());
        serde_json::from_str(&line.with_context(place)?).with_context(place)
    }))
}

/// Numbers of 64 bits as text, since JSON of most programs has none.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_entries_are_lines() {
        let row = Row { scope: Name(0), key: u64::MAX, payer: Name::EOSIO, hex: Hex(vec![0, 255]) };
        let line = r#"{"scope":"","key":"18446744073709551615","payer":"eosio","hex":"00ff"}"#;
        assert_eq!(serde_json::to_string(&row).unwrap(), line);
        assert_eq!(serde_json::from_str::<Row>(line).unwrap(), row);
        for (key, kind, hex) in [
            (SecondaryKey::U64(1), IndexKind::I64, "0100000000000000"),
            (
                SecondaryKey::U256([1, 2]),
                IndexKind::I256,
                "01000000000000000000000000000000\
                                                           02000000000000000000000000000000",
            ),
            (SecondaryKey::Double(1.5_f64.to_bits()), IndexKind::Double, "000000000000f83f"),
        ] {
            let (found, bytes) = index_key(key);
            assert_eq!((found, format!("{bytes:?}").as_str()), (kind, hex));
            assert_eq!(bytes.0.len(), kind.size());
        }
        assert_eq!(serde_json::to_string(&IndexKind::LongDouble).unwrap(), "\"long_double\"");
    }

    #[test]
    fn a_folder_is_read_and_what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let tables = folder.path().join(TABLES);
        fs::create_dir(&tables).unwrap();
        fs::write(tables.join("b.jsonl"), "{\"scope\":\"s\",\"key\":\"1\",\"payer\":\"p\",\"hex\":\"00\"}\nx\n")
            .unwrap();
        fs::write(tables.join("a.jsonl"), "").unwrap();
        let contract = Contract::open(folder.path().to_owned()).unwrap();
        let names = ["a", "b"].map(Name::literal);
        assert_eq!(contract.tables(), names);
        assert!(!contract.has_indexes() && contract.permissions.is_empty());
        let mut rows = contract.rows(names[1]).unwrap();
        assert_eq!(rows.next().unwrap().unwrap().key, 1);
        let wrong = format!("{:#}", rows.next().unwrap().unwrap_err());
        assert!(wrong.contains("b.jsonl, line 2"), "{wrong}");
        assert!(contract.index_entries().unwrap().next().is_none());
        fs::write(folder.path().join(PERMISSIONS), "{}").unwrap();
        let wrong = format!("{:#}", Contract::open(folder.path().to_owned()).unwrap_err());
        assert!(wrong.contains("permissions.json"), "{wrong}");
        assert!(Contract::open(folder.path().join("none")).is_err());
    }
}
