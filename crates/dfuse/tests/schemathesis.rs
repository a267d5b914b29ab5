//! schemathesis asks whatever `/openapi.json` allows, and what it does not, and compares the answers with it. `.ci/run` installs
//! it; `DFUSE_TEST_SCHEMATHESIS` names the program.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod support;

use std::{env, fs, path::Path, process::Command};

use dfuse_testkit::recorded;
use support::{Server, text};
use tempfile::TempDir;

/// What must hold of every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

#[test]
fn answers_are_as_the_description_says() {
    let program = env::var("DFUSE_TEST_SCHEMATHESIS").ok().filter(|program| Path::new(program).is_file());
    let Some(program) = program else {
        println!("skipped: no schemathesis; DFUSE_TEST_SCHEMATHESIS names the program");
        return;
    };
    let Some(log) = recorded::bytes("small/small.dmlog.zst") else { return };
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, log).unwrap();
    let source = format!("deep-mind:{}", text(&path));
    let mut server = Server::start(&["--source", &source, "--data-dir", text(&folder.path().join("data"))]);
    server.wait_for("the source has no more blocks");
    server.wait_for("ready");

    let values = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemathesis.toml");
    let address = format!("http://{}/openapi.json", server.address());
    let ask = |with_values: &[&str], phases: &[&str]| {
        let mut schemathesis = Command::new(&program);
        schemathesis.args(with_values).arg("run").arg(&address).args(phases);
        schemathesis.args(["--checks", CHECKS, "--max-examples", "8", "--seed", "1", "--no-shrink", "--no-color"]);
        // A WebSocket, and what nodes answer.
        schemathesis.args(["--exclude-path", "/v1/stream", "--exclude-path-regex", "^/v1/chain"]);
        schemathesis.args(["--generation-database", "none", "--suppress-health-check", "all"]);
        let output = schemathesis.current_dir(folder.path()).output().unwrap();
        let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{out}\n{errors}");
        assert!(out.contains(" passed"), "{out}");
    };
    // Right and wrong values of all kinds, most of which name nothing, and then such that name something.
    ask(&[], &["--phases", "coverage,fuzzing"]);
    ask(&["--config-file", values], &["--phases", "fuzzing", "--mode", "positive"]);
    server.stop();
}
