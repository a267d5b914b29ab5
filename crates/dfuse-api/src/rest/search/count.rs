//! `/v0/search/count`: how much a query matches.

use dfuse_kv::Direction;
use dfuse_query::{
    ApiResult,
    search::{self, BlockSpan},
};
use dfuse_render::JsonWriter;

use super::{
    page::{write_filtered, write_range},
    params::QueryRule,
};
use crate::{
    Api, JsonText, Params,
    params::rules::{at_least, between, boolean},
    rest::state::write_coverage,
    untold::write_details,
};

pub(super) async fn count(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let (query, span) = {
        let rule = QueryRule::new(&api);
        let query = params.required("q", |field| rule.read(field));
        let start = params.optional_or("start_block", 0, between(0..=u32::MAX));
        let count = params.optional_or("block_count", u32::MAX, at_least(1));
        let reversible = params.optional_or("with_reversible", false, boolean);
        let (query, start, count, with_reversible) = rule.finish(params, (query, start, count, reversible))?;
        (query, BlockSpan { start, count, direction: Direction::Forward, with_reversible })
    };
    let chain = api.clone();
    let counted = api.query(move |read| search::count(read, &query, &span.into())).await?;
    let mut text = Vec::new();
    let mut json = JsonWriter::new(&mut text);
    json.begin_object();
    json.key("actions").unsigned(counted.actions);
    json.key("transactions").unsigned(counted.transactions);
    match counted.incomplete_from {
        Some(first_block) => write_coverage(&mut json, Some(first_block), false),
        None => json.key("complete").boolean(counted.is_complete),
    }
    write_filtered(&mut json, &chain);
    write_details(&mut json, counted.untold.as_ref());
    write_range(json.key("range"), counted.blocks, counted.is_complete, counted.missing);
    json.end_object();
    Ok(JsonText(text))
}
