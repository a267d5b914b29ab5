//! Two machines of one name: one of them is refused, or both say so. One that would filter blocks otherwise than another is refused, too.

use std::{fs, process::Stdio};

use tempfile::TempDir;

use crate::support::{Server, forks::Forks, machines::Machine};

const PROBLEM: &str = "another machine that shares the block store has the name \"a\"";

#[test]
fn a_name_is_that_of_one_machine() {
    let Some(chain) = Forks::read() else { return };
    let log = &chain.log[..chain.pieces[0].0];
    let folder = TempDir::new().unwrap();
    let mut first = Machine::new(folder.path(), "a", "ingest", &[]);
    first.start(log);
    // Another data directory with the same store.
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let store = folder.path().join("store");
    let second = || Machine::new(&elsewhere, "a", "ingest", &[]).with("DFUSE_BLOCKS__STORE", store.to_str().unwrap());
    let refused = Server::spawn(second().command().stdin(Stdio::piped()));
    refused.fails(2, PROBLEM);
    // A process that was killed comes back to its name at once.
    first.kill();
    first.start(log);
    // One that has ended has given it back.
    let other = Machine::new(folder.path(), "b", "ingest", &[]).with("DFUSE_FILTER__EXCLUDE", "receiver == 'spam'");
    let refused = Server::spawn(other.command().stdin(Stdio::piped()));
    refused.fails(2, "the machine \"a\" takes blocks for the same store, and filters them by [], this one by ");
    first.stop();
    let mut second = second();
    second.start(log);
    // A copy of the data directory is the same machine twice, which only shows when both are at work.
    let copied = folder.path().join("copied");
    fs::create_dir_all(copied.join("a")).unwrap();
    fs::copy(second.data.join("machine.id"), copied.join("a/machine.id")).unwrap();
    fs::write(copied.join("a/cursor.key"), [7; 32]).unwrap();
    let mut copy = Machine::new(&copied, "a", "ingest", &[]).with("DFUSE_BLOCKS__STORE", store.to_str().unwrap());
    copy.start(log);
    second.server().wait_for(PROBLEM);
    second.server().wait_until("/healthz", |answer| {
        answer.json()["warnings"]["machine_name"].as_str().is_some_and(|it| it.starts_with(PROBLEM))
    });
    copy.stop();
    // It has the name alone again.
    second.server().wait_for("no other machine has the name of this one any more");
    second.server().wait_until("/healthz", |answer| {
        answer.status == 200 && answer.json()["warnings"].get("machine_name").is_none()
    });
    second.stop();
}
