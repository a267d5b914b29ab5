//! Enums.

use async_graphql::Enum;
use dfuse_query::blocks::TimeComparison;

/// Where a block is, as seen from a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "COMPARATOR", rename_items = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Comparator {
    /// At the time, or the first one after it.
    Gte,
    /// The first one after it.
    Gt,
    /// At the time, or the last one before it.
    Lte,
    /// The last one before it.
    Lt,
    /// At the time.
    Eq,
}

impl From<Comparator> for TimeComparison {
    fn from(comparator: Comparator) -> Self {
        match comparator {
            Comparator::Gte => Self::AtOrAfter,
            Comparator::Gt => Self::After,
            Comparator::Lte => Self::AtOrBefore,
            Comparator::Lt => Self::Before,
            Comparator::Eq => Self::At,
        }
    }
}
