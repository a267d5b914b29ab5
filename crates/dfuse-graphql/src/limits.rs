//! What a document may ask for.

/// Limits of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest document in bytes.
    pub document_bytes: usize,
    /// Deepest nesting of fields.
    pub depth: usize,
    /// Most fields, those of fragments counted wherever they are spread.
    pub fields: usize,
    /// Most bytes of values in one answer.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { document_bytes: 128 << 10, depth: 24, fields: 2000, answer_bytes: 64 << 20 }
    }
}
