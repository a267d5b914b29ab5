//! Rows of tables as the API shows them.

use std::iter;

use dfuse_antelope::{Name, SymbolCode};
use dfuse_query::{ApiResult, ReadContext, Step, state::TableReader};
use dfuse_render::{JsonWriter, RowForm, RowFormat};
use dfuse_state::{KeyType, TableRow};
use maud::{Markup, html};

use crate::{json::Json, shown::Shown};

/// The rows that a reader gives, up to so many.
pub(crate) fn of_reader(read: &ReadContext<'_>, reader: &mut TableReader, most: usize) -> ApiResult<Vec<TableRow>> {
    let mut rows = Vec::new();
    while rows.len() < most {
        read.go_on()?;
        match reader.next_row()? {
            Step::Item(row) => rows.push(row),
            Step::Passed => {}
            Step::End => break,
        }
    }
    Ok(rows)
}

/// A row as the API shows it.
pub(crate) fn rendered(form: &RowForm, key_type: KeyType, row: &TableRow) -> ApiResult<Json> {
    let mut text = Vec::new();
    RowFormat { key_type, with_block_num: true }.write(&mut JsonWriter::new(&mut text), form, row);
    Json::parse(&text)
}

/// What primary keys look like, where nobody says what they are.
pub(crate) fn key_type_of(keys: &[u64]) -> KeyType {
    if keys.is_empty() { KeyType::Name } else { key_type(|| keys.iter().copied()) }
}

fn key_type<I: Iterator<Item = u64>>(keys: impl Fn() -> I) -> KeyType {
    /// Names of accounts are greater: their first letters are in the highest bits.
    const SMALL: u64 = 1 << 40;
    if keys().all(|key| SymbolCode(key).is_valid()) {
        KeyType::SymbolCode
    } else if keys().any(|key| key < SMALL) {
        KeyType::Uint64
    } else {
        KeyType::Name
    }
}

/// A primary key that the API shows as a name, as what it looks like.
pub(crate) fn key_text(name: &str) -> String {
    let Ok(key) = Name::parse(name.as_bytes()) else { return name.to_owned() };
    key_type(|| iter::once(key.0)).format(key.0)
}

/// The fields of a row, or its bytes and why they do not decode.
pub(crate) fn content(row: &Json, shown: &Shown) -> Markup {
    html! {
        @if row.get("json").is_null() {
            code { (shown.text(row.get("hex").text())) }
            @if !row.get("error").is_null() { p.quiet { (shown.text(row.get("error").text())) } }
        } @else { (shown.value(row.get("json"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_as_what_they_look_like() {
        let code = u64::from_le_bytes(*b"SYS\0\0\0\0\0");
        for (key, text) in [(Name(code), "SYS"), (Name(7), "7"), (Name::literal("alice"), "alice")] {
            assert_eq!(key_text(&key.to_string()), text);
        }
        assert_eq!(key_text("NO NAME"), "NO NAME");
    }
}
