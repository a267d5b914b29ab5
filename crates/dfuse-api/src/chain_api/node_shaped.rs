//! Errors of ours in the structure of the node's API: `{code, message, error: {code, name, what, details}, trace_id}`.

use axum::{
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use dfuse_antelope::Checksum256;
use dfuse_http::{Shaped, ShapedError};
use dfuse_node::rpc::{NodeDetail, NodeError, NodeErrorBody, RpcError};
use dfuse_query::{ApiError, TraceId};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::answer::without_body;
use dfuse_http::limited::tell_refused;

/// When to ask again for what is temporarily away.
const PAUSE_SECONDS: u32 = 5;

/// An error of ours on `/v1/chain/*`. As a response it has a status only: the request frame puts the body in, since it knows
/// the trace id.
#[derive(Debug, Clone)]
pub(crate) struct NodeShaped(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    error: NodeError,
    retry_after: Option<u32>,
    /// Of one who asked too much.
    limits: HeaderMap,
    /// For the log only.
    cause: Option<String>,
    failed: Option<FailedTransaction>,
}

/// A transaction that is on the chain, but failed.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FailedTransaction {
    pub(super) transaction_id: Checksum256,
    pub(super) block_id: Checksum256,
    pub(super) block_num: u32,
    /// Its trace.
    pub(super) processed: Box<RawValue>,
}

/// Numbers, names and meanings of exceptions, as nodeos has them.
pub(super) struct Exception {
    code: i64,
    name: &'static str,
    what: &'static str,
}

pub(super) const PARSE_ERROR: Exception = Exception { code: 4, name: "parse_error_exception", what: "Parse Error" };
pub(super) const NOT_A_TRANSACTION: Exception =
    Exception { code: 3_010_010, name: "packed_transaction_type_exception", what: "Invalid packed transaction" };
pub(super) const TRANSACTION_FAILED: Exception =
    Exception { code: 3_040_000, name: "transaction_exception", what: "Transaction exception" };
pub(super) const TRANSACTION_EXPIRED: Exception =
    Exception { code: 3_040_005, name: "expired_tx_exception", what: "Expired Transaction" };

const UNHANDLED: (i64, &str) = (3_990_001, "unhandled_exception_code");
const TIMEOUT: (i64, &str) = (3_990_002, "timeout_exception_code");

impl NodeShaped {
    /// With a code of the node for what is none of its exceptions.
    fn without_exception(status: StatusCode, (code, name): (i64, &str), message: String) -> Self {
        let detail = NodeDetail { message: message.clone(), method: name.to_owned(), ..NodeDetail::default() };
        let error = NodeErrorBody { code, name: name.to_owned(), what: message.clone(), details: vec![detail] };
        Self::new(NodeError { code: status.as_u16(), message, error })
    }

    fn new(error: NodeError) -> Self {
        Self(Box::new(Inner { error, retry_after: None, limits: HeaderMap::new(), cause: None, failed: None }))
    }

    /// What is none of the node's exceptions.
    pub(super) fn unhandled(status: StatusCode, message: impl Into<String>) -> Self {
        Self::without_exception(status, UNHANDLED, message.into())
    }

    /// Temporarily away.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        let mut error = Self::unhandled(StatusCode::SERVICE_UNAVAILABLE, message);
        error.0.retry_after = Some(PAUSE_SECONDS);
        error
    }

    /// A wait that was too long.
    pub(super) fn timeout(message: impl Into<String>) -> Self {
        Self::without_exception(StatusCode::INTERNAL_SERVER_ERROR, TIMEOUT, message.into())
    }

    /// One of the node's exceptions, as the node would answer.
    pub(super) fn exception(exception: &Exception, detail: impl Into<String>) -> Self {
        let Exception { code, name, what } = *exception;
        let detail =
            NodeDetail { message: detail.into(), method: "proxied_by_dfuse".to_owned(), ..NodeDetail::default() };
        let error = NodeErrorBody { code, name: name.to_owned(), what: what.to_owned(), details: vec![detail] };
        let status = StatusCode::INTERNAL_SERVER_ERROR.as_u16();
        Self::new(NodeError { code: status, message: "Internal Service Error".to_owned(), error })
    }

    /// Shows a transaction that is on the chain, but failed.
    pub(super) fn with_transaction(mut self, failed: FailedTransaction) -> Self {
        self.0.failed = Some(failed);
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        let status = StatusCode::from_u16(self.0.error.code).ok();
        status.filter(|it| it.is_client_error() || it.is_server_error()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Of an error of ours.
    pub(crate) fn shape(error: ApiError) -> Shaped {
        Shaped::new(Self::from(error))
    }
}

impl ShapedError for NodeShaped {
    fn body(&self, trace_id: TraceId) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(flatten)]
            error: &'a NodeError,
            #[serde(flatten)]
            failed: &'a Option<FailedTransaction>,
            trace_id: TraceId,
        }
        let Inner { error, cause, failed, .. } = &*self.0;
        if let Some(cause) = cause {
            let code = error.error.code;
            tracing::error!(target: "dfuse_api::error", %trace_id, code, cause, "request failed");
        }
        let mut bytes =
            serde_json::to_vec(&Body { error, failed, trace_id }).expect("keys are text and numbers finite");
        bytes.push(b'\n');
        bytes
    }
}

impl From<ApiError> for NodeShaped {
    fn from(mut error: ApiError) -> Self {
        error.mask_secrets();
        let mut shaped = Self::unhandled(error.status(), error.message());
        shaped.0.retry_after = error.retry_after_seconds();
        tell_refused(&error, &mut shaped.0.limits);
        shaped.0.cause = error.cause().map(str::to_owned);
        shaped
    }
}

impl From<RpcError> for NodeShaped {
    /// A client learns what the node says, but not where it is.
    fn from(error: RpcError) -> Self {
        let message = match &error {
            RpcError::Refused { error, .. } => return Self::new((**error).clone()),
            RpcError::Connect { .. } | RpcError::Url { .. } => "The node cannot be reached.",
            RpcError::Busy { .. } => "Too many requests are with the nodes at the moment.",
            RpcError::Broken { .. } => "The node broke off.",
            RpcError::Timeout { .. } => "The node did not answer in time.",
            RpcError::Answer { .. } => "What answered is not a node, or cannot reach it.",
        };
        let mut shaped = Self::unavailable(message);
        shaped.0.cause = Some(error.to_string());
        shaped
    }
}

impl IntoResponse for NodeShaped {
    fn into_response(self) -> Response {
        let limits = self.0.limits.clone();
        let mut response = without_body(self.status(), self.0.retry_after, Shaped::new(self));
        response.headers_mut().extend(limits);
        response
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use dfuse_query::ErrorCode;

    fn body(error: &NodeShaped) -> Value {
        serde_json::from_slice(&error.body(TraceId([7; 16]))).unwrap()
    }

    #[test]
    fn ours_in_the_structure_of_the_node() {
        let limit = ApiError::new(ErrorCode::RequestBodyTooLarge, "Too large.").detail("limit", 7);
        assert_eq!(
            body(&limit.into()),
            json!({"code": 413, "message": "Too large.", "trace_id": "07".repeat(16), "error": {
                "code": 3_990_001, "name": "unhandled_exception_code", "what": "Too large.", "details": [
                    {"message": "Too large.", "file": "", "line_number": 0, "method": "unhandled_exception_code"}]}})
        );
        assert_eq!(
            body(&NodeShaped::exception(&PARSE_ERROR, "why")),
            json!({"code": 500, "message": "Internal Service Error", "trace_id": "07".repeat(16), "error": {
                "code": 4, "name": "parse_error_exception", "what": "Parse Error", "details": [
                    {"message": "why", "file": "", "line_number": 0, "method": "proxied_by_dfuse"}]}})
        );
        assert_eq!(body(&NodeShaped::timeout("late"))["error"]["code"], 3_990_002);
        let away = RpcError::Connect { node: "http://secret:8888".to_owned(), reason: "refused".to_owned() };
        let response = NodeShaped::from(away.clone()).into_response();
        assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (503, "5"));
        assert!(!body(&away.into()).to_string().contains("secret"));
    }
}
