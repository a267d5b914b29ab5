//! The error contract: every method of every service, and every reason to refuse a call whatever is in it.

use std::collections::BTreeSet;

use dfuse_access::{Mode, Options, RouteClass, TierOptions};
use dfuse_proto::{
    DESCRIPTORS,
    dfuse::graphql::v1::{Request, graph_ql_client::GraphQlClient},
    sf::firehose::v2::{
        SingleBlockRequest,
        fetch_client::FetchClient,
        single_block_request::{BlockNumber, Reference},
    },
};
use dfuse_query::ErrorCode;
use prost::Message;
use prost_types::{FileDescriptorSet, value::Kind};
use tonic::{Code, Status, client::Grpc, codegen::http::uri::PathAndQuery, metadata::MetadataValue};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use crate::{
    access::Guarded,
    support::{FORKS, TestChain, code},
};

/// The paths of all methods that there are.
fn methods() -> Vec<String> {
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
    let methods = files.iter().flat_map(|file| {
        let services = file.service.iter();
        services.flat_map(move |service| {
            let methods = service.method.iter();
            methods.map(move |method| format!("/{}.{}/{}", file.package(), service.name(), method.name()))
        })
    });
    methods.collect()
}

/// Calls a method with an empty message, and returns how that ended, or nothing if it has begun to answer.
async fn call(chain: &TestChain, path: &str, token: Option<&str>) -> Option<Status> {
    let mut grpc = Grpc::new(chain.channel.clone());
    grpc.ready().await.unwrap();
    let mut request = tonic::Request::new(());
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", MetadataValue::try_from(format!("Bearer {token}")).unwrap());
    }
    let path = path.parse::<PathAndQuery>().unwrap();
    match grpc.server_streaming(request, path, ProstCodec::<(), ()>::default()).await {
        Ok(answer) => answer.into_inner().message().await.err(),
        Err(status) => Some(status),
    }
}

/// A server where everybody needs a token, with a tier "slow" that has one request, and one "push" for nothing that is here.
async fn guarded() -> Guarded {
    let slow = TierOptions { name: "slow".into(), rate: "1/h".parse().ok(), ..TierOptions::default() };
    let push = TierOptions { name: "push".into(), routes: vec![RouteClass::Push], ..TierOptions::default() };
    let guess_rate = "1000000/s".parse().unwrap();
    let options = Options { mode: Mode::Required, tiers: vec![slow, push], guess_rate, ..Options::default() };
    let mut guarded = Guarded::with(3, options).await;
    guarded.chain.grow(3).await;
    guarded.chain.served().await;
    guarded
}

/// Asserts that a call ended with that error, under a trace id that was not there before.
#[track_caller]
fn refused(path: &str, status: Option<Status>, expected: ErrorCode, trace_ids: &mut BTreeSet<String>) {
    let status = status.unwrap_or_else(|| panic!("{path} is answered"));
    let row = expected.row();
    assert_eq!((&*code(&status), status.code() as i32), (row.code, row.grpc as i32), "{path}: {status:?}");
    assert!(!status.message().is_empty(), "{path}");
    let trace_id = status.metadata().get("x-trace-id").unwrap().to_str().unwrap();
    assert!(trace_ids.insert(trace_id.to_owned()), "{path}: {trace_id}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_refuses_in_its_one_form() {
    let guarded = guarded().await;
    let token = |tier| guarded.token(&guarded.key(tier).0);
    let (methods, mut trace_ids) = (methods(), BTreeSet::new());
    assert!(methods.len() > 10, "{methods:?}");
    let of_tier = token(Some("push"));
    for path in &methods {
        let ask = async |token| call(&guarded.chain, path, token).await;
        refused(path, ask(None).await, ErrorCode::TokenMissing, &mut trace_ids);
        refused(path, ask(Some("a.b.c")).await, ErrorCode::TokenInvalid, &mut trace_ids);
        // The executor of these tests takes what it asks for only later, and an empty message is none of version 1.
        if !path.contains("GraphQL") && !path.starts_with("/sf.firehose.v1.") {
            refused(path, ask(Some(&of_tier)).await, ErrorCode::TierNotAllowed, &mut trace_ids);
            let slow = token(Some("slow"));
            let first = ask(Some(&slow)).await;
            assert_ne!(first.map(|status| status.code()), Some(Code::ResourceExhausted), "{path}");
            let second = ask(Some(&slow)).await;
            let status = second.clone().unwrap();
            assert!(status.get_details_retry_info().is_some(), "{path}: {status:?}");
            assert_eq!(status.metadata().get("x-ratelimit-limit").unwrap(), "1", "{path}");
            refused(path, second, ErrorCode::RateLimited, &mut trace_ids);
        }
    }
    let free = token(None);
    for path in ["/sf.firehose.v2.Stream/Nothing", "/no.such.Service/Method"] {
        refused(path, call(&guarded.chain, path, Some(&free)).await, ErrorCode::RouteNotFound, &mut trace_ids);
    }
    guarded.gate.set_maintenance(true).unwrap();
    for path in &methods {
        let status = call(&guarded.chain, path, Some(&free)).await;
        refused(path, status, ErrorCode::Maintenance, &mut trace_ids);
    }
}

/// What needs the indexes says that they are away, and what does not goes on.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away() {
    let Some(mut chain) = TestChain::with_documents(FORKS).await else { return };
    chain.grow(30).await;
    chain.served().await;
    let reference = Some(Reference::BlockNumber(BlockNumber { num: 20 }));
    let fetch = async |json: &'static str| {
        let mut request =
            tonic::Request::new(SingleBlockRequest { reference: reference.clone(), ..Default::default() });
        request.metadata_mut().insert("x-dfuse-json", MetadataValue::from_static(json));
        FetchClient::new(chain.channel.clone()).block(request).await
    };
    let execute = async || {
        let query = "{searchTransactionsForward(query: \"receiver:eosio\"){results{trace{id}}}}".to_owned();
        let request = Request { query, ..Request::default() };
        let answer = GraphQlClient::new(chain.channel.clone()).execute(request).await;
        answer.unwrap().into_inner().message().await.unwrap().unwrap()
    };
    fetch("true").await.unwrap();
    assert!(execute().await.errors.is_empty());
    chain.store.set_away(true);
    let status = fetch("true").await.unwrap_err();
    assert_eq!((status.code(), &*code(&status)), (Code::Unavailable, "service_unavailable_error"));
    fetch("false").await.unwrap();
    let answer = execute().await;
    let extensions = &answer.errors[0].extensions.as_ref().unwrap().fields;
    let text = |name: &str| match &extensions[name].kind {
        Some(Kind::StringValue(text)) => text.clone(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!((&*text("code"), &*text("status")), ("service_unavailable_error", "Unavailable"));
    assert_eq!(text("trace_id").len(), 32);
    chain.store.set_away(false);
    assert!(execute().await.errors.is_empty());
}
