//! `get_table_rows`: the rows of a table at a block, and what becomes of them.

use std::{collections::BTreeSet, sync::Arc};

use dfuse_antelope::{
    Checksum256, Name,
    model::{Block, DbOp, DbOperation, TransactionTrace},
};
use dfuse_blocks::{BlockRef, Step, feed::FeedEvent};
use dfuse_index::ServingSnapshot;
use dfuse_state::{KeyType, RowKey, RowRange, TableKey};

use super::{
    context::Context,
    follow::{self, Steps, read_after, view_of},
    message::{Message, check, invalid},
    progress::Progress,
    request::Request,
    slices::{self, Slice},
    start_block::{start_block, steps_from},
};
use crate::{
    Api, ApiError, ApiResult, ErrorCode, Reading,
    lifecycle::{JsonWriter, Renderer, Rows, ViewAbis},
    params::{
        rules::{Field, extended_name},
        shorten,
    },
    readers::within,
    rest::state::{Asked, Form, Height, RowOptions},
};

/// What is asked for.
pub(super) struct GetTableRows {
    filter: Filter,
    with_block_num: bool,
    fetch: bool,
    listen: bool,
    start_block: i64,
    with_progress: i64,
}

/// Which changes, and how they look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Filter {
    table: TableKey,
    json: bool,
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
        let Message { fetch, listen, start_block, with_progress, .. } = *message;
        Ok(Self { filter: Filter { table, json }, with_block_num, fetch, listen, start_block, with_progress })
    }

    async fn run(self, context: Context) -> ApiResult<()> {
        let feed = &context.api().chain().feed;
        let mut progress = Progress::new(self.with_progress, context.clock());
        let start = start_block(self.start_block, feed, context.credentials())?;
        let (steps, next_block) = if self.fetch {
            let Some((steps, block)) = self.fetch(&context, start).await? else { return Ok(()) };
            (steps, block.saturating_add(1))
        } else {
            (steps_from(start, false, feed).await?, start)
        };
        context.listening(next_block).await;
        let stream = Stream { context, filter: self.filter, unsent: BTreeSet::new(), undone: BTreeSet::new() };
        stream.run(steps, &mut progress).await
    }
}

fn name(key: &'static str, text: &str) -> ApiResult<Name> {
    text.parse().map_err(|_| invalid(format!("'data.{key}' has \"{}\", which is not a name", shorten(text))))
}

impl GetTableRows {
    /// Sends the snapshot. Returns what comes after its block, and the block's number, if that is wanted.
    async fn fetch(&self, context: &Context, start: u32) -> ApiResult<Option<(Steps, u32)>> {
        let (api, feed) = (context.api(), &context.api().chain().feed);
        // The newest of what is indexed is there.
        let number = if self.start_block == 0 { 0 } else { start };
        within(api.options().read_timeout, "The block is not indexed yet.", indexed(api, number)).await?;
        let _turn = context.table_snapshot_turn().await;
        let Snapshot { text, number, block, lib } = self.snapshot(api, number).await?;
        let steps = match block {
            _ if !self.listen => None,
            Some(block) => Some(Steps::from(follow::after(block, lib, feed), false, feed).await?),
            // Before the first block.
            None => Some(steps_from(number.saturating_add(1), false, feed).await?),
        };
        context.send("table_snapshot", &text).await;
        Ok(steps.map(|steps| (steps, number)))
    }

    async fn snapshot(&self, api: &Api, number: u32) -> ApiResult<Snapshot> {
        let Filter { table, json } = self.filter;
        let options = RowOptions { key_type: KeyType::Name, json, with_block_num: self.with_block_num };
        let (reader, limit) = (api.clone(), api.options().websocket.max_pending_bytes);
        let read = api.read(move |snapshot, reading| {
            if snapshot.head().is_some_and(|head| head.number < number) {
                return Err(in_future(number));
            }
            let height = Height::resolve(snapshot, Asked { block_num: number, irreversible_only: false })?;
            let form = Form::lenient(&reader, &height.state, table.contract, table.table, json)?;
            let mut text = Vec::new();
            let mut json = JsonWriter::new(&mut text);
            json.begin_object();
            json.key("rows").begin_array();
            for row in height.state.rows(table, RowRange::default())? {
                reading.go_on()?;
                options.write(&mut json, &form, &row?);
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

/// Returns when the indexes have come to that height.
async fn indexed(api: &Api, number: u32) -> ApiResult<()> {
    let (serving, feed) = (&api.chain().serving, &api.chain().feed);
    let mut changes = serving.changes();
    loop {
        changes.mark_unchanged();
        if serving.snapshot().head().map_or(0, |head| head.number) >= number {
            return Ok(());
        }
        if feed.head().is_none_or(|head| head.number < number) {
            return Err(in_future(number));
        }
        changes.changed().await.map_err(|_| ApiError::unavailable("The server is going away."))?;
    }
}

fn in_future(number: u32) -> ApiError {
    let message = format!("Block {number} is not there yet: rows can be fetched at the head block or below.");
    ApiError::new(ErrorCode::TableRowsInFuture, message).detail("start_block", number)
}

fn too_large(limit: usize) -> ApiError {
    let message = format!(
        "The rows of the table have more than {limit} bytes: read them page by page with /v0/state/table, and listen from \
         the block after theirs."
    );
    ApiError::new(ErrorCode::TableSnapshotTooLarge, message).detail("limit", limit)
}

/// A stream at work.
struct Stream {
    context: Context,
    filter: Filter,
    /// Blocks that were undone before they were sent.
    unsent: BTreeSet<Checksum256>,
    /// Blocks that were undone and may come again.
    undone: BTreeSet<Checksum256>,
}

/// What happens to a block, as clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DeltaStep {
    New,
    Undo,
    Redo,
}

impl DeltaStep {
    fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Undo => "undo",
            Self::Redo => "redo",
        }
    }
}

/// Block, table, and what happens to the block.
pub(super) type Key = (Checksum256, Filter, DeltaStep);

impl Stream {
    async fn run(mut self, mut steps: Steps, progress: &mut Progress) -> ApiResult<()> {
        loop {
            let event = steps.next().await?;
            let block = BlockRef::from(event.block.encoded());
            match event.step {
                Step::New if self.undone.contains(&block.id) => {
                    self.send(&event, DeltaStep::Redo).await?;
                }
                Step::New => {
                    if self.send(&event, DeltaStep::New).await? && progress.is_due(block.number) {
                        self.context.progress(block).await;
                    }
                }
                Step::Undo => {
                    if self.send(&event, DeltaStep::Undo).await? {
                        self.undone.insert(block.id);
                    }
                }
                Step::Irreversible => {}
            }
            self.undone.retain(|id| id.block_num() > event.cursor.lib);
        }
    }

    /// Sends what the event's block does to the table; if it is undone, backwards. False if it is not told, as the chain
    /// had left the block before the indexes came to it.
    async fn send(&mut self, event: &FeedEvent, step: DeltaStep) -> ApiResult<bool> {
        let id = event.block.encoded().id();
        if step == DeltaStep::Undo && self.unsent.remove(&id) {
            return Ok(false);
        }
        let block = event.block.block().await?;
        let mut places = self.filter.places(&block);
        if places.is_empty() {
            return Ok(true);
        }
        if step == DeltaStep::Undo {
            places.reverse();
        } else if read_after(self.context.api(), event, |_, _| Ok(())).await?.is_none() {
            // Its rows cannot be decoded any more: neither it nor its end is told.
            self.unsent.insert(id);
            return Ok(false);
        }
        let page = Page { block, filter: self.filter, places: places.into(), step };
        let recent = (&self.context.shared().table_deltas, (id, self.filter, step));
        let api = self.context.api();
        slices::send(&self.context, "table_delta", event, page.places.len(), recent, |from| {
            let (page, reader) = (page.clone(), api.clone());
            api.read(move |snapshot, reading| page.render(&reader, snapshot, reading, from))
        })
        .await?;
        Ok(true)
    }
}

impl Filter {
    /// Positions of transaction and operation, in the order of execution.
    fn places(&self, block: &Block) -> Vec<(usize, usize)> {
        let is_wanted = |op: &DbOp| op.operation != DbOperation::Unknown && RowKey::of(op).table == self.table;
        let traces = block.transaction_traces().iter().enumerate().filter(|(_, trace)| !trace.is_reverted());
        let places = traces.flat_map(|(at, trace)| {
            let ops = trace.db_ops.iter().enumerate().filter(|(_, op)| is_wanted(op));
            ops.map(move |(position, _)| (at, position))
        });
        places.collect()
    }
}

/// What is to be sent of a block.
#[derive(Clone)]
struct Page {
    block: Arc<Block>,
    filter: Filter,
    places: Arc<[(usize, usize)]>,
    step: DeltaStep,
}

impl Page {
    /// From the place at that position on.
    fn render(&self, api: &Api, snapshot: &ServingSnapshot, reading: &Reading, from: usize) -> ApiResult<Slice> {
        let view = view_of(snapshot, self.block.id)?;
        let abis = ViewAbis::new(&view, api.abis());
        slices::slice(reading, &self.places[from..], |text, (transaction, op)| {
            let trace = &self.block.transaction_traces()[*transaction];
            self.message(&mut Renderer::new(text, &abis), trace, &trace.db_ops[*op])
        })
    }

    fn message(&self, renderer: &mut Renderer<'_>, trace: &TransactionTrace, op: &DbOp) -> ApiResult<()> {
        let abi = if self.filter.json { renderer.abi_of_row(op, trace)? } else { None };
        let row_type = abi.as_ref().and_then(|abi| abi.table(op.table_name).ok());
        let rows = if self.filter.json { Rows::Decoded(row_type) } else { Rows::Hex };
        renderer.json().begin_object();
        renderer.json().key("block_num").unsigned(self.block.number);
        renderer.json().key("block_id").checksum(self.block.id);
        renderer.json().key("dbop");
        renderer.table_delta(op, self.step == DeltaStep::Undo, rows);
        renderer.json().key("step").string(self.step.as_str());
        renderer.json().end_object();
        Ok(())
    }
}
