//! Entries one after the other.

use crate::{Entry, Result};

/// Order of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Reverse,
}

impl Direction {
    /// Whether a scan in this direction that looks for `target` ends its search at `key`.
    pub fn reaches(self, key: &[u8], target: &[u8]) -> bool {
        match self {
            Self::Forward => key >= target,
            Self::Reverse => key <= target,
        }
    }
}

/// How many entries of a scan will be read, about. It changes no answer: an engine over a network decides by it how far it
/// reads ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// The first one.
    One,
    /// Some tens.
    Few,
    /// Hundreds or more, in the order of the scan.
    Many,
}

/// Entries in the order of a scan; none after the first error. It keeps its snapshot alive.
pub trait EntryScan: Iterator<Item = Result<Entry>> + Send {
    /// Goes on with the first entry that is at `key` or, in the direction of the scan, after it. Never goes back: if the scan
    /// is there already, nothing happens. What is outside of the range of the scan stays outside.
    ///
    /// An engine looks at some entries before it searches, so that a key that is near costs no more than the entries before it. In
    /// the direction [`Direction::Forward`] a far one costs a seek, in the other perhaps a new scan.
    fn skip_to(&mut self, key: &[u8]) -> Result<()>;
}

/// The entries of a scan.
pub type Scan = Box<dyn EntryScan>;

impl EntryScan for std::iter::Empty<Result<Entry>> {
    fn skip_to(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}
