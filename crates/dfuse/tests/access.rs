//! Access of a whole process: modes, keys that come and go while it runs, usage, maintenance.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use support::{Server, issue, text};
use tempfile::TempDir;

fn dfuse(data: &Path, arguments: &[&str]) -> Value {
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    let output = dfuse.args(arguments).args(["--format", "json", "--data-dir", text(data)]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn maintenance(data: &Path, state: &str) {
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    assert!(dfuse.args(["maintenance", state, "--data-dir", text(data)]).status().unwrap().success());
}

/// Version and status of the answer to a request for a WebSocket connection, and the length of its body.
fn upgrade(server: &mut Server, target: &str) -> (String, usize) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    )
    .unwrap();
    let mut head = String::new();
    let mut reader = BufReader::new(stream);
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    (head[..12].to_owned(), length.map_or(0, |length| length.parse().unwrap()))
}

#[test]
fn a_public_address_wants_a_mode() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.args(["start", "--listen", "0.0.0.0:0", "--source", "demo"]).stdin(Stdio::null());
    Server::spawn(&mut command).fails(2, "DFUSE_ACCESS__MODE");
    let mut server = Server::spawn(command.env("DFUSE_ACCESS__MODE", "open"));
    server.wait_for("ready");
    server.stop();
}

#[test]
fn settings_that_cannot_be() {
    for (name, value, message) in [
        ("DFUSE_ACCESS__MODE", "closed", "access.mode"),
        ("DFUSE_ACCESS__SECRET", "a", "access.secret has no effect"),
        ("DFUSE_ACCESS__ISSUE_RATE", "fast", "is not a rate"),
        ("DFUSE_ACCESS__ANONYMOUS_TIER", "gold", "there is no tier"),
        ("DFUSE_ACCESS__ISSUERS", "[{name=\"a\",keys=\"/nowhere/keys.json\"}]", "cannot read /nowhere/keys.json"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        command.args(["start", "--listen", "127.0.0.1:0", "--source", "demo"]).env(name, value);
        let mut server = Server::spawn(command.stdin(Stdio::null()));
        assert_ne!(server.wait().code(), Some(0), "{name}");
        assert!(server.log.iter().any(|line| line.contains(message)), "{message:?}: {:#?}", server.log);
        assert!(server.log.iter().filter(|line| line.contains("ERROR")).count() == 1, "{:#?}", server.log);
    }
}

#[test]
fn keys_come_and_go_while_it_runs() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let config = folder.path().join("dfuse.toml");
    let settings = "source = \"demo\"\ndata_dir = \"data\"\n[access]\nmode = \"required\"\n\
         [[access.tiers]]\nname = \"free-v1\"\nroutes = [\"list\"]\nrate = \"1000/h\"\n";
    fs::write(&config, settings).unwrap();
    // Of what is logged at any level, nothing is secret.
    let start = || Server::start(&["--config", text(&config), "--log-level", "trace"]);
    let mut server = start();
    server.wait_for("ready");
    assert_eq!(server.get("/v0/blocks?limit=1").status, 401);
    assert_eq!(server.get("/healthz").status, 200);
    let created = dfuse(&data, &["keys", "create", "--kind", "server", "--name", "a", "--tier", "free-v1"]);
    let (key, id) = (created["key"].as_str().unwrap(), created["id"].as_str().unwrap());
    let (status, issued) = issue(&mut server, key);
    assert_eq!(status, 200, "{issued}");
    let token = issued["token"].as_str().unwrap();
    let rows = format!("/v0/state/table_scopes?account=eosio.token&table=accounts&token={token}");
    let answer = server.get(&rows);
    assert!(answer.status == 200 && answer.headers.contains("x-ratelimit-limit: 1000"), "{}", answer.headers);
    let refused = server.get(&format!("/v0/blocks?limit=1&token={token}"));
    assert_eq!(refused.json()["code"], "auth_invalid_tier_error");
    let mut egress_bytes = answer.body.len() + refused.body.len();
    // Connections of browsers have the token in their query: its tier has none.
    for path in ["/v1/stream", "/graphql"] {
        let (status, length) = upgrade(&mut server, &format!("{path}?token={token}"));
        egress_bytes += length;
        assert!(["HTTP/1.1 403", "HTTP/1.1 101"].contains(&&*status), "{path}: {status}");
    }
    // The log says whose key it was.
    server.wait_for(&format!("key={}", &id[..12]));

    maintenance(&data, "on");
    assert_eq!(server.get(&rows).json()["code"], "service_maintenance_error");
    let log = server.stop();
    assert!(!log.iter().any(|line| line.contains(token)), "the token is in the log");
    assert!(!log.iter().any(|line| line.contains(&key["server_".len()..])), "the key is in the log");
    let used = dfuse(&data, &["keys", "usage", id]);
    assert_eq!((&used[0]["requests"], &used[0]["documents"], &used[0]["subject"]), (&json!(1), &json!(1), &json!(id)));
    assert_eq!(used[0]["egress_bytes"], egress_bytes);

    // What it was told before outlives it, and so does the token.
    let mut server = start();
    server.wait_for("the server is under maintenance");
    server.wait_for("ready");
    assert_eq!(server.get(&rows).status, 503);
    maintenance(&data, "off");
    assert_eq!(server.get(&rows).status, 200);
    dfuse(&data, &["keys", "revoke", id]);
    assert_eq!(server.get(&rows).json()["code"], "auth_api_key_revoked_error");
    assert_eq!(issue(&mut server, key).1["code"], "auth_invalid_api_key_error");
    server.stop();
}

#[test]
fn usage_outlives_a_kill() {
    let data = TempDir::new().unwrap();
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        command.args(["start", "--listen", "127.0.0.1:0", "--source", "demo", "--data-dir", text(data.path())]);
        let mut server = Server::spawn(command.env("DFUSE_ACCESS__MODE", "required").stdin(Stdio::null()));
        server.wait_for("ready");
        server
    };
    let mut server = start();
    let created = dfuse(data.path(), &["keys", "create", "--kind", "server", "--name", "a"]);
    let (key, id) = (created["key"].as_str().unwrap(), created["id"].as_str().unwrap());
    let token = issue(&mut server, key).1["token"].as_str().unwrap().to_owned();
    let mut asked = 0;
    for _ in 0..3 {
        for _ in 0..7 {
            assert_eq!(server.get(&format!("/v0/blocks?limit=1&token={token}")).status, 200);
            asked += 1;
        }
        // Nobody asks for the usage: the server writes it by itself.
        let is_written = |server: &mut Server| {
            let metrics = String::from_utf8(server.get(&format!("/metrics?token={token}")).body).unwrap();
            metrics.lines().any(|line| line == "dfuse_usage_unwritten_requests 0")
        };
        while !is_written(&mut server) {}
        server.signal("KILL");
        server.wait();
        let used = dfuse(data.path(), &["keys", "usage", id]);
        let requests: u64 = used.as_array().unwrap().iter().map(|row| row["requests"].as_u64().unwrap()).sum();
        assert_eq!(requests, asked, "{used}");
        server = start();
    }
    server.stop();
}

#[test]
fn tokens_of_another_issuer() {
    // The public keys of one server, in a file of another one.
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let start = |data: &TempDir, settings: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        command.args(["start", "--listen", "127.0.0.1:0", "--source", "demo", "--data-dir", text(data.path())]);
        let mut server = Server::spawn(command.envs(settings.iter().copied()).stdin(Stdio::null()));
        server.wait_for("ready");
        server
    };
    let mut issuer = start(&theirs, &[("DFUSE_ACCESS__ISSUER", "theirs")]);
    let key = dfuse(theirs.path(), &["keys", "create", "--kind", "server", "--name", "a"])["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let token = issue(&mut issuer, &key).1["token"].as_str().unwrap().to_owned();
    let keys = format!("http://{}/.well-known/jwks.json", issuer.address());
    let issuers = format!("[{{name=\"theirs\",keys=\"{keys}\"}}]");
    let mut server = start(&ours, &[("DFUSE_ACCESS__MODE", "required"), ("DFUSE_ACCESS__ISSUERS", &issuers)]);
    server.wait_for("tokens of the issuer count");
    assert_eq!(server.get(&format!("/v0/blocks?limit=1&token={token}")).status, 200);
    assert_eq!(server.get("/v0/blocks?limit=1").status, 401);
    server.stop();
    issuer.stop();
}
