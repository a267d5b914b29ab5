//! What the store knows of itself beside the engine: which keyspaces there must be, and whether it was closed cleanly.
//!
//! The engine makes a missing keyspace anew, and then answers as if it had always been empty. It also takes the first place in a
//! journal that does not parse for the journal's end. This small file is what both are told by.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use xxhash_rust::xxh3::xxh3_64;

use crate::{Error, Result};

/// Name of the file, beside the engine's directory.
pub(super) const FILE: &str = "inventory";
const FIRST_LINE: &str = "dfuse-kv inventory 1";
const CLOSED: &str = "closed";
const OPEN: &str = "open";

/// The content of the file: lines of text, the last of which is a checksum of those before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inventory {
    /// Whether everything was written out when the store was closed, so that the journals hold nothing that is needed.
    pub(super) is_closed: bool,
    /// The engine's numbers of keyspaces, by name.
    pub(super) keyspaces: BTreeMap<String, u64>,
}

impl Inventory {
    /// Reads the file. Stores of earlier releases have none; a damaged one counts as absent, as it protects others only.
    pub(super) fn read(store: &Path) -> Result<Option<Self>> {
        let file = store.join(FILE);
        match fs::read(&file) {
            Ok(content) => Ok(Self::decode(&content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&file, error)),
        }
    }

    /// Replaces the file, durably.
    pub(super) fn write(&self, store: &Path) -> Result<()> {
        let (file, draft) = (store.join(FILE), store.join("inventory.new"));
        let write = || {
            let mut new = File::create(&draft)?;
            new.write_all(self.encode().as_bytes())?;
            new.sync_all()?;
            fs::rename(&draft, &file)?;
            File::open(store)?.sync_all()
        };
        write().map_err(|error| Error::io(&file, error))
    }

    fn encode(&self) -> String {
        let state = if self.is_closed { CLOSED } else { OPEN };
        let mut text = format!("{FIRST_LINE}\n{state}\n");
        for (name, number) in &self.keyspaces {
            text.push_str(&format!("{number} {name}\n"));
        }
        let checksum = xxh3_64(text.as_bytes());
        text.push_str(&format!("{checksum:016x}\n"));
        text
    }

    fn decode(content: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(content).ok()?.strip_suffix('\n')?;
        let (_, checksum) = text.rsplit_once('\n')?;
        let body = &content[..content.len() - checksum.len() - 1];
        if checksum != format!("{:016x}", xxh3_64(body)) {
            return None;
        }
        let mut lines = std::str::from_utf8(body).ok()?.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let is_closed = lines.next()? == CLOSED;
        let keyspace = |line: &str| {
            let (number, name) = line.split_once(' ')?;
            Some((name.to_owned(), number.parse().ok()?))
        };
        Some(Self { is_closed, keyspaces: lines.map(keyspace).collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_damage() {
        let keyspaces = BTreeMap::from([("first".to_owned(), 1), ("with a blank".to_owned(), 20)]);
        for is_closed in [false, true] {
            let inventory = Inventory { is_closed, keyspaces: keyspaces.clone() };
            let text = inventory.encode();
            assert_eq!(Inventory::decode(text.as_bytes()), Some(inventory));
            for at in 0..text.len() {
                assert_eq!(Inventory::decode(&text.as_bytes()[..at]), None, "{at}");
                let mut flipped = text.clone().into_bytes();
                flipped[at] ^= 0x11;
                assert_eq!(Inventory::decode(&flipped), None, "{at}");
            }
        }
        assert_eq!(Inventory::decode(b"something else\n"), None);
    }
}
