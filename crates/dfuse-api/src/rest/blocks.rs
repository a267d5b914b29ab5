//! `/v0/blocks`: blocks as the explorer shows them.

use dfuse_http::{
    AnswerForm, Charge, Endpoint,
    Kind::{BlockNumber, Integer},
    Parameter,
};
use dfuse_query::{
    ApiResult, Class, ErrorCode, RouteClass,
    blocks::{self, BlockSummary, Schedule},
};
use dfuse_render::JsonWriter;

use super::{answers, parameters::ID};
use crate::{
    Api, JsonList, JsonText, Params,
    params::rules::{between, highest_block, id},
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    const LIST: &[Parameter] = &[
        Parameter::required("limit", Integer(1, 100), "most blocks"),
        Parameter::optional("skip", BlockNumber, "the highest number; one above the head is the head"),
    ];
    vec![
        Endpoint::new("/v0/blocks", Charge::new(Class::Page, RouteClass::Explorer), list)
            .takes(LIST)
            .answers("Blocks of the best chain, the newest first.", AnswerForm::Json(answers::BLOCKS))
            .fails(&[ErrorCode::StateUnavailable]),
        Endpoint::new("/v0/blocks/{id}", Charge::new(Class::Page, RouteClass::Explorer), one)
            .takes(&[ID])
            .answers(
                "A block of any branch, with the blocks of all branches near its height.",
                AnswerForm::Json(answers::BLOCK),
            )
            .fails(&[ErrorCode::BlockNotFound, ErrorCode::StateUnavailable]),
    ]
}

/// Newest first, from the head or the block `skip` down.
async fn list(api: Api, mut params: Params) -> ApiResult<JsonList> {
    let limit = params.required("limit", between(1..=100));
    let highest = params.optional_or("skip", u32::MAX, highest_block);
    let (limit, highest): (u8, u32) = params.finish((limit, highest))?;
    let list = api.query(move |read| {
        let blocks = blocks::list(read, highest, limit.into())?;
        let mut text = Vec::new();
        JsonWriter::new(&mut text).array(&blocks, |json, block| write(json, block, None));
        Ok(JsonList { text, items: blocks.len() })
    });
    list.await
}

/// A block of any branch, with those near its height.
async fn one(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let id = params.required("id", id);
    let id = params.finish(id)?;
    let text = api.query(move |read| {
        let (block, siblings) = blocks::with_siblings(read, id)?;
        let mut text = Vec::new();
        write(&mut JsonWriter::new(&mut text), &block, Some(&siblings));
        Ok(text)
    });
    text.await.map(JsonText)
}

/// A block as an object; `siblings` are absent in lists.
pub(super) fn write(json: &mut JsonWriter<'_>, block: &BlockSummary, siblings: Option<&[BlockSummary]>) {
    json.begin_object();
    json.key("id").checksum(block.id);
    json.key("block_num").unsigned(block.number);
    json.key("irreversible").boolean(block.is_irreversible);
    json.key("header").block_header(&block.header);
    write_schedule(json.key("active_schedule"), &block.active_schedule);
    json.key("transaction_count").unsigned(block.transaction_count);
    json.key("sibling_blocks");
    match siblings {
        Some(siblings) => json.array(siblings, |json, sibling| write(json, sibling, None)),
        None => json.null(),
    }
    json.key("dpos_lib_num").unsigned(block.lib_number);
    json.end_object();
}

fn write_schedule(json: &mut JsonWriter<'_>, schedule: &Schedule) {
    json.begin_object();
    json.key("version").unsigned(schedule.version);
    json.key("producers").array(&schedule.producers, |json, producer| {
        json.begin_object();
        json.key("producer_name").name(producer.name);
        json.key("block_signing_key").string(&producer.signing_key);
        json.end_object();
    });
    json.end_object();
}
