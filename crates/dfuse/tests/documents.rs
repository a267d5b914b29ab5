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
    let mut document =
        "# Command line\n\nThis page lists the output of `--help` for every command. It is generated. To update \
        it, run `DFUSE_UPDATE_DOCS=1 cargo test -p dfuse --test documents`.\n\n\
        Exit codes: 0 for success (also if the reader of the output closes it), 2 for invalid usage or configuration, \
        1 for any other failure.\n"
            .to_owned();
    describe(&[], &mut document);
    check("command-line.md", &document);
}

#[test]
fn configuration_reference() {
    let output = Command::new(env!("CARGO_BIN_EXE_dfuse")).args(["tools", "print-config"]).output().unwrap();
    let settings = String::from_utf8(output.stdout).unwrap();
    let document = format!(
        "# Configuration\n\nThis page lists every setting of `dfuse start` with its default, in the form of the \
         configuration file (`--config`). Each setting also has an environment variable, and the most common ones have a \
         flag. A flag overrides a variable, and a variable overrides the file. This page is generated from the output of \
         `dfuse tools print-config`. To update it, run `DFUSE_UPDATE_DOCS=1 cargo test -p dfuse --test \
         documents`.\n\n```toml\n{settings}```\n\nCredentials for object stores come \
         from the variables that the stores' own tools use (`AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT`, \
         `AZURE_STORAGE_ACCOUNT_KEY` and others). The variables of `--log-format` and `--log-level` are \
         `DFUSE_LOG_FORMAT` and `DFUSE_LOG_LEVEL`.\n"
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
