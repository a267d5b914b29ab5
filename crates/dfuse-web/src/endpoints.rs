use axum::{
    Extension, Router,
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
    middleware::{Next, from_fn},
    response::Response,
};
use dfuse_http::{Api, Endpoint, Routes, Untouched};
use dfuse_query::{ApiError, ErrorCode, Surface, TraceId};
use maud::{Markup, html};

use crate::{
    account, assets, block, contract, dashboard, home,
    page::{Page, facts},
    search,
    shown::Shown,
    tables, tokens, transaction,
};

/// The cookie that the script keeps a token in.
const TOKEN_COOKIE: &str = "dfuse_token";

/// Pages for people.
#[derive(Debug)]
pub struct Endpoints {
    api: Api,
}

impl Endpoints {
    /// Shows what that service has.
    pub fn new(api: &Api) -> Self {
        Self { api: api.clone() }
    }

    /// Its routes, for a server.
    pub fn routes(&self) -> Routes {
        Routes::default()
            .with((&self.api, Surface::Rest), pages(), as_pages)
            .with((&self.api, Surface::Rest), assets::endpoints(), |routes| routes)
            .with_home(home::PATH)
    }
}

fn pages() -> Vec<Endpoint> {
    let parts = [
        home::endpoints(),
        search::endpoints(),
        block::endpoints(),
        transaction::endpoints(),
        account::endpoints(),
        tables::endpoints(),
        contract::endpoints(),
        tokens::endpoints(),
        dashboard::endpoints(),
    ];
    parts.into_iter().flatten().collect()
}

/// Around all pages: who has no header for a token has it in a cookie, and an error is a page.
fn as_pages(routes: Router<Api>) -> Router<Api> {
    routes.route_layer(from_fn(as_page))
}

async fn as_page(Extension(trace_id): Extension<TraceId>, mut request: Request, next: Next) -> Response {
    if !request.headers().contains_key(header::AUTHORIZATION)
        && let Some(authorization) = token(request.headers())
    {
        request.headers_mut().insert(header::AUTHORIZATION, authorization);
    }
    let response = next.run(request).await;
    let Some(error) = response.extensions().get::<ApiError>().cloned() else { return response };
    if error.status().is_server_error() && error.code() != ErrorCode::NotReady {
        // The frame writes its cause to the log with the trace id, and those are no answers for people anyway.
        return response;
    }
    let code = error.code();
    let mut page = error_page(error, trace_id);
    page.extensions_mut().insert(Untouched);
    page.extensions_mut().insert(code);
    // Where the limits stand, and when to come again.
    for (name, value) in response.headers() {
        page.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    page
}

/// The header for the token in the cookie.
fn token(headers: &HeaderMap) -> Option<HeaderValue> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|pairs| pairs.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, token) = pairs.find(|(name, token)| *name == TOKEN_COOKIE && !token.is_empty())?;
    HeaderValue::from_str(&format!("Bearer {token}")).ok()
}

fn error_page(mut error: ApiError, trace_id: TraceId) -> Response {
    error.mask_secrets();
    let shown = Shown::new("/");
    let wants_key = matches!(
        error.code(),
        ErrorCode::TokenMissing | ErrorCode::TokenInvalid | ErrorCode::ApiKeyInvalid | ErrorCode::ApiKeyRevoked
    );
    let known = [("Code", html! { code { (error.row().code) } }), ("Trace id", html! { code { (trace_id) } })];
    let content = html! {
        p { (shown.text(error.message())) }
        @for problem in problems(&error) { p { (shown.text(&problem)) } }
        (facts(&known))
        @if wants_key { (key_form()) }
        p { a href="/" { "Back to the newest blocks" } }
    };
    let title = if wants_key { "This server asks for a key" } else { "This cannot be shown" };
    Page::new(title, "", content).with_status(error.status())
}

/// What is wrong with each parameter.
fn problems(error: &ApiError) -> Vec<String> {
    let errors = error.details().get("errors").and_then(|errors| errors.as_object());
    let of_each = errors.into_iter().flatten().map(|(name, problems)| {
        let problems = problems.as_array().into_iter().flatten().filter_map(|problem| problem.as_str());
        format!("{name} {}", problems.collect::<Vec<_>>().join("; "))
    });
    of_each.collect()
}

/// The script has a token issued for the key. The key is in no address and no form that is sent.
fn key_form() -> Markup {
    html! {
        form.key.filter {
            label { "API key" input name="key" type="password" autocomplete="off" required; }
            button { "Use this key" }
        }
        noscript { p { "The key is exchanged for a token by a script, which this browser does not run." } }
    }
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
