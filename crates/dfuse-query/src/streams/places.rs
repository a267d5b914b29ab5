use std::sync::Arc;

/// Positions of transactions, and of something within each, in the order of execution.
pub type Places = Arc<[(usize, usize)]>;
