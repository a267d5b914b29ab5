//! A file system that runs full.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

/// Set in the process that has the file system: where it is mounted.
const MOUNTED: &str = "DFUSE_SMALL_DISK";

/// A file system of its own, of some megabytes.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Runs `body` on a file system in memory of so many MiB, in a process of its own, of which it is the only test and with
    /// which the file system ends. `test` is the name of the test that calls this, as in the list of all tests.
    ///
    /// Where no file system may be mounted it prints one line that says so, and does nothing.
    #[allow(clippy::print_stderr)] // the line is for whoever runs the tests
    pub fn run(test: &str, mebibytes: u32, body: impl FnOnce(&SmallDisk)) {
        if let Some(path) = std::env::var_os(MOUNTED) {
            return body(&SmallDisk { path: path.into() });
        }
        let folder = std::env::temp_dir().join(format!("dfuse-{}-{}", std::process::id(), test.replace("::", "-")));
        fs::create_dir_all(&folder).expect("the folder for temporary files can be written to");
        let mount = format!("mount -t tmpfs -o size={mebibytes}m dfuse \"$0\"");
        // The second needs no rights, but not every system allows it.
        let namespaces = [&["--mount"][..], &["--user", "--map-root-user", "--mount"]];
        let unshare = |namespace: &[&str], script: &str| {
            let mut command = Command::new("unshare");
            command.args(namespace).args(["sh", "-c", script]).arg(&folder);
            command
        };
        let may_mount = |namespace: &&&[&str]| {
            let tried = unshare(namespace, &format!("{mount} 2>&-")).output();
            tried.is_ok_and(|output| output.status.success())
        };
        let passed = namespaces.iter().find(may_mount).map(|namespace| {
            let exe = std::env::current_exe().expect("a test is a program");
            let mut command = unshare(namespace, &format!("{mount} && exec \"$@\""));
            command.arg(exe).args([test, "--exact", "--nocapture"]).env(MOUNTED, &folder);
            command.status().is_ok_and(|status| status.success())
        });
        let _ = fs::remove_dir(&folder);
        match passed {
            None => eprintln!("skipped: no file system may be mounted here"),
            Some(passed) => assert!(passed, "it failed on the small file system"),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Fills it up, but for so many KiB.
    pub fn fill_but(&self, kibibytes: u64) -> io::Result<()> {
        let mut ballast = fs::File::create(self.ballast())?;
        let mut length = 0;
        while let Ok(written) = ballast.write(&[0x5a; 4096]) {
            length += written as u64;
        }
        ballast.set_len(length.saturating_sub(kibibytes << 10))
    }

    /// Gives back what was taken by [`SmallDisk::fill_but`].
    pub fn free(&self) -> io::Result<()> {
        fs::remove_file(self.ballast())
    }
}
