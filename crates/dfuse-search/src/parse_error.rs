use std::fmt;

/// Why a text is not a query, or not a program of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// Byte of the text where it is.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for ParseError {
    /// The offset is told for what is in the first line, line and column for the rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { message, offset, line: 1, .. } => write!(f, "{message} at column {offset}"),
            Self { message, line, column, .. } => write!(f, "{message} at line {line} column {column}"),
        }
    }
}

impl ParseError {
    /// An error at a byte of the text.
    pub(crate) fn at(text: &str, at: usize, message: impl Into<String>) -> Self {
        let before = &text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            message: message.into(),
            offset: at,
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
            column: 1 + before[line_start..].chars().count(),
        }
    }
}
