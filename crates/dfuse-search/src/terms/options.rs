use std::collections::BTreeSet;

use dfuse_antelope::{Checksum256, Name};

use crate::{field::Field, filter::Filter};

/// Which terms are indexed. Whoever changes it must build the index again; opening the old one is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TermOptions {
    /// First segments of the paths below `data.` that are indexed; all of them if absent.
    pub data_fields: Option<BTreeSet<String>>,
    /// Whether `act_digest` is indexed: a term for every action, which costs some 20 bytes each.
    pub act_digest: bool,
    /// The action whose parameters become `event.*` terms of the action that called it; none by default.
    pub events: Option<EventAction>,
    /// Which actions are indexed; `eosio:setabi` also if it passes as a system action only. All of them by default.
    pub filter: Filter,
}

/// The action by which contracts tell of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventAction {
    /// Its contract.
    pub contract: Name,
    /// Its name.
    pub action: Name,
    /// Without limits on number and length of keys and values.
    pub unrestricted: bool,
}

impl TermOptions {
    /// Whether a query may name the field.
    pub fn has(&self, field: &str) -> bool {
        Field::parse(field).is_some_and(|field| self.has_field(&field))
    }

    /// Whether the field can be searched.
    pub(crate) fn has_field(&self, field: &Field) -> bool {
        match field {
            Field::Data(path) => self.has_data(path),
            Field::ActDigest => self.act_digest,
            _ => true,
        }
    }

    /// The setting that keeps a field from being searched; absent if the field can be searched, or if no setting would help.
    pub fn missing_setting(&self, field: &str) -> Option<&'static str> {
        match Field::parse(field).filter(|field| !self.has_field(field))? {
            Field::ActDigest => Some("search.act_digest"),
            Field::Data(_) => Some("search.data_fields"),
            _ => None,
        }
    }

    pub(super) fn has_data(&self, path: &str) -> bool {
        let first = path.split('.').next().unwrap_or_default();
        self.data_fields.as_ref().is_none_or(|fields| fields.contains(first))
    }

    /// A digest that other options do not have; absent for the default ones.
    pub(crate) fn identity(&self) -> Option<Checksum256> {
        if *self == Self::default() {
            return None;
        }
        let Self { data_fields, act_digest, events, filter } = self;
        let fields = data_fields.as_ref().map(|fields| Vec::from_iter(fields.iter().map(String::as_str)).join(" "));
        let events = events.as_ref().map(|it| format!("{} {} {}", it.contract, it.action, it.unrestricted));
        let line = |text: Option<String>| text.map_or("-".to_owned(), |text| format!("={text}"));
        let (fields, events, filter) = (line(fields), line(events), filter.identity());
        Some(Checksum256::sha256(format!("{fields}\n{act_digest}\n{events}\n{filter}").as_bytes()))
    }
}
