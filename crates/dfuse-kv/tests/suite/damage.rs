//! One damaged file at a time: the store opens as it was, or as it was at an earlier moment, or tells what is wrong.

use std::{
    fs,
    path::{Path, PathBuf},
};

use dfuse_kv::{Direction, Error, FjallStore, KeyRange, ReadStore, Result, Store, find_damage};

use crate::home::{FIRST, NAMES, SECOND, commit, small};

const COMMITS: u32 = 60;

/// What happens to a file.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Flip(usize),
    Cut(usize),
    Remove,
}

/// A store in which every commit goes to both keyspaces; the first is written out now and then, the second not.
fn filled(closed: bool) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let open = || FjallStore::open(directory.path(), &NAMES, &small()).unwrap();
    let write = |store: &FjallStore, numbers: std::ops::Range<u32>| {
        for number in numbers {
            let key = number.to_be_bytes().to_vec();
            commit(store, |batch| {
                batch.put(FIRST, key.clone(), vec![number as u8; 4000]);
                batch.put(SECOND, key, number.to_be_bytes().to_vec());
                // The newest version counts.
                batch.put(SECOND, b"last".to_vec(), number.to_be_bytes().to_vec());
            });
        }
    };
    let store = open();
    write(&store, 0..COMMITS / 2);
    store.close().unwrap();
    let store = open();
    write(&store, COMMITS / 2..COMMITS);
    if closed {
        store.close().unwrap();
    }
    drop(store);
    let journals = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "jnl");
    for file in files(directory.path()).into_iter().filter(journals) {
        // They are allocated ahead.
        let used = used(&fs::read(&file).unwrap());
        fs::File::options().write(true).open(&file).unwrap().set_len(used as u64).unwrap();
    }
    directory
}

/// Length without the zeros at the end.
fn used(content: &[u8]) -> usize {
    let zeros = [0; 1 << 16];
    let last = content.chunks(zeros.len()).rposition(|chunk| *chunk != zeros[..chunk.len()]);
    let last = last.map_or(0, |last| last * zeros.len());
    last + content[last..].iter().take(zeros.len()).rposition(|byte| *byte != 0).map_or(0, |at| at + 1)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    files.sort_unstable();
    files
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in files(from) {
        let target = to.path().join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, &target).unwrap();
    }
    to
}

fn strike(file: &Path, blow: Blow) {
    match blow {
        Blow::Remove => fs::remove_file(file).unwrap(),
        Blow::Cut(length) => fs::File::options().write(true).open(file).unwrap().set_len(length as u64).unwrap(),
        Blow::Flip(at) => {
            let mut content = fs::read(file).unwrap();
            content[at] ^= 0x24;
            fs::write(file, content).unwrap();
        }
    }
}

/// How many commits the store has. They are the first ones, whole, in both keyspaces.
fn commits(directory: &Path) -> Result<u32> {
    let store = FjallStore::open(directory, &NAMES, &small())?;
    let snapshot = store.snapshot()?;
    let mut first = Vec::new();
    for entry in snapshot.scan(FIRST, &KeyRange::all(), Direction::Forward)? {
        let (key, value) = entry?;
        let number = u32::from_be_bytes(key[..].try_into().unwrap());
        assert_eq!(value, vec![number as u8; 4000]);
        first.push(number);
    }
    let mut second = Vec::new();
    let mut last = None;
    for entry in snapshot.scan(SECOND, &KeyRange::all(), Direction::Forward)? {
        let (key, value) = entry?;
        let number = u32::from_be_bytes(value[..].try_into().unwrap());
        match &key[..] {
            b"last" => last = Some(number),
            key => {
                assert_eq!(*key, number.to_be_bytes());
                second.push(number);
            }
        }
    }
    assert_eq!(first, (0..first.len() as u32).collect::<Vec<_>>());
    assert_eq!((&second, last.map_or(0, |last| last + 1)), (&first, first.len() as u32));
    Ok(first.len() as u32)
}

#[test]
fn any_file_flipped_cut_or_removed() {
    for closed in [true, false] {
        let whole = filled(closed);
        assert_eq!(find_damage(whole.path()).unwrap(), []);
        let (mut told, mut tried) = (0, 0);
        for file in files(whole.path()) {
            let content = fs::read(&file).unwrap();
            let places = (0..content.len()).step_by(1 + content.len() / 3);
            let blows = places.flat_map(|at| [Blow::Flip(at), Blow::Cut(at)]).chain([Blow::Remove]);
            for blow in blows {
                let directory = copy(whole.path());
                let name = file.strip_prefix(whole.path()).unwrap();
                strike(&directory.path().join(name), blow);
                let case = format!("{} {blow:?}, closed: {closed}", name.display());
                let found = find_damage(directory.path()).unwrap();
                tried += 1;
                match commits(directory.path()) {
                    Ok(commits) if closed => assert_eq!(commits, COMMITS, "{case}"),
                    Ok(commits) => {
                        let is_end = name.extension().is_some_and(|extension| extension == "jnl");
                        assert!(commits == COMMITS || is_end && commits >= COMMITS / 2, "{case}: {commits}");
                    }
                    Err(error @ (Error::Corrupt { .. } | Error::Format { .. })) => {
                        told += 1;
                        let files = format!("{error} {found:?}");
                        // The end of a journal and its version are what they are.
                        assert!(
                            files.contains(directory.path().join(name).parent().unwrap().to_str().unwrap()),
                            "{case}: {files}"
                        );
                        assert!(!files.contains("FjallError") && !files.contains("LsmTreeError"), "{case}: {files}");
                        FjallStore::remove(directory.path()).unwrap();
                        assert_eq!(commits_of_new(directory.path()), 0, "{case}");
                    }
                    Err(error) => panic!("{case}: {error}"),
                }
            }
        }
        assert!(told * 2 > tried, "{told} of {tried} damages were told");
    }
}

fn commits_of_new(directory: &Path) -> u32 {
    commits(directory).unwrap()
}

/// The engine would make it anew, empty.
#[test]
fn a_missing_keyspace_is_told() {
    let whole = filled(true);
    for lost in fs::read_dir(whole.path().join("fjall/keyspaces")).unwrap() {
        for whole_directory in [true, false] {
            let directory = copy(whole.path());
            let keyspace = directory.path().join("fjall/keyspaces").join(lost.as_ref().unwrap().file_name());
            match whole_directory {
                true => fs::remove_dir_all(&keyspace).unwrap(),
                false => fs::remove_file(keyspace.join("current")).unwrap(),
            }
            let error = commits(directory.path()).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains(keyspace.to_str().unwrap()), "{error}");
            assert!(error.to_string().contains("it is missing, and with it the keyspace"), "{error}");
        }
    }
}

/// Stores of earlier releases have no inventory, and get one.
#[test]
fn a_store_without_an_inventory_opens() {
    for closed in [true, false] {
        let directory = filled(closed);
        let inventory = directory.path().join("inventory");
        fs::remove_file(&inventory).unwrap();
        assert_eq!(commits(directory.path()).unwrap(), COMMITS);
        assert!(inventory.exists());
    }
}

/// What a power cut leaves: the journal's last bytes are missing, and what was not written out either.
#[test]
fn a_torn_journal_loses_its_last_commits_only() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path(), &NAMES, &small()).unwrap();
    for number in 0..10u32 {
        commit(&store, |batch| {
            batch.put(FIRST, number.to_be_bytes().to_vec(), vec![number as u8; 4000]);
            batch.put(SECOND, number.to_be_bytes().to_vec(), number.to_be_bytes().to_vec());
            batch.put(SECOND, b"last".to_vec(), number.to_be_bytes().to_vec());
        });
    }
    drop(store);
    let journal = directory.path().join("fjall/0.jnl");
    let used = used(&fs::read(&journal).unwrap());
    for cut in [used - 1, used - 2000, used - 5000, used - 9000, used / 2] {
        strike(&journal, Blow::Cut(cut));
        let left = commits(copy(directory.path()).path()).unwrap();
        assert!(left < 10 && left + 3 >= (cut / 4100) as u32, "{cut}: {left}");
    }
}
