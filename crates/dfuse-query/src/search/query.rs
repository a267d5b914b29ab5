//! Queries, as people write them.

use dfuse_antelope::Name;
use dfuse_search::{Error, Query, TermOptions};
use serde_json::Value;

use super::completion::FIELDS;
use crate::{ApiResult, Service, nearest, query_position, shorten};

/// Why a text is not a query.
#[derive(Debug, Clone)]
pub struct InvalidQuery {
    /// All that is wrong with it: texts that go on after the parameter's name.
    pub problems: Vec<String>,
    /// Where it is wrong, if that is at one place, as the details of errors tell it.
    pub position: Option<Value>,
}

/// Reads a query of the fields that are indexed.
///
/// # Errors
/// What is wrong with it.
pub fn parse(service: &Service, text: &str) -> Result<Query, InvalidQuery> {
    let options = service.chain().search.options();
    Query::parse(text, options).map_err(|error| match error {
        Error::InvalidQuery { error, .. } => {
            InvalidQuery { problems: vec![format!("is not a query: {error}")], position: Some(query_position(&error)) }
        }
        Error::UnknownFields(fields) => InvalidQuery {
            problems: fields.iter().map(|field| unknown_field(field, options)).collect(),
            position: None,
        },
        other => InvalidQuery { problems: vec![other.to_string()], position: None },
    })
}

/// The query for what an account has done and what has come to it: the actions that it authorized or executed; those of one
/// contract only, if one is given.
///
/// # Errors
/// None for any name.
pub fn account_history(service: &Service, account: Name, contract: Option<Name>) -> ApiResult<Query> {
    // In quotes: a name may be `true`.
    let mut query = format!("(receiver:\"{account}\" OR auth:\"{account}\")");
    if let Some(contract) = contract {
        query += &format!(" account:\"{contract}\"");
    }
    Ok(Query::parse(&query, service.chain().search.options())?)
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
