//! What every account had, and when.

use std::collections::BTreeSet;

use bytes::Bytes;
use dfuse_antelope::{
    AbiDump, Name,
    model::ActionTrace,
    raw::{self, MAX_BYTES},
};
use dfuse_kv::{Direction, KeyRange, Store};

use crate::{
    BlockContext, Delta, DeltaBuilder, EarlierWay, Family, Index, JoinPass, LoadedEntries, PutEntry, Result, StateRow,
    View,
    blocks::SEQUENCES,
    codec::{ValueReader, put_varint},
};

/// Account and inverted global sequence to block and packed ABI.
pub const ABIS: Family = Family::new("abi");
const SETABI: Name = Name::literal("setabi");

/// The index of ABIs. Its name is `abi`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Abis;

/// An ABI that an account got, or lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbiRecord {
    /// Number of the block.
    pub block_number: u32,
    /// Of the `setabi`; 0 if a node had it when it started.
    pub global_sequence: u64,
    /// Packed; empty if the account has none from here on.
    pub abi: Bytes,
}

impl Index for Abis {
    fn name(&self) -> &'static str {
        "abi"
    }

    fn schema_version(&self) -> u32 {
        1
    }

    fn families(&self) -> &'static [Family] {
        &[ABIS]
    }

    fn delta(&self, context: &BlockContext<'_>, _: &View) -> Result<Delta> {
        let mut delta = DeltaBuilder::new();
        for (account, record) in changes(context) {
            delta.put(ABIS, key(account, record.global_sequence), record.encode());
        }
        Ok(delta.build())
    }

    /// Accounts that had a history at that block keep it as it is. A dump without a block counts only before the first one.
    fn abi_dump(&self, dump: &AbiDump, view: &View) -> Result<Delta> {
        let mut delta = DeltaBuilder::new();
        if dump.block_num == 0 && view.block().is_some() {
            return Ok(delta.build());
        }
        for (account, abi) in &dump.abis {
            let mut known = false;
            for record in history(view, *account)? {
                let record = record?;
                known |= record.global_sequence == 0 || record.block_number <= dump.block_num;
            }
            if !known {
                let record = AbiRecord { block_number: dump.block_num, global_sequence: 0, abi: abi.clone() };
                delta.put(ABIS, key(*account, 0), record.encode());
            }
        }
        Ok(delta.build())
    }

    fn earlier_way(&self) -> EarlierWay {
        EarlierWay::Lists
    }

    fn join_earlier(&self, earlier: &View, own: &View, pass: JoinPass, put: &mut PutEntry<'_>) -> Result<()> {
        if pass != JoinPass::Before {
            return Ok(());
        }
        let mut account = None;
        for entry in earlier.scan(ABIS, &KeyRange::all(), Direction::Forward)? {
            let (entry_key, value) = entry?;
            let record = AbiRecord::decode(&entry_key, &value)?;
            let name = ValueReader::new(ABIS, &entry_key).name()?;
            // The newest comes first.
            let is_newest = account.replace(name) != Some(name);
            if is_newest && record.global_sequence == 0 {
                keep_later(own, name, &record, put)?;
            }
            put(ABIS, entry_key, Some(value))?;
            // What was told where `own` begins is known better now.
            if is_newest && record.global_sequence > 0 && own.get(ABIS, &key(name, 0))?.is_some() {
                put(ABIS, Bytes::copy_from_slice(&key(name, 0)), None)?;
            }
        }
        Ok(())
    }

    fn holds_state(&self) -> bool {
        true
    }

    /// As those that a node had when it started.
    fn load(&self, rows: &[StateRow], number: u32, entries: &mut LoadedEntries) -> Result<()> {
        for row in rows {
            if let StateRow::Account(row) = row
                && !row.abi.is_empty()
            {
                let record = AbiRecord { block_number: number, global_sequence: 0, abi: row.abi.clone() };
                entries.put(ABIS, &[&key(row.name, 0)], &[&record.encode()]);
            }
        }
        Ok(())
    }
}

impl AbiRecord {
    /// Block number (varint), then the ABI.
    fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(self.abi.len() + 5);
        put_varint(&mut value, self.block_number.into());
        value.extend_from_slice(&self.abi);
        value
    }

    fn decode(key: &Bytes, value: &Bytes) -> Result<Self> {
        let mut reader = ValueReader::new(ABIS, key);
        reader.name()?;
        let global_sequence = !reader.u64()?;
        let mut reader = ValueReader::new(ABIS, value);
        let block_number = reader.varint32()?;
        Ok(Self { block_number, global_sequence, abi: value.slice_ref(reader.rest()) })
    }
}

/// Numbers of the blocks of whose dumps the index has ABIs, in a store without the overlay of reversible blocks.
pub(crate) fn dumped_at(store: &dyn Store) -> Result<BTreeSet<u32>> {
    let snapshot = store.snapshot()?;
    let mut numbers = BTreeSet::new();
    for entry in snapshot.scan(store.keyspace(ABIS.name())?, &KeyRange::all(), Direction::Forward)? {
        let (key, value) = entry?;
        if key.ends_with(&u64::MAX.to_be_bytes()) {
            numbers.insert(AbiRecord::decode(&key, &value)?.block_number);
        }
    }
    Ok(numbers)
}

/// An account's ABI was told where earlier blocks begin and another one where `own` does: the later one is in force from the first
/// block of `own` on. Blocks between must have set it, but are not said to have.
fn keep_later(own: &View, account: Name, earlier: &AbiRecord, put: &mut PutEntry<'_>) -> Result<()> {
    let told = Bytes::copy_from_slice(&key(account, 0));
    let Some(value) = own.get(ABIS, &told)? else { return Ok(()) };
    let first = own.first(SEQUENCES, &KeyRange::all(), Direction::Forward)?;
    if AbiRecord::decode(&told, &value)?.abi != earlier.abi
        && let Some((sequence, _)) = first
    {
        let before = ValueReader::new(SEQUENCES, &sequence).u64()?.saturating_sub(1);
        put(ABIS, Bytes::copy_from_slice(&key(account, before)), Some(value))?;
    }
    Ok(())
}

fn key(account: Name, global_sequence: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&account.0.to_be_bytes());
    key[8..].copy_from_slice(&(!global_sequence).to_be_bytes());
    key
}

/// The ABIs that a block sets, with the accounts that get them, in no particular order. Not reverted ones only.
pub fn changes(context: &BlockContext<'_>) -> Vec<(Name, AbiRecord)> {
    let set = context.executed_actions().filter_map(|executed| {
        let (account, abi) = read_setabi(executed.action)?;
        let block_number = context.block().number;
        Some((account, AbiRecord { block_number, global_sequence: executed.global_sequence, abi }))
    });
    set.collect()
}

/// Account and packed ABI of a `setabi`. The chain has decoded what it executed, so other bytes are none.
fn read_setabi(trace: &ActionTrace) -> Option<(Name, Bytes)> {
    let action = &trace.action;
    if (trace.receiver, action.account, action.name) != (Name::EOSIO, Name::EOSIO, SETABI)
        || action.raw_data.len() > MAX_BYTES
    {
        return None;
    }
    let mut reader = raw::Reader::sharing(&action.raw_data);
    Some((reader.name().ok()?, reader.bytes("ABI").ok()?))
}

/// The ABI in force when the action with that global sequence was executed; absent if the account had none. A `setabi` is
/// in force from the next action on.
pub fn at(view: &View, account: Name, global_sequence: u64) -> Result<Option<AbiRecord>> {
    let Some(before) = global_sequence.checked_sub(1) else { return Ok(None) };
    let range = KeyRange::new(key(account, before)..=key(account, 0));
    let Some((key, value)) = view.first(ABIS, &range, Direction::Forward)? else { return Ok(None) };
    Ok(Some(AbiRecord::decode(&key, &value)?).filter(|record| !record.abi.is_empty()))
}

/// Global sequence of the first change of the account's ABI that is not in force yet when the action with that global
/// sequence is executed; absent if none came since. Up to and including it, [`at`] gives the same.
pub fn next_change(view: &View, account: Name, global_sequence: u64) -> Result<Option<u64>> {
    let range = KeyRange::new(key(account, u64::MAX)..=key(account, global_sequence));
    let Some((key, value)) = view.first(ABIS, &range, Direction::Reverse)? else { return Ok(None) };
    Ok(Some(AbiRecord::decode(&key, &value)?.global_sequence))
}

/// The ABI after the view's block; absent if the account has none.
pub fn at_head(view: &View, account: Name) -> Result<Option<AbiRecord>> {
    at(view, account, u64::MAX)
}

/// The ABI after the block with that number on the view's branch; absent if the account had none.
pub fn after_block(view: &View, account: Name, number: u32) -> Result<Option<AbiRecord>> {
    for record in history(view, account)? {
        let record = record?;
        // What a node had when it started held before, too.
        if record.block_number <= number || record.global_sequence == 0 {
            return Ok(Some(record).filter(|record| !record.abi.is_empty()));
        }
    }
    Ok(None)
}

/// Everything that is known of an account's ABIs, the newest first.
pub fn history(view: &View, account: Name) -> Result<impl Iterator<Item = Result<AbiRecord>> + Send + use<>> {
    let entries = view.scan(ABIS, &KeyRange::prefix(account.0.to_be_bytes().to_vec()), Direction::Forward)?;
    Ok(entries.map(|entry| entry.and_then(|(key, value)| AbiRecord::decode(&key, &value))))
}
