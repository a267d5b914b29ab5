//! What a client says on a connection: who it is, and what it wants to know.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use dfuse_http::{
    sender::Sender,
    websocket::{Conversation, End, close_code},
};
use dfuse_query::{
    ApiError, ApiResult, Caller, Client, ErrorCode, GraphqlOperation, GraphqlRequest, Place, Retry, RouteClass,
    Surface, TraceId, Usage,
};
use serde_json::{Map, Value};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

use super::{
    context::Context,
    operations::Operations,
    protocol::{self, Envelope, Protocol, acknowledgement},
    run::Work,
};
use crate::{
    error,
    http::operation,
    metrics::{Transport, count_request},
};

/// Queries of a connection that wait for their answer. No more messages are read while there are so many.
const AT_WORK: usize = 64;

/// The conversation on a connection. All work ends when it is dropped.
#[derive(Debug)]
pub(super) struct Session {
    context: Arc<Context>,
    /// Who opened the connection.
    sender: Sender,
    /// Who was admitted on it.
    admitted: watch::Sender<Option<Caller>>,
    /// The connection's place among those of the caller.
    place: Option<Place>,
    operations: Arc<Operations>,
    at_work: Arc<Semaphore>,
    tasks: JoinSet<()>,
}

/// Why a client is not admitted.
enum Refused {
    /// What it sent is not in the form that is wanted.
    Form(&'static str),
    /// It may not ask.
    Access(ApiError),
}

impl Session {
    pub(super) fn new(context: Arc<Context>, sender: Sender, admitted: watch::Sender<Option<Caller>>) -> Self {
        Self {
            context,
            sender,
            admitted,
            place: None,
            operations: Arc::default(),
            at_work: Arc::new(Semaphore::new(AT_WORK)),
            tasks: JoinSet::new(),
        }
    }

    fn caller(&self) -> Option<Caller> {
        self.admitted.borrow().clone()
    }

    fn trace_id(&self) -> TraceId {
        self.context.sockets.trace_ids.next()
    }

    /// Takes a message of `graphql-ws`.
    async fn take_legacy(&mut self, envelope: Envelope) -> Option<End> {
        let id = envelope.id.as_deref();
        match envelope.kind.as_str() {
            "connection_init" => self.init_legacy(envelope.payload).await,
            "start" => self.start_legacy(envelope).await,
            "stop" => self.operations.stop(id.unwrap_or_default()),
            "connection_terminate" => return Some(End::Close(close_code::NORMAL, "".into())),
            "pong" => {}
            kind => {
                let kind = dfuse_query::shorten(kind);
                let text = format!("unknown operation message of type: {kind}");
                let error = ApiError::new(ErrorCode::WsUnknownMessage, text.clone()).detail("type", kind);
                self.refuse(id, "error", &text, error).await;
            }
        }
        None
    }

    async fn init_legacy(&mut self, payload: Option<Value>) {
        let admitted = match payload {
            Some(Value::Object(payload)) => self.admit(&payload).await,
            _ => Err(Refused::Form("invalid payload for type: connection_init")),
        };
        match admitted {
            Ok(()) => self.acknowledge().await,
            Err(Refused::Form(text)) => self.refuse_connection(None, text, malformed(text)).await,
            Err(Refused::Access(error)) => {
                let is_missing = error.code() == ErrorCode::TokenMissing;
                let own = error.message().to_owned();
                let text = if is_missing { "missing 'Authorization' from 'connection_init' payload" } else { &own };
                self.refuse_connection(None, text, error).await;
            }
        }
    }

    async fn start_legacy(&mut self, mut envelope: Envelope) {
        let Some(caller) = self.caller() else {
            let text = "authentication required";
            let error = ApiError::new(ErrorCode::TokenMissing, text);
            return self.refuse_connection(envelope.id.as_deref(), text, error).await;
        };
        let Some(id) = envelope.id.take().filter(|id| !id.is_empty()) else {
            let text = "missing ID for start operation";
            let error = ApiError::new(ErrorCode::WsMessageDataValidation, text).detail("reason", text);
            return self.refuse_connection(None, text, error).await;
        };
        // Another one of this id ends, whatever becomes of this one.
        self.operations.stop(&id);
        match envelope.request() {
            Some(request) => self.start(&id, request, caller).await,
            None => {
                let text = "invalid payload for type: start";
                self.refuse_connection(Some(&id), text, malformed(text)).await;
            }
        }
    }

    /// Tells a client of `graphql-ws` why its message is not taken.
    async fn refuse(&self, id: Option<&str>, kind: &str, text: &str, error: ApiError) {
        // That is a request, too: nobody gets errors without end.
        let limited = self.caller().and_then(|caller| caller.take(RouteClass::Stream).err());
        let own = limited.as_ref().map(|error| error.message().to_owned());
        let (text, error) = (own.as_deref().unwrap_or(text), limited.unwrap_or(error));
        let error = self.context.error(error, self.trace_id());
        self.context.send(protocol::refused(id, kind, text, &error)).await;
    }

    async fn refuse_connection(&self, id: Option<&str>, text: &str, error: ApiError) {
        self.refuse(id, "connection_error", text, error).await;
    }

    /// Takes a message of `graphql-transport-ws`.
    async fn take_transport(&mut self, mut envelope: Envelope) -> Option<End> {
        match envelope.kind.as_str() {
            "connection_init" => self.init_transport(envelope.payload).await,
            "subscribe" => {
                let Some(caller) = self.caller() else {
                    return Some(End::Close(protocol::UNAUTHORIZED, "Unauthorized".into()));
                };
                let id = envelope.id.take().filter(|id| !id.is_empty());
                let (Some(id), Some(request)) = (id, envelope.request()) else {
                    return invalid("a subscribe message has an id, and a payload with a query");
                };
                if self.operations.is_open(&id) {
                    let reason = format!("Subscriber for {} already exists", dfuse_query::shorten(&id));
                    return Some(End::Close(protocol::ID_TAKEN, reason.into()));
                }
                self.start(&id, request, caller).await;
                None
            }
            "complete" => {
                let Some(id) = &envelope.id else { return invalid("a complete message has an id") };
                self.operations.stop(id);
                None
            }
            "ping" => {
                self.context.send(protocol::pong(envelope.payload.as_ref())).await;
                None
            }
            "pong" => None,
            kind => invalid(&format!("there is no type {}", dfuse_query::shorten(kind))),
        }
    }

    async fn init_transport(&mut self, payload: Option<Value>) -> Option<End> {
        if self.caller().is_some() {
            return Some(End::Close(protocol::TOO_MANY_INITS, "Too many initialisation requests".into()));
        }
        let admitted = match payload {
            None | Some(Value::Null) => self.admit(&Map::new()).await,
            Some(Value::Object(payload)) => self.admit(&payload).await,
            Some(_) => Err(Refused::Form("the payload of connection_init is an object")),
        };
        match admitted {
            Ok(()) => {
                self.acknowledge().await;
                None
            }
            Err(Refused::Form(text)) => invalid(text),
            Err(Refused::Access(error)) => {
                let is_passing = error.row().retry == Retry::Later;
                let code = if is_passing { close_code::TRY_AGAIN_LATER } else { protocol::FORBIDDEN };
                let reason = error.message().to_owned();
                self.context.error(error, self.trace_id());
                Some(End::Close(code, reason.into()))
            }
        }
    }

    /// Lets the client in with the token of that payload, or of the request for the connection. Who was let in stays so: a token
    /// counts when it is first shown.
    async fn admit(&mut self, payload: &Map<String, Value>) -> Result<(), Refused> {
        if self.caller().is_some() {
            return Ok(());
        }
        let token = protocol::token(payload).map_err(Refused::Form)?;
        let api = &self.context.sockets.api;
        let admitted = self.sender.admit(api, token.as_deref(), Surface::Graphql).await;
        let caller = admitted.map_err(Refused::Access)?;
        self.place = Some(caller.connection().map_err(Refused::Access)?);
        self.admitted.send_replace(Some(caller));
        Ok(())
    }

    async fn acknowledge(&self) {
        let texts = acknowledgement(self.context.protocol);
        let bytes = texts.iter().map(|text| text.len()).sum();
        self.context.room(bytes, texts.len()).await.put(texts);
    }

    /// Begins an operation, or tells the client why not.
    async fn start(&mut self, id: &str, request: GraphqlRequest, caller: Caller) {
        let trace_id = self.trace_id();
        if let Err(error) = self.begin(id, request, caller, trace_id).await {
            let error = self.context.error(error, trace_id);
            self.context.send(self.context.protocol.error(id, &[error])).await;
        }
    }

    async fn begin(&mut self, id: &str, request: GraphqlRequest, caller: Caller, trace_id: TraceId) -> ApiResult<()> {
        let sockets = &self.context.sockets;
        let api = sockets.api.charged_to(caller.client);
        let (kind, request) = operation(&sockets.executor, &api, request).await?;
        count_request(api.metrics(), Transport::WebSocket, kind);
        let is_subscription = kind == Some(GraphqlOperation::Subscription);
        caller.record(Usage { requests: 1, ..Usage::default() });
        let (place, at_work) = if is_subscription {
            self.check_number()?;
            (Some(caller.stream()?), None)
        } else {
            (None, Some(self.at_work.clone().acquire_owned().await.map_err(ApiError::unexpected)?))
        };
        let (operation, stopped) = self.operations.begin(id, is_subscription);
        let context = self.context.clone();
        let work = Work { context, operation, stopped, kind, request, caller, trace_id, place, at_work };
        self.tasks.spawn(work.run());
        Ok(())
    }

    fn check_number(&self) -> ApiResult<()> {
        let (open, most) = (self.operations.subscriptions(), self.context.sockets.options.max_subscriptions);
        if open < most {
            return Ok(());
        }
        Err(ApiError::new(ErrorCode::WsTooManyStreams, "Too many subscriptions are open on this connection.")
            .detail("actual_listener_count", open)
            .detail("maximum_listener_count", most))
    }
}

impl Conversation for Session {
    async fn take(&mut self, text: &str) -> Option<End> {
        while self.tasks.try_join_next().is_some() {}
        let at = self.context.client.map(|address| address.ip());
        let caller = self.caller().unwrap_or_else(|| Caller::unrestricted(Client::at(at)));
        caller.record(Usage { ingress_bytes: text.len() as u64, ..Usage::default() });
        let envelope = {
            let text = text.to_owned();
            let api = self.context.sockets.api.charged_to(caller.client);
            api.parse(text.len(), move || Ok(Envelope::parse(&text))).await
        };
        match (envelope, self.context.protocol) {
            (Ok(Ok(envelope)), Protocol::Legacy) => self.take_legacy(envelope).await,
            (Ok(Ok(envelope)), Protocol::Transport) => self.take_transport(envelope).await,
            (Ok(Err(reason)), Protocol::Legacy) => {
                let text = format!("invalid message: {reason}");
                let error = ApiError::new(ErrorCode::WsInvalidJsonMessage, text.clone()).detail("reason", reason);
                self.refuse_connection(None, &text, error).await;
                None
            }
            (Ok(Err(reason)), Protocol::Transport) => invalid(&reason),
            (Err(busy), _) => Some(End::Close(close_code::TRY_AGAIN_LATER, busy.message().to_owned().into())),
        }
    }

    /// Its text counts, in whichever frame it comes.
    async fn take_binary(&mut self, bytes: &[u8]) -> Option<End> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.take(text).await,
            Err(_) => Some(End::Close(close_code::NOT_UTF8, "Text must be UTF-8.".into())),
        }
    }

    /// To each operation that is at work.
    fn last_words(&self, error: &ApiError) -> Vec<Utf8Bytes> {
        let error = error::of(error.clone(), self.trace_id(), true);
        let ids = self.operations.ids();
        ids.iter().map(|id| self.context.protocol.error(id, std::slice::from_ref(&error))).collect()
    }

    async fn end(mut self) {
        self.tasks.shutdown().await;
    }
}

/// A payload that is not in the form that is wanted.
fn malformed(text: &'static str) -> ApiError {
    ApiError::new(ErrorCode::WsInvalidJsonMessageData, text).detail("reason", text)
}

/// What `graphql-transport-ws` does with a message that is not one.
fn invalid(reason: &str) -> Option<End> {
    Some(End::Close(protocol::BAD_REQUEST, format!("Invalid message: {reason}").into()))
}
