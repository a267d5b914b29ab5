//! Servers that follow each other over Firehose: B follows A, which has a node, and C follows B.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{ChildStdin, Stdio},
};

use dfuse_testkit::Random;
use support::{
    Server, assert_sound,
    forks::{Forks, answer},
    proxy::Proxy,
    text,
};
use tempfile::TempDir;

/// Requests that all servers answer alike.
const REQUESTS: usize = 1000;

/// A server that is killed and started again.
struct Machine {
    data: PathBuf,
    /// Where others find it.
    door: Proxy,
    /// What it follows; a node without it.
    source: Option<String>,
    server: Option<(Server, Option<ChildStdin>)>,
}

impl Machine {
    fn new(folder: &Path, name: &str, source: Option<&Proxy>) -> Self {
        let data = folder.join(name);
        fs::create_dir(&data).unwrap();
        // Cursors of one are read by the others.
        fs::write(data.join("cursor.key"), [7; 32]).unwrap();
        let source = source.map(|door| format!("firehose:{}", door.address()));
        Self { data, door: Proxy::new(), source, server: None }
    }

    /// Starts it. A node begins again with the whole log.
    fn start(&mut self, log: &[u8]) {
        let source = self.source.as_deref().unwrap_or("deep-mind:-");
        let arguments =
            ["--source", source, "--data-dir", text(&self.data), "--log-level", "info,dfuse_grpc::call=warn"];
        let stdin = if self.source.is_none() { Stdio::piped() } else { Stdio::null() };
        let mut server = Server::start_with(&[&arguments[..], &["--grpc-listen", "127.0.0.1:0"]].concat(), stdin);
        let node = self.source.is_none().then(|| server.stdin());
        self.door.lead_to(&server.grpc_address());
        self.server = Some((server, node));
        self.feed(log);
    }

    fn feed(&mut self, log: &[u8]) {
        if let Some((_, Some(node))) = &mut self.server {
            node.write_all(log).unwrap();
        }
    }

    fn kill(&mut self) {
        self.door.close();
        let (server, _) = self.server.take().unwrap();
        server.signal("KILL");
    }

    fn server(&mut self) -> &mut Server {
        &mut self.server.as_mut().unwrap().0
    }
}

#[test]
fn servers_that_follow_each_other_answer_alike() {
    let Some(chain) = Forks::read() else { return };
    let folder = TempDir::new().unwrap();
    let a = Machine::new(folder.path(), "a", None);
    let b = Machine::new(folder.path(), "b", Some(&a.door));
    let c = Machine::new(folder.path(), "c", Some(&b.door));
    let mut machines = [a, b, c];
    for machine in &mut machines {
        machine.start(&[]);
    }
    let mut random = Random::new(5);
    let mut fed = 0;
    for (piece, (end, head)) in chain.pieces.iter().enumerate() {
        match random.below(7) {
            killed @ 0..3 => {
                let killed = killed as usize;
                machines[killed].kill();
                machines[killed].start(&chain.log[..fed]);
            }
            cut @ 3..5 => machines[cut as usize - 3].door.cut(),
            cut @ 5..7 => machines[cut as usize - 5].door.cut_after(random.below(20_000)),
            _ => unreachable!(),
        }
        machines[0].feed(&chain.log[fed..*end]);
        fed = *end;
        let has_head = format!("/v0/blocks/{head}");
        machines[0].server().wait_until_it_has(&has_head);
        if piece % 4 == 3 {
            machines[2].server().wait_until_it_has(&has_head);
        }
    }
    machines[0].feed(&chain.log[fed..]);
    let has_all = format!("/v0/blocks/{}", chain.ids[0]);
    for machine in &mut machines {
        machine.server().wait_until_it_has(&has_all);
    }
    let mut good = 0;
    for _ in 0..REQUESTS {
        let path = chain.request(&mut random);
        let wanted = answer(machines[0].server(), &path);
        good += usize::from(wanted.0 == 200);
        for machine in &mut machines[1..] {
            assert_eq!(answer(machine.server(), &path), wanted, "{path}");
        }
    }
    assert!(good > REQUESTS * 8 / 10, "{good}");
    for machine in machines {
        let Machine { data, server, .. } = machine;
        let (server, node) = server.unwrap();
        drop(node);
        server.stop();
        assert_sound(&data);
    }
}

#[test]
fn what_is_wrong_with_endpoints_is_told() {
    let folder = TempDir::new().unwrap();
    let start = |source: &str, more: &[&str]| {
        let data = folder.path().join("data");
        Server::start(
            &[&["--source", source, "--data-dir", text(&data), "--grpc-listen", "127.0.0.1:0"], more].concat(),
        )
    };
    start("firehose:host", &[]).fails(2, "\"host\" is not a Firehose endpoint: the port is missing");
    let mut a = Server::start(&["--source", "demo", "--grpc-listen", "127.0.0.1:0"]);
    a.wait_for("the rest of the recorded chain");
    let source = format!("firehose:{}", a.grpc_address());
    let other = "00".repeat(32);
    start(&source, &["--chain-id", &other]).fails(1, &format!("not {other}"));
    let mut none = start("firehose:127.0.0.1:1", &[]);
    none.wait_for("127.0.0.1:1: transport error");
    let health = none.get("/healthz").json().to_string();
    assert!(health.contains("source_connection") && health.contains("waiting for the first block"), "{health}");
    none.stop();
}
