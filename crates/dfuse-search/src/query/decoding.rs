//! Which actions a query can tell apart only by their decoded data.

use std::collections::BTreeSet;

use dfuse_antelope::Name;

use super::{
    Query,
    expr::{Expr, Value},
};
use crate::{TermOptions, field::Field};

/// The contracts whose ABIs decide what a query finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodedContracts {
    /// These; none at all if nothing decoded is asked for.
    Of(BTreeSet<Name>),
    /// Any contract.
    Any,
}

impl DecodedContracts {
    const NONE: Self = Self::Of(BTreeSet::new());

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Of(mut contracts), Self::Of(others)) => {
                contracts.extend(others);
                Self::Of(contracts)
            }
            _ => Self::Any,
        }
    }

    /// Of these those that are among `others`, too.
    fn among(self, others: &BTreeSet<Name>) -> Self {
        match self {
            Self::Of(contracts) => Self::Of(contracts.intersection(others).copied().collect()),
            Self::Any => Self::Of(others.clone()),
        }
    }
}

impl Query {
    /// The contracts whose ABIs decide what the query finds in an index with these options: those of the actions whose
    /// `data.*` is asked for, those that tell of events, and all where a filter looks at data.
    pub fn decoded_contracts(&self, options: &TermOptions) -> DecodedContracts {
        if options.filter.reads_data() { DecodedContracts::Any } else { self.expr().decoded(options) }
    }
}

impl Expr {
    fn decoded(&self, options: &TermOptions) -> DecodedContracts {
        let all = |operands: &mut dyn Iterator<Item = &Self>| {
            operands.fold(DecodedContracts::NONE, |sum, operand| sum.and(operand.decoded(options)))
        };
        match self {
            Self::Match { field, .. } => match (Field::parse(field), &options.events) {
                (Some(Field::Data(_)), _) => DecodedContracts::Any,
                (Some(Field::Event(_)), Some(events)) => DecodedContracts::Of([events.contract].into()),
                _ => DecodedContracts::NONE,
            },
            Self::Not(operand) => operand.decoded(options),
            Self::Or(operands) => all(&mut operands.iter()),
            Self::And(operands) => {
                // Events are told by another contract than the action's.
                let (events, others): (Vec<_>, Vec<_>) = operands.iter().partition(|operand| operand.asks_for_event());
                let (events, others) = (all(&mut events.into_iter()), all(&mut others.into_iter()));
                let within = operands.iter().filter_map(Self::contracts);
                within.fold(others, |decoded, contracts| decoded.among(&contracts)).and(events)
            }
        }
    }

    fn asks_for_event(&self) -> bool {
        let mut found = false;
        self.visit(&mut |field, _| found |= matches!(Field::parse(field), Some(Field::Event(_))));
        found
    }

    /// The contracts that an action must be of one of; absent if it may be of any.
    fn contracts(&self) -> Option<BTreeSet<Name>> {
        let Self::Match { field, values } = self else { return None };
        if Field::parse(field) != Some(Field::Account) || values.iter().any(|value| matches!(value, Value::Prefix(_))) {
            return None;
        }
        let names = values.iter().map(|value| match value {
            Value::Text(text) | Value::Prefix(text) => &**text,
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
        });
        // What is no name is no contract's.
        Some(names.filter_map(|name| name.parse().ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventAction, Filter};

    fn decoded(query: &str, options: &TermOptions) -> DecodedContracts {
        Query::parse(query, options).unwrap().decoded_contracts(options)
    }

    fn of(contracts: &[&str]) -> DecodedContracts {
        DecodedContracts::Of(contracts.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn of_which_contracts_data_is_asked_for() {
        let options = TermOptions::default();
        for (query, expected) in [
            ("action:transfer", of(&[])),
            ("-(auth:bob OR db.table:rows) block_num:5-", of(&[])),
            ("event.key:x", of(&[])),
            ("account:token data.to:bob", of(&["token"])),
            ("account:[token, other, \"Not a name\"] -data.to:bob", of(&["other", "token"])),
            ("account:token (data.to:bob OR data.from:bob)", of(&["token"])),
            ("(account:a data.x:1) OR (account:b data.y:*) OR account:c", of(&["a", "b"])),
            ("account:[a, b] account:[b, c] data.x:1", of(&["b"])),
            ("account:[a, b] ((account:b data.x:1) OR account:c)", of(&["b"])),
            ("account:true data.x:1", of(&["true"])),
        ] {
            assert_eq!(decoded(query, &options), expected, "{query}");
        }
        for query in [
            "data.to:bob",
            "-data.to:bob",
            "receiver:token data.to:bob",
            "account:tok* data.to:bob",
            "-account:token data.to:bob",
            "account:token OR data.to:bob",
            "account:a (account:b OR -data.x:*) OR data.y:1",
        ] {
            assert_eq!(decoded(query, &options), DecodedContracts::Any, "{query}");
        }
    }

    #[test]
    fn events_and_filters_are_decoded_too() {
        let event =
            EventAction { contract: Name::literal("events"), action: Name::literal("tell"), unrestricted: false };
        let options = TermOptions { events: Some(event), ..TermOptions::default() };
        assert_eq!(decoded("account:a event.key:x", &options), of(&["events"]));
        assert_eq!(decoded("account:a data.x:1 -event.key:x", &options), of(&["a", "events"]));
        for (include, exclude, decoded_any) in [
            ("data.to == 'bob'", "", true),
            ("*", "[1].exists(a, has(data.to))", true),
            ("receiver == 'data'", "", false),
        ] {
            let options = TermOptions { filter: Filter::new(include, exclude, "").unwrap(), ..TermOptions::default() };
            let expected = if decoded_any { DecodedContracts::Any } else { of(&[]) };
            assert_eq!(decoded("action:transfer", &options), expected, "{include} {exclude}");
        }
    }
}
