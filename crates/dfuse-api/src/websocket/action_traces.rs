//! `get_action_traces`: the actions that a filter lets through, as their blocks join the best chain. What is far back is found
//! with the search index: see [`super::action_history`].

use std::{collections::BTreeSet, sync::Arc};

use dfuse_antelope::{
    Name,
    model::{Block, TransactionTrace},
};
use dfuse_blocks::{
    Step,
    feed::{Request as FeedRequest, Start},
};
use dfuse_query::{
    ApiResult, Reading, shorten,
    streams::{ActionFilter, ActionItem, Places, Progress, actions_of, start_block, steps_from, view_of},
    turns::Class,
};

use super::{
    Shared,
    action_history::Replay,
    context::Context,
    message::{Fields, Message, check, invalid},
    request::Request,
    selection::{Blocks, Change, Page, Selected, Selection, Slice, slice},
};
use crate::Api;
use dfuse_index::{ServingSnapshot, abi::ViewAbis};
use dfuse_render::{ActionTree, JsonWriter, Renderer, rfc3339};

/// What is asked for.
pub(super) struct ActionTraces {
    filter: Arc<Filter>,
    start_block: i64,
    irreversible_only: bool,
    confirmations: u32,
    with_progress: i64,
}

/// Which actions, and what of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Filter {
    pub(super) actions: ActionFilter,
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
        let Message { start_block, irreversible_only, confirmations, with_progress, .. } = *message;
        Ok(Self { filter: Arc::new(filter), start_block, irreversible_only, confirmations, with_progress })
    }

    async fn run(self, context: Context) -> ApiResult<()> {
        let Self { filter, irreversible_only, confirmations, .. } = self;
        let feed = &context.api().chain().feed;
        let mut progress = Progress::new(self.with_progress, context.clock());
        let start = start_block(self.start_block, confirmations, feed, context.caller())?;
        let from = |start| FeedRequest { irreversible_only, confirmations, ..Start::Block(start).into() };
        let mut steps = steps_from(from(start), context.api()).await?;
        context.listening(start).await;
        let mut blocks = Blocks::new(context, filter, confirmations);
        let next = Replay { blocks: &blocks, progress: &mut progress }.run(start).await?;
        if next > start {
            steps = steps_from(from(next), blocks.context.api()).await?;
        }
        loop {
            steps.ready().await?;
            let room = blocks.context.room().await;
            let Some(step) = steps.try_next().await? else { continue };
            let change = match step.step {
                Step::Undo if !blocks.selection.with_undo => continue,
                Step::Irreversible if !irreversible_only => continue,
                Step::Undo => Change::Undo,
                Step::New | Step::Irreversible => Change::New,
            };
            blocks.send_step(room, &step, change, steps.class(&step)).await?;
            if change == Change::New && progress.is_due(step.block.number) {
                blocks.context.progress(step.block).await;
            }
        }
    }
}

impl Filter {
    fn read(data: &Fields) -> ApiResult<Self> {
        let accounts = names(data, "accounts", "account")?;
        check(accounts.is_some(), "'data.accounts' required")?;
        let actions = ActionFilter {
            accounts: accounts.unwrap_or_default(),
            receivers: names(data, "receivers", "receiver")?,
            action_names: names(data, "action_names", "action_name")?,
            with_soft_fail: data.flag("with_soft_fail")?,
        };
        Ok(Self {
            actions,
            with_inline_traces: data.flag("with_inline_traces")?,
            with_dbops: data.flag("with_dbops")?,
            with_ramops: data.flag("with_ramops")?,
            with_dtrxops: data.flag("with_dtrxops")?,
            with_tableops: data.flag("with_tableops")?,
            with_undo: data.flag("with_undo")?,
        })
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

impl Selection for Arc<Filter> {
    const KIND: &str = "action_trace";
    type Item = ActionItem;

    fn all(block: &Block) -> Arc<[ActionItem]> {
        actions_of(block)
    }

    fn pick(&self, all: &[ActionItem]) -> Places {
        self.actions.pick(all)
    }

    fn render(
        page: &Page<Self>,
        api: &Api,
        snapshot: &ServingSnapshot,
        reading: &Reading,
        from: usize,
    ) -> ApiResult<Slice> {
        let view = view_of(snapshot, page.block.id)?;
        let abis = ViewAbis::new(&view, api.abis());
        let mut tree: Option<(usize, ActionTree)> = None;
        slice(reading, &page.places[from..], |text, (transaction, action)| {
            let trace = &page.block.transaction_traces()[*transaction];
            if page.selection.with_inline_traces && tree.as_ref().is_none_or(|(of, _)| of != transaction) {
                tree = Some((*transaction, ActionTree::new(&trace.action_traces)));
            }
            let tree = tree.as_ref().map(|(_, tree)| tree);
            page.message(&mut Renderer::new(text, &abis), trace, *action, tree)
        })
    }

    fn selected(shared: &Shared, class: Class) -> &Arc<Selected<Self>> {
        match class {
            Class::Live => &shared.actions,
            Class::Past => &shared.past_actions,
        }
    }
}

impl Page<Arc<Filter>> {
    fn message(
        &self,
        renderer: &mut Renderer<'_>,
        trace: &TransactionTrace,
        position: usize,
        tree: Option<&ActionTree>,
    ) -> ApiResult<()> {
        let Filter { with_dbops, with_ramops, with_dtrxops, with_tableops, with_undo, .. } = *self.selection;
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
            renderer.json().key("step").string(self.change.as_str());
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
