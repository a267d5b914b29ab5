//! Types of expressions.

use std::fmt;

/// What a value is, as far as it is known before an action is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    /// Anything: it turns out when it is evaluated.
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    List(Box<Type>),
    /// By names.
    Map,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "anything",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::List(_) => "a list",
            Self::Map => "a map",
        })
    }
}

impl Type {
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether values of both can be equal.
    pub(super) fn compares_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any | Self::Null, _) | (_, Self::Any | Self::Null) => true,
            (Self::List(own), Self::List(other)) => own.compares_with(other),
            _ => self == other || self.is_number() && other.is_number(),
        }
    }

    pub(super) fn may_be(&self, wanted: &Self) -> bool {
        *self == Self::Any || self == wanted
    }

    /// Of which both are.
    pub(super) fn join(self, other: &Self) -> Self {
        if self == *other { self } else { Self::Any }
    }
}
