//! Opening the embedded engine where something is wrong.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use dfuse_kv::{Direction, EngineOptions, Error, FjallStore, KeyRange, ReadStore, Result, Snapshot, Store};

use crate::home::{FIRST, NAMES, SECOND, commit, entries, keys, put_keys, small};

const HOLD: &str = "DFUSE_KV_HOLD_DIRECTORY";

fn open(directory: &Path) -> Result<FjallStore> {
    FjallStore::open(directory, &NAMES, &small())
}

/// A store with tables on disk and something in its journal.
fn filled() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let numbered = |number: u32| number.to_be_bytes().to_vec();
    commit(&store, |batch| (0..5_000).for_each(|number| batch.put(FIRST, numbered(number), numbered(number))));
    store.close().unwrap();
    let store = open(directory.path()).unwrap();
    put_keys(&store, SECOND, &[b"a", b"b"]);
    directory
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    files.sort_unstable();
    files
}

/// Opens and reads everything.
fn read_all(directory: &Path) -> Result<usize> {
    let store = open(directory)?;
    let snapshot = store.snapshot()?;
    let count = |keyspace| {
        let mut entries = snapshot.scan(keyspace, &KeyRange::all(), Direction::Forward)?;
        entries.try_fold(0, |count, entry| entry.map(|_| count + 1))
    };
    Ok(count(FIRST)? + count(SECOND)?)
}

/// The child: holds the store until its standard input ends. Does nothing in a normal run.
#[test]
fn hold() {
    let Some(directory) = env::var_os(HOLD) else { return };
    let _store = open(Path::new(&directory)).unwrap();
    println!("\nheld");
    std::io::stdin().lines().for_each(drop);
}

#[test]
fn another_process_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["opening::hold", "--exact", "--nocapture"])
        .env(HOLD, directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "held"));
    let error = open(directory.path()).err().unwrap();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    drop(child.stdin.take());
    child.wait().unwrap();
    open(directory.path()).unwrap();
}

#[test]
fn wrong_paths() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = open(&path).err().unwrap();
        assert!(matches!(&error, Error::Io { path: named, .. } if named.starts_with(&path)), "{error}");
    }
    // Missing directories are made; files of others are left alone.
    let path = directory.path().join("a/b");
    open(&path).unwrap();
    fs::write(path.join("lost+found"), "").unwrap();
    open(&path).unwrap();
    assert!(path.join("lost+found").exists());
    let error = FjallStore::open(&path, &[""], &small()).err().unwrap();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
}

#[cfg(unix)]
#[test]
fn unwritable_directory() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(directory.path().join("probe"), "").is_ok() {
        println!("skipped: the rights of a directory do not bind this user");
        return;
    }
    let error = open(directory.path()).err().unwrap();
    assert!(matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied));
}

#[test]
fn interrupted_creation_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("fjall.new/keyspaces")).unwrap();
    fs::write(directory.path().join("fjall.new/0.jnl"), "torn").unwrap();
    put_keys(&open(directory.path()).unwrap(), FIRST, &[b"a"]);
    assert_eq!(read_all(directory.path()).unwrap(), 1);
}

#[test]
fn other_formats() {
    let directory = filled();
    let version = directory.path().join("fjall/version");
    let mut bytes = fs::read(&version).unwrap();
    for other in [2, 4, 200] {
        bytes[3] = other;
        fs::write(&version, &bytes).unwrap();
        let error = open(directory.path()).err().unwrap();
        assert!(matches!(error, Error::Format { .. }), "{error}");
    }
    fs::remove_file(&version).unwrap();
    let error = open(directory.path()).err().unwrap();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[test]
fn damage_is_an_error_and_no_panic() {
    let count = files(&filled().path().join("fjall")).len();
    let mut found = 0;
    for (position, flip) in (0..count).flat_map(|position| [(position, false), (position, true)]) {
        let directory = filled();
        let files = files(&directory.path().join("fjall"));
        let file = &files[position.min(files.len() - 1)];
        let mut bytes = fs::read(file).unwrap();
        let written = bytes.iter().rposition(|byte| *byte != 0).unwrap_or_default();
        if flip {
            bytes.get_mut(written / 2).into_iter().for_each(|byte| *byte ^= 0x55);
        } else {
            bytes.truncate(written / 2);
        }
        fs::write(file, bytes).unwrap();
        match read_all(directory.path()) {
            // What the engine does not read, or the end of the journal, which cannot be told from a torn write.
            Ok(entries) => assert!((5_000..=5_002).contains(&entries), "{}: {entries} entries", file.display()),
            Err(Error::Corrupt { .. } | Error::Format { .. }) => found += 1,
            Err(error) => panic!("{}: {error}", file.display()),
        }
    }
    assert!(found >= count, "{found} of {} damages found", 2 * count);
}

#[test]
fn discarded_keyspaces_are_empty_or_gone() {
    let directory = filled();
    let discard = |names: [&str; 2]| EngineOptions { discard: names.map(str::to_owned).to_vec(), ..small() };
    let store = FjallStore::open(directory.path(), &NAMES, &discard(["first", "never there"])).unwrap();
    assert!(keys(&store, FIRST, &KeyRange::all()).is_empty());
    assert_eq!(keys(&store, SECOND, &KeyRange::all()), [b"a", b"b"]);
    put_keys(&store, FIRST, &[b"new"]);
    drop(store);
    let store = FjallStore::open(directory.path(), &NAMES[..1], &discard(["second", ""])).unwrap();
    assert_eq!(keys(&store, FIRST, &KeyRange::all()), [b"new"]);
    assert!(store.unknown_keyspaces().is_empty());
    drop(store);
    assert_eq!(read_all(directory.path()).unwrap(), 1);
}

#[test]
fn too_small_a_journal_bound_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let options = EngineOptions { journal_bytes: 1 << 20, ..small() };
    let error = FjallStore::open(directory.path(), &NAMES, &options).err().unwrap();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
}

/// A snapshot that an engine takes for the first moment of all must not make it forget what other snapshots read.
#[test]
fn snapshots_of_a_store_that_was_opened_twice_before_its_first_commit() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    let store = open(directory.path()).unwrap();
    let empty = store.snapshot().unwrap();
    let mut next = 0_u32;
    let mut write = |count: u32| {
        for _ in 0..count {
            commit(&store, |batch| batch.put(FIRST, next.to_be_bytes().to_vec(), vec![1]));
            next += 1;
        }
        next
    };
    let count = |snapshot: &dyn Snapshot| entries(snapshot, FIRST, &KeyRange::all(), Direction::Forward).len();
    for round in 0..40 {
        let written = write(1 + round % 5);
        let snapshot = store.snapshot().unwrap();
        for count in [1, 1 + round % 3] {
            write(count);
            drop(store.snapshot().unwrap());
            store.flush().unwrap();
        }
        assert_eq!((count(&*empty), count(&*snapshot)), (0, written as usize));
    }
}

/// What was written is not in the journal any more after a clean end, however much it was: the engine would read it all.
#[test]
fn a_clean_end_leaves_the_journal_behind() {
    let directory = tempfile::tempdir().unwrap();
    let journals = || {
        let files = files(directory.path()).into_iter();
        files.filter(|file| file.extension().is_some_and(|extension| extension == "jnl")).collect::<Vec<_>>()
    };
    for round in 1..=2 {
        let store = open(directory.path()).unwrap();
        let before = journals();
        for batch in 0..10u32 {
            let keys = (batch * 1000..(batch + 1) * 1000).map(|number| number.to_be_bytes().to_vec());
            commit(&store, |writes| keys.for_each(|key| writes.put(FIRST, key, vec![round; 1000])));
        }
        assert_eq!(journals(), before);
        store.close().unwrap();
        assert!(journals().iter().all(|journal| !before.contains(journal)), "{before:?} {:?}", journals());
        assert_eq!(read_all(directory.path()).unwrap(), 10_000);
    }
    // A crash in between leaves both.
    let store = open(directory.path()).unwrap();
    let keys = (0..10_000u32).map(|number| number.to_be_bytes().to_vec());
    commit(&store, |writes| keys.for_each(|key| writes.put(FIRST, key, vec![3; 1000])));
    let old: Vec<_> = journals().into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect();
    store.close().unwrap();
    old.iter().for_each(|(content, file)| fs::write(file, content).unwrap());
    assert_eq!((journals().len(), read_all(directory.path()).unwrap()), (2, 10_000));
    // Little is left where it is.
    let (store, before) = (open(directory.path()).unwrap(), journals());
    put_keys(&store, SECOND, &[b"a", b"b"]);
    store.close().unwrap();
    assert_eq!(journals(), before);
}
