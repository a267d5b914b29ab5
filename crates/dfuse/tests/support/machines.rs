//! Several machines over one block store, each a process of its own with a door that can be cut.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
};

use super::{Server, proxy::Proxy, text};

/// What signs tokens on all machines of a test.
pub(crate) const SIGNING_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrDdTcZyDnaxRuiXJzshPx1a0uVa266M792WvQoC6Lqqh\
     RANCAATVCBk/0NNCXZefVLAMUeoU4t0Q+2Y5+PUqrBhFtjvA31v0vnbGOrQA+ycllS0Oc5mcVvVjVqmre+4Smzfd86K0";
/// What machines show each other.
const SECRET: &str = "of machines";

/// What is in a block store.
const FOLDERS: [&str; 5] = ["abi-dumps", "access", "forked-blocks", "merged-blocks", "one-blocks"];

/// A machine that is killed and started again.
pub(crate) struct Machine {
    name: String,
    pub(crate) data: PathBuf,
    store: PathBuf,
    roles: &'static str,
    /// Where others and clients find its gRPC.
    pub(crate) door: Proxy,
    /// The doors of those with the role ingest.
    ingests: Vec<String>,
    /// Where one takes its blocks that has the role ingest: a node whose log is given to it, without another one.
    source: Option<String>,
    variables: Vec<(String, String)>,
    pub(crate) server: Option<(Server, Option<ChildStdin>)>,
}

impl Machine {
    /// One that has a node, if it is to have a log, and follows others if not.
    pub(crate) fn new(folder: &Path, name: &str, roles: &'static str, ingests: &[&Machine]) -> Self {
        let data = folder.join(name);
        fs::create_dir_all(&data).unwrap();
        Self {
            name: name.to_owned(),
            data,
            store: folder.join("store"),
            roles,
            door: Proxy::new(),
            ingests: ingests.iter().map(|machine| machine.door.address().to_owned()).collect(),
            source: None,
            variables: Vec::new(),
            server: None,
        }
    }

    /// With another setting.
    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.variables.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// One that takes its blocks from there, and not from a node.
    pub(crate) fn of(mut self, source: &str) -> Self {
        self.source = Some(source.to_owned());
        self
    }

    fn takes_blocks(&self) -> bool {
        self.roles.contains("ingest")
    }

    fn has_node(&self) -> bool {
        self.takes_blocks() && self.source.is_none()
    }

    /// The command that starts it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        let listen = ["--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"];
        command.args(["start", "--roles", self.roles, "--data-dir", text(&self.data)]).args(listen);
        command.args(["--log-level", "info,dfuse_grpc::call=warn,dfuse_http::frame=warn"]);
        if self.takes_blocks() {
            command.args(["--source", self.source.as_deref().unwrap_or("deep-mind:-")]);
        }
        let ingests: Vec<_> = self.ingests.iter().map(|address| format!("\"{address}\"")).collect();
        command
            .env("DFUSE_MACHINES__NAME", &self.name)
            .env("DFUSE_MACHINES__INGESTS", format!("[{}]", ingests.join(",")))
            .env("DFUSE_MACHINES__SECRET", SECRET)
            .env("DFUSE_BLOCKS__STORE", &self.store)
            .env("DFUSE_CURSOR_KEYS", format!("[\"{}\"]", "07".repeat(32)))
            .env("DFUSE_ACCESS__SIGNING_KEYS", format!("[\"{SIGNING_KEY}\"]"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it. A node begins again with the whole log.
    pub(crate) fn start(&mut self, log: &[u8]) {
        let stdin = if self.has_node() { Stdio::piped() } else { Stdio::null() };
        self.start_with(stdin);
        self.feed(log);
    }

    /// Starts one with that log of a node.
    pub(crate) fn start_with(&mut self, stdin: Stdio) {
        let mut server = Server::spawn(self.command().stdin(stdin));
        let node = server.stdin_if_piped();
        if self.takes_blocks() && !self.roles.contains("api") {
            server.health_address();
        }
        if self.roles != "index" {
            self.door.lead_to(&server.grpc_address());
        }
        self.server = Some((server, node));
    }

    /// Its node has logged more.
    pub(crate) fn feed(&mut self, log: &[u8]) {
        if let Some((_, Some(node))) = &mut self.server {
            node.write_all(log).unwrap();
        }
    }

    /// It stands still, and its connections stay, until [`Machine::wake`].
    pub(crate) fn hang(&mut self) {
        self.server().signal("STOP");
    }

    pub(crate) fn wake(&mut self) {
        self.server().signal("CONT");
    }

    /// One with a way of its own to the block store, which [`Machine::lose_store`] cuts.
    pub(crate) fn by_way(mut self) -> Self {
        let common = self.store.clone();
        self.store = common.with_file_name(format!("store-of-{}", self.name));
        fs::create_dir(&self.store).unwrap();
        for folder in FOLDERS {
            fs::create_dir_all(common.join(folder)).unwrap();
        }
        self.lead_to_store("../store/");
        self
    }

    /// Whatever it wants of the block store fails until [`Machine::find_store`].
    pub(crate) fn lose_store(&self) {
        // Links to themselves.
        self.lead_to_store("");
    }

    pub(crate) fn find_store(&self) {
        self.lead_to_store("../store/");
    }

    fn lead_to_store(&self, place: &str) {
        for folder in FOLDERS {
            let link = self.store.join(folder);
            // There is none at first.
            let _ = fs::remove_file(&link);
            symlink(format!("{place}{folder}"), link).unwrap();
        }
    }

    pub(crate) fn kill(&mut self) {
        self.door.close();
        let (server, _) = self.server.take().unwrap();
        server.signal("KILL");
    }

    /// Nobody can connect to it until [`Machine::join`].
    pub(crate) fn part(&mut self) {
        self.door.close();
    }

    pub(crate) fn join(&mut self) {
        let address = self.server().grpc_address();
        self.door.lead_to(&address);
    }

    pub(crate) fn server(&mut self) -> &mut Server {
        &mut self.server.as_mut().unwrap().0
    }

    /// Ends it, which must be clean. Returns its log.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Vec<String> {
        self.door.close();
        let (server, node) = self.server.take().unwrap();
        drop(node);
        server.stop()
    }
}
