//! A node that answers as the test says.

use std::{
    future::pending,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
};
use dfuse_node::rpc::{NodeClient, NodeOptions};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// A request that a node got.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) method: Method,
    /// With the query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) struct FakeNode {
    pub(crate) url: String,
    got: Arc<Mutex<Vec<Got>>>,
    count: watch::Receiver<usize>,
    server: JoinHandle<()>,
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl FakeNode {
    /// `answer` gets the position of the request among all and the request; without an answer the node stays silent.
    pub(crate) async fn start(answer: impl Fn(usize, &Got) -> Option<Response> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let (list, counted, answer) = (got.clone(), Arc::new(counted), Arc::new(answer));
        let routes = Router::new().fallback(move |request: Request| {
            let (list, counted, answer) = (list.clone(), counted.clone(), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                // Of a body that breaks off what came.
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let target = parts.uri.path_and_query().unwrap().to_string();
                let request = Got { method: parts.method, target, headers: parts.headers, body };
                let position = {
                    let mut list = list.lock().unwrap();
                    list.push(request.clone());
                    list.len() - 1
                };
                let answer = answer(position, &request);
                counted.send_replace(position + 1);
                match answer {
                    Some(answer) => answer,
                    None => pending().await,
                }
            }
        });
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, got, count, server }
    }

    /// That answers everything the same.
    pub(crate) async fn always(status: u16, body: Value) -> Self {
        Self::start(move |_, _| Some(reply(status, &body))).await
    }

    pub(crate) fn client(&self) -> NodeClient {
        NodeClient::new(&self.url, NodeOptions::default()).unwrap()
    }

    /// All requests so far.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until there were so many requests.
    pub(crate) async fn has_got(&self, requests: usize) {
        self.count.clone().wait_for(|count| *count >= requests).await.unwrap();
    }
}

/// A node that nobody can reach.
pub(crate) async fn nobody() -> NodeClient {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    NodeClient::new(&format!("http://{}", listener.local_addr().unwrap()), NodeOptions::default()).unwrap()
}

pub(crate) fn reply(status: u16, body: &Value) -> Response {
    let mut response = (StatusCode::from_u16(status).unwrap(), Body::from(body.to_string())).into_response();
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

/// What a node says when it refuses.
pub(crate) fn refusal(code: i64, name: &str) -> Value {
    json!({"code": 500, "message": "Internal Service Error", "error": {"code": code, "name": name, "what": "What it is",
        "details": [{"message": "why", "file": "controller.cpp", "line_number": 42, "method": "apply"}]}})
}
