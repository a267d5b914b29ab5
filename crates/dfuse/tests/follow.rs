//! Servers that follow each other over Firehose: B follows A, which has a node, and C follows B.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
};

use dfuse_testkit::Random;
use rcgen::generate_simple_self_signed;
use support::{
    Server, assert_sound,
    forks::{Forks, PIECES, answer},
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

/// A server that follows these endpoints, and tries soon whether a preferred one is back.
fn follower(folder: &Path, source: &str, variables: &[(&str, &str)]) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.args(["start", "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--source", source]);
    command.args(["--data-dir", text(folder)]).env("DFUSE_FIREHOSE__PREFER_AGAIN_SECONDS", "1");
    command.env("DFUSE_FIREHOSE__RETRY_PAUSE_SECONDS", "1").envs(variables.iter().copied());
    Server::spawn(&mut command)
}

#[test]
fn another_endpoint_takes_over_until_the_preferred_one_is_back() {
    let Some(chain) = Forks::read() else { return };
    let folder = TempDir::new().unwrap();
    let (mut first, mut second) =
        (Machine::new(folder.path(), "first", None), Machine::new(folder.path(), "second", None));
    // The cursors of one are not those of the other.
    fs::write(second.data.join("cursor.key"), [9; 32]).unwrap();
    // Inside a fork, after one, and at the end.
    let [one, two, three] = [5, 16, PIECES - 1].map(|piece| chain.pieces[piece].clone());
    first.start(&chain.log[..one.0]);
    second.start(&chain.log[..one.0]);
    let source = format!("firehose:{},{}", first.door.address(), second.door.address());
    let data = folder.path().join("follower");
    fs::create_dir(&data).unwrap();
    // Its answers have cursors, too.
    fs::write(data.join("cursor.key"), [7; 32]).unwrap();
    let mut follower = follower(&data, &source, &[]);
    let has = |head: &str| format!("/v0/blocks/{head}");
    follower.wait_until_it_has(&has(&one.1));
    first.kill();
    second.feed(&chain.log[one.0..two.0]);
    follower.wait_until_it_has(&has(&two.1));
    // Only the first one has the rest.
    first.start(&chain.log);
    follower.wait_until_it_has(&has(&three.1));
    follower.wait_for("which is preferred, is back");
    let mut random = Random::new(7);
    for _ in 0..100 {
        let path = chain.request(&mut random);
        assert_eq!(answer(&mut follower, &path), answer(first.server(), &path), "{path}");
    }
    follower.stop();
    assert_sound(&data);
}

#[test]
fn an_endpoint_with_a_certificate_of_its_own_is_followed() {
    let folder = TempDir::new().unwrap();
    let certified = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str, content: String| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let certificate = file("certificate.pem", certified.cert.pem());
    let key = file("key.pem", certified.signing_key.serialize_pem());
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.args(["start", "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--source", "demo"]);
    command.envs([("DFUSE_HTTP__TLS_CERTIFICATE", &certificate), ("DFUSE_HTTP__TLS_KEY", &key)]);
    let mut server = Server::spawn(&mut command);
    let address = server.grpc_address();
    let port =
        address.rsplit(':').find_map(|part| part.trim_matches(|it: char| !it.is_ascii_digit()).parse::<u16>().ok());
    let port = port.unwrap();
    server.wait_for("the rest of the recorded chain");
    let source = format!("firehoses:localhost:{port}");
    let trusting = [("DFUSE_FIREHOSE__CA_CERTIFICATES", certificate.as_str())];
    let mut good = follower(&folder.path().join("good"), &source, &trusting);
    good.wait_for("ready");
    assert_eq!(good.get("/v0/blocks?limit=1").status, 200);
    good.stop();
    // Whoever does not know the certificate, or speaks in plain text, gets nothing.
    let mut other = follower(&folder.path().join("other"), &source, &[]);
    other.wait_for("certificate");
    other.stop();
    let mut open = follower(&folder.path().join("open"), &format!("firehose:localhost:{port}"), &[]);
    open.wait_for("the Firehose endpoint localhost:");
    assert!(open.get("/healthz").json().to_string().contains("waiting for the first block"));
    open.stop();
    server.stop();
}

#[test]
fn blocks_that_lost_before_are_handed_over() {
    let Some(chain) = Forks::read() else { return };
    let folder = TempDir::new().unwrap();
    let mut a = Machine::new(folder.path(), "a", None);
    a.start(&chain.log);
    let lost = chain.lost();
    assert!(lost.len() > 20, "{}", lost.len());
    let has = |id: &String| format!("/v0/blocks/{id}");
    a.server().wait_until_it_has(&has(&chain.ids[0]));
    // One follows a server that has seen the forks, another one that has not.
    let mut b = Machine::new(folder.path(), "b", Some(&a.door));
    b.start(&[]);
    b.server().wait_until_it_has(&has(lost.last().unwrap()));
    let mut c = Machine::new(folder.path(), "c", Some(&b.door));
    c.start(&[]);
    c.server().wait_until_it_has(&has(lost.last().unwrap()));
    // Until the indexes have all that the feed has.
    for machine in [&mut a, &mut b, &mut c] {
        machine.server().wait_for("ready");
    }
    let ids: Vec<_> = chain.ids.iter().step_by(20).chain(lost.iter().step_by(3)).collect();
    for path in ids.into_iter().map(has) {
        let whole = |server: &mut Server| {
            let answer = server.get(&path);
            let mut json = answer.json();
            json.as_object_mut().unwrap().remove("trace_id");
            (answer.status, json)
        };
        let wanted = whole(a.server());
        assert_eq!(wanted.0, 200, "{path}");
        for machine in [&mut b, &mut c] {
            assert_eq!(whole(machine.server()), wanted, "{path}");
        }
    }
    for machine in [c, b] {
        machine.server.unwrap().0.stop();
        assert_sound(&machine.data);
    }
}
