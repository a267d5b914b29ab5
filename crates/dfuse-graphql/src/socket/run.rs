//! An operation from its beginning to its end.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::extract::ws::Utf8Bytes;
use dfuse_http::{Api, panicked};
use dfuse_query::{
    Caller, GraphqlError, GraphqlOperation, GraphqlRequest, GraphqlResponse, Place, TraceId, Usage, outbox::PIECE_BYTES,
};
use futures::{FutureExt, StreamExt};
use metrics::gauge;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::Instrument;

use super::{
    context::Context,
    operations::Operation,
    protocol::{Protocol, complete},
};
use crate::{answer, metrics::SUBSCRIPTIONS};

/// What is executed, and for whom.
pub(super) struct Work {
    pub(super) context: Arc<Context>,
    pub(super) operation: Operation,
    /// Is ready when the operation was stopped.
    pub(super) stopped: oneshot::Receiver<()>,
    pub(super) kind: Option<GraphqlOperation>,
    pub(super) request: GraphqlRequest,
    pub(super) caller: Caller,
    pub(super) trace_id: TraceId,
    /// A subscription's place among those of the caller.
    pub(super) place: Option<Place>,
    /// A query's place among those of the connection.
    pub(super) at_work: Option<OwnedSemaphorePermit>,
}

impl Work {
    /// Answers until the operation ends or is stopped.
    pub(super) async fn run(self) {
        let Self { context, operation, mut stopped, kind, request, caller, trace_id, place, at_work } = self;
        let (_place, _at_work) = (place, at_work);
        let is_subscription = kind == Some(GraphqlOperation::Subscription);
        let _count = is_subscription.then(|| SubscriptionCount::begin(&context.sockets.api));
        let span = tracing::error_span!("graphql", %trace_id);
        let answers = answer_all(&context, &operation, is_subscription, request, caller, trace_id);
        let answers = AssertUnwindSafe(answers).catch_unwind().instrument(span.clone());
        let panic = tokio::select! {
            biased;
            _ = &mut stopped => None,
            ended = answers => ended.err(),
        };
        if let Some(panic) = panic {
            let error = span.in_scope(|| context.error(panicked(&*panic), trace_id));
            let text = context.protocol.error(&operation.id, &[error]);
            let room = context.room(text.len(), 1).await;
            operation.put(room, vec![text], true);
        }
    }
}

/// Sends all answers, and that there are no more.
async fn answer_all(
    context: &Context,
    operation: &Operation,
    is_subscription: bool,
    request: GraphqlRequest,
    caller: Caller,
    trace_id: TraceId,
) {
    let mut metered = Metered { caller: &caller, documents: 0 };
    let mut answers = context.sockets.executor.execute(request, caller.clone(), trace_id);
    loop {
        // No more is made than the client reads.
        drop(context.outbox.room(PIECE_BYTES).await);
        let Some(response) = answers.next().await else { break };
        metered.documents += response.documents;
        let (texts, is_end) = messages(context.protocol, &operation.id, &response, is_subscription);
        drop(response);
        let bytes = texts.iter().map(|text| text.len()).sum();
        let room = context.room(bytes, texts.len()).await;
        caller.record(Usage { egress_bytes: bytes as u64, ..Usage::default() });
        if is_end {
            drop(metered);
            return operation.put(room, texts, true);
        }
        operation.put(room, texts, false);
    }
    // It is counted before the client learns of the end.
    drop(metered);
    let text = complete(&operation.id);
    let room = context.room(text.len(), 1).await;
    operation.put(room, vec![text], true);
}

/// The messages of an answer, and whether they are the last of the operation.
fn messages(protocol: Protocol, id: &str, response: &GraphqlResponse, is_subscription: bool) -> (Vec<Utf8Bytes>, bool) {
    let has_failed = !response.errors.is_empty();
    let ends_all = response.errors.iter().any(GraphqlError::is_terminal) && is_subscription;
    let is_refused = protocol == Protocol::Transport && response.data.is_none();
    if has_failed && (ends_all || is_refused) {
        return (vec![protocol.error(id, &response.errors)], true);
    }
    let mut texts = vec![protocol.answer(id, &answer::body(response))];
    // A subscription ends after an event that has errors.
    let is_end = has_failed && is_subscription;
    if is_end {
        texts.push(complete(id));
    }
    (texts, is_end)
}

/// Counts what an operation has given, at its end: one document at least.
struct Metered<'a> {
    caller: &'a Caller,
    documents: u64,
}

impl Drop for Metered<'_> {
    fn drop(&mut self) {
        self.caller.record(Usage { documents: self.documents.max(1), ..Usage::default() });
    }
}

/// Counts an open subscription.
struct SubscriptionCount(Api);

impl SubscriptionCount {
    fn begin(api: &Api) -> Self {
        api.metrics().record(|| gauge!(SUBSCRIPTIONS).increment(1.0));
        Self(api.clone())
    }
}

impl Drop for SubscriptionCount {
    fn drop(&mut self) {
        self.0.metrics().record(|| gauge!(SUBSCRIPTIONS).decrement(1.0));
    }
}
