//! What is wrong with arguments.

use dfuse_query::{ApiError, ErrorCode};
use serde_json::json;

/// An argument is not valid; the message says all.
pub(super) fn wrong(argument: &'static str, message: String) -> ApiError {
    let errors = json!({argument: [message]});
    ApiError::new(ErrorCode::RequestValidation, message).detail("errors", errors)
}

/// The same for a problem that goes on after the argument's name.
pub(super) fn invalid(argument: &'static str, problem: &str) -> ApiError {
    let errors = json!({argument: [problem]});
    ApiError::new(ErrorCode::RequestValidation, format!("The argument '{argument}' {problem}."))
        .detail("errors", errors)
}
