//! Block files and everything else that dfuse keeps in object stores, in a real server of them, which is slow, fails and loses
//! connections. `DFUSE_TEST_S3` names the program; without it, nothing is tested here.
#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "tests that wait give up by the time of the machine")]

mod blocks;
mod machines;
mod servers;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod tools;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use dfuse_blocks::{BlockStore, StoreOptions};
use support::s3::S3;

/// A store as this process has it, through an address.
fn store(prefix: &str, address: &str) -> BlockStore {
    // As an environment gives them, in which others have variables, too.
    let others = [("ENDPOINT", "http://nowhere.example"), ("TIMEOUT", "none"), ("BUCKET", "other")];
    let others = others.map(|(name, value)| (name, value.to_owned()));
    let variables = S3::variables(address).into_iter().chain(others);
    let options = StoreOptions::with_variables(variables.map(|(name, value)| (name.into(), value.into())));
    BlockStore::open(&S3::place(prefix), options).unwrap()
}

/// The program, with what it must know of the object store at an address.
fn dfuse(address: &str) -> Command {
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    dfuse.envs(S3::variables(address));
    dfuse
}

/// A data directory whose cursors are the same as those of all others.
fn data_dir(folder: &Path, name: &str) -> PathBuf {
    let data = folder.join(name);
    fs::create_dir(&data).unwrap();
    fs::write(data.join("cursor.key"), [7; 32]).unwrap();
    data
}

/// What a command prints that ends well.
#[track_caller]
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a request lists names.
fn is_list(line: &str) -> bool {
    line.contains("list-type=2")
}
