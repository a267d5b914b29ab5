//! What is injected fails as planned, and nothing else does.

use std::sync::Arc;

use dfuse_kv::{
    Counts, Direction, Durability, Error, FaultPlan, FaultyStore, KeyRange, MemoryStore, ReadStore, Result, Store,
    WriteBatch, WriteFault,
};

use crate::home::{FIRST, NAMES, SECOND, get, keys, put_keys};

fn faulty(plan: FaultPlan) -> FaultyStore {
    FaultyStore::new(Arc::new(MemoryStore::new(&NAMES)), plan)
}

/// Puts the number under the same key into both keyspaces.
fn put(store: &dyn Store, number: u32) -> Result<()> {
    let mut batch = WriteBatch::new();
    for keyspace in [FIRST, SECOND] {
        batch.put(keyspace, number.to_be_bytes().to_vec(), "");
    }
    store.commit(batch, Durability::Sync)
}

fn is_there(store: &dyn Store, number: u32) -> bool {
    let [first, second] = [FIRST, SECOND].map(|keyspace| get(store, keyspace, &number.to_be_bytes()).is_some());
    assert_eq!(first, second);
    first
}

#[test]
fn writes_fail_before_or_after_they_happen() {
    let plan = FaultPlan::new(7).fail_write(2, WriteFault::Before).fail_write(4, WriteFault::After);
    let store = faulty(plan);
    put(&store, 1).unwrap();
    assert!(matches!(put(&store, 2), Err(Error::Io { .. })));
    assert!(matches!(put(&store, 3), Err(Error::Failed)));
    assert_eq!([1, 2, 3].map(|number| is_there(&store, number)), [true, false, false]);
    store.reopen();
    let mut run = [Ok(([9; 4].to_vec().into(), "".into()))].into_iter();
    assert!(matches!(store.ingest(FIRST, &mut run), Err(Error::Io { .. })));
    assert!(get(&store, FIRST, &[9; 4]).is_some());
    assert!(matches!(put(&store, 5), Err(Error::Failed)));
    assert_eq!(store.counts(), Counts { writes: 5, reads: 7, snapshots: 7, faults: 2 });
}

#[test]
fn torn_writes_go_both_ways_and_repeat_with_the_seed() {
    let run = |seed| {
        let store = faulty(FaultPlan::new(seed).fail_one_write_in(3));
        let outcomes = (0..200).map(|number| {
            let failed = put(&store, number).is_err();
            store.reopen();
            (failed, is_there(&store, number))
        });
        outcomes.collect::<Vec<_>>()
    };
    let outcomes = run(1);
    assert_eq!(outcomes, run(1));
    assert_ne!(outcomes, run(2));
    let count = |outcome| outcomes.iter().filter(|found| **found == outcome).count();
    assert_eq!(count((false, false)), 0);
    assert!((90..=170).contains(&count((false, true))), "{}", count((false, true)));
    assert!(count((true, true)) > 10 && count((true, false)) > 10);
}

#[test]
fn space_runs_out_and_comes_back() {
    let store = faulty(FaultPlan::new(1).no_space_from(2));
    put(&store, 1).unwrap();
    assert!(matches!(put(&store, 2), Err(Error::NoSpace { .. })));
    assert!(matches!(put(&store, 3), Err(Error::Failed)));
    store.reopen();
    assert!(matches!(put(&store, 4), Err(Error::NoSpace { .. })));
    assert!(is_there(&store, 1));
    store.free_space();
    store.reopen();
    put(&store, 5).unwrap();
    assert_eq!(keys(&store, FIRST, &KeyRange::all()).len(), 2);
}

#[test]
fn a_range_delete_fails_half_way() {
    let store = faulty(FaultPlan::new(1).fail_write(3, WriteFault::Before));
    let mut batch = WriteBatch::new();
    (0..10_000_u32).for_each(|number| batch.put(FIRST, number.to_be_bytes().to_vec(), ""));
    store.commit(batch, Durability::Buffer).unwrap();
    assert!(store.delete_range(FIRST, &KeyRange::all(), Durability::Buffer).is_err());
    // The lower part is gone; once more, and so is the rest.
    let left = keys(&store, FIRST, &KeyRange::all());
    assert!(left.len() < 10_000 && left.last().unwrap()[..] == 9_999_u32.to_be_bytes());
    assert!(left.windows(2).all(|pair| pair[0] < pair[1]) && left[0][..] == (10_000 - left.len() as u32).to_be_bytes());
    store.reopen();
    assert_eq!(store.delete_range(FIRST, &KeyRange::all(), Durability::Buffer).unwrap(), left.len() as u64);
}

#[test]
fn reads_fail() {
    let store = faulty(FaultPlan::new(1).fail_read(1).fail_read(3).fail_read(7).fail_read(8));
    put_keys(&store, FIRST, &[b"a", b"b", b"c"]);
    let snapshot = store.snapshot().unwrap();
    assert!(matches!(snapshot.get(FIRST, b"a"), Err(Error::Io { .. })));
    assert!(snapshot.get(FIRST, b"a").unwrap().is_some());
    assert!(snapshot.multi_get(FIRST, &[b"a"]).is_err());
    assert!(snapshot.multi_get(FIRST, &[b"a"]).is_ok());
    // A scan ends with its error.
    let scan = snapshot.scan(FIRST, &KeyRange::all(), Direction::Forward).unwrap();
    assert_eq!(scan.map(|entry| entry.is_ok()).collect::<Vec<_>>(), [true, false]);
    assert!(snapshot.scan(FIRST, &KeyRange::all(), Direction::Forward).is_err());
    store.pause_reads(true);
    assert!(snapshot.get(FIRST, b"a").is_ok());
    assert_eq!(store.counts().reads, 8);
    // So does one that fails while it skips.
    let faulty_skip = faulty(FaultPlan::new(1).fail_read(3).fail_read(4).failed_reads_pass());
    put_keys(&faulty_skip, FIRST, &[b"a", b"b", b"c"]);
    let away = faulty_skip.snapshot().unwrap();
    let mut scan = away.scan(FIRST, &KeyRange::all(), Direction::Forward).unwrap();
    assert!(scan.next().is_some_and(|entry| entry.is_ok()));
    assert!(matches!(scan.skip_to(b"b"), Err(Error::Unavailable { .. })));
    assert!(scan.next().is_none() && scan.skip_to(b"c").is_ok() && scan.next().is_none());
    assert!(matches!(away.multi_first(FIRST, &[KeyRange::all()], Direction::Forward), Err(Error::Unavailable { .. })));
    // Failed reads do not keep from writing.
    put(&store, 1).unwrap();
    assert_eq!(store.counts().faults, 4);
    // One that is away answers nothing, also not for a snapshot that was taken before.
    store.set_away(true);
    assert!(matches!(snapshot.get(FIRST, b"a"), Err(Error::Failed)));
    store.set_away(false);
    assert!(snapshot.get(FIRST, b"a").is_ok());
}
