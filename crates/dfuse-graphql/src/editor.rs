//! `/graphiql/`: a page to write documents in, of files in this program. The browser asks no other server for anything.

use axum::{
    Extension,
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use dfuse_http::{AnswerForm, Charge, Endpoint, Methods, Schema, SlashAtEnd};
use dfuse_query::Class;

/// Where the page is.
pub(crate) const PATH: &str = "/graphiql/";

const OPEN: Charge = Charge::open(Class::LookUp);
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const JSON: &str = "application/json";

const PAGE: File = File { path: "/graphiql", media_type: HTML, text: include_str!("editor/index.html") };
/// What the page loads.
const FILES: [File; 9] = [
    File { path: "/graphiql/editor.css", media_type: STYLE, text: include_str!("editor/editor.css") },
    File { path: "/graphiql/editor.js", media_type: SCRIPT, text: include_str!("editor/editor.js") },
    File { path: "/graphiql/transport.js", media_type: SCRIPT, text: include_str!("editor/transport.js") },
    File { path: "/graphiql/operations.js", media_type: SCRIPT, text: include_str!("editor/operations.js") },
    File { path: "/graphiql/schema.js", media_type: SCRIPT, text: include_str!("editor/schema.js") },
    File { path: "/graphiql/completion.js", media_type: SCRIPT, text: include_str!("editor/completion.js") },
    File { path: "/graphiql/documentation.js", media_type: SCRIPT, text: include_str!("editor/documentation.js") },
    File {
        path: "/graphiql/predefined_examples.json",
        media_type: JSON,
        text: include_str!("editor/predefined_examples.json"),
    },
    // Pages of others choose the variables of an example by the network.
    File { path: "/graphiql/config.json", media_type: JSON, text: include_str!("editor/config.json") },
];

/// Nothing is loaded from elsewhere, no script stands in the page, and no other page shows it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const NO_SNIFFING: HeaderName = HeaderName::from_static("x-content-type-options");

/// A file that the browser gets.
#[derive(Debug, Clone, Copy)]
struct File {
    path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

/// The page, its files, and where older addresses lead.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let file = |file: File| {
        Endpoint::raw(file.path, Methods::Get, OPEN, get(async move || file.into_response()))
            .answers("A file of the editor.", file.form())
    };
    let page = Endpoint::raw(PAGE.path, Methods::Get, OPEN, get(page))
        .answers("A page to write GraphQL documents in.", AnswerForm::Text(HTML));
    let old = Endpoint::raw("/playground", Methods::Get, OPEN, get(redirect))
        .answers("Where the editor is.", AnswerForm::Redirect);
    FILES.into_iter().map(file).chain([page, old]).collect()
}

/// The page has one address, which ends in a slash.
async fn page(slash: Option<Extension<SlashAtEnd>>, uri: Uri) -> Response {
    if slash.is_some() { PAGE.into_response() } else { redirect(uri).await }
}

async fn redirect(uri: Uri) -> Response {
    let target = uri.query().map_or_else(|| PATH.to_owned(), |query| format!("{PATH}?{query}"));
    let mut response = StatusCode::FOUND.into_response();
    // A query that came has no characters that a header may not have.
    if let Ok(target) = HeaderValue::from_str(&target) {
        response.headers_mut().insert(header::LOCATION, target);
    }
    response
}

impl File {
    fn form(self) -> AnswerForm {
        match self.media_type {
            JSON => AnswerForm::Json(Schema::Anything),
            media_type => AnswerForm::Text(media_type),
        }
    }
}

impl IntoResponse for File {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.media_type),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (NO_SNIFFING, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        let mut response = Response::new(Body::from(self.text));
        response.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn examples_have_the_shape_of_the_original() {
        let examples: Vec<Value> = serde_json::from_str(FILES[7].text).unwrap();
        assert!(examples.len() >= 10);
        for example in examples {
            assert!(example["label"].is_string() && example["query"].is_string(), "{example}");
            let variables = &example["variables"];
            assert!(variables.is_null() || variables["generic"].is_object(), "{example}");
        }
        let config: Value = serde_json::from_str(FILES[8].text).unwrap();
        assert_eq!(config["network"], "generic", "the examples have variables for it");
    }

    #[test]
    fn files_name_no_other_server() {
        for file in FILES.into_iter().chain([PAGE]) {
            assert!(!file.text.contains("://"), "{}", file.path);
        }
    }
}
