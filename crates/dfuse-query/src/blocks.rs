//! Blocks of any branch: what they are, and which was when.

mod time;
mod window;

use std::sync::Arc;

use dfuse_antelope::{
    Checksum256, Name,
    model::{Block, BlockHeader, BlockParts, ProducerAuthoritySchedule, ProducerSchedule},
};
use dfuse_index::{
    BlockRef, Part, ServingSnapshot,
    blocks::{self, IndexedBlock},
};
use dfuse_kv::Direction;
use dfuse_trx::{BlockSource, FeedBlocks};
pub(crate) use time::at_or_soon_after;
pub use time::{TimeComparison, by_time, parse_time};
pub use window::BlockWindow;

use crate::{ApiError, ApiResult, ErrorCode, ReadContext, state::state_unavailable};

const MID_CHAIN: &str = "in the middle of the chain.";
/// How far siblings may be above or below.
const SIBLINGS: u32 = 5;

/// A block without what ran in it.
#[derive(Debug)]
pub struct BlockSummary {
    /// Its id.
    pub id: Checksum256,
    /// Its height.
    pub number: u32,
    /// Whether it can no longer be undone.
    pub is_irreversible: bool,
    /// Its header.
    pub header: BlockHeader,
    /// Who produces blocks.
    pub active_schedule: Schedule,
    /// Transactions that it had when the node told of it.
    pub transaction_count: u32,
    /// Number of the last irreversible block, as this one knows it.
    pub lib_number: u32,
}

/// Who produces blocks, in either version of the chain's model.
#[derive(Debug, Default)]
pub struct Schedule {
    /// Grows with every new schedule.
    pub version: u32,
    /// In turn.
    pub producers: Vec<Producer>,
}

/// A producer of blocks.
#[derive(Debug)]
pub struct Producer {
    /// The account.
    pub name: Name,
    /// Of several keys the first; empty if it has none.
    pub signing_key: String,
}

/// Blocks of the best chain, newest first, from that number or the head down to the first that the caller may read.
///
/// # Errors
/// `auth_invalid_history_error` if they may read none of them, `data_not_kept_error` if the files of all of them are kept no longer;
/// `app_state_unavailable_error` if all of them are of before the first block that is indexed; those of reading.
pub fn list(read: &ReadContext<'_>, highest: u32, limit: usize) -> ApiResult<Vec<BlockSummary>> {
    if let Some(first) = read.snapshot().history_start().filter(|first| highest < *first) {
        let message = format!("Blocks up to {highest} are unknown: the indexes begin with block {first}, {MID_CHAIN}");
        return Err(state_unavailable(first, message));
    }
    let head = read.snapshot().head().map_or(0, |head| head.number);
    read.may_read(highest.min(head))?;
    read.must_be_kept(Part::BlockFiles, highest)?;
    let lowest = read.first_block().max(read.kept_from(Part::BlockFiles));
    let blocks = blocks::range(read.view(), lowest..=highest, Direction::Reverse)?.take(limit);
    let blocks = blocks.map(|block| block.map(|block| BlockRef { number: block.number, id: block.id }));
    let blocks = blocks.collect::<Result<Vec<_>, _>>()?;
    summaries(read, &read.blocks(), blocks)
}

/// A block of any branch.
///
/// # Errors
/// `data_block_not_found_error` if it is not known, or not kept any more; `app_state_unavailable_error` if it is of before the
/// first block that is indexed.
pub fn get(read: &ReadContext<'_>, id: Checksum256) -> ApiResult<BlockSummary> {
    let frame = parts(read, id)?.frame().map_err(ApiError::unexpected)?;
    Ok(BlockSummary::new(frame, is_irreversible(read.snapshot(), id.block_num(), id)?))
}

/// A block of any branch without what ran in it, and with the places of that.
#[derive(Debug)]
pub struct BlockFrame {
    /// The block without transactions and traces.
    pub block: Block,
    /// Whether it can no longer be undone.
    pub is_irreversible: bool,
    /// All of it, not decoded.
    pub parts: Arc<BlockParts>,
}

/// The same as [`get`], with more of the block.
///
/// # Errors
/// Those of [`get`].
pub fn frame(read: &ReadContext<'_>, id: Checksum256) -> ApiResult<BlockFrame> {
    let parts = parts(read, id)?;
    let block = parts.frame().map_err(ApiError::unexpected)?;
    Ok(BlockFrame { block, is_irreversible: is_irreversible(read.snapshot(), id.block_num(), id)?, parts })
}

/// A block, and the blocks of all branches near its height, newest first and itself among them.
///
/// # Errors
/// Those of [`get`].
pub fn with_siblings(read: &ReadContext<'_>, id: Checksum256) -> ApiResult<(BlockSummary, Vec<BlockSummary>)> {
    let (number, snapshot, source) = (id.block_num(), read.snapshot(), read.blocks());
    let block = get(read, id)?;
    let near = number.saturating_sub(SIBLINGS).max(read.kept_from(Part::BlockFiles))..=number.saturating_add(SIBLINGS);
    let mut siblings = blocks::range(snapshot.view(), near.clone(), Direction::Forward)?
        .map(|block| block.map(|block| BlockRef { number: block.number, id: block.id }))
        .collect::<Result<Vec<_>, _>>()?;
    siblings.extend(snapshot.forked_blocks().filter(|block| near.contains(&block.number)));
    siblings.extend(source.lost(near)?);
    siblings.push(BlockRef { number, id });
    siblings.sort_unstable_by(|a, b| b.cmp(a));
    siblings.dedup();
    Ok((block, summaries(read, &source, siblings)?))
}

/// What the indexes know of the block of that number on the best chain.
///
/// # Errors
/// Those of reading.
pub fn by_number(read: &ReadContext<'_>, number: u32) -> ApiResult<Option<IndexedBlock>> {
    Ok(blocks::by_number(read.view(), number)?)
}

/// A block of any branch, of which nothing is decoded yet.
pub(crate) fn parts(read: &ReadContext<'_>, id: Checksum256) -> ApiResult<Arc<BlockParts>> {
    let block = BlockRef { number: id.block_num(), id };
    read.must_be_kept(Part::BlockFiles, block.number)?;
    read.blocks().parts(block).map_err(|error| {
        let absent = matches!(&error, dfuse_trx::Error::Source { source, .. }
            if matches!(source.downcast_ref(), Some(dfuse_blocks::Error::NotFound(_))));
        if absent { unknown(read, id) } else { error.into() }
    })
}

/// The first four bytes of an id are the number of its block.
fn unknown(read: &ReadContext<'_>, id: Checksum256) -> ApiError {
    let number = id.block_num();
    if let Some(first) = read.snapshot().history_start().filter(|first| number < *first) {
        let message = format!("Block {number} is unknown: the indexes begin with block {first}, {MID_CHAIN}");
        return state_unavailable(first, message);
    }
    let message = "No block of this id is known: it may be on a fork that is not kept any more.";
    read.absent(number, ApiError::new(ErrorCode::BlockNotFound, message).detail("block", id.to_string()))
}

fn is_irreversible(snapshot: &ServingSnapshot, number: u32, id: Checksum256) -> ApiResult<bool> {
    let final_number = snapshot.lib().map_or(0, |lib| lib.number);
    Ok(number <= final_number && blocks::by_number(snapshot.view(), number)?.is_some_and(|block| block.id == id))
}

fn summaries(read: &ReadContext<'_>, source: &FeedBlocks, blocks: Vec<BlockRef>) -> ApiResult<Vec<BlockSummary>> {
    let summary = |block: BlockRef| {
        read.go_on()?;
        let frame = source.parts(block)?.frame().map_err(ApiError::unexpected)?;
        Ok(BlockSummary::new(frame, is_irreversible(read.snapshot(), block.number, block.id)?))
    };
    blocks.into_iter().map(summary).collect()
}

impl BlockSummary {
    fn new(block: Block, is_irreversible: bool) -> Self {
        let lib_number = block.lib_num();
        let active_schedule = match (block.active_schedule_v2, block.active_schedule_v1) {
            (Some(schedule), _) => schedule.into(),
            (None, Some(schedule)) => schedule.into(),
            (None, None) => Schedule::default(),
        };
        Self {
            id: block.id,
            number: block.number,
            is_irreversible,
            header: block.header,
            active_schedule,
            transaction_count: block.unfiltered_transaction_count,
            lib_number,
        }
    }
}

impl From<ProducerSchedule> for Schedule {
    fn from(schedule: ProducerSchedule) -> Self {
        let producers = schedule
            .producers
            .into_iter()
            .map(|producer| Producer { name: producer.account_name, signing_key: producer.block_signing_key });
        Self { version: schedule.version, producers: producers.collect() }
    }
}

impl From<ProducerAuthoritySchedule> for Schedule {
    fn from(schedule: ProducerAuthoritySchedule) -> Self {
        let producers = schedule.producers.into_iter().map(|producer| {
            let keys = producer.block_signing_authority.v0.map(|authority| authority.keys);
            let key = keys.and_then(|keys| keys.into_iter().next()).map(|key| key.public_key);
            Producer { name: producer.account_name, signing_key: key.unwrap_or_default() }
        });
        Self { version: schedule.version, producers: producers.collect() }
    }
}
