//! Generated documents equal what the program says. `DFUSE_UPDATE_DOCS=1` writes them anew.
#![allow(clippy::unwrap_used)]

use std::{fmt::Write, fs, path::Path, process::Command};

fn help(command: &[String]) -> String {
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    // clap wraps to the terminal's width: a fixed one for documents.
    let output = dfuse.args(command).arg("--help").env("COLUMNS", "110").output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The help of a command and of all commands below it, depth first.
fn describe(command: &[String], document: &mut String) {
    let text = help(command);
    let name = [&["dfuse".to_owned()], command].concat().join(" ");
    write!(document, "\n## `{name}`\n\n```\n{text}```\n").unwrap();
    let Some((_, commands)) = text.split_once("Commands:\n") else { return };
    for line in commands.lines().take_while(|line| line.starts_with("  ")) {
        // A wrapped description is indented further than a name.
        let name = line.split_whitespace().next().filter(|name| *name != "help" && !line.starts_with("   "));
        if let Some(name) = name {
            describe(&[command, &[name.to_owned()]].concat(), document);
        }
    }
}

#[test]
fn command_line_reference() {
    let mut document = "# Command line\n\nWhat `--help` says of every command. This page is generated; \
        `DFUSE_UPDATE_DOCS=1 cargo test -p dfuse --test documents` writes it anew.\n\n\
        Exit codes: 0 when all went well (also when whoever reads the output closes it), 2 for bad usage or configuration, \
        1 for anything else.\n"
        .to_owned();
    describe(&[], &mut document);
    check("command-line.md", &document);
}

#[test]
fn configuration_reference() {
    let output = Command::new(env!("CARGO_BIN_EXE_dfuse")).args(["tools", "print-config"]).output().unwrap();
    let settings = String::from_utf8(output.stdout).unwrap();
    let document = format!(
        "# Configuration\n\nWhat `dfuse start` can be told, with the defaults, in the form of its configuration file \
         (`--config`). Each setting has a variable, too, and the most used ones a flag; flags come before variables, variables \
         before the file. This page is generated from what `dfuse tools print-config` prints; `DFUSE_UPDATE_DOCS=1 cargo \
         test -p dfuse --test documents` writes it anew.\n\n```toml\n{settings}```\n\nCredentials of object stores come \
         from the variables that their own tools use (`AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT`, \
         `AZURE_STORAGE_ACCOUNT_KEY` and others). `--log-format` and `--log-level` have the variables `DFUSE_LOG_FORMAT` and \
         `DFUSE_LOG_LEVEL`.\n"
    );
    check("configuration.md", &document);
}

#[test]
fn tests_are_run_by_the_command_that_the_readme_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
    let checks = read(".ci/run");
    let command = checks.lines().find_map(|line| line.strip_prefix("tests=(")?.strip_suffix(')')).unwrap();
    assert!(command.contains("--no-fail-fast"), "{command}");
    for file in ["README.md", "CONTRIBUTING.md"] {
        assert!(read(file).contains(command), "{file} does not have {command:?}");
    }
}

/// The document that is checked in must be this one.
#[track_caller]
fn check(name: &str, document: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("DFUSE_UPDATE_DOCS").is_some() {
        fs::write(&path, document).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == document, "docs/{name} differs: run DFUSE_UPDATE_DOCS=1 cargo test -p dfuse --test documents");
}
