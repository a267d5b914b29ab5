//! `get_table_rows`: the rows of a table at a block, and what becomes of them.

use std::collections::BTreeSet;

use dfuse_antelope::{Checksum256, Name};
use dfuse_blocks::{
    BlockRef, Step,
    feed::{FeedStep, Request as FeedRequest, Start},
};
use dfuse_query::{
    ApiError, ApiResult, ErrorCode, shorten,
    state::{AskedHeight, Height, lenient_form},
    streams::{self, Progress, Steps, steps_from},
    within,
};
use dfuse_state::{KeyType, RowRange, TableKey};

use super::{
    blocks::Blocks,
    context::Context,
    message::{Message, check, invalid},
    request::Request,
    row_selection::RowSelection,
    selection::Change,
};
use crate::{
    Api,
    params::rules::{Field, extended_name},
    rest::state::write_coverage,
};
use dfuse_render::{JsonWriter, RowFormat};

/// What is asked for.
pub(super) struct GetTableRows {
    selection: RowSelection,
    with_block_num: bool,
    fetch: bool,
    listen: bool,
    start_block: i64,
    confirmations: u32,
    with_progress: i64,
}

impl Request for GetTableRows {
    const NAMES: &[&str] = &["get_table_rows"];

    fn read(message: &Message) -> ApiResult<Self> {
        let data = &message.data;
        let (code, table, scope) = (data.text("code")?, data.text("table")?, data.text_if_any("scope")?);
        let (json, with_block_num) = (data.flag("json")?, data.flag("with_block_num")?);
        message.wants_something()?;
        check(!code.is_empty(), "'data.code' required")?;
        check(!table.is_empty(), "'data.table' required")?;
        let scope = scope.ok_or_else(|| invalid("'data.scope' required"))?;
        message.takes_reversible()?;
        let scope = extended_name(&Field { name: "scope", text: scope })
            .map_err(|problems| invalid(format!("'data.scope' {}", problems.join(", "))))?;
        let table = TableKey { contract: name("code", code)?, table: name("table", table)?, scope };
        let Message { fetch, listen, start_block, confirmations, with_progress, .. } = *message;
        let selection = RowSelection { table, json };
        Ok(Self { selection, with_block_num, fetch, listen, start_block, confirmations, with_progress })
    }

    async fn run(self, context: Context) -> ApiResult<()> {
        let progress = Progress::new(self.with_progress, context.clock());
        let start = context.start_block(self.start_block, self.confirmations)?;
        let (steps, next_block) = if self.fetch {
            let Some((steps, block)) = self.fetch(&context, start).await? else { return Ok(()) };
            (steps, block.saturating_add(1))
        } else {
            (steps_from(self.from(Start::Block(start)), context.api()).await?, start)
        };
        context.listening(next_block, &["action_idx"]).await?;
        let Self { selection, confirmations, .. } = self;
        let kept = context.shared().table_deltas.clone();
        run(Blocks::new(context, kept, selection, confirmations), steps, progress).await
    }
}

fn name(key: &'static str, text: &str) -> ApiResult<Name> {
    text.parse().map_err(|_| invalid(format!("'data.{key}' has \"{}\", which is not a name", shorten(text))))
}

impl GetTableRows {
    fn from(&self, start: Start) -> FeedRequest {
        FeedRequest { confirmations: self.confirmations, ..start.into() }
    }

    /// Sends the snapshot. Returns what comes after its block, and the block's number, if that is wanted.
    async fn fetch(&self, context: &Context, start: u32) -> ApiResult<Option<(Steps, u32)>> {
        let api = context.api();
        // The newest of what is indexed is there.
        let number = if self.start_block == 0 { 0 } else { start };
        let indexed = || {
            let indexed = indexed(api, number, self.confirmations);
            within(api.options().read_timeout, "The block is not indexed yet.", indexed)
        };
        api.in_time(indexed).await?;
        let _turn = context.table_snapshot_turn().await;
        context.send_made("table_snapshot", || self.snapshot_and_steps(api, number)).await
    }

    /// The text of the snapshot, and what comes after its block.
    async fn snapshot_and_steps(&self, api: &Api, number: u32) -> ApiResult<(Option<Vec<u8>>, Option<(Steps, u32)>)> {
        let feed = &api.chain().feed;
        let Snapshot { text, number, block, lib } = self.snapshot(api, number).await?;
        let steps = match block {
            _ if !self.listen => None,
            Some(block) => Some(Steps::from(self.from(streams::after(block, lib, feed)), feed).await?),
            // Before the first block.
            None => Some(steps_from(self.from(Start::Block(number.saturating_add(1))), api).await?),
        };
        Ok((Some(text), steps.map(|steps| (steps, number))))
    }

    async fn snapshot(&self, api: &Api, number: u32) -> ApiResult<Snapshot> {
        let RowSelection { table, json } = self.selection;
        let format = RowFormat { key_type: KeyType::Name, with_block_num: self.with_block_num };
        let (reader, limit) = (api.clone(), api.options().streams.max_pending_bytes);
        let confirmations = self.confirmations;
        let api = api.reading(dfuse_query::Class::Page);
        let read = api.read(move |snapshot, reading| {
            let newest = streams::confirmed(snapshot, confirmations);
            if snapshot.head().is_some() && newest < number {
                return Err(in_future(number, confirmations));
            }
            // Of a chain that is shorter than its confirmations there is nothing: the state before the first block.
            let number = if number == 0 && confirmations > 0 { newest.max(1) } else { number };
            let height = Height::resolve(snapshot, AskedHeight { block_num: number.into(), irreversible_only: false })?;
            let form = lenient_form(&reader, &height, table.contract, table.table, json)?;
            let mut text = Vec::new();
            let mut json = JsonWriter::new(&mut text);
            json.begin_object();
            write_coverage(&mut json, height.state_start(), height.knows_table(table)?);
            json.key("rows").begin_array();
            for row in height.state().rows(table, RowRange::default())? {
                reading.go_on()?;
                format.write(&mut json, &form, &row?);
                if json.written() > limit {
                    return Err(too_large(limit));
                }
            }
            json.end_array();
            json.end_object();
            let block = height.block()?;
            Ok(Snapshot { text, number: height.number(), block, lib: snapshot.lib() })
        });
        read.await
    }
}

/// A `table_snapshot` message.
struct Snapshot {
    /// Its `data`.
    text: Vec<u8>,
    /// The height of which it is.
    number: u32,
    /// The block at that height; absent before the first one.
    block: Option<BlockRef>,
    lib: Option<BlockRef>,
}

/// Returns when the indexes have come to that height, with so many blocks on top.
async fn indexed(api: &Api, number: u32, confirmations: u32) -> ApiResult<()> {
    let (serving, feed) = (&api.chain().serving, &api.chain().feed);
    let mut changes = serving.changes();
    loop {
        changes.mark_unchanged();
        if streams::confirmed(&serving.snapshot(), confirmations) >= number {
            return Ok(());
        }
        if feed.head().is_none() {
            return Err(ApiError::not_ready());
        }
        if feed.confirmed(confirmations).is_none_or(|newest| newest < number) {
            return Err(in_future(number, confirmations));
        }
        changes.changed().await.map_err(|_| ApiError::unavailable("The server is going away."))?;
    }
}

fn in_future(number: u32, confirmations: u32) -> ApiError {
    let message = format!(
        "Block {number} is not there yet, or lacks confirmations: rows can be fetched at the newest block that has them, or below."
    );
    let error = ApiError::new(ErrorCode::TableRowsInFuture, message).detail("start_block", number);
    error.awaiting(number.saturating_add(confirmations))
}

fn too_large(limit: usize) -> ApiError {
    let message = format!(
        "The rows of the table have more than {limit} bytes: read them page by page with /v0/state/table, and listen from \
         the block after theirs."
    );
    ApiError::new(ErrorCode::TableSnapshotTooLarge, message).detail("limit", limit)
}

async fn run(mut blocks: Blocks<RowSelection>, mut steps: Steps, mut progress: Progress) -> ApiResult<()> {
    // Blocks that were undone and may come again.
    let mut undone: BTreeSet<Checksum256> = BTreeSet::new();
    loop {
        steps.ready().await?;
        let room = blocks.context.room().await;
        let Some(step) = steps.try_next().await? else { continue };
        let FeedStep { block, .. } = step;
        let change = match step.step {
            Step::New if undone.contains(&block.id) => Some(Change::Redo),
            Step::New => Some(Change::New),
            Step::Undo => Some(Change::Undo),
            Step::Irreversible => None,
        };
        if let Some(change) = change {
            let is_told = blocks.send_step(room, &step, change, steps.class(&step)).await?;
            if is_told && change == Change::Undo {
                undone.insert(block.id);
            }
            if is_told && change == Change::New && progress.is_due(block.number) {
                blocks.context.progress(block).await;
            }
        }
        undone.retain(|id| id.block_num() > step.cursor.lib);
    }
}
