//! The pages in a real browser: every page of the demo, light and dark, and the ways of a new user. With `DFUSE_SCREENSHOTS`,
//! pictures are put into that folder.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use dfuse_testkit::recorded;
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

/// The first blocks of the recorded chain with many transactions; none without the recording.
fn busy(folder: &Path) -> Option<PathBuf> {
    let lines = recorded::lines("busy/busy.dmlog.zst")?.take_while(|line| line != b"DMLOG START_BLOCK 140");
    let log: Vec<u8> = lines.flat_map(|line| [line, b"\n".to_vec()].concat()).collect();
    let path = folder.join("busy.dmlog");
    fs::write(&path, log).unwrap();
    Some(path)
}

#[test]
fn a_browser_walks_pages_of_a_busy_chain() {
    let Some(mut walk) = browser_script("busy.mjs", "axe-core") else { return };
    let folder = TempDir::new().unwrap();
    let Some(log) = busy(folder.path()) else { return };
    let mut server = Server::start(&["--source", &format!("deep-mind:{}", text(&log))]);
    server.wait_for("ready");
    succeeds(&mut walk, &mut server);
    server.stop();
}

/// A new key of a data directory, whether its server runs or not.
fn key(kind: &str, further: &[&str], data: &Path) -> String {
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    dfuse.args(["keys", "create", "--kind", kind, "--name", "pages", "--format", "json", "--data-dir", text(data)]);
    dfuse.args(further);
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
    succeeds(browser.env("DFUSE_KEY", key("server", &[], &data)), &mut server);
    server.stop();
}

/// A server that wants keys, whose pages act with that one.
fn server_of_pages_with(key: &str, data: &Path) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.args(["start", "--listen", "127.0.0.1:0", "--source", "demo", "--data-dir", text(data)]);
    command.envs([("DFUSE_ACCESS__MODE", "required"), ("DFUSE_WEB__API_KEY", key)]);
    Server::spawn(command.stdin(Stdio::null()))
}

#[test]
fn pages_act_with_a_web_key() {
    let Some(mut browser) = browser_script("web_key.mjs", "playwright-core") else { return };
    let data = TempDir::new().unwrap();
    let key = key("web", &["--origin", "*"], data.path());
    let mut server = server_of_pages_with(&key, data.path());
    server.wait_for("ready");
    succeeds(&mut browser, &mut server);
    assert!(!server.stop().iter().any(|line| line.contains(&key)), "the log has the key");
}

#[test]
fn a_key_that_is_a_secret_is_not_given_to_browsers() {
    let data = TempDir::new().unwrap();
    let key = key("server", &[], data.path());
    let mut server = server_of_pages_with(&key, data.path());
    server.wait_for("web.api_key: it is a server key");
    server.wait_for("ready");
    let answer = server.get("/block/100");
    assert_eq!(answer.status, 401);
    assert!(!answer.headers.to_lowercase().contains("set-cookie"), "{}", answer.headers);
    let health = server.get("/healthz").json();
    assert!(health["warnings"]["web_api_key"].as_str().unwrap().contains("server key"), "{health}");
    server.stop();
}

#[test]
fn what_is_stored_and_the_source_are_counted() {
    let mut server = server();
    let text = loop {
        let text = String::from_utf8(server.get("/metrics").body).unwrap();
        if text.contains("dfuse_index_journal_bytes ") {
            break text;
        }
    };
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    assert!(value("dfuse_index_journal_bytes ") + value("dfuse_index_store_bytes{") > 0.0);
    assert!(value("dfuse_data_dir_free_bytes ") > 0.0);
    assert_eq!(value("dfuse_source_up{source=\"demo\"}"), 1.0);
    assert!(text.contains("dfuse_index_store_bytes{family=\"row-current\"}"));
    server.stop();
}
