//! Subscriptions: events of use cases on their way to the streams of resolvers, off the async threads.
//!
//! The library resolves the fields of an event when its stream is asked for the next answer, on whichever thread asks. So each event
//! is put where the resolver's stream takes it, and the answer is asked for in a turn on a CPU thread.

use std::{
    any::Any,
    collections::VecDeque,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
};

use async_graphql::Response;
use dfuse_kv::Direction;
use dfuse_query::{
    ApiError, ApiResult, GraphqlResponse, OwnedRead, RouteClass, Service, TraceId,
    blocks::BlockWindow,
    streams::{SearchRow, SearchRowKind, SearchRows, SearchStream},
    turns::Class,
};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};

use crate::{
    Limits,
    error::{self, respond},
    read::Request,
    schema::DfuseSchema,
    slot::{Asked, Slot},
    source::{Blocks, Source},
    types::{BlockHeader, SearchTransactionBackwardResponse, SearchTransactionForwardResponse, TransactionTrace},
};

/// Bytes of answers that are made in one turn, about.
const TURN_BYTES: usize = 256 << 10;

/// The answers of the library to a subscription.
type Responses = BoxStream<'static, Response>;

/// The next answer that needs no event, if there is one.
fn answer_now(responses: &mut Responses) -> Poll<Option<Response>> {
    responses.poll_next_unpin(&mut TaskContext::from_waker(Waker::noop()))
}

/// A subscription that is executed.
struct Subscribed {
    service: Service,
    limits: Limits,
    trace_id: TraceId,
    slot: Arc<Slot>,
    /// Absent while a turn has it.
    responses: Option<Responses>,
    events: Events,
    /// Answers that wait to be taken.
    made: VecDeque<GraphqlResponse>,
    is_over: bool,
}

/// What there is to stream.
enum Events {
    Search { stream: Box<SearchStream>, direction: Direction, rows: Option<SearchRows> },
}

/// The answers to a subscription, until it ends.
pub(crate) fn subscribe(
    service: Service,
    schema: DfuseSchema,
    limits: Limits,
    prepared: async_graphql::Request,
    trace_id: TraceId,
) -> BoxStream<'static, GraphqlResponse> {
    let begin = async move {
        match Subscribed::begin(service, schema, limits, prepared, trace_id).await {
            Ok(Ok(subscribed)) => stream::unfold(subscribed, Subscribed::next).boxed(),
            Ok(Err(answer)) => stream::iter([answer]).boxed(),
            Err(error) => stream::iter([error::refusal(error, trace_id, true)]).boxed(),
        }
    };
    stream::once(begin).flatten().boxed()
}

impl Subscribed {
    /// Has the document checked and its arguments read. The inner error is the only answer that there is then.
    async fn begin(
        service: Service,
        schema: DfuseSchema,
        limits: Limits,
        prepared: async_graphql::Request,
        trace_id: TraceId,
    ) -> ApiResult<Result<Self, GraphqlResponse>> {
        service.caller().take(RouteClass::Stream)?;
        let slot = Arc::new(Slot::default());
        let left = slot.clone();
        let work = move |read: OwnedRead| {
            let request = Arc::new(Request::new(read, limits.answer_bytes));
            let mut responses = schema.execute_stream(prepared.data(request).data(left));
            Ok((answer_now(&mut responses), responses))
        };
        let (first, responses) = service.query_owned(work).await?;
        if let Poll::Ready(first) = first {
            return Ok(Err(first.map_or_else(GraphqlResponse::default, |first| respond(&first, 0, trace_id, true))));
        }
        let asked = slot.taken();
        let events = match asked.ok_or_else(|| ApiError::unexpected("a subscription asked for nothing"))? {
            Asked::Search(follow) => {
                let direction = follow.direction;
                let stream = Box::new(SearchStream::begin(&service, follow).await?);
                Events::Search { stream, direction, rows: None }
            }
        };
        let (responses, made) = (Some(responses), VecDeque::new());
        Ok(Ok(Self { service, limits, trace_id, slot, responses, events, made, is_over: false }))
    }

    /// The next answer.
    async fn next(mut self) -> Option<(GraphqlResponse, Self)> {
        loop {
            if let Some(answer) = self.made.pop_front() {
                self.is_over |= answer.errors.iter().any(dfuse_query::GraphqlError::is_terminal);
                return Some((answer, self));
            }
            if self.is_over {
                return None;
            }
            match self.make().await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => self.made.push_back(error::refusal(error, self.trace_id, true)),
            }
        }
    }

    /// Makes some answers; none are left when it says no.
    async fn make(&mut self) -> ApiResult<bool> {
        let Events::Search { stream, direction, rows } = &mut self.events;
        let found = match rows.take() {
            Some(rows) => rows,
            None => match stream.next().await? {
                Some(rows) => rows,
                None => return Ok(false),
            },
        };
        let responses = self.responses.take().ok_or_else(|| ApiError::unexpected("a turn kept a subscription"))?;
        let turn = Turn {
            slot: self.slot.clone(),
            responses,
            limits: self.limits,
            trace_id: self.trace_id,
            direction: *direction,
        };
        let class = if found.block.is_some() { Class::Live } else { Class::Past };
        let (responses, made, left) = self
            .service
            .at_turn_owned(self.service.turns().turn(class).await, move |read| turn.render(&read, found))
            .await?;
        self.responses = Some(responses);
        self.made.extend(made);
        *rows = left;
        Ok(true)
    }
}

/// A turn of a subscription on a CPU thread.
struct Turn {
    slot: Arc<Slot>,
    responses: Responses,
    limits: Limits,
    trace_id: TraceId,
    direction: Direction,
}

impl Turn {
    /// The answers for some rows, and the rows that are left for another turn.
    fn render(
        mut self,
        read: &OwnedRead,
        found: SearchRows,
    ) -> ApiResult<(Responses, Vec<GraphqlResponse>, Option<SearchRows>)> {
        let SearchRows { view, block, rows } = found;
        let request = Arc::new(Request::new(read.clone(), self.limits.answer_bytes));
        let context = read.context();
        let blocks = match &block {
            Some(block) => Blocks::Whole(block.clone()),
            None => Blocks::Results(BlockWindow::new(&context, rows.iter().map(|row| row.position.block).collect())),
        };
        let source = Source::new(&request, view.clone(), blocks);
        let (mut made, mut bytes) = (Vec::new(), 0);
        let mut rows = rows.into_iter();
        for row in rows.by_ref() {
            context.go_on()?;
            let documents = u64::from(!matches!(row.kind, SearchRowKind::Marker));
            self.slot.put(event(&context, &source, &row, self.direction));
            match answer_now(&mut self.responses) {
                Poll::Ready(Some(response)) => {
                    let answer = respond(&response, documents, self.trace_id, true);
                    bytes += answer.data.as_ref().map_or(0, String::len);
                    let is_failed = !answer.errors.is_empty();
                    made.push(answer);
                    if is_failed || bytes > TURN_BYTES {
                        break;
                    }
                }
                Poll::Ready(None) | Poll::Pending => {
                    return Err(ApiError::unexpected("a subscription did not take an event"));
                }
            }
        }
        let rows: Vec<_> = rows.collect();
        let left = (!rows.is_empty()).then_some(SearchRows { view, block, rows });
        Ok((self.responses, made, left))
    }
}

fn event(
    read: &dfuse_query::ReadContext<'_>,
    source: &Arc<Source>,
    row: &SearchRow,
    direction: Direction,
) -> Box<dyn Any + Send> {
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
    match direction {
        Direction::Forward => Box::new(SearchTransactionForwardResponse {
            undo,
            cursor,
            is_irreversible,
            irreversible_block_num,
            block,
            trace,
        }),
        Direction::Reverse => Box::new(SearchTransactionBackwardResponse {
            cursor,
            is_irreversible,
            irreversible_block_num,
            block,
            trace,
        }),
    }
}
