//! Every route, every method, every kind of bad input: one form of errors.

use std::collections::BTreeSet;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use dfuse_http::{AnswerForm, BodyForm, Endpoint, Methods, Parameter, Place};
use dfuse_query::ErrorCode;
use serde_json::Value;

use crate::{
    contract::{Values, path},
    support::TestChain,
};

/// Path, methods beside OPTIONS, and whether it may answer without parameters.
const ROUTES: &[(&str, &[&str], bool)] = &[
    ("/", &["GET", "HEAD"], true),
    ("/healthz", &["GET", "HEAD"], true),
    ("/metrics", &["GET", "HEAD"], true),
    ("/v1/stream", &["GET", "HEAD"], false),
    ("/v0/block_id/by_time", &["GET", "HEAD", "POST"], false),
    ("/v0/coverage", &["GET", "HEAD", "POST"], false),
    ("/v0/blocks", &["GET", "HEAD", "POST"], false),
    ("/v0//blocks/", &["GET", "HEAD", "POST"], false),
    ("/v0/blocks/00", &["GET", "HEAD", "POST"], false),
    ("/v0/blocks/0000000200000000000000000000000000000000000000000000000000000000", &["GET", "HEAD", "POST"], false),
    ("/v0/blocks/00/transactions", &["GET", "HEAD", "POST"], false),
    (
        "/v0/blocks/0000000200000000000000000000000000000000000000000000000000000000/transactions",
        &["GET", "HEAD", "POST"],
        false,
    ),
    ("/v0/accounts/eosio/actions", &["GET", "HEAD", "POST"], false),
    ("/v0/accounts/EOSIO/actions", &["GET", "HEAD", "POST"], false),
    ("/v0/search/transactions", &["GET", "HEAD", "POST"], false),
    ("/v0/search/count", &["GET", "HEAD", "POST"], false),
    ("/v0/search/completion", &["GET", "HEAD", "POST"], false),
    ("/v0/simple_search", &["GET", "HEAD", "POST"], false),
    ("/v0/transactions", &["GET", "HEAD", "POST"], false),
    ("/v0/transactions/00", &["GET", "HEAD", "POST"], false),
    (
        "/v0/transactions/0000000200000000000000000000000000000000000000000000000000000000",
        &["GET", "HEAD", "POST"],
        false,
    ),
    ("/v0/state/abi", &["GET", "HEAD", "POST"], false),
    ("/v0/state/code_hash", &["GET", "HEAD", "POST"], false),
    ("/v0/state/key_accounts", &["GET", "HEAD", "POST"], false),
    ("/v0/state/permission_links", &["GET", "HEAD", "POST"], false),
    ("/v0/state/table", &["GET", "HEAD", "POST"], false),
    ("/v0/state/table/diff", &["GET", "HEAD", "POST"], false),
    ("/v0/state/table/row", &["GET", "HEAD", "POST"], false),
    ("/v0/state/table/row/history", &["GET", "HEAD", "POST"], false),
    ("/v0/state/table_scopes", &["GET", "HEAD", "POST"], false),
    ("/v0/state/tables/accounts", &["GET", "HEAD", "POST"], false),
    ("/v0/state/tables/scopes", &["GET", "HEAD", "POST"], false),
    ("/v0/tokens", &["GET", "HEAD", "POST"], false),
    ("/v0/tokens/eosio.token/NONE/holders", &["GET", "HEAD", "POST"], false),
    ("/v0/accounts/eosio/balances", &["GET", "HEAD", "POST"], false),
    ("/v1/history/get_key_accounts", &["GET", "HEAD", "POST"], false),
    ("/v0/state/abi/bin_to_json", &["POST"], false),
    ("/v1/auth/issue", &["POST"], false),
    ("/.well-known/jwks.json", &["GET", "HEAD"], true),
];

/// Paths where nothing is.
const NOWHERE: &[&str] = &["/x", "/v0", "/v0/", "/v0/blocks/00/x", "//v0//x//", "/healthz/%20/", "/v0/blocks/%2f/x"];

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "BREW"];

const QUERIES: &[&str] = &[
    "",
    "?",
    "?&&=&a",
    "?limit=&skip=&time=&comparator=&id=",
    "?limit=%zz&time=%zz&comparator=%",
    "?limit=%ff&time=%ff&comparator=%ff",
    "?limit=-1&skip=-1&time=-1&comparator=-1",
    "?limit=1e3&skip=99999999999999999999&time=99999999999999999999&comparator=GT",
    "?limit=a&limit=1&limt=5&tim=5",
    "?account=eosio&accounts=eosio&table=x&scope=&scopes=a&primary_key=&from_block=1&json=1&public_key=EOS&cursor=AAAA",
    "?limit[]=1&time[]=2",
    "?q=%zz&prefix=%ff&cursor=---&sort=&start_block=-1&block_count=0&with_reversible=&contract=A",
    "?q=(a:b&prefix=(&cursor=%00",
    "?%=%&%zz=%zz&\u{22}",
];

fn bodies() -> Vec<(Option<&'static str>, Vec<u8>)> {
    let form = Some("application/x-www-form-urlencoded");
    vec![
        (None, vec![]),
        (form, vec![]),
        (form, b"limit=%zz&time=\xff\xfe&&&".to_vec()),
        (form, b"limit=a|b&time=a,b".to_vec()),
        (form, vec![b'a'; 11 << 20]),
        (Some("application/json"), b"{".to_vec()),
        (Some("application/json; charset=utf-8"), b"{\"limit\": 1}".to_vec()),
        (Some("multipart/form-data"), b"--x".to_vec()),
        (Some("\u{7f}"), b"x".to_vec()),
        (None, b"\0\0\0".to_vec()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_one_form() {
    let chain = TestChain::small().await;
    let mut trace_ids = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut requests = 0;
    let routes = ROUTES.iter().map(|(path, methods, bare)| (*path, Some((*methods, *bare))));
    for (path, route) in routes.chain(NOWHERE.iter().map(|path| (*path, None))) {
        for method in METHODS {
            for query in QUERIES {
                for (media_type, body) in bodies() {
                    let has_body = matches!(*method, "POST" | "PUT" | "PATCH");
                    let is_large = body.len() > 1 << 20;
                    if !has_body && !body.is_empty() || is_large && (*method != "POST" || !query.is_empty()) {
                        continue;
                    }
                    let uri = format!("{path}{}", query.replace('"', "%22"));
                    let mut request = Request::builder().method(*method).uri(&uri);
                    request = request.header("x-trace-id", "00".repeat(16));
                    request = request.header("x-cloud-trace-context", format!("{}/1;o=1", "ab".repeat(16)));
                    if let Some(media_type) = media_type.filter(|it| *it != "\u{7f}") {
                        request = request.header("content-type", media_type);
                    }
                    let answer = chain.request(request.body(Body::from(body)).unwrap()).await;
                    let what = format!("{method} {uri} {media_type:?}: {answer:?}");
                    requests += 1;
                    assert!(trace_ids.insert(answer.trace_id().to_owned()), "{what}");
                    assert_eq!(answer.header("access-control-allow-origin"), "*", "{what}");
                    if *method == "OPTIONS" {
                        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0), "{what}");
                        continue;
                    }
                    if *method == "HEAD" {
                        assert!(answer.body.is_empty(), "{what}");
                        if answer.status != StatusCode::OK {
                            assert!(answer.header("content-length").parse::<u32>().unwrap() > 80, "{what}");
                            assert_eq!(answer.header("content-type"), "application/json");
                        }
                        continue;
                    }
                    if answer.status == StatusCode::OK {
                        assert!(route.is_some_and(|(methods, _)| methods.contains(method)), "{what}");
                        continue;
                    }
                    let (code, error) = answer.error();
                    seen.insert(code);
                    match route {
                        None => assert_eq!(code, ErrorCode::RouteNotFound, "{what}"),
                        Some((methods, _)) if !methods.contains(method) => {
                            assert_eq!(code, ErrorCode::MethodNotAllowed, "{what}");
                            let allowed = [methods, &["OPTIONS"]].concat();
                            assert_eq!(answer.header("allow"), allowed.join(", "));
                            assert_eq!(error["details"]["allowed"], serde_json::json!(allowed));
                            assert_eq!(error["details"]["method"], *method);
                        }
                        Some((_, bare)) => {
                            assert!(!bare, "{what}");
                            assert!(answer.status.is_client_error(), "{what}");
                        }
                    }
                }
            }
        }
    }
    assert!(requests > 2000, "{requests}");
    let expected = [
        ErrorCode::RequestValidation,
        ErrorCode::InvalidJson,
        ErrorCode::MissingBody,
        ErrorCode::WsUpgradeFailed,
        ErrorCode::RouteNotFound,
        ErrorCode::BlockNotFound,
        ErrorCode::TransactionNotFound,
        ErrorCode::TableNotFound,
        ErrorCode::RowNotFound,
        ErrorCode::TokenNotFound,
        ErrorCode::SimpleSearchNotFound,
        ErrorCode::MethodNotAllowed,
        ErrorCode::RequestBodyTooLarge,
        ErrorCode::MediaTypeUnsupported,
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn malformed_paths() {
    let chain = TestChain::small().await;
    for path in ["/v0/blocks/%", "/v0/blocks/%zz", "/v0/blocks/%ff", "/x/%e9%"] {
        let (code, error) = chain.get(path).await.error();
        assert_eq!(code, ErrorCode::RequestValidation, "{path}");
        assert_eq!(error["details"]["errors"]["path"].as_array().unwrap().len(), 1);
    }
    let request = Request::builder().method(Method::OPTIONS).uri("*").body(Body::empty()).unwrap();
    assert_eq!(chain.request(request).await.status, StatusCode::OK);
    let request = Request::builder().method(Method::CONNECT).uri("example.com:443").body(Body::empty()).unwrap();
    assert_eq!(chain.request(request).await.error().0, ErrorCode::RouteNotFound);
}

/// Names of the parameters that stand there.
fn names(endpoint: &Endpoint, place: Place, wanted: impl Fn(&Parameter) -> bool) -> BTreeSet<&str> {
    let there = endpoint.parameters.iter().filter(|parameter| parameter.place == place && wanted(parameter));
    there.map(|parameter| parameter.name).collect()
}

/// The names that an error says something of.
fn wrong(error: &Value) -> BTreeSet<&str> {
    error["details"]["errors"].as_object().unwrap().keys().map(String::as_str).collect()
}

/// That nothing is read which the table does not name is asserted where parameters are read.
#[tokio::test(flavor = "multi_thread")]
async fn the_table_says_what_endpoints_take() {
    let chain = TestChain::small().await;
    let endpoints: Vec<_> = chain.server.endpoints().iter().filter(|it| it.methods != Methods::Any).collect();
    assert!(endpoints.len() > 25, "{}", endpoints.len());
    for endpoint in &endpoints {
        let path = path(endpoint, Values::Good);
        assert!(!path.contains('{'), "{path} has a parameter that the table does not name");
        let at_path = endpoints.iter().filter(|it| it.path == endpoint.path);
        let allowed: Vec<_> = at_path.flat_map(|it| it.methods.names()).copied().chain(["OPTIONS"]).collect();
        let request = Request::delete(&path).body(Body::empty()).unwrap();
        assert_eq!(chain.request(request).await.header("allow"), allowed.join(", "), "{path}");

        let required = names(endpoint, Place::Query, |it| it.required);
        let all = names(endpoint, Place::Query, |_| true);
        if !all.is_empty() {
            let method = endpoint.methods.names()[0];
            let ask = async |query: &str| {
                let request = Request::builder().method(method).uri(format!("{path}?{query}"));
                chain.request(request.body(Body::empty()).unwrap()).await
            };
            // What is malformed breaks every rule.
            let malformed: Vec<_> = all.iter().map(|name| format!("{name}=%zz")).collect();
            let (code, error) = ask(&malformed.join("&")).await.error();
            assert_eq!((code, wrong(&error)), (ErrorCode::RequestValidation, all), "{path}");
            if !required.is_empty() {
                let (code, error) = ask("").await.error();
                assert_eq!((code, wrong(&error)), (ErrorCode::RequestValidation, required), "{path}");
            }
        }
        let required = names(endpoint, Place::Json, |it| it.required);
        if endpoint.body == BodyForm::Json && !required.is_empty() {
            let request = Request::post(&path).body(Body::from("{}")).unwrap();
            let (code, error) = chain.request(request).await.error();
            assert_eq!((code, wrong(&error)), (ErrorCode::RequestValidation, required), "{path}");
        }
        let counts = String::from_utf8(chain.get("/metrics").await.body.to_vec()).unwrap();
        assert!(counts.contains(&format!("route=\"{}\"", endpoint.path)), "{path}");
        assert!(
            !endpoint.answer.is_empty()
                && endpoint.form != AnswerForm::Unsaid
                && endpoint.parameters.iter().all(|it| !it.description.is_empty()),
            "{path}"
        );
    }
}
