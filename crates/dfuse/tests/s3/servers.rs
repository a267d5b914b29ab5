//! Servers: one writes its block files, another follows them.

use std::{
    io::Write,
    path::Path,
    process::{ChildStdin, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use dfuse_blocks::{BlockStore, Error};
use dfuse_testkit::Random;
use futures::TryStreamExt;
use tempfile::TempDir;

use crate::{
    data_dir, dfuse, is_list, printed, store,
    support::{
        Server, deadline,
        faults::{Fate, Faults},
        forks::{Forks, answer},
        s3::S3,
        text,
    },
};

/// Requests that all servers answer alike.
const REQUESTS: usize = 200;

/// A server with a node whose log is what the test writes, or one that follows the store of that prefix.
fn start(data: &Path, source: &str, faults: &Faults, store: Option<&str>) -> (Server, Option<ChildStdin>) {
    let mut command = dfuse(faults.address());
    command.args(["start", "--listen", "127.0.0.1:0", "--source", source, "--data-dir", text(data)]);
    command.args(["--log-level", "info,dfuse_http::frame=warn"]);
    if let Some(prefix) = store {
        command.env("DFUSE_BLOCKS__STORE", S3::place(prefix));
    }
    let is_node = source == "deep-mind:-";
    let mut server = Server::spawn(command.stdin(if is_node { Stdio::piped() } else { Stdio::null() }));
    let node = is_node.then(|| server.stdin());
    (server, node)
}

/// Fails requests now and then, as stores do that are under load or at the end of a bad line.
fn troubled(faults: &Faults, seed: u64) {
    let mut random = Random::new(seed);
    faults.plan(move |_| match random.below(60) {
        0 | 1 => Fate::Refused(503),
        2 => Fate::Refused(429),
        3 => Fate::CutAnswer { whole: false },
        4 => Fate::CutAnswer { whole: true },
        5 => Fate::CutRequest(Arc::new(|| ())),
        6 => Fate::Closed,
        7..=9 => Fate::Late(Duration::from_millis(100)),
        10 if random.below(4) == 0 => Fate::Silence,
        _ => Fate::Pass,
    });
}

/// Reads everything that is there, as any other reader would: all of it must be whole.
async fn read_everything(store: &BlockStore) {
    for base in store.bundles().await.unwrap() {
        let blocks: Vec<_> = store.read_bundle_blocks(base, 0..=u32::MAX).try_collect().await.unwrap();
        assert_eq!(blocks.len(), if base == 0 { 98 } else { 100 });
    }
    for name in store.one_blocks().await.unwrap() {
        match store.read_one_block(&name).await {
            // Its bundle came.
            Ok(_) | Err(Error::NotFound(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits until a server says that a condition of its health fails, or that it holds.
fn wait_for_condition(server: &mut Server, name: &str, fails: bool) {
    server.wait_until("/healthz", |answer| answer.json()["details"]["conditions"][name].is_string() == fails);
}

/// Nothing is answered until some more requests have failed.
fn outage(faults: &Faults, fate: &Fate) {
    let (failed, fate) = (Arc::new(AtomicUsize::new(0)), fate.clone());
    let counted = failed.clone();
    faults.plan(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        fate.clone()
    });
    let until = deadline();
    while failed.load(Ordering::SeqCst) < 6 {
        assert!(Instant::now() < until, "no request");
        thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_writes_and_one_that_follows_outlast_their_store() {
    let (Some(chain), Some(s3)) = (Forks::read(), S3::start()) else { return };
    let folder = TempDir::new().unwrap();
    let [a, b] = [(); 2].map(|()| Faults::before(s3.address()));
    let direct = store("one", s3.address());
    let [a_data, b_data, alone] = ["a", "b", "alone"].map(|name| data_dir(folder.path(), name));
    let (mut writer, mut node) = start(&a_data, "deep-mind:-", &a, Some("one"));
    let source = format!("blocks:{}", S3::place("one"));
    let (mut reader, _) = start(&b_data, &source, &b, None);
    // From the blocks that are there at the start on, both are told that their store is slow, throttles, and loses connections.
    let mut fed = 0;
    let eventful = |piece: usize| piece % 2 == 1 || [8, 14, 20].contains(&piece);
    for (piece, (end, head)) in chain.pieces.iter().enumerate().filter(|(piece, _)| eventful(*piece)) {
        let log = &chain.log[fed..*end];
        fed = *end;
        troubled(&a, piece as u64);
        troubled(&b, 100 + piece as u64);
        match piece {
            // Nobody is let in: that is told, and passes.
            8 => {
                for faults in [&a, &b] {
                    faults.plan(|_| Fate::Refused(403));
                }
                node.as_mut().unwrap().write_all(log).unwrap();
                wait_for_condition(&mut writer, "block_store", true);
                wait_for_condition(&mut reader, "source_connection", true);
                a.mend();
                b.mend();
            }
            // The store is gone for a moment.
            14 => {
                node.as_mut().unwrap().write_all(log).unwrap();
                outage(&a, &Fate::Closed);
                outage(&b, &Fate::Closed);
                a.mend();
                b.mend();
            }
            // The writer is killed within a request.
            11 | 20 => {
                let process = writer.id().to_string();
                let kill = Arc::new(move || {
                    // It may be the second request that is cut.
                    let _ = std::process::Command::new("kill").args(["-KILL", &process]).output();
                });
                a.plan(move |line| if line.starts_with("PUT") { Fate::CutRequest(kill.clone()) } else { Fate::Pass });
                // It may be gone before it has read all.
                let _ = node.as_mut().unwrap().write_all(log);
                writer.wait();
                a.mend();
                (writer, node) = start(&a_data, "deep-mind:-", &a, Some("one"));
                node.as_mut().unwrap().write_all(&chain.log[..fed]).unwrap();
            }
            _ => node.as_mut().unwrap().write_all(log).unwrap(),
        }
        reader.wait_until_it_has(&format!("/v0/blocks/{head}"));
        read_everything(&direct).await;
    }
    a.mend();
    b.mend();
    node.as_mut().unwrap().write_all(&chain.log[fed..]).unwrap();
    let has_all = format!("/v0/blocks/{}", chain.ids[0]);
    let log = folder.path().join("log");
    std::fs::write(&log, &chain.log).unwrap();
    let log = format!("deep-mind:{}", text(&log));
    let mut alone = Server::start(&["--source", &log, "--data-dir", text(&alone)]);
    for server in [&mut alone, &mut writer, &mut reader] {
        server.wait_until_it_has(&has_all);
        wait_for_condition(server, "block_store", false);
        wait_for_condition(server, "source_connection", false);
    }
    wait_for_equal_finality(&mut alone, &mut [&mut writer, &mut reader]);
    idle_servers_ask_little(&a, &b);
    // What is asked is answered from the store without listing anything but the lost blocks beside one: its siblings.
    a.requests();
    let mut random = Random::new(1);
    let mut good = 0;
    for _ in 0..REQUESTS {
        let path = chain.request(&mut random);
        let wanted = answer(&mut alone, &path);
        good += usize::from(wanted.0 == 200);
        for server in [&mut writer, &mut reader] {
            assert_eq!(answer(server, &path), wanted, "{path}");
        }
    }
    assert!(good > REQUESTS * 7 / 10, "{good}");
    let asked = a.requests();
    let mut lists = asked.iter().filter(|line| is_list(line));
    // Those of ten heights around it, and of fewer at the beginning of the chain.
    let is_short = |line: &String| {
        line.contains("start-after") && (1..=22).any(|most| line.contains(&format!("max-keys={most} ")))
    };
    assert!(lists.all(|line| line.contains("forked-blocks%2F0") && is_short(line)), "{asked:#?}");
    drop(node);
    for server in [alone, writer, reader] {
        server.stop();
    }
    read_everything(&direct).await;
    printed(dfuse(s3.address()).args(["tools", "check", "blocks", &S3::place("one")]));
    for (data, blocks) in [(&a_data, S3::place("one")), (&b_data, text(&b_data.join("blocks")).to_owned())] {
        let places = ["--data-dir", text(data), "--blocks", &blocks];
        printed(dfuse(s3.address()).args(["tools", "check", "index"]).args(places));
    }
}

/// What is final is known a moment later than what is there.
fn wait_for_equal_finality(alone: &mut Server, others: &mut [&mut Server]) {
    let lib = |server: &mut Server| server.get("/healthz").json()["lib"]["num"].as_u64();
    let until = deadline();
    for server in others {
        while lib(server) != lib(alone) {
            assert!(Instant::now() < until, "{:?}", server.get("/healthz").json());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Requests are money: once all is done, one that writes asks nothing while it has no blocks, and one that follows lists what may
/// come, and nothing else.
fn idle_servers_ask_little(writer: &Faults, reader: &Faults) {
    let until = deadline();
    loop {
        writer.requests();
        reader.requests();
        let mut asked = Vec::new();
        while asked.len() < 12 {
            asked.extend(reader.requests());
            assert!(Instant::now() < until, "it does not look any more: {asked:?}");
            thread::sleep(Duration::from_millis(50));
        }
        let written = writer.requests();
        let lists = |folder: &str| asked.iter().filter(|line| is_list(line) && line.contains(folder)).count();
        let (single, bundles) = (lists("one-blocks"), lists("merged-blocks"));
        if written.is_empty() && single + bundles == asked.len() && single.abs_diff(bundles) <= 1 {
            return;
        }
        assert!(Instant::now() < until, "{written:#?} {asked:#?}");
    }
}
