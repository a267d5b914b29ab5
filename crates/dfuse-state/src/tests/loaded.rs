//! State that was loaded from a snapshot, against the same chain followed from its first block, and what its node answers.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool},
};

use dfuse_antelope::{Name, PublicKey, model::Block};
use dfuse_deep_mind::{Event, Reader};
use dfuse_index::{
    BlockRef, CheckpointState, Error, Index, LoadOptions, LoadedState, Loader, Options, Pipeline, Rebuild, StateRow,
    View, abi::Abis, abi::at_head, accounts::Accounts, blocks::Blocks, keyspaces,
};
use dfuse_kv::{Direction, KeyRange, MemoryDisk, MemoryStore, Store};
use dfuse_ship::{Snapshot, SnapshotRow};
use dfuse_testkit::recorded;

use super::recorded::check_answers;
use crate::{
    KEY_ACCOUNTS, KeyAccount, PERMISSION_LINKS, RowRange, SCOPES, StateAt, TableKey, account_state, indexes, tokens,
};

const SMALL: &str = "snapshots/small-345.bin.zst";

fn all_indexes() -> Vec<Arc<dyn Index>> {
    let mut all: Vec<Arc<dyn Index>> = vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts)];
    all.extend(indexes());
    all
}

fn store(disk: &MemoryDisk) -> Arc<dyn Store> {
    Arc::new(MemoryStore::open(disk, &keyspaces(&all_indexes())).unwrap())
}

/// The block of a snapshot, and the rows of its state.
fn rows_of(file: &[u8]) -> (BlockRef, Vec<StateRow>) {
    let mut snapshot = Snapshot::open(file).unwrap();
    let (mut block, mut rows) = (None, Vec::new());
    while snapshot.next_section().unwrap().is_some() {
        while let Some(row) = snapshot.next_row().unwrap() {
            if let SnapshotRow::Head(head) = &row {
                block = Some(BlockRef { number: head.block_num(), id: head.id() });
            }
            rows.extend(row.into_state());
        }
    }
    (block.unwrap(), rows)
}

fn options(folder: &tempfile::TempDir, memory_bytes: usize) -> LoadOptions {
    LoadOptions { memory_bytes, ..LoadOptions::new(folder.path().join("loading")) }
}

fn load(disk: &MemoryDisk, block: BlockRef, rows: &[StateRow], memory_bytes: usize) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mut loader = Loader::open(store(disk), all_indexes(), block, options(&folder, memory_bytes)).unwrap();
    rows.iter().for_each(|row| loader.push(row.clone()).unwrap());
    let rows = loader.finish(None, CheckpointState::Complete, |_| ()).unwrap();
    assert!(!folder.path().join("loading").exists());
    rows
}

fn open(disk: &MemoryDisk) -> Pipeline {
    Pipeline::open(store(disk), None, all_indexes(), Options::default()).unwrap()
}

fn blocks() -> Option<Vec<Block>> {
    let mut reader = Reader::new(recorded::open("small/small.dmlog.zst")?);
    let mut blocks = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(block) = event {
            blocks.push(*block);
        }
    }
    Some(blocks)
}

/// All keys of a family at a view, without the version at their ends.
fn keys(view: &View, family: dfuse_index::Family, version: usize) -> BTreeSet<Vec<u8>> {
    let entries = view.scan(family, &KeyRange::all(), Direction::Forward).unwrap();
    let keys = entries.map(|entry| entry.unwrap().0);
    keys.map(|key| key[..key.len() - version].to_vec()).collect()
}

fn names<const N: usize>(key: &[u8]) -> [Name; N] {
    std::array::from_fn(|at| Name(u64::from_be_bytes(key[at * 8..][..8].try_into().unwrap())))
}

/// Everything that can be asked of the two is the same, but for the blocks of what is older than the snapshot.
fn assert_same(loaded: &View, whole: &View) {
    let (ours, theirs) = (StateAt::of(loaded.clone()), StateAt::of(whole.clone()));
    let mut rows = 0;
    for key in keys(whole, SCOPES, 4) {
        let [contract, table, scope] = names(&key);
        let scopes = |at: &StateAt| {
            let scopes = at.scopes(contract, table, None).unwrap().map(Result::unwrap);
            scopes.map(|it| (it.scope, it.payer)).collect::<Vec<_>>()
        };
        assert_eq!(scopes(&ours), scopes(&theirs), "{contract} {table}");
        let of = |at: &StateAt| {
            let rows = at.rows(TableKey { contract, table, scope }, RowRange::default()).unwrap();
            rows.map(Result::unwrap).map(|it| (it.primary_key, it.row)).collect::<Vec<_>>()
        };
        assert_eq!(of(&ours), of(&theirs), "{contract} {table} {scope}");
        rows += of(&ours).len();
    }
    assert!(rows > 150, "{rows}");
    for key in keys(whole, KEY_ACCOUNTS, 20) {
        let mut reader = dfuse_antelope::raw::Reader::new(&key);
        let key = PublicKey::read(&mut reader).unwrap();
        let of = |at: &StateAt| {
            let found = at.key_accounts(&key, None).unwrap().map(Result::unwrap);
            found.map(|KeyAccount { account, permission, .. }| (account, permission)).collect::<Vec<_>>()
        };
        assert_eq!(of(&ours), of(&theirs), "{key}");
    }
    for key in keys(whole, PERMISSION_LINKS, 20) {
        let [account] = names(&key);
        let of = |at: &StateAt| {
            let found = at.permission_links(account, None).unwrap().map(Result::unwrap);
            found.map(|it| (it.contract, it.action, it.permission)).collect::<Vec<_>>()
        };
        assert_eq!(of(&ours), of(&theirs), "{account}");
    }
    let of = |view: &View| tokens::all(view, None, None).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(of(loaded), of(whole));
    let holders = |view: &View, of: tokens::TokenKey| {
        tokens::holders(view, of, None).unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    of(whole).iter().for_each(|token| assert_eq!(holders(loaded, token.key), holders(whole, token.key)));
    for [account] in keys(whole, dfuse_index::accounts::ACCOUNTS, 0).iter().map(|key| names(key)) {
        let permissions = |view| account_state::permissions(view, account).unwrap();
        assert_eq!(permissions(loaded), permissions(whole), "{account}");
        assert_eq!(account_state::base(loaded, account).unwrap(), account_state::base(whole, account).unwrap());
        let balances = |view| tokens::balances(view, account, None).unwrap().map(Result::unwrap).collect::<Vec<_>>();
        assert_eq!(balances(loaded), balances(whole), "{account}");
        let abi = |view| at_head(view, account).unwrap().map(|record| record.abi);
        assert_eq!(abi(loaded), abi(whole), "{account}");
        // Deep mind tells nothing of those that never changed.
        if let Some(usage) = account_state::ram_usage(whole, account).unwrap() {
            assert_eq!(account_state::ram_usage(loaded, account).unwrap(), Some(usage), "{account}");
        }
        if let Some(limits) = account_state::limits(whole, account).unwrap() {
            assert_eq!(account_state::limits(loaded, account).unwrap(), Some(limits), "{account}");
        }
    }
}

#[test]
fn a_snapshot_goes_on_as_the_whole_chain() {
    let Some(file) = recorded::bytes(SMALL) else { return };
    let Some(blocks) = blocks() else { return };
    let (block, rows) = rows_of(&file);
    assert_eq!(block.number, 345);
    let (loaded_disk, whole_disk) = (MemoryDisk::default(), MemoryDisk::default());
    load(&loaded_disk, block, &rows, 64 << 20);
    let (mut loaded, mut whole) = (open(&loaded_disk), open(&whole_disk));
    for block in &blocks {
        whole.apply(block).unwrap();
        if block.number >= 345 {
            loaded.apply(block).unwrap();
            let [ours, theirs] = [&loaded, &whole].map(|it| it.serving().snapshot());
            assert_eq!(ours.head().unwrap().number, block.number);
            assert_same(ours.view(), theirs.view());
            assert_eq!((ours.mid_chain_start(), ours.state_start()), (Some(346), Some(345)));
            assert!(!ours.lacks_older_state());
        }
    }
    check_answers("small", loaded.serving().snapshot().view());
    // What was written at each height since is known, too.
    let (ours, theirs) = (loaded.head_view(), whole.head_view());
    for number in 345..=365 {
        let [ours, theirs] = [&ours, &theirs].map(|view| StateAt::below(view.clone(), number));
        for key in keys(theirs.view(), SCOPES, 4) {
            let [contract, table, scope] = names(&key);
            let of = |at: &StateAt| {
                let rows = at.rows(TableKey { contract, table, scope }, RowRange::default()).unwrap();
                rows.map(Result::unwrap).map(|it| (it.primary_key, it.row)).collect::<Vec<_>>()
            };
            assert_eq!(of(&ours), of(&theirs), "{number} {contract} {table} {scope}");
        }
    }
}

#[test]
fn however_rows_come_the_entries_are_the_same() {
    let Some(file) = recorded::bytes(SMALL) else { return };
    let (block, mut rows) = rows_of(&file);
    let entries = |rows: &[StateRow], memory_bytes| {
        let disk = MemoryDisk::default();
        assert_eq!(load(&disk, block, rows, memory_bytes), rows.len() as u64);
        let store = store(&disk);
        let snapshot = store.snapshot().unwrap();
        let scan = |name: &String| {
            let keyspace = store.keyspace(name).unwrap();
            snapshot
                .scan(keyspace, &KeyRange::all(), Direction::Forward)
                .unwrap()
                .map(Result::unwrap)
                .collect::<Vec<_>>()
        };
        store.keyspaces().iter().map(scan).collect::<Vec<_>>()
    };
    let expected = entries(&rows, 64 << 20);
    assert_eq!(entries(&rows, 0), expected, "through files");
    rows.reverse();
    assert_eq!(entries(&rows, 64 << 20), expected, "backwards");
}

#[test]
fn a_load_that_was_cut_off_is_begun_anew() {
    let Some(file) = recorded::bytes(SMALL) else { return };
    let (block, rows) = rows_of(&file);
    let folder = tempfile::tempdir().unwrap();
    let disk = MemoryDisk::default();
    let begin = |disk: &MemoryDisk, block| Loader::open(store(disk), all_indexes(), block, options(&folder, 0));
    let mut loader = begin(&disk, block).unwrap();
    rows.iter().take(100).for_each(|row| loader.push(row.clone()).unwrap());
    drop(loader);
    assert_eq!(LoadedState::of(&*store(&disk), &all_indexes()).unwrap(), LoadedState::Unfinished(block));
    let refused = Pipeline::open(store(&disk), None, all_indexes(), Options::default());
    assert!(matches!(refused, Err(Error::LoadUnfinished { block: of }) if of == block));
    // Of another block it would be another state.
    let mut id = block.id;
    id.0[3] += 1;
    let mut other = begin(&disk, BlockRef { number: 346, id }).unwrap();
    rows.iter().take(100).for_each(|row| other.push(row.clone()).unwrap());
    other.finish(None, CheckpointState::Loading, |_| ()).unwrap();
    load(&disk, block, &rows, 64 << 20);
    assert_eq!(LoadedState::of(&*store(&disk), &all_indexes()).unwrap(), LoadedState::Loaded(block));
    let untouched = MemoryDisk::default();
    load(&untouched, block, &rows, 64 << 20);
    let [a, b] = [&disk, &untouched].map(|disk| open(disk).head_view());
    assert_same(&a, &b);
    drop((a, b));
    for index in all_indexes() {
        let rebuilt = Rebuild::open(store(&disk), &all_indexes(), index.name(), Options::default(), |_| ());
        let is_refused = matches!(rebuilt, Err(Error::NeedsSnapshot { block: of, .. }) if of == block);
        assert_eq!(is_refused, index.name() != "blocks", "{}: blocks do not have what it begins with", index.name());
    }
    assert!(begin(&disk, block).is_err(), "what is complete is not loaded over");
}

#[test]
fn loading_ends_when_it_is_told_to() {
    let Some(file) = recorded::bytes(SMALL) else { return };
    let (block, rows) = rows_of(&file);
    let folder = tempfile::tempdir().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let options = LoadOptions { stop: stop.clone(), ..options(&folder, 0) };
    let mut loader = Loader::open(store(&MemoryDisk::default()), all_indexes(), block, options).unwrap();
    rows.iter().for_each(|row| loader.push(row.clone()).unwrap());
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(loader.finish(None, CheckpointState::Complete, |_| ()), Err(Error::Stopped)));
    assert!(!folder.path().join("loading").exists());
}
