//! Clients that ask again and again.
#![allow(dead_code, reason = "not every benchmark uses it")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Asks for what is at these paths as long as the time lasts, over one connection; how long each answer took.
pub(crate) fn ask(address: &str, paths: &[String], mut next: usize, time: Duration) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut times = Vec::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        next = (next * 31 + 7) % paths.len();
        let started = Instant::now();
        write!(stream, "GET {} HTTP/1.1\r\nHost: bench\r\n\r\n", paths[next]).unwrap();
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            answers.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        answers.read_exact(&mut body).unwrap();
        assert!(length > 500, "{}", String::from_utf8_lossy(&body));
        times.push(started.elapsed());
    }
    times
}
