//! What both documents say in the same words.

use dfuse_query::ErrorCode;

use crate::{
    AnswerForm, COMMON_ERRORS, Endpoint,
    endpoint::{BodyForm, JSON_ERRORS},
};

pub(super) const JSON: &str = "application/json";
/// What the server answers with before it looks for an endpoint.
const FRAME_ERRORS: &[ErrorCode] = &[
    ErrorCode::RouteNotFound,
    ErrorCode::EncodingNotAcceptable,
    ErrorCode::RequestUriTooLong,
    ErrorCode::RequestHeadersTooLarge,
    ErrorCode::TransferCodingUnsupported,
];

/// Everything that an endpoint may fail with, by status and code.
pub(super) fn errors(endpoint: &Endpoint) -> Vec<ErrorCode> {
    let of_json: &[ErrorCode] = if endpoint.body == BodyForm::Json { JSON_ERRORS } else { &[] };
    let lists = [COMMON_ERRORS, FRAME_ERRORS, of_json, endpoint.errors];
    let mut codes: Vec<_> = lists.into_iter().flatten().copied().collect();
    codes.sort_by_key(|code| (code.row().status.as_u16(), code.row().code));
    codes.dedup();
    codes
}

/// Who may ask.
pub(super) fn access(endpoint: &Endpoint) -> &'static str {
    match endpoint.charge.route {
        _ if endpoint.is_for_operators => {
            "For operators. Unless the server is open to all, a request needs a token of a server key without a tier or \
             the shared secret, or comes from the operators' networks."
        }
        Some(_) => "A request needs a token where the server asks for one.",
        None if endpoint.form == AnswerForm::PassedOn => {
            "A request needs a token where the server asks for one on the node's API."
        }
        None => "Everybody may ask.",
    }
}

/// The path as documents write it.
pub(super) fn path(endpoint: &Endpoint) -> String {
    endpoint.path.replace("{*", "{")
}

/// As a sentence.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}
