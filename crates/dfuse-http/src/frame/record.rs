//! One line of log for each request, and its counts.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, Method, StatusCode, Uri},
};
use dfuse_query::{TraceId, secrets, shorten_to};
use tracing::Level;

use super::caller_slot::CallerSlot;
use crate::{
    Api, SpanRecord,
    metrics::{request_begins, request_ends},
    peer,
    recent::Answered,
};

pub(super) const TARGET: &str = "dfuse_api::request";
/// Label of requests that came to no route: their paths are too many.
pub(super) const NO_ROUTE: &str = "none";
/// Label of methods that are not HTTP's.
pub(super) const OTHER_METHOD: &str = "other";
/// What refused requests without a code of ours are counted under.
const NO_CODE: &str = "without a code";
/// Values of these parameters are not logged, nor those of names that end in the same after `_`, `-` or `.`.
const SECRETS: [&str; 14] = [
    "token",
    "jwt",
    "secret",
    "password",
    "passwd",
    "apikey",
    "api_key",
    "api-key",
    "private_key",
    "auth",
    "authorization",
    "bearer",
    "session",
    "signature",
];
/// The same, but other parameters end so, such as `public_key`.
const SECRETS_ALONE: [&str; 3] = ["key", "sig", "sid"];
const MAX_LOGGED: usize = 512;
/// Longest `X-Forwarded-For` that is logged.
const MAX_FORWARDED: usize = 256;

/// Filled where the route is known.
#[derive(Debug, Clone, Default)]
pub(super) struct RouteSlot(Arc<OnceLock<MatchedPath>>);

impl RouteSlot {
    pub(super) fn set(&self, path: &MatchedPath) {
        // One request takes one route.
        let _ = self.0.set(path.clone());
    }
}

/// A request at work. Is logged and counted at its end, also if the client leaves before.
pub(super) struct Record {
    api: Api,
    trace_id: TraceId,
    began: Duration,
    method: Method,
    target: String,
    /// Who is connected.
    client: Option<SocketAddr>,
    /// For whom, as a proxy says. Anybody can say so.
    forwarded_for: Option<String>,
    route: RouteSlot,
    caller: CallerSlot,
    traceparent: Option<String>,
    cloud_trace_context: Option<String>,
    /// 0 until there is an answer.
    status: u16,
    /// The code of the error that it was answered with.
    code: Option<&'static str>,
}

impl Record {
    pub(super) fn begin(api: &Api, trace_id: TraceId, request: &Request) -> Self {
        request_begins(api.metrics());
        Self {
            api: api.clone(),
            trace_id,
            began: api.chain().clock.elapsed(),
            method: request.method().clone(),
            target: without_secrets(request.uri()),
            client: peer::peer(request.extensions()),
            forwarded_for: header(request.headers(), "x-forwarded-for", is_forwarded_for),
            route: RouteSlot::default(),
            caller: CallerSlot::default(),
            traceparent: header(request.headers(), "traceparent", is_traceparent),
            cloud_trace_context: header(request.headers(), "x-cloud-trace-context", is_cloud_trace_context),
            status: 0,
            code: None,
        }
    }

    pub(super) fn route_slot(&self) -> RouteSlot {
        self.route.clone()
    }

    pub(super) fn caller_slot(&self) -> CallerSlot {
        self.caller.clone()
    }

    /// The address of the client, for the log.
    pub(super) fn client(&self) -> Option<tracing::field::DisplayValue<SocketAddr>> {
        self.client.map(tracing::field::display)
    }

    pub(super) fn end(mut self, status: StatusCode, code: Option<&'static str>) {
        self.code = code;
        self.status = status.as_u16();
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let taken = self.api.chain().clock.elapsed().saturating_sub(self.began);
        let route = self.route.0.get().map_or(NO_ROUTE, MatchedPath::as_str);
        request_ends(self.api.metrics(), route, method_label(&self.method), self.status, taken.as_secs_f64());
        let answered = || Answered {
            unix_ms: self.api.chain().clock.now().as_millis() as u64,
            method: method_label(&self.method),
            target: self.target.clone(),
            status: self.status,
            code: self.code,
            trace_id: self.trace_id,
            taken,
        };
        if let Some(spans) = &self.api.http_options().spans {
            let (route, traceparent) = (route.to_owned(), self.traceparent.clone());
            spans.offer(|| SpanRecord { answered: answered(), route, traceparent });
        }
        self.api.recent().note(answered, self.status, taken);
        if (400..500).contains(&self.status) {
            self.api.recent().refuse(self.code.unwrap_or(NO_CODE));
        }
        macro_rules! log {
            ($level:expr) => {
                tracing::event!(
                    target: TARGET,
                    $level,
                    method = shorten_to(self.method.as_str(), 32),
                    path = self.target,
                    status = self.status,
                    micros = taken.as_micros() as u64,
                    trace_id = %self.trace_id,
                    client = self.client(),
                    key = self.caller.key().map(tracing::field::display),
                    forwarded_for = self.forwarded_for,
                    traceparent = self.traceparent,
                    cloud_trace_context = self.cloud_trace_context,
                    "{}", if self.status == 0 { "the client left" } else { "answered" }
                )
            };
        }
        // What succeeds is counted, and so is what clients should not have asked: a busy server, or one that is crawled, would write
        // nothing else.
        match self.status {
            0..500 => log!(Level::DEBUG),
            _ => log!(Level::INFO),
        }
    }
}

fn method_label(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    known.into_iter().find(|known| method == known).unwrap_or(OTHER_METHOD)
}

/// Path and query as they came, with secrets replaced and cut. Parameters of a path stand behind `;`, and some separate
/// those of a query so.
fn without_secrets(uri: &Uri) -> String {
    let mut text = String::new();
    let mut rest = uri.path_and_query().map_or("", |target| target.as_str());
    while !rest.is_empty() && text.len() <= MAX_LOGGED {
        // The first character is the separator, or the slash that paths begin with.
        let end = rest.get(1..).and_then(|rest| rest.find(['?', '&', ';'])).map_or(rest.len(), |at| at + 1);
        let (part, after) = rest.split_at(end);
        let (separator, pair) = part.split_at(part.starts_with(['?', '&', ';']).into());
        text.push_str(separator);
        let name = pair.split('=').next().unwrap_or(pair);
        // What stands before the first separator is the path.
        if !separator.is_empty() && is_secret(name) {
            text.push_str(name);
            text.push_str("=***");
        } else if secrets::contains_private_key(pair) {
            // A path keeps its first slash.
            text.push_str(if separator.is_empty() { "/" } else { "" });
            text.push_str(secrets::MASK);
        } else {
            text.push_str(pair);
        }
        rest = after;
    }
    shorten_to(&text, MAX_LOGGED)
}

fn is_secret(name: &str) -> bool {
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
    let name = name.trim();
    let ends_so = |secret: &&str| name.strip_suffix(*secret).is_some_and(|before| before.ends_with(['_', '-', '.']));
    SECRETS_ALONE.contains(&name) || SECRETS.contains(&name) || SECRETS.iter().any(ends_so)
}

/// Addresses with commas between them, as proxies write them.
fn is_forwarded_for(text: &str) -> bool {
    let is_address = |text: &str| {
        let text = text.trim();
        text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok()
    };
    text.len() <= MAX_FORWARDED && text.split(',').all(is_address)
}

fn header(headers: &HeaderMap, name: &str, is_well_formed: fn(&str) -> bool) -> Option<String> {
    headers.get(name)?.to_str().ok().filter(|text| is_well_formed(text)).map(str::to_owned)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, of any version up to fe, as W3C Trace Context says.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<_> = text.splitn(5, '-').collect();
    let [version, trace, span, flags, rest @ ..] = &parts[..] else { return false };
    is_hex(version, 2)
        && *version != "ff"
        && (rest.is_empty() || *version != "00")
        && text.len() <= 256
        && is_hex(trace, 32)
        && is_hex(span, 16)
        && is_hex(flags, 2)
        && [trace, span].iter().all(|id| id.bytes().any(|byte| byte != b'0'))
}

/// `<32 hex>/<decimal span id>;o=<0|1>`, where span and option may be absent.
fn is_cloud_trace_context(text: &str) -> bool {
    let (text, option) = text.split_once(";o=").unwrap_or((text, "0"));
    let (trace, span) = text.split_once('/').unwrap_or((text, "0"));
    is_hex(&trace.to_ascii_lowercase(), 32) && matches!(option, "0" | "1") && span.parse::<u64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_logged() {
        for (uri, logged) in [
            ("/v0/x", "/v0/x"),
            ("/v0/x?", "/v0/x?"),
            ("/v0/x?a=1&token=abc&b", "/v0/x?a=1&token=***&b"),
            ("/?TOKEN=abc=d&%74oken=e&tokens=f", "/?TOKEN=***&%74oken=***&tokens=f"),
            ("/?token", "/?token=***"),
            ("/?access_token=a&jwt=b&X-API-Key=c", "/?access_token=***&jwt=***&X-API-Key=***"),
            ("/v0/x?a=1;token=abc;b=2", "/v0/x?a=1;token=***;b=2"),
            ("/v0/x;jwt=abc/y?;refresh-token=d", "/v0/x;jwt=***?;refresh-token=***"),
            ("/?sid=a&auth=b&id_token=c&Authorization=Bearer%20d", "/?sid=***&auth=***&id_token=***&Authorization=***"),
            // They say what is asked for.
            ("/?public_key=a&primary_key=b&key_type=c&q=auth:x", "/?public_key=a&primary_key=b&key_type=c&q=auth:x"),
            ("/token=path?x", "/token=path?x"),
        ] {
            assert_eq!(without_secrets(&uri.parse().unwrap()), logged);
        }
        let long = format!("/?{}&token=abc", "x=y&".repeat(1000));
        assert!(without_secrets(&long.parse().unwrap()).len() < MAX_LOGGED + 10);
    }

    #[test]
    fn only_addresses_are_forwarded_for() {
        for (text, good) in [
            ("1.2.3.4", true),
            ("1.2.3.4, 10.0.0.1:80,::1, [::1]:80", true),
            ("1.2.3.4, unknown", false),
            ("", false),
            ("1.2.3.4\",", false),
        ] {
            assert_eq!(is_forwarded_for(text), good, "{text}");
        }
        assert!(!is_forwarded_for(&vec!["1.2.3.4"; 100].join(",")));
    }

    #[test]
    fn well_formed_contexts_only() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        for (text, good) in [
            (format!("00-{trace}-b7ad6b7169203331-01"), true),
            (format!("01-{trace}-b7ad6b7169203331-01-more"), true),
            (format!("00-{trace}-b7ad6b7169203331-01-more"), false),
            (format!("ff-{trace}-b7ad6b7169203331-01"), false),
            (format!("00-{trace}-0000000000000000-01"), false),
            (format!("00-{}-b7ad6b7169203331-01", trace.to_uppercase()), false),
            (format!("00-{trace}-b7ad6b7169203331"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_traceparent(&text), good, "{text}");
        }
        for (text, good) in [
            (trace.to_owned(), true),
            (format!("{trace}/123"), true),
            (format!("{trace}/123;o=1"), true),
            (format!("{trace}/123;o=2"), false),
            (format!("{trace}/x;o=1"), false),
            ("abc/1;o=1".to_owned(), false),
        ] {
            assert_eq!(is_cloud_trace_context(&text), good, "{text}");
        }
    }
}
