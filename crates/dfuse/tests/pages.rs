//! The pages in a real browser: every page of the demo, light and dark, and the ways of a new user. With `DFUSE_SCREENSHOTS`,
//! pictures are put into that folder.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod support;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use support::{
    Server,
    clients::{browser_script, server, succeeds},
    text,
};
use tempfile::TempDir;

#[test]
fn a_browser_walks_all_pages() {
    let Some(mut walk) = browser_script("pages.mjs", "axe-core") else { return };
    let mut server = server();
    succeeds(&mut walk, &mut server);
    server.stop();
}

/// A new key of a running server.
fn key(data: &Path) -> String {
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    dfuse.args(["keys", "create", "--kind", "server", "--name", "pages", "--format", "json", "--data-dir", text(data)]);
    let created: Value = serde_json::from_slice(&dfuse.output().unwrap().stdout).unwrap();
    created["key"].as_str().unwrap().to_owned()
}

#[test]
fn a_browser_gives_the_key_that_pages_ask_for() {
    let Some(mut browser) = browser_script("page_key.mjs", "playwright-core") else { return };
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.args(["start", "--listen", "127.0.0.1:0", "--source", "demo", "--data-dir", text(&data)]);
    let mut server = Server::spawn(command.env("DFUSE_ACCESS__MODE", "required").stdin(Stdio::null()));
    server.wait_for("ready");
    succeeds(browser.env("DFUSE_KEY", key(&data)), &mut server);
    server.stop();
}
