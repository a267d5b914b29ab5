//! Errors that look as the clients of a surface expect.

use std::{fmt, sync::Arc};

use dfuse_query::{ApiError, TraceId};

/// An error in a structure of a surface's own. As a response it has a status only ([`crate::answer::without_body`]): the request
/// frame asks for the body, since it knows the trace id.
pub trait ShapedError: fmt::Debug + Send + Sync {
    /// The body. Writes the cause, if there is one, to the log: it is called once, when the body is sent.
    fn body(&self, trace_id: TraceId) -> Vec<u8>;
}

/// Some [`ShapedError`], among the extensions of a response.
#[derive(Debug, Clone)]
pub struct Shaped(Arc<dyn ShapedError>);

/// Gives an error the structure that clients of some paths expect.
pub type Shape = fn(ApiError) -> Shaped;

impl Shaped {
    /// Of that error.
    pub fn new(error: impl ShapedError + 'static) -> Self {
        Self(Arc::new(error))
    }

    pub(crate) fn body(&self, trace_id: TraceId) -> Vec<u8> {
        self.0.body(trace_id)
    }
}
