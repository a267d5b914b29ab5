//! The tools as a user runs them: the real binary, its output, its messages and its exit codes.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use dfuse_testkit::{recorded, synthetic::SyntheticChain};
use serde_json::{Value, json};
use tempfile::TempDir;

fn dfuse(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dfuse")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs the tool, which must fail with `code` and one line on standard error that contains `message`.
#[track_caller]
fn fails(arguments: &[&str], code: i32, message: &str) -> Output {
    let output = dfuse(arguments);
    let errors: Vec<&str> = text(&output.stderr).lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors:?}");
    assert_eq!(errors.len(), 1, "{arguments:?}: {}", text(&output.stderr));
    assert!(errors[0].contains(message), "{arguments:?}: {} lacks {message:?}", errors[0]);
    output
}

#[track_caller]
fn succeeds(arguments: &[&str]) -> String {
    let output = dfuse(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn write(directory: &Path, name: &str, content: &[u8]) -> String {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Path and content of all files below a directory.
fn files(directory: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn synthetic_log(blocks: u32) -> Vec<u8> {
    let mut log = vec![];
    SyntheticChain::builder().seed(1).blocks(blocks).build().write_log(&mut log).unwrap();
    log
}

#[test]
fn print_blocks_prints_one_block_a_line() {
    let directory = TempDir::new().unwrap();
    let log = write(directory.path(), "log", &synthetic_log(20));
    let lines = succeeds(&["tools", "print-blocks", &log]);
    assert_eq!(lines.lines().count(), 20);
    let json =
        succeeds(&["tools", "print-blocks", &log, "--format", "json", "--start-block", "5", "--stop-block", "7"]);
    let blocks: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(blocks.iter().map(|b| b["number"].as_u64().unwrap()).collect::<Vec<_>>(), [5, 6, 7]);
    assert_eq!(blocks[1]["header"]["previous"], blocks[0]["id"]);
    assert!(blocks.iter().all(|block| block["unfilteredTransactionTraces"][0]["actionTraces"][0].is_object()));
}

/// The actions of a transaction as the reader of the Firehose family filled them in.
fn decoded_actions(trace: &Value) -> Value {
    let json = |text: &Value| text.as_str().map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
    let actions = trace["actionTraces"].as_array().into_iter().flatten().map(|action| {
        let act = &action["action"];
        json!({
            "action_ordinal": action["actionOrdinal"],
            "account": act["account"],
            "name": act["name"],
            "json_data": json(&act["jsonData"]),
            "json_return_value": json(&action["jsonReturnValue"]),
        })
    });
    actions.collect()
}

/// How many rows that they decode are decoded here. All of balances are the same; in others, theirs leave out fractions of seconds.
fn decoded_rows(trace: &Value, theirs: &Value) -> usize {
    let list = |ops: &Value| ops.as_array().cloned().unwrap_or_default();
    let (ours, theirs) = (list(&trace["dbOps"]), list(theirs));
    assert_eq!(ours.len(), theirs.len());
    let mut rows = 0;
    for (ours, theirs) in ours.iter().zip(&theirs) {
        for (key, wanted) in [("oldDataJson", &theirs[4]), ("newDataJson", &theirs[5])] {
            let found = ours[key].as_str().map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
            assert!(wanted.is_null() || !found.is_null(), "{ours} instead of {theirs}");
            if ours["tableName"] == "accounts" {
                assert_eq!(found, *wanted, "{ours}");
            }
            rows += usize::from(!wanted.is_null());
        }
    }
    rows
}

#[test]
fn printed_blocks_have_the_json_of_actions_return_values_and_rows() {
    let Some(theirs) = recorded::json_lines("small/firehose-json.jsonl.gz") else { return };
    let directory = TempDir::new().unwrap();
    let log = write(directory.path(), "log", &recorded::bytes("small/small.dmlog.zst").unwrap());
    let printed = |more: &[&str]| {
        let arguments = [&["tools", "print-blocks", &log, "--format", "json"], more].concat();
        succeeds(&arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let ours = printed(&[]);
    let (mut actions, mut returned, mut rows) = (0, 0, 0);
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours["id"], theirs["id"]);
        let traces = ours["unfilteredTransactionTraces"].as_array().unwrap();
        let by_id = |id: &Value| traces.iter().find(|trace| trace["id"] == *id).unwrap();
        for transaction in theirs["transactions"].as_array().into_iter().flatten() {
            let found = decoded_actions(by_id(&transaction["id"]));
            let mut wanted = transaction["actions"].as_array().cloned().unwrap_or_default();
            for action in &mut wanted {
                let action = action.as_object_mut().unwrap();
                for key in ["json_data", "json_return_value"] {
                    action.entry(key).or_insert(Value::Null);
                }
                returned += usize::from(!action["json_return_value"].is_null());
                actions += 1;
            }
            assert_eq!(found, json!(wanted), "{}", transaction["id"]);
            // Operations of genesis are in our block 2 and not in theirs.
            if ours["number"] != 2 {
                rows += decoded_rows(by_id(&transaction["id"]), &transaction["db_ops"]);
            }
        }
    }
    assert!(actions > 1000 && returned > 2 && rows > 3500, "{actions} {returned} {rows}");
    // Also where blocks before the first one set the ABIs; and nothing at all if that is not wanted.
    assert_eq!(printed(&["--start-block", "300"])[..], ours[298..]);
    assert!(!printed(&["--raw"]).iter().any(|block| block.to_string().contains("jsonData")));
}

#[test]
fn logs_are_recognised_by_content() {
    let directory = TempDir::new().unwrap();
    let log = synthetic_log(10);
    let plain = succeeds(&["tools", "print-blocks", &write(directory.path(), "plain.zst", &log)]);
    let zstd = write(directory.path(), "a", &zstd::encode_all(&log[..], 1).unwrap());
    assert_eq!(succeeds(&["tools", "print-blocks", &zstd]), plain);
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(&log).unwrap();
    let gzip = write(directory.path(), "b", &gzip.finish().unwrap());
    assert_eq!(succeeds(&["tools", "print-blocks", &gzip]), plain);

    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    let mut child =
        command.args(["tools", "print-blocks", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&log).unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), plain);
}

#[test]
fn the_demo_is_a_whole_chain() {
    let lines = succeeds(&["tools", "print-blocks", "demo"]);
    assert_eq!(lines.lines().count(), 4042);
    assert!(lines.starts_with("         2 0000000246521c35a3de9d1e48b12b8a7529f6589c3d73ac60d5f8988cc8675a"));
}

#[test]
fn a_log_becomes_a_store_that_checks_and_prints_the_same() {
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store").to_str().unwrap().to_owned();
    let log = write(directory.path(), "log", &synthetic_log(350));
    succeeds(&["tools", "merge", &log, &store]);
    let report = succeeds(&["tools", "check", "blocks", &store, "--decode"]);
    assert!(report.contains("blocks in bundles: "), "{report}");
    assert_eq!(succeeds(&["tools", "print-blocks", &store]), succeeds(&["tools", "print-blocks", &log]));
    let json = |place: &str| succeeds(&["tools", "print-blocks", place, "--format", "json", "--start-block", "340"]);
    assert_eq!(json(&store), json(&log));

    // Once more changes nothing; a bundle alone is a block file.
    succeeds(&["tools", "merge", &log, &store]);
    assert_eq!(succeeds(&["tools", "check", "blocks", &store]), report);
    let bundle = Path::new(&store).join("merged-blocks/0000000100.dbin.zst");
    assert_eq!(succeeds(&["tools", "print-blocks", bundle.to_str().unwrap()]).lines().count(), 100);

    // Damage is found, and named.
    let mut bytes = fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let output = fails(&["tools", "check", "blocks", &store], 1, "fault");
    assert!(text(&output.stdout).contains("damaged: merged-blocks/0000000100.dbin.zst"), "{}", text(&output.stdout));
    fs::remove_file(&bundle).unwrap();
    let output = fails(&["tools", "check", "blocks", &store], 1, "1 fault found");
    assert!(text(&output.stdout).starts_with("       100        199 hole: "), "{}", text(&output.stdout));
}

#[test]
fn bad_input_is_one_line_that_says_what_to_do() {
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    let log = synthetic_log(30);
    let print = |name: &str, content: &[u8], code: i32, message: &str| {
        fails(&["tools", "print-blocks", &write(directory, name, content)], code, message)
    };
    let cut = print("cut", &log[..log.len() * 2 / 3], 1, "copy the rest of the log and run again");
    assert!(text(&cut.stdout).lines().count() > 10, "complete blocks are printed");
    let packed = zstd::encode_all(&log[..], 1).unwrap();
    print("cut.zst", &packed[..packed.len() / 2], 1, "the compressed data is damaged or cut off: copy the file again");
    print("binary", &[0xa5, 0, 0xff, 7].repeat(1000), 1, "no complete deep-mind line was found");
    print("empty", b"", 1, "the log is empty");
    print("text", b"hello\nworld\n", 1, "a deep-mind log is what nodeos prints when it runs with --deep-mind");
    print("version", b"DMLOG DEEP_MIND_VERSION leap 14 0\n", 1, "unsupported deep-mind version \"leap 14 0\"");
    let other = b"DMLOG DEEP_MIND_VERSION leap 13 0\nDMLOG START_BLOCK 5\nDMLOG APPLIED_TRANSACTION 6 00\n";
    print("other", other, 1, "line 3: APPLIED_TRANSACTION: for block 6 while block 5 is at work");
    print("blocks", b"dbin\x07", 1, "dbin version 7");

    let here = directory.to_str().unwrap();
    fails(&["tools", "print-blocks", here], 2, "holds no block files where those of a store are");
    fails(&["tools", "print-blocks", "/no/such/file"], 2, "cannot open /no/such/file");
    fails(&["tools", "print-blocks", "demo", "--start-block", "5", "--stop-block", "4"], 2, "--stop-block is before");
    fails(&["tools", "check", "blocks", &write(directory, "file", b"x")], 2, "is not a block store");
    let file_as_store = write(directory, "not-a-directory", b"");
    fails(&["tools", "merge", "demo", &file_as_store], 2, "cannot open block store");
    fails(&["tools", "merge", here, here], 2, "is not a log; name a deep-mind log");
    assert_eq!(dfuse(&["tools", "print-blocks", "demo", "--stop-block", "x"]).status.code(), Some(2));
    assert_eq!(dfuse(&["tools", "nonsense"]).status.code(), Some(2));
}

#[test]
fn the_reason_is_told_whatever_is_logged() {
    for arguments in [["--log-level", "off"], ["--log-level", "dfuse_blocks=debug"], ["--log-format", "json"]] {
        let output = fails(&[&["tools", "print-blocks", "/no/such/file"], &arguments[..]].concat(), 2, "cannot open");
        assert_eq!(text(&output.stderr).lines().count(), 1);
    }
    let output = dfuse(&["tools", "print-blocks", "demo", "--log-level", "=,,x"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("invalid value '=,,x' for '--log-level <LEVEL>'"),
        "{}",
        text(&output.stderr)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named() {
    for format in ["text", "json"] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        let output = command.args(["tools", "print-blocks", "demo", "--format", format]).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("cannot write to standard output: "), "{}", text(&output.stderr));
    }
}

#[test]
fn another_chain_leaves_a_store_as_it_is() {
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store").to_str().unwrap().to_owned();
    succeeds(&["tools", "merge", &write(directory.path(), "log", &synthetic_log(350)), &store]);
    let files = files(Path::new(&store));
    for blocks in [20, 500] {
        let mut other = vec![];
        SyntheticChain::builder().seed(2).blocks(blocks).build().write_log(&mut other).unwrap();
        let other = write(directory.path(), "other", &other);
        fails(&["tools", "merge", &other, &store], 1, "use another store, this is another chain");
        assert!(files == self::files(Path::new(&store)), "{blocks}");
    }
}

#[test]
fn stores_of_several_writers_and_of_none() {
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store").to_str().unwrap().to_owned();
    let log = write(directory.path(), "log", &synthetic_log(150));
    for suffix in ["a", "b"] {
        succeeds(&["tools", "merge", &log, &store, "--suffix", suffix]);
    }
    assert_eq!(succeeds(&["tools", "print-blocks", &store]), succeeds(&["tools", "print-blocks", &log]));
    let url = format!("file://{store}");
    assert_eq!(succeeds(&["tools", "print-blocks", &url]).lines().count(), 150);
    fails(&["tools", "merge", &log, &store, "--suffix", "a-b"], 2, "cannot end names of one-block files");

    let absent = directory.path().join("absent");
    let url = format!("file://{}", absent.display());
    fails(&["tools", "print-blocks", &url], 2, "cannot open file://");
    assert!(!absent.exists(), "reading makes no directory");
    for command in [&["tools", "print-blocks"][..], &["tools", "check", "blocks"]] {
        fails(&[command, &["memory:///nothing"]].concat(), 2, "the block store \"memory:///nothing\" is empty");
    }
}

#[test]
fn compressed_block_files_are_recognised() {
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store");
    let log = write(directory.path(), "log", &synthetic_log(150));
    succeeds(&["tools", "merge", &log, store.to_str().unwrap()]);
    let bundle = fs::read(store.join("merged-blocks/0000000000.dbin.zst")).unwrap();
    let plain = zstd::decode_all(&bundle[..]).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    for content in [bundle, plain, gzip.finish().unwrap()] {
        let file = write(directory.path(), "blocks", &content);
        assert_eq!(succeeds(&["tools", "print-blocks", &file]).lines().count(), 98);
    }
}

#[test]
fn damage_to_what_a_merge_continues_is_told_with_its_remedy() {
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store");
    let log = write(directory.path(), "log", &synthetic_log(150));
    let merge = ["tools", "merge", &log, store.to_str().unwrap()];
    succeeds(&merge);
    let one_block = fs::read_dir(store.join("one-blocks")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&one_block).unwrap();
    fs::write(&one_block, b"").unwrap();
    fails(&merge, 1, &format!("/dfuse tools merge --mend LOG {}", store.to_str().unwrap()));
    succeeds(&["tools", "merge", "--mend", &log, store.to_str().unwrap()]);
    assert_eq!(fs::read(&one_block).unwrap(), whole);
    succeeds(&merge);
    fails(&["tools", "merge", "demo", store.to_str().unwrap(), "--first-block", "7"], 1, "this is another chain");

    let unwritable = directory.path().join("unwritable");
    fs::create_dir(&unwritable).unwrap();
    fs::write(unwritable.join("abi-dumps"), b"a file where a directory is due").unwrap();
    let unwritable = unwritable.to_str().unwrap();
    fails(&["tools", "merge", &log, unwritable], 1, "make sure that the block store can be reached, read and written");
}

#[test]
fn damaged_and_missing_files_are_found_and_written_anew() {
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store");
    let log = write(directory.path(), "log", &synthetic_log(250));
    let place = store.to_str().unwrap();
    succeeds(&["tools", "merge", &log, place]);
    let before = files(&store);
    for (file, found) in [
        (
            "abi-dumps/0000000001.jsonl.zst",
            "missing: abi-dumps/0000000001.jsonl.zst: the ABI dump was written and is gone",
        ),
        ("merged-blocks/0000000000.dbin.zst", "hole: "),
        ("merged-blocks/0000000100.dbin.zst", "hole: "),
    ] {
        let path = store.join(file);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for content in [Some(flipped), Some(whole[..whole.len() / 2].to_vec()), Some(vec![]), None] {
            let found = if content.is_some() { "damaged: " } else { found };
            match content {
                Some(content) => fs::write(&path, content).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            // Nothing shows that blocks are missing before the first that is there.
            if !(found == "hole: " && file.contains("0000000000")) {
                let output = fails(&["tools", "check", "blocks", place], 1, "dfuse tools merge --mend LOG");
                assert!(text(&output.stdout).contains(found), "{file}: {}", text(&output.stdout));
            }
            succeeds(&["tools", "merge", "--mend", &log, place]);
            succeeds(&["tools", "check", "blocks", place]);
            assert_eq!(fs::read(&path).unwrap(), whole, "{file}");
        }
    }
    fs::remove_dir_all(store.join("damaged")).unwrap();
    assert_eq!(files(&store), before);
    fails(
        &["tools", "merge", "--mend", "demo", directory.path().join("none").to_str().unwrap()],
        2,
        "cannot open block store",
    );
}

#[test]
fn a_log_without_blocks_is_noticed() {
    let directory = TempDir::new().unwrap();
    let log = write(directory.path(), "log", b"DMLOG DEEP_MIND_VERSION leap 13 0\n");
    let output = dfuse(&["tools", "print-blocks", &log]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("the log holds no block"), "{}", text(&output.stderr));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    let mut child = command
        .args(["tools", "print-blocks", "demo", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn forks_of_a_real_chain_are_put_aside() {
    let Some(log) = recorded::find("fork/fork.dmlog.zst") else { return };
    let directory = TempDir::new().unwrap();
    let store = directory.path().to_str().unwrap();
    succeeds(&["tools", "merge", log.to_str().unwrap(), store]);
    let report = succeeds(&["tools", "check", "blocks", store]);
    let wanted = [
        "blocks in bundles: 298, 2 to 299 (3 bundles)",
        "one-block files: 115, 300 to 414",
        "forked blocks: 60, 60 to 228",
        "ABI dumps: 1",
    ];
    assert_eq!(report.lines().collect::<Vec<_>>(), wanted);
}

/// A tar archive of one file, and another one before it.
fn archived(name: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = vec![];
    for (name, content) in [("README", &b"hello"[..]), (name, content)] {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend(header);
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

#[test]
fn snapshots_are_looked_into_whatever_they_are_packed_in() {
    let Some(snapshot) = recorded::bytes("snapshots/small-345.bin.zst") else { return };
    let directory = TempDir::new().unwrap();
    let plain = write(directory.path(), "plain", &snapshot);
    let info = succeeds(&["tools", "snapshot", "info", &plain]);
    let id = "00000159fdda026cc7cd3f14888d984b62724b587a2161c84ceae2a6b673d161";
    for line in [
        "version: 6",
        &format!("block: 345 {id}"),
        "chain id: 7d8c6ca18b7c31972dbb92eafdde7da3916ecb4758652aa2a0fb71efd3147c7b",
        "last global sequence: 1358",
        "tables: 68, rows: 178, secondary rows: 141",
    ] {
        assert!(info.lines().any(|found| found == line), "{line}: {info}");
    }
    let archive = archived("snapshot.bin", &snapshot);
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(&archive).unwrap();
    for (name, packed) in [
        ("zst", zstd::encode_all(&snapshot[..], 1).unwrap()),
        ("tar", archive.clone()),
        ("tar.gz", gzip.finish().unwrap()),
        ("tar.zst", zstd::encode_all(&archive[..], 1).unwrap()),
    ] {
        // The name says nothing.
        let file = write(directory.path(), &name.replace('.', "-"), &packed);
        assert_eq!(succeeds(&["tools", "snapshot", "info", &file]), info, "{name}");
    }
    let cut = write(directory.path(), "cut", &snapshot[..snapshot.len() - 9]);
    fails(&["tools", "snapshot", "info", &cut], 1, "copy");
    let log = write(directory.path(), "log", &synthetic_log(3));
    fails(&["tools", "snapshot", "info", &log], 1, "not a portable snapshot");
    let none = write(directory.path(), "none", &archived("other", b"other"));
    fails(&["tools", "snapshot", "info", &none], 2, "no portable snapshot in the archive");
    let absent = directory.path().join("absent");
    fails(&["tools", "snapshot", "info", absent.to_str().unwrap()], 2, "cannot open");
}

#[test]
fn rows_of_a_snapshot_are_printed_by_the_abi_in_it() {
    let Some(path) = recorded::find("snapshots/small-345.bin.zst") else { return };
    let rows = |more: &[&str]| -> Vec<Value> {
        let arguments = [&["tools", "snapshot", "rows", path.to_str().unwrap()], more].concat();
        succeeds(&arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = rows(&[]);
    assert_eq!(all.len(), 178);
    assert!(all.iter().all(|row| row["hex"].is_string() && row.get("json").is_none()));
    let issued = rows(&["--contract", "eosio.token", "--table", "stat"]);
    assert!(!issued.is_empty());
    for row in &issued {
        assert_eq!((&row["contract"], &row["table"]), (&json!("eosio.token"), &json!("stat")));
        assert!(row["json"]["max_supply"].is_string() && row.get("hex").is_none(), "{row}");
    }
    let scope = issued[0]["scope"].as_str().unwrap();
    assert_eq!(rows(&["--contract", "eosio.token", "--table", "stat", "--scope", scope]), issued[..1]);
}
