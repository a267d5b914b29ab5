//! A full disk: the process says so, goes on serving, and goes on writing when there is space.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use dfuse_testkit::synthetic::SyntheticChain;
use support::{Server, text};
use tempfile::TempDir;

/// A file system in memory, as small as wanted; it goes when this is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// None where nothing can be mounted.
    fn mount(mebibytes: u32) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs", text(folder.path())]).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the space but `left` bytes.
    fn fill(&self, left: usize) -> io::Result<()> {
        let (ballast, reserve) = (self.path().join("ballast"), self.path().join("reserve"));
        fs::write(&reserve, vec![0; left])?;
        let mut file = File::create(ballast)?;
        while file.write_all(&[0; 1 << 12]).is_ok() {}
        fs::remove_file(reserve)
    }

    fn free(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", text(self.path())]).output();
    }
}

#[test]
fn a_full_disk_stops_writing_and_nothing_else() {
    let Some(disk) = SmallDisk::mount(160) else {
        println!("skipped: this user may not mount a small file system");
        return;
    };
    let mut log = vec![];
    SyntheticChain::builder().seed(5).blocks(3000).build().write_log(&mut log).unwrap();
    let data = disk.path().join("data");
    let mut server = Server::start_with(&["--source", "deep-mind:-", "--data-dir", text(&data)], Stdio::piped());
    server.wait_for("REST at");
    let mut stdin = server.stdin();
    let middle = log.len() / 4;
    stdin.write_all(&log[..middle]).unwrap();
    server.wait_for("ready");
    disk.fill(256 << 10).unwrap();
    let rest = log.split_off(middle);
    let node = thread::spawn(move || stdin.write_all(&rest).unwrap());

    server.wait_for("blocks cannot be stored, trying again");
    let health = server.get("/healthz");
    assert_eq!(health.status, 503);
    // The indexes may be the next to need space, while blocks have found some.
    let conditions = health.json()["details"]["conditions"].as_object().unwrap().clone();
    assert!(conditions.keys().any(|name| ["block_store", "index_store"].contains(&name.as_str())), "{conditions:?}");
    let blocks = server.get("/v0/blocks?limit=50");
    assert_eq!((blocks.status, blocks.json().as_array().unwrap().len()), (200, 50));

    disk.free();
    node.join().unwrap();
    server.wait_for("the source has no more blocks");
    loop {
        let health = server.get("/healthz");
        if health.status == 200 {
            break;
        }
        assert_eq!(health.status, 503);
        thread::yield_now();
    }
    server.stop();
    for tool in [&["check", "index", "--data-dir", text(&data)][..], &["check", "blocks", text(&data.join("blocks"))]] {
        let output = Command::new(env!("CARGO_BIN_EXE_dfuse")).arg("tools").args(tool).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
