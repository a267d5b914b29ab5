//! Random operations against a map of maps.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use dfuse_kv::{Direction, Durability, Hint, KeyRange, Keyspace, Snapshot, Store, WriteBatch};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::home::{Home, by_new_scans, entries, skipping};

type Model = [BTreeMap<Vec<u8>, Vec<u8>>; 2];

#[derive(Debug, Clone)]
enum Write {
    Put(u16, Vec<u8>, Vec<u8>),
    Delete(u16, Vec<u8>),
    DeleteRange(u16, KeyRange),
}

#[derive(Debug, Clone)]
enum Operation {
    Commit(Vec<Write>, Durability),
    DeleteRange(u16, KeyRange),
    Ingest(u16, BTreeMap<Vec<u8>, Vec<u8>>),
    Flush,
    Snapshot,
    DropSnapshot,
    Scan(u16, KeyRange),
    Skip(u16, KeyRange, Vec<Vec<u8>>),
    Firsts(u16, Vec<KeyRange>),
    Close,
    Drop,
}

fn keyspace() -> impl Strategy<Value = u16> {
    0..2_u16
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(select(&[0, 1, b'a', 0xfe, 0xff][..]), 1..4)
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![9 => vec(any::<u8>(), 0..20), 1 => (0..40_000_usize).prop_map(|bytes| vec![7; bytes])]
}

fn range() -> impl Strategy<Value = KeyRange> {
    let bound =
        || prop_oneof![key().prop_map(Bound::Included), key().prop_map(Bound::Excluded), Just(Bound::Unbounded)];
    prop_oneof![(bound(), bound()).prop_map(KeyRange::new::<Vec<u8>>), key().prop_map(KeyRange::prefix),]
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        6 => (keyspace(), key(), value()).prop_map(|(keyspace, key, value)| Write::Put(keyspace, key, value)),
        2 => (keyspace(), key()).prop_map(|(keyspace, key)| Write::Delete(keyspace, key)),
        1 => (keyspace(), range()).prop_map(|(keyspace, range)| Write::DeleteRange(keyspace, range)),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let durability = select(&[Durability::Buffer, Durability::Sync][..]);
    let run = proptest::collection::btree_map(key(), value(), 0..10);
    prop_oneof![
        8 => (vec(write(), 0..12), durability).prop_map(|(writes, durability)| Operation::Commit(writes, durability)),
        1 => (keyspace(), range()).prop_map(|(keyspace, range)| Operation::DeleteRange(keyspace, range)),
        2 => (keyspace(), run).prop_map(|(keyspace, run)| Operation::Ingest(keyspace, run)),
        2 => Just(Operation::Flush),
        2 => Just(Operation::Snapshot),
        1 => Just(Operation::DropSnapshot),
        4 => (keyspace(), range()).prop_map(|(keyspace, range)| Operation::Scan(keyspace, range)),
        4 => (keyspace(), range(), vec(key(), 1..6)).prop_map(|(keyspace, range, to)| Operation::Skip(keyspace, range, to)),
        2 => (keyspace(), vec(range(), 0..5)).prop_map(|(keyspace, ranges)| Operation::Firsts(keyspace, ranges)),
        1 => Just(Operation::Close),
        1 => Just(Operation::Drop),
    ]
}

fn expect(snapshot: &dyn Snapshot, model: &Model, keyspace: u16, range: &KeyRange) {
    let map = &model[keyspace as usize];
    let mut expected: Vec<_> = map.iter().filter(|(key, _)| range.contains(key)).collect();
    for direction in [Direction::Forward, Direction::Reverse] {
        let found = entries(snapshot, Keyspace::at(keyspace), range, direction);
        let found: Vec<_> = found.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
        assert_eq!(found, expected.iter().map(|(key, value)| (&key[..], &value[..])).collect::<Vec<_>>());
        expected.reverse();
    }
}

/// Keys in any order: a scan never goes back.
fn expect_skips(snapshot: &dyn Snapshot, keyspace: u16, range: &KeyRange, keys: &[Vec<u8>]) {
    let keyspace = Keyspace::at(keyspace);
    for direction in [Direction::Forward, Direction::Reverse] {
        let skipped = skipping(snapshot, keyspace, range, direction, keys);
        assert_eq!(skipped, by_new_scans(snapshot, keyspace, range, direction, keys), "{range:?} {direction:?}");
    }
}

fn expect_firsts(snapshot: &dyn Snapshot, keyspace: u16, ranges: &[KeyRange]) {
    let keyspace = Keyspace::at(keyspace);
    for direction in [Direction::Forward, Direction::Reverse] {
        let firsts = snapshot.multi_first(keyspace, ranges, direction).unwrap();
        let first = |range| snapshot.first(keyspace, range, direction).unwrap();
        assert!(firsts.iter().cloned().eq(ranges.iter().map(first)));
        for (range, first) in ranges.iter().zip(firsts) {
            for hint in [Hint::One, Hint::Few, Hint::Many] {
                let mut scan = snapshot.scan_hinted(keyspace, range, direction, hint).unwrap();
                assert_eq!(scan.next().transpose().unwrap(), first);
            }
        }
    }
}

fn expect_all(snapshot: &dyn Snapshot, model: &Model) {
    for (keyspace, map) in (0..).zip(model) {
        expect(snapshot, model, keyspace, &KeyRange::all());
        let keys: Vec<_> = map.keys().map(Vec::as_slice).collect();
        let values = snapshot.multi_get(Keyspace::at(keyspace), &keys).unwrap();
        assert!(values.iter().map(|value| value.as_deref().unwrap()).eq(map.values().map(Vec::as_slice)));
        assert_eq!(snapshot.get(Keyspace::at(keyspace), b"never there").unwrap(), None);
    }
}

fn apply(model: &mut Model, store: &dyn Store, writes: &[Write], durability: Durability) {
    let mut batch = WriteBatch::new();
    for write in writes.iter().cloned() {
        match write {
            Write::Put(keyspace, key, value) => {
                batch.put(Keyspace::at(keyspace), key.clone(), value.clone());
                model[keyspace as usize].insert(key, value);
            }
            Write::Delete(keyspace, key) => {
                model[keyspace as usize].remove(&key);
                batch.delete(Keyspace::at(keyspace), key);
            }
            Write::DeleteRange(keyspace, range) => {
                model[keyspace as usize].retain(|key, _| !range.contains(key));
                batch.delete_range(Keyspace::at(keyspace), range);
            }
        }
    }
    store.commit(batch, durability).unwrap();
}

fn run(home: &Home, operations: &[Operation]) {
    let mut store = home.open();
    let mut model = Model::default();
    let mut snapshots: Vec<(Arc<dyn Snapshot>, Model)> = Vec::new();
    for operation in operations {
        match operation {
            Operation::Commit(writes, durability) => apply(&mut model, &*store, writes, *durability),
            Operation::DeleteRange(keyspace, range) => {
                let map = &mut model[*keyspace as usize];
                let before = map.len();
                map.retain(|key, _| !range.contains(key));
                let removed = store.delete_range(Keyspace::at(*keyspace), range, Durability::Buffer).unwrap();
                assert_eq!(removed, (before - map.len()) as u64);
            }
            Operation::Ingest(keyspace, run) => {
                let mut entries = run.clone().into_iter().map(|(key, value)| Ok((key.into(), value.into())));
                assert_eq!(store.ingest(Keyspace::at(*keyspace), &mut entries).unwrap(), run.len() as u64);
                model[*keyspace as usize].extend(run.clone());
            }
            Operation::Flush => store.flush().unwrap(),
            Operation::Snapshot => snapshots.push((store.snapshot().unwrap(), model.clone())),
            Operation::DropSnapshot => drop((!snapshots.is_empty()).then(|| snapshots.remove(0))),
            Operation::Scan(keyspace, range) => expect(&*store.snapshot().unwrap(), &model, *keyspace, range),
            Operation::Skip(keyspace, range, to) => expect_skips(&*store.snapshot().unwrap(), *keyspace, range, to),
            Operation::Firsts(keyspace, ranges) => expect_firsts(&*store.snapshot().unwrap(), *keyspace, ranges),
            Operation::Close | Operation::Drop => {
                if matches!(operation, Operation::Close) {
                    store.close().unwrap();
                }
                for (snapshot, seen) in snapshots.drain(..) {
                    expect_all(&*snapshot, &seen);
                }
                drop(store);
                store = home.open();
            }
        }
        expect_all(&*store.snapshot().unwrap(), &model);
        for (snapshot, seen) in &snapshots {
            expect_all(&**snapshot, seen);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn memory_is_a_map(operations in vec(operation(), 1..60)) {
        run(&Home::memory(), &operations);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(12) })]
    #[test]
    fn fjall_is_a_map(operations in vec(operation(), 1..40)) {
        run(&Home::fjall(), &operations);
    }
}
