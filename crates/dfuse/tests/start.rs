//! `dfuse start` as a user runs it: the real process, what it says and how it ends.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use dfuse_kv::{Durability, EngineOptions, WriteBatch};
use dfuse_testkit::synthetic::SyntheticChain;
use support::{Server, assert_sound, text};
use tempfile::TempDir;

/// A file with the log of a chain, whose first blocks are the same for all lengths.
fn log_file(folder: &Path, name: &str, seed: u64, blocks: u32) -> String {
    let mut log = vec![];
    SyntheticChain::builder().seed(seed).blocks(blocks).build().write_log(&mut log).unwrap();
    let path = folder.join(name);
    fs::write(&path, log).unwrap();
    format!("deep-mind:{}", text(&path))
}

#[test]
fn a_file_is_served_and_continued() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let short = log_file(folder.path(), "short", 1, 250);
    let mut server = Server::start(&["--source", &short, "--data-dir", text(&data)]);
    server.wait_for("the source has no more blocks, the server goes on");
    server.wait_for("ready");
    let health = server.get("/healthz");
    assert_eq!(health.status, 200, "{:?}", health.json());
    let head = health.json()["head"].clone();
    let blocks = server.get("/v0/blocks?limit=100").json();
    assert_eq!(blocks[0]["id"], head["id"]);
    server.stop();

    // Ready at once with what it has, before the log has been read again.
    let mut server = Server::start(&["--source", &short, "--data-dir", text(&data)]);
    server.wait_for("ready");
    assert_eq!(server.get("/v0/blocks?limit=100").json(), blocks);
    server.stop();

    let whole = log_file(folder.path(), "whole", 1, 400);
    let mut server = Server::start(&["--source", &whole, "--data-dir", text(&data), "--exit-at-end"]);
    assert_eq!(server.wait().code(), Some(0), "{:#?}", server.log);
    assert!(server.log.iter().any(|line| line.contains("all blocks are indexed")), "{:#?}", server.log);
    let mut server = Server::start(&["--source", &whole, "--data-dir", text(&data)]);
    server.wait_for("ready");
    assert!(server.get("/healthz").json()["head"]["num"].as_u64() > head["num"].as_u64());
    server.stop();
    assert_sound(&data);
}

#[test]
fn a_pipe_is_followed() {
    let folder = TempDir::new().unwrap();
    let log = log_file(folder.path(), "log", 2, 120);
    let content = fs::read(log.strip_prefix("deep-mind:").unwrap()).unwrap();
    let data = folder.path().join("data");
    let arguments = ["--source", "deep-mind:-", "--data-dir", text(&data)];
    let mut server = Server::start_with(&arguments, Stdio::piped());
    let mut stdin = server.stdin();
    assert_eq!(server.get("/healthz").status, 503);
    assert!(server.get("/healthz").json()["details"]["conditions"].to_string().contains("first block"));
    stdin.write_all(&content).unwrap();
    stdin.flush().unwrap();
    // The pipe stays open, as that of a node.
    server.wait_for("ready");
    assert_eq!(server.get("/healthz").status, 200);
    server.stop();
}

#[test]
fn what_cannot_be_used_is_one_line() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let log = log_file(folder.path(), "log", 1, 60);
    let id = "11".repeat(32);
    let arguments = ["--source", &log, "--data-dir", text(&data), "--chain-id", &id];
    let mut server = Server::start(&arguments);
    server.wait_for("ready");
    let address = server.address();
    Server::start(&arguments).fails(1, &format!("in use by process {}; stop it, or name another", server.id()));
    let mut taken = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    Server::spawn(taken.args(["start", "--listen", &address, "--grpc-listen", "127.0.0.1:0"]))
        .fails(1, "stop what uses this port, or name another address");
    server.stop();

    let other = log_file(folder.path(), "other", 99, 60);
    Server::start(&["--source", &other, "--data-dir", text(&data)]).fails(1, "contradicts the final chain");
    Server::start(&["--source", &log, "--data-dir", text(&data), "--chain-id", &"22".repeat(32)])
        .fails(1, "the indexes are of another chain: their chain id is 1111");
    let wrong = [
        (&["--source", "nowhere"][..], "nowhere"),
        (&["--source", "deep-mind:/no/such/file"], "/no/such/file"),
        (&["--chain-id", "xyz"], "the chain id \"xyz\" is none"),
        (&["--config", "/no/such/file"], "there is no configuration file /no/such/file"),
        (&["--source", "nodeos", "--data-dir", text(&data)], "no node is configured; `dfuse init` writes"),
        (&["--source", "blocks:/no/such/store"], "cannot open block store \"/no/such/store\""),
        (&["--grpc-listen", "9000"], "\"9000\" is not an address"),
    ];
    for (arguments, message) in wrong {
        Server::start(arguments).fails(2, message);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    Server::spawn(command.args(["start", "--listen", "8080"])).fails(2, "\"8080\" is not an address");
    assert!(!Path::new("/no").exists());
    // A log that cannot be written ends nothing.
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.args(["start", "--listen", "127.0.0.1:0", "--source", "nowhere"]);
    assert_eq!(command.stderr(full).status().unwrap().code(), Some(2));
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command
        .args(["start", "--listen", "127.0.0.1:0", "--source", &log, "--data-dir"])
        .arg(folder.path().join("new"))
        .env("DFUSE_LISTN", "x");
    let mut server = Server::spawn(&mut command);
    server.wait_for("the variable DFUSE_LISTN is no setting");
    drop(server);
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    Server::start(&["--data-dir", text(&file.join("below"))]).fails(1, "cannot use the data directory");
}

/// All files below a directory, with their lengths.
fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => drop(found.insert(entry.path(), entry.metadata().unwrap().len())),
        }
    }
    found
}

/// What was written before a log begins in mid-chain is unknown: every start says so, and so does who is asked for health.
#[test]
fn a_start_in_mid_chain_is_told() {
    let folder = TempDir::new().unwrap();
    let whole = log_file(folder.path(), "whole", 1, 200);
    let content = fs::read(whole.strip_prefix("deep-mind:").unwrap()).unwrap();
    let lines: Vec<_> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let position = |start: &str| lines.iter().position(|line| line.starts_with(start.as_bytes())).unwrap();
    let version = lines[position("DMLOG DEEP_MIND_VERSION")];
    let late = [&[version][..], &lines[position("DMLOG START_BLOCK 100")..]].concat().concat();
    let file = folder.path().join("late");
    fs::write(&file, late).unwrap();
    let data = folder.path().join("data");
    for _ in 0..2 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        command.args(["start", "--listen", "127.0.0.1:0", "--source", &format!("deep-mind:{}", text(&file))]);
        command.args(["--data-dir", text(&data)]).env("DFUSE_BLOCKS__FIRST_BLOCK", "100");
        let mut server = Server::spawn(&mut command);
        let warning = server.wait_for("the chain had begun before the first block that is indexed");
        assert!(warning.contains("WARN") && warning.contains("100"), "{warning}");
        server.wait_for("ready");
        let health = server.get("/healthz").json();
        assert_eq!((health["state_from_block"].as_u64(), health["complete"].as_bool()), (Some(100), Some(false)));
        let early = server.get("/v0/state/permission_links?account=eosio&block_num=99");
        assert_eq!((early.status, &early.json()["code"]), (404, &"app_state_unavailable_error".into()));
        server.stop();
    }
}

#[test]
fn a_refused_chain_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let ours = log_file(folder.path(), "ours", 1, 300);
    let start = |source: &str| Server::start(&["--source", source, "--data-dir", text(&data)]);
    let mut server = start(&ours);
    server.wait_for("ready");
    server.stop();
    let before = files(&data.join("blocks"));
    assert!(before.keys().any(|path| path.to_string_lossy().contains("abi")), "{before:?}");
    // Others, from a file and from a pipe.
    for seed in [2, 99] {
        let other = log_file(folder.path(), "other", seed, 300);
        start(&other).fails(1, "contradicts the final chain");
        assert_eq!(files(&data.join("blocks")), before, "{seed}");
        let log = fs::File::open(other.strip_prefix("deep-mind:").unwrap()).unwrap();
        Server::start_with(&["--source", "deep-mind:-", "--data-dir", text(&data)], log.into())
            .fails(1, "contradicts the final chain");
        assert_eq!(files(&data.join("blocks")), before, "{seed}");
    }
    // A history that begins where none may begin.
    let empty = folder.path().join("empty");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.args(["start", "--listen", "127.0.0.1:0", "--source", &ours, "--data-dir", text(&empty)]);
    Server::spawn(command.env("DFUSE_BLOCKS__FIRST_BLOCK", "1000")).fails(2, "1000");
    let left = files(&empty.join("blocks"));
    assert!(left.is_empty(), "{left:?}");
    let mut server = start(&ours);
    server.wait_for("ready");
    server.stop();
    assert_sound(&data);
}

#[test]
fn a_missing_bundle_is_told_with_its_name() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let log = log_file(folder.path(), "log", 1, 450);
    let mut server = Server::start(&["--source", &log, "--data-dir", text(&data)]);
    server.wait_for("ready");
    server.stop();
    let missing = data.join("blocks/merged-blocks/0000000200.dbin.zst");
    let copy = folder.path().join("copy");
    fs::rename(&missing, &copy).unwrap();
    let other = folder.path().join("other");
    let blocks = format!("blocks:{}", text(&data.join("blocks")));
    for arguments in [["--source", &log, "--data-dir", text(&data)], ["--source", &blocks, "--data-dir", text(&other)]]
    {
        Server::start(&arguments).fails(1, "0000000200.dbin.zst is missing: the blocks from 200 on belong into it");
    }
    let mut merge = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    merge.args(["tools", "merge", log.strip_prefix("deep-mind:").unwrap(), text(&data.join("blocks"))]);
    let merge = merge.output().unwrap();
    let said = String::from_utf8_lossy(&merge.stderr);
    assert!(said.contains("0000000200.dbin.zst is missing") && said.contains("from a copy"), "{said}");
    fs::rename(&copy, &missing).unwrap();
    let mut server = Server::start(&["--source", &log, "--data-dir", text(&data)]);
    server.wait_for("ready");
    server.stop();
    assert_sound(&data);
}

#[test]
fn the_longest_line_is_a_setting() {
    let folder = TempDir::new().unwrap();
    let log = log_file(folder.path(), "log", 1, 60);
    let path = log.strip_prefix("deep-mind:").unwrap();
    let mut content = fs::read(path).unwrap();
    // A line of an operation that nobody knows.
    content.extend_from_slice(b"DMLOG UNKNOWN_OP ");
    content.resize(content.len() + (3 << 20) / 2, b'x');
    content.push(b'\n');
    fs::write(path, content).unwrap();
    let run = |arguments: &[&str], limit: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        let output = command.args(arguments).envs(limit.map(|limit| ("DFUSE_NODEOS__MAX_LINE_MIB", limit))).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let store = folder.path().join("store");
    let data = folder.path().join("data");
    let start = ["start", "--listen", "127.0.0.1:0", "--source", &log, "--data-dir", text(&data), "--exit-at-end"];
    let merge = ["tools", "merge", path, text(&store)];
    let print = ["tools", "print-blocks", path];
    for command in [&start[..], &merge, &print] {
        let (code, said) = run(command, Some("1"));
        assert!(code == Some(1) && said.contains("is longer than 1048576 bytes"), "{said}");
        assert!(said.contains("raise the setting nodeos.max_line_mib, for tools --max-line-mib"), "{said}");
        for limit in [Some("2"), None] {
            let (code, said) = run(command, limit);
            assert_eq!(code, Some(0), "{said}");
        }
    }
    let (code, said) = run(&[&print[..], &["--max-line-mib", "1"]].concat(), None);
    assert!(code == Some(1) && said.contains("is longer than 1048576 bytes"), "{said}");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the pace of a chain is a time")]
fn an_old_chain_at_its_own_pace_is_ready_some_time() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let chain = SyntheticChain::builder().seed(2).blocks(600).build();
    let mut log = vec![];
    chain.write_log(&mut log).unwrap();
    let mut server = Server::start_with(&["--source", "deep-mind:-", "--data-dir", text(&data)], Stdio::piped());
    let mut stdin = server.stdin();
    let (ready, told) = mpsc::channel::<()>();
    let node = thread::spawn(move || {
        for line in log.split_inclusive(|byte| *byte == b'\n') {
            stdin.write_all(line).unwrap();
            // So often that the source is never idle for long.
            if line.starts_with(b"DMLOG ACCEPTED_BLOCK") {
                if told.try_recv() != Err(mpsc::TryRecvError::Empty) {
                    return stdin;
                }
                thread::sleep(Duration::from_millis(400));
            }
        }
        panic!("all blocks came, and it was not ready");
    });
    server.wait_for("old blocks come as fast as they were made");
    server.wait_for("ready");
    assert_eq!(server.get("/healthz").status, 200);
    drop(ready);
    drop(node.join().unwrap());
    server.stop();
}

#[test]
fn settings_come_from_file_environment_and_flags() {
    let folder = TempDir::new().unwrap();
    let log = log_file(folder.path(), "log", 1, 60);
    let file = folder.path().join("dfuse.toml");
    let from_file = folder.path().join("from-file");
    fs::write(&file, format!("data_dir = {:?}\nsource = \"nowhere\"\n[http]\nmax_body_bytes = 10\n", text(&from_file)))
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.args(["start", "--listen", "127.0.0.1:0", "--config", text(&file), "--source", &log, "--exit-at-end"]);
    let from_environment = folder.path().join("from-environment");
    let mut server = Server::spawn(command.env("DFUSE_DATA_DIR", text(&from_environment)));
    assert_eq!(server.wait().code(), Some(0), "{:#?}", server.log);
    assert!(from_environment.exists() && !from_file.exists());

    for (content, message) in [
        ("sorce = \"demo\"", "unknown field: found `sorce`"),
        ("[http]\nreaders = \"many\"", "setting \"http.readers\""),
        ("listen = ", "dfuse.toml"),
    ] {
        fs::write(&file, content).unwrap();
        Server::start(&["--config", text(&file)]).fails(2, message);
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.args(["start", "--exit-at-end", "--source", &log, "--data-dir", text(&from_environment)]);
    let mut server =
        Server::spawn(command.env("DFUSE_LISTEN", port.to_string()).env("DFUSE_GRPC_LISTEN", "127.0.0.1:0"));
    assert_eq!(server.address(), port.to_string());
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_second_server_takes_another_address_for_grpc() {
    let folder = TempDir::new().unwrap();
    let log = log_file(folder.path(), "log", 1, 60);
    // Who else may have it is as good.
    let _taken = TcpListener::bind("127.0.0.1:9000");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.args(["start", "--listen", &free, "--source", &log, "--data-dir"]).arg(folder.path().join("data"));
    let mut server = Server::spawn(&mut command);
    server.wait_for("127.0.0.1:9000 is in use, so gRPC is at a free port");
    server.wait_for("ready");
    server.stop();
    Server::spawn(command.args(["--grpc-listen", "127.0.0.1:9000"])).fails(1, "--grpc-listen");
}

#[test]
fn machines_that_share_keys_take_each_others_cursors() {
    let folder = TempDir::new().unwrap();
    let log = log_file(folder.path(), "log", 1, 200);
    let (old, new) = ("0a".repeat(32), "0b".repeat(32));
    let start = |name: &str, keys: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        command.args(["start", "--listen", "127.0.0.1:0", "--source", &log, "--data-dir"]);
        let mut server = Server::spawn(command.arg(folder.path().join(name)).env("DFUSE_CURSOR_KEYS", keys));
        server.wait_for("ready");
        server
    };
    let mut one = start("one", &format!("[\"{old}\"]"));
    let page = one.get("/v0/transactions?limit=2").json();
    let next = format!("/v0/transactions?limit=2&cursor={}", page["cursor"].as_str().unwrap());
    let answered = one.get(&next).json();
    one.stop();
    // The key is being changed, and this machine has the new one already.
    let mut two = start("two", &format!("[\"{new}\", \"{old}\"]"));
    assert_eq!(two.get(&next).json()["transactions"], answered["transactions"]);
    two.stop();
    let mut other = start("other", "[]");
    assert_eq!(other.get(&next).status, 400);
    other.stop();
    Server::spawn(Command::new(env!("CARGO_BIN_EXE_dfuse")).arg("start").env("DFUSE_CURSOR_KEYS", "[\"secret\"]"))
        .fails(2, "setting \"cursor_keys\": number 1 of the keys is not 64 hex digits");
}

#[test]
fn an_index_that_was_lost_is_built_beside_the_others() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let log = log_file(folder.path(), "log", 3, 300);
    let arguments = ["--source", &log, "--data-dir", text(&data)];
    let mut server = Server::start(&arguments);
    server.wait_for("ready");
    server.stop();
    let tool = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        command.args(["tools"]).args(arguments).args(["--data-dir", text(&data)]).output().unwrap()
    };
    let rebuilt = tool(&["reindex", "accounts"]);
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    assert!(tool(&["check", "index"]).status.success());
    assert_eq!(tool(&["reindex", "nothing"]).status.code(), Some(2));

    forget_index(&data.join("index"), "accounts");
    let mut server = Server::start(&arguments);
    server.wait_for("building an index from the block files, while the others serve");
    server.wait_for("the index is built and serves");
    server.wait_for("ready");
    server.stop();
    assert!(tool(&["check", "index"]).status.success());
}

#[test]
fn what_is_indexed_for_searching_is_a_setting() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let log = log_file(folder.path(), "log", 3, 120);
    let config = folder.path().join("dfuse.toml");
    let arguments = ["--source", &log, "--data-dir", text(&data), "--config", text(&config)];
    let tool = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        command.args(["tools"]).args(arguments).args(["--data-dir", text(&data)]).output().unwrap()
    };
    let count = |server: &mut Server, query: &str| {
        server.wait_for("ready");
        server.get(&format!("/v0/search/count?q={query}&with_reversible=true")).json()["actions"].as_u64()
    };
    fs::write(&config, "").unwrap();
    let mut server = Server::start(&arguments);
    let all = count(&mut server, "-action:onblock").unwrap();
    let transfers = count(&mut server, "action:transfer").unwrap();
    assert!(transfers > 10 && all > transfers && count(&mut server, "data.memo:*").unwrap() > 0);
    server.stop();

    let settings =
        "[search]\ndata_fields = \"to\"\nexclude = \"action == 'onblock' || has(data.owner)\"\nact_digest = true\n";
    fs::write(&config, settings).unwrap();
    Server::start(&arguments)
        .fails(1, &format!("/dfuse tools reindex --data-dir {} --config {} search`", text(&data), text(&config)));
    // Built with the default settings it would be refused again.
    assert!(tool(&["reindex", "search", "--config", text(&config)]).status.success());
    assert!(tool(&["check", "index", "--config", text(&config)]).status.success());
    let mut server = Server::start(&arguments);
    assert_eq!(count(&mut server, "action:onblock"), Some(0));
    assert_eq!(count(&mut server, "action:transfer"), Some(transfers));
    assert!(count(&mut server, "-action:onblock").unwrap() < all);
    assert!(count(&mut server, "data.to:*").unwrap() > 0 && count(&mut server, "act_digest:*").unwrap() > 0);
    let refused = server.get("/v0/search/count?q=data.memo:hello").json();
    assert!(refused["details"]["errors"]["q"][0].as_str().unwrap().contains("is not indexed"), "{refused}");
    server.stop();

    fs::write(&config, "").unwrap();
    Server::start(&arguments).fails(1, "index \"search\" was built with other settings");
    // The same settings from the environment.
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.arg("start").args(arguments).args(["--listen", "127.0.0.1:0"]).env("DFUSE_SEARCH__DATA_FIELDS", "data.to");
    command
        .env("DFUSE_SEARCH__EXCLUDE", " action == 'onblock' || has(data.owner)")
        .env("DFUSE_SEARCH__ACT_DIGEST", "true");
    let mut server = Server::spawn(&mut command);
    assert_eq!(count(&mut server, "action:transfer"), Some(transfers));
    server.stop();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.arg("start").args(arguments).env("DFUSE_SEARCH__INCLUDE", "reciever == 'bob'");
    Server::spawn(&mut command).fails(2, "setting \"search.include\": there is no \"reciever\"");
}

/// Takes the checkpoint of an index away, as if it were new in this version.
fn forget_index(folder: &Path, name: &str) {
    let (store, _) = dfuse_kv::open(folder, &["checkpoint"], EngineOptions::default()).unwrap();
    let mut batch = WriteBatch::new();
    batch.delete(store.keyspace("checkpoint").unwrap(), name.as_bytes().to_vec());
    store.commit(batch, Durability::Sync).unwrap();
    store.close().unwrap();
}

#[test]
fn a_second_signal_is_quick() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::start_with(&["--source", "deep-mind:-", "--data-dir", text(&data)], Stdio::piped());
    // A client that does not finish its request holds up a clean stop.
    let mut client = std::net::TcpStream::connect(server.address()).unwrap();
    write!(client, "POST /v0/blocks HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12").unwrap();
    server.get("/healthz");
    server.signal("INT");
    server.wait_for("dfuse stops");
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(1), "{:#?}", server.log);
    // Requests that are given up may be told after it.
    let errors: Vec<_> = server.log.iter().filter(|line| line.contains("ERROR")).collect();
    assert!(errors.len() == 1 && errors[0].contains("nothing is lost"), "{:#?}", server.log);
}
