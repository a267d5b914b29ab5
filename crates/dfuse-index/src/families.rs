use dfuse_kv::Keyspace;

use crate::{Error, Family, Result};

/// Where the families are, and which may be read.
#[derive(Debug, Clone)]
pub(crate) struct Families(Vec<Place>);

#[derive(Debug, Clone)]
struct Place {
    family: Family,
    keyspace: Keyspace,
    /// The index it belongs to.
    index: &'static str,
    readable: bool,
}

impl Families {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn add(&mut self, family: Family, keyspace: Keyspace, index: &'static str, readable: bool) {
        self.0.push(Place { family, keyspace, index, readable });
    }

    /// Whether the families of the index may be read from now on.
    pub(crate) fn set_readable(&mut self, index: &str, readable: bool) {
        self.0.iter_mut().filter(|place| place.index == index).for_each(|place| place.readable = readable);
    }

    fn find(&self, family: Family) -> Result<&Place> {
        // A dozen names of different lengths: faster than any map.
        self.0
            .iter()
            .find(|place| place.family == family)
            .ok_or_else(|| Error::Usage(format!("no index has a family \"{}\"", family.name())))
    }

    /// For writing.
    pub(crate) fn keyspace(&self, family: Family) -> Result<Keyspace> {
        self.find(family).map(|place| place.keyspace)
    }

    /// The family in a keyspace.
    pub(crate) fn family(&self, keyspace: Keyspace) -> Option<Family> {
        self.0.iter().find(|place| place.keyspace == keyspace).map(|place| place.family)
    }

    pub(crate) fn readable(&self, family: Family) -> Result<Keyspace> {
        let place = self.find(family)?;
        if place.readable { Ok(place.keyspace) } else { Err(Error::NotBuilt { index: place.index }) }
    }
}
