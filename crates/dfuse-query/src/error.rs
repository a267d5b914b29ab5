//! Errors as clients see them: one structure on every surface, `{code, trace_id, message, details?}`.

pub(crate) mod convert;
mod table;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, fmt::Display};

use http::StatusCode;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
pub use table::{Detail, DetailType, ErrorCode, GrpcStatus, Retry, Row};

use crate::{TraceId, secrets};

/// When to ask again for what is temporarily away, unless somebody knows better.
const PAUSE_SECONDS: u32 = 5;

/// Result of whatever answers a client.
pub type ApiResult<T> = Result<T, ApiError>;

/// An error for a client. It has a code of the table and keys of `details` that its row names. Each surface has one way to send
/// it.
#[derive(Debug, Clone)]
pub struct ApiError(Box<Inner>);

/// A block that an answer awaits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Awaited {
    /// Its number.
    pub block_num: u32,
    /// Whether it must be final.
    pub is_final: bool,
}

#[derive(Debug, Clone)]
struct Inner {
    code: ErrorCode,
    message: Cow<'static, str>,
    details: Map<String, Value>,
    retry_after: Option<u32>,
    awaits: Option<Awaited>,
    cause: Option<Cow<'static, str>>,
    is_damage: bool,
}

impl ApiError {
    /// An error with a message: an English sentence for people.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        let details = Map::new();
        Self(Box::new(Inner { code, message, details, retry_after: None, awaits: None, cause: None, is_damage: false }))
    }

    /// A fault of ours: the client learns nothing of it, the log has the cause under the trace id.
    pub fn unexpected(cause: impl Display) -> Self {
        Self::new(ErrorCode::Unexpected, "An unexpected error occurred.").with_cause(cause)
    }

    /// The same where the indexes are damaged: operators are told.
    pub(crate) fn damaged(cause: impl Display) -> Self {
        let mut error = Self::unexpected(cause);
        error.0.is_damage = true;
        error
    }

    /// `request_validation_error` for one parameter; `problem` goes on after its name.
    pub fn invalid_parameter(name: &'static str, problem: &str) -> Self {
        Self::new(ErrorCode::RequestValidation, format!("These parameters are not valid: {name}."))
            .detail("errors", serde_json::json!({name: [problem]}))
    }

    /// Temporarily unavailable; says what is missing.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::ServiceUnavailable, message)
    }

    /// No block is known yet: whatever is asked for may come with it.
    pub fn not_ready() -> Self {
        Self::new(ErrorCode::NotReady, "No block is indexed yet.")
    }

    /// Adds a detail, of a key and type that the code's row has.
    pub fn detail(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        let value = value.into();
        debug_assert!(self.row().has_detail(key, &value), "{} has no detail {key} of this type", self.row().code);
        self.0.details.insert(key.to_owned(), value);
        self
    }

    /// Says when to try again, in seconds.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Says that it would be answered once the block of that number is indexed.
    pub fn awaiting(mut self, block_num: u32) -> Self {
        self.0.awaits = Some(Awaited { block_num, is_final: false });
        self
    }

    /// Says that it would be answered once the block of that number is final.
    pub fn awaiting_final(mut self, block_num: u32) -> Self {
        self.0.awaits = Some(Awaited { block_num, is_final: true });
        self
    }

    /// The block with which it would be answered, if that is not there yet.
    pub fn awaits(&self) -> Option<Awaited> {
        self.0.awaits
    }

    /// What happened inside, for the log only.
    pub fn with_cause(mut self, cause: impl Display) -> Self {
        self.0.cause = Some(cause.to_string().into());
        self
    }

    /// Its code.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// Its row of the table.
    pub fn row(&self) -> &'static Row {
        self.0.code.row()
    }

    /// Its HTTP status.
    pub fn status(&self) -> StatusCode {
        self.row().status
    }

    /// What it says to people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What happened inside, if it is not for the client.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// When to try again, in seconds, if that is known or something is temporarily away.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        // Clients that ask again at once make it worse.
        let is_away = self.status() == StatusCode::SERVICE_UNAVAILABLE;
        self.0.retry_after.or(is_away.then_some(PAUSE_SECONDS))
    }

    /// What is damaged in the indexes, if that is the cause.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.cause().filter(|_| self.0.is_damage)
    }

    /// What it says to programs.
    pub fn details(&self) -> &Map<String, Value> {
        &self.0.details
    }

    /// Takes out what looks like a private key, wherever in the request it was.
    pub fn mask_secrets(&mut self) {
        let Inner { message, details, cause, .. } = &mut *self.0;
        for text in std::iter::once(message).chain(cause.as_mut()) {
            let masked = secrets::masked(text);
            if masked != *text {
                *text = Cow::Owned(masked.into_owned());
            }
        }
        details.values_mut().for_each(secrets::mask_json);
    }

    /// The structure that a client gets. Writes the cause, if there is one, to the log: call it once, when it is sent.
    pub fn into_body(mut self, trace_id: TraceId) -> ErrorBody {
        self.mask_secrets();
        let missing = |detail: &&Detail| !detail.optional && !self.0.details.contains_key(detail.key);
        debug_assert!(self.row().details.iter().find(missing).is_none(), "{self:?} lacks a detail");
        if let Some(cause) = &self.0.cause {
            tracing::error!(target: "dfuse_api::error", %trace_id, code = self.row().code, cause = &**cause, "request failed");
        }
        ErrorBody { error: self, trace_id }
    }
}

impl Row {
    fn has_detail(&self, key: &str, value: &Value) -> bool {
        let kind = match value {
            Value::String(_) => DetailType::Text,
            Value::Number(_) => DetailType::Number,
            Value::Array(items) if items.iter().all(Value::is_string) => DetailType::Texts,
            Value::Object(_) => DetailType::Object,
            _ => return false,
        };
        self.details.iter().any(|detail| detail.key == key && detail.kind == kind)
    }
}

impl Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.row().code, self.0.message)
    }
}

impl std::error::Error for ApiError {}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.row().code)
    }
}

/// The body of an error response, and the `data` of a WebSocket error message: exactly these keys.
#[derive(Debug, Clone)]
pub struct ErrorBody {
    error: ApiError,
    trace_id: TraceId,
}

impl ErrorBody {
    /// The error, for surfaces that have a form of their own for it.
    pub fn error(&self) -> &ApiError {
        &self.error
    }

    /// The bytes of a body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("keys are text and numbers finite");
        bytes.push(b'\n');
        bytes
    }
}

impl Serialize for ErrorBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let Inner { code, message, details, .. } = &*self.error.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", code)?;
        map.serialize_entry("trace_id", &self.trace_id)?;
        map.serialize_entry("message", message)?;
        if !details.is_empty() {
            map.serialize_entry("details", details)?;
        }
        map.end()
    }
}
