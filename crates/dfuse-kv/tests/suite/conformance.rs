use std::{ops::Bound, sync::atomic::AtomicBool, sync::atomic::Ordering};

use dfuse_kv::{Bytes, Direction, Durability, Error, KeyRange, Keyspace, MAX_KEY_BYTES, Result, Store, WriteBatch};

use crate::home::{FIRST, Home, NAMES, SECOND, by_new_scans, commit, entries, get, keys, put_keys, skipping};

macro_rules! suite {
    ($($case:ident),* $(,)?) => {
        suite!(@engine memory $($case)*);
        suite!(@engine faultless $($case)*);
        suite!(@engine fjall $($case)*);
    };
    (@engine $engine:ident $($case:ident)*) => {
        mod $engine {
            use crate::home::Home;
            $(#[test] fn $case() { super::$case(&Home::$engine()); })*
        }
    };
}

suite!(
    keys_are_in_byte_order,
    bounds,
    prefixes,
    gets,
    first_is_one_seek,
    firsts_of_many_ranges,
    skips_near_and_far,
    changes_are_told,
    snapshots_see_one_moment,
    batches_are_atomic,
    later_writes_of_a_batch_win,
    range_deletes,
    large_range_deletes,
    ingestion_into_an_empty_keyspace,
    ingestion_over_existing_keys,
    failed_ingestion_leaves_nothing,
    values_of_any_size,
    many_keys,
    contract_breaches_do_nothing,
    keyspaces_by_name,
    reopening,
    closing,
    readers_beside_a_writer,
    disk_usage_is_by_keyspace,
);

fn entry(key: &'static str, value: &'static str) -> Result<(Bytes, Bytes)> {
    Ok((key.into(), value.into()))
}

fn numbered(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn keys_are_in_byte_order(home: &Home) {
    let store = home.open();
    put_keys(&*store, FIRST, &[b"b", b"\xff", b"a\0", b"\0", b"ab", b"a", b"\x7f", b"\x80", b"\0\0"]);
    let expected: [&[u8]; 9] = [b"\0", b"\0\0", b"a", b"a\0", b"ab", b"b", b"\x7f", b"\x80", b"\xff"];
    assert_eq!(keys(&*store, FIRST, &KeyRange::all()), expected);
    assert!(keys(&*store, SECOND, &KeyRange::all()).is_empty());
}

fn bounds(home: &Home) {
    let store = home.open();
    put_keys(&*store, FIRST, &[b"a", b"b", b"c", b"d"]);
    let keys = |range: KeyRange| -> String {
        keys(&*store, FIRST, &range).into_iter().map(|key| String::from_utf8(key).unwrap()).collect()
    };
    assert_eq!(keys(KeyRange::new("b".."d")), "bc");
    assert_eq!(keys(KeyRange::new("b"..="d")), "bcd");
    assert_eq!(keys(KeyRange::new("aa".."cc")), "bc");
    assert_eq!(keys(KeyRange::new("c"..)), "cd");
    assert_eq!(keys(KeyRange::new(.."c")), "ab");
    assert_eq!(keys(KeyRange::new(..="c")), "abc");
    assert_eq!(keys(KeyRange::new("".."b")), "a");
    assert_eq!(keys(KeyRange::new::<&str>((Bound::Excluded("b"), Bound::Included("d")))), "cd");
    assert_eq!(keys(KeyRange::new::<&str>((Bound::Excluded("a"), Bound::Excluded("d")))), "bc");
    assert_eq!(keys(KeyRange::new("b"..="b")), "b");
    for empty in ["b".."b", "d".."b", "bb".."bc", "e".."f"] {
        assert_eq!(keys(KeyRange::new(empty)), "");
    }
    assert_eq!(keys(KeyRange::new::<&str>((Bound::Excluded("b"), Bound::Excluded("b")))), "");
    assert_eq!(keys(KeyRange::new::<&str>((Bound::Excluded("b"), Bound::Included("b")))), "");
    assert_eq!(keys(KeyRange::new("c"..="b")), "");
    assert_eq!(keys(KeyRange::new("a".."d").after("b")), "c");
    assert_eq!(keys(KeyRange::new("a".."d").before("c")), "ab");
}

fn prefixes(home: &Home) {
    let store = home.open();
    put_keys(&*store, FIRST, &[b"a", b"a\xff", b"a\xff\x01", b"a\xff\xff", b"b", b"\xff", b"\xff\x01", b"\xff\xff"]);
    let keys = |prefix: &'static [u8]| keys(&*store, FIRST, &KeyRange::prefix(prefix));
    let expect = |keys: &[&[u8]]| keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>();
    assert_eq!(keys(b"a"), expect(&[b"a", b"a\xff", b"a\xff\x01", b"a\xff\xff"]));
    assert_eq!(keys(b"a\xff"), expect(&[b"a\xff", b"a\xff\x01", b"a\xff\xff"]));
    assert_eq!(keys(b"a\xff\xff"), expect(&[b"a\xff\xff"]));
    assert_eq!(keys(b"\xff"), expect(&[b"\xff", b"\xff\x01", b"\xff\xff"]));
    assert_eq!(keys(b"\xff\xff"), expect(&[b"\xff\xff"]));
    assert_eq!(keys(b"\xff\xff\xff"), expect(&[]));
    assert_eq!(keys(b"c"), expect(&[]));
    assert_eq!(keys(b"").len(), 8);
}

fn gets(home: &Home) {
    let store = home.open();
    put_keys(&*store, FIRST, &[b"a", b"b", b"c"]);
    commit(&*store, |batch| batch.delete(FIRST, "b"));
    commit(&*store, |batch| batch.delete(FIRST, "never there"));
    assert_eq!(get(&*store, FIRST, b"a").as_deref(), Some(b"a".as_slice()));
    assert_eq!(get(&*store, FIRST, b"b"), None);
    assert_eq!(get(&*store, FIRST, b"aa"), None);
    assert_eq!(get(&*store, SECOND, b"a"), None);
    let snapshot = store.snapshot().unwrap();
    let values = snapshot.multi_get(FIRST, &[b"c", b"b", b"a", b"c"]).unwrap();
    assert_eq!(values, [Some("c".into()), None, Some("a".into()), Some("c".into())]);
    assert!(snapshot.multi_get(FIRST, &[]).unwrap().is_empty());
}

fn first_is_one_seek(home: &Home) {
    let store = home.open();
    put_keys(&*store, FIRST, &[b"a1", b"a2", b"b1"]);
    let snapshot = store.snapshot().unwrap();
    let first = |prefix: &'static str, direction| {
        snapshot.first(FIRST, &KeyRange::prefix(prefix), direction).unwrap().map(|(key, _)| key)
    };
    assert_eq!(first("a", Direction::Forward), Some("a1".into()));
    assert_eq!(first("a", Direction::Reverse), Some("a2".into()));
    assert_eq!(first("c", Direction::Reverse), None);
}

fn firsts_of_many_ranges(home: &Home) {
    let store = home.open();
    put_keys(&*store, FIRST, &[b"a1", b"a2", b"b1", b"c1"]);
    let snapshot = store.snapshot().unwrap();
    let ranges = ["c", "a", "x", "a"].map(KeyRange::prefix);
    let firsts = |direction| {
        let firsts = snapshot.multi_first(FIRST, &ranges, direction).unwrap();
        firsts.into_iter().map(|entry| entry.map(|(key, _)| key)).collect::<Vec<_>>()
    };
    assert_eq!(firsts(Direction::Forward), [Some("c1".into()), Some("a1".into()), None, Some("a1".into())]);
    assert_eq!(firsts(Direction::Reverse), [Some("c1".into()), Some("a2".into()), None, Some("a2".into())]);
    assert!(snapshot.multi_first(FIRST, &[], Direction::Forward).unwrap().is_empty());
    assert!(matches!(snapshot.multi_first(Keyspace::at(2), &ranges, Direction::Forward), Err(Error::Invalid(_))));
}

/// Over tables, memory that was not written out, deletions and several versions, by steps of one entry to a thousand.
fn skips_near_and_far(home: &Home) {
    let store = home.open();
    for part in 0..4 {
        commit(&*store, |batch| {
            for number in (part..2_000_u32).step_by(3) {
                batch.put(FIRST, numbered(2 * number), vec![part as u8; (number % 40) as usize]);
            }
            (part..2_000_u32).step_by(31).for_each(|number| batch.delete(FIRST, numbered(2 * number)));
        });
        if part < 3 {
            store.flush().unwrap();
        }
    }
    let snapshot = store.snapshot().unwrap();
    let ranges = [KeyRange::all(), KeyRange::new(numbered(1_001)..numbered(3_000)), KeyRange::new(..=numbered(7))];
    for step in [1, 7, 40, 51, 999, 2_001] {
        // Every other key was never there.
        let mut to: Vec<_> = (0..4_000_u32).step_by(step).map(numbered).collect();
        for range in &ranges {
            let forward = skipping(&*snapshot, FIRST, range, Direction::Forward, &to);
            assert_eq!(forward, by_new_scans(&*snapshot, FIRST, range, Direction::Forward, &to));
            to.reverse();
            let reverse = skipping(&*snapshot, FIRST, range, Direction::Reverse, &to);
            assert_eq!(reverse, by_new_scans(&*snapshot, FIRST, range, Direction::Reverse, &to));
            to.reverse();
        }
    }
    // After its end, and to where it is, a scan stays there.
    let mut scan = snapshot.scan(FIRST, &KeyRange::new(numbered(10)..numbered(20)), Direction::Forward).unwrap();
    let at = |entry: Option<Result<(Bytes, Bytes)>>| entry.map(|entry| entry.unwrap().0.to_vec());
    let second = at(snapshot.scan(FIRST, &KeyRange::new(numbered(10)..), Direction::Forward).unwrap().nth(1));
    at(scan.next());
    scan.skip_to(&numbered(0)).unwrap();
    assert_eq!(at(scan.next()), second);
    scan.skip_to(&numbered(30)).unwrap();
    assert_eq!(at(scan.next()), None);
    scan.skip_to(&numbered(12)).unwrap();
    assert_eq!(at(scan.next()), None);
}

fn changes_are_told(home: &Home) {
    let store = home.open();
    let changes = || store.changes().unwrap();
    let before = changes();
    assert_eq!(changes(), before);
    put_keys(&*store, FIRST, &[b"a"]);
    let committed = changes();
    assert_ne!(committed, before);
    store.ingest(SECOND, &mut [entry("b", "b")].into_iter()).unwrap();
    assert_ne!(changes(), committed);
    store.close().unwrap();
    assert!(matches!(store.changes(), Err(Error::Closed)));
}

fn snapshots_see_one_moment(home: &Home) {
    let store = home.open();
    put_keys(&*store, FIRST, &[b"a", b"b"]);
    let before = store.snapshot().unwrap();
    let mut scan = before.scan(FIRST, &KeyRange::all(), Direction::Forward).unwrap();
    assert_eq!(scan.next().unwrap().unwrap().0, "a");
    commit(&*store, |batch| {
        batch.put(FIRST, "a", "new");
        batch.delete(FIRST, "b");
        batch.put(FIRST, "c", "c");
        batch.put(SECOND, "a", "a");
    });
    store.ingest(FIRST, &mut [entry("b", "ingested"), entry("d", "d")].into_iter()).unwrap();
    store.delete_range(FIRST, &KeyRange::new(.."b"), Durability::Buffer).unwrap();
    store.flush().unwrap();

    assert_eq!(scan.next().unwrap().unwrap().0, "b");
    assert!(scan.next().is_none());
    assert_eq!(before.get(FIRST, b"a").unwrap(), Some("a".into()));
    assert_eq!(before.get(FIRST, b"b").unwrap(), Some("b".into()));
    assert_eq!(before.get(FIRST, b"c").unwrap(), None);
    assert_eq!(entries(&*before, FIRST, &KeyRange::all(), Direction::Reverse).len(), 2);
    assert!(entries(&*before, SECOND, &KeyRange::all(), Direction::Forward).is_empty());
    assert_eq!(keys(&*store, FIRST, &KeyRange::all()), [b"b", b"c", b"d"]);
    assert_eq!(get(&*store, FIRST, b"b").as_deref(), Some(b"ingested".as_slice()));

    // A scan outlives the handle of its snapshot.
    let scan = before.scan(FIRST, &KeyRange::all(), Direction::Forward).unwrap();
    drop(before);
    assert_eq!(scan.map(|entry| entry.unwrap().1).collect::<Vec<_>>(), ["a", "b"]);
}

fn batches_are_atomic(home: &Home) {
    let store = home.open();
    put_keys(&*store, SECOND, &[b"x"]);
    let before = store.snapshot().unwrap();
    commit(&*store, |batch| {
        batch.put(FIRST, "a", "1");
        batch.put(SECOND, "a", "2");
        batch.delete(SECOND, "x");
    });
    assert_eq!(before.get(FIRST, b"a").unwrap(), None);
    assert_eq!(get(&*store, FIRST, b"a").as_deref(), Some(b"1".as_slice()));
    assert_eq!(get(&*store, SECOND, b"a").as_deref(), Some(b"2".as_slice()));
    assert_eq!(get(&*store, SECOND, b"x"), None);

    // One write beyond the contract: none of them happens.
    let mut batch = WriteBatch::new();
    batch.put(FIRST, "b", "1");
    batch.put(Keyspace::at(2), "b", "1");
    assert!(matches!(store.commit(batch, Durability::Sync), Err(Error::Invalid(_))));
    assert_eq!(get(&*store, FIRST, b"b"), None);
    store.commit(WriteBatch::new(), Durability::Sync).unwrap();
}

fn later_writes_of_a_batch_win(home: &Home) {
    let store = home.open();
    put_keys(&*store, FIRST, &[b"c", b"d", b"e"]);
    commit(&*store, |batch| {
        batch.put(FIRST, "a", "1");
        batch.put(FIRST, "a", "2");
        batch.put(FIRST, "b", "1");
        batch.delete(FIRST, "b");
        batch.delete(FIRST, "c");
        batch.put(FIRST, "c", "2");
        batch.put(FIRST, "d1", "1");
        batch.put(SECOND, "d1", "1");
        batch.delete_range(FIRST, KeyRange::prefix("d"));
        batch.put(FIRST, "d2", "1");
    });
    let check = |store: &dyn Store| {
        let all = entries(&*store.snapshot().unwrap(), FIRST, &KeyRange::all(), Direction::Forward);
        assert_eq!(
            all,
            [("a", "2"), ("c", "2"), ("d2", "1"), ("e", "e")].map(|(key, value)| (key.into(), value.into()))
        );
        assert_eq!(keys(store, SECOND, &KeyRange::all()), [b"d1"]);
    };
    check(&*store);
    // The same after the journal has been replayed, and from the tables.
    drop(store);
    let store = home.open();
    check(&*store);
    store.flush().unwrap();
    check(&*store);
}

fn range_deletes(home: &Home) {
    let store = home.open();
    put_keys(&*store, FIRST, &[b"a", b"b", b"c", b"d", b"e"]);
    put_keys(&*store, SECOND, &[b"b"]);
    store.flush().unwrap();
    commit(&*store, |batch| batch.delete_range(FIRST, KeyRange::new("b"..="c")));
    assert_eq!(keys(&*store, FIRST, &KeyRange::all()), [b"a", b"d", b"e"]);
    commit(&*store, |batch| {
        batch.delete_range(FIRST, KeyRange::new("d".."b"));
        batch.delete_range(FIRST, KeyRange::new("b".."d"));
    });
    assert_eq!(keys(&*store, FIRST, &KeyRange::all()), [b"a", b"d", b"e"]);
    assert_eq!(store.delete_range(FIRST, &KeyRange::new("e".."a"), Durability::Sync).unwrap(), 0);
    assert_eq!(store.delete_range(FIRST, &KeyRange::new("b"..), Durability::Sync).unwrap(), 2);
    put_keys(&*store, FIRST, &[b"d"]);
    assert_eq!(keys(&*store, FIRST, &KeyRange::all()), [b"a", b"d"]);
    commit(&*store, |batch| batch.delete_range(FIRST, KeyRange::all()));
    assert!(keys(&*store, FIRST, &KeyRange::all()).is_empty());
    assert_eq!(keys(&*store, SECOND, &KeyRange::all()), [b"b"]);
}

fn large_range_deletes(home: &Home) {
    let store = home.open();
    commit(&*store, |batch| (0..10_000).for_each(|number| batch.put(FIRST, numbered(number), "")));
    let before = store.snapshot().unwrap();
    let range = KeyRange::new(numbered(10)..numbered(9_990));
    assert_eq!(store.delete_range(FIRST, &range, Durability::Buffer).unwrap(), 9_980);
    assert_eq!(store.delete_range(FIRST, &range, Durability::Buffer).unwrap(), 0);
    assert_eq!(keys(&*store, FIRST, &KeyRange::all()).len(), 20);
    assert_eq!(entries(&*before, FIRST, &range, Direction::Forward).len(), 9_980);
}

fn ingestion_into_an_empty_keyspace(home: &Home) {
    let store = home.open();
    assert_eq!(store.ingest(FIRST, &mut std::iter::empty()).unwrap(), 0);
    let mut run = (0..5_000).map(|number| Ok((numbered(number).into(), numbered(!number).into())));
    assert_eq!(store.ingest(FIRST, &mut run).unwrap(), 5_000);
    assert_eq!(keys(&*store, FIRST, &KeyRange::all()).len(), 5_000);
    assert_eq!(get(&*store, FIRST, &numbered(77)), Some(numbered(!77)));
    // Durable without a journal.
    drop(store);
    assert_eq!(keys(&*home.open(), FIRST, &KeyRange::all()).len(), 5_000);
}

fn ingestion_over_existing_keys(home: &Home) {
    let store = home.open();
    put_keys(&*store, FIRST, &[b"a", b"b"]);
    store.flush().unwrap();
    put_keys(&*store, FIRST, &[b"c", b"d"]);
    commit(&*store, |batch| batch.delete(FIRST, "b"));
    let mut run = [entry("a", "A"), entry("b", "B"), entry("c", "C"), entry("x", "X")].into_iter();
    assert_eq!(store.ingest(FIRST, &mut run).unwrap(), 4);
    let expect = |store: &dyn Store, expected: &[&str]| {
        let all = entries(&*store.snapshot().unwrap(), FIRST, &KeyRange::all(), Direction::Forward);
        assert_eq!(all.iter().map(|(_, value)| value).collect::<Vec<_>>(), expected);
    };
    expect(&*store, &["A", "B", "C", "d", "X"]);
    commit(&*store, |batch| batch.put(FIRST, "a", "again"));
    expect(&*store, &["again", "B", "C", "d", "X"]);
    drop(store);
    expect(&*home.open(), &["again", "B", "C", "d", "X"]);
}

fn failed_ingestion_leaves_nothing(home: &Home) {
    let store = home.open();
    put_keys(&*store, FIRST, &[b"k"]);
    for run in [["a", "a"], ["b", "a"], ["a", ""]] {
        let mut run = run.into_iter().map(|key| entry(key, "value"));
        assert!(matches!(store.ingest(FIRST, &mut run), Err(Error::Invalid(_))));
    }
    let mut run = [entry("a", "value"), Err(Error::Closed)].into_iter();
    assert!(matches!(store.ingest(FIRST, &mut run), Err(Error::Closed)));
    assert!(matches!(store.ingest(Keyspace::at(2), &mut std::iter::empty()), Err(Error::Invalid(_))));
    assert_eq!(keys(&*store, FIRST, &KeyRange::all()), [b"k"]);
    drop(store);
    assert_eq!(keys(&*home.open(), FIRST, &KeyRange::all()), [b"k"]);
}

fn values_of_any_size(home: &Home) {
    let store = home.open();
    let sizes = [0, 1, 1_000, 100_000, 1 << 20];
    let value = |size: usize| (0..size).map(|position| (position % 251) as u8).collect::<Vec<_>>();
    let longest = vec![0xfe; MAX_KEY_BYTES];
    commit(&*store, |batch| {
        sizes.iter().for_each(|&size| batch.put(FIRST, numbered(size as u32), value(size)));
        batch.put(SECOND, longest.clone(), "");
    });
    let check = |store: &dyn Store| {
        for size in sizes {
            assert_eq!(get(store, FIRST, &numbered(size as u32)), Some(value(size)), "{size} bytes");
        }
        assert_eq!(keys(store, SECOND, &KeyRange::all()), [longest.as_slice()]);
    };
    check(&*store);
    store.flush().unwrap();
    check(&*store);
    drop(store);
    check(&*home.open());
}

fn many_keys(home: &Home) {
    let store = home.open();
    // Written in an order far from the one they are read in, 20,000 of them.
    for part in 0..20 {
        commit(&*store, |batch| {
            for number in (0..20_000_u32).filter(|number| number.wrapping_mul(7_919) % 20 == part) {
                batch.put(FIRST, numbered(number), numbered(number));
            }
        });
    }
    let all = keys(&*store, FIRST, &KeyRange::all());
    assert!(all.iter().enumerate().all(|(position, key)| *key == numbered(position as u32)));
    assert_eq!(all.len(), 20_000);
    assert_eq!(keys(&*store, FIRST, &KeyRange::new(numbered(4_321)..numbered(5_321))).len(), 1_000);
}

fn contract_breaches_do_nothing(home: &Home) {
    let store = home.open();
    let refuse = |fill: &dyn Fn(&mut WriteBatch)| {
        let mut batch = WriteBatch::new();
        fill(&mut batch);
        assert!(matches!(store.commit(batch, Durability::Buffer), Err(Error::Invalid(_))));
    };
    refuse(&|batch| batch.put(FIRST, "", "value"));
    refuse(&|batch| batch.delete(FIRST, ""));
    refuse(&|batch| batch.put(FIRST, vec![1; MAX_KEY_BYTES + 1], "value"));
    refuse(&|batch| batch.delete(Keyspace::at(2), "key"));
    refuse(&|batch| batch.delete_range(Keyspace::at(2), KeyRange::all()));
    let snapshot = store.snapshot().unwrap();
    assert!(matches!(snapshot.get(Keyspace::at(2), b"key"), Err(Error::Invalid(_))));
    assert!(matches!(snapshot.scan(Keyspace::at(2), &KeyRange::all(), Direction::Forward), Err(Error::Invalid(_))));
    assert_eq!(snapshot.get(FIRST, b"").unwrap(), None);
    // None of these is a failure of the engine: writes go on.
    put_keys(&*store, FIRST, &[b"a"]);
}

fn keyspaces_by_name(home: &Home) {
    let store = home.open();
    assert_eq!(store.keyspaces(), NAMES);
    assert!(store.unknown_keyspaces().is_empty());
    assert_eq!(store.keyspace("second").unwrap(), SECOND);
    assert!(matches!(store.keyspace("third"), Err(Error::Invalid(_))));
    put_keys(&*store, SECOND, &[b"a"]);
    store.close().unwrap();

    // Other names in another order: what is not asked for is listed and kept.
    let store = home.try_open(&["third", "second"]).unwrap();
    assert_eq!(store.unknown_keyspaces(), ["first"]);
    assert_eq!(keys(&*store, Keyspace::at(1), &KeyRange::all()), [b"a"]);
    put_keys(&*store, Keyspace::at(0), &[b"c"]);
    store.close().unwrap();
    let store = home.open();
    assert_eq!(store.unknown_keyspaces(), ["third"]);
    assert_eq!(keys(&*store, SECOND, &KeyRange::all()), [b"a"]);
}

fn reopening(home: &Home) {
    for round in 0..4_u32 {
        let store = home.open();
        assert_eq!(keys(&*store, FIRST, &KeyRange::all()).len(), round as usize);
        assert!(matches!(home.try_open(&NAMES), Err(Error::Locked { .. })));
        let durability = if round % 2 == 0 { Durability::Buffer } else { Durability::Sync };
        let mut batch = WriteBatch::new();
        batch.put(FIRST, numbered(round), "");
        store.commit(batch, durability).unwrap();
        if round < 2 {
            store.close().unwrap();
        }
    }
}

fn closing(home: &Home) {
    let store = home.open();
    put_keys(&*store, FIRST, &[b"a", b"b"]);
    let snapshot = store.snapshot().unwrap();
    let mut scan = snapshot.scan(FIRST, &KeyRange::all(), Direction::Forward).unwrap();
    assert_eq!(scan.next().unwrap().unwrap().0, "a");
    store.close().unwrap();
    store.close().unwrap();
    let mut batch = WriteBatch::new();
    batch.put(FIRST, "c", "c");
    assert!(matches!(store.commit(batch, Durability::Buffer), Err(Error::Closed)));
    assert!(matches!(store.ingest(FIRST, &mut [entry("c", "c")].into_iter()), Err(Error::Closed)));
    assert!(matches!(store.snapshot().map(drop), Err(Error::Closed)));
    assert!(matches!(store.flush(), Err(Error::Closed)));
    assert!(matches!(store.disk_usage(), Err(Error::Closed)));

    // What was open reads on, and holds the data.
    assert_eq!(snapshot.get(FIRST, b"b").unwrap(), Some("b".into()));
    drop(snapshot);
    assert!(matches!(home.try_open(&NAMES), Err(Error::Locked { .. })));
    assert_eq!(scan.next().unwrap().unwrap().0, "b");
    drop(scan);
    assert_eq!(keys(&*home.open(), FIRST, &KeyRange::all()), [b"a", b"b"]);
}

fn readers_beside_a_writer(home: &Home) {
    let store = home.open();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    let snapshot = store.snapshot().unwrap();
                    let first = entries(&*snapshot, FIRST, &KeyRange::all(), Direction::Forward);
                    let second = entries(&*snapshot, SECOND, &KeyRange::all(), Direction::Reverse);
                    assert_eq!(first.len(), second.len());
                    assert!(first.iter().eq(second.iter().rev()));
                }
            });
        }
        for round in 0..300 {
            commit(&*store, |batch| {
                for keyspace in [FIRST, SECOND] {
                    batch.put(keyspace, numbered(round), vec![0; 500]);
                    batch.delete_range(keyspace, KeyRange::new(..numbered(round.saturating_sub(50))));
                }
            });
            if round % 100 == 99 {
                store.flush().unwrap();
            }
        }
        done.store(true, Ordering::Release);
    });
}

fn disk_usage_is_by_keyspace(home: &Home) {
    let store = home.open();
    commit(&*store, |batch| (0..1_000).for_each(|number| batch.put(FIRST, numbered(number), numbered(number))));
    store.flush().unwrap();
    let usage = store.disk_usage().unwrap();
    assert_eq!(usage.keyspaces.keys().collect::<Vec<_>>(), NAMES.iter().collect::<Vec<_>>());
    assert!(usage.keyspaces["first"] > 1_000 && usage.keyspaces["second"] < 1_000, "{usage:?}");
    assert!(usage.total() >= usage.keyspaces["first"]);
}
