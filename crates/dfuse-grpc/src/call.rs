//! A call from its beginning to its end: on whose behalf, what it used, how it ended.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dfuse_query::{ApiError, ApiResult, Caller, Place, Service, TraceId, Usage};
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};
use tracing::Instrument;

use crate::{
    connection::Peer,
    metrics::{call_begins, call_ends},
    status::status,
};

pub(crate) const TARGET: &str = "dfuse_grpc::call";
/// Digits of a key's id that the log has: as many as lists of keys show, by which every command finds it.
const KEY_DIGITS: usize = 12;

/// Messages of an answer.
pub(crate) type Messages<M> = BoxStream<'static, Result<M, Status>>;

/// A call at work. Cloning is cheap; the last clone that goes logs and counts it.
#[derive(Clone)]
pub(crate) struct Call(Arc<Inner>);

struct Inner {
    /// On behalf of the caller.
    service: Service,
    trace_id: TraceId,
    method: String,
    peer: Option<Peer>,
    began: Duration,
    stopping: CancellationToken,
    messages: AtomicU64,
    /// Absent until it has ended.
    outcome: OnceLock<&'static str>,
}

impl Call {
    pub(crate) fn begin(
        service: Service,
        trace_id: TraceId,
        method: &str,
        peer: Option<Peer>,
        stopping: CancellationToken,
    ) -> Self {
        call_begins(service.metrics());
        let began = service.chain().clock.elapsed();
        let (messages, outcome) = (AtomicU64::new(0), OnceLock::new());
        let method = method.to_owned();
        Self(Arc::new(Inner { service, trace_id, method, peer, began, stopping, messages, outcome }))
    }

    /// The call that a request belongs to.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Result<Self, Status> {
        request.extensions().get::<Self>().cloned().ok_or_else(|| Status::internal("a request outside of the frame"))
    }

    /// Reads on behalf of the caller.
    pub(crate) fn service(&self) -> &Service {
        &self.0.service
    }

    pub(crate) fn caller(&self) -> &Caller {
        self.0.service.caller()
    }

    pub(crate) fn trace_id(&self) -> TraceId {
        self.0.trace_id
    }

    /// The status of the error that it ends with.
    pub(crate) fn fail(&self, error: ApiError) -> Status {
        let _ = self.0.outcome.set(error.row().code);
        status(error, self.0.trace_id)
    }

    /// Answers with one message.
    pub(crate) async fn answer<M: Message>(
        &self,
        request: &impl Message,
        work: impl Future<Output = ApiResult<M>>,
    ) -> Result<Response<M>, Status> {
        self.took(request);
        let span = tracing::error_span!("grpc", trace_id = %self.0.trace_id);
        let work = AssertUnwindSafe(work).catch_unwind().instrument(span);
        let ended = self.ended();
        let answer = tokio::select! {
            answer = work => answer.unwrap_or_else(|panic| Err(panicked(&*panic))),
            error = ended => Err(error),
        };
        match answer {
            Ok(message) => {
                self.sent(&message, 1);
                let _ = self.0.outcome.set("ok");
                Ok(Response::new(message))
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Answers with a stream of messages, each with how many documents it counts for. The place is free when it ends.
    pub(crate) fn stream<M: Message + 'static>(
        &self,
        request: &impl Message,
        place: Place,
        messages: impl Stream<Item = ApiResult<(M, u64)>> + Send + 'static,
    ) -> Response<Messages<M>> {
        self.took(request);
        let call = self.clone();
        let ended: BoxFuture<'static, ApiError> = {
            let call = self.clone();
            Box::pin(async move { call.ended().await })
        };
        let messages = Box::pin(AssertUnwindSafe(messages).catch_unwind());
        let state = Some((call, place, messages, ended));
        Response::new(Box::pin(stream::unfold(state, async |state| {
            let (call, place, mut messages, mut ended) = state?;
            let next = tokio::select! {
                biased;
                error = &mut ended => Some(Err(error)),
                next = messages.next() => next.map(|next| next.unwrap_or_else(|panic| Err(panicked(&*panic)))),
            };
            match next {
                Some(Ok((message, documents))) => {
                    call.sent(&message, documents);
                    Some((Ok(message), Some((call, place, messages, ended))))
                }
                Some(Err(error)) => Some((Err(call.fail(error)), None)),
                None => {
                    let _ = call.0.outcome.set("ok");
                    None
                }
            }
        })))
    }

    /// Returns when the call must end, with the reason.
    async fn ended(&self) -> ApiError {
        tokio::select! {
            () = self.0.stopping.cancelled() => ApiError::unavailable("The server is going away: connect again, and resume."),
            error = self.caller().lost() => error,
        }
    }

    fn took(&self, request: &impl Message) {
        let ingress_bytes = request.encoded_len() as u64;
        self.caller().record(Usage { requests: 1, ingress_bytes, ..Usage::default() });
    }

    fn sent(&self, message: &impl Message, documents: u64) {
        self.0.messages.fetch_add(1, Ordering::Relaxed);
        let egress_bytes = message.encoded_len() as u64;
        self.caller().record(Usage { documents, egress_bytes, ..Usage::default() });
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let status = self.outcome.get().copied().unwrap_or("left");
        let seconds = self.service.chain().clock.elapsed().saturating_sub(self.began).as_secs_f64();
        let messages = self.messages.load(Ordering::Relaxed);
        // Names of methods that do not exist are too many.
        let method = if status == "route_not_found_error" { "none" } else { &*self.method };
        call_ends(self.service.metrics(), method, status, messages, seconds);
        let peer = self.peer.map(|Peer(peer)| tracing::field::display(peer));
        let key = self.service.caller().key_id().map(|id| id.to_string()[..KEY_DIGITS].to_owned());
        tracing::info!(target: TARGET, trace_id = %self.trace_id, method, status, messages, seconds, client = peer, key, "call");
    }
}

/// The error of a call whose work panicked.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> ApiError {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    ApiError::unexpected(format!("panicked: {}", text.unwrap_or("without a text")))
}
