use std::io::Read;

use memchr::memchr;

use crate::{Error, Result};

/// Longest line that is read unless told otherwise: 50 MiB, as in the readers of other systems.
pub const MAX_LINE: usize = 50 * 1024 * 1024;
const CHUNK: usize = 256 * 1024;

/// Splits a byte stream into lines. Memory is bounded by the longest line.
pub(crate) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// Read but not given out yet: `buffer[start..end]`.
    start: usize,
    end: usize,
    limit: usize,
    /// Lines given out so far.
    number: u64,
}

/// One line without its end.
pub(crate) enum Line<'a> {
    /// A line that ends in a newline.
    Whole(&'a [u8]),
    /// What stands after the last newline of the stream.
    Torn(&'a [u8]),
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(source: R, limit: usize) -> Self {
        Self { source, buffer: vec![0; CHUNK], start: 0, end: 0, limit, number: 0 }
    }

    /// The next line, or `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>> {
        let mut searched = self.start;
        loop {
            if let Some(at) = memchr(b'\n', &self.buffer[searched..self.end]) {
                let line = self.start..searched + at;
                if line.len() > self.limit {
                    return Err(Error::TooLong { line: self.number + 1, limit: self.limit });
                }
                self.start = line.end + 1;
                self.number += 1;
                let line = &self.buffer[line];
                return Ok(Some(Line::Whole(line.strip_suffix(b"\r").unwrap_or(line))));
            }
            if self.end - self.start > self.limit {
                return Err(Error::TooLong { line: self.number + 1, limit: self.limit });
            }
            // Make room, at least as much again as there is, so that a long line is not searched over and over.
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            searched = self.end;
            if self.buffer.len() - self.end < CHUNK / 2 {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) if self.end == 0 => return Ok(None),
                Ok(0) => {
                    let line = 0..self.end;
                    self.end = 0;
                    self.number += 1;
                    return Ok(Some(Line::Torn(&self.buffer[line])));
                }
                Ok(count) => self.end += count,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Io { line: self.number, source }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives out a few bytes at a time.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn all(text: &[u8], step: usize, limit: usize) -> Result<Vec<(String, bool)>> {
        let mut lines = Lines::new(Dribble(text, step), limit);
        let mut found = vec![];
        while let Some(line) = lines.next()? {
            let (bytes, whole) = match line {
                Line::Whole(bytes) => (bytes, true),
                Line::Torn(bytes) => (bytes, false),
            };
            found.push((String::from_utf8(bytes.to_vec()).unwrap(), whole));
        }
        Ok(found)
    }

    #[test]
    fn splits_at_newlines_whatever_the_chunks() {
        for step in 1..8 {
            let found = all(b"one\n\ntwo \r\nthree", step, 100).unwrap();
            let wanted = [("one", true), ("", true), ("two ", true), ("three", false)];
            assert_eq!(found, wanted.map(|(line, whole)| (line.to_owned(), whole)));
        }
        assert!(all(b"", 1, 100).unwrap().is_empty());
    }

    #[test]
    fn a_long_line_is_read_up_to_the_limit() {
        let mut text = vec![b'x'; CHUNK * 3];
        text.push(b'\n');
        assert_eq!(all(&text, 100_000, CHUNK * 4).unwrap()[0].0.len(), CHUNK * 3);
        // However much of it one read gives.
        for step in [100_000, text.len()] {
            assert!(matches!(all(&text, step, CHUNK * 2), Err(Error::TooLong { line: 1, .. })), "{step}");
        }
    }
}
