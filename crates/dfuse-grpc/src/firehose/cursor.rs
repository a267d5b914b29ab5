//! Cursors of clients: ours, and those of others of the family.

use dfuse_blocks::{Cursor, Step};
use dfuse_query::{ApiResult, Service, streams::after_undo};

use super::family::{FamilyCursor, FamilyStep};

/// The position that a cursor names.
///
/// # Errors
/// `request_validation_error` where it is no cursor, or is of a block that is not known here.
pub(super) async fn position(text: &str, service: &Service) -> ApiResult<Cursor> {
    let not_ours = match service.chain().feed.open_cursor(text) {
        Ok(cursor) => return Ok(cursor),
        Err(error) => error,
    };
    let Some(FamilyCursor { step, block, lib }) = FamilyCursor::read(text) else { return Err(not_ours.into()) };
    Ok(match step {
        FamilyStep::New => Cursor { step: Step::New, block, tip: block, lib: lib.number },
        FamilyStep::Final => Cursor { step: Step::Irreversible, block, tip: block, lib: block.number },
        FamilyStep::Undo => after_undo(block, lib, service).await?,
    })
}
