//! A running `dfuse start`, and requests to it.
#![allow(dead_code, reason = "not every test uses all of it")]
#![allow(clippy::print_stdout, reason = "whoever runs the tests reads what is skipped")]
#![allow(clippy::disallowed_methods, reason = "tests that wait give up by the time of the machine")]

pub(crate) mod chain;
pub(crate) mod clients;
pub(crate) mod clocks;
pub(crate) mod faults;
pub(crate) mod forks;
pub(crate) mod load;
pub(crate) mod machines;
pub(crate) mod nodes;
pub(crate) mod proxy;
pub(crate) mod pushes;
pub(crate) mod s3;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Longest that anything may take that happens at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// When a test gives up that waits from now on.
pub(crate) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// The process. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    /// What it has logged so far, as far as it was looked at.
    pub(crate) log: Vec<String>,
    address: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(&self.body)))
    }
}

impl Server {
    /// Starts `dfuse start` with a free port and these arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, Stdio::null())
    }

    pub(crate) fn start_with(arguments: &[&str], stdin: Stdio) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        command.args(["start", "--listen", "127.0.0.1:0"]).args(arguments);
        Self::spawn(command.stdin(stdin))
    }

    /// Starts with a node whose log is what the caller writes, and with few lines of its own log.
    pub(crate) fn piped(data: &Path) -> (Self, ChildStdin) {
        let arguments = ["--source", "deep-mind:-", "--data-dir", text(data), "--log-level", "warn,dfuse::start=info"];
        let mut server = Self::start_with(&arguments, Stdio::piped());
        let node = server.stdin();
        (server, node)
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // Whoever started it may be gone.
                let _ = sender.send(line);
            }
        });
        Self { child, lines, log: Vec::new(), address: None }
    }

    /// Starts it with a standard error that the caller looks after, and an address that it knows.
    pub(crate) fn unread(command: &mut Command, stderr: impl Into<Stdio>, address: String) -> Self {
        let child = command.stderr(stderr).stdout(Stdio::null()).spawn().unwrap();
        Self { child, lines: channel().1, log: Vec::new(), address: Some(address) }
    }

    /// Waits until it can be connected to.
    pub(crate) fn connect(&mut self) -> TcpStream {
        let until = deadline();
        loop {
            match TcpStream::connect(self.address()) {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended");
            thread::yield_now();
        }
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.stdin_if_piped().unwrap()
    }

    pub(crate) fn stdin_if_piped(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits for a line of the log that contains `text`.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        if let Some(line) = self.log.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        let until = deadline();
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {text:?} in {:#?}", self.log),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended without {text:?}: {:#?}", self.log),
            }
        }
    }

    /// Waits for a line of the log that contains `text`; false if the process ends without one.
    pub(crate) fn reaches(&mut self, text: &str) -> bool {
        if self.log.iter().any(|line| line.contains(text)) {
            return true;
        }
        let until = deadline();
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(text) {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {text:?} in {:#?}", self.log),
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Address and port of the server.
    pub(crate) fn address(&mut self) -> String {
        if self.address.is_none() {
            let line = self.wait_for("REST at http://");
            let (_, rest) = line.split_once("REST at http://").unwrap();
            self.address = Some(rest.split('/').next().unwrap().to_owned());
        }
        self.address.clone().unwrap()
    }

    /// That of a server without clients, which tells its health only. From then on that is what is asked.
    pub(crate) fn health_address(&mut self) {
        let line = self.wait_for("health at http://");
        let (_, rest) = line.split_once("health at http://").unwrap();
        self.address = Some(rest.split('/').next().unwrap().to_owned());
    }

    /// Address and port of gRPC.
    pub(crate) fn grpc_address(&mut self) -> String {
        let line = self.wait_for("gRPC at ");
        line.rsplit("gRPC at ").next().unwrap().split_whitespace().next().unwrap().to_owned()
    }

    /// Waits until it answers that path with 200.
    pub(crate) fn wait_until_it_has(&mut self, path: &str) {
        self.wait_until(path, |answer| answer.status == 200);
    }

    /// Asks until the answer is right.
    pub(crate) fn wait_until(&mut self, path: &str, is_right: impl Fn(&Answer) -> bool) {
        let until = deadline();
        loop {
            let answer = self.get(path);
            if is_right(&answer) {
                return;
            }
            assert!(Instant::now() < until, "{path}: {answer:?}: {:#?}", self.log);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it answers. If it ends instead, its log says why.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        if let Some(answer) = try_get(&self.address(), path) {
            return answer;
        }
        self.ends();
        let status = self.wait();
        panic!("no answer to {path}; it ended with {status}: {:#?}", self.log)
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        while let Ok(line) = self.lines.recv() {
            self.log.push(line);
        }
        status
    }

    /// Waits for the end, which must come by itself and in time.
    pub(crate) fn ends(&mut self) -> Option<i32> {
        let until = deadline();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "it does not end");
            thread::yield_now();
        }
    }

    /// Waits for the end, which must come with `code` and one error that contains `message`.
    #[track_caller]
    pub(crate) fn fails(mut self, code: i32, message: &str) {
        let status = self.wait();
        let errors: Vec<_> = self.log.iter().filter(|line| line.contains("ERROR")).collect();
        assert_eq!(status.code(), Some(code), "{:#?}", self.log);
        assert!(errors.len() == 1 && errors[0].contains(message), "{message:?}: {:#?}", self.log);
    }

    /// Ends it with SIGTERM, which must be clean.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.signal("TERM");
        assert_eq!(self.wait().code(), Some(0), "{:#?}", self.log);
        std::mem::take(&mut self.log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and body of what the official client sends for a token.
pub(crate) fn issue(server: &mut Server, key: &str) -> (u16, Value) {
    let body = json!({"api_key": key}).to_string();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let head =
        "POST /v1/auth/issue HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: text/plain;charset=UTF-8";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

/// A token for a key, once the server knows the key.
pub(crate) fn issued(server: &mut Server, key: &str) -> String {
    let until = deadline();
    loop {
        let (status, body) = issue(server, key);
        if status == 200 {
            return body["token"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < until, "{body}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// What the server at an address answers.
pub(crate) fn get(address: &str, path: &str) -> Answer {
    try_get(address, path).unwrap_or_else(|| panic!("no answer of {address} to {path}"))
}

/// The same; nothing if nobody is there, or goes away.
fn try_get(address: &str, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let headers = String::from_utf8(answer[..end].to_vec()).unwrap().to_ascii_lowercase();
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    let mut body = answer.split_off(end + 4);
    if headers.contains("transfer-encoding: chunked") {
        body = unchunk(&body);
    }
    Some(Answer { status, headers, body })
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|bytes| bytes == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
}

/// Text of a path.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Asserts that the tools find no fault in the indexes and block files of a data directory.
#[track_caller]
pub(crate) fn assert_sound(data: &Path) {
    let blocks = data.join("blocks");
    for tool in [&["check", "index", "--data-dir", text(data)][..], &["check", "blocks", text(&blocks)]] {
        let output = Command::new(env!("CARGO_BIN_EXE_dfuse")).arg("tools").args(tool).output().unwrap();
        assert!(output.status.success(), "{tool:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
