//! Parameters that only searches have.

use std::cell::Cell;

use dfuse_blocks::CursorKey;
use dfuse_query::{ApiResult, query_position, shorten};
use dfuse_search::{Error, Position, Query, SearchIndex, TermOptions};
use serde_json::Value;

use super::completion::FIELDS;
use crate::{
    Params,
    params::{
        Finish, nearest,
        rules::{Field, Problems},
    },
};

/// Shortest query in bytes.
const MIN_QUERY_BYTES: usize = 5;

/// Reads a query. Where it is wrong goes into the details of the error, beside what is wrong with other parameters.
pub(super) struct QueryRule<'a> {
    index: &'a SearchIndex,
    position: Cell<Option<Value>>,
}

impl<'a> QueryRule<'a> {
    /// For the fields that the index has.
    pub(super) fn new(index: &'a SearchIndex) -> Self {
        Self { index, position: Cell::new(None) }
    }

    pub(super) fn read(&self, field: &Field<'_>) -> Result<Query, Problems> {
        if field.text.len() < MIN_QUERY_BYTES {
            return Err(field.expected(&format!("a query of at least {MIN_QUERY_BYTES} characters")));
        }
        Query::parse(field.text, self.index.options()).map_err(|error| match error {
            Error::InvalidQuery { error, .. } => {
                self.position.set(Some(query_position(&error)));
                vec![format!("is not a query: {error}")]
            }
            Error::UnknownFields(fields) => {
                fields.iter().map(|field| unknown_field(field, self.index.options())).collect()
            }
            other => vec![other.to_string()],
        })
    }

    /// As [`Params::finish`].
    pub(super) fn finish<C: Finish>(self, params: Params, checked: C) -> ApiResult<C::Values> {
        params.finish(checked).map_err(|error| match self.position.take() {
            Some(position) => error.detail("position", position),
            None => error,
        })
    }
}

fn unknown_field(field: &str, options: &TermOptions) -> String {
    let problem = format!("has the field \"{}\", which is not indexed", shorten(field));
    if let Some(setting) = options.missing_setting(field) {
        return format!("{problem}: the setting {setting} leaves it out");
    }
    // Most often what stands below `data.` is named without it.
    let known = || FIELDS.iter().map(|(name, _)| *name).filter(|name| options.has(name));
    let near = nearest(field, known()).or_else(|| nearest(&format!("data.{field}"), known()));
    match near {
        Some(near) => format!("{problem}; did you mean \"{near}\"?"),
        None => problem,
    }
}

/// Where a search goes on; none if it is empty.
pub(super) fn cursor(key: &CursorKey) -> impl Fn(&Field<'_>) -> Result<Option<Position>, Problems> {
    |field| match field.text {
        "" => Ok(None),
        text => match Position::open(text, key) {
            Ok(position) => Ok(Some(position)),
            Err(_) => Err(field.expected("the cursor of a search")),
        },
    }
}
