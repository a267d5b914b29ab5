//! The map of the house against the house: what ARCHITECTURE.md says of the crates is what their manifests say.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::PathBuf};

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
    let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
    let mut in_dependencies = false;
    let mut known = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line == "[dependencies]";
        } else if in_dependencies && let Some(dependency) = line.split(['.', ' ', '=']).next() {
            known.extend(Some(dependency.to_owned()).filter(|it| it.starts_with("dfuse-")));
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
