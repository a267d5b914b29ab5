//! What operators install: the service, sample configurations, alert rules, the dashboard, completions and manual pages.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const DFUSE: &str = env!("CARGO_BIN_EXE_dfuse");

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging")
}

fn dfuse(arguments: &[&str]) -> Output {
    Command::new(DFUSE).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What the dashboard leaves out, and why.
const NOT_SHOWN: [(&str, &str); 14] = [
    ("dfuse_graphql_abis_asked_total", "for tests"),
    ("dfuse_graphql_blocks_read_total", "for tests"),
    ("dfuse_graphql_traces_decoded_total", "for tests"),
    ("dfuse_websocket_rendered_blocks_total", "for tests"),
    ("dfuse_http_request_duration_seconds_count", "a part of a histogram"),
    ("dfuse_http_request_duration_seconds_sum", "a part of a histogram"),
    ("dfuse_guaranteed_pushes_waiting", "short"),
    ("dfuse_node_log_bytes", "the length of a file"),
    ("dfuse_node_log_queue_full", "an alert"),
    ("dfuse_node_starts_total", "an alert"),
    ("dfuse_page_token", "no metric but a cookie"),
    ("dfuse_token", "no metric but a cookie"),
    ("dfuse_websocket_closed_total", "errors by code are shown"),
    ("dfuse_websocket_requests_total", "messages are shown"),
];

/// Names of metrics in a text: words that begin with `dfuse_`.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("dfuse_")).collect()
}

/// All text of the sources of this project.
fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn alerts_and_dashboard_name_metrics_that_there_are() {
    let mut all = String::new();
    for krate in fs::read_dir(packaging().join("../crates")).unwrap() {
        sources(&krate.unwrap().path().join("src"), &mut all);
    }
    let known: BTreeSet<_> = all.split('"').filter(|text| metrics_in(text) == BTreeSet::from([*text])).collect();
    for file in ["prometheus/alerts.yml", "grafana/dfuse.json"] {
        let named = fs::read_to_string(packaging().join(file)).unwrap();
        let named = metrics_in(&named);
        assert!(named.len() > 8, "{file} names {named:?}");
        for metric in named {
            let family = metric.strip_suffix("_bucket").unwrap_or(metric);
            assert!(known.contains(family), "{file} names {metric}, which is no metric");
        }
    }
    let shown = fs::read_to_string(packaging().join("grafana/dfuse.json")).unwrap();
    let shown = metrics_in(&shown);
    let is_shown = |name: &str| shown.contains(name) || shown.contains(format!("{name}_bucket").as_str());
    let left_out: BTreeSet<_> = known.into_iter().filter(|name| !is_shown(name)).collect();
    assert_eq!(
        left_out,
        NOT_SHOWN.iter().map(|(name, _)| *name).collect(),
        "add a panel to the dashboard, or a reason here"
    );
    let dashboard = fs::read(packaging().join("grafana/dfuse.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_slice(&dashboard).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 10);
    let alerts = fs::read_to_string(packaging().join("prometheus/alerts.yml")).unwrap();
    let (alerts, described) = (alerts.matches("- alert:").count(), alerts.matches("description:").count());
    assert!(alerts > 8 && alerts == described, "every alert says what to do");
}

#[test]
fn sample_configurations_are_accepted() {
    for file in fs::read_dir(packaging().join("config")).unwrap() {
        let file = file.unwrap().path();
        // Machines that share a store have their own test.
        if file.is_dir() {
            continue;
        }
        let data_dir = tempfile::tempdir().unwrap();
        let missing = data_dir.path().join("missing.dmlog");
        // Settings are checked before the source is opened, which is not there.
        let output = Command::new(DFUSE)
            .args(["start", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .arg("--data-dir")
            .arg(data_dir.path().join("data"))
            .arg("--source")
            .arg(format!("deep-mind:{}", missing.display()))
            .output()
            .unwrap();
        let told = text(&output.stderr);
        assert!(told.contains("missing.dmlog") && !told.contains("setting"), "{}: {told}", file.display());
    }
}

#[test]
fn sample_configurations_of_machines_are_accepted() {
    for file in ["ingest.toml", "api.toml"] {
        let data_dir = tempfile::tempdir().unwrap();
        // What is looked at after roles and keys.
        let output = Command::new(DFUSE)
            .args(["start", "--chain-id", "none", "--config"])
            .arg(packaging().join("config/machines").join(file))
            .arg("--data-dir")
            .arg(data_dir.path())
            .output()
            .unwrap();
        let told = text(&output.stderr);
        assert!(told.contains("the chain id \"none\" is none") && !told.contains("setting"), "{file}: {told}");
    }
}

#[test]
fn the_service_is_one_that_systemd_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let unit = fs::read_to_string(packaging().join("systemd/dfuse.service")).unwrap();
    assert!(unit.contains("/usr/local/bin/dfuse start"));
    let path = folder.path().join("dfuse.service");
    fs::write(&path, unit.replace("/usr/local/bin/dfuse", DFUSE)).unwrap();
    let Ok(output) = Command::new("systemd-analyze").args(["verify", "--recursive-errors=no"]).arg(&path).output()
    else {
        eprintln!("skipped: there is no systemd-analyze");
        return;
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "warnings");
}

#[test]
fn the_container_runs_what_the_command_line_has() {
    let file = fs::read_to_string(packaging().join("container/Containerfile")).unwrap();
    let toolchain = fs::read_to_string(packaging().join("../Cargo.toml")).unwrap();
    let version = toolchain.lines().find_map(|line| line.strip_prefix("rust-version = \"")).unwrap().trim_matches('"');
    assert!(file.contains(&format!("rust:{version}-")), "the image has the Rust version of the workspace");
    assert!(toolchain.contains("[profile.dist]") && file.contains("--profile dist"));
    let known = text(&dfuse(&["tools", "print-config"]).stdout);
    let variables = file.split_whitespace().filter(|word| word.starts_with("DFUSE_") && word.contains('='));
    for variable in variables.map(|word| word.split('=').next().unwrap()) {
        assert!(known.contains(variable), "{variable} is no setting");
    }
}

#[test]
fn shells_and_manual_pages_know_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = dfuse(&["completions", shell]);
        assert!(output.status.success() && text(&output.stdout).contains("print-blocks"), "{shell}");
    }
    let output = dfuse(&["completions", "csh"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("bash"), "{}", text(&output.stderr));

    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let output = dfuse(&["man", pages.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for (page, says) in
        [("dfuse.1", "dfuse\\-start"), ("dfuse-start.1", "data\\-dir"), ("dfuse-keys-create.1", "origin")]
    {
        let page = fs::read_to_string(pages.join(page)).unwrap();
        assert!(page.contains(says), "{page}");
    }
    fs::write(folder.path().join("file"), "").unwrap();
    let output = dfuse(&["man", folder.path().join("file/man1").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot be made"), "{}", text(&output.stderr));
}
