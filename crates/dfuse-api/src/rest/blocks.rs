//! `/v0/blocks`: blocks as the explorer shows them.

use std::sync::Arc;

use axum::Router;
use dfuse_antelope::{
    Checksum256, Name,
    model::{Block, BlockHeader, BlockParts, ProducerAuthoritySchedule, ProducerSchedule},
};
use dfuse_index::{BlockRef, ServingSnapshot, blocks};
use dfuse_kv::Direction;
use dfuse_query::{ApiError, ApiResult, Class, ErrorCode, Reading};
use dfuse_trx::{BlockSource, FeedBlocks};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    Api, Json, Params,
    answer::both,
    params::rules::{between, highest_block, id},
    rest::state::coverage::unavailable,
};
use dfuse_render::JsonWriter;

const MID_CHAIN: &str = "in the middle of the chain.";
/// How far siblings may be above or below.
const SIBLINGS: u32 = 5;

pub(super) fn routes() -> Router<Api> {
    use Class::Page;
    Router::new().route("/v0/blocks", both(Page, list)).route("/v0/blocks/{id}", both(Page, one))
}

/// Newest first, from the head or the block `skip` down.
async fn list(api: Api, mut params: Params) -> ApiResult<Json<Vec<BlockSummary>>> {
    let limit = params.required("limit", between(1..=100));
    let highest = params.optional_or("skip", u32::MAX, highest_block);
    let (limit, highest): (u8, u32) = params.finish((limit, highest))?;
    let feed = api.chain().feed.clone();
    let summaries = api.read(move |snapshot, reading| {
        if let Some(first) = snapshot.mid_chain_start().filter(|first| highest < *first) {
            let message =
                format!("Blocks up to {highest} are unknown: the indexes begin with block {first}, {MID_CHAIN}");
            return Err(unavailable(first, message));
        }
        let blocks = blocks::range(snapshot.view(), 0..=highest, Direction::Reverse)?.take(limit.into());
        let blocks = blocks.map(|block| block.map(|block| BlockRef { number: block.number, id: block.id }));
        let blocks = blocks.collect::<Result<Vec<_>, _>>()?;
        summaries(&FeedBlocks::new(feed), snapshot, reading, blocks)
    });
    summaries.await.map(Json)
}

/// A block of any branch, with the blocks of all branches near its height, newest first and itself among them.
async fn one(api: Api, mut params: Params) -> ApiResult<Json<BlockSummary>> {
    let id = params.required("id", id);
    let id = params.finish(id)?;
    let reader = api.clone();
    let summary = api.read(move |snapshot, reading| with_siblings(&reader, snapshot, reading, id));
    summary.await.map(Json)
}

/// A block with those near its height.
pub(super) fn with_siblings(
    api: &Api,
    snapshot: &ServingSnapshot,
    reading: &Reading,
    id: Checksum256,
) -> ApiResult<BlockSummary> {
    let (number, blocks) = (id.block_num(), FeedBlocks::new(api.chain().feed.clone()));
    let frame = any_block(api, id)?.frame().map_err(ApiError::unexpected)?;
    let mut summary = BlockSummary::new(&frame, is_irreversible(snapshot, number, id)?)?;
    let near = number.saturating_sub(SIBLINGS)..=number.saturating_add(SIBLINGS);
    let mut siblings = blocks::range(snapshot.view(), near.clone(), Direction::Forward)?
        .map(|block| block.map(|block| BlockRef { number: block.number, id: block.id }))
        .collect::<Result<Vec<_>, _>>()?;
    siblings.extend(snapshot.forked_blocks().filter(|block| near.contains(&block.number)));
    siblings.extend(blocks.lost(near)?);
    siblings.push(BlockRef { number, id });
    siblings.sort_unstable_by(|a, b| b.cmp(a));
    siblings.dedup();
    summary.sibling_blocks = Some(summaries(&blocks, snapshot, reading, siblings)?);
    Ok(summary)
}

/// A block of any branch, of which nothing is decoded yet.
pub(super) fn any_block(api: &Api, id: Checksum256) -> ApiResult<Arc<BlockParts>> {
    let block = BlockRef { number: id.block_num(), id };
    FeedBlocks::new(api.chain().feed.clone()).parts(block).map_err(|error| {
        let absent = matches!(&error, dfuse_trx::Error::Source { source, .. }
            if matches!(source.downcast_ref(), Some(dfuse_blocks::Error::NotFound(_))));
        if absent { unknown(api, id) } else { error.into() }
    })
}

/// The first four bytes of an id are the number of its block.
fn unknown(api: &Api, id: Checksum256) -> ApiError {
    if let Some(first) = api.chain().serving.snapshot().mid_chain_start().filter(|first| id.block_num() < *first) {
        let number = id.block_num();
        let message = format!("Block {number} is unknown: the indexes begin with block {first}, {MID_CHAIN}");
        return unavailable(first, message);
    }
    let message = "No block of this id is known: it may be on a fork that is not kept any more.";
    ApiError::new(ErrorCode::BlockNotFound, message).detail("block", id.to_string())
}

fn is_irreversible(snapshot: &ServingSnapshot, number: u32, id: Checksum256) -> ApiResult<bool> {
    let final_number = snapshot.lib().map_or(0, |lib| lib.number);
    Ok(number <= final_number && blocks::by_number(snapshot.view(), number)?.is_some_and(|block| block.id == id))
}

fn summaries(
    source: &FeedBlocks,
    snapshot: &ServingSnapshot,
    reading: &Reading,
    blocks: Vec<BlockRef>,
) -> ApiResult<Vec<BlockSummary>> {
    let summary = |block: BlockRef| {
        reading.go_on()?;
        let frame = source.parts(block)?.frame().map_err(ApiError::unexpected)?;
        BlockSummary::new(&frame, is_irreversible(snapshot, block.number, block.id)?)
    };
    blocks.into_iter().map(summary).collect()
}

#[derive(Debug, Serialize)]
pub(super) struct BlockSummary {
    id: Checksum256,
    block_num: u32,
    irreversible: bool,
    header: Box<RawValue>,
    active_schedule: Schedule,
    transaction_count: u32,
    /// Absent in lists.
    sibling_blocks: Option<Vec<BlockSummary>>,
    dpos_lib_num: u32,
}

#[derive(Debug, Default, Serialize)]
struct Schedule {
    version: u32,
    producers: Vec<Producer>,
}

#[derive(Debug, Serialize)]
struct Producer {
    producer_name: Name,
    /// Of several the first; empty if it has none.
    block_signing_key: String,
}

impl BlockSummary {
    fn new(block: &Block, irreversible: bool) -> ApiResult<Self> {
        let schedule = match (&block.active_schedule_v2, &block.active_schedule_v1) {
            (Some(schedule), _) => schedule.into(),
            (None, Some(schedule)) => schedule.into(),
            (None, None) => Schedule::default(),
        };
        Ok(Self {
            id: block.id,
            block_num: block.number,
            irreversible,
            header: header(&block.header)?,
            active_schedule: schedule,
            transaction_count: block.unfiltered_transaction_count,
            sibling_blocks: None,
            dpos_lib_num: block.lib_num(),
        })
    }
}

/// In the form of the headers in lifecycles.
fn header(header: &BlockHeader) -> ApiResult<Box<RawValue>> {
    let mut text = Vec::new();
    JsonWriter::new(&mut text).block_header(header);
    let text = String::from_utf8(text).map_err(ApiError::unexpected)?;
    RawValue::from_string(text).map_err(ApiError::unexpected)
}

impl From<&ProducerSchedule> for Schedule {
    fn from(schedule: &ProducerSchedule) -> Self {
        let producers = schedule.producers.iter().map(|producer| Producer {
            producer_name: producer.account_name,
            block_signing_key: producer.block_signing_key.clone(),
        });
        Self { version: schedule.version, producers: producers.collect() }
    }
}

impl From<&ProducerAuthoritySchedule> for Schedule {
    fn from(schedule: &ProducerAuthoritySchedule) -> Self {
        let producers = schedule.producers.iter().map(|producer| {
            let keys = producer.block_signing_authority.v0.as_ref().map(|authority| &authority.keys[..]);
            let key = keys.and_then(<[_]>::first).map(|key| key.public_key.clone());
            Producer { producer_name: producer.account_name, block_signing_key: key.unwrap_or_default() }
        });
        Self { version: schedule.version, producers: producers.collect() }
    }
}
