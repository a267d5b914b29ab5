//! Who may call: tokens and keys in metadata, limits, the end of access while a stream is open.

use std::sync::Arc;

use dfuse_access::{Gate, KeyKind, KvAccessStore, Mode, NewKey, Options, TierOptions};
use dfuse_blocks::SystemEntropy;
use dfuse_kv::MemoryStore;
use dfuse_proto::{
    dfuse::graphql::v1::{Request, Response, graph_ql_client::GraphQlClient},
    sf::firehose::v2::{
        InfoRequest, Request as BlocksRequest, endpoint_info_client::EndpointInfoClient, stream_client::StreamClient,
    },
};
use dfuse_query::GateAccess;
use prost::Message;
use prost_types::{Struct, Value, value::Kind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{
    Code, Status, Streaming,
    metadata::{MetadataMap, MetadataValue},
    transport::Channel,
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{StoppedClock, TestChain, code};

/// A server where not everybody may do everything.
pub(crate) struct Guarded {
    pub(crate) chain: TestChain,
    pub(crate) gate: Arc<Gate>,
}

impl Guarded {
    /// Where everybody needs a token or a key, with a tier "few" that has one stream.
    async fn new() -> Self {
        let few = TierOptions { name: "few".into(), max_streams: Some(1), ..TierOptions::default() };
        let slow = TierOptions { name: "slow".into(), rate: "2/h".parse().ok(), ..TierOptions::default() };
        Self::with(1, Options { mode: Mode::Required, tiers: vec![few, slow], ..Options::default() }).await
    }

    /// On a chain of so many blocks, with none of them yet.
    pub(crate) async fn with(blocks: u32, options: Options) -> Self {
        let store = KvAccessStore::over(Arc::new(MemoryStore::new(&KvAccessStore::KEYSPACES))).unwrap();
        let entropy = Arc::new(SystemEntropy);
        let gate = Arc::new(Gate::open(Arc::new(store), Arc::new(StoppedClock), entropy, options).unwrap());
        let chain = TestChain::synthetic(blocks, Arc::new(GateAccess(gate.clone()))).await;
        Self { chain, gate }
    }

    /// The text of a new key, and its id.
    pub(crate) fn key(&self, tier: Option<&str>) -> (String, String) {
        let new = NewKey { tier: tier.map(str::to_owned), ..NewKey::new(KeyKind::Server, "test") };
        let (text, key) = self.gate.create_key(new).unwrap();
        (text.reveal().to_owned(), key.id.to_string())
    }

    pub(crate) fn token(&self, key: &str) -> String {
        self.gate.issue(key, None, None).unwrap().unwrap().token
    }

    fn client(&self) -> GraphQlClient<Channel> {
        GraphQlClient::new(self.chain.channel.clone())
    }

    async fn call(&self, metadata: &[(&'static str, &str)], message: Request) -> Result<Streaming<Response>, Status> {
        let mut request = tonic::Request::new(message);
        for (name, value) in metadata {
            request.metadata_mut().insert(*name, MetadataValue::try_from(*value).unwrap());
        }
        self.client().execute(request).await.map(tonic::Response::into_inner)
    }
}

/// A subscription of so many answers, without end if it is 0.
fn asked(count: f64) -> Request {
    let fields = [("count".to_owned(), Value { kind: Some(Kind::NumberValue(count)) })].into();
    Request { query: "subscription { x }".to_owned(), variables: Some(Struct { fields }), ..Request::default() }
}

fn refused(answer: Result<Streaming<Response>, Status>) -> (Code, String) {
    let status = answer.err().unwrap();
    (status.code(), code(&status))
}

#[tokio::test]
async fn a_token_or_a_key_lets_in_and_nothing_else_does() {
    let guarded = Guarded::new().await;
    let (key, id) = guarded.key(None);
    let token = guarded.token(&key);
    for (name, value) in [
        ("authorization", format!("Bearer {token}")),
        ("authorization", format!("bearer  {token} ")),
        ("authorization", token.clone()),
        ("x-api-key", key.clone()),
    ] {
        let mut answers = guarded.call(&[(name, &value)], asked(1.0)).await.unwrap();
        answers.message().await.unwrap().unwrap();
    }
    for (metadata, expected) in [
        (&[][..], "auth_token_missing_error"),
        (&[("authorization", "Bearer x.y.z")], "auth_invalid_token_error"),
        (&[("x-api-key", "server_0123456789")], "auth_invalid_api_key_error"),
        // A token that is not valid is not made up for by a key.
        (&[("authorization", "Bearer x.y.z"), ("x-api-key", &key)], "auth_invalid_token_error"),
    ] {
        assert_eq!(refused(guarded.call(metadata, asked(1.0)).await), (Code::Unauthenticated, expected.to_owned()));
    }
    guarded.gate.revoke_key(&id).unwrap();
    let (status, _) = refused(guarded.call(&[("x-api-key", &key)], asked(1.0)).await);
    assert_eq!(status, Code::Unauthenticated);
    // Health is open to all.
    HealthClient::new(guarded.chain.channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
}

/// Whatever stands there in the place of a token or a key; and those who have one are served meanwhile.
#[tokio::test]
async fn strange_metadata_lets_nobody_in() {
    let guarded = Guarded::new().await;
    let (key, _) = guarded.key(None);
    let token = guarded.token(&key);
    let long = "a".repeat(8 << 10);
    for (name, value) in [
        ("authorization", b"Bearer \xff\xfe".to_vec()),
        ("authorization", b"Bearer".to_vec()),
        ("authorization", format!("Basic {token}").into()),
        ("authorization", format!("Bearer {token} {token}").into()),
        ("authorization", format!("Bearer {long}").into()),
        ("authorization", format!("Bearer {key}").into()),
        ("x-api-key", b"\xff".to_vec()),
        ("x-api-key", long.into()),
        ("x-api-key", token.clone().into()),
        ("token", token.clone().into()),
        ("x-forwarded-for", b"127.0.0.1, \xff".to_vec()),
    ] {
        let mut request = tonic::Request::new(asked(1.0));
        let shown = String::from_utf8_lossy(&value[..value.len().min(30)]).into_owned();
        request.metadata_mut().insert(name, MetadataValue::try_from(value).unwrap());
        let status = guarded.client().execute(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{name}: {shown}");
        assert!(!status.message().contains(&*token) && !status.message().contains(&*key), "{name}: {shown}");
        code(&status);
        guarded.call(&[("x-api-key", &key)], asked(1.0)).await.unwrap();
    }
}

#[tokio::test]
async fn streams_end_with_the_access_and_with_maintenance() {
    let guarded = Guarded::new().await;
    for maintenance in [false, true] {
        let (key, id) = guarded.key(None);
        let mut answers = guarded.call(&[("x-api-key", &key)], asked(0.0)).await.unwrap();
        answers.message().await.unwrap().unwrap();
        if maintenance {
            guarded.gate.begin_maintenance();
        } else {
            guarded.gate.revoke_key(&id).unwrap();
        }
        let status = answers.message().await.unwrap_err();
        let expected = match maintenance {
            true => (Code::Unavailable, "service_maintenance_error"),
            false => (Code::Unauthenticated, "auth_api_key_revoked_error"),
        };
        assert_eq!((status.code(), &*code(&status)), expected);
    }
}

#[tokio::test]
async fn streams_are_counted_while_they_are_open() {
    let guarded = Guarded::new().await;
    let (key, _) = guarded.key(Some("few"));
    let metadata = [("x-api-key", &*key)];
    let mut open = guarded.call(&metadata, asked(0.0)).await.unwrap();
    open.message().await.unwrap().unwrap();
    let expected = (Code::ResourceExhausted, "auth_too_many_open_error".to_owned());
    assert_eq!(refused(guarded.call(&metadata, asked(1.0)).await), expected);
    drop(open);
    // The server learns of it a moment later.
    while guarded.call(&metadata, asked(1.0)).await.is_err() {}
}

/// The limits that metadata tells.
fn standing(metadata: &MetadataMap) -> [Option<u64>; 2] {
    let reset = metadata.get("x-ratelimit-reset").map(|reset| reset.to_str().unwrap().parse::<u64>().unwrap());
    assert!(reset.is_none_or(|reset| reset > 0));
    ["x-ratelimit-limit", "x-ratelimit-remaining"]
        .map(|name| metadata.get(name).map(|value| value.to_str().unwrap().parse().unwrap()))
}

#[tokio::test]
async fn limits_are_told() {
    let guarded = Guarded::new().await;
    let (slow, free) = (guarded.key(Some("slow")).0, guarded.key(None).0);
    let query = |key: &str| {
        let mut request = tonic::Request::new(Request { query: "{ x }".to_owned(), ..Request::default() });
        request.metadata_mut().insert("x-api-key", MetadataValue::try_from(key).unwrap());
        request
    };
    let mut client = guarded.client();
    for remaining in [1, 0] {
        let answer = client.execute(query(&slow)).await.unwrap();
        assert_eq!(standing(answer.metadata()), [Some(2), Some(remaining)]);
        assert!(answer.into_inner().message().await.unwrap().is_some());
    }
    // In a class of its own, and where the call is refused or fails.
    let mut info = EndpointInfoClient::new(guarded.chain.channel.clone());
    for (remaining, expected) in
        [(1, "app_not_ready_error"), (0, "app_not_ready_error"), (0, "rate_limit_exceeded_error")]
    {
        let mut request = tonic::Request::new(InfoRequest::default());
        request.metadata_mut().insert("x-api-key", MetadataValue::try_from(&slow).unwrap());
        let status = info.info(request).await.unwrap_err();
        assert_eq!((&*code(&status), standing(status.metadata())), (expected, [Some(2), Some(remaining)]));
    }
    // Streams tell it before their first message, which may be long in coming; so does plain HTTP.
    let stream = |key: &str| {
        let mut request = tonic::Request::new(BlocksRequest::default());
        request.metadata_mut().insert("x-api-key", MetadataValue::try_from(key).unwrap());
        request
    };
    let mut subscription = tonic::Request::new(asked(0.0));
    subscription.metadata_mut().insert("x-api-key", MetadataValue::try_from(&slow).unwrap());
    let answer = client.execute(subscription).await.unwrap();
    assert_eq!(standing(answer.metadata()), [Some(2), Some(1)]);
    assert!(answer.into_inner().message().await.unwrap().is_some());
    let mut blocks = StreamClient::new(guarded.chain.channel.clone());
    let answer = blocks.blocks(stream(&slow)).await.unwrap();
    assert_eq!(standing(answer.metadata()), [Some(2), Some(0)]);
    let status = blocks.blocks(stream(&slow)).await.unwrap_err();
    assert_eq!((&*code(&status), standing(status.metadata())), ("rate_limit_exceeded_error", [Some(2), Some(0)]));
    let head = plain_info(&guarded.chain, &guarded.key(Some("slow")).0).await;
    assert!(head.contains("x-ratelimit-limit: 2\r\n") && head.contains("x-ratelimit-remaining: 1\r\n"), "{head}");
    // Who has no limit is told of none.
    assert_eq!(standing(client.execute(query(&free)).await.unwrap().metadata()), [None, None]);
}

/// The head of the answer to a request by plain HTTP.
async fn plain_info(chain: &TestChain, key: &str) -> String {
    let mut stream = TcpStream::connect(chain.address).await.unwrap();
    let request = format!(
        "POST /sf.firehose.v2.EndpointInfo/Info HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX-Api-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().0.to_ascii_lowercase() + "\r\n"
}

#[tokio::test]
async fn what_is_used_is_counted() {
    let guarded = Guarded::new().await;
    let (key, id) = guarded.key(None);
    let request = asked(3.0);
    let mut answers = guarded.call(&[("x-api-key", &key)], request.clone()).await.unwrap();
    let mut bytes = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        bytes += answer.encoded_len() as u64;
    }
    guarded.gate.flush_usage().unwrap();
    let rows = guarded.gate.store().usage(0..=u32::MAX).unwrap();
    let used = rows.iter().find(|row| row.subject == id).unwrap().usage;
    assert_eq!((used.requests, used.documents), (1, 3));
    assert_eq!((used.ingress_bytes, used.egress_bytes), (request.encoded_len() as u64, bytes));
}
