//! `dfuse keys` and `dfuse maintenance`, with a running server and without one.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};
use support::{Server, text};
use tempfile::TempDir;

fn dfuse(data: &Path, arguments: &[&str]) -> Output {
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    dfuse.args(arguments).args(["--data-dir", text(data)]).output().unwrap()
}

/// What a command that succeeds says as JSON.
#[track_caller]
fn json_of(data: &Path, arguments: &[&str]) -> Value {
    let output = dfuse(data, &[arguments, &["--format", "json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn fails(data: &Path, arguments: &[&str], code: i32, message: &str) {
    let output = dfuse(data, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(code) && error.contains(message), "{:?} {error}", output.status);
}

/// Makes a key, uses all commands on it and revokes it.
#[track_caller]
fn life_of_a_key(data: &Path) -> Value {
    let options = ["--origin", "https://app.example.com", "--history", "3600", "--rate", "10/s", "--expires", "90d"];
    let created = json_of(data, &[&["keys", "create", "--kind", "web", "--name", "a page"][..], &options].concat());
    let (id, key) = (created["id"].as_str().unwrap().to_owned(), created["key"].as_str().unwrap().to_owned());
    assert!(id.len() == 64 && key.starts_with("web_"), "{created}");
    let listed = json_of(data, &["keys", "list"]);
    let listed = listed.as_array().unwrap().iter().find(|it| it["id"] == id.as_str()).unwrap().clone();
    assert_eq!(listed, json_of(data, &["keys", "show", &id[..10]]));
    assert_eq!((&listed["history"], &listed["rate"]), (&json!(3600), &json!("10/s")));
    assert_eq!(listed["origins"], json!(["https://app.example.com"]));
    assert!(listed["expires"].as_u64() > listed["created"].as_u64());
    // Told once.
    assert!(!listed.to_string().contains(&key["web_".len()..]) && listed.get("hash").is_none(), "{listed}");
    json_of(data, &["keys", "usage", &id]);
    json_of(data, &["keys", "usage", "--days", "7"]);
    let revoked = json_of(data, &["keys", "revoke", &id[..10]]);
    assert!(revoked["revoked"].is_u64(), "{revoked}");
    fails(data, &["keys", "show", "ffffffffffffffff"], 2, "there is no key with the id");
    fails(data, &["keys", "create", "--kind", "web", "--name", "a"], 2, "--origin");
    fails(data, &["keys", "create", "--kind", "server", "--name", "a", "--expires", "soon"], 2, "is not a time");
    fails(data, &["keys", "create", "--kind", "server", "--name", "a", "--rate", "fast"], 2, "is not a rate");
    created
}

/// Those who connect and never say what they want hold up nobody.
fn half_said(data: &Path, socket: &Path) {
    let mut waiting: Vec<_> = (0..64).map(|_| UnixStream::connect(socket).unwrap()).collect();
    for stream in &mut waiting {
        stream.write_all(b"{").unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    json_of(data, &["keys", "list"]);
    // Their time was not over before that.
    let is_open = |mut stream: &UnixStream| stream.read(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
    assert!(waiting.iter().all(is_open), "the command waited for others");
}

/// Whether any file below a folder contains the text.
fn stands_below(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return stands_below(&path, text);
        }
        let bytes = if path.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[test]
fn without_a_server_and_with_one() {
    let data = TempDir::new().unwrap();
    let first = life_of_a_key(data.path());
    // What there is only a server knows.
    json_of(data.path(), &["keys", "create", "--kind", "server", "--name", "b", "--tier", "gold"]);
    let mut server = Server::start(&["--source", "demo", "--data-dir", text(data.path())]);
    server.wait_for("ready");
    let second = life_of_a_key(data.path());
    fails(
        data.path(),
        &["keys", "create", "--kind", "server", "--name", "b", "--tier", "gold"],
        2,
        "there is no tier \"gold\"",
    );
    json_of(data.path(), &["keys", "rotate"]);
    let socket = data.path().join("control.sock");
    half_said(data.path(), &socket);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(data.path().join("access")).unwrap().permissions().mode() & 0o777, 0o700);
    // What is no command is answered, and harms nothing.
    for line in ["\n", "{}\n", "{\"command\":\"other\"}\n", "[[[[\n"] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(reply.contains("does not know this command"), "{reply}");
    }
    let listed = json_of(data.path(), &["keys", "list"]);
    let log = server.stop();
    assert!(!socket.exists());
    // What it was told outlives it.
    assert_eq!(json_of(data.path(), &["keys", "list"]), listed);
    assert_eq!(listed.as_array().unwrap().len(), 3);
    for created in [first, second] {
        let secret = &created["key"].as_str().unwrap()["web_".len()..];
        assert!(!stands_below(data.path(), secret), "the key is on the disk");
        assert!(!log.iter().any(|line| line.contains(secret)), "the key is in the log");
    }
}

#[test]
fn a_directory_that_is_not_there() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    fails(&data, &["keys", "list"], 2, "there is no data directory");
    assert!(!data.exists());
}

#[test]
fn people_read_it() {
    let data = TempDir::new().unwrap();
    let say = |arguments: &[&str]| String::from_utf8(dfuse(data.path(), arguments).stdout).unwrap();
    assert!(say(&["keys", "list"]).contains("There are no keys"));
    let created = say(&["keys", "create", "--kind", "server", "--name", "our server"]);
    assert!(created.contains("key       server_") && created.contains("not shown again"), "{created}");
    assert!(say(&["keys", "list"]).lines().nth(1).unwrap().ends_with("\tour server"));
    assert!(say(&["keys", "usage"]).contains("Nothing was used"));
    assert_eq!(say(&["maintenance", "on"]), "maintenance is on\n");
}
