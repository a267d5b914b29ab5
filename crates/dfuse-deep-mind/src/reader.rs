use std::io::Read;

use crate::{
    Decoder, Error, Event, MAX_LINE, Result, Software, Stats,
    lines::{Line, Lines},
};

/// What is read before a stream without a single deep-mind line is given up.
const MAX_FOREIGN: usize = 64 * 1024 * 1024;

type OtherLines = Box<dyn FnMut(&[u8]) + Send>;

/// Reads a deep-mind log from a byte stream, as the node prints it.
pub struct Reader<R> {
    lines: Lines<R>,
    decoder: Decoder,
    other_lines: Option<OtherLines>,
    foreign: usize,
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("decoder", &self.decoder).finish_non_exhaustive()
    }
}

impl<R: Read> Reader<R> {
    /// Reads `source` with lines of up to [`MAX_LINE`] bytes.
    pub fn new(source: R) -> Self {
        Self::with_max_line(source, MAX_LINE)
    }

    /// Reads `source` with lines of up to `max_line` bytes. Memory is bounded by about three times that, and the block
    /// at work.
    pub fn with_max_line(source: R, max_line: usize) -> Self {
        Self { lines: Lines::new(source, max_line), decoder: Decoder::new(), other_lines: None, foreign: 0 }
    }

    /// Hands every line that is not a deep-mind line to `receive`: the node's own log, where both come in one stream.
    pub fn on_other_lines(mut self, receive: impl FnMut(&[u8]) + Send + 'static) -> Self {
        self.other_lines = Some(Box::new(receive));
        self
    }

    /// The next event, or `None` at the end of the stream. What is incomplete there is dropped:
    /// [`Stats::torn_line`] and [`Reader::unfinished_block`] tell.
    ///
    /// # Errors
    /// Any error is final.
    pub fn next_event(&mut self) -> Result<Option<Event>> {
        loop {
            let next = self.lines.next().map_err(|error| match error {
                Error::TooLong { .. } if self.decoder.stats().deep_mind_lines == 0 => {
                    Error::NotALog { why: "a line is longer than any of a log" }
                }
                error => error,
            });
            let line = match next? {
                Some(Line::Whole(line)) => line,
                Some(Line::Torn(line)) => {
                    self.foreign += line.len();
                    self.decoder.torn_line();
                    continue;
                }
                None if self.decoder.stats().deep_mind_lines > 0 => return self.decoder.finish().map(|()| None),
                None if self.foreign == 0 && self.decoder.stats().lines == 0 => {
                    return Err(Error::NotALog { why: "the log is empty" });
                }
                None => return Err(Error::NotALog { why: "no complete deep-mind line was found" }),
            };
            let before = self.decoder.stats().deep_mind_lines;
            if let Some(event) = self.decoder.line(line)? {
                return Ok(Some(event));
            }
            if self.decoder.stats().deep_mind_lines == before {
                if before == 0 {
                    self.foreign += line.len();
                    if self.foreign > MAX_FOREIGN {
                        return Err(Error::NotALog { why: "the first 64 MiB hold no deep-mind line" });
                    }
                }
                if let Some(receive) = &mut self.other_lines {
                    receive(line);
                }
            }
        }
    }

    /// What was read so far.
    pub fn stats(&self) -> &Stats {
        self.decoder.stats()
    }

    /// What writes the log, once its version line was read.
    pub fn software(&self) -> Option<Software> {
        self.decoder.software()
    }

    /// Number of the block that was begun and is not complete.
    pub fn unfinished_block(&self) -> Option<u32> {
        self.decoder.unfinished_block()
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_event().transpose()
    }
}
