use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use dfuse_http::{Api, Endpoint, Routes, answer::HttpError};
use dfuse_query::Surface;

use crate::{
    account, assets, block, contract, cookies::cookie, dashboard, errors, guide, home, key, page_key::PageKey, search,
    tables, tokens, transaction,
};

/// The cookie that the script keeps a token in.
const TOKEN_COOKIE: &str = "dfuse_token";

/// How pages are served.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What pages act with for whoever gives no key of their own. Without it these are anonymous callers.
    pub key: Option<PageKey>,
}

/// Pages for people.
#[derive(Debug)]
pub struct Endpoints {
    api: Api,
    options: Options,
}

impl Endpoints {
    /// Shows what that service has.
    pub fn new(api: &Api, options: Options) -> Self {
        Self { api: api.clone(), options }
    }

    /// Its routes, for a server.
    pub fn routes(&self) -> Routes {
        let state = (self.api.clone(), self.options.key.clone());
        Routes::default()
            .with((&self.api, Surface::Rest), pages(), |routes| {
                routes.route_layer(from_fn_with_state(state, with_token))
            })
            .with((&self.api, Surface::Rest), [assets::endpoints(), guide::endpoints()].concat(), |routes| routes)
            .with_home(home::PATH)
            .with_error_page(errors::page)
    }
}

fn pages() -> Vec<Endpoint> {
    let parts = [
        home::endpoints(),
        search::endpoints(),
        block::endpoints(),
        transaction::endpoints(),
        account::endpoints(),
        key::endpoints(),
        tables::endpoints(),
        contract::endpoints(),
        tokens::endpoints(),
        dashboard::endpoints(),
    ];
    parts.into_iter().flatten().collect()
}

/// Around all pages: who has no header for a token has it in a cookie, or acts with the key of the pages.
async fn with_token(State((api, key)): State<(Api, Option<PageKey>)>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    if !parts.headers.contains_key(header::AUTHORIZATION)
        && let Some(authorization) = token(&parts.headers)
    {
        parts.headers.insert(header::AUTHORIZATION, authorization);
    }
    let cookie = match key {
        Some(key) => match key.admit(&api, &mut parts).await {
            Ok(cookie) => cookie,
            Err(error) => return HttpError(error).into_response(),
        },
        None => None,
    };
    let mut response = next.run(Request::from_parts(parts, body)).await;
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    response
}

/// The header for the token in the cookie.
fn token(headers: &HeaderMap) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("Bearer {}", cookie(headers, TOKEN_COOKIE)?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_from_its_cookie() {
        for (cookie, expected) in [
            ("dfuse_token=abc", Some("Bearer abc")),
            ("a=b; dfuse_token=x.y-z; c=d", Some("Bearer x.y-z")),
            ("dfuse_token=", None),
            ("xdfuse_token=abc", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(cookie));
            assert_eq!(token(&headers).as_ref().and_then(|it| it.to_str().ok()), expected, "{cookie}");
        }
    }
}
