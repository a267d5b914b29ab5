use std::io;

/// Why a source gives no more blocks.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The specification of a source is wrong.
    #[error("unknown source \"{0}\": use deep-mind:FILE, deep-mind:- (standard input) or blocks:URL")]
    Spec(String),
    /// The file cannot be opened.
    #[error("cannot open {place}: {source}")]
    Open {
        /// What was to be opened.
        place: String,
        /// Why it could not.
        source: io::Error,
    },
    /// The log says something that cannot be; nothing after it can be trusted.
    #[error(transparent)]
    Log(#[from] dfuse_deep_mind::Error),
    /// The block store is damaged or does not answer, or a block contradicts itself.
    #[error(transparent)]
    Blocks(#[from] dfuse_blocks::Error),
}

/// Result of reading a source.
pub type Result<T, E = Error> = std::result::Result<T, E>;
