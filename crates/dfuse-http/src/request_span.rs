use tracing::Span;

/// What lines that are logged while an answer is sent belong to. Among the extensions of the answer.
#[derive(Debug, Clone)]
pub(crate) struct RequestSpan(pub(crate) Span);
