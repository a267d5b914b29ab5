//! A local chain of real nodes, supervised by dfuse as `dfuse init` configures it.
//!
//! Transactions are signed with the npm package `@wharfkit/antelope`, which `.ci/run` installs.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket, stream::MaybeTlsStream};

use super::{PATIENCE, Server, deadline, nodes::Package, text};

/// A configured chain, in a directory of its own.
pub(crate) struct Chain {
    folder: TempDir,
    contracts: PathBuf,
}

/// A transaction that was pushed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Pushed {
    pub(crate) id: String,
    pub(crate) block: u32,
}

/// Folder of the npm packages that tests use.
fn javascript() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/javascript")
}

impl Chain {
    /// Configures a chain, if the packages are there; says what is skipped if not.
    pub(crate) fn new() -> Option<Self> {
        let package = Package::find()?;
        if !javascript().join("node_modules/@wharfkit").is_dir() {
            println!("skipped: no packages in crates/dfuse/tests/javascript; install them with npm ci");
            return None;
        }
        let folder = TempDir::new().unwrap();
        let port = free_ports();
        let environment = package.environment().map(|(name, path)| format!("{name}={}", path.display()));
        let mut init = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        init.args(["init", text(folder.path()), "--chain", "local", "--nodeos-argument", "nodeos", "--nodeos"]);
        init.arg(package.program()).args(["--first-port", &port.to_string()]);
        init.args(environment.iter().flat_map(|variable| ["--nodeos-environment", variable]));
        let output = init.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(Self { folder, contracts: package.contracts() })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts dfuse, with variables that are settings.
    pub(crate) fn start(&self, variables: &[(&str, &str)]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        command.args(["start", "--listen", "127.0.0.1:0", "--config", text(&self.path("dfuse.toml"))]);
        command.envs(variables.iter().copied());
        Server::spawn(command.stdin(Stdio::null()))
    }

    /// Makes accounts and a token, of which alice has some.
    pub(crate) fn boot(&self, server: &mut Server) -> Vec<Pushed> {
        push(server, &["boot", text(&self.contracts)])
    }

    /// The id of a node's process.
    pub(crate) fn process(&self, node: &str) -> String {
        fs::read_to_string(self.path(&format!("nodes/{node}/data/dfuse.pid"))).unwrap()
    }

    /// Sends a signal to a node.
    pub(crate) fn signal(&self, node: &str, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), self.process(node).trim()]).status().unwrap();
        assert!(sent.success());
    }
}

/// Pushes a transfer from alice to bob through the server.
pub(crate) fn transfer(server: &mut Server, quantity: &str) -> Pushed {
    push(server, &["transfer", "alice", "bob", quantity, quantity]).remove(0)
}

fn push(server: &mut Server, command: &[&str]) -> Vec<Pushed> {
    let mut node = Command::new("node");
    node.arg("chain.mjs").arg(format!("http://{}", server.address())).args(command).current_dir(javascript());
    let output = node.output().expect("node is installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The first of four ports that are free, one after the other.
fn free_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if first < u16::MAX - 4 && (first..first + 4).all(is_free) {
            return first;
        }
    }
}

/// A connection over WebSocket.
pub(crate) struct Stream(WebSocket<MaybeTlsStream<TcpStream>>);

impl Stream {
    /// Connects and asks for something.
    pub(crate) fn open(server: &mut Server, request: &Value) -> Self {
        let (mut socket, _) = tungstenite::connect(format!("ws://{}/v1/stream", server.address())).unwrap();
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        socket.send(Message::text(request.to_string())).unwrap();
        Self(socket)
    }

    /// Transfers of the token, as they come into blocks.
    pub(crate) fn transfers(server: &mut Server) -> Self {
        let data = json!({"accounts": "eosio.token", "action_names": "transfer"});
        let mut stream =
            Self::open(server, &json!({"type": "get_action_traces", "req_id": "1", "listen": true, "data": data}));
        stream.next(|message| message["type"] == "listening");
        stream
    }

    /// The next message for which something holds.
    pub(crate) fn next(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = deadline();
        loop {
            // Pings keep coming.
            assert!(Instant::now() < until, "waited in vain for a message");
            let message = self.0.read().unwrap();
            let Message::Text(text) = message else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            assert_ne!(message["type"], "error", "{message}");
            if wanted(&message) {
                return message;
            }
        }
    }

    /// Waits for a transaction; tells the block that it came in.
    pub(crate) fn block_of(&mut self, pushed: &Pushed) -> u64 {
        let message = self.next(|message| message["data"]["trx_id"] == pushed.id.as_str());
        message["data"]["block_num"].as_u64().unwrap()
    }
}
