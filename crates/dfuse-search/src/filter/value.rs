//! Values of expressions.

use std::{borrow::Cow, cmp::Ordering, rc::Rc};

use serde_json::Value as Json;

/// It has no value: something is not there, is of the wrong kind, or takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoValue;

pub(super) type Result<T> = std::result::Result<T, NoValue>;

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Cow<'a, str>),
    List(Rc<Vec<Value<'a>>>),
    /// A list or a map of the action's data.
    Json(&'a Json),
}

impl<'a> Value<'a> {
    pub(super) fn list(items: impl Iterator<Item = Self>) -> Self {
        Self::List(Rc::new(items.collect()))
    }

    pub(super) fn of(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::String(text) => Self::Text(text.into()),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Self::Int(value),
                (None, Some(value)) => Self::Uint(value),
                (None, None) => number.as_f64().map_or(Self::Null, Self::Double),
            },
            Json::Array(_) | Json::Object(_) => Self::Json(json),
        }
    }

    pub(super) fn as_bool(&self) -> Result<bool> {
        if let Self::Bool(value) = self { Ok(*value) } else { Err(NoValue) }
    }

    pub(super) fn as_text(&self) -> Result<&str> {
        if let Self::Text(text) = self { Ok(text) } else { Err(NoValue) }
    }

    /// The items of a list, the names of a map.
    pub(super) fn items(&self) -> Result<Vec<Self>> {
        match self {
            Self::List(items) => Ok(items.to_vec()),
            Self::Json(Json::Array(items)) => Ok(items.iter().map(Self::of).collect()),
            Self::Json(Json::Object(fields)) => Ok(fields.keys().map(|name| Self::Text(name.into())).collect()),
            _ => Err(NoValue),
        }
    }

    pub(super) fn field(&self, name: &str) -> Result<Option<Self>> {
        match self {
            Self::Json(Json::Object(fields)) => Ok(fields.get(name).map(Self::of)),
            _ => Err(NoValue),
        }
    }

    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        let wide = |value: &Self| match value {
            Self::Int(value) => Some(i128::from(*value)),
            Self::Uint(value) => Some(i128::from(*value)),
            _ => None,
        };
        let double = |value: &Self| match value {
            Self::Double(value) => Some(*value),
            other => wide(other).map(|value| value as f64),
        };
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            _ => match (wide(self), wide(other)) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                _ => double(self)?.partial_cmp(&double(other)?),
            },
        }
    }
}
