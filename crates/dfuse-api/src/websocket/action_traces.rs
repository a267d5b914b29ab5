//! `get_action_traces`: the actions that a filter lets through, as their blocks join the best chain. What is far back is found
//! with the search index: see [`super::action_history`].

use std::sync::Arc;

use dfuse_blocks::{
    Step,
    feed::{Request as FeedRequest, Start},
};
use dfuse_query::{
    ApiResult,
    streams::{Progress, steps_from},
};

use super::{
    action_history,
    action_selection::ActionSelection,
    blocks::Blocks,
    context::Context,
    message::{Message, check},
    request::Request,
    selection::Change,
};

/// What is asked for.
pub(super) struct ActionTraces {
    selection: Arc<ActionSelection>,
    start_block: i64,
    irreversible_only: bool,
    confirmations: u32,
    with_progress: i64,
}

impl Request for ActionTraces {
    const NAMES: &[&str] = &["get_action_traces", "get_actions"];

    fn read(message: &Message) -> ApiResult<Self> {
        let selection = ActionSelection::read(&message.data)?;
        check(message.listen, "'listen' required")?;
        check(!message.fetch, "'fetch' not supported")?;
        let Message { start_block, irreversible_only, confirmations, with_progress, .. } = *message;
        Ok(Self { selection: Arc::new(selection), start_block, irreversible_only, confirmations, with_progress })
    }

    async fn run(self, context: Context) -> ApiResult<()> {
        let Self { selection, irreversible_only, confirmations, .. } = self;
        let mut progress = Progress::new(self.with_progress, context.clock());
        let start = context.start_block(self.start_block, confirmations)?;
        let from = |start| FeedRequest { irreversible_only, confirmations, ..Start::Block(start).into() };
        let mut steps = steps_from(from(start), context.api()).await?;
        context.listening(start, &selection.fields_of_operations()).await?;
        let kept = context.shared().actions.clone();
        let mut blocks = Blocks::new(context, kept, selection, confirmations);
        let next = action_history::send(&blocks, &mut progress, start).await?;
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
