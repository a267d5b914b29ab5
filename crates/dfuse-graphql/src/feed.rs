//! Subscriptions: events of use cases on their way to the streams of resolvers, off the async threads.
//!
//! The library resolves the fields of an event when its stream is asked for the next answer, on whichever thread asks. So each event
//! is put where the resolver's stream takes it, and the answer is asked for in a turn on a CPU thread.

mod events;
mod turn;

use std::{collections::VecDeque, sync::Arc, task::Poll};

use dfuse_query::{ApiError, ApiResult, GraphqlResponse, OwnedRead, RouteClass, Service, TraceId};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};

use self::{
    events::{Batch, Events},
    turn::{Made, Responses, Turn, answer_now},
};
use crate::{
    Limits,
    error::{self, respond},
    nulls::Asked,
    read::Request,
    schema::DfuseSchema,
    slot::Slot,
};

/// A subscription that is executed.
struct Subscribed {
    service: Service,
    limits: Limits,
    trace_id: TraceId,
    asked_for: Arc<Asked>,
    slot: Arc<Slot>,
    /// Absent while a turn has it.
    responses: Option<Responses>,
    events: Events,
    /// What a turn has left.
    left: Option<Batch>,
    /// Answers that wait to be taken.
    made: VecDeque<GraphqlResponse>,
    is_over: bool,
}

/// The answers to a subscription, until it ends.
pub(crate) fn subscribe(
    service: Service,
    schema: DfuseSchema,
    limits: Limits,
    prepared: async_graphql::Request,
    asked: Asked,
    trace_id: TraceId,
) -> BoxStream<'static, GraphqlResponse> {
    let begin = async move {
        match Subscribed::begin(service, schema, limits, prepared, asked, trace_id).await {
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
        asked_for: Asked,
        trace_id: TraceId,
    ) -> ApiResult<Result<Self, GraphqlResponse>> {
        service.caller().take(RouteClass::Stream)?;
        let slot = Arc::new(Slot::default());
        let left = slot.clone();
        let work = move |read: OwnedRead| {
            let request = Arc::new(Request::new(read, limits.answer_bytes, true));
            let mut responses = schema.execute_stream(prepared.data(request).data(left));
            Ok((answer_now(&mut responses), responses))
        };
        let (first, responses) = service.query_owned(work).await?;
        if let Poll::Ready(first) = first {
            let answer = |mut first| {
                asked_for.complete(&mut first);
                respond(&first, 0, trace_id, true)
            };
            return Ok(Err(first.map_or_else(GraphqlResponse::default, answer)));
        }
        let asked = slot.taken().ok_or_else(|| ApiError::unexpected("a subscription asked for nothing"))?;
        let events = Events::begin(&service, asked).await?;
        let (responses, made) = (Some(responses), VecDeque::new());
        let asked_for = Arc::new(asked_for);
        Ok(Ok(Self { service, limits, trace_id, asked_for, slot, responses, events, left: None, made, is_over: false }))
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
        let batch = match self.left.take() {
            Some(batch) => batch,
            None => match self.events.next().await? {
                Some(batch) => batch,
                None => return Ok(false),
            },
        };
        let responses = self.responses.take().ok_or_else(|| ApiError::unexpected("a turn kept a subscription"))?;
        let (slot, asked_for) = (self.slot.clone(), self.asked_for.clone());
        let turn = Turn { slot, responses, limits: self.limits, trace_id: self.trace_id, asked_for };
        let class = batch.class();
        let made =
            self.service.at_turn_owned(self.service.turns().turn(class).await, move |read| turn.render(&read, batch));
        let Made { responses, answers, left } = made.await?;
        self.responses = Some(responses);
        self.made.extend(answers);
        self.left = left;
        Ok(true)
    }
}
