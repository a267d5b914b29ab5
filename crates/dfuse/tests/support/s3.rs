//! A server of object storage that speaks S3.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{deadline, text};

/// Names the program.
const PROGRAM: &str = "DFUSE_TEST_S3";
const BUCKET: &str = "blocks";
const KEY: &str = "tester";
/// Must be nowhere but in the environment.
pub(crate) const SECRET: &str = "SecretOfTheObjectStore0123456789";
const REGION: &str = "us-east-1";

/// `versitygw`, which keeps each object as a file; it runs until it is dropped. The variable `DFUSE_TEST_S3` names the program, which
/// `.ci/run` installs.
#[derive(Debug)]
pub(crate) struct S3 {
    folder: TempDir,
    address: String,
    process: Child,
}

impl S3 {
    /// Starts one with an empty bucket. None where there is no program, which is said.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[], 1)
    }

    /// The same over TLS, with a certificate and its key in files of PEM.
    pub(crate) fn with_tls(certificate: &Path, key: &Path) -> Option<Self> {
        // It hangs up on whoever does not greet it as TLS does.
        Self::start_with(&["--cert", text(certificate), "--key", text(key)], 0)
    }

    /// One that is there when it has sent so many bytes to somebody who asks in plain text.
    fn start_with(arguments: &[&str], sent: usize) -> Option<Self> {
        let Some(program) = env::var_os(PROGRAM).map(PathBuf::from).filter(|program| program.is_file()) else {
            println!("skipped: {PROGRAM} names no versitygw, a server of object storage");
            return None;
        };
        // A port that is free may be taken by another test until the server has it.
        loop {
            let folder = TempDir::new().unwrap();
            fs::create_dir(folder.path().join(BUCKET)).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            let address = listener.unwrap().to_string();
            let process = Command::new(&program)
                .args(["--port", &address, "--region", REGION])
                .args(arguments)
                .arg("posix")
                .arg(folder.path())
                .envs([("ROOT_ACCESS_KEY", KEY), ("ROOT_SECRET_KEY", SECRET)])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut server = Self { folder, address, process };
            if server.answers(sent) {
                return Some(server);
            }
        }
    }

    /// Waits until it does, with so many bytes at least; false if it ends.
    fn answers(&mut self, sent: usize) -> bool {
        let ask = |address: &str| {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            stream.read(&mut [0; 1])
        };
        let until = deadline();
        while !ask(&self.address).is_ok_and(|bytes| bytes >= sent) {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < until, "versitygw does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The URL of a place in the bucket.
    pub(crate) fn place(prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// Where the objects of a place are, as files.
    pub(crate) fn files(&self, prefix: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(Path::new(prefix))
    }

    /// What a client that reaches it at `address` must know, as environment variables. A request that takes longer than two seconds is
    /// given up.
    pub(crate) fn variables(address: &str) -> [(&'static str, String); 6] {
        [
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT", format!("http://{address}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_TIMEOUT", "2s".to_owned()),
        ]
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
