//! What all pages have in common.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dfuse_antelope::{Checksum256, Name};
use dfuse_http::{AnswerForm, Charge, Endpoint, Handler, Params};
use dfuse_query::{Class, RouteClass};
use maud::{DOCTYPE, Markup, html};
use serde_json::{Value, json};

use crate::{
    assets::{self, NO_SNIFFING},
    shown::visible,
};

pub(crate) const HTML: &str = "text/html; charset=utf-8";
/// Nothing is loaded from elsewhere, no script or style stands in a page, and no other page shows it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The endpoint of a page that is put together with such reads.
pub(crate) fn endpoint<R: IntoResponse + 'static>(
    path: &'static str,
    reads: Class,
    answer: &'static str,
    handler: impl Handler<Params, R>,
) -> Endpoint {
    let route = if reads == Class::Search { RouteClass::Search } else { RouteClass::Explorer };
    Endpoint::get(path, Charge::new(reads, route), handler).answers(answer, AnswerForm::Text(HTML))
}

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    /// What it is about.
    pub(crate) title: String,
    /// What stands in the search box.
    pub(crate) searched: String,
    /// The requests that give the same as JSON.
    pub(crate) api: Vec<String>,
    /// What makes it change.
    pub(crate) live: Live,
    /// All between header and footer.
    pub(crate) content: Markup,
}

/// What is followed over WebSocket while a page is open. Whenever something comes, the script gets the page again and replaces
/// its parts that have an id and the class `live`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Live {
    Nothing,
    /// Nothing; the page is got again and again.
    Every {
        seconds: u32,
    },
    /// Every new head.
    Head,
    /// The lifecycle of a transaction.
    Transaction(Checksum256),
    /// What comes to a contract or an account.
    Account(Name),
}

impl Live {
    /// The message that begins the stream.
    fn message(self) -> Option<Value> {
        match self {
            Self::Nothing | Self::Every { .. } => None,
            Self::Head => Some(json!({"type": "get_head_info", "listen": true, "req_id": "page"})),
            Self::Transaction(id) => Some(json!({
                "type": "get_transaction_lifecycle", "listen": true, "req_id": "page", "data": {"id": id.to_string()},
            })),
            Self::Account(name) => Some(json!({
                "type": "get_action_traces", "listen": true, "req_id": "page",
                "data": {"accounts": format!("{name}|eosio.token|eosio"), "receivers": name.to_string()},
            })),
        }
    }
}

impl Page {
    /// A page that does not change. `api` is the request that gives the same as JSON.
    pub(crate) fn new(title: impl Into<String>, api: impl Into<String>, content: Markup) -> Self {
        Self { title: title.into(), searched: String::new(), api: vec![api.into()], live: Live::Nothing, content }
    }

    /// A page that says what is wrong, which the request itself says to programs.
    pub(crate) fn of_error(title: &str, content: Markup) -> Self {
        Self { title: title.to_owned(), searched: String::new(), api: Vec::new(), live: Live::Nothing, content }
    }

    /// The same, of which another request gives a part.
    pub(crate) fn and_api(mut self, api: impl Into<String>) -> Self {
        self.api.push(api.into());
        self
    }

    /// The same, live.
    pub(crate) fn following(self, live: Live) -> Self {
        Self { live, ..self }
    }

    /// The same with a text in the search box.
    pub(crate) fn searching(self, text: &str) -> Self {
        Self { searched: text.to_owned(), ..self }
    }

    /// As a response of that status.
    pub(crate) fn with_status(self, status: StatusCode) -> Response {
        let mut response = Response::new(Body::from(self.html().into_string()));
        *response.status_mut() = status;
        let headers = [
            (header::CONTENT_TYPE, HTML),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (NO_SNIFFING, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-store"),
            (header::VARY, "accept, cookie"),
        ];
        response.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response
    }

    fn html(&self) -> Markup {
        let pause = if let Live::Every { seconds } = self.live { Some(seconds) } else { None };
        let live = self.live.message().map(|message| message.to_string());
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (visible(&self.title)) " · dfuse" }
                    link rel="icon" type="image/svg+xml" href=(assets::ICON);
                    link rel="stylesheet" href=(assets::STYLE);
                    script src=(assets::SCRIPT) defer {}
                }
                body data-live=[live] data-every=[pause] {
                    a.skip href="#content" { "Skip to the content" }
                    header { div.band { (navigation()) (search_box(&self.searched)) } }
                    main #content { h1 { (visible(&self.title)) } (self.content) }
                    footer {
                        p.api {
                            "As API: "
                            @for api in &self.api { a href=(api) { code { "GET " (visible(api)) } } " " }
                            @if self.api.is_empty() {
                                "the same request with " code { "Accept: application/json" } " answers with this code, message and trace id."
                            }
                        }
                        p #state role="status" {}
                        (elsewhere())
                    }
                }
            }
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        self.with_status(StatusCode::OK)
    }
}

fn navigation() -> Markup {
    html! {
        nav aria-label="Pages" {
            a.home href="/" { "dfuse" }
            a href="/tokens" { "Tokens" }
            a href="/search" { "Search" }
            a href="/dashboard" { "Dashboard" }
            a href="/graphiql/" { "GraphQL" }
            a href="/docs" { "API" }
            a href="/guide" { "Guide" }
        }
    }
}

/// What else this server has for people.
fn elsewhere() -> Markup {
    html! {
        nav.elsewhere aria-label="Documentation" {
            a href="/guide" { "Guide" }
            a href="/docs" { "API reference" }
            a href="/graphiql/" { "GraphQL editor" }
            a href="/guide/errors" { "Error codes" }
            a href="/healthz" { "Health" }
        }
    }
}

fn search_box(text: &str) -> Markup {
    html! {
        form.search role="search" action="/search" {
            label.unseen for="q" { "Search" }
            input #q name="q" type="search" value=(text) list="completions" autocomplete="off" spellcheck="false"
                placeholder="Block, transaction, account, key, token, time or query";
            datalist #completions {}
            button { "Go" }
        }
    }
}

/// A list of names with their values.
pub(crate) fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! { dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } } }
}

/// A table that scrolls where it is wider than the page, by the keyboard too.
pub(crate) fn scrolling(label: &str, table: &Markup) -> Markup {
    frame("scroll", label, table)
}

/// The same, no higher than a panel of the dashboard.
pub(crate) fn scrolling_panel(label: &str, table: &Markup) -> Markup {
    frame("scroll short", label, table)
}

fn frame(class: &str, label: &str, table: &Markup) -> Markup {
    html! { div class=(class) tabindex="0" role="region" aria-label=(label) { (table) } }
}
