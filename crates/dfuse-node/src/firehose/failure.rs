use tonic::{Code, Status};

/// Longest text of an endpoint that is told.
const MAX_TEXT: usize = 300;

/// Why an endpoint gives no blocks, for what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may pass: try again.
    #[error("{0}")]
    Passing(String),
    /// It doesn't take the position: begin by number.
    #[error("{0}")]
    Position(String),
    /// It does not serve this caller.
    #[error("{0}")]
    Denied(String),
    /// It will be the same the next time.
    #[error("{0}")]
    Lasting(String),
    /// It has no such call.
    #[error("it has no such call")]
    Unimplemented,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let text: String = status.message().chars().take(MAX_TEXT).collect();
        let what = if text.is_empty() { status.code().description().to_owned() } else { text };
        match status.code() {
            Code::OutOfRange | Code::ResourceExhausted if what.contains("too large") => {
                Self::Lasting(format!("a block is too large ({what}); raise firehose.max_block_mib"))
            }
            Code::InvalidArgument | Code::OutOfRange => Self::Position(what),
            Code::Unauthenticated => {
                Self::Denied(format!("it does not know this caller ({what}); set firehose.token or firehose.api_key"))
            }
            Code::PermissionDenied => Self::Denied(format!("it does not allow that ({what})")),
            Code::Unimplemented => Self::Unimplemented,
            _ => Self::Passing(with_cause(&status, what)),
        }
    }
}

/// The message of a status, and what caused it where that says more.
fn with_cause(status: &Status, what: String) -> String {
    let mut cause = std::error::Error::source(status);
    let mut last = None;
    while let Some(error) = cause {
        last = Some(error.to_string());
        cause = error.source();
    }
    match last {
        Some(cause) if !what.contains(&cause) => format!("{what}: {cause}"),
        _ => what,
    }
}
