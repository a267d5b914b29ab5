//! The rules of the house: ARCHITECTURE.md says of the crates what their manifests say, every decision is listed, files of a
//! crate do not import each other in circles, and functions and files stay short.
#![allow(clippy::unwrap_used)]

mod sources;

use std::{collections::BTreeSet, fs, path::PathBuf};

use sources::Crate;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Names of the crates of this workspace.
fn crates() -> BTreeSet<String> {
    let folders = fs::read_dir(root().join("crates")).unwrap();
    folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect()
}

/// The crates of this workspace that a manifest names as dependencies, those of tests left out.
fn knows(name: &str) -> BTreeSet<String> {
    dependencies(name).into_iter().filter(|dependency| dependency.starts_with("dfuse-")).collect()
}

/// What a manifest names as dependencies, those of tests left out.
fn dependencies(name: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
    let mut in_dependencies = false;
    let mut known = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line == "[dependencies]";
        } else if in_dependencies && let Some(dependency) = line.split(['.', ' ', '=']).next() {
            known.insert(dependency.to_owned());
        }
    }
    known
}

/// What is in backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_table_of_crates_is_what_the_manifests_say() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut listed = BTreeSet::new();
    for row in map.lines().filter(|line| line.starts_with("| `dfuse")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, name, _, known, _] = cells[..] else { continue };
        let name = name.trim_matches('`').to_owned();
        if !crates().contains(&name) {
            continue;
        }
        let known = match known {
            "all below" => knows(&name),
            "nothing" => BTreeSet::new(),
            known => quoted(known),
        };
        assert_eq!(known, knows(&name), "what {name} knows");
        listed.insert(name);
    }
    assert_eq!(listed, crates(), "the crates in the table");
}

#[test]
fn every_decision_is_in_the_list() {
    let folder = root().join("docs/decisions");
    let list = fs::read_to_string(folder.join("README.md")).unwrap();
    for page in fs::read_dir(&folder).unwrap() {
        let name = page.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || list.contains(&format!("({name})")), "docs/decisions/README.md names {name}");
    }
}

/// Crates with circles among their files; a crate comes off this list and never onto it.
const WITH_CIRCLES: [&str; 1] = ["dfuse-testkit"];

#[test]
fn files_of_a_crate_do_not_import_each_other_in_circles() {
    let circles = |name: String| {
        let circles = Crate::read(&root().join("crates").join(&name).join("src")).circles();
        (!circles.is_empty()).then_some((name, circles))
    };
    let found: Vec<_> = crates().into_iter().filter_map(circles).collect();
    let (known, new): (Vec<_>, Vec<_>) = found.into_iter().partition(|(name, _)| WITH_CIRCLES.contains(&&**name));
    assert!(new.is_empty(), "{new:#?}");
    assert_eq!(known.len(), WITH_CIRCLES.len(), "a crate without circles comes off the list");
}

/// Lines of the longest function.
const FUNCTION_LINES: usize = 100;
/// Lines of the file in the middle, by length.
const MEDIAN_LINES: usize = 250;

#[test]
fn functions_and_files_are_short() {
    let (mut lengths, mut long) = (Vec::new(), Vec::new());
    for name in crates().into_iter().filter(|name| name != "dfuse-testkit") {
        let sources = Crate::read(&root().join("crates").join(&name).join("src"));
        lengths.extend(sources.file_lengths());
        long.extend(sources.functions().filter(|(_, lines)| *lines > FUNCTION_LINES));
    }
    assert!(long.is_empty(), "{long:#?}");
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median < MEDIAN_LINES, "half of the files have more than {median} lines");
}

#[test]
fn engines_are_known_to_dfuse_kv_alone() {
    for name in crates().into_iter().filter(|name| name != "dfuse-kv") {
        let manifest = fs::read_to_string(root().join("crates").join(&name).join("Cargo.toml")).unwrap();
        assert!(!manifest.contains("fjall"), "{name} depends on an engine");
        let sources = Crate::read(&root().join("crates").join(&name).join("src"));
        assert!(!sources.mentions("FjallStore"), "{name} names an engine's type");
    }
}

/// What clients talk to. None of these imports another one, and nothing below knows one of them.
const SURFACES: [&str; 5] = ["dfuse-api", "dfuse-graphql", "dfuse-grpc", "dfuse-web", "dfuse-sink"];
/// Servers and schemas of surfaces. What stands below all surfaces knows none of them.
const OF_SURFACES: [&str; 8] =
    ["async-graphql", "axum", "axum-core", "hyper", "hyper-util", "tonic", "tower", "tower-http"];

#[test]
fn surfaces_know_nothing_of_each_other_and_use_cases_nothing_of_them() {
    for name in crates().into_iter().filter(|name| name != "dfuse") {
        let known = knows(&name);
        let surfaces: Vec<_> = SURFACES.iter().filter(|surface| known.contains(**surface)).collect();
        assert!(surfaces.is_empty(), "{name} knows {surfaces:?}");
    }
    let below = ["dfuse-query", "dfuse-render"].into_iter().filter(|name| crates().contains(*name));
    for name in below {
        let servers: Vec<_> = OF_SURFACES.into_iter().filter(|server| dependencies(name).contains(*server)).collect();
        assert!(servers.is_empty(), "{name} depends on {servers:?}");
    }
}
