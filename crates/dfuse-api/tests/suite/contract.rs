//! The error contract: every endpoint of every surface, with each of its methods, in each form of its answers, for every reason to
//! refuse.
#![allow(clippy::print_stdout, reason = "what was asked last, where an answer is wrong")]

mod asked;
mod form;
mod node;
mod stream;

use std::collections::{BTreeMap, BTreeSet};

use asked::{Asked, Case};
pub(crate) use asked::{Values, path};
use axum::http::{Method, StatusCode};
use dfuse_access::{KeyKind, Mode, NewKey, Rate, RouteClass, TierOptions};
use dfuse_api::ChainApiOptions;
use dfuse_http::{AnswerForm, BodyForm, Endpoint, Methods};
use dfuse_query::ErrorCode;
use form::Form;
use serde_json::json;

use crate::{
    access::Guarded,
    chain_api::fake::nobody,
    support::{Answer, Options},
};

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    NoToken,
    WrongToken,
    ForbiddenOrigin,
    ForbiddenTier,
    TooMany,
    WrongMethod,
    Malformed,
    Incomplete,
    Unreadable,
    TooLarge,
    Missing,
    BackendAway,
    NotReady,
    Maintenance,
}

/// Those of a server that is well.
const WHOEVER_ASKS: [Reason; 5] =
    [Reason::NoToken, Reason::WrongToken, Reason::ForbiddenOrigin, Reason::ForbiddenTier, Reason::TooMany];
const WHATEVER_IS_ASKED: [Reason; 6] =
    [Reason::WrongMethod, Reason::Malformed, Reason::Incomplete, Reason::Unreadable, Reason::TooLarge, Reason::Missing];

/// Where nothing is an answer, too: an empty list, or a page that waits.
const EMPTY: [&str; 8] = [
    "/v0/state/table/row/history",
    "/v0/state/tables/accounts",
    "/v0/state/tables/scopes",
    "/v0/tokens",
    "/v0/accounts/{account}/balances",
    "/tx/{id}",
    "/table/row",
    "/tokens",
];

/// A server, and who asks it.
struct Asker {
    guarded: Guarded,
    /// Of those who may everything.
    free: String,
    /// Of a page that is elsewhere.
    of_page: String,
    /// Of those who may only push.
    of_tier: String,
}

impl Asker {
    /// Of a server where everybody needs a token, with a chain of so many blocks, and whose node is away.
    async fn new(blocks: usize) -> Self {
        let tiers = vec![
            TierOptions { name: "slow".into(), rate: "1/h".parse().ok(), ..TierOptions::default() },
            TierOptions { name: "push".into(), routes: vec![RouteClass::Push], ..TierOptions::default() },
            TierOptions { name: "eosq-v1".into(), ..TierOptions::default() },
        ];
        // A wrong token for each endpoint, or a good one, is many of one address.
        let many: Rate = "1000000/s".parse().unwrap();
        let access = dfuse_access::Options {
            mode: Mode::Required,
            tiers,
            guess_rate: many,
            issue_rate: many,
            ..dfuse_access::Options::default()
        };
        let chain_api = ChainApiOptions {
            upstreams: vec![nobody().await],
            authenticate: true,
            retries: 0,
            ..ChainApiOptions::default()
        };
        let guarded = Guarded::grown(access, Options { chain_api, ..Options::default() }, blocks).await;
        let origins = vec!["https://app.example.com".parse().unwrap()];
        let page_key = guarded.key(NewKey { origins, ..NewKey::new(KeyKind::Web, "page") }).0;
        let page_key = json!({"api_key": page_key}).to_string();
        let issued = guarded.issue(&[("origin", "https://app.example.com")], &page_key).await.json();
        let of_page = issued["token"].as_str().unwrap().to_owned();
        let of_tier = guarded.token_of(NewKey { tier: Some("push".into()), ..NewKey::new(KeyKind::Server, "push") });
        Self { free: guarded.token(), of_page, of_tier, guarded }
    }

    async fn ask(&self, case: &Case<'_>, method: Method, asked: &Asked, token: &str) -> Answer {
        let authorization = format!("Bearer {token}");
        let mut headers: Vec<_> = asked.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.push(("accept", case.form.accept()));
        if !token.is_empty() {
            headers.push(("authorization", &authorization));
        }
        self.guarded.ask(method, &asked.uri, &headers, &asked.body).await
    }
}

/// Whether a token says who asks.
fn takes_token(endpoint: &Endpoint) -> bool {
    endpoint.charge.route.is_some() || endpoint.is_for_operators || is_passed_on(endpoint)
}

/// Whether a node answers. What is no call of a node is at no path.
fn is_passed_on(endpoint: &Endpoint) -> bool {
    endpoint.form == AnswerForm::PassedOn && endpoint.path.contains('{')
}

/// Whether an error says that something is not there.
fn is_missing(code: ErrorCode) -> bool {
    let row = code.row();
    row.status == StatusCode::NOT_FOUND && row.code.contains("not_found")
}

impl Reason {
    /// Requests for that reason, each with the error that comes of it.
    fn requests(self, case: &Case<'_>) -> Vec<(Asked, ErrorCode)> {
        let Case { endpoint, method, form } = case;
        let good = case.asked(Values::Good);
        let is_read = *form != Form::Node && takes_token(endpoint) && !endpoint.is_for_operators;
        let is_stream = endpoint.path == "/v1/stream";
        let of_asker = |code| if takes_token(endpoint) { vec![(good.clone(), code)] } else { vec![] };
        let in_query = case.in_query();
        match self {
            Self::NoToken => of_asker(ErrorCode::TokenMissing),
            Self::WrongToken => of_asker(ErrorCode::TokenInvalid),
            Self::ForbiddenOrigin => of_asker(ErrorCode::OriginNotAllowed)
                .into_iter()
                .map(|(it, code)| (it.with("origin", "https://evil.org"), code))
                .collect(),
            Self::ForbiddenTier => of_asker(ErrorCode::TierNotAllowed),
            Self::TooMany if !endpoint.is_for_operators => of_asker(ErrorCode::RateLimited),
            Self::WrongMethod if endpoint.methods != Methods::Any && *form == Form::Json => {
                vec![(good, ErrorCode::MethodNotAllowed)]
            }
            Self::Malformed => {
                let malformed: Vec<_> = in_query.iter().map(|it| format!("{}=%zz", it.name)).collect();
                let uri = format!("{}?{}", path(endpoint, Values::Good), malformed.join("&"));
                let of_query = (!in_query.is_empty()).then_some(Asked { uri, ..Asked::default() });
                let uri = case
                    .asked(Values::Good)
                    .uri
                    .replace(&path(endpoint, Values::Good), &path(endpoint, Values::Malformed));
                let of_path = (case.in_path() && takes_token(endpoint)).then_some(Asked { uri, ..good });
                of_query.into_iter().chain(of_path).map(|it| (it, ErrorCode::RequestValidation)).collect()
            }
            Self::Incomplete if in_query.iter().any(|it| it.required) => {
                let asked = Asked { uri: path(endpoint, Values::Good), ..Asked::default() };
                vec![(asked, ErrorCode::RequestValidation)]
            }
            Self::Unreadable if endpoint.body == BodyForm::Json => {
                let deep = format!("{{\"a\":{}", "[".repeat(100_000));
                let bodies =
                    [("", ErrorCode::MissingBody), ("{", ErrorCode::InvalidJson), (&*deep, ErrorCode::InvalidJson)];
                bodies.map(|(body, code)| (Asked { body: body.to_owned(), ..good.clone() }, code)).into()
            }
            Self::TooLarge
                if *method == Method::POST && (endpoint.body != BodyForm::None || is_passed_on(endpoint)) =>
            {
                let asked = Asked { body: "x".to_owned(), ..good }.with("content-length", "99999999");
                vec![(asked, ErrorCode::RequestBodyTooLarge)]
            }
            Self::Missing if *form == Form::Node => {
                vec![(Asked { uri: "/v1/chain/a/../b".to_owned(), ..good }, ErrorCode::RouteNotFound)]
            }
            Self::Missing if !EMPTY.contains(&endpoint.path) => {
                let missing = endpoint.errors.iter().copied().filter(|code| is_missing(*code));
                // Any of them, as the caller sees.
                missing.take(1).map(|code| (case.asked(Values::Absent), code)).collect()
            }
            Self::BackendAway | Self::NotReady if is_stream => vec![(good, ErrorCode::WsUpgradeFailed)],
            // The files of blocks are there, and have no such block.
            Self::BackendAway if endpoint.path == "/v0/blocks/{id}" => vec![(good, ErrorCode::BlockNotFound)],
            Self::BackendAway if is_read || is_passed_on(endpoint) => vec![(good, ErrorCode::ServiceUnavailable)],
            // This page waits for the first block.
            Self::NotReady if endpoint.path == "/home" => vec![],
            Self::NotReady if is_read => vec![(good, ErrorCode::NotReady)],
            Self::BackendAway | Self::NotReady if endpoint.path == "/healthz" && self == Self::NotReady => {
                vec![(good, ErrorCode::ServiceUnavailable)]
            }
            // It is said before anybody looks at what is asked for.
            Self::Maintenance if *form == Form::Graphql => vec![],
            Self::Maintenance
                if !["/", "/healthz", "/metrics"].contains(&endpoint.path) && !endpoint.under_maintenance =>
            {
                vec![(good, ErrorCode::Maintenance)]
            }
            _ => vec![],
        }
    }

    fn method(self, case: &Case<'_>) -> Method {
        if self == Self::WrongMethod { Method::DELETE } else { case.method.clone() }
    }
}

/// What was refused so far.
#[derive(Default)]
struct Walk {
    trace_ids: BTreeSet<String>,
    refused: BTreeMap<Reason, usize>,
    /// The reasons for which each endpoint refused, by path.
    of_path: BTreeMap<&'static str, BTreeSet<Reason>>,
    missing: BTreeSet<&'static str>,
}

impl Walk {
    /// Asks everything, and asserts that each answer is the error that is expected, in its form.
    async fn of(&mut self, reason: Reason, asker: &Asker) {
        // Each chain names its requests in the same order.
        self.trace_ids.clear();
        for case in Case::all(asker.guarded.chain.server.endpoints()) {
            for (asked, expected) in reason.requests(&case) {
                let token = match reason {
                    Reason::NoToken => String::new(),
                    Reason::WrongToken => "a.b.c".to_owned(),
                    Reason::ForbiddenOrigin => asker.of_page.clone(),
                    Reason::ForbiddenTier => asker.of_tier.clone(),
                    Reason::TooMany => asker.guarded.slow_token(),
                    _ => asker.free.clone(),
                };
                let ask = async || asker.ask(&case, reason.method(&case), &asked, &token).await;
                if reason == Reason::TooMany {
                    let first = ask().await;
                    assert_ne!(first.status, StatusCode::TOO_MANY_REQUESTS, "{asked:?}");
                    self.is_new(&first);
                }
                self.holds(reason, &case, &asked, &ask().await, expected);
            }
        }
    }

    fn is_new(&mut self, answer: &Answer) {
        assert!(self.trace_ids.insert(answer.trace_id().to_owned()), "a trace id that was there before: {answer:?}");
    }

    fn holds(&mut self, reason: Reason, case: &Case<'_>, asked: &Asked, answer: &Answer, expected: ErrorCode) {
        let Case { endpoint, form, .. } = case;
        println!("{reason:?} {} {form:?}: {} {asked:?}", reason.method(case), answer.status);
        self.is_new(answer);
        let expected = match reason {
            Reason::Missing if *form == Form::Json && !answer.body.is_empty() => {
                let (code, _) = answer.error();
                assert!(is_missing(code) && endpoint.may_fail_with(code), "{code:?}");
                self.missing.insert(endpoint.path);
                code
            }
            Reason::Missing if *form == Form::Page => {
                let text = std::str::from_utf8(&answer.body).unwrap();
                let of_table = endpoint.errors.iter().filter(|code| is_missing(**code));
                *of_table.clone().find(|code| text.contains(code.row().code)).unwrap_or(&expected)
            }
            _ => expected,
        };
        form.holds(&reason.method(case), answer, expected);
        match reason {
            Reason::WrongMethod => {
                let allowed = answer.header("allow");
                assert!(
                    allowed.ends_with(", OPTIONS") && endpoint.methods.names().iter().all(|it| allowed.contains(it))
                );
            }
            Reason::TooMany => {
                for header in ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
                    assert!(answer.header(header).parse::<u32>().is_ok(), "{header}");
                }
            }
            Reason::Maintenance => assert_eq!(answer.header("retry-after"), "60"),
            Reason::BackendAway | Reason::NotReady if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
                assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{answer:?}");
            }
            _ => {}
        }
        *self.refused.entry(reason).or_default() += 1;
        self.of_path.entry(endpoint.path).or_default().insert(reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_refuses_in_its_one_form() {
    let mut walk = Walk::default();
    let asker = Asker::new(30).await;
    for reason in WHOEVER_ASKS.into_iter().chain(WHATEVER_IS_ASKED) {
        walk.of(reason, &asker).await;
    }
    asker.guarded.chain.store.set_away(true);
    walk.of(Reason::BackendAway, &asker).await;
    asker.guarded.chain.store.set_away(false);
    walk.of(Reason::NotReady, &Asker::new(0).await).await;
    asker.guarded.gate.set_maintenance(true).unwrap();
    walk.of(Reason::Maintenance, &asker).await;

    // Every endpoint of the table refuses somebody, and says that something is missing where its table names such an error.
    let endpoints = asker.guarded.chain.server.endpoints();
    let all: BTreeSet<_> = endpoints.iter().map(|it| it.path).collect();
    assert!(all.len() > 60, "{}", all.len());
    assert_eq!(walk.of_path.keys().copied().collect::<BTreeSet<_>>(), all);
    let may_miss = endpoints.iter().filter(|it| it.errors.iter().any(|code| is_missing(*code))).map(|it| it.path);
    let may_miss = may_miss.filter(|path| !EMPTY.contains(path));
    assert_eq!(walk.missing, may_miss.collect());
    assert_eq!(walk.refused.len(), 14, "{:?}", walk.refused);
    // What messages over WebSocket say, no answer says.
    let of_messages = endpoints.iter().flat_map(|it| it.errors).filter(|code| code.is_of_messages());
    assert_eq!(of_messages.collect::<Vec<_>>(), Vec::<&ErrorCode>::new());
}

/// What needs neither a token nor a block is there without them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_to_all_stays_open() {
    let asker = Asker::new(0).await;
    for case in Case::all(asker.guarded.chain.server.endpoints()) {
        let Case { endpoint, method, .. } = &case;
        if takes_token(endpoint)
            || endpoint.form == AnswerForm::PassedOn
            || *method == Method::POST
            || ["/healthz", "/guide/{document}"].contains(&endpoint.path)
        {
            continue;
        }
        let answer = asker.ask(&case, method.clone(), &case.asked(Values::Good), "").await;
        assert!(answer.status.is_success() || answer.status.is_redirection(), "{}: {answer:?}", endpoint.path);
    }
}
