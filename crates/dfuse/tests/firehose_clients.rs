//! Clients of Firehose that others have written: one of Python by reflection, one that is made of the published schemas. `.ci/run`
//! installs them; without them the tests are skipped.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::Stdio,
};

use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::recorded;
use support::{Server, clients::python, text};
use tempfile::TempDir;

/// The recorded chain with forks.
const LOG: &str = "fork/fork.dmlog.zst";
/// The chain has so many blocks when a client comes.
const BEFORE: usize = 30;

/// Where the first blocks of a log end, and the id of the best block of all.
fn cut(log: &[u8]) -> (usize, String) {
    let mut reader = Reader::new(log);
    let mut best = None;
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(block) = event
            && best.as_ref().is_none_or(|(number, _)| block.number > *number)
        {
            best = Some((block.number, block.id));
        }
    }
    let mut at = 0;
    let ends = log.split_inclusive(|byte| *byte == b'\n').filter_map(|line| {
        at += line.len();
        line.starts_with(b"DMLOG ACCEPTED_BLOCK").then_some(at)
    });
    (ends.take(BEFORE).last().unwrap(), best.unwrap().1.to_string())
}

/// A client that follows the chain through its forks, resumes, and fetches.
fn follows(kind: &str) {
    let Some(mut client) = python("firehose.py") else { return };
    let Some(log) = recorded::bytes(LOG) else { return };
    let (begin, head) = cut(&log);
    let folder = TempDir::new().unwrap();
    let arguments = ["--source", "deep-mind:-", "--data-dir", text(folder.path()), "--grpc-listen", "127.0.0.1:0"];
    let mut server =
        Server::start_with(&[&arguments[..], &["--log-level", "warn,dfuse::start=info"]].concat(), Stdio::piped());
    let mut node = server.stdin();
    node.write_all(&log[..begin]).unwrap();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let schemas = ["dfuse-proto/proto", "dfuse-antelope/proto"].map(|folder| crates.join(folder).display().to_string());
    client
        .arg(kind)
        .env("DFUSE_GRPC", server.grpc_address())
        .env("DFUSE_HEAD", head)
        .env("DFUSE_PROTO", schemas.join(":"));
    let mut client = client.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    for line in BufReader::new(client.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line == "following" {
            node.write_all(&log[begin..]).unwrap();
        }
        said = line;
    }
    assert!(client.wait().unwrap().success() && said.starts_with(&format!("ok {kind}")), "{said}");
    server.stop();
}

#[test]
fn a_client_by_reflection_follows_through_forks() {
    follows("reflection");
}

#[test]
fn a_client_of_the_published_schemas_follows_through_forks() {
    follows("schemas");
}
