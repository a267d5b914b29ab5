/// Why bytes, text or JSON from a chain could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The data ends before the value does. More bytes could help; any other error is final.
    #[error("{what} ends too early: {wanted} more bytes wanted at byte {offset}, {left} left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Byte offset in the data at hand at which reading stopped.
        offset: usize,
        /// Bytes that the value still needs.
        wanted: usize,
        /// Bytes that the data still has.
        left: usize,
    },
    /// The data is there but is not a valid value of its type.
    #[error("invalid {what}: {why}")]
    Invalid {
        /// The type or field.
        what: &'static str,
        /// What is wrong with it, with the offending value shortened.
        why: String,
    },
    /// A count, size or depth is over the limit that bounds memory and time.
    #[error("{what} is over the limit of {limit}")]
    Limit {
        /// What is bounded.
        what: &'static str,
        /// The largest value that is accepted.
        limit: usize,
    },
    /// An ABI does not have this type, action or table.
    #[error("unknown ABI {kind} \"{name}\"")]
    Unknown {
        /// `type`, `action`, `table` or `action result`.
        kind: &'static str,
        /// The name that was asked for, shortened.
        name: String,
    },
    /// An error inside a structured value.
    #[error("{path}: {error}")]
    At {
        /// Where, such as `transfer.quantity` or `newaccount.owner.keys[2].weight`.
        path: String,
        /// What is wrong there.
        error: Box<Error>,
    },
}

impl Error {
    /// An [`Error::Invalid`] with a formatted reason.
    pub fn invalid(what: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { what, why: why.into() }
    }

    /// The error without the path to it.
    pub fn cause(&self) -> &Self {
        match self {
            Self::At { error, .. } => error.cause(),
            _ => self,
        }
    }

    /// Puts a step in front of the path: a name, `.field` or `[index]`.
    pub(crate) fn within(self, step: &str) -> Self {
        match self {
            Self::At { path, error } => Self::At { path: format!("{step}{path}"), error },
            error => Self::At { path: step.to_owned(), error: Box::new(error) },
        }
    }

    /// Puts a field in front of the path.
    pub(crate) fn within_field(self, name: &str) -> Self {
        self.within(&format!(".{}", shorten(name)))
    }
}

/// Result of this crate's codecs.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// At most the first 64 characters of a text from outside, for use in an error message.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
