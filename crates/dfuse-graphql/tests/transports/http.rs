use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use crate::support::TestServer;

const JSON: &str = "application/json";
const GRAPHQL: &str = "application/graphql-response+json";

#[tokio::test]
async fn documents_are_executed_however_they_come() {
    let server = TestServer::open().await;
    let body = json!({"query": "query", "operationName": "b", "variables": {"a": 7}, "else": []}).to_string();
    let of_forms = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "multipart/form-data"];
    let others =
        ["application/graphql", "application/json; charset=utf-16", "text/plain;charset=UTF-8", "x/y", "/", ""];
    for content_type in ["application/json"].into_iter().chain(of_forms).chain(others) {
        let request = Request::post("/graphql").header("content-type", content_type).body(Body::from(body.clone()));
        let answer = server.request(request.unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"data": {"a": 7}})));
        assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
        assert_eq!(answer.header("x-trace-id").len(), 32);
    }
    // `post` names none.
    assert_eq!(server.post(JSON, &body).await.json(), json!({"data": {"a": 7}}));
    let asked = server.words.asked.lock().unwrap().clone().unwrap();
    assert_eq!(asked.operation_name.as_deref(), Some("b"));
    let answer = server.get("/graphql?query=query&variables=%7B%22a%22%3A8%7D&operationName=c").await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"data": {"a": 8}})));
    let request = Request::head("/graphql?query=query").body(Body::empty()).unwrap();
    let answer = server.request(request).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    let request = Request::post("/graphql").header("accept-encoding", "gzip");
    let large = json!({"query": "large 100000"}).to_string();
    let answer = server.request(request.body(Body::from(large)).unwrap()).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert!(answer.body.len() < 10_000);
}

/// Old clients look at the errors, new ones at the status too.
#[tokio::test]
async fn the_status_is_what_the_form_of_the_answer_wants() {
    let server = TestServer::open().await;
    for (document, of_graphql) in [("query", 200), ("failing", 200), ("invalid", 400), ("forever", 400)] {
        let body = json!({"query": document}).to_string();
        for (accept, status) in [(JSON, 200), ("*/*", 200), (GRAPHQL, of_graphql)] {
            let answer = server.post(accept, &body).await;
            assert_eq!(answer.status.as_u16(), status, "{document} {accept}");
            let is_graphql = answer.header("content-type").starts_with(GRAPHQL);
            assert_eq!(is_graphql, accept == GRAPHQL);
            let answer = answer.json();
            assert_eq!(answer.get("errors").is_some(), document != "query", "{answer}");
            assert_eq!(answer.get("data").is_some(), ["query", "failing"].contains(&document), "{answer}");
        }
    }
}

#[tokio::test]
async fn subscriptions_are_refused_over_http() {
    let server = TestServer::open().await;
    let answer = server.post(JSON, &json!({"query": "forever"}).to_string()).await;
    let trace_id = answer.header("x-trace-id").to_owned();
    let body = answer.json();
    let error = &body["errors"][0];
    assert_eq!(error["message"], format!("graphql-ws protocol header is missing (trace_id: {trace_id})"));
    let extensions = json!({
        "code": "graphql_subscription_transport_error", "status": "Unimplemented", "terminal": true, "trace_id": trace_id
    });
    assert_eq!(error["extensions"], extensions);
    server.subscriptions(0).await;
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let server = TestServer::open().await;
    let of_post = [
        ("", "missing_body_error"),
        ("{", "invalid_json_error"),
        ("[{\"query\":\"query\"}]", "invalid_json_error"),
        ("{\"query\":1}", "invalid_json_error"),
        ("{\"query\":\"query\",\"variables\":[]}", "invalid_json_error"),
        ("{\"query\":\"query\",\"operationName\":{}}", "invalid_json_error"),
        ("{}", "request_validation_error"),
        ("{\"query\":null}", "request_validation_error"),
    ];
    for (body, code) in of_post {
        let answer = server.post(JSON, body).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (400, JSON), "{body}");
        // The one structure of errors.
        let text = answer.json();
        assert_eq!((&text["code"], text.get("errors")), (&json!(code), None), "{body}");
        let answer = server.post(GRAPHQL, body).await;
        assert_eq!(answer.status.as_u16(), 400);
        assert!(answer.header("content-type").starts_with(GRAPHQL));
        let extensions = &answer.json()["errors"][0]["extensions"];
        assert_eq!((&extensions["code"], &extensions["trace_id"]), (&json!(code), &json!(answer.header("x-trace-id"))));
    }
    for (query, code) in [
        ("", "request_validation_error"),
        ("?query=", "request_validation_error"),
        ("?query=query&variables=7", "invalid_json_error"),
    ] {
        let answer = server.get(&format!("/graphql{query}")).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!(code)), "{query}");
    }
    let answer = server.request(Request::put("/graphql").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status.as_u16(), 405);
    let allow: Vec<_> = answer.header("allow").split(", ").collect();
    assert!(["GET", "HEAD", "POST", "OPTIONS"].iter().all(|method| allow.contains(method)), "{allow:?}");
    let large = json!({"query": "x".repeat(11 << 20)}).to_string();
    let answer = server.post(JSON, &large).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (413, &json!("request_body_too_large_error")));
}

#[tokio::test]
async fn the_server_names_its_addresses() {
    let server = TestServer::open().await;
    let addresses = server.get("/").await.json()["addresses"].clone();
    let addresses: Vec<Value> = addresses.as_array().unwrap().clone();
    assert!(addresses.contains(&json!("/graphql")) && addresses.contains(&json!("/graphiql/")), "{addresses:?}");
}
