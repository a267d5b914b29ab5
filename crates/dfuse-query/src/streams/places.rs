use std::sync::Arc;

/// Positions of transactions, and of something within each, in the order of execution. What is of a block as a whole is at the position
/// after its last transaction.
pub type Places = Arc<[(usize, usize)]>;
