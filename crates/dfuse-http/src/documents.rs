//! `/openapi.json` and `/docs`: what the table of endpoints says, for programs and for people.

mod openapi;
mod page;
mod texts;
mod values;

use std::sync::{Arc, OnceLock};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use dfuse_query::{ApiError, Class};
use texts::JSON;

use crate::{AnswerForm, Charge, Endpoint, Methods, Schema, answer::HttpError};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const STYLE: &str = include_str!("documents/style.css");
/// The page loads its style sheet, and nothing else.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const NO_SNIFFING: HeaderName = HeaderName::from_static("x-content-type-options");

/// Both documents, which are written when all endpoints are known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Documents(Arc<OnceLock<Written>>);

#[derive(Debug)]
struct Written {
    openapi: String,
    page: String,
}

impl Documents {
    /// Their endpoints.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        let charge = Charge::open(Class::LookUp);
        let (openapi, page) = (self.clone(), self.clone());
        let openapi = get(async move || openapi.answer(JSON, |written| &written.openapi));
        let page = get(async move || page.answer(HTML, |written| &written.page));
        let style = get(async || file(CSS, STYLE.to_owned()));
        vec![
            Endpoint::raw("/openapi.json", Methods::Get, charge, openapi)
                .answers("This API as an OpenAPI 3.1 document.", AnswerForm::Json(Schema::Map(&Schema::Anything))),
            Endpoint::raw("/docs", Methods::Get, charge, page)
                .answers("A page that describes this API.", AnswerForm::Text(HTML)),
            Endpoint::raw("/docs/style.css", Methods::Get, charge, style)
                .answers("The style sheet of that page.", AnswerForm::Text(CSS)),
        ]
    }

    /// Writes them.
    pub(crate) fn write(&self, endpoints: &[Endpoint]) {
        self.0.get_or_init(|| Written { openapi: openapi::write(endpoints), page: page::write(endpoints) });
    }

    fn answer(&self, media_type: &'static str, part: impl Fn(&Written) -> &String) -> Response {
        match self.0.get() {
            Some(written) => file(media_type, part(written).clone()),
            None => HttpError(ApiError::unexpected("documents that were not written")).into_response(),
        }
    }
}

fn file(media_type: &'static str, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (NO_SNIFFING, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let mut response = Response::new(Body::from(text));
    response.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}
