//! What the program says where something is amiss: no secrets, and commands that work when they are pasted.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use dfuse_testkit::synthetic::SyntheticChain;
use support::{Server, text};
use tempfile::TempDir;

/// A key of local chains, which everybody knows, in both forms.
const PRIVATE_KEYS: [&str; 2] = [
    "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3",
    "PVT_K1_2bfGi9rYsXQSXXTvJbDAPhHLQUojjaNLomdm3cEJ1XTzMqUt3V",
];

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    let Output { status, stderr, .. } =
        command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null()).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn log(folder: &Path, blocks: u32) -> String {
    let mut log = vec![];
    SyntheticChain::builder().seed(1).blocks(blocks).build().write_log(&mut log).unwrap();
    let file = folder.join("my log");
    fs::write(&file, log).unwrap();
    text(&file).to_owned()
}

/// Indexes a log, in a directory with a space in its name.
fn indexed(folder: &Path, log: &str) -> String {
    let data = text(&folder.join("my data")).to_owned();
    let source = format!("deep-mind:{log}");
    let (code, said) =
        run(&["start", "--listen", "127.0.0.1:0", "--source", &source, "--data-dir", &data, "--exit-at-end"], &[]);
    assert_eq!(code, Some(0), "{said}");
    data
}

#[test]
fn private_keys_are_not_repeated() {
    let folder = TempDir::new().unwrap();
    let data = text(&folder.path().join("data")).to_owned();
    for key in PRIVATE_KEYS {
        let config = folder.path().join("dfuse.toml");
        fs::write(&config, format!("[blocks]\nfirst_block = \"{key}\"\n")).unwrap();
        let start = ["start", "--listen", "127.0.0.1:0", "--data-dir", &data];
        let with = |more: &[&str]| run(&[&start, more].concat(), &[]);
        let variable = |name: &str| run(&start, &[(name, key)]);
        for (code, said) in [
            with(&["--chain-id", key]),
            with(&["--source", key]),
            with(&["--source", &format!("deep-mind:{key}")]),
            with(&["--source", &format!("blocks:{key}"), "--exit-at-end"]),
            run(&["start", "--listen", key, "--data-dir", &data], &[]),
            with(&["--config", text(&config)]),
            with(&[key]),
            with(&[&format!("--{key}")]),
            run(&[key], &[]),
            run(&["--log-format", key, "start"], &[]),
            run(&["--log-format", "json", "tools", "print-blocks", key], &[]),
            run(&["tools", "print-blocks", key], &[]),
            run(&["tools", "print-blocks", "demo", "--start-block", key], &[]),
            run(&["tools", "check", "blocks", key], &[]),
            run(&["tools", "merge", key, key], &[]),
            run(&["tools", "reindex", "--data-dir", key], &[]),
            variable("DFUSE_HTTP__MAX_CONNECTIONS"),
            variable("DFUSE_SEARCH__INCLUDE"),
            variable("DFUSE_NODEOS__NODES"),
            variable("DFUSE_LOG_LEVEL"),
            variable("DFUSE_CHAIN_ID"),
            run(&["start", "--listen", "nowhere", "--data-dir", &data], &[(&format!("DFUSE_{key}"), "1")]),
        ] {
            assert!(matches!(code, Some(1 | 2)), "{code:?}: {said}");
            assert!(said.contains("***"), "{said}");
            assert!(!said.contains(&key[1..]) && !said.contains(&key[8..40]), "{said}");
        }
    }
}

/// The command in a message, as a shell reads it.
fn advised<'a>(said: &'a str, command: &str) -> &'a str {
    let said = said.lines().find(|line| line.contains(command)).unwrap_or_else(|| panic!("{command}: {said}"));
    let start = said[..said.find(command).unwrap()].rfind(['`', ' ']).unwrap() + 1;
    let end = said[start..].find('`').map_or(said.len(), |length| start + length);
    &said[start..end]
}

fn paste(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command}: {said}");
    said
}

#[test]
fn advised_commands_mend_damaged_indexes() {
    let folder = TempDir::new().unwrap();
    let log = log(folder.path(), 250);
    let data = indexed(folder.path(), &log);
    let source = format!("deep-mind:{log}");
    let start = ["start", "--listen", "127.0.0.1:0", "--source", &source, "--data-dir", &data, "--exit-at-end"];
    for (round, command) in
        ["dfuse start --rebuild-damaged", "dfuse tools reindex", "dfuse tools reindex"].iter().enumerate()
    {
        damage(&Path::new(&data).join("index"));
        // Where nothing is known of the source, starting is not advised.
        let (code, said) =
            if round == 2 { run(&["tools", "check", "index", "--data-dir", &data], &[]) } else { run(&start, &[]) };
        assert_eq!((code, said.contains("dfuse start")), (Some(1), round != 2), "{said}");
        paste(advised(&said, command));
        let (code, said) = run(&start, &[]);
        assert_eq!(code, Some(0), "{said}");
    }
}

/// Flips a byte in each table.
fn damage(index: &Path) {
    let mut folders = vec![index.to_owned()];
    let mut damaged = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let in_tables = entry.parent().unwrap().ends_with("tables");
            if entry.is_dir() {
                folders.push(entry);
            } else if in_tables {
                let mut content = fs::read(&entry).unwrap();
                let at = content.len() / 2;
                content[at] ^= 0x24;
                fs::write(&entry, content).unwrap();
                damaged += 1;
            }
        }
    }
    assert!(damaged > 0, "no tables");
}

#[test]
fn advised_commands_mend_block_files() {
    let folder = TempDir::new().unwrap();
    let log = log(folder.path(), 450);
    let data = indexed(folder.path(), &log);
    let bundle = Path::new(&data).join("blocks/merged-blocks/0000000200.dbin.zst");
    let source = format!("deep-mind:{log}");
    fs::remove_file(&bundle).unwrap();
    let (code, said) = run(&["start", "--listen", "127.0.0.1:0", "--source", &source, "--data-dir", &data], &[]);
    assert_eq!(code, Some(1), "{said}");
    paste(advised(&said, "dfuse tools merge --mend"));
    assert!(bundle.is_file());
    // A tool does not know a log. The store may be named by the folder of its bundles.
    let bundles = bundle.parent().unwrap();
    for store in [bundles.parent().unwrap(), bundles] {
        fs::remove_file(&bundle).unwrap();
        let (code, said) = run(&["tools", "check", "blocks", text(store)], &[]);
        assert_eq!(code, Some(1), "{said}");
        let command = advised(&said, "dfuse tools merge --mend LOG").replace("LOG", &format!("'{log}'"));
        paste(&command);
        assert!(bundle.is_file(), "{command}");
        let left = fs::read_dir(bundles).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        assert!(left.iter().all(|name| text(Path::new(name)).ends_with(".dbin.zst")), "{left:?}");
    }
}

/// The block files are gone, and those that would come begin behind what is indexed.
#[test]
fn a_removed_block_store_is_noticed_at_once() {
    let folder = TempDir::new().unwrap();
    let log = log(folder.path(), 450);
    let data = indexed(folder.path(), &log);
    let blocks = Path::new(&data).join("blocks");
    let late = folder.path().join("late");
    fs::create_dir(&late).unwrap();
    fs::copy(blocks.join("merged-blocks/0000000300.dbin.zst"), late.join("0000000300.dbin.zst")).unwrap();
    fs::remove_dir_all(&blocks).unwrap();
    let source = format!("blocks:{}", text(&late));
    for _ in 0..2 {
        let (code, said) =
            run(&["start", "--listen", "127.0.0.1:0", "--source", &source, "--data-dir", &data, "--exit-at-end"], &[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("the source begins with block 300, and the indexes with block 2"), "{said}");
    }
    // The whole log writes them again.
    indexed(folder.path(), &log);
}

#[test]
fn the_folder_of_bundles_is_a_store_and_has_an_end() {
    let folder = TempDir::new().unwrap();
    let log = log(folder.path(), 450);
    let data = indexed(folder.path(), &log);
    let bundles = Path::new(&data).join("blocks/merged-blocks");
    let other = text(&folder.path().join("other")).to_owned();
    let source = format!("blocks:{}", text(&bundles));
    // Ends by itself, with all that the store has.
    let start = ["start", "--listen", "127.0.0.1:0", "--source", &source, "--data-dir", &other, "--exit-at-end"];
    let (code, said) = run(&start, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("all blocks are indexed"), "{said}");
    let mut server = Server::start(&["--source", &source, "--data-dir", &other]);
    server.wait_for("ready");
    let last = fs::read_dir(&bundles).unwrap().count() as u64 * 100 - 1;
    assert_eq!(server.get("/v0/blocks?limit=1").json()[0]["block_num"], last);
    server.stop();
    let (code, said) = run(&["tools", "check", "blocks", text(&bundles)], &[]);
    assert_eq!(code, Some(0), "{said}");
    let print = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        let output = command.args([&["tools", "print-blocks", text(&bundles)], more].concat()).output().unwrap();
        assert!(output.status.success());
        (String::from_utf8(output.stdout).unwrap().lines().count() as u64, String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(print(&[]).0, last - 1);
    let (lines, said) = print(&["--start-block", "100000"]);
    assert!(
        lines == 0 && said.contains(&format!("there is no block from 100000 on: the highest block is {last}")),
        "{said}"
    );
    let (code, said) = run(&["tools", "print-blocks", text(folder.path())], &[]);
    assert!(code == Some(2) && said.contains("expected are bundles"), "{said}");
}

#[test]
fn files_of_others_are_no_data_directory() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("letter.txt"), "mine").unwrap();
    let (code, said) = run(&["start", "--listen", "127.0.0.1:0", "--data-dir", text(folder.path())], &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("letter.txt") && said.contains("--data-dir"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
