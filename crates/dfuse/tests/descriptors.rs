//! More clients than there are file descriptors: blocks are taken, and whoever asks is answered.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{ChildStdin, Command, Stdio},
    thread,
};

use dfuse_testkit::synthetic::SyntheticChain;
use support::{Server, text};
use tempfile::TempDir;

/// More than the lower limits below.
const CLIENTS: usize = 600;

/// Starts it with limits of open files, soft and hard.
fn start(soft: u32, hard: u32, data: &TempDir) -> (Server, ChildStdin) {
    let mut command = Command::new("sh");
    let limits = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
    command.args(["-c", &limits, env!("CARGO_BIN_EXE_dfuse"), "start", "--listen", "127.0.0.1:0"]);
    command.args(["--source", "deep-mind:-", "--data-dir", text(data.path()), "--log-level", "info,dfuse_api=warn"]);
    // A client at work may take as long as the test does.
    command.env("DFUSE_HTTP__BODY_TIMEOUT_SECONDS", "600").env("DFUSE_HTTP__HEADER_TIMEOUT_SECONDS", "600");
    let mut server = Server::spawn(command.stdin(Stdio::piped()));
    let stdin = server.stdin();
    (server, stdin)
}

fn head(server: &mut Server) -> u64 {
    server.get("/healthz").json()["head"]["num"].as_u64().unwrap_or(0)
}

#[test]
fn idle_clients_stop_neither_blocks_nor_requests() {
    let mut log = vec![];
    SyntheticChain::builder().seed(7).blocks(400).build().write_log(&mut log).unwrap();
    for (soft, hard) in [(256, 256), (200, 300)] {
        let data = TempDir::new().unwrap();
        let (mut server, mut stdin) = start(soft, hard, &data);
        let warning = server.wait_for("open files at most");
        assert!(warning.contains(&format!("with {hard} open files at most")), "{warning}");
        let middle = log.len() / 2;
        stdin.write_all(&log[..middle]).unwrap();
        server.wait_for("ready");
        let before = head(&mut server);
        // Somebody is in the middle of a request.
        let mut at_work = TcpStream::connect(server.address()).unwrap();
        at_work
            .write_all(b"POST /v0/blocks HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 7\r\n\r\nlim")
            .unwrap();
        server.get("/v0/blocks?limit=1");
        let mut idle = Vec::new();
        for client in 0..CLIENTS {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            // Some have asked before, some are about to, most say nothing.
            match client % 4 {
                0 => stream.write_all(b"HEAD /healthz HTTP/1.1\r\nhost: a\r\n\r\n").unwrap(),
                1 => stream.write_all(b"GET /healthz HTTP/1.1\r\nho").unwrap(),
                _ => {}
            }
            idle.push(stream);
        }
        stdin.write_all(&log[middle..]).unwrap();
        drop(stdin);
        server.wait_for("the source has no more blocks");
        // New clients are answered, and see the blocks that came meanwhile.
        while head(&mut server) <= before || server.get("/healthz").status != 200 {
            thread::yield_now();
        }
        at_work.write_all(b"it=1").unwrap();
        let mut answer = String::new();
        at_work.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let health = server.get("/healthz").json();
        let most = health["connections"]["most"].as_u64().unwrap();
        assert!(most < u64::from(hard) && most > 100, "{health}");
        assert!(health["connections"]["open"].as_u64().unwrap() <= most, "{health}");
        assert_eq!(
            health["warnings"]["open_files"].as_str().map(|text| warning.contains(text)),
            Some(true),
            "{health}"
        );
        drop(idle);
        let log = server.stop();
        let complaints: Vec<_> = log.iter().filter(|line| line.contains("Too many open files")).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

#[test]
fn the_soft_limit_is_raised() {
    let data = TempDir::new().unwrap();
    let (mut server, _stdin) = start(128, 1500, &data);
    let started = server.wait_for("dfuse starts");
    assert!(started.contains("open_files=1500"), "{started}");
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 1);
        clients.push(stream);
    }
    // Nobody had to leave.
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(metrics.contains("\ndfuse_idle_connections_closed_total 0\n"), "{metrics}");
    server.stop();
}
