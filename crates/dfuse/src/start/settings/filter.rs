//! Which transactions are kept, and which actions are indexed: programs over actions.

use dfuse_search::{Filter as Programs, FilterError, SYSTEM_ACTIONS};
use serde::{Deserialize, Serialize};

use super::section::section;
use crate::failure::usage;

section! {
    /// Which transactions are kept.
    pub(crate) struct Filter in "filter."
    {
        /// Which transactions of the source are kept, by their actions: a CEL expression over receiver, account, action, auth, data
        /// and others, or several expressions that apply from given blocks on. Others are left out before blocks are written;
        /// what they changed in the chain's state is kept. See docs/filters.md. Flag: --include
        include: String = "*".to_owned(),
        /// Which of the included actions do not count, in the same form. Flag: --exclude
        exclude: String = String::new(),
        /// System actions that count in any case, in the same form
        system: String = SYSTEM_ACTIONS.to_owned(),
    }
}

impl Filter {
    /// The programs.
    ///
    /// # Errors
    /// What is wrong with one of them, and where.
    pub(crate) fn programs(&self) -> anyhow::Result<Programs> {
        programs("filter", [&self.include, &self.exclude, &self.system])
    }
}

/// The programs of a section.
///
/// # Errors
/// What is wrong with one of them, and where.
pub(super) fn programs(section: &str, [include, exclude, system]: [&str; 3]) -> anyhow::Result<Programs> {
    // One after the other, to tell which is wrong.
    let wrong = |name: &str, error: FilterError| usage(format!("setting \"{section}.{name}\": {error}"));
    Programs::new(include, "", "").map_err(|error| wrong("include", error))?;
    Programs::new("", exclude, "").map_err(|error| wrong("exclude", error))?;
    Programs::new(include, exclude, system).map_err(|error| wrong("system", error))
}
