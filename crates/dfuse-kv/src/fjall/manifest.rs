//! The engine's manifests: which tables a keyspace has, with their checksums.
//!
//! The format is that of lsm-tree 3.1. File `current` has the number of the manifest (u64), its XXH3 (u128) and 0; the manifest is
//! file `v` and its number: sections, their directory, and 38 bytes that say where that is. Section `tables` has, for each level
//! and run, number (u64), 0, XXH3 of the file (u128) and a moment (u64) of every table. Numbers are little endian. The engine
//! itself does not verify a manifest.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Buf;
use xxhash_rust::xxh3::xxh3_128;

use super::damage::Damage;
use crate::{Error, Result};

/// Name of the file without which the engine takes a keyspace for one whose making was interrupted.
pub(super) const CURRENT: &str = "current";
const FOOTER_BYTES: usize = 38;

/// A table of a keyspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) file: PathBuf,
    pub(super) checksum: u128,
}

/// The tables of the keyspace in a directory, or what is wrong with its manifest.
pub(super) fn read(keyspace: &Path) -> Result<Result<Vec<Table>, Damage>> {
    let current = keyspace.join(CURRENT);
    let Some(content) = content(&current)? else { return Ok(Err(Damage::missing(current))) };
    let mut pointer = &content[..];
    let (Ok(number), Ok(checksum), Ok(0), true) =
        (pointer.try_get_u64_le(), pointer.try_get_u128_le(), pointer.try_get_u8(), pointer.is_empty())
    else {
        return Ok(Err(Damage::new(current, "it is not 25 bytes that name a manifest")));
    };
    let manifest = keyspace.join(format!("v{number}"));
    let Some(content) = self::content(&manifest)? else { return Ok(Err(Damage::missing(manifest))) };
    if xxh3_128(&content) != checksum {
        return Ok(Err(Damage::new(manifest, format!("it does not match the checksum in {}", current.display()))));
    }
    let tables = tables(keyspace, &content);
    Ok(tables.ok_or_else(|| Damage::new(manifest, "it has no list of tables")))
}

fn content(file: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(file, error)),
    }
}

fn tables(keyspace: &Path, manifest: &[u8]) -> Option<Vec<Table>> {
    let mut section = section(manifest, b"tables")?;
    let mut tables = Vec::new();
    for _ in 0..section.try_get_u8().ok()? {
        for _ in 0..section.try_get_u8().ok()? {
            for _ in 0..section.try_get_u32_le().ok()? {
                let number = section.try_get_u64_le().ok()?;
                let _kind = section.try_get_u8().ok()?;
                let checksum = section.try_get_u128_le().ok()?;
                let _moment = section.try_get_u64_le().ok()?;
                tables.push(Table { file: keyspace.join("tables").join(number.to_string()), checksum });
            }
        }
    }
    Some(tables)
}

/// The bytes of a section, found by the directory at the end.
fn section<'a>(file: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut footer = file.get(file.len().checked_sub(FOOTER_BYTES)?..)?.strip_prefix(b"SFA!")?;
    // Version, type of checksum, checksum of the directory.
    footer.advance(18);
    let mut directory = file.get(usize::try_from(footer.try_get_u64_le().ok()?).ok()?..)?;
    // Magic number.
    directory = directory.get(4..)?;
    for _ in 0..directory.try_get_u32_le().ok()? {
        let start = usize::try_from(directory.try_get_u64_le().ok()?).ok()?;
        let length = usize::try_from(directory.try_get_u64_le().ok()?).ok()?;
        let name_length = usize::from(directory.try_get_u16_le().ok()?);
        let (found, rest) = directory.split_at_checked(name_length)?;
        directory = rest;
        if found == name {
            return file.get(start..start.checked_add(length)?);
        }
    }
    None
}
