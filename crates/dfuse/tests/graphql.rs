//! GraphQL as clients meet it that others have written: the audits of the specification, a Python client, and the editor in a
//! browser. `.ci/run` installs them; a test whose client is absent is skipped.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod support;

use support::{
    Server,
    clients::{browser_script, python, script, server, succeeds},
};

/// A filter of blocks, which searches are to tell of on every transport.
const EXCLUDE: &str = "receiver == 'alice'";

#[test]
fn the_audits_of_the_specification_pass() {
    let Some(mut audit) = script("audit.mjs", "graphql-http") else { return };
    let mut server = server();
    succeeds(&mut audit, &mut server);
    server.stop();
}

#[test]
fn a_browser_opens_the_editor() {
    let Some(mut editor) = browser_script("editor.mjs", "playwright-core") else { return };
    let mut server = server();
    succeeds(&mut editor, &mut server);
    server.stop();
}

#[test]
fn a_python_client_speaks_both_protocols() {
    let Some(mut client) = python("graphql_clients.py") else { return };
    let mut server = Server::start(&["--source", "demo", "--exclude", EXCLUDE]);
    server.wait_for("ready");
    succeeds(&mut client, &mut server);
    server.stop();
}

#[test]
fn a_client_finds_the_grpc_service_by_reflection() {
    let Some(mut client) = python("grpc_graphql.py") else { return };
    let mut server = Server::start(&["--source", "demo", "--exclude", EXCLUDE, "--grpc-listen", "127.0.0.1:0"]);
    let line = server.wait_for("gRPC at ");
    let (_, address) = line.split_once("gRPC at ").unwrap();
    server.wait_for("ready");
    succeeds(client.env("DFUSE_GRPC", address.trim()), &mut server);
    server.stop();
}
