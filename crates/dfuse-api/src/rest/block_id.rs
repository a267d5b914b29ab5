//! `/v0/block_id/by_time`: the block at, before or after a time.

use dfuse_antelope::TimePoint;
use dfuse_http::{
    AnswerForm, Charge, Counts, Endpoint,
    Kind::{Choice, Time},
    Parameter,
};
use dfuse_query::{
    ApiResult, Class, ErrorCode, RouteClass,
    blocks::{TimeComparison, by_time as block_by_time, parse_time},
};
use dfuse_render::rfc3339;
use serde_json::{Value, json};

use super::answers;
use crate::{
    Api, Json, Params,
    params::rules::{Field, Problems, one_of},
};

const COMPARATORS: [(&str, TimeComparison); 5] = [
    ("gt", TimeComparison::After),
    ("gte", TimeComparison::AtOrAfter),
    ("lt", TimeComparison::Before),
    ("lte", TimeComparison::AtOrBefore),
    ("eq", TimeComparison::At),
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    const PARAMETERS: &[Parameter] = &[
        Parameter::required("time", Time, "the moment"),
        Parameter::required(
            "comparator",
            Choice(&["gt", "gte", "lt", "lte", "eq"]),
            "whether the block is after the moment, at it, or before it",
        ),
    ];
    vec![
        Endpoint::new(
            "/v0/block_id/by_time",
            Charge::new(Class::LookUp, RouteClass::LookUp).counting(Counts::Requests),
            by_time,
        )
        .takes(PARAMETERS)
        .answers(
            "The number, id and time of the block that is nearest to the moment on the side that is asked for.",
            AnswerForm::Json(answers::BLOCK_BY_TIME),
        )
        .fails(&[ErrorCode::BlockTimeNotFound, ErrorCode::StateUnavailable]),
    ]
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
