//! What HTTP/1.1 demands of every request (RFC 9112) and hyper does not look at.

use std::error::Error as _;

use axum::{
    extract::Request,
    http::{HeaderMap, Version, header},
};
use dfuse_query::{ApiError, ErrorCode, shorten};

use crate::refused::Refused;

/// What is wrong with a request.
pub(super) fn problem(request: &Request) -> Option<Refused> {
    let headers = request.headers();
    host_problem(headers, request.version()).or_else(|| coding_problem(headers)).map(Refused)
}

/// Section 3.2: a request of HTTP/1.1 has one `Host`, and none has two.
fn host_problem(headers: &HeaderMap, version: Version) -> Option<ApiError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let problem = match (hosts.next(), hosts.next()) {
        (Some(host), None)
            if host.as_bytes().iter().all(|byte| byte.is_ascii_graphic() && !b",/?#@\\".contains(byte)) =>
        {
            return None;
        }
        (None, _) if version < Version::HTTP_11 => return None,
        (None, _) => "A request of HTTP/1.1 needs the header Host.",
        (Some(_), None) => "The header Host is not a host with a port or without one.",
        (Some(_), Some(_)) => "The request has the header Host more than once.",
    };
    Some(ApiError::new(ErrorCode::RequestMalformed, problem))
}

/// Section 6.1: a body is sent in chunks, or as it is.
fn coding_problem(headers: &HeaderMap) -> Option<ApiError> {
    let codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let codings = codings.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let codings: Vec<_> = codings.filter(|coding| !coding.is_empty()).collect();
    match codings.iter().find(|coding| !coding.eq_ignore_ascii_case(b"chunked")) {
        Some(other) => Some(unknown_coding(Some(&String::from_utf8_lossy(other)))),
        None if codings.len() > 1 => {
            Some(ApiError::new(ErrorCode::RequestMalformed, "The body is in chunks more than once."))
        }
        None => None,
    }
}

/// The error for a transfer coding that is not understood.
pub(super) fn unknown_coding(coding: Option<&str>) -> ApiError {
    let message = "Of transfer codings only chunked is understood: leave the header Transfer-Encoding out, or send the body in chunks.";
    let error = ApiError::new(ErrorCode::TransferCodingUnsupported, message).detail("supported", &["chunked"][..]);
    match coding {
        Some(coding) => error.detail("coding", shorten(coding)),
        None => error,
    }
}

/// Whether hyper has refused a request because its body does not end with chunks. hyper has only this text for it.
pub(super) fn is_unknown_coding(error: &hyper::Error) -> bool {
    error.is_parse() && error.source().is_none() && error.to_string() == "invalid transfer-encoding parsed"
}
