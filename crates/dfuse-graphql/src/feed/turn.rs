//! Turns of a subscription on a CPU thread, in which its answers are made.

use std::{
    any::Any,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
};

use async_graphql::Response;
use dfuse_kv::Direction;
use dfuse_query::{
    ApiError, ApiResult, GraphqlResponse, OwnedRead, ReadContext, TraceId,
    blocks::BlockWindow,
    streams::{RowChanges, SearchRow, SearchRowKind, SearchRows, view_of},
};
use futures::{StreamExt, stream::BoxStream};

use super::events::{AskedSearch, Batch};
use crate::{
    Limits,
    error::respond,
    nulls::Asked,
    read::Request,
    slot::Slot,
    source::{Blocks, Source},
    types::{
        BlockHeader, HeadResponse, ResultCoverage, SearchTransactionBackwardResponse, SearchTransactionForwardResponse,
        TableDeltasResponse, TransactionLifecycle, TransactionTrace,
    },
};

/// Bytes of answers that are made in one turn, about.
const TURN_BYTES: usize = 256 << 10;

/// The answers of the library to a subscription.
pub(super) type Responses = BoxStream<'static, Response>;

/// An event, as the stream of a resolver takes it.
type Event = Box<dyn Any + Send>;

/// The next answer that needs no event, if there is one.
pub(super) fn answer_now(responses: &mut Responses) -> Poll<Option<Response>> {
    responses.poll_next_unpin(&mut TaskContext::from_waker(Waker::noop()))
}

/// A turn of a subscription on a CPU thread.
pub(super) struct Turn {
    pub(super) slot: Arc<Slot>,
    pub(super) responses: Responses,
    pub(super) limits: Limits,
    pub(super) trace_id: TraceId,
    pub(super) asked_for: Arc<Asked>,
}

/// What a turn has made, and the events that are left for another one.
pub(super) struct Made {
    pub(super) responses: Responses,
    pub(super) answers: Vec<GraphqlResponse>,
    pub(super) left: Option<Batch>,
}

impl Turn {
    /// The answers for some events.
    pub(super) fn render(mut self, read: &OwnedRead, batch: Batch) -> ApiResult<Made> {
        let request = Arc::new(Request::new(read.clone(), self.limits.answer_bytes, true));
        let (answers, left) = match batch {
            Batch::Search { rows, asked } => {
                let (answers, left) = self.render_rows(&request, rows, &asked)?;
                (answers, left.map(|rows| Batch::Search { rows, asked }))
            }
            Batch::Rows(changes) => {
                let documents = changes.places.len() as u64;
                (vec![self.answer(deltas(&request, changes)?, documents)?], None)
            }
            Batch::Lifecycle(lifecycle) => {
                let (view, lifecycle) = *lifecycle;
                (vec![self.answer(Box::new(TransactionLifecycle::new(&request, view, lifecycle)), 1)?], None)
            }
            Batch::Head { head, lib } => {
                let context = request.read();
                let view = view_of(context.snapshot(), head.id)?;
                let source = Source::new(&request, view, Blocks::Window(BlockWindow::new(&context, vec![head])));
                (vec![self.answer(Box::new(HeadResponse::new(&source, head, lib)), 1)?], None)
            }
        };
        Ok(Made { responses: self.responses, answers, left })
    }

    /// The answer to an event.
    fn answer(&mut self, event: Event, documents: u64) -> ApiResult<GraphqlResponse> {
        self.slot.put(event);
        match answer_now(&mut self.responses) {
            Poll::Ready(Some(mut response)) => {
                self.asked_for.complete(&mut response);
                Ok(respond(&response, documents, self.trace_id, true))
            }
            Poll::Ready(None) | Poll::Pending => Err(ApiError::unexpected("a subscription did not take an event")),
        }
    }

    fn render_rows(
        &mut self,
        request: &Arc<Request>,
        found: SearchRows,
        asked: &AskedSearch,
    ) -> ApiResult<(Vec<GraphqlResponse>, Option<SearchRows>)> {
        let SearchRows { view, block, rows } = found;
        let context = request.read();
        let blocks = match &block {
            Some(block) => Blocks::Whole(block.clone()),
            None => Blocks::Results(BlockWindow::new(&context, rows.iter().map(|row| row.position.block).collect())),
        };
        let source = Source::new(request, view.clone(), blocks);
        let (mut made, mut bytes) = (Vec::new(), 0);
        let mut rows = rows.into_iter();
        for row in rows.by_ref() {
            context.go_on()?;
            let documents = u64::from(!matches!(row.kind, SearchRowKind::Marker));
            let answer = self.answer(found_row(&context, &source, &row, asked), documents)?;
            bytes += answer.data.as_ref().map_or(0, String::len);
            let is_failed = !answer.errors.is_empty();
            made.push(answer);
            if is_failed || bytes > TURN_BYTES {
                break;
            }
        }
        let rows: Vec<_> = rows.collect();
        let left = (!rows.is_empty()).then_some(SearchRows { view, block, rows });
        Ok((made, left))
    }
}

fn deltas(request: &Arc<Request>, changes: RowChanges) -> ApiResult<Event> {
    let cursor = request.read().chain().feed.seal(&changes.step.cursor);
    let (undo, irreversible) = (changes.is_undo(), changes.irreversible());
    let RowChanges { step, block, view, places, .. } = changes;
    let source = Source::new(request, view, Blocks::Whole(block.clone()));
    let is_irreversible = !undo && irreversible == step.block.number;
    let response = TableDeltasResponse::new(&source, &block, &places)?;
    Ok(Box::new(TableDeltasResponse {
        undo,
        cursor,
        is_irreversible,
        irreversible_block_num: irreversible.into(),
        ..response
    }))
}

fn found_row(read: &ReadContext<'_>, source: &Arc<Source>, row: &SearchRow, asked: &AskedSearch) -> Event {
    let cursor = row.position.seal(read.chain().feed.cursor_key());
    let block = BlockHeader::new(source, row.position.block);
    let (undo, found) = match &row.kind {
        SearchRowKind::New(found) => (false, Some(found)),
        SearchRowKind::Undo(found) => (true, Some(found)),
        SearchRowKind::Marker => (false, None),
    };
    let trace = found.map(|found| TransactionTrace::found(source, found));
    let is_irreversible = !undo && row.irreversible == row.position.block.number;
    let irreversible_block_num = row.irreversible.into();
    let coverage = ResultCoverage::new(source, row.position.block.number, &asked.fields);
    match asked.direction {
        Direction::Forward => Box::new(SearchTransactionForwardResponse {
            undo,
            cursor,
            is_irreversible,
            irreversible_block_num,
            block,
            trace,
            coverage,
        }),
        Direction::Reverse => Box::new(SearchTransactionBackwardResponse {
            cursor,
            is_irreversible,
            irreversible_block_num,
            block,
            trace,
            coverage,
        }),
    }
}
