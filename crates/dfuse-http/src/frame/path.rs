//! The path of a request.

use axum::{
    extract::Request,
    http::{HeaderMap, Method, Uri, header, uri::PathAndQuery},
};
use percent_encoding::percent_decode_str;

use crate::params::percent_encoding_problem;

/// The path of a request ended in a slash, which was taken out. Among its extensions.
#[derive(Debug, Clone, Copy)]
pub struct SlashAtEnd;

/// Takes out empty segments: slashes that are doubled, and one at the end. Scripts that put addresses together make them.
pub(super) fn without_empty_segments(request: &mut Request) {
    let uri = request.uri();
    let path = uri.path();
    if !path.starts_with('/') || !(path.contains("//") || path.len() > 1 && path.ends_with('/')) {
        return;
    }
    let has_slash = path.len() > 1 && path.ends_with('/');
    let mut target: String = path.split('/').filter(|part| !part.is_empty()).flat_map(|part| ["/", part]).collect();
    if target.is_empty() {
        target.push('/');
    }
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    // It consists of parts that were taken before.
    let Ok(target) = PathAndQuery::try_from(target) else { return };
    parts.path_and_query = Some(target);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
        if has_slash {
            request.extensions_mut().insert(SlashAtEnd);
        }
    }
}

/// Leads a browser that asks for `/` to the page for it.
pub(super) fn at_home(request: &mut Request, home: &'static str) {
    if request.uri().path() == "/" && is_of_browser(request) {
        *request.uri_mut() = Uri::from_static(home);
    }
}

/// Whether a browser looks for a page.
pub(super) fn is_of_browser(request: &Request) -> bool {
    [Method::GET, Method::HEAD].contains(request.method()) && wants_page(request.headers())
}

/// Whether `Accept` names `text/html`.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut media_types = accepted.flat_map(|list| list.split(',')).filter_map(|range| range.split(';').next());
    media_types.any(|media_type| media_type.trim().eq_ignore_ascii_case("text/html"))
}

/// Whether this is an address of the API, where programs want errors in their one form.
pub(super) fn is_of_api(path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    ["v0", "v1", "graphql", "healthz", "metrics"].contains(&first)
}

/// What is wrong with a path.
pub(super) fn problem(path: &str) -> Option<&'static str> {
    percent_encoding_problem(path)
        .or_else(|| percent_decode_str(path).decode_utf8().is_err().then_some("must be UTF-8, percent-encoded"))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn browsers_are_led_home() {
        for (target, accept, path) in [
            ("/", Some("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), "/home"),
            ("/?a=b", Some("application/json, TEXT/HTML;q=0.5"), "/home"),
            ("/", Some("*/*"), "/"),
            ("/", Some("application/json"), "/"),
            ("/", None, "/"),
            ("/v0/blocks", Some("text/html"), "/v0/blocks"),
        ] {
            let mut request = Request::get(target).body(Body::empty()).unwrap();
            request.headers_mut().extend(accept.map(|it| (header::ACCEPT, it.parse().unwrap())));
            at_home(&mut request, "/home");
            assert_eq!(request.uri().path(), path, "{target} {accept:?}");
        }
    }

    #[test]
    fn empty_segments_are_taken_out() {
        for (came, is) in [
            ("/", "/"),
            ("//", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b"),
            ("//a///b//?c=//", "/a/b?c=//"),
            ("/?a", "/?a"),
            ("//?a/", "/?a/"),
            ("/a%2F/", "/a%2F"),
            ("*", "*"),
            ("http://host:1//a/?b", "http://host:1/a?b"),
        ] {
            let mut request = Request::builder().uri(came).body(Body::empty()).unwrap();
            without_empty_segments(&mut request);
            assert_eq!(request.uri().to_string(), is, "{came}");
        }
    }
}
