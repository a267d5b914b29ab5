//! The error contract: every endpoint, with every method, and every reason to refuse.

mod away;
mod node;
mod stream;

use std::{collections::BTreeSet, sync::atomic::Ordering};

pub(crate) use away::{Away, IsAway};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use dfuse_access::{KeyKind, Mode, NewKey, RouteClass, TierOptions};
use dfuse_http::{BodyForm, Endpoint, Kind, Methods, Parameter, Place};
use dfuse_query::ErrorCode;
use serde_json::json;

use crate::{
    access::Guarded,
    support::{Answer, Options, TestChain},
};

/// What the server says before it looks for an endpoint.
const OF_SERVER: [ErrorCode; 2] = [ErrorCode::MethodNotAllowed, ErrorCode::EncodingNotAcceptable];

/// What was answered so far.
#[derive(Default)]
struct Contract {
    trace_ids: BTreeSet<String>,
    codes: BTreeSet<ErrorCode>,
}

impl Contract {
    /// Asserts that an answer is an error of this code in its one form, which the table of the endpoint names.
    #[track_caller]
    fn holds(&mut self, endpoint: &Endpoint, answer: &Answer, expected: ErrorCode) {
        assert!(self.trace_ids.insert(answer.trace_id().to_owned()), "{} has a trace id twice", endpoint.path);
        let (code, _) = answer.error();
        assert_eq!(code, expected, "{}", endpoint.path);
        assert!(endpoint.may_fail_with(code) || OF_SERVER.contains(&code), "{}: {code:?}", endpoint.path);
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{}", endpoint.path);
        self.codes.insert(code);
    }
}

/// The path with values in the place of its parameters.
fn path(endpoint: &Endpoint) -> String {
    let of_path = endpoint.parameters.iter().filter(|parameter| parameter.place == Place::Path);
    of_path.fold(endpoint.path.to_owned(), |path, parameter| {
        let value = match parameter.kind {
            Kind::Id => "0000000200000000000000000000000000000000000000000000000000000000",
            Kind::SymbolCode => "EOS",
            _ => "eosio",
        };
        path.replace(&format!("{{{}}}", parameter.name), value)
    })
}

fn methods(endpoint: &Endpoint) -> Vec<Method> {
    let names = endpoint.methods.names().iter().filter(|name| **name != "HEAD");
    names.map(|name| name.parse().unwrap()).collect()
}

/// Endpoints for those who are admitted, with each of their methods.
fn admitted(chain: &TestChain) -> Vec<(Endpoint, Method, String)> {
    let endpoints = chain.server.endpoints().iter().filter(|endpoint| endpoint.charge.route.is_some());
    let each = endpoints.flat_map(|it| methods(it).into_iter().map(move |method| (it.clone(), method, path(it))));
    each.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_is_told_so() {
    let slow = TierOptions { name: "slow".into(), routes: vec![RouteClass::Chain], ..TierOptions::default() };
    let eosq = TierOptions { name: "eosq-v1".into(), ..TierOptions::default() };
    let guarded = Guarded::new(dfuse_access::Options {
        mode: Mode::Required,
        tiers: vec![slow, eosq],
        // A wrong token for each endpoint is many of one address.
        guess_rate: "1000000/s".parse().unwrap(),
        ..dfuse_access::Options::default()
    })
    .await;
    let mut contract = Contract::default();
    let origins = vec!["https://app.example.com".parse().unwrap()];
    let of_page = NewKey { origins, ..NewKey::new(KeyKind::Web, "page") };
    let page_key = json!({"api_key": guarded.key(of_page).0}).to_string();
    let issued = guarded.issue(&[("origin", "https://app.example.com")], &page_key).await.json();
    let of_page = format!("Bearer {}", issued["token"].as_str().unwrap());
    let without_routes = format!("Bearer {}", guarded.slow_token());
    let all = admitted(&guarded.chain);
    assert!(all.len() > 40, "{}", all.len());
    for (endpoint, method, path) in &all {
        let ask = async |headers: &[(&'static str, &str)]| guarded.ask(method.clone(), path, headers, "").await;
        contract.holds(endpoint, &ask(&[]).await, ErrorCode::TokenMissing);
        contract.holds(endpoint, &ask(&[("authorization", "Bearer a.b.c")]).await, ErrorCode::TokenInvalid);
        let elsewhere = [("authorization", &*of_page), ("origin", "https://evil.org")];
        contract.holds(endpoint, &ask(&elsewhere).await, ErrorCode::OriginNotAllowed);
        contract.holds(endpoint, &ask(&[("authorization", &without_routes)]).await, ErrorCode::TierNotAllowed);
    }
    assert_eq!(contract.codes.len(), 4);
    guarded.gate.set_maintenance(true).unwrap();
    for (endpoint, method, path) in &all {
        let answer = guarded.ask(method.clone(), path, &[], "").await;
        contract.holds(endpoint, &answer, ErrorCode::Maintenance);
        assert_eq!(answer.header("retry-after"), "60", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_much_is_told_so() {
    let mut contract = Contract::default();
    let slow = TierOptions { rate: Some("1/h".parse().unwrap()), ..TierOptions::default() };
    let guarded = Guarded::required(slow).await;
    for (endpoint, method, path) in admitted(&guarded.chain) {
        let token = format!("Bearer {}", guarded.slow_token());
        let ask = async || guarded.ask(method.clone(), &path, &[("authorization", &token)], "").await;
        assert_ne!(ask().await.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
        let answer = ask().await;
        contract.holds(&endpoint, &answer, ErrorCode::RateLimited);
        for header in ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
            assert!(answer.header(header).parse::<u32>().is_ok(), "{path}: {header}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_said() {
    let guarded = Guarded::required(TierOptions::default()).await;
    let mut contract = Contract::default();
    let token = format!("Bearer {}", guarded.token());
    let with_token = ("authorization", &*token);
    for endpoint in guarded.chain.server.endpoints().iter().filter(|it| it.methods != Methods::Any) {
        let path = path(endpoint);
        let same_path = guarded.chain.server.endpoints().iter().filter(|it| it.path == endpoint.path);
        let allowed: Vec<_> = same_path.flat_map(|it| it.methods.names()).copied().chain(["OPTIONS"]).collect();
        let answer = guarded.ask(Method::DELETE, &path, &[with_token], "").await;
        contract.holds(endpoint, &answer, ErrorCode::MethodNotAllowed);
        assert_eq!(answer.header("allow"), allowed.join(", "), "{path}");
        for method in methods(endpoint) {
            let in_query: Vec<_> = endpoint.parameters.iter().filter(|it| it.place == Place::Query).collect();
            if !in_query.is_empty() {
                let malformed: Vec<_> = in_query.iter().map(|it| format!("{}=%zz", it.name)).collect();
                let uri = format!("{path}?{}", malformed.join("&"));
                let answer = guarded.ask(method.clone(), &uri, &[with_token], "").await;
                contract.holds(endpoint, &answer, ErrorCode::RequestValidation);
            }
            if in_query.iter().any(|it| it.required) {
                let answer = guarded.ask(method.clone(), &path, &[with_token], "").await;
                contract.holds(endpoint, &answer, ErrorCode::RequestValidation);
            }
            if method == Method::POST && endpoint.body != BodyForm::None {
                let large = [with_token, ("content-length", "99999999")];
                let answer = guarded.ask(method.clone(), &path, &large, "x").await;
                contract.holds(endpoint, &answer, ErrorCode::RequestBodyTooLarge);
            }
            if endpoint.body == BodyForm::Json {
                let deep = "[".repeat(100_000);
                let deep = format!("{{\"a\":{deep}");
                for (body, expected) in
                    [("", ErrorCode::MissingBody), ("{", ErrorCode::InvalidJson), (&*deep, ErrorCode::InvalidJson)]
                {
                    let answer = guarded.ask(method.clone(), &path, &[with_token], body).await;
                    contract.holds(endpoint, &answer, expected);
                }
            }
        }
    }
}

/// The parameter without which nobody is asked for.
const KEY: &str = "public_key";

/// A good request: path with query, and body.
fn good(endpoint: &Endpoint, method: &Method) -> (String, String) {
    let value = |parameter: &Parameter| match parameter.kind {
        _ if parameter.name == KEY => "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV".to_owned(),
        Kind::Time => "2019-01-01T00:00:00Z".to_owned(),
        Kind::Integer(least, _) => least.to_string(),
        Kind::BlockNumber => "1".to_owned(),
        Kind::Choice(values) => values[0].to_owned(),
        Kind::SearchQuery => "receiver:eosio".to_owned(),
        _ => "eosio".to_owned(),
    };
    let of = |place| {
        let is_needed = |it: &&Parameter| it.required || it.name == KEY;
        endpoint.parameters.iter().filter(move |it| it.place == place).filter(is_needed)
    };
    let path = path(endpoint);
    if endpoint.body == BodyForm::Json {
        let field = |it: &Parameter| {
            let value = if it.kind == Kind::Texts { json!(["00"]) } else { json!(value(it)) };
            (it.name.to_owned(), value)
        };
        return (path, serde_json::Value::Object(of(Place::Json).map(field).collect()).to_string());
    }
    let pairs: Vec<_> = of(Place::Query).map(|it| format!("{}={}", it.name, value(it))).collect();
    let pairs = pairs.join("&");
    if *method == Method::POST { (path, pairs) } else { (format!("{path}?{pairs}"), String::new()) }
}

/// Asks everything that needs access for something that there may be.
async fn ask_all(chain: &TestChain, mut each: impl FnMut(&Endpoint, Answer)) {
    for (endpoint, method, _) in admitted(chain) {
        let (uri, body) = good(&endpoint, &method);
        let media_type = match endpoint.body {
            BodyForm::Json => "application/json",
            _ => "application/x-www-form-urlencoded",
        };
        let request = Request::builder().method(method).uri(uri).header("content-type", media_type);
        each(&endpoint, chain.request(request.body(Body::from(body)).unwrap()).await);
    }
}

/// Only a request for a connection is none, whatever there is.
fn is_connection(endpoint: &Endpoint, answer: &Answer) -> bool {
    endpoint.path == "/v1/stream" && answer.error().0 == ErrorCode::WsUpgradeFailed
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_block_every_endpoint_says_so() {
    let chain = TestChain::made(Options::default()).await;
    let (mut contract, mut asked) = (Contract::default(), 0);
    ask_all(&chain, |endpoint, answer| {
        if is_connection(endpoint, &answer) {
            return;
        }
        contract.holds(endpoint, &answer, ErrorCode::NotReady);
        assert_eq!(answer.header("retry-after"), "5", "{}", endpoint.path);
        asked += 1;
    })
    .await;
    assert!(asked > 40, "{asked}");
    // What needs no block is there.
    for uri in ["/", "/metrics", "/.well-known/jwks.json"] {
        assert_eq!(chain.get(uri).await.status, StatusCode::OK, "{uri}");
    }
    assert_eq!(chain.get("/healthz").await.error().0, ErrorCode::ServiceUnavailable);
}

/// Nothing that could not be looked up counts as absent.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_every_endpoint_says_so() {
    let options = Options::default();
    let is_away = options.store_is_away.clone();
    let guarded = Guarded::with(dfuse_access::Options::default(), options).await;
    is_away.store(true, Ordering::Relaxed);
    let (mut contract, mut others) = (Contract::default(), BTreeSet::new());
    ask_all(&guarded.chain, |endpoint, answer| {
        if is_connection(endpoint, &answer) {
            return;
        }
        // It finds nothing in the files of blocks, which are there.
        if answer.status != StatusCode::SERVICE_UNAVAILABLE {
            others.insert(endpoint.path);
            assert_eq!(answer.error().0, ErrorCode::BlockNotFound, "{}", endpoint.path);
            return;
        }
        contract.holds(endpoint, &answer, ErrorCode::ServiceUnavailable);
        assert_eq!(answer.header("retry-after"), "5", "{}", endpoint.path);
    })
    .await;
    assert_eq!(others, BTreeSet::from(["/v0/blocks/{id}"]));
    is_away.store(false, Ordering::Relaxed);
    assert_eq!(guarded.chain.get("/v0/blocks?limit=1").await.status, StatusCode::OK);
}
