use std::io;

/// Why a snapshot, a log of state history or of blocks, or a message of a node cannot be read. Offsets count bytes of the uncompressed content.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream failed.
    #[error("cannot read after byte {offset}: {source}")]
    Io {
        /// Bytes that were read before.
        offset: u64,
        /// The stream's error.
        source: io::Error,
    },
    /// The file ends too early.
    #[error("the file ends at byte {offset}, inside {what}: copy it again")]
    Truncated {
        /// Where the value begins that is cut off.
        offset: u64,
        /// The value.
        what: String,
    },
    /// The bytes are wrong.
    #[error("byte {offset}: {what}: {why}: copy the file again")]
    Damaged {
        /// Where the wrong value begins.
        offset: u64,
        /// The value, or the section.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file is something else.
    #[error("not a portable snapshot of nodeos: {why}")]
    NotASnapshot {
        /// What is there instead.
        why: String,
    },
    /// The file is something else than a log of state history, or of software whose log cannot be read.
    #[error("not a log of state history that can be read: {why}")]
    NotALog {
        /// What is there instead.
        why: &'static str,
    },
    /// The file is something else than a block log, or of software whose log cannot be read.
    #[error("not a block log that can be read: {why}")]
    NotABlockLog {
        /// What is there instead.
        why: String,
    },
    /// A node speaks another protocol of state history than this client.
    #[error("the node's protocol of state history cannot be used: {why}")]
    Protocol {
        /// What is different.
        why: String,
    },
    /// The parts of a block contradict each other, or what is known before it.
    #[error("block {number}: {why}")]
    Block {
        /// The block's number.
        number: u32,
        /// What is wrong.
        why: String,
    },
    /// The rows that are known before a block cannot be read or written.
    #[error("the rows that state history is compared with: {0}")]
    Rows(io::Error),
    /// A version that this reader does not know.
    #[error("the snapshot has version {version}, written by {software}; versions 2 to 6 and 8 can be read")]
    Version {
        /// The version.
        version: u32,
        /// What writes it.
        software: &'static str,
    },
}

/// Result of reading a snapshot or a log.
pub type Result<T, E = Error> = std::result::Result<T, E>;
