//! `/v0/block_id/by_time`: the block at, before or after a time.

use axum::Router;
use dfuse_antelope::TimePoint;
use dfuse_query::{
    ApiResult, Class,
    blocks::{TimeComparison, by_time as block_by_time, parse_time},
};
use dfuse_render::rfc3339;
use serde_json::{Value, json};

use crate::{
    Api, Json, Params,
    answer::both,
    params::rules::{Field, Problems, one_of},
};

const COMPARATORS: [(&str, TimeComparison); 5] = [
    ("gt", TimeComparison::After),
    ("gte", TimeComparison::AtOrAfter),
    ("lt", TimeComparison::Before),
    ("lte", TimeComparison::AtOrBefore),
    ("eq", TimeComparison::At),
];

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/v0/block_id/by_time", both(Class::LookUp, by_time))
}

async fn by_time(api: Api, mut params: Params) -> ApiResult<Json<Value>> {
    let moment = params.required("time", moment);
    let comparison = params.required("comparator", one_of(&COMPARATORS));
    let (moment, comparison) = params.finish((moment, comparison))?;
    let block = api.query(move |read| block_by_time(read, moment, comparison)).await?;
    Ok(Json(json!({"block": {"id": block.id, "num": block.number, "time": rfc3339(block.time)}})))
}

fn moment(field: &Field<'_>) -> Result<TimePoint, Problems> {
    parse_time(field.text).ok_or_else(|| {
        field.expected("a time such as 2019-03-04T10:36:14.5Z, 2019-03-04, 1551695774 or 1551695774500 (since 1970)")
    })
}
