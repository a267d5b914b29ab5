//! GraphQL documents, between the transports that take them and what executes them.
//!
//! The surfaces do not know each other: the one that speaks HTTP and WebSocket and the one that speaks gRPC get a
//! [`GraphqlExecutor`] from the binary.

use std::fmt;

use futures::stream::BoxStream;
use serde_json::{Map, Value};

use crate::{ApiResult, Caller, TraceId};

/// A document to execute, as every transport takes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GraphqlRequest {
    /// The document.
    pub query: String,
    /// Which of its operations, if it has several.
    pub operation_name: Option<String>,
    /// The values of its variables. Those that it doesn't declare are ignored.
    pub variables: Map<String, Value>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphqlOperation {
    /// Answers once.
    Query,
    /// Answers until it ends.
    Subscription,
}

/// An answer to a query, or an event of a subscription.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GraphqlResponse {
    /// JSON of the data: an object, or `null` where an error left nothing. Absent if nothing was executed.
    pub data: Option<String>,
    /// What went wrong.
    pub errors: Vec<GraphqlError>,
    /// How many documents it counts for, in metering.
    pub documents: u64,
}

/// An error of a response.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GraphqlError {
    /// For people, in the form that clients of the original parse: a text, then ` (trace_id: ...)`.
    pub message: String,
    /// Where in the document: lines and columns, from 1.
    pub locations: Vec<GraphqlLocation>,
    /// The field: names and positions in lists.
    pub path: Vec<Value>,
    /// `code`, `status`, `trace_id`, `terminal`, and `details` if there are any.
    pub extensions: Map<String, Value>,
}

/// A place in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphqlLocation {
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

/// Executes documents.
pub trait GraphqlExecutor: fmt::Debug + Send + Sync {
    /// What the operation asked for does; nothing of it is executed.
    ///
    /// # Errors
    /// Of a document that cannot be parsed or has no such operation.
    fn operation(&self, request: &GraphqlRequest) -> ApiResult<GraphqlOperation>;

    /// The answers: one to a query; those of a subscription until it ends, which an answer with a terminal error does too. Whatever
    /// is wrong with the document, the access or the chain is in an answer. Dropping the stream ends the work.
    ///
    /// A subscription takes its request of the caller when the stream is polled for the first time, before it waits for anything:
    /// transports that tell the caller's limits first rely on it.
    fn execute(
        &self,
        request: GraphqlRequest,
        caller: Caller,
        trace_id: TraceId,
    ) -> BoxStream<'static, GraphqlResponse>;
}

impl GraphqlError {
    /// Whether the operation ends with it.
    pub fn is_terminal(&self) -> bool {
        self.extensions.get("terminal") == Some(&Value::Bool(true))
    }
}
