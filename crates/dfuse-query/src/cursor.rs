//! Cursors of lists: what the list is of, and where its next page begins.

use dfuse_antelope::Checksum256;
use dfuse_blocks::CursorKind;
use dfuse_index::{ServingSnapshot, blocks};

use crate::{ApiError, ApiResult, Service, ahead::absent};

/// The content of a cursor, which is authentic.
#[derive(Debug, Clone)]
pub struct ListCursor(Vec<u8>);

impl ListCursor {
    /// Reads the text of a cursor of that kind of list; absent if it is empty, which is the first page.
    ///
    /// # Errors
    /// What is wrong with it: a text that goes on after the parameter's name.
    pub fn open(service: &Service, kind: CursorKind, text: &str) -> Result<Option<Self>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let content = service.chain().feed.cursor_key().open_content(kind, text);
        content.map(|content| Some(Self(content))).map_err(|error| format!("is not valid: {error}"))
    }

    /// The place that a cursor of the list of `subject` has, in two parts.
    pub(crate) fn place<const A: usize, const B: usize>(&self, subject: &[u8]) -> ApiResult<([u8; A], [u8; B])> {
        let place = self.0.strip_prefix(subject).and_then(|place| place.split_first_chunk());
        let place = place.and_then(|(first, rest)| Some((*first, rest.try_into().ok()?)));
        place.ok_or_else(|| invalid("is of another list: use it with the parameters that it was given for"))
    }

    /// All of it.
    pub(crate) fn content(&self) -> &[u8] {
        &self.0
    }
}

/// The text of the cursor of a list of `subject`, for what comes after `place`.
pub(crate) fn seal(service: &Service, kind: CursorKind, subject: &[u8], place: &[u8]) -> String {
    service.chain().feed.cursor_key().seal_content(kind, &[subject, place].concat())
}

/// The cursor cannot be used.
pub(crate) fn invalid(problem: &str) -> ApiError {
    ApiError::invalid_parameter("cursor", problem)
}

/// Big-endian, one after the other.
pub(crate) fn bytes<const N: usize>(values: [u64; N]) -> Vec<u8> {
    values.map(u64::to_be_bytes).concat()
}

/// The number of the block that a cursor is of, which must be on the best chain and be the one that is asked for, if any is.
pub(crate) fn block_num(snapshot: &ServingSnapshot, id: Checksum256, asked: u128) -> ApiResult<u32> {
    if blocks::by_id(snapshot.view(), id)?.is_none() {
        let undone = invalid("is of a block that was undone: begin again without it");
        return Err(absent(snapshot, id.block_num(), undone));
    }
    match id.block_num() {
        number if [0, number.into()].contains(&asked) => Ok(number),
        number => Err(invalid(&format!("is of block {number}: leave block_num out"))),
    }
}
