use std::fmt;

use crate::Standing;

/// What is counted as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// Connections for streams.
    Connections,
    /// Streams.
    Streams,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "connections",
            Self::Streams => "streams",
        })
    }
}

/// Why a caller may not do what they ask for. Each surface renders it in its own way; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A token is needed and there is none.
    #[error(
        "A token is needed: get one with POST /v1/auth/issue and send it as \"Authorization: Bearer TOKEN\" or ?token=TOKEN."
    )]
    TokenMissing,
    /// The token is not one, or does not count any more.
    #[error("The token is not valid: {reason}.")]
    TokenInvalid {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No valid key is this.
    #[error("The API key is not valid: it does not exist, has expired, or was revoked.")]
    KeyInvalid,
    /// The key was revoked after the token was issued.
    #[error("The API key of this token was revoked.")]
    KeyRevoked,
    /// Pages of this origin may not use the key.
    #[error("Pages of the origin \"{origin}\" may not use this API key.")]
    Origin {
        /// The `Origin` of the request, shortened.
        origin: String,
    },
    /// The caller's tier does not have these routes.
    #[error("The tier \"{tier}\" does not include this; \"{required}\" does.")]
    Tier {
        /// The caller's.
        tier: String,
        /// One that has them.
        required: String,
    },
    /// The server has no such tier.
    #[error("This server has no tier \"{tier}\": whoever runs it can add it, or change that of the key or token.")]
    TierUnknown {
        /// The caller's, shortened.
        tier: String,
    },
    /// Too many wrong tokens or keys.
    #[error("Too many wrong tokens or API keys came from this address: try again in {} s.", .0.reset_seconds)]
    Guesses(Standing),
    /// Too many requests in too little time.
    #[error("Too many requests: try again in {} s.", .0.reset_seconds)]
    Rate(Standing),
    /// Too many are open.
    #[error("Too many {counted} are open with this access, {limit} are allowed: close one.")]
    Number {
        /// What there is too much of.
        counted: Counted,
        /// How many are allowed.
        limit: u32,
    },
    /// The operator has taken the server out of service.
    #[error("The server is under maintenance: try again in {retry_seconds} s.")]
    Maintenance {
        /// Seconds after which to try again.
        retry_seconds: u64,
    },
}
