//! What errors of the rooms below mean to a client. A client learns what it can do; what only an operator can mend is hidden
//! and goes to the log.

use dfuse_index::Part;
use serde_json::json;

use super::{ApiError, ErrorCode};
use crate::{kept::not_kept, shorten::shorten};

/// When to try again what is missing while the store is opened anew or an index catches up.
const PAUSE_SECONDS: u32 = 5;

impl From<dfuse_kv::Error> for ApiError {
    fn from(error: dfuse_kv::Error) -> Self {
        use dfuse_kv::Error as E;
        match error {
            // The pipeline opens the store again.
            E::Failed | E::Closed | E::Locked { .. } => {
                Self::unavailable("The store is being opened.").retry_after(PAUSE_SECONDS).with_cause(error)
            }
            E::Format { .. } | E::Corrupt { .. } => Self::damaged(error),
            E::NoSpace { .. } | E::Io { .. } | E::Invalid(_) => Self::unexpected(error),
            E::Unavailable { .. } => Self::unavailable("The store of the indexes does not answer.")
                .retry_after(PAUSE_SECONDS)
                .with_cause(error),
        }
    }
}

impl From<dfuse_index::Error> for ApiError {
    fn from(error: dfuse_index::Error) -> Self {
        use dfuse_index::Error as E;
        match error {
            E::Store(error) => error.into(),
            E::Blocks(error) => error.into(),
            E::NotBuilt { index } => {
                Self::unavailable(format!("The index \"{index}\" is not built yet.")).retry_after(PAUSE_SECONDS)
            }
            E::AwaitsDump { .. } => Self::unavailable("The indexes wait for the ABIs of a node.")
                .retry_after(PAUSE_SECONDS)
                .with_cause(error),
            E::Overloaded { .. } | E::Stalled(_) => {
                Self::unavailable("The store takes no writes.").retry_after(PAUSE_SECONDS).with_cause(error)
            }
            E::Damaged { .. } | E::StoreDamaged { .. } => Self::damaged(error),
            E::Block(_)
            | E::OtherChain(_)
            | E::EarlierJoined
            | E::Conflict { .. }
            | E::Unlinked { .. }
            | E::NewerSchema { .. }
            | E::OlderSchema { .. }
            | E::OtherSettings { .. }
            | E::Irreplaceable { .. }
            | E::BlocksNotKept { .. }
            | E::LoadUnfinished { .. }
            | E::NeedsSnapshot { .. }
            | E::Stopped
            | E::Usage(_) => Self::unexpected(error),
        }
    }
}

impl From<dfuse_blocks::Error> for ApiError {
    fn from(error: dfuse_blocks::Error) -> Self {
        use dfuse_blocks::Error as E;
        match error {
            E::CursorMalformed
            | E::CursorVersion(_)
            | E::CursorForeign
            | E::CursorUnknown(_)
            | E::CursorNotFinal(_) => Self::new(ErrorCode::RequestValidation, "The cursor is not valid.")
                .detail("errors", json!({"cursor": [error.to_string()]})),
            E::CursorTooOld(_) => Self::new(ErrorCode::CursorTooOld, format!("Start without the cursor: {error}.")),
            E::CursorAhead { cursor, .. } => Self::unavailable(format!("Behind the cursor: {error}."))
                .retry_after(PAUSE_SECONDS)
                .awaiting(cursor.number),
            E::NotKept { number, first } => not_kept(Part::BlockFiles, first, Some(number)),
            E::TooSlow { .. } => Self::unavailable("The stream was read too slowly; resume it from its last cursor."),
            E::Store { .. } if error.is_away() => {
                Self::unavailable("The store of blocks does not answer.").retry_after(PAUSE_SECONDS).with_cause(error)
            }
            E::Closed => Self::unavailable("The server is going away.").retry_after(PAUSE_SECONDS),
            // A block that the indexes know must be there; whoever asks for one that may be absent handles that.
            E::NotFound(_)
            | E::Damaged { .. }
            | E::OtherType { .. }
            | E::MissingBundle { .. }
            | E::PutAside { .. }
            | E::Unlinked { .. }
            | E::OtherChain { .. }
            | E::Invalid(_)
            | E::Store { .. }
            | E::Usage(_) => Self::unexpected(error),
        }
    }
}

impl From<dfuse_trx::Error> for ApiError {
    fn from(error: dfuse_trx::Error) -> Self {
        use dfuse_trx::Error as E;
        match error {
            E::Index(error) => error.into(),
            E::Source { block, source } => match source.downcast::<dfuse_blocks::Error>() {
                Ok(error) => {
                    let cause = format!("block {block} cannot be read: {error}");
                    Self::from(*error).with_cause(cause)
                }
                Err(source) => Self::unexpected(format!("block {block} cannot be read: {source}")),
            },
            E::Mismatch { .. } => Self::unexpected(error),
            E::InvalidPrefix { .. } | E::AmbiguousPrefix { .. } => {
                Self::new(ErrorCode::RequestValidation, format!("The transaction id is not usable: {error}."))
            }
        }
    }
}

impl From<dfuse_search::Error> for ApiError {
    fn from(error: dfuse_search::Error) -> Self {
        use dfuse_search::Error as E;
        let invalid = |message: String| Self::new(ErrorCode::RequestValidation, message);
        let cursor = |message: String| invalid(message.clone()).detail("errors", json!({"cursor": [message]}));
        match error {
            E::Index(error) => error.into(),
            E::InvalidQuery { error, query } => {
                let message = format!("invalid query: {error} (query: \"{}\")", shorten(&query));
                invalid(message).detail("position", query_position(&error))
            }
            E::TooBroad { ref field, ref prefix, limit, .. } => {
                Self::new(ErrorCode::QueryTooBroad, format!("The query has a value that is not usable: {error}."))
                    .detail("field", shorten(field))
                    .detail("prefix", shorten(prefix))
                    .detail("limit", limit)
            }
            E::UnknownFields(_) | E::InvalidRange(_) => invalid(error.to_string()),
            E::NotYet { number, is_final: false, message } => invalid(message).awaiting(number),
            E::NotYet { number, is_final: true, message } => invalid(message).awaiting_final(number),
            E::InvalidCursor | E::CursorForkedOut { .. } => cursor(error.to_string()),
            E::CursorUnknown(_) => Self::new(ErrorCode::CursorTooOld, format!("Start without the cursor: {error}.")),
            E::CursorAhead { cursor, .. } => Self::unavailable(format!("Behind the cursor: {error}."))
                .retry_after(PAUSE_SECONDS)
                .awaiting(cursor.number),
        }
    }
}

/// Where in a query an error is, as details tell it.
pub fn query_position(error: &dfuse_search::ParseError) -> serde_json::Value {
    json!({"offset": error.offset, "line": error.line, "column": error.column})
}
