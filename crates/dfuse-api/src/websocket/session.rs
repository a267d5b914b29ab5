//! The requests of a connection: which are at work, and in what order they are answered.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::extract::ws::Utf8Bytes;
use dfuse_http::{
    panicked,
    websocket::{Conversation, End},
};
use dfuse_query::{ApiError, ApiResult, ErrorCode, RouteClass, Usage, nearest, shorten};
use futures::FutureExt;
use metrics::{counter, gauge};
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinSet,
};
use tracing::Instrument;

use super::{
    context::{ConnectionContext, Context},
    message::{Envelope, Message, check},
    registry::{Place, Registry, Turn},
    types::{Prepared, TYPES, find},
};
use crate::metrics::{WS_REQUESTS, WS_STREAMS};

/// Requests of a connection that wait for their answer. No more messages are read while there are so many.
const AT_WORK: usize = 64;
const UNLISTEN: &str = "unlisten";
const PONG: &str = "pong";

/// What a connection is asked for. All work ends when it is dropped.
#[derive(Debug)]
pub(super) struct Session {
    context: Arc<ConnectionContext>,
    registry: Arc<Registry>,
    at_work: Arc<Semaphore>,
    tasks: JoinSet<()>,
}

/// What becomes of a message.
enum Task {
    Answer(Prepared),
    Stream(Prepared, Place, dfuse_query::Place),
    /// The stream is told to end already.
    Unlisten(oneshot::Receiver<()>),
    Refuse(ApiError),
}

impl Session {
    pub(super) fn new(context: ConnectionContext) -> Self {
        Self {
            context: Arc::new(context),
            registry: Arc::default(),
            at_work: Arc::new(Semaphore::new(AT_WORK)),
            tasks: JoinSet::new(),
        }
    }

    fn new_context(&self, kind: &str, req_id: &str) -> Context {
        Context::new(self.context.clone(), self.context.shared.trace_ids.next(), kind, req_id)
    }

    /// Takes a message. Returns while it is being answered, unless too many are.
    async fn take_text(&mut self, text: &str) {
        while self.tasks.try_join_next().is_some() {}
        self.context.caller.record(Usage { ingress_bytes: text.len() as u64, ..Usage::default() });
        let parse = {
            let text = text.to_owned();
            self.context.api.parse(text.len(), move || Envelope::parse(&text))
        };
        let envelope = match parse.await {
            Ok(envelope) if envelope.kind == PONG => return,
            Ok(envelope) => envelope,
            Err(error) => return self.refuse(error).await,
        };
        let at_work = self.at_work.clone().acquire_owned().await.expect("never closed");
        let turn = self.registry.turn(&envelope.req_id, at_work);
        let context = self.new_context(&envelope.kind, &envelope.req_id);
        let task = self.prepare(&envelope).unwrap_or_else(Task::Refuse);
        self.tasks.spawn(task.run(context, turn));
    }

    /// Tells that a message is refused of which not even the name is known.
    async fn refuse(&self, error: ApiError) {
        let error = self.charge().err().unwrap_or(error);
        self.new_context("", "").fail(error).await;
    }

    /// Takes one request of the caller. Messages that are refused are requests, too: nobody gets errors without end.
    fn charge(&self) -> ApiResult<()> {
        self.context.caller.take(RouteClass::Stream).map(drop)
    }

    fn prepare(&self, envelope: &Envelope) -> ApiResult<Task> {
        if envelope.kind != UNLISTEN {
            self.charge()?;
            return self.prepare_charged(envelope);
        }
        // Nobody is kept from ending a stream.
        self.prepare_charged(envelope).map_err(|error| self.charge().err().unwrap_or(error))
    }

    fn prepare_charged(&self, envelope: &Envelope) -> ApiResult<Task> {
        let api = &self.context.shared.api;
        let options = &self.context.shared.options;
        let kind = envelope.kind.as_str();
        if options.disabled_messages.contains(kind) {
            let error =
                ApiError::new(ErrorCode::WsUnavailableMessage, "This server does not offer this type of message.");
            return Err(error.detail("type", kind));
        }
        let request_type = find(kind);
        if request_type.is_none() && kind != UNLISTEN {
            return Err(unknown(kind));
        }
        let count = |name: &str| counter!(WS_REQUESTS, "type" => name.to_owned()).increment(1);
        api.metrics().record(|| count(kind));
        let message = Message::read(envelope)?;
        if request_type.is_some() {
            self.context.caller.record(Usage { requests: 1, ..Usage::default() });
        }
        let Some(request_type) = request_type else {
            return self.registry.end(unlistened(&message)?).map(Task::Unlisten);
        };
        let prepared = (request_type.prepare)(&message)?;
        if !message.listen {
            return Ok(Task::Answer(prepared));
        }
        let open = self.context.caller.stream()?;
        let place = self.registry.clone().begin(&envelope.req_id, options.max_streams)?;
        Ok(Task::Stream(prepared, place, open))
    }
}

impl Conversation for Session {
    async fn take(&mut self, text: &str) -> Option<End> {
        self.take_text(text).await;
        None
    }

    async fn take_binary(&mut self, _: &[u8]) -> Option<End> {
        let error =
            ApiError::new(ErrorCode::WsBinaryMessageUnsupported, "Binary messages are not supported: send text.");
        self.refuse(error).await;
        None
    }

    /// To each open stream, or once if there is none.
    fn last_words(&self, error: &ApiError) -> Vec<Utf8Bytes> {
        let mut ids = self.registry.open();
        if ids.is_empty() {
            ids.push("".into());
        }
        ids.iter().map(|req_id| self.new_context("", req_id).error_message(error.clone())).collect()
    }

    async fn end(mut self) {
        self.tasks.shutdown().await;
    }
}

/// The stream that a message of type `unlisten` is about.
fn unlistened(message: &Message) -> ApiResult<&str> {
    let req_id = message.data.text("req_id")?;
    check(!req_id.is_empty(), "'data.req_id' is required")?;
    Ok(req_id)
}

/// Whether a message can be answered, on any connection.
pub(super) fn check_message(envelope: &Envelope) -> ApiResult<()> {
    match (envelope.kind.as_str(), find(&envelope.kind)) {
        (PONG, _) => Ok(()),
        (UNLISTEN, _) => unlistened(&Message::read(envelope)?).map(drop),
        (_, Some(request_type)) => (request_type.prepare)(&Message::read(envelope)?).map(drop),
        (kind, None) => Err(unknown(kind)),
    }
}

fn unknown(kind: &str) -> ApiError {
    let names = TYPES.iter().flat_map(|it| it.names).copied().chain([UNLISTEN]);
    let message = match nearest(kind, names) {
        Some(name) => format!("There is no such type of message; did you mean \"{name}\"?"),
        None => "There is no such type of message.".to_owned(),
    };
    ApiError::new(ErrorCode::WsUnknownMessage, message).detail("type", shorten(kind))
}

impl Task {
    async fn run(self, context: Context, turn: Turn) {
        match self {
            Self::Refuse(error) => {
                let _turn = turn.come().await;
                context.fail(error).await;
            }
            Self::Unlisten(ended) => {
                let _turn = turn.come().await;
                // An error says the same: the stream's task is gone.
                let _ = ended.await;
                context.send("unlistened", b"{\"success\":true}").await;
            }
            Self::Answer(prepared) => {
                let _turn = turn.come().await;
                if let Err(error) = run(prepared, &context).await {
                    context.fail(error).await;
                }
            }
            Self::Stream(prepared, mut place, open) => {
                let _streams = StreamCount::begin(&context);
                let stream = async {
                    context.hold(turn.come().await);
                    run(prepared, &context).await
                };
                let result = tokio::select! {
                    biased;
                    _ = &mut place.end => None,
                    result = stream => Some(result),
                };
                // The client may use its place and the `req_id` again when it learns of the end.
                drop(open);
                let _ended = place.release();
                match result {
                    // The client said so.
                    None => {}
                    Some(Ok(())) => context.complete().await,
                    Some(Err(error)) => context.fail(error).await,
                }
                context.answered();
            }
        }
    }
}

/// Work that fails by panic fails alone.
async fn run(prepared: Prepared, context: &Context) -> ApiResult<()> {
    let span = tracing::error_span!("websocket", trace_id = %context.trace_id());
    let work = AssertUnwindSafe(prepared(context.clone())).catch_unwind().instrument(span);
    work.await.unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// Counts an open stream.
struct StreamCount(Context);

impl StreamCount {
    fn begin(context: &Context) -> Self {
        context.api().metrics().record(|| gauge!(WS_STREAMS).increment(1.0));
        Self(context.clone())
    }
}

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.0.api().metrics().record(|| gauge!(WS_STREAMS).decrement(1.0));
    }
}
