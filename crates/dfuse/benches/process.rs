//! The whole process: a log to everything that is served, against zstd's unpacking of the same log; memory; restart.
//!
//! `cargo bench -p dfuse --bench process`; the log is the recorded busy chain.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::recorded;
use support::{Server, text};

const ROUNDS: usize = 5;

/// Bytes on disk of all files below a directory.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let size = |entry: fs::DirEntry| match entry.path().is_dir() {
        true => size(&entry.path()),
        // Set aside and not used are zeros at the ends of some.
        false => entry.metadata().unwrap().blocks() * 512,
    };
    entries.map(size).sum()
}

/// A figure of `/proc/PID/FILE`, by the name before it.
fn figure(server: &Server, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/{file}", server.id())).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn main() {
    let Some(path) = recorded::find("busy/busy.dmlog.zst") else { return };
    let source = format!("deep-mind:{}", text(&path));
    let packed = fs::read(&path).unwrap();
    let unpacked = zstd::decode_all(&packed[..]).unwrap();
    let (mut blocks, mut actions) = (0, 0);
    let mut reader = Reader::new(&unpacked[..]);
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(block) = event {
            blocks += 1;
            actions += block.unfiltered_executed_total_action_count;
        }
    }
    let timed = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    let best = |mut run: Box<dyn FnMut()>| (0..ROUNDS).map(|_| timed(&mut run)).min().unwrap();
    // Piece by piece, as the process does: the time is that of unpacking, and not of finding memory for the whole.
    let zstd = best(Box::new(move || {
        io::copy(&mut zstd::Decoder::new(&packed[..]).unwrap(), &mut io::sink()).unwrap();
    }));
    let run = |source: &str| {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let started = Instant::now();
        let mut server = Server::start(&["--source", source, "--data-dir", text(&data), "--exit-at-end"]);
        assert!(server.wait().success(), "{:#?}", server.log);
        started.elapsed()
    };
    // What the process takes to begin and to end is not what is measured.
    let empty = tempfile::NamedTempFile::new().unwrap();
    fs::write(&empty, "DMLOG DEEP_MIND_VERSION leap 13 0\n").unwrap();
    let idle = (0..ROUNDS).map(|_| run(&format!("deep-mind:{}", text(empty.path())))).min().unwrap();
    let whole = (0..ROUNDS).map(|_| run(&source)).min().unwrap();
    let taken: Duration = whole.saturating_sub(idle);
    let per_second = |count: f64| count / taken.as_secs_f64();
    println!("busy log: {blocks} blocks, {actions} actions");
    println!(
        "zstd unpacks it in {:.1} ms; an empty log takes {idle:.0?}, this one {whole:.0?}",
        zstd.as_secs_f64() * 1e3
    );
    println!(
        "log to served: {:.1} times zstd, {:.0} blocks/s, {:.0} actions/s",
        taken.as_secs_f64() / zstd.as_secs_f64(),
        per_second(f64::from(blocks)),
        per_second(f64::from(actions)),
    );

    // The same text as a node writes it to a pipe: every block is in a file before it is served.
    let piped = |log: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let started = Instant::now();
        let arguments = ["--source", "deep-mind:-", "--data-dir", text(&data), "--exit-at-end"];
        let mut server = Server::start_with(&arguments, Stdio::piped());
        let written = server.stdin().write_all(log).map(|()| started.elapsed()).unwrap();
        assert!(server.wait().success(), "{:#?}", server.log);
        (started.elapsed(), written)
    };
    let (whole, written) = (0..ROUNDS).map(|_| piped(&unpacked)).min().unwrap();
    let taken = whole.saturating_sub(idle);
    println!(
        "pipe to served: {:.1} times zstd, {:.0} blocks/s, {:.1} MB of text/s; the writer was done after {written:.0?}",
        taken.as_secs_f64() / zstd.as_secs_f64(),
        f64::from(blocks) / taken.as_secs_f64(),
        unpacked.len() as f64 / 1e6 / taken.as_secs_f64(),
    );

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["--source", &source, "--data-dir", text(&data)];
    let mut server = Server::start(&arguments);
    server.wait_for("the source has no more blocks");
    server.wait_for("ready");
    let (written, memory) = (figure(&server, "io", "wchar:"), figure(&server, "status", "VmRSS:"));
    println!("written {:.1} MB, {:.1} MB resident", written as f64 / 1e6, memory as f64 / 1e3);
    server.stop();
    let (files, indexes) = (size(&data.join("blocks")), size(&data.join("index")));
    println!("on disk: block files {:.1} MB, indexes {:.1} MB", files as f64 / 1e6, indexes as f64 / 1e6);
    let started = Instant::now();
    let mut server = Server::start(&arguments);
    server.wait_for("ready");
    println!("started again, ready after {:.0?}", started.elapsed());
    server.stop();

    let started = Instant::now();
    let mut server = Server::start(&["--source", "demo"]);
    server.wait_for("ready");
    let ready = started.elapsed();
    println!("demo: ready after {ready:.1?}, {:.1} MB resident", figure(&server, "status", "VmRSS:") as f64 / 1e3);
    server.stop();
}
