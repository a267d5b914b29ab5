//! `get_action_traces`: the actions that a filter lets through, as their blocks join the best chain.

use std::{collections::BTreeSet, sync::Arc};

use dfuse_antelope::{
    Checksum256, Name,
    model::{ActionTrace, Block, TransactionStatus, TransactionTrace},
};
use dfuse_blocks::{BlockRef, Step, feed::FeedEvent};
use dfuse_index::View;

use super::{
    context::Context,
    follow::{read_after, view_of},
    message::{Fields, Message, check, invalid},
    progress::Progress,
    request::Request,
    slices::{self, Slice},
    start_block::{start_block, steps_from},
};
use crate::{
    Api, ApiResult, Reading,
    lifecycle::{ActionTree, JsonWriter, Renderer, ViewAbis},
    params::shorten,
    text::rfc3339,
};

/// What is asked for.
pub(super) struct ActionTraces {
    filter: Arc<Filter>,
    start_block: i64,
    irreversible_only: bool,
    with_progress: i64,
}

/// Which actions, and what of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Filter {
    accounts: BTreeSet<Name>,
    /// The accounts if absent.
    receivers: Option<BTreeSet<Name>>,
    /// All if absent.
    action_names: Option<BTreeSet<Name>>,
    with_inline_traces: bool,
    with_dbops: bool,
    with_ramops: bool,
    with_dtrxops: bool,
    with_tableops: bool,
    /// Messages tell the step, and those of blocks that are undone are sent again as undone.
    with_undo: bool,
}

impl Request for ActionTraces {
    const NAMES: &[&str] = &["get_action_traces", "get_actions"];

    fn read(message: &Message) -> ApiResult<Self> {
        let filter = Filter::read(&message.data)?;
        check(message.listen, "'listen' required")?;
        check(!message.fetch, "'fetch' not supported")?;
        let Message { start_block, irreversible_only, with_progress, .. } = *message;
        Ok(Self { filter: Arc::new(filter), start_block, irreversible_only, with_progress })
    }

    async fn run(self, context: Context) -> ApiResult<()> {
        let feed = &context.api().chain().feed;
        let mut progress = Progress::new(self.with_progress, context.clock());
        let start = start_block(self.start_block, feed, context.credentials())?;
        let mut steps = steps_from(start, self.irreversible_only, feed).await?;
        context.listening(start).await;
        let mut stream = Stream { context, filter: self.filter, unsent: BTreeSet::new() };
        loop {
            let event = steps.next().await?;
            match event.step {
                Step::Undo if !stream.filter.with_undo => continue,
                Step::Irreversible if !self.irreversible_only => continue,
                _ => stream.send(&event).await?,
            }
            let block = BlockRef::from(event.block.encoded());
            if event.step != Step::Undo && progress.is_due(block.number) {
                stream.context.progress(block).await;
            }
        }
    }
}

impl Filter {
    fn read(data: &Fields) -> ApiResult<Self> {
        let accounts = names(data, "accounts", "account")?;
        check(accounts.is_some(), "'data.accounts' required")?;
        Ok(Self {
            accounts: accounts.unwrap_or_default(),
            receivers: names(data, "receivers", "receiver")?,
            action_names: names(data, "action_names", "action_name")?,
            with_inline_traces: data.flag("with_inline_traces")?,
            with_dbops: data.flag("with_dbops")?,
            with_ramops: data.flag("with_ramops")?,
            with_dtrxops: data.flag("with_dtrxops")?,
            with_tableops: data.flag("with_tableops")?,
            with_undo: data.flag("with_undo")?,
        })
    }

    fn lets_through(&self, action: &ActionTrace) -> bool {
        self.accounts.contains(&action.action.account)
            && self.receivers.as_ref().unwrap_or(&self.accounts).contains(&action.receiver)
            && self.action_names.as_ref().is_none_or(|names| names.contains(&action.action.name))
    }

    /// Positions of transaction and action, in the order of execution.
    fn places(&self, block: &Block) -> Vec<(usize, usize)> {
        let executed = |trace: &TransactionTrace| {
            trace.receipt.as_ref().is_some_and(|receipt| receipt.status == TransactionStatus::Executed)
        };
        let traces = block.transaction_traces().iter().enumerate().filter(|(_, trace)| executed(trace));
        let places = traces.flat_map(|(at, trace)| {
            let actions = trace.action_traces.iter().enumerate().filter(|(_, action)| self.lets_through(action));
            actions.map(move |(position, _)| (at, position))
        });
        places.collect()
    }
}

/// Names between `|`; of the two fields the old one counts if it is not empty. Absent if there are none.
fn names(data: &Fields, key: &'static str, old_key: &'static str) -> ApiResult<Option<BTreeSet<Name>>> {
    let (new, old) = (data.text(key)?, data.text(old_key)?);
    let (key, text) = if old.is_empty() { (key, new) } else { (old_key, old) };
    let names = text.split('|').map(str::trim).filter(|name| !name.is_empty());
    let names = names.map(|name| {
        name.parse().map_err(|_| invalid(format!("'data.{key}' has \"{}\", which is not a name", shorten(name))))
    });
    let names: BTreeSet<_> = names.collect::<ApiResult<_>>()?;
    Ok((!names.is_empty()).then_some(names))
}

/// A stream at work.
struct Stream {
    context: Context,
    filter: Arc<Filter>,
    /// Blocks that were undone before they were sent.
    unsent: BTreeSet<Checksum256>,
}

/// Block, filter, and whether the block is undone.
pub(super) type Key = (Checksum256, Arc<Filter>, bool);

/// What is to be sent of a block.
#[derive(Clone)]
struct Page {
    block: Arc<Block>,
    filter: Arc<Filter>,
    places: Arc<[(usize, usize)]>,
    undone: bool,
}

impl Stream {
    /// Sends what the filter lets through of the event's block; if it is undone, backwards.
    async fn send(&mut self, event: &FeedEvent) -> ApiResult<()> {
        let undone = event.step == Step::Undo;
        let id = event.block.encoded().id();
        if undone && self.unsent.remove(&id) {
            return Ok(());
        }
        let block = event.block.block().await?;
        let mut places = self.filter.places(&block);
        if places.is_empty() {
            return Ok(());
        }
        if undone {
            places.reverse();
        } else if read_after(self.context.api(), event, |_, _| Ok(())).await?.is_none() {
            // Its actions cannot be decoded any more: neither it nor its end is told.
            self.unsent.insert(id);
            return Ok(());
        }
        let page = Page { block, filter: self.filter.clone(), places: places.into(), undone };
        let recent = (&self.context.shared().actions, (id, self.filter.clone(), undone));
        let api = self.context.api();
        slices::send(&self.context, "action_trace", event, page.places.len(), recent, |from| {
            let (page, reader) = (page.clone(), api.clone());
            api.read(move |snapshot, reading| page.render(&reader, &view_of(snapshot, id)?, reading, from))
        })
        .await
    }
}

impl Page {
    /// From the place at that position on.
    fn render(&self, api: &Api, view: &View, reading: &Reading, from: usize) -> ApiResult<Slice> {
        let abis = ViewAbis::new(view, api.abis());
        let mut tree: Option<(usize, ActionTree)> = None;
        slices::slice(reading, &self.places[from..], |text, (transaction, action)| {
            let trace = &self.block.transaction_traces()[*transaction];
            if self.filter.with_inline_traces && tree.as_ref().is_none_or(|(of, _)| of != transaction) {
                tree = Some((*transaction, ActionTree::new(&trace.action_traces)));
            }
            let tree = tree.as_ref().map(|(_, tree)| tree);
            self.message(&mut Renderer::new(text, &abis), trace, *action, tree)
        })
    }

    fn message(
        &self,
        renderer: &mut Renderer<'_>,
        trace: &TransactionTrace,
        position: usize,
        tree: Option<&ActionTree>,
    ) -> ApiResult<()> {
        let Filter { with_dbops, with_ramops, with_dtrxops, with_tableops, with_undo, .. } = *self.filter;
        let json = renderer.json();
        json.begin_object();
        json.key("block_num").unsigned(self.block.number);
        json.key("block_id").checksum(self.block.id);
        json.key("block_time").string(&rfc3339(self.block.header.timestamp));
        json.key("trx_id").checksum(trace.id);
        json.key("idx").unsigned(position as u64);
        json.key("trace");
        renderer.action_trace(trace, position, tree)?;
        let is_own = |action_index: u32| action_index as usize == position;
        let dbops = trace.db_ops.iter().filter(|op| with_dbops && is_own(op.action_index));
        array(renderer.json(), "dbops", dbops, JsonWriter::db_op_v0);
        let ramops = trace.ram_ops.iter().filter(|op| with_ramops && is_own(op.action_index));
        array(renderer.json(), "ramops", ramops, JsonWriter::ram_op_v0);
        let mut dtrxops = trace.dtrx_ops.iter().filter(|op| with_dtrxops && is_own(op.action_index)).peekable();
        if dtrxops.peek().is_some() {
            renderer.json().key("dtrxops").begin_array();
            for op in dtrxops {
                renderer.dtrx_op_v0(op, trace)?;
            }
            renderer.json().end_array();
        }
        let tableops = trace.table_ops.iter().filter(|op| with_tableops && is_own(op.action_index));
        array(renderer.json(), "tableops", tableops, JsonWriter::table_op);
        if with_undo {
            renderer.json().key("step").string(if self.undone { "undo" } else { "new" });
        }
        renderer.json().end_object();
        Ok(())
    }
}

/// Nothing at all if there are no items.
fn array<'a, 'o, T: 'a>(
    json: &mut JsonWriter<'o>,
    key: &'static str,
    items: impl Iterator<Item = &'a T>,
    item: impl Fn(&mut JsonWriter<'o>, &'a T),
) {
    let mut items = items.peekable();
    if items.peek().is_some() {
        json.key(key).array(items, item);
    }
}
