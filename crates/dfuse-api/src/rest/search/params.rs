//! Parameters that only searches have.

use std::cell::Cell;

use dfuse_query::{
    ApiResult,
    search::{InvalidQuery, parse},
};
use dfuse_search::{Position, Query};
use serde_json::Value;

use crate::{
    Api, Params,
    params::{
        Finish,
        rules::{Field, Problems},
    },
};

/// Shortest query in bytes.
const MIN_QUERY_BYTES: usize = 5;

/// Reads a query. Where it is wrong goes into the details of the error, beside what is wrong with other parameters.
pub(super) struct QueryRule<'a> {
    api: &'a Api,
    position: Cell<Option<Value>>,
}

impl<'a> QueryRule<'a> {
    /// For the fields that the index has.
    pub(super) fn new(api: &'a Api) -> Self {
        Self { api, position: Cell::new(None) }
    }

    pub(super) fn read(&self, field: &Field<'_>) -> Result<Query, Problems> {
        if field.text.len() < MIN_QUERY_BYTES {
            return Err(field.expected(&format!("a query of at least {MIN_QUERY_BYTES} characters")));
        }
        parse(self.api, field.text).map_err(|InvalidQuery { problems, position }| {
            if position.is_some() {
                self.position.set(position);
            }
            problems
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

/// Where a search goes on; none if it is empty.
pub(super) fn cursor(api: &Api) -> impl Fn(&Field<'_>) -> Result<Option<Position>, Problems> {
    |field| match field.text {
        "" => Ok(None),
        text => match Position::open(text, api.chain().feed.cursor_key()) {
            Ok(position) => Ok(Some(position)),
            Err(_) => Err(field.expected("the cursor of a search")),
        },
    }
}
