use std::fmt;

/// Why a deep-mind log cannot be read any further. Every message names the line and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream failed.
    #[error("cannot read the log after line {line}: {source}")]
    Io {
        /// Last line that was read.
        line: u64,
        /// The stream's error.
        source: std::io::Error,
    },
    /// A line cannot be right.
    #[error("line {line}: {keyword}: {why} (\"{text}\")")]
    Line {
        /// Number of the line, from 1.
        line: u64,
        /// First word of the line after `DMLOG`.
        keyword: String,
        /// What is wrong with it.
        why: String,
        /// The beginning of the line.
        text: String,
    },
    /// A block contradicts its own lines: some are missing, were changed, or are of something else.
    #[error(
        "line {line}: block {block}: {why}; lines of the log are missing or were changed: copy the log again, or have the \
         node execute the block again"
    )]
    Damaged {
        /// Number of the line where it was found, from 1: that of the transaction, or of the end of the block.
        line: u64,
        /// Number of the block.
        block: u32,
        /// What does not agree.
        why: String,
    },
    /// A line is longer than the limit.
    #[error("line {line} is longer than {limit} bytes, the most that are read")]
    TooLong {
        /// Number of the line, from 1.
        line: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// The version line names a format that this reader does not know.
    #[error(
        "line {line}: unsupported deep-mind version \"{found}\": known are \"12\", \"13 N\", \"leap 13 N\" and \"spring 1 N\""
    )]
    UnsupportedVersion {
        /// Number of the line, from 1.
        line: u64,
        /// What stands after `DEEP_MIND_VERSION`.
        found: String,
    },
    /// Nothing in the stream is a deep-mind line.
    #[error("{why}; a deep-mind log is what nodeos prints when it runs with --deep-mind")]
    NotALog {
        /// What was found instead.
        why: &'static str,
    },
    /// The node reported that it failed to write its log, and ended itself. The line before is torn.
    #[error("line {line}: the node failed to write its deep-mind log and stopped; free disk space and restart it")]
    NodeFailed {
        /// Number of the line, from 1.
        line: u64,
    },
}

/// Result of reading a deep-mind log.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong with one line, before its number and text are known.
pub(crate) struct Why(pub(crate) String);

pub(crate) type Parse<T> = std::result::Result<T, Why>;

impl Why {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl From<dfuse_antelope::Error> for Why {
    fn from(error: dfuse_antelope::Error) -> Self {
        Self(error.to_string())
    }
}

/// Bytes from a log for an error message: lossy, without control characters, at most 120 characters.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(480)]);
    let mut shown: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(120).collect();
    if text.chars().count() > 120 || bytes.len() > 480 {
        shown.push_str("...");
    }
    shown
}

/// A field's value in an error message.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", shown(self.0))
    }
}
