//! A server without blocks, an executor of a small language, and a client.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use bytes::Bytes;
use dfuse_blocks::{
    BlockStore, CursorKey, StoreOptions, SystemClock, SystemEntropy,
    feed::{Feed, FeedOptions, Keeper},
};
use dfuse_graphql::{Endpoints, SocketOptions};
use dfuse_http::{Api, Server};
use dfuse_index::{Index, Pipeline, blocks::Blocks, keyspaces};
use dfuse_kv::MemoryStore;
use dfuse_query::{
    Access, ApiError, ApiResult, Caller, Chain, ErrorCode, GraphqlError, GraphqlExecutor, GraphqlOperation,
    GraphqlRequest, GraphqlResponse, OpenAccess, RouteClass, Service, TraceId,
};
use dfuse_search::SearchIndex;
use dfuse_trx::ForkedTransactions;
use futures::{
    SinkExt, StreamExt,
    stream::{self, BoxStream},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

/// Longest that anything may take that happens at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// Executes documents of one word each:
/// `query`, `failing`, `unready`, `invalid`, `large`, `events N`, `forever`, `fails`, `ends`, `panics`.
#[derive(Debug)]
pub(crate) struct Words {
    /// Answers that were made.
    pub(crate) made: AtomicU64,
    /// What was asked for last.
    pub(crate) asked: Mutex<Option<GraphqlRequest>>,
    /// Subscriptions at work.
    pub(crate) open: watch::Sender<usize>,
}

/// Counts a subscription as long as it lives.
struct Opened(Arc<Words>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Executor(pub(crate) Arc<Words>);

fn data(value: &Value) -> GraphqlResponse {
    GraphqlResponse { data: Some(value.to_string()), errors: Vec::new(), documents: 1 }
}

fn failure(code: &str, terminal: bool, data: Option<&str>) -> GraphqlResponse {
    let extensions = json!({"code": code, "terminal": terminal}).as_object().unwrap().clone();
    let error = GraphqlError { message: "no (trace_id: 0)".to_owned(), extensions, ..GraphqlError::default() };
    GraphqlResponse { data: data.map(str::to_owned), errors: vec![error], documents: 0 }
}

impl GraphqlExecutor for Executor {
    fn operation(&self, request: &GraphqlRequest) -> ApiResult<GraphqlOperation> {
        match request.query.split(' ').next().unwrap() {
            "query" | "failing" | "large" | "unready" => Ok(GraphqlOperation::Query),
            "events" | "forever" | "fails" | "ends" | "panics" => Ok(GraphqlOperation::Subscription),
            _ => Err(ApiError::new(ErrorCode::GraphqlInvalid, "no such word")),
        }
    }

    fn execute(
        &self,
        request: GraphqlRequest,
        caller: Caller,
        trace_id: TraceId,
    ) -> BoxStream<'static, GraphqlResponse> {
        let words = self.0.clone();
        if let Err(error) = caller.take(RouteClass::Search) {
            let mut refused = failure(error.row().code, false, Some("null"));
            let refusal = &mut refused.errors[0];
            refusal.message = format!("no (trace_id: {trace_id})");
            for (key, value) in [
                ("details", error.details().clone().into()),
                ("trace_id", trace_id.to_string().into()),
                ("status", "ResourceExhausted".into()),
            ] {
                refusal.extensions.insert(key.to_owned(), value);
            }
            return stream::iter([refused]).boxed();
        }
        *words.asked.lock().unwrap() = Some(request.clone());
        let mut parts = request.query.split(' ');
        let word = parts.next().unwrap().to_owned();
        let number = parts.next().map_or(0, |number| number.parse().unwrap());
        let answers: VecDeque<_> = match word.as_str() {
            "query" => [data(&json!({"a": request.variables.get("a")}))].into(),
            "large" => [data(&json!({"a": "x".repeat(number)}))].into(),
            "unready" => [failure("app_not_ready_error", false, Some("{\"a\":null,\"b\":null}"))].into(),
            "failing" => [failure("unexpected_error", true, Some("null"))].into(),
            "events" => (0..number).map(|at| data(&json!({"at": at}))).collect(),
            "fails" => [data(&json!({"at": 0})), failure("data_block_not_found_error", true, None)].into(),
            "ends" => [failure("data_block_not_found_error", false, Some("{\"at\":null}"))].into(),
            "panics" => panic!("as tested"),
            "forever" => VecDeque::new(),
            _ => [failure("graphql_validation_error", false, None)].into(),
        };
        let opened = self.operation(&request).ok().filter(|it| *it == GraphqlOperation::Subscription).map(|_| {
            words.open.send_modify(|open| *open += 1);
            Opened(words.clone())
        });
        let is_endless = word == "forever";
        stream::unfold((answers, opened, words), move |(mut answers, opened, words)| async move {
            if is_endless {
                words.made.fetch_add(1, Ordering::Relaxed);
                let event = data(&json!({"filler": "x".repeat(number)}));
                tokio::task::yield_now().await;
                return Some((event, (answers, opened, words)));
            }
            let next = answers.pop_front()?;
            Some((next, (answers, opened, words)))
        })
        .boxed()
    }
}

/// A server, and what it is made of.
pub(crate) struct TestServer {
    pub(crate) server: Server,
    pub(crate) words: Arc<Words>,
    _feed: Feed,
    _keeper: Keeper,
}

impl TestServer {
    pub(crate) async fn open() -> Self {
        Self::new(Arc::new(OpenAccess), SocketOptions::default()).await
    }

    pub(crate) async fn new(access: Arc<dyn Access>, options: SocketOptions) -> Self {
        let files = BlockStore::open("memory://", StoreOptions::default()).unwrap();
        let clock = Arc::new(SystemClock::new());
        let (feed, keeper) = Feed::open(files, CursorKey::new([7; 32]), FeedOptions::default(), &*clock).await.unwrap();
        let search = Arc::new(SearchIndex::default());
        let indexes: Vec<Arc<dyn Index>> = vec![Arc::new(Blocks), search.clone()];
        let store = Arc::new(MemoryStore::new(&keyspaces(&indexes)));
        let pipeline = Pipeline::open(store, None, indexes, dfuse_index::Options::default()).unwrap();
        let chain = Chain {
            serving: pipeline.serving().clone(),
            feed: feed.handle(),
            forked: Arc::new(ForkedTransactions::new()),
            search,
            chain_id: None,
            clock,
            entropy: Arc::new(SystemEntropy),
        };
        let api = Api::new(
            Service::new(chain, access, dfuse_query::Options::default()),
            dfuse_http::Options { integrity_secret: None, ..dfuse_http::Options::default() },
        );
        let words = Arc::new(Words { made: AtomicU64::new(0), asked: Mutex::default(), open: watch::Sender::new(0) });
        let endpoints = Endpoints::new(&api, Arc::new(Executor(words.clone())), options);
        Self { server: Server::new(api, [endpoints.routes()]), words, _feed: feed, _keeper: keeper }
    }

    pub(crate) async fn request(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.server.handle(request).await.into_parts();
        Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        self.request(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, accept: &str, body: &str) -> Answer {
        let request = Request::post("/graphql").header("accept", accept);
        self.request(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Waits until so many subscriptions are at work.
    pub(crate) async fn subscriptions(&self, number: usize) {
        let mut open = self.words.open.subscribe();
        timeout(PATIENCE, open.wait_for(|open| *open == number)).await.unwrap().unwrap();
    }

    pub(crate) async fn listen(&self) -> Listening {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = self.server.clone();
        let task = tokio::spawn(async move { server.serve(listener, async { drop(stopped.await) }).await });
        Listening { address, stop, task }
    }
}

/// A server at a port.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<()>,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The other end of a connection.
pub(crate) struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub(crate) async fn connect(listening: &Listening, protocol: &str) -> Self {
        Self::try_connect(listening, protocol, "").await.unwrap()
    }

    pub(crate) async fn try_connect(
        listening: &Listening,
        protocol: &str,
        query: &str,
    ) -> Result<Self, tungstenite::Error> {
        Self::open(listening, protocol, query, None).await
    }

    /// The same of a page of that origin.
    pub(crate) async fn of_page(listening: &Listening, protocol: &str, origin: &str) -> Self {
        Self::open(listening, protocol, "", Some(origin)).await.unwrap()
    }

    async fn open(
        listening: &Listening,
        protocol: &str,
        query: &str,
        origin: Option<&str>,
    ) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{}/graphql{query}", listening.address).into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        request.headers_mut().extend(origin.map(|origin| (header::ORIGIN, origin.parse().unwrap())));
        let (socket, response) = connect_async(request).await?;
        assert!(protocol.contains(response.headers()["sec-websocket-protocol"].to_str().unwrap()));
        Ok(Self(socket))
    }

    /// One that was let in.
    pub(crate) async fn admitted(listening: &Listening, protocol: &str) -> Self {
        let mut client = Self::connect(listening, protocol).await;
        client.send(json!({"type": "connection_init", "payload": {}})).await;
        assert_eq!(client.next().await, json!({"type": "connection_ack"}));
        if protocol == "graphql-ws" {
            assert_eq!(client.next().await, json!({"type": "ka"}));
        }
        client
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) {
        self.0.send(Message::binary(bytes.to_vec())).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Value {
        match self.next_message().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Code and reason with which the server closes the connection, after messages that are passed over.
    pub(crate) async fn close(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(frame) = self.next_message().await {
                let frame = frame.unwrap();
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }

    async fn next_message(&mut self) -> Message {
        timeout(PATIENCE, self.0.next()).await.unwrap().unwrap().unwrap()
    }
}
