//! The node's own log: passed on through `tracing`, the last lines remembered.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{debug, error, info, warn};

/// Lines that are remembered.
const REMEMBERED: usize = 60;
/// Longest part of a line that is passed on.
const LONGEST: u64 = 8 << 10;

/// What a node has said of itself in this run.
#[derive(Debug, Default)]
pub(crate) struct Output {
    lines: Mutex<VecDeque<String>>,
    count: AtomicU64,
}

impl Output {
    /// Passes a stream on, line by line, until it ends.
    pub(crate) fn pass_on(&self, node: &str, stream: impl Read) {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            match stream.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => self.line(node, &line),
            }
            // The rest of a line that is too long.
            while line.last() != Some(&b'\n') && line.len() as u64 == LONGEST {
                line.clear();
                if !matches!(stream.by_ref().take(LONGEST).read_until(b'\n', &mut line), Ok(count) if count > 0) {
                    return;
                }
            }
        }
    }

    /// Passes one line on.
    pub(crate) fn line(&self, node: &str, line: &[u8]) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        LogLine::parse(line).pass_on(node);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == REMEMBERED {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    /// Lines so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The last lines.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// A line in nodeos' form: `level  time  thread  file:line  function ] text`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogLine<'a> {
    level: &'a str,
    place: &'a str,
    pub(crate) text: &'a str,
}

impl<'a> LogLine<'a> {
    pub(crate) fn parse(line: &'a str) -> Self {
        let parsed = line.split_once(" ] ").and_then(|(head, text)| {
            let mut fields = head.split_whitespace();
            let level = fields.next().filter(|level| ["debug", "info", "warn", "error"].contains(level))?;
            Some(Self { level, place: fields.nth(2).unwrap_or_default(), text })
        });
        parsed.unwrap_or(Self { level: "info", place: "", text: line })
    }

    fn pass_on(&self, node: &str) {
        let Self { level, place, text } = self;
        let place = Some(*place).filter(|place| !place.is_empty());
        match *level {
            "error" => error!(target: "nodeos", node, place, "{text}"),
            "warn" => warn!(target: "nodeos", node, place, "{text}"),
            "info" if !self.is_of_every_block() => info!(target: "nodeos", node, place, "{text}"),
            _ => debug!(target: "nodeos", node, place, "{text}"),
        }
    }

    /// Lines that come with every block say nothing new.
    fn is_of_every_block(&self) -> bool {
        self.text.starts_with("Produced block") || self.text.starts_with("Received block")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let line =
            "warn  2026-11-25T21:59:37.267 nodeos    chain_plugin.cpp:1114         plugin_initialize    ] 3060000 a: b";
        let parsed = LogLine::parse(line);
        assert_eq!(parsed, LogLine { level: "warn", place: "chain_plugin.cpp:1114", text: "3060000 a: b" });
        assert_eq!(LogLine::parse("    {}"), LogLine { level: "info", place: "", text: "    {}" });
    }

    #[test]
    fn long_lines_and_foreign_bytes_are_survived() {
        let output = Output::default();
        let long = vec![b'x'; 3 * LONGEST as usize];
        let stream = [b"one\n", &long[..], b"\n\xff\xfe\n", &long, &long].concat();
        output.pass_on("n", &stream[..]);
        let lines = output.last_lines();
        assert_eq!((output.count(), lines.len()), (4, 4));
        assert_eq!(lines[1].len(), LONGEST as usize);
        assert_eq!(lines[2], "\u{fffd}\u{fffd}");
        for _ in 0..2 * REMEMBERED {
            output.line("n", b"again");
        }
        assert_eq!(output.last_lines().len(), REMEMBERED);
    }
}
