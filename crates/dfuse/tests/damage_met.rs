//! Damage that requests meet while the process serves: `/healthz` names it and what to do, all else is answered, and after that it is
//! gone.
#![allow(clippy::unwrap_used)]

mod support;

use std::{fs, path::PathBuf, process::Command};

use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::synthetic::SyntheticChain;
use support::{Server, text};
use tempfile::TempDir;

/// Blocks of the chain: three bundles, and one-block files.
const BLOCKS: u32 = 318;

struct Chain {
    folder: TempDir,
    log: PathBuf,
    /// The ids of the blocks.
    ids: Vec<String>,
}

impl Chain {
    fn new() -> Self {
        let mut log = vec![];
        SyntheticChain::builder().seed(29).blocks(BLOCKS).users(4).build().write_log(&mut log).unwrap();
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, &log).unwrap();
        let mut reader = Reader::new(&log[..]);
        // There is no block 0 or 1.
        let mut ids = vec![String::new(); 2];
        while let Some(event) = reader.next_event().unwrap() {
            let Event::Block(block) = event else { continue };
            ids.push(block.id.to_string());
        }
        Self { folder, log: path, ids }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start(&self, flags: &[&str]) -> Server {
        let source = format!("deep-mind:{}", text(&self.log));
        let data = self.data();
        let mut server = Server::start(&[&["--source", &source, "--data-dir", text(&data)], flags].concat());
        server.wait_for("the source has no more blocks");
        server.wait_for(" ready");
        server
    }
}

fn healthy(server: &mut Server, condition: &'static str) {
    server.wait_until("/healthz", move |health| health.status == 200 && !failing(&health.json(), condition));
}

/// Whether a condition fails, wherever the answer has it.
fn failing(health: &serde_json::Value, condition: &str) -> bool {
    health["details"].to_string().contains(condition)
}

#[test]
fn a_bundle_that_is_gone_or_damaged_is_told_until_it_is_mended() {
    let chain = Chain::new();
    chain.start(&[]).stop();
    let bundle = chain.data().join("blocks/merged-blocks/0000000100.dbin.zst");
    let sound = fs::read(&bundle).unwrap();
    for why in ["is missing", "is damaged"] {
        // Nothing of it is in memory.
        let mut server = chain.start(&[]);
        if why == "is missing" {
            fs::remove_file(&bundle).unwrap();
        } else {
            let mut damaged = sound.clone();
            damaged[sound.len() / 2 - 300..sound.len() / 2 + 300].iter_mut().for_each(|byte| *byte ^= 0x24);
            fs::write(&bundle, damaged).unwrap();
        }
        let paths: Vec<_> = chain.ids[100..200].iter().map(|id| format!("/v0/blocks/{id}")).collect();
        let statuses: Vec<_> = paths.iter().map(|path| server.get(path).status).collect();
        assert!(statuses.iter().any(|status| *status >= 500), "{why}: {statuses:?}");
        server.wait_until("/healthz", |health| health.status == 503 && failing(&health.json(), "damaged_blocks"));
        let told = server.get("/healthz").json().to_string();
        assert!(
            told.contains("the bundle of blocks 100 to 199") && told.contains("dfuse tools merge --mend"),
            "{told}"
        );
        let line = server.wait_for("damaged_blocks: ");
        assert!(line.contains(why) && line.contains(text(&chain.log)), "a command that can be pasted: {line}");
        assert_eq!(server.get(&format!("/v0/blocks/{}", chain.ids[250])).status, 200, "all else is answered");
        let store = chain.data().join("blocks");
        let mend = ["tools", "merge", "--mend", text(&chain.log), text(&store)];
        assert!(Command::new(env!("CARGO_BIN_EXE_dfuse")).args(mend).status().unwrap().success());
        healthy(&mut server, "damaged_blocks");
        assert!(paths.iter().all(|path| server.get(path).status == 200));
        server.stop();
    }
}
