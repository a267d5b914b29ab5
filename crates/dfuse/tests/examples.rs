//! The examples of the documents, run as they stand against the demo that they are about.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod support;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use support::Server;

/// Where the documents say that the server listens.
const DOCUMENTED: &str = "127.0.0.1:8080";

/// Examples for which the reader has to bring something.
const NOT_AS_THEY_STAND: [&str; 2] = ["/v0/transactions/ID", "@transaction.json"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The README and all pages, with their names.
fn documents() -> Vec<(String, String)> {
    let pages = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let named =
        |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap());
    pages.chain([root().join("README.md")]).map(named).collect()
}

/// The code blocks of one language in a document.
fn blocks<'a>(document: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{language}\n");
    let starts: Vec<_> = document.match_indices(&fence).map(|(at, fence)| at + fence.len()).collect();
    starts.into_iter().map(|start| document[start..].split("\n```").next().unwrap())
}

/// Whether there is such a program; says what is skipped if not.
fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        println!("skipped: no {program} for the examples");
    }
    found.is_ok()
}

/// Runs a program with this input; its output.
#[track_caller]
fn run(command: &mut Command, input: &str, example: &str) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{example}\n{out}\n{errors}");
    output.stdout
}

#[test]
fn every_example_works_as_it_stands() {
    let mut server = Server::start(&["--source", "demo"]);
    server.wait_for("ready");
    let address = server.address();
    let here = |example: &str| example.replace(DOCUMENTED, &address);
    let (curl, python, node) = (is_there("curl"), is_there("python3"), is_there("node"));
    let javascript = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/javascript");
    let mut ran = [0; 3];
    for (page, document) in documents() {
        let lines = blocks(&document, "sh").flat_map(str::lines).filter(|line| line.starts_with("curl "));
        for line in lines.filter(|line| line.contains(DOCUMENTED)) {
            if !curl || NOT_AS_THEY_STAND.iter().any(|needed| line.contains(needed)) {
                continue;
            }
            let asked = here(line).replacen("curl ", "curl --silent --show-error --fail-with-body ", 1);
            let answer: Value = serde_json::from_slice(&run(&mut Command::new("sh"), &asked, line)).expect(line);
            assert!(answer.get("errors").is_none(), "{page}: {line}\n{answer}");
            ran[0] += 1;
        }
        for example in blocks(&document, "python").filter(|_| python) {
            run(Command::new("python3").arg("-"), &here(example), &page);
            ran[1] += 1;
        }
        for example in blocks(&document, "js").filter(|_| node && javascript.join("node_modules/@dfuse").is_dir()) {
            if page == "quick-start.md" {
                let mut node = Command::new("node");
                run(node.args(["--input-type=module", "-"]).current_dir(&javascript), &here(example), &page);
                ran[2] += 1;
            }
        }
    }
    println!("ran {} of curl, {} of Python, {} of JavaScript", ran[0], ran[1], ran[2]);
    assert!(!curl || ran[0] >= 14, "too few examples were found: {ran:?}");
    server.stop();
}

/// Every page has its place in the book, and the book has no page that is not there.
#[test]
fn the_book_has_every_page() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    for (page, _) in documents() {
        let stands = summary.contains(&format!("({page})"));
        assert_eq!(stands, !["SUMMARY.md", "README.md"].contains(&page.as_str()), "docs/SUMMARY.md and {page}");
    }
    for (link, _) in summary.match_indices("](") {
        let page = summary[link + 2..].split(')').next().unwrap();
        assert!(root().join("docs").join(page).is_file(), "docs/SUMMARY.md names {page}");
    }
}
