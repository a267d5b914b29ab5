//! At which block a request is answered.

use dfuse_blocks::CursorKind;
use dfuse_index::BlockRef;
use dfuse_query::{
    ListCursor,
    state::{AskedHeight, Height},
};
use dfuse_render::JsonWriter;

use crate::{
    Api, Params,
    params::{
        Checked, Finish,
        rules::{block_num, boolean},
    },
};

pub(super) struct CheckedHeight(Checked<u128>, Checked<bool>);

impl Finish for CheckedHeight {
    type Values = AskedHeight;

    fn values(self) -> Option<AskedHeight> {
        Some(AskedHeight { block_num: self.0.values()?, irreversible_only: self.1.values()? })
    }
}

/// `block_num` and `irreversible_only`.
pub(super) fn check(params: &mut Params) -> CheckedHeight {
    CheckedHeight(params.optional_or("block_num", 0, block_num), irreversible_only(params))
}

pub(super) fn irreversible_only(params: &mut Params) -> Checked<bool> {
    params.optional_or("irreversible_only", false, boolean)
}

/// `cursor`, which may be empty.
pub(super) fn cursor(params: &mut Params, api: &Api, kind: CursorKind) -> Checked<Option<Option<ListCursor>>> {
    params.optional("cursor", |field| ListCursor::open(api, kind, field.text).map_err(|problem| vec![problem]))
}

/// `up_to_block_id` and `up_to_block_num` of a reversible height, `last_irreversible_block_id` and
/// `last_irreversible_block_num` always; these are empty and 0 before a block is irreversible.
pub(super) fn write(json: &mut JsonWriter<'_>, height: &Height) {
    if let Some(BlockRef { number, id }) = height.reversible_block() {
        json.key("up_to_block_id").checksum(id);
        json.key("up_to_block_num").unsigned(number);
    }
    let lib = height.last_irreversible_block();
    json.key("last_irreversible_block_id").hex(lib.as_ref().map_or(&[], |lib| &lib.id.0));
    json.key("last_irreversible_block_num").unsigned(lib.map_or(0, |lib| lib.number));
}

/// `state_from_block` and `complete`, where the chain had begun before the first block that is indexed.
pub(crate) fn write_coverage(json: &mut JsonWriter<'_>, state_start: Option<u32>, is_complete: bool) {
    if let Some(first_block) = state_start {
        json.key("state_from_block").unsigned(first_block);
        json.key("complete").boolean(is_complete);
    }
}
