//! What pages load: one style sheet and one script, which are in this program.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::Response,
    routing::get,
};
use dfuse_http::{AnswerForm, Charge, Endpoint, Methods};
use dfuse_query::Class;

/// Where the style sheet is.
pub(crate) const STYLE: &str = "/assets/dfuse.css";
/// Where the script is.
pub(crate) const SCRIPT: &str = "/assets/dfuse.js";

/// Where the icon is.
pub(crate) const ICON: &str = "/assets/dfuse.svg";

/// Browsers take a file for what it says it is.
pub(crate) const NO_SNIFFING: HeaderName = HeaderName::from_static("x-content-type-options");

/// Open to all: an error page needs them, too.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    const CSS: &str = "text/css; charset=utf-8";
    const SVG: &str = "image/svg+xml";
    const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
    let open = Charge::open(Class::LookUp);
    let style = get(async || file(CSS, include_str!("assets/dfuse.css")));
    let script = get(async || file(JAVASCRIPT, include_str!("assets/dfuse.js")));
    let icon = get(async || file(SVG, include_str!("assets/dfuse.svg")));
    vec![
        Endpoint::raw(ICON, Methods::Get, open, icon.clone()).answers("The icon of all pages.", AnswerForm::Text(SVG)),
        // Browsers ask for it by themselves, for pages of other surfaces too.
        Endpoint::raw("/favicon.ico", Methods::Get, open, icon).answers("The same icon.", AnswerForm::Text(SVG)),
        Endpoint::raw(STYLE, Methods::Get, open, style).answers("The style sheet of all pages.", AnswerForm::Text(CSS)),
        Endpoint::raw(SCRIPT, Methods::Get, open, script)
            .answers("The script of all pages.", AnswerForm::Text(JAVASCRIPT)),
    ]
}

fn file(media_type: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    let headers = [(header::CONTENT_TYPE, media_type), (NO_SNIFFING, "nosniff"), (header::CACHE_CONTROL, "no-cache")];
    response.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}
