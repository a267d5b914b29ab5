//! A log that nobody reads holds up neither requests nor blocks nor the end of the process. The log of a healthy server is quiet.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use dfuse_testkit::synthetic::SyntheticChain;
use support::{Server, chain::Stream, text};
use tempfile::TempDir;

/// What a pipe takes while nobody reads from it.
const PIPE_BYTES: usize = 64 << 10;
/// Lines of more than 600 bytes each: twice what waits to be written at most.
const REQUESTS: usize = 3000;

/// A pipe into which no byte goes any more.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(&vec![b'\n'; PIPE_BYTES]).unwrap();
    (reader, writer)
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.arg("start").args(arguments);
    command
}

/// A log file of a chain, as the argument of `--source`.
fn source(folder: &Path) -> String {
    let mut log = vec![];
    SyntheticChain::builder().seed(1).blocks(120).build().write_log(&mut log).unwrap();
    let file = folder.join("log");
    fs::write(&file, log).unwrap();
    format!("deep-mind:{}", text(&file))
}

/// What has a line in the log for each request.
const ALL_REQUESTS: [&str; 2] = ["--log-level", "info,dfuse_api::request=debug"];

/// Sends requests over one connection, each with a long line in the log, and reads the head of every answer.
fn ask(stream: &mut TcpStream, requests: usize) {
    let target = format!("/nowhere?{}", "x".repeat(500));
    let request = format!("HEAD {target} HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    for _ in 0..requests {
        stream.write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        assert!(answers.read_line(&mut line).unwrap() > 0 && line.starts_with("HTTP/1.1 404 "), "{line}");
        while line != "\r\n" {
            line.clear();
            assert!(answers.read_line(&mut line).unwrap() > 0);
        }
    }
}

fn lost_lines(server: &mut Server) -> u64 {
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    let lost = metrics.lines().find_map(|line| line.strip_prefix("dfuse_log_lines_lost_total "));
    lost.unwrap_or("0").parse().unwrap()
}

#[test]
fn requests_are_answered_and_what_was_lost_is_told() {
    for format in ["text", "json"] {
        let folder = TempDir::new().unwrap();
        let (mut reader, writer) = full_pipe();
        let (address, source) = (free_address(), source(folder.path()));
        let data = folder.path().join("data");
        let arguments = [
            "--listen",
            &address,
            "--grpc-listen",
            "127.0.0.1:0",
            "--source",
            &source,
            "--data-dir",
            text(&data),
            "--log-format",
            format,
        ];
        let mut server = Server::unread(command(&arguments).args(ALL_REQUESTS), writer, address.clone());
        let mut stream = server.connect();
        ask(&mut stream, REQUESTS);
        // Blocks were taken all the while.
        while server.get("/healthz").status != 200 {
            thread::yield_now();
        }
        while lost_lines(&mut server) == 0 {
            thread::yield_now();
        }
        // Now somebody reads: what waited comes, and how much is missing.
        reader.read_exact(&mut vec![0; PIPE_BYTES]).unwrap();
        let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
        let told = lines.find(|line| line.contains("lines of the log were lost")).unwrap();
        assert!(told.contains(if format == "json" { "\"lines\":" } else { "lines=" }), "{told}");
        ask(&mut stream, 1);
        assert!(lines.any(|line| line.contains("answered")));
        server.signal("TERM");
        let rest: Vec<_> = lines.collect();
        assert!(rest.iter().any(|line| line.contains("dfuse stops")), "{rest:#?}");
        assert_eq!(server.ends(), Some(0));
    }
}

#[test]
fn the_process_ends_although_nobody_reads() {
    let folder = TempDir::new().unwrap();
    let source = source(folder.path());
    // A command line that is wrong, a source that ends, a signal, and a second one while a client holds up the end.
    let (_reader, writer) = full_pipe();
    let mut server = Server::unread(&mut command(&["--source", "nowhere"]), writer, String::new());
    assert_eq!(server.ends(), Some(2));

    let (_reader, writer) = full_pipe();
    let data = folder.path().join("at-end");
    let arguments = ["--listen", "127.0.0.1:0", "--source", &source, "--data-dir", text(&data), "--exit-at-end"];
    let mut server = Server::unread(&mut command(&arguments), writer, String::new());
    assert_eq!(server.ends(), Some(0));

    for (signals, code) in [(1, 0), (2, 1)] {
        let (_reader, writer) = full_pipe();
        let address = free_address();
        let data = folder.path().join(format!("signals-{signals}"));
        let arguments = [
            "--listen",
            &address,
            "--grpc-listen",
            "127.0.0.1:0",
            "--source",
            "deep-mind:-",
            "--data-dir",
            text(&data),
        ];
        let mut server =
            Server::unread(command(&arguments).args(ALL_REQUESTS).stdin(Stdio::piped()), writer, address.clone());
        let mut client = server.connect();
        ask(&mut client, 200);
        if signals == 2 {
            write!(client, "POST /v0/blocks HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12").unwrap();
            server.get("/v0/blocks?limit=1");
        }
        server.signal("TERM");
        if signals == 2 {
            // It does not listen any more once it stops.
            while TcpStream::connect(&address).is_ok() {
                thread::yield_now();
            }
            server.signal("TERM");
        }
        assert_eq!(server.ends(), Some(code), "{signals}");
    }
}

/// Lines of the log after the server was ready, and before it was told to end.
fn since_ready(server: Server) -> Vec<String> {
    let log = server.stop();
    let begin = log.iter().position(|line| line.contains("ready")).unwrap();
    let end = log.iter().position(|line| line.contains("dfuse stops")).unwrap();
    log[begin + 1..end].to_vec()
}

/// Neither blocks nor requests nor streams have lines at the default level, and what clients should not have asked has none either: one a
/// minute would be too many for what takes seconds.
#[test]
fn a_healthy_server_is_quiet() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("busy");
    let mut log = vec![];
    SyntheticChain::builder().seed(9).blocks(1000).build().write_log(&mut log).unwrap();
    let last = String::from_utf8_lossy(&log);
    let last = last.lines().rev().find_map(|line| line.strip_prefix("DMLOG ACCEPTED_BLOCK ")).unwrap();
    let last: u64 = last.split(' ').next().unwrap().parse().unwrap();
    let (first, rest) = log.split_at(log.len() / 10);
    let arguments = ["--source", "deep-mind:-", "--grpc-listen", "127.0.0.1:0", "--data-dir", text(&data)];
    let mut server = Server::start_with(&arguments, Stdio::piped());
    let mut node = server.stdin();
    node.write_all(first).unwrap();
    server.wait_for("ready");
    let rest = rest.to_vec();
    let feeding = thread::spawn(move || {
        node.write_all(&rest).unwrap();
        node
    });
    let request = serde_json::json!({"type": "get_head_info", "req_id": "1", "listen": true});
    let mut stream = Stream::open(&mut server, &request);
    let mut height = 0;
    while height < last {
        for target in ["/v0/blocks?limit=3", "/v0/search/transactions?q=action:transfer&limit=3", "/metrics", "/"] {
            assert_eq!(server.get(target).status, 200, "{target}");
        }
        // It is crawled for what is unknown, and for what is no request.
        for (target, status) in [
            ("/v0/transactions/00000000000000000000000000000000000000000000000000000000000000aa", 404),
            ("/v0/blocks/00000000000000000000000000000000000000000000000000000000000000aa", 404),
            ("/v0/search/transactions?q=%28", 400),
            ("/wp-login.php", 404),
        ] {
            assert_eq!(server.get(target).status, status, "{target}");
        }
        let mut noise = server.connect();
        noise.write_all(b"\x16\x03\x01\x02\x00\r\n\r\n").unwrap();
        noise.read_to_end(&mut Vec::new()).unwrap();
        let health = server.get("/healthz");
        assert_eq!(health.status, 200, "{:?}", health.json());
        height = health.json()["head"]["num"].as_u64().unwrap();
    }
    stream.next(|message| message["data"]["head_block_num"] == last);
    // The log does not end: it would be a line.
    let node = feeding.join().unwrap();
    let lines = since_ready(server);
    drop(node);
    assert!(lines.len() <= 1, "{lines:#?}");

    // With a chain that has two blocks a second.
    let data = folder.path().join("demo");
    let mut server = Server::start(&["--source", "demo", "--data-dir", text(&data)]);
    server.wait_for("ready");
    for _ in 0..100 {
        assert_eq!(server.get("/healthz").status, 200);
    }
    let lines = since_ready(server);
    assert!(lines.len() <= 1, "{lines:#?}");
}
