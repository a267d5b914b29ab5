//! Texts from outside, as messages and lines of the log show them.

use crate::secrets;

/// Characters of a value that a message shows.
const SHOWN: usize = 64;

/// At most the first 64 characters of a text from outside, for a message.
pub fn shorten(text: &str) -> String {
    shorten_to(text, SHOWN)
}

/// At most so many characters of a text from outside. A secret in it is masked first, so that no part of one is shown.
pub fn shorten_to(text: &str, most: usize) -> String {
    let text = secrets::masked(text);
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.into_owned(),
    }
}
