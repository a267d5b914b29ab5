//! The official JavaScript client, unmodified, against the demo: every call of it, what its published examples do, and what
//! the original explorer asks for and reads. Its packages come with `npm ci --prefix crates/dfuse/tests/javascript`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use dfuse_testkit::recorded;
use serde_json::Value;
use support::{Server, text};
use tempfile::TempDir;

/// The folder of the scripts, if their packages are there; says what is skipped if not.
fn scripts() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/javascript");
    if !folder.join("node_modules/typescript").is_dir() {
        println!("skipped: no packages in crates/dfuse/tests/javascript; install them with npm ci");
        return None;
    }
    Some(folder)
}

#[track_caller]
fn succeeds(node: &mut Command) {
    let output = node.output().expect("node is installed");
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{errors}");
}

#[test]
fn the_official_client_is_served() {
    let Some(folder) = scripts() else { return };
    let mut server = Server::start(&["--source", "demo"]);
    server.wait_for("ready");
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=spec", "."]).current_dir(folder).env("DFUSE_SERVER", server.address());
    node.env("DFUSE_PROGRAM", env!("CARGO_BIN_EXE_dfuse"));
    succeeds(&mut node);
    server.stop();
}

/// Issues, caches and refreshes tokens for a real key, in every mode of access.
#[test]
fn the_official_client_is_let_in_with_a_key() {
    let Some(folder) = scripts() else { return };
    for mode in ["open", "optional", "required"] {
        let data = TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        command.args(["start", "--listen", "127.0.0.1:0", "--source", "demo", "--data-dir", text(data.path())]);
        let mut server = Server::spawn(command.env("DFUSE_ACCESS__MODE", mode).stdin(Stdio::null()));
        server.wait_for("ready");
        let mut keys = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        keys.args([
            "keys",
            "create",
            "--kind",
            "server",
            "--name",
            "a",
            "--format",
            "json",
            "--data-dir",
            text(data.path()),
        ]);
        let created: Value = serde_json::from_slice(&keys.output().unwrap().stdout).unwrap();
        let mut node = Command::new("node");
        node.arg("access.mjs").current_dir(&folder).env("DFUSE_SERVER", server.address()).env("DFUSE_MODE", mode);
        succeeds(node.env("DFUSE_KEY", created["key"].as_str().unwrap()));
        server.stop();
    }
}

/// Every answer about whole chains has what the client's types promise, but for what the script names, with a reason.
#[test]
fn answers_are_as_the_official_client_declares_them() {
    let Some(folder) = scripts() else { return };
    let logs = TempDir::new().unwrap();
    let mut servers = Vec::new();
    for chain in ["small", "fork", "demo"] {
        let Some(log) = recorded::bytes(&format!("{chain}/{chain}.dmlog.zst")) else { return };
        let (path, data) = (logs.path().join(chain), logs.path().join(format!("{chain}-data")));
        fs::write(&path, log).unwrap();
        let source = format!("deep-mind:{}", text(&path));
        servers.push(Server::start(&["--source", &source, "--data-dir", text(&data)]));
    }
    let mut node = Command::new("node");
    node.arg("answers.mjs").current_dir(folder);
    for server in &mut servers {
        server.wait_for("the source has no more blocks");
        server.wait_for("ready");
        node.arg(server.address());
    }
    succeeds(&mut node);
    servers.into_iter().for_each(|server| drop(server.stop()));
}
