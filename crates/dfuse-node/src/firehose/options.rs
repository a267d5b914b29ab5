use std::{fmt, time::Duration};

/// How Firehose endpoints are followed.
#[derive(Debug, Clone)]
pub struct FirehoseOptions {
    /// What the endpoints ask for.
    pub credential: Option<Credential>,
    /// Whether it may be sent over connections to other machines that are not encrypted.
    pub credential_in_plain_text: bool,
    /// Certificates in PEM that those of endpoints are signed with, beside those that the system trusts.
    pub certificates: Option<Vec<u8>>,
    /// Whether answers may be compressed. Some endpoints refuse those who do not allow it.
    pub compression: bool,
    /// Most bytes of a block.
    pub max_block_bytes: usize,
    /// How long connecting and short answers may take.
    pub timeout: Duration,
    /// After so long without a sign of life an endpoint is asked for one.
    pub keepalive: Duration,
    /// How long it may take to give it.
    pub keepalive_timeout: Duration,
    /// After so long without a block the next endpoint is tried, or the same one again.
    pub silence: Duration,
    /// How often it is tried whether one that is preferred is back.
    pub prefer_again: Duration,
    /// How long to wait once no endpoint could be followed, the first time and at most; doubled from time to time.
    pub pauses: (Duration, Duration),
}

impl Default for FirehoseOptions {
    fn default() -> Self {
        Self {
            credential: None,
            credential_in_plain_text: false,
            certificates: None,
            compression: true,
            max_block_bytes: 256 << 20,
            timeout: Duration::from_secs(20),
            keepalive: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            silence: Duration::from_secs(60),
            prefer_again: Duration::from_secs(60),
            pauses: (Duration::from_millis(500), Duration::from_secs(30)),
        }
    }
}

/// What says on whose behalf a client asks. Its text is never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Sent as `authorization: Bearer`.
    Token(String),
    /// Sent as `x-api-key`.
    ApiKey(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token",
            Self::ApiKey(_) => "ApiKey",
        })
    }
}
