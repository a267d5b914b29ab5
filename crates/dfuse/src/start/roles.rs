//! What this process does of what dfuse does: one process does all, or several machines share it.

use dfuse_query::nearest;

use super::settings::{Publish, Settings};
use crate::failure::usage;

/// A role. Parts that belong to none of those that a process has do not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Takes blocks from a source into the block store, and sends them to other machines.
    Ingest,
    /// Builds indexes of the blocks.
    Index,
    /// Answers clients, for which it has indexes of its own.
    Api,
}

const ALL: [(&str, Role); 3] = [("ingest", Role::Ingest), ("index", Role::Index), ("api", Role::Api)];

/// The roles of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Takes blocks from a source, and writes the block store.
    pub(crate) ingest: bool,
    /// Follows the blocks with indexes.
    pub(crate) index: bool,
    /// Answers clients.
    pub(crate) api: bool,
}

impl Roles {
    /// All of them.
    pub(crate) const ALL: Self = Self { ingest: true, index: true, api: true };

    /// Those of the settings, with which they must go together.
    ///
    /// # Errors
    /// What does not, and what to do.
    pub(crate) fn of(settings: &Settings) -> anyhow::Result<Self> {
        let roles = Self::parse(&settings.roles)?;
        roles.check(settings)?;
        Ok(roles)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut roles = Self { ingest: false, index: false, api: false };
        for name in text.split([',', ' ']).filter(|name| !name.is_empty()) {
            let Some((_, role)) = ALL.iter().find(|(known, _)| *known == name) else {
                let near = nearest(name, ALL.map(|(known, _)| known));
                let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
                return Err(usage(format!("\"{name}\" is not a role{near}; the roles are ingest, index and api")));
            };
            match role {
                Role::Ingest => roles.ingest = true,
                Role::Index => roles.index = true,
                // It answers from indexes of its own.
                Role::Api => (roles.index, roles.api) = (true, true),
            }
        }
        if roles == (Self { ingest: false, index: false, api: false }) {
            return Err(usage("a process without a role does nothing: name some of ingest, index and api in roles"));
        }
        Ok(roles)
    }

    /// Whether other machines do something of the work.
    pub(crate) fn are_of_several(self, settings: &Settings) -> bool {
        self != Self::ALL || settings.machines.name.is_some()
    }

    /// What is sent before it is written is lost with its machine, unless another one has it.
    fn check_publish(self, settings: &Settings) -> anyhow::Result<()> {
        if settings.machines.publish == Publish::WhenDurable {
            return Ok(());
        }
        let why = if !self.ingest {
            "only machines with the role ingest send blocks: leave it out here"
        } else if !self.are_of_several(settings) || settings.machines.ingests.len() < 2 {
            "a block could be lost with this machine: run two or more machines with the role ingest, each with its node, and name all \
             of them in machines.ingests; or set it to \"when-durable\""
        } else {
            return Ok(());
        };
        Err(usage(format!("setting \"machines.publish\" is \"on-arrival\": {why}")))
    }

    fn check(self, settings: &Settings) -> anyhow::Result<()> {
        self.check_publish(settings)?;
        if !self.are_of_several(settings) {
            return Ok(());
        }
        let machines = &settings.machines;
        let roles = &settings.roles;
        let Some(name) = &machines.name else {
            return Err(usage(format!(
                "with the roles {roles} this is one of several machines: give each its own name in machines.name"
            )));
        };
        let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
        if name.is_empty() || !name.chars().all(is_allowed) {
            return Err(usage(format!("machines.name \"{name}\" must be of letters, digits, _ and . only")));
        }
        if settings.blocks.store.is_none() {
            return Err(usage(format!(
                "the machine \"{name}\" is one of several, which share a block store: name it in blocks.store"
            )));
        }
        machines.endpoints()?;
        if !self.ingest {
            if settings.source != Settings::default().source {
                return Err(usage(format!(
                    "with the roles {roles}, blocks come from machines with the role ingest, and none from a source: leave \
                     source (\"{}\") out, or add the role ingest",
                    settings.source
                )));
            }
            if self.api && machines.ingests.is_empty() {
                return Err(usage(format!(
                    "with the roles {roles}, live blocks come from machines with the role ingest: name all of them in \
                     machines.ingests"
                )));
            }
        }
        if !self.index && settings.snapshot.is_some() {
            return Err(usage(
                "a snapshot is state of indexes, which this machine does not have: give it to machines with the role api or \
                 index, and set blocks.first_block to the block after it here",
            ));
        }
        if self.api && settings.cursor_keys.is_empty() {
            return Err(usage(format!(
                "the machine \"{name}\" is one of several, and clients continue at another one: set cursor_keys, the same on all"
            )));
        }
        if self.api && settings.access.signing_keys.is_empty() {
            return Err(usage(format!(
                "the machine \"{name}\" is one of several, and tokens of one count at all: set access.signing_keys, the same on \
                 all"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(roles: &str, change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings { roles: roles.to_owned(), ..Settings::default() };
        settings.machines.name = Some("a".to_owned());
        settings.blocks.store = Some("/store".to_owned());
        settings.machines.ingests = vec!["10.0.0.1:9000".to_owned()];
        settings.cursor_keys = vec!["00".repeat(32)];
        settings.access.signing_keys = vec!["AA==".to_owned()];
        change(&mut settings);
        settings
    }

    #[test]
    fn roles_are_a_list() {
        let of = |text: &str| Roles::of(&settings(text, |_| ())).unwrap();
        assert_eq!(Roles::of(&Settings::default()).unwrap(), Roles::ALL);
        assert_eq!(of("ingest, index,api"), Roles::ALL);
        assert_eq!(of("api"), Roles { ingest: false, index: true, api: true });
        assert_eq!(of("ingest"), Roles { ingest: true, index: false, api: false });
        assert_eq!(of("index"), Roles { ingest: false, index: true, api: false });
        assert!(!Roles::ALL.are_of_several(&Settings::default()));
        assert!(of("api").are_of_several(&Settings::default()));
        assert!(Roles::ALL.are_of_several(&settings("api,ingest", |_| ())));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let none = |_: &mut Settings| ();
        for (roles, change, message) in [
            ("", none as fn(&mut Settings), "without a role"),
            ("apis", none, "\"apis\" is not a role (did you mean api?)"),
            ("compact", none, "\"compact\" is not a role; the roles are"),
            ("api", |settings| settings.machines.name = None, "machines.name"),
            ("api", |settings| settings.machines.name = Some("a-b".to_owned()), "letters, digits"),
            ("ingest", |settings| settings.blocks.store = None, "name it in blocks.store"),
            ("ingest,api", |settings| settings.blocks.store = None, "name it in blocks.store"),
            ("api", |settings| settings.source = "nodeos".to_owned(), "leave source (\"nodeos\") out"),
            ("api", |settings| settings.machines.ingests.clear(), "name all of them in machines.ingests"),
            ("api", |settings| settings.machines.ingests.push("x".to_owned()), "the port is missing"),
            ("api", |settings| settings.machines.ingests.push("10.0.0.1:9000".to_owned()), "is there twice"),
            ("ingest", |settings| settings.snapshot = Some("x".to_owned()), "a snapshot is state of indexes"),
            ("api,ingest", |settings| settings.cursor_keys.clear(), "set cursor_keys"),
            ("api", |settings| settings.access.signing_keys.clear(), "set access.signing_keys"),
            ("api", |settings| settings.machines.publish = Publish::OnArrival, "leave it out here"),
            ("ingest", |settings| settings.machines.publish = Publish::OnArrival, "run two or more machines"),
        ] {
            let error = Roles::of(&settings(roles, change)).unwrap_err();
            assert!(error.is::<crate::UsageError>() && error.to_string().contains(message), "{roles}: {error}");
        }
        // It has no clients to whom cursors and tokens matter, and can do without live blocks.
        let change = |settings: &mut Settings| {
            settings.cursor_keys.clear();
            settings.access.signing_keys.clear();
            settings.machines.ingests.clear();
        };
        Roles::of(&settings("index", change)).unwrap();
        Roles::of(&settings("ingest", change)).unwrap();
    }
}
