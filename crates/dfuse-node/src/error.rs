use std::io;

/// Why a source gives no more blocks.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The specification of a source is wrong.
    #[error(
        "unknown source \"{0}\": use demo, deep-mind:FILE, deep-mind:- (standard input), ship:HOST:PORT, ship:unix:PATH, \
         ship-log:DIR, ship-log:history=DIR,blocks=DIR, blocks:URL, firehose:HOST:PORT, firehoses:HOST:PORT (with TLS) or nodeos"
    )]
    Spec(String),
    /// The specification of Firehose endpoints is wrong, or how they are to be followed.
    #[error("{0}")]
    Endpoint(String),
    /// No endpoint can be followed, and trying again does not help.
    #[error("{endpoints} cannot be followed: {why}")]
    Firehose {
        /// The source.
        endpoints: String,
        /// What is wrong with each of them.
        why: String,
    },
    /// The file cannot be opened.
    #[error("cannot open {place}: {source}")]
    Open {
        /// What was to be opened.
        place: String,
        /// Why it could not.
        source: io::Error,
    },
    /// A supervised node does not run, and starting it again does not help.
    #[error("node {node}: {why}")]
    Node {
        /// Its name.
        node: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// The configuration of supervised nodes is wrong.
    #[error("{0}")]
    Nodes(String),
    /// The log says something that cannot be; nothing after it can be trusted.
    #[error(transparent)]
    Log(#[from] dfuse_deep_mind::Error),
    /// What state history says is damaged, or contradicts itself.
    #[error("{place}: {source}")]
    History {
        /// Where it was read.
        place: String,
        /// What is wrong.
        source: dfuse_ship::Error,
    },
    /// Something of the chain's history is not there.
    #[error("{0}")]
    HistoryMissing(String),
    /// The block store is damaged or does not answer, or a block contradicts itself.
    #[error(transparent)]
    Blocks(#[from] dfuse_blocks::Error),
}

/// Result of reading a source.
pub type Result<T, E = Error> = std::result::Result<T, E>;
