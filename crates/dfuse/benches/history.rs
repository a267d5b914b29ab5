//! State history to everything that is served, by the source `ship-log:`, on one core and on all, against zlib's unpacking of the same
//! logs.
//!
//! `cargo bench -p dfuse --bench history`; the logs are those of the recorded busy chain. One core takes the program `taskset`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    fs,
    io::{Cursor, copy, sink},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use dfuse_ship::{HistoryLog, inflated};
use dfuse_testkit::recorded;
use support::{Server, text};

const ROUNDS: usize = 3;

/// The data directory of the recorded node.
fn node(folder: &Path) -> Option<()> {
    let (history, blocks) = (folder.join("state-history"), folder.join("blocks"));
    [&history, &blocks].into_iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
    for member in recorded::tar("busy/state-history.tar.zst")? {
        fs::write(folder.join(member.path), member.content).unwrap();
    }
    fs::write(blocks.join("blocks.log"), recorded::bytes("busy/blocks.log.zst")?).unwrap();
    Some(())
}

/// Payloads of both logs, as they are.
fn payloads(folder: &Path) -> Vec<Vec<u8>> {
    let mut payloads = vec![];
    for name in ["trace_history.log", "chain_state_history.log"] {
        let mut log =
            HistoryLog::open(Cursor::new(fs::read(folder.join("state-history").join(name)).unwrap())).unwrap();
        while let Some(entry) = log.next_entry().unwrap() {
            payloads.push(log.payload(&entry).unwrap());
        }
    }
    payloads
}

fn best(mut run: impl FnMut() -> Duration) -> Duration {
    (0..ROUNDS).map(|_| run()).min().unwrap()
}

/// How long the whole process takes for a source, on one core or on all.
fn whole(source: &str, on_one_core: bool) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(if on_one_core { "taskset" } else { env!("CARGO_BIN_EXE_dfuse") });
    if on_one_core {
        command.args(["-c", "0", env!("CARGO_BIN_EXE_dfuse")]);
    }
    let data = folder.path().join("data");
    command.args(["start", "--listen", "127.0.0.1:0", "--exit-at-end", "--source", source, "--data-dir", text(&data)]);
    let started = Instant::now();
    let mut server = Server::spawn(command.stdin(Stdio::null()));
    assert!(server.wait().success(), "{:#?}", server.log);
    started.elapsed()
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    if node(folder.path()).is_none() {
        return;
    }
    let payloads = payloads(folder.path());
    let zlib = best(|| {
        let started = Instant::now();
        for payload in &payloads {
            copy(&mut inflated(payload), &mut sink()).unwrap();
        }
        started.elapsed()
    });
    // What the process takes to begin and to end is not what is measured.
    let empty = folder.path().join("empty.dmlog");
    fs::write(&empty, "DMLOG DEEP_MIND_VERSION leap 13 0\n").unwrap();
    let (empty, logs) = (format!("deep-mind:{}", text(&empty)), format!("ship-log:{}", text(folder.path())));
    println!("zlib unpacks the logs in {:.1} ms", zlib.as_secs_f64() * 1e3);
    for (cores, on_one_core) in [("one core", true), ("all cores", false)] {
        let taken = best(|| whole(&logs, on_one_core)).saturating_sub(best(|| whole(&empty, on_one_core)));
        let ratio = taken.as_secs_f64() / zlib.as_secs_f64();
        println!("| logs to served, {cores} | {} ms | {ratio:.2} |", taken.as_millis());
    }
}
