//! Cursors of lists: what the list is of, and where its next page begins.

use dfuse_antelope::Checksum256;
use dfuse_blocks::{CursorKey, CursorKind};
use dfuse_index::{ServingSnapshot, blocks};
use dfuse_query::{ApiError, ApiResult};

use crate::{
    Api, Params,
    params::{
        Checked,
        rules::{Field, Problems},
    },
};

/// The content of a cursor, which is authentic. Nothing for the first page.
pub(super) type Content = Option<Vec<u8>>;

/// `cursor`, which may be empty.
pub(super) fn check(kind: CursorKind, params: &mut Params, api: &Api) -> Checked<Option<Content>> {
    params.optional("cursor", |field| open(api.chain().feed.cursor_key(), kind, field))
}

/// The text of the cursor of a list of `subject`, for what comes after `place`.
pub(super) fn seal(kind: CursorKind, api: &Api, subject: &[u8], place: &[u8]) -> String {
    api.chain().feed.cursor_key().seal_content(kind, &[subject, place].concat())
}

fn open(key: &CursorKey, kind: CursorKind, field: &Field<'_>) -> Result<Content, Problems> {
    if field.text.is_empty() {
        return Ok(None);
    }
    key.open_content(kind, field.text).map(Some).map_err(|error| vec![format!("is not valid: {error}")])
}

/// The place that a cursor of the list of `subject` has, in two parts.
pub(super) fn place<const A: usize, const B: usize>(content: &[u8], subject: &[u8]) -> ApiResult<([u8; A], [u8; B])> {
    let place = content.strip_prefix(subject).and_then(|place| place.split_first_chunk());
    let place = place.and_then(|(first, rest)| Some((*first, rest.try_into().ok()?)));
    place.ok_or_else(|| invalid("is of another list: use it with the parameters that it was given for"))
}

/// The cursor cannot be used.
pub(super) fn invalid(problem: &str) -> ApiError {
    let mut params = Params::default();
    let cursor = params.custom::<()>("cursor", Err(vec![problem.to_owned()]));
    params.finish(cursor).expect_err("it is wrong")
}

/// Big-endian, one after the other.
pub(super) fn bytes<const N: usize>(values: [u64; N]) -> Vec<u8> {
    values.map(u64::to_be_bytes).concat()
}

/// The number of the block that a cursor is of, which must be on the best chain and be the one that is asked for, if any is.
pub(super) fn block_num(snapshot: &ServingSnapshot, id: Checksum256, asked: u128) -> ApiResult<u32> {
    if blocks::by_id(snapshot.view(), id)?.is_none() {
        return Err(invalid("is of a block that was undone: begin again without it"));
    }
    match id.block_num() {
        number if [0, number.into()].contains(&asked) => Ok(number),
        number => Err(invalid(&format!("is of block {number}: leave block_num out"))),
    }
}
