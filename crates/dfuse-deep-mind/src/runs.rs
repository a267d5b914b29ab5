//! Where the log of one run of the node ends and that of the next begins.
//!
//! A node that is killed leaves what it had begun: a block without its end, half a line, or zeros where the system had
//! not written its data yet. Whoever appends the next run to the same file gets its first line behind that half.

use memchr::memmem;

use crate::Software;

const PREFIXES: [&[u8]; 2] = [b"DMLOG ", b"FIRE "];
const VERSION: &[u8] = b"DEEP_MIND_VERSION ";
/// The first line of a chain that is made from its genesis; its version line comes later.
const GENESIS: &[u8] = b"RLIMIT_OP CONFIG INS ";

/// What stands after the prefix of a deep-mind line; none for other text.
pub(crate) fn record_of(line: &[u8]) -> Option<&[u8]> {
    PREFIXES.iter().find_map(|prefix| line.strip_prefix(*prefix))
}

/// Whether a run begins with this record.
pub(crate) fn begins_run(record: &[u8]) -> bool {
    record.starts_with(VERSION) || record.starts_with(GENESIS)
}

/// The first record of another run behind the half of a line. Only the last of several halves has a whole one after it.
pub(crate) fn behind_torn_line(line: &[u8]) -> Option<&[u8]> {
    let starts = PREFIXES.iter().flat_map(|prefix| [VERSION, GENESIS].map(|first| [prefix, first].concat()));
    let at = starts.filter_map(|start| memmem::rfind(line, &start)).max().filter(|at| *at > 0)?;
    let record = record_of(&line[at..])?;
    // Text that only speaks of such a line goes on after it.
    let whole = record.strip_prefix(VERSION).map_or(record.ends_with(b"}"), |found| Software::parse(found).is_some());
    whole.then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_half_a_line() {
        let version = &b"DEEP_MIND_VERSION leap 13 0"[..];
        for (line, record) in [
            (&b"DMLOG APPLIED_TRANSACTION 5 00ffDMLOG DEEP_MIND_VERSION leap 13 0"[..], Some(version)),
            (b"DDMLOG DEEP_MIND_VERSION leap 13 0", Some(version)),
            (b"\0\0\0FIRE DEEP_MIND_VERSION leap 13 0", Some(version)),
            (b"DMLOG DEEP_MIND_VERSION leDMLOG DEEP_MIND_VERSION leap 13 0", Some(version)),
            (b"DMLOG RLIMDMLOG RLIMIT_OP CONFIG INS {}", Some(b"RLIMIT_OP CONFIG INS {}")),
            // A whole line, half of one, and text about one.
            (b"DMLOG DEEP_MIND_VERSION leap 13 0", None),
            (b"DMLOG RLIMDMLOG RLIMIT_OP CONFIG INS {\"cp", None),
            (b"info expected DMLOG DEEP_MIND_VERSION leap 13 0, found nothing", None),
        ] {
            assert_eq!(behind_torn_line(line), record, "{}", String::from_utf8_lossy(line));
        }
    }
}
