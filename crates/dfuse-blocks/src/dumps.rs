//! ABI dumps in a store, and which of them there must be.
//!
//! Beside the dumps is a list of them, `inventory`: a line for each with its block, XXH64 of its file and XXH64 of the line before
//! that, all but the block in hexadecimal. Without it, as in stores of earlier releases, a dump that is gone is not missed.

use std::collections::BTreeMap;

use bytes::Bytes;
use dfuse_antelope::AbiDump;
use object_store::path::Path;
use tracing::warn;
use xxhash_rust::xxh64::xxh64;

use crate::{
    BlockStore, Error, Result, abi_dump,
    bundle::COMPRESSION_LEVEL,
    names::{self, ABI_DUMPS},
    store::blocking,
};

const EXTENSION: &str = ".jsonl.zst";
const INVENTORY: &str = "inventory";

/// An ABI dump, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedAbiDump {
    /// The block at which the node dumped its ABIs.
    pub block_number: u32,
    /// Path in the store.
    pub file: String,
    /// What became of it.
    pub state: AbiDumpState,
}

/// What became of an ABI dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AbiDumpState {
    /// It is what was written.
    Whole,
    /// It can be read; nothing says whether it is what was written, as earlier releases wrote no checksums.
    Unverified,
    /// It is not what was written, for this reason, which names the file.
    Damaged(String),
    /// It is not there.
    Missing,
}

impl BlockStore {
    /// Blocks at which a node dumped its ABIs.
    pub async fn abi_dumps(&self) -> Result<Vec<u32>> {
        self.list(ABI_DUMPS, |name| names::block_number(name.strip_suffix(EXTENSION)?)).await
    }

    /// Keeps the ABIs that a node had when it started; replaces an earlier dump at the same block.
    pub async fn write_abi_dump(&self, dump: AbiDump) -> Result<()> {
        let number = dump.block_num;
        let path = self.abi_dump_path(number);
        let file = blocking(move || abi_dump::encode(&dump, COMPRESSION_LEVEL)).await?;
        let checksum = xxh64(&file, 0);
        let mut inventory = self.inventory().await?;
        self.put(&path, file).await?;
        if inventory.insert(number, checksum) != Some(checksum) {
            let lines: String = inventory.iter().map(|(number, checksum)| line(*number, *checksum)).collect();
            self.put(&self.path(ABI_DUMPS, INVENTORY), lines.into_bytes()).await?;
        }
        Ok(())
    }

    /// Reads the dump at a block, and compares it with its checksums.
    pub async fn read_abi_dump(&self, block_number: u32) -> Result<AbiDump> {
        let wanted = self.inventory().await?.get(&block_number).copied();
        self.read_verified(block_number, wanted).await.map(|(dump, _)| dump)
    }

    /// Reads all dumps that are there or should be, in the order of their blocks.
    ///
    /// # Errors
    /// Those of the store; what is wrong with a dump is its state.
    pub async fn check_abi_dumps(&self) -> Result<Vec<CheckedAbiDump>> {
        let inventory = self.inventory().await?;
        let mut numbers = self.abi_dumps().await?;
        numbers.extend(inventory.keys());
        numbers.sort_unstable();
        numbers.dedup();
        let mut checked = Vec::with_capacity(numbers.len());
        for block_number in numbers {
            let state = match self.read_verified(block_number, inventory.get(&block_number).copied()).await {
                Ok((_, true)) => AbiDumpState::Whole,
                Ok((_, false)) => AbiDumpState::Unverified,
                Err(Error::NotFound(_)) => AbiDumpState::Missing,
                Err(error @ Error::Damaged { .. }) => AbiDumpState::Damaged(error.to_string()),
                Err(other) => return Err(other),
            };
            checked.push(CheckedAbiDump { block_number, file: self.abi_dump_path(block_number).to_string(), state });
        }
        Ok(checked)
    }

    /// The dump, and whether a checksum says that it is what was written.
    async fn read_verified(&self, block_number: u32, wanted: Option<u64>) -> Result<(AbiDump, bool)> {
        let path = self.abi_dump_path(block_number);
        let data: Bytes = self.get(&path).await?;
        blocking(move || {
            let file = path.as_ref();
            let dump = abi_dump::decode(file, &data)?;
            if dump.block_num != block_number {
                return Err(Error::damaged(file, None, format!("it is of block {}", dump.block_num)));
            }
            match wanted {
                Some(checksum) if checksum != xxh64(&data, 0) && !abi_dump::has_checksum(&data) => {
                    Err(Error::damaged(file, None, "it does not match its checksum"))
                }
                _ => Ok((dump, wanted.is_some() || abi_dump::has_checksum(&data))),
            }
        })
        .await
    }

    /// The lines of the list that are whole.
    async fn inventory(&self) -> Result<BTreeMap<u32, u64>> {
        let path = self.path(ABI_DUMPS, INVENTORY);
        let content = match self.get(&path).await {
            Ok(content) => content,
            Err(Error::NotFound(_)) => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&content);
        let lines = text.lines().map(|line| parse(line).ok_or(line));
        let (whole, damaged): (Vec<_>, Vec<_>) = lines.partition(std::result::Result::is_ok);
        if !damaged.is_empty() {
            warn!(file = %path, lines = damaged.len(), "lines of the list of ABI dumps are damaged and passed over");
        }
        Ok(whole.into_iter().flatten().collect())
    }

    fn abi_dump_path(&self, block_number: u32) -> Path {
        self.path(ABI_DUMPS, &format!("{block_number:010}{EXTENSION}"))
    }
}

fn line(number: u32, checksum: u64) -> String {
    let content = format!("{number:010} {checksum:016x}");
    format!("{content} {:016x}\n", xxh64(content.as_bytes(), 0))
}

fn parse(text: &str) -> Option<(u32, u64)> {
    let mut parts = text.split(' ');
    let (number, checksum) = (names::block_number(parts.next()?)?, u64::from_str_radix(parts.next()?, 16).ok()?);
    (line(number, checksum).trim_end() == text).then_some((number, checksum))
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;
    use crate::testing::Recording;

    fn dump(block_num: u32) -> AbiDump {
        let abis = vec![("eosio".parse().unwrap(), Bytes::from_static(b"\x0eeosio::abi/1.0"))];
        AbiDump { block_num, global_sequence: 0, abis }
    }

    async fn states(store: &BlockStore) -> Vec<(u32, AbiDumpState)> {
        store.check_abi_dumps().await.unwrap().into_iter().map(|dump| (dump.block_number, dump.state)).collect()
    }

    #[tokio::test]
    async fn damaged_missing_and_former_dumps_are_told() {
        let (store, _) = Recording::store();
        for number in [2, 700] {
            store.write_abi_dump(dump(number)).await.unwrap();
        }
        assert_eq!(states(&store).await, [(2, AbiDumpState::Whole), (700, AbiDumpState::Whole)]);
        let path = store.abi_dump_path(2);
        let whole = store.get(&path).await.unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.to_vec();
            flipped[at] ^= 1;
            store.put(&path, flipped).await.unwrap();
            match store.read_abi_dump(2).await {
                Ok(read) => assert_eq!(read, dump(2), "{at}"),
                Err(error) => {
                    assert!(error.to_string().contains("abi-dumps/0000000002.jsonl.zst is damaged"), "{error}");
                }
            }
        }
        store.objects.delete(&path).await.unwrap();
        assert_eq!(states(&store).await, [(2, AbiDumpState::Missing), (700, AbiDumpState::Whole)]);

        // As an earlier release wrote it.
        let former = zstd::encode_all(&zstd::decode_all(&whole[..]).unwrap()[..], 3).unwrap();
        let inventory = store.path(ABI_DUMPS, INVENTORY);
        let list = store.get(&inventory).await.unwrap();
        store.put(&path, former).await.unwrap();
        assert!(matches!(&states(&store).await[0].1, AbiDumpState::Damaged(why) if why.contains("checksum")));
        store.objects.delete(&inventory).await.unwrap();
        assert_eq!(states(&store).await, [(2, AbiDumpState::Unverified), (700, AbiDumpState::Whole)]);
        assert_eq!(store.read_abi_dump(2).await.unwrap(), dump(2));

        // Damage of the list itself costs no more than what it is for.
        for at in 0..list.len() {
            let mut flipped = list.to_vec();
            flipped[at] ^= 2;
            store.put(&inventory, flipped).await.unwrap();
            let states = states(&store).await;
            assert!(states.iter().all(|(number, _)| [2, 700].contains(number)), "{at}: {states:?}");
            assert_eq!(states[1].1, AbiDumpState::Whole, "{at}");
        }
    }
}
