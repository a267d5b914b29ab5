//! A process that is killed while it commits leaves exactly what it had acknowledged, or one commit more.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use dfuse_kv::{Direction, Durability, FjallStore, KeyRange, Keyspace, ReadStore, Store, WriteBatch};

use crate::home::small;

const DIRECTORY: &str = "DFUSE_KV_KILL_DIRECTORY";
const NAMES: [&str; 3] = ["window", "single", "last"];
const WINDOW: Keyspace = Keyspace::at(0);
const SINGLE: Keyspace = Keyspace::at(1);
const LAST: Keyspace = Keyspace::at(2);
/// How many commits back `WINDOW` goes.
const WINDOW_LENGTH: u64 = 200;

fn open(directory: &Path) -> FjallStore {
    FjallStore::open(directory, &NAMES, &small()).unwrap()
}

fn last(store: &dyn Store) -> u64 {
    let value = store.snapshot().unwrap().get(LAST, b"last").unwrap();
    value.map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()))
}

fn value(commit: u64) -> Vec<u8> {
    let bytes = commit.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 3_000;
    commit.to_be_bytes().into_iter().cycle().take(8 + bytes as usize).collect()
}

/// The child: commits until it is killed, and says each number once it is committed. Does nothing in a normal run.
#[test]
fn child() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let store = open(Path::new(&directory));
    let mut acknowledge = std::io::stdout().lock();
    for commit in last(&store) + 1.. {
        let mut batch = WriteBatch::new();
        batch.put(WINDOW, commit.to_be_bytes().to_vec(), value(commit));
        batch.delete_range(WINDOW, KeyRange::new(..=commit.saturating_sub(WINDOW_LENGTH).to_be_bytes()));
        batch.delete_range(SINGLE, KeyRange::all());
        batch.put(SINGLE, commit.to_be_bytes().to_vec(), "");
        batch.put(LAST, "last", commit.to_be_bytes().to_vec());
        let durability = if commit % 16 == 0 { Durability::Sync } else { Durability::Buffer };
        store.commit(batch, durability).unwrap();
        if commit % 500 == 0 {
            store.flush().unwrap();
        }
        // A line of its own amid what the test harness prints.
        writeln!(acknowledge, "\ncommit {commit}").unwrap();
        acknowledge.flush().unwrap();
    }
}

/// Runs the child until it has acknowledged that many commits, kills it, and returns the last one acknowledged.
fn run_and_kill(directory: &Path, acknowledged: usize) -> Option<u64> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut commits = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("commit ")?.parse().ok());
    let mut last = commits.by_ref().take(acknowledged).last();
    child.kill().unwrap();
    last = commits.last().or(last);
    child.wait().unwrap();
    last
}

#[test]
fn acknowledged_commits_survive_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut committed = 0;
    // From during the first open to after memory has been written out and tables compacted several times.
    for (round, acknowledged) in [0, 1, 0, 17, 301, 0, 77, 650, 5, 1_200].into_iter().enumerate() {
        let acknowledged = run_and_kill(directory.path(), acknowledged).unwrap_or(committed);
        let store = open(directory.path());
        committed = last(&store);
        assert!(
            committed == acknowledged || committed == acknowledged + 1,
            "round {round}: acknowledged {acknowledged}, found {committed}"
        );
        let snapshot = store.snapshot().unwrap();
        let window = snapshot.scan(WINDOW, &KeyRange::all(), Direction::Reverse).unwrap();
        let window: Vec<_> = window.map(|entry| entry.unwrap()).collect();
        let expected = (1..=committed).rev().take(WINDOW_LENGTH as usize);
        let expected: Vec<_> =
            expected.map(|commit| (commit.to_be_bytes().to_vec().into(), value(commit).into())).collect();
        assert!(window == expected, "round {round}: the last {WINDOW_LENGTH} of {committed} commits");
        let single = snapshot.scan(SINGLE, &KeyRange::all(), Direction::Forward).unwrap();
        let single: Vec<_> = single.map(|entry| entry.unwrap().0).collect();
        assert!(single.iter().eq((committed > 0).then_some(&committed.to_be_bytes()[..]).iter()));
    }
    assert!(committed > 2_000);
}
