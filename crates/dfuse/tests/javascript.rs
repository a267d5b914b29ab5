//! The official JavaScript client, unmodified, against the demo. Its packages come with
//! `npm ci --prefix crates/dfuse/tests/javascript`.
#![allow(clippy::unwrap_used)]

mod support;

use std::{path::Path, process::Command};

use support::Server;

#[test]
fn the_official_client_is_served() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/javascript");
    if !folder.join("node_modules").is_dir() {
        println!("skipped: no packages in crates/dfuse/tests/javascript; install them with npm ci");
        return;
    }
    let mut server = Server::start(&["--source", "demo"]);
    server.wait_for("ready");
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=spec", "."]).current_dir(folder).env("DFUSE_SERVER", server.address());
    let output = node.output().expect("node is installed");
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{errors}\n{:#?}", server.log);
    server.stop();
}
