//! `/v0/coverage`: what is there of the chain.

use std::ops::RangeInclusive;

use dfuse_http::{AnswerForm, Charge, Counts, Endpoint};
use dfuse_index::{BlockRef, block_filters::AppliedFilter};
use dfuse_query::{ApiResult, Class, ErrorCode, RouteClass, coverage::coverage as covered};
use dfuse_render::JsonWriter;

use super::answers;
use crate::{Api, JsonText, Params};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let charge = Charge::new(Class::LookUp, RouteClass::LookUp).counting(Counts::Requests);
    vec![
        Endpoint::new("/v0/coverage", charge, coverage)
            .answers(
                "Which blocks are there, which are missing, and from which block on state is answered.",
                AnswerForm::Json(answers::COVERED),
            )
            .fails(&[ErrorCode::StateUnavailable]),
    ]
}

async fn coverage(api: Api, params: Params) -> ApiResult<JsonText> {
    params.finish(())?;
    let covered = api.query(covered).await?;
    let mut text = Vec::new();
    let mut json = JsonWriter::new(&mut text);
    json.begin_object();
    write_block(json.key("head"), covered.head);
    write_block(json.key("lib"), covered.lib);
    json.key("blocks").begin_object();
    json.key("from_block").unsigned(*covered.blocks.start());
    json.key("to_block").unsigned(*covered.blocks.end());
    write_holes(json.key("holes"), covered.holes);
    json.end_object();
    if let Some(of_state_history) = covered.of_state_history {
        write_blocks(json.key("of_state_history"), of_state_history);
    }
    json.key("state").begin_object();
    json.key("from_block").unsigned(covered.state_from);
    json.key("complete").boolean(covered.state_is_complete);
    json.end_object();
    if !covered.filters.is_empty() {
        json.key("filters").array(&covered.filters, write_filter);
    }
    json.end_object();
    Ok(JsonText(text))
}

fn write_block(json: &mut JsonWriter<'_>, block: Option<BlockRef>) {
    let Some(block) = block else { return json.null() };
    json.begin_object();
    json.key("num").unsigned(block.number);
    json.key("id").checksum(block.id);
    json.end_object();
}

/// A filter, from its first block on; one without programs is where filtering ends.
fn write_filter(json: &mut JsonWriter<'_>, filter: &AppliedFilter) {
    json.begin_object();
    json.key("from_block").unsigned(filter.from_block);
    for (name, text) in [("include", &filter.include), ("exclude", &filter.exclude), ("system", &filter.system)] {
        if !text.is_empty() {
            json.key(name).string(text);
        }
    }
    if filter.lacks_state {
        json.key("state").string("unknown");
    }
    json.end_object();
}

/// Blocks that are missing.
pub(super) fn write_holes(json: &mut JsonWriter<'_>, holes: impl IntoIterator<Item = RangeInclusive<u32>>) {
    json.array(holes, write_blocks);
}

fn write_blocks(json: &mut JsonWriter<'_>, blocks: RangeInclusive<u32>) {
    json.begin_object();
    json.key("from_block").unsigned(*blocks.start());
    json.key("to_block").unsigned(*blocks.end());
    json.end_object();
}
