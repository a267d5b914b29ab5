//! `/v1/chain/*`.

pub(crate) mod fake;
mod proxy;
mod push;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{body::Body, http::Request};
use dfuse_api::ChainApiOptions;
use dfuse_node::rpc::NodeClient;
use dfuse_query::{Access, ApiError, ApiResult, Asking, Caller, ErrorCode, OpenAccess};
use dfuse_testkit::synthetic::SyntheticChain;
use serde_json::{Value, json};

use crate::support::{Answer, Options, TestChain};

/// Without pauses.
fn options(upstreams: impl IntoIterator<Item = NodeClient>) -> ChainApiOptions {
    ChainApiOptions {
        upstreams: upstreams.into_iter().collect(),
        retry_pause: Duration::ZERO,
        ..ChainApiOptions::default()
    }
}

async fn chain_with(chain_api: ChainApiOptions, access: Arc<dyn Access>) -> TestChain {
    let log = SyntheticChain::builder().seed(1).blocks(10).build();
    let mut chain = TestChain::synthetic(log, access, Options { chain_api, ..Options::default() }).await;
    chain.grow(5).await;
    chain
}

async fn chain(upstreams: impl IntoIterator<Item = NodeClient>) -> TestChain {
    chain_with(options(upstreams), Arc::new(OpenAccess)).await
}

fn post(call: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(format!("/v1/chain/{call}"));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(body.into()).unwrap()
}

/// Asserts that the answer is an error of ours in the structure of the node, and returns it.
#[track_caller]
pub(crate) fn node_shaped(answer: &Answer, status: u16, code: i64) -> Value {
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), &body["code"]), (status, &json!(status)), "{body}");
    assert_eq!((&body["error"]["code"], &body["trace_id"]), (&json!(code), &json!(answer.trace_id())), "{body}");
    let detail = &body["error"]["details"][0];
    for text in
        [&body["message"], &body["error"]["name"], &body["error"]["what"], &detail["message"], &detail["method"]]
    {
        assert!(text.as_str().is_some_and(|text| !text.is_empty()), "{body}");
    }
    if code >= 3_990_000 {
        assert!(body["error"]["what"] == body["message"] && detail["message"] == body["message"], "{body}");
        assert_eq!(body["error"]["name"], detail["method"]);
    }
    body
}

/// Lets nobody in but with a token.
#[derive(Debug)]
struct Guarded;

#[async_trait]
impl Access for Guarded {
    async fn admit(&self, asking: &Asking<'_>) -> ApiResult<Caller> {
        match asking.token {
            Some("good") => Ok(Caller::default()),
            _ => Err(ApiError::new(ErrorCode::StreamStartNotAllowed, "Not you.").retry_after(7)),
        }
    }
}
