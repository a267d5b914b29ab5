use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Bytes;

fn sum(first: &[u8], second: &[u8]) -> Result<Bytes> {
    Ok(Bytes::copy_from_slice(&[first[0].wrapping_add(second[0])]))
}

proptest! {
    /// Whatever fits into memory: the entries come in order, each key once, and values of one key are combined.
    #[test]
    fn entries_come_sorted(
        buffers in proptest::collection::vec(
            proptest::collection::btree_map(proptest::collection::vec(any::<u8>(), 1..4), any::<u8>(), 0..40), 0..20),
        memory in 0usize..4000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let sorter = Sorter::new(folder.path().join("runs"), "a", SortMemory::new(memory));
        let mut expected: BTreeMap<Vec<u8>, u8> = BTreeMap::new();
        for entries in &buffers {
            let mut buffer = EntryBuffer::default();
            for (key, value) in entries.iter().rev() {
                let (first, rest) = key.split_at(1);
                buffer.put(&[first, rest], &[&[*value]]);
                let sum = expected.entry(key.clone()).or_default();
                *sum = sum.wrapping_add(*value);
            }
            sorter.add(buffer).unwrap();
        }
        let memory = sorter.memory.clone();
        let entries: Result<Vec<_>> = sorter.entries(&sum).unwrap().collect();
        let found: Vec<_> = entries.unwrap().into_iter().map(|(key, value)| (key.to_vec(), value[0])).collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(memory.held.load(Ordering::Relaxed), 0);
        let left = fs::read_dir(folder.path().join("runs")).map_or(0, Iterator::count);
        prop_assert_eq!(left, 0, "files are removed");
    }
}

#[test]
fn more_runs_than_are_merged_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let sorter = Sorter::new(folder.path().to_owned(), "a", SortMemory::new(500));
    let count = 3 * MAX_RUNS as u32 + 7;
    for number in (0..count).rev() {
        let mut buffer = EntryBuffer::default();
        buffer.put(&[&number.to_be_bytes()], &[&[1]]);
        buffer.put(&[&number.to_be_bytes()], &[&[2]]);
        sorter.add(buffer).unwrap();
    }
    assert!(fs::read_dir(folder.path()).unwrap().count() > MAX_RUNS);
    let entries: Result<Vec<_>> = sorter.entries(&sum).unwrap().collect();
    let expected = (0..count).map(|number| (number.to_be_bytes().to_vec(), vec![3]));
    let found = entries.unwrap().into_iter().map(|(key, value)| (key.to_vec(), value.to_vec()));
    assert!(found.eq(expected), "entries of one buffer are combined, too");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
