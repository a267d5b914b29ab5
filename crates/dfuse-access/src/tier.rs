use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Error, Rate, Result};

/// Routes that are allowed and limited together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteClass {
    /// One thing by its name: a transaction, a block, a row.
    LookUp,
    /// Lists: tables, scopes, blocks, transactions.
    List,
    /// Searches and counts, whose cost depends on what is asked for.
    Search,
    /// Connections and streams.
    Stream,
    /// `/v1/chain/*`, which nodes answer.
    Chain,
    /// Transactions pushed with a guarantee.
    Push,
    /// What only the explorer asks for.
    Explorer,
}

impl RouteClass {
    /// Every class.
    pub const ALL: [Self; 7] =
        [Self::LookUp, Self::List, Self::Search, Self::Stream, Self::Chain, Self::Push, Self::Explorer];

    /// As it is written in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::LookUp => "look_up",
            Self::List => "list",
            Self::Search => "search",
            Self::Stream => "stream",
            Self::Chain => "chain",
            Self::Push => "push",
            Self::Explorer => "explorer",
        }
    }
}

/// A tier as it is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TierOptions {
    /// Its name.
    pub name: String,
    /// Classes of routes that it has; all of them if none is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteClass>,
    /// How many blocks below the head it may read; all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<u32>,
    /// Requests of each class that a key may make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The same for single classes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<RouteClass, Rate>,
    /// Requests of each class that one address may make with a key, or without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_rate: Option<Rate>,
    /// The same for single classes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub address_rates: BTreeMap<RouteClass, Rate>,
    /// Connections for streams that a key may have open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// Streams that a key may have open, over all its connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_streams: Option<u32>,
}

/// What callers of a tier may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    name: String,
    routes: [bool; RouteClass::ALL.len()],
    history: Option<u32>,
    rates: [Option<Rate>; RouteClass::ALL.len()],
    address_rates: [Option<Rate>; RouteClass::ALL.len()],
    max_connections: Option<u32>,
    max_streams: Option<u32>,
}

impl Tier {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has these routes.
    pub fn has(&self, class: RouteClass) -> bool {
        self.routes[class as usize]
    }

    /// How many blocks below the head it may read.
    pub fn history(&self) -> Option<u32> {
        self.history
    }

    /// Requests of the class that a key may make.
    pub fn rate(&self, class: RouteClass) -> Option<Rate> {
        self.rates[class as usize]
    }

    /// Requests of the class that one address may make.
    pub fn address_rate(&self, class: RouteClass) -> Option<Rate> {
        self.address_rates[class as usize]
    }

    /// Connections for streams.
    pub fn max_connections(&self) -> Option<u32> {
        self.max_connections
    }

    /// Streams over all connections.
    pub fn max_streams(&self) -> Option<u32> {
        self.max_streams
    }

    fn new(options: &TierOptions) -> Self {
        let has = |class| options.routes.is_empty() || options.routes.contains(&class);
        let rates = |all: Option<Rate>, single: &BTreeMap<RouteClass, Rate>| {
            RouteClass::ALL.map(|class| single.get(&class).copied().or(all))
        };
        Self {
            name: options.name.clone(),
            routes: RouteClass::ALL.map(has),
            history: options.history,
            rates: rates(options.rate, &options.rates),
            address_rates: rates(options.address_rate, &options.address_rates),
            max_connections: options.max_connections,
            max_streams: options.max_streams,
        }
    }
}

/// The table of tiers.
#[derive(Debug, Clone)]
pub struct Tiers {
    tiers: Vec<Arc<Tier>>,
    unlimited: Arc<Tier>,
    anonymous: Arc<Tier>,
}

impl Tiers {
    /// The tier of whoever has none: every route, all history, no limits.
    pub const UNLIMITED: &'static str = "unlimited";
    /// The tier of callers without a token, unless the table has another of this name.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// The table with these tiers.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a name is missing, stands twice, or is that of the tier without limits.
    pub fn new(options: &[TierOptions]) -> Result<Self> {
        let mut tiers: Vec<Arc<Tier>> = Vec::new();
        for option in options {
            let name = &option.name;
            let why = if name.trim().is_empty() {
                "every tier needs a name".to_owned()
            } else if name == Self::UNLIMITED {
                format!("\"{name}\" is the tier without limits; give this one another name")
            } else if tiers.iter().any(|tier| tier.name == *name) {
                format!("\"{name}\" stands twice; give each tier a name of its own")
            } else {
                tiers.push(Arc::new(Tier::new(option)));
                continue;
            };
            return Err(Error::Invalid(format!("setting \"access.tiers\": {why}")));
        }
        let unlimited = TierOptions { name: Self::UNLIMITED.to_owned(), ..TierOptions::default() };
        let anonymous = tiers.iter().find(|tier| tier.name == Self::ANONYMOUS).cloned();
        Ok(Self {
            unlimited: Arc::new(Tier::new(&unlimited)),
            anonymous: anonymous.unwrap_or_else(|| Arc::new(Tier::new(&default_anonymous()))),
            tiers,
        })
    }

    /// The tier of this name; that without limits if there is none. Nothing if the table does not have it.
    pub fn find(&self, name: Option<&str>) -> Option<&Arc<Tier>> {
        match name {
            None | Some(Self::UNLIMITED) => Some(&self.unlimited),
            Some(Self::ANONYMOUS) => Some(&self.anonymous),
            Some(name) => self.tiers.iter().find(|tier| tier.name == name),
        }
    }

    /// The tier without limits.
    pub fn unlimited(&self) -> &Arc<Tier> {
        &self.unlimited
    }

    /// The tier of callers without a token.
    pub fn anonymous(&self) -> &Arc<Tier> {
        &self.anonymous
    }

    /// The first tier of the table that has the routes, which a caller may be told to ask for.
    pub fn with(&self, class: RouteClass) -> &Tier {
        self.tiers.iter().find(|tier| tier.has(class)).unwrap_or(&self.unlimited)
    }

    /// Names of all tiers.
    pub fn names(&self) -> Vec<&str> {
        let named = self.tiers.iter().map(|tier| tier.name.as_str());
        named.chain([Self::UNLIMITED, Self::ANONYMOUS]).collect()
    }
}

/// Lower limits than those of keys usually are: enough to look around.
fn default_anonymous() -> TierOptions {
    let per_second = |requests: u32| Rate::per_second(NonZeroU32::MIN.saturating_add(requests - 1));
    TierOptions {
        name: Tiers::ANONYMOUS.to_owned(),
        address_rate: Some(per_second(10)),
        address_rates: [(RouteClass::Search, per_second(2)), (RouteClass::Push, per_second(1))].into(),
        max_connections: Some(2),
        max_streams: Some(12),
        ..TierOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &str) -> TierOptions {
        TierOptions { name: name.to_owned(), ..TierOptions::default() }
    }

    #[test]
    fn what_tiers_have() {
        let free = TierOptions {
            routes: vec![RouteClass::LookUp, RouteClass::Search],
            history: Some(3600),
            rate: Some("10/s".parse().unwrap()),
            rates: [(RouteClass::Search, "1/s".parse().unwrap())].into(),
            ..options("free-v1")
        };
        let tiers = Tiers::new(&[free, options("eosq-v1")]).unwrap();
        let free = tiers.find(Some("free-v1")).unwrap();
        assert!(free.has(RouteClass::Search) && !free.has(RouteClass::Explorer));
        assert_eq!(free.rate(RouteClass::Search).unwrap().to_string(), "1/s");
        assert_eq!(free.rate(RouteClass::LookUp).unwrap().to_string(), "10/s");
        assert_eq!(tiers.with(RouteClass::Explorer).name(), "eosq-v1");
        assert!(tiers.find(Some("other")).is_none());
        let unlimited = tiers.find(None).unwrap();
        assert!(RouteClass::ALL.iter().all(|class| unlimited.has(*class) && unlimited.rate(*class).is_none()));
        assert!(tiers.anonymous().address_rate(RouteClass::LookUp).is_some());
    }

    #[test]
    fn anonymous_callers_can_have_another_tier() {
        let tiers = Tiers::new(&[TierOptions { history: Some(1), ..options(Tiers::ANONYMOUS) }]).unwrap();
        assert_eq!((tiers.anonymous().history(), tiers.anonymous().address_rate(RouteClass::LookUp)), (Some(1), None));
    }

    #[test]
    fn names_are_unique() {
        for (wrong, message) in [
            (vec![options("")], "needs a name"),
            (vec![options("a"), options("a")], "stands twice"),
            (vec![options("unlimited")], "another name"),
        ] {
            let error = Tiers::new(&wrong).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
