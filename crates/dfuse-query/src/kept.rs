//! What is kept no longer.

use dfuse_index::{Part, ServingSnapshot};

use crate::{ApiError, ApiResult, ErrorCode, ReadContext};

/// The error for a block below `lowest`, the lowest one for which that part is kept.
pub(crate) fn not_kept(part: Part, lowest: u32, asked: Option<u32>) -> ApiError {
    let message = format!("Nothing of before block {lowest} is kept here ({}).", part.name());
    let error =
        ApiError::new(ErrorCode::NotKept, message).detail("part", part.name()).detail("lowest_block_num", lowest);
    match asked {
        Some(number) => error.detail("request_block_num", number),
        None => error,
    }
}

/// Fails if the part isn't kept as of that block any more.
///
/// # Errors
/// `data_not_kept_error`.
pub(crate) fn must_be_kept(snapshot: &ServingSnapshot, part: Part, number: u32) -> ApiResult<()> {
    match snapshot.floors().get(part) {
        floor if number < floor => Err(not_kept(part, floor, Some(number))),
        _ => Ok(()),
    }
}

impl ReadContext<'_> {
    /// The lowest block for which that part is kept; 0 if all is.
    pub(crate) fn kept_from(&self, part: Part) -> u32 {
        self.snapshot().floors().get(part)
    }

    /// Fails if the part isn't kept as of that block any more.
    ///
    /// # Errors
    /// `data_not_kept_error`.
    pub(crate) fn must_be_kept(&self, part: Part, number: u32) -> ApiResult<()> {
        must_be_kept(self.snapshot(), part, number)
    }
}
