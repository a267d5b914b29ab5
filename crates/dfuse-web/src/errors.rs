//! Errors as pages.

use axum::response::Response;
use dfuse_http::Untouched;
use dfuse_query::{ApiError, ErrorCode, TraceId};
use maud::{Markup, html};

use crate::{
    page::{Page, facts},
    shown::Shown,
};

/// The page of an error. Writes its cause, if there is one, to the log.
pub(crate) fn page(error: ApiError, trace_id: TraceId) -> Response {
    let code = error.code();
    if error.status().is_server_error() {
        // Its body goes nowhere: the page has what is in it.
        drop(error.clone().into_body(trace_id));
    }
    let mut page = error_page(error, trace_id);
    page.extensions_mut().insert(Untouched);
    page.extensions_mut().insert(code);
    page
}

fn error_page(mut error: ApiError, trace_id: TraceId) -> Response {
    error.mask_secrets();
    let shown = Shown::new("/");
    let wants_key = matches!(
        error.code(),
        ErrorCode::TokenMissing | ErrorCode::TokenInvalid | ErrorCode::ApiKeyInvalid | ErrorCode::ApiKeyRevoked
    );
    let code = error.row().code;
    let known = [
        ("Code", html! { a href={ "/guide/errors#" (code) } { code { (code) } } }),
        ("Trace id", html! { code { (trace_id) } }),
    ];
    let content = html! {
        p { (shown.text(error.message())) }
        @for problem in problems(&error) { p { (shown.text(&problem)) } }
        (facts(&known))
        @if wants_key { (key_form()) }
        p { a href="/" { "Back to the newest blocks" } }
    };
    let title = if wants_key { "This server asks for a key" } else { "This cannot be shown" };
    Page::of_error(title, content).with_status(error.status())
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
