//! Who sent a request.

use std::{borrow::Cow, net::IpAddr};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use dfuse_query::{ApiResult, Asking, Caller, IssuedToken, Surface};

use crate::{
    Api, answer::HttpError, charge::Tariff, frame::CallerSlot, limited, params::body::declared_length, peer::peer,
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Lets only those in who are admitted, within their limits, and counts what they use. Their [`Caller`] is among the extensions of
/// their requests.
pub(crate) fn admitted(route: MethodRouter<Api>, api: &Api, tariff: Tariff) -> MethodRouter<Api> {
    route.route_layer(from_fn_with_state((api.clone(), tariff), check))
}

async fn check(State((api, tariff)): State<(Api, Tariff)>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let ingress_bytes = declared_length(&parts.headers).unwrap_or_default();
    let caller = match admit(&api, &parts, tariff.surface).await {
        Ok(caller) => caller,
        Err(error) => return HttpError(error).into_response(),
    };
    if let Some(slot) = parts.extensions.get::<CallerSlot>() {
        slot.set(&caller);
    }
    if let Some(Err(error)) = tariff.class.map(|class| caller.take(class)) {
        let mut response = HttpError(error).into_response();
        response.extensions_mut().insert(limited::Billed::to(&caller));
        return response;
    }
    parts.extensions.insert(caller.clone());
    let response = next.run(Request::from_parts(parts, body)).await;
    let mut response = limited::counted(response, &caller, tariff.counts, ingress_bytes);
    // What was taken on the way counts, too. Who was refused is told so by the error.
    if let Some(standing) = caller.standing()
        && response.status() != StatusCode::TOO_MANY_REQUESTS
    {
        limited::tell(standing, response.headers_mut());
    }
    response
}

/// Who sends this request, and what they may do.
///
/// # Errors
/// They may not ask.
pub async fn admit(api: &Api, parts: &Parts, surface: Surface) -> ApiResult<Caller> {
    // Nothing that comes over a connection has one: this request is of the process itself, or its surface has admitted it.
    if let Some(caller) = parts.extensions.get::<Caller>() {
        return Ok(caller.clone());
    }
    let (token, forwarded_for) = (token(&parts.headers, parts.uri.query()), forwarded_for(&parts.headers));
    api.admit(&asking(parts, token.as_deref(), forwarded_for.as_deref(), surface)).await
}

/// Lets only operators in.
pub(crate) fn for_operators(route: MethodRouter<Api>, api: &Api) -> MethodRouter<Api> {
    route.route_layer(from_fn_with_state(api.clone(), check_operator))
}

async fn check_operator(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match admit_operator(&api, &parts).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => HttpError(error).into_response(),
    }
}

async fn admit_operator(api: &Api, parts: &Parts) -> ApiResult<()> {
    let (token, forwarded_for) = (token(&parts.headers, parts.uri.query()), forwarded_for(&parts.headers));
    let asking = asking(parts, token.as_deref(), forwarded_for.as_deref(), Surface::Rest);
    api.access().admit_operator(&asking).await.map(drop)
}

/// What is known of whoever sent a request, for a surface that admits them later.
#[derive(Debug, Clone)]
pub struct Sender {
    token: Option<String>,
    peer: Option<IpAddr>,
    forwarded_for: Option<String>,
    origin: Option<String>,
}

impl Sender {
    /// Whoever sent that request.
    pub fn of(parts: &Parts) -> Self {
        Self {
            token: token(&parts.headers, parts.uri.query()).map(Cow::into_owned),
            peer: peer(&parts.extensions).map(|peer| peer.ip()),
            forwarded_for: forwarded_for(&parts.headers).map(Cow::into_owned),
            origin: text(&parts.headers, header::ORIGIN).map(str::to_owned),
        }
    }

    /// Says who they are and what they may do, with that token, or else with the one of the request.
    ///
    /// # Errors
    /// They may not ask.
    pub async fn admit(&self, api: &Api, token: Option<&str>, surface: Surface) -> ApiResult<Caller> {
        let asking = Asking {
            token: token.or(self.token.as_deref()),
            peer: self.peer,
            forwarded_for: self.forwarded_for.as_deref(),
            origin: self.origin.as_deref(),
            surface,
        };
        api.admit(&asking).await
    }
}

/// Who sends this request and what they may do, with an API key that they need not know.
///
/// # Errors
/// They may not ask, or the key is not valid.
pub async fn admit_key(api: &Api, parts: &Parts, api_key: &str, surface: Surface) -> ApiResult<Caller> {
    let forwarded_for = forwarded_for(&parts.headers);
    api.access().admit_key(api_key, &asking(parts, None, forwarded_for.as_deref(), surface)).await
}

/// Whether a request brings a token of its own.
pub fn has_token(parts: &Parts) -> bool {
    token(&parts.headers, parts.uri.query()).is_some()
}

/// A token for an API key.
///
/// # Errors
/// The key is not valid, or may not be used so.
pub async fn issue(api: &Api, parts: &Parts, api_key: &str) -> ApiResult<IssuedToken> {
    let forwarded_for = forwarded_for(&parts.headers);
    api.access().issue(api_key, &asking(parts, None, forwarded_for.as_deref(), Surface::Rest)).await
}

fn asking<'a>(
    parts: &'a Parts,
    token: Option<&'a str>,
    forwarded_for: Option<&'a str>,
    surface: Surface,
) -> Asking<'a> {
    let peer = peer(&parts.extensions).map(|peer| peer.ip());
    Asking { token, peer, forwarded_for, origin: text(&parts.headers, header::ORIGIN), surface }
}

/// All headers of this name are one list.
fn forwarded_for(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let mut values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let first = values.next()?;
    let rest: Vec<_> = values.collect();
    Some(if rest.is_empty() { first.into() } else { format!("{first},{}", rest.join(",")).into() })
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// That of the header, or that of the query if the header has none or is malformed.
fn token<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Option<Cow<'a, str>> {
    let of_header = text(headers, header::AUTHORIZATION).and_then(bearer).map(Cow::Borrowed);
    let of_query = || {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        pairs.find(|(name, _)| name == "token").map(|(_, token)| token)
    };
    of_header.or_else(of_query).filter(|token| !token.is_empty())
}

/// `Bearer` in any case and the token, with white space between them.
fn bearer(header: &str) -> Option<&str> {
    let mut fields = header.split_ascii_whitespace();
    match (fields.next(), fields.next(), fields.next()) {
        (Some(scheme), Some(token), None) if scheme.eq_ignore_ascii_case("bearer") => Some(token),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn where_a_token_is_taken_from() {
        for (header, query, found) in [
            (Some("Bearer abc"), None, Some("abc")),
            (Some("bEARER  abc"), Some("token=def"), Some("abc")),
            (Some("Bearer"), Some("a=b&token=d%20e"), Some("d e")),
            (Some("Bearer a b"), Some("token=def"), Some("def")),
            (Some("Basic abc"), Some("tokens=x&token=def&token=g"), Some("def")),
            (Some("Bearer "), Some("token="), None),
            (None, Some("atoken=x"), None),
            (None, None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(header.map(|it| (header::AUTHORIZATION, HeaderValue::from_str(it).unwrap())));
            assert_eq!(token(&headers, query).as_deref(), found, "{header:?} {query:?}");
        }
    }
}
