//! How much of the chain is kept.

use dfuse_index::Part;
use serde::{Deserialize, Serialize};

use super::section::section;
use crate::failure::usage;

section! {
    /// How much of the chain is kept.
    pub(crate) struct Retention in "retention."
    {
        /// How much history of rows, scopes, keys and permission links to keep: all, or the last blocks or days of the
        /// chain, such as "1000000 blocks" or "90 days". Days are counted back from the time of the last irreversible
        /// block. Requests for earlier blocks get data_not_kept_error. Removed history returns only if everything is
        /// indexed again
        state: String = "all".to_owned(),
        /// How much of the chain searches cover, in the same form. Never more than block_files
        search: String = "all".to_owned(),
        /// How much of the chain transactions are known from, in the same form. Never more than block_files
        transactions: String = "all".to_owned(),
        /// How many block files to keep, in the same form. Files are removed in bundles of 100 blocks, also from an
        /// object store, so set this on only one of the machines that share a store. Streams cannot start at earlier
        /// blocks
        block_files: String = "all".to_owned(),
    }
}

/// How much of something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    All,
    Blocks(u32),
    Days(u32),
}

impl Keep {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (number, unit) = (words.next()?, words.next());
        if words.next().is_some() {
            return None;
        }
        match (number, unit) {
            ("all", None) => Some(Self::All),
            (number, Some(unit)) => {
                let number = number.parse().ok().filter(|number| *number > 0)?;
                match unit {
                    "block" | "blocks" => Some(Self::Blocks(number)),
                    "day" | "days" => Some(Self::Days(number)),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl Retention {
    /// How much is kept of each part.
    pub(crate) fn parts(&self) -> anyhow::Result<[(Part, Keep); 4]> {
        let keep = |part: Part| {
            let text = match part {
                Part::State => &self.state,
                Part::Search => &self.search,
                Part::Transactions => &self.transactions,
                Part::BlockFiles => &self.block_files,
            };
            let parsed = Keep::parse(text).ok_or_else(|| {
                let name = part.name();
                usage(format!(
                    "setting \"retention.{name}\": \"{text}\" is not all, nor a number of blocks or days, such as \"1000000 \
                     blocks\" or \"90 days\""
                ))
            });
            parsed.map(|keep| (part, keep))
        };
        let [state, search, transactions, files] = Part::ALL.map(keep);
        Ok([state?, search?, transactions?, files?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_is_kept() {
        for (text, keep) in [
            ("all", Some(Keep::All)),
            (" 1 block ", Some(Keep::Blocks(1))),
            ("1000000 blocks", Some(Keep::Blocks(1_000_000))),
            ("90  days", Some(Keep::Days(90))),
            ("1 day", Some(Keep::Days(1))),
            ("", None),
            ("90", None),
            ("0 days", None),
            ("-1 days", None),
            ("90 days more", None),
            ("90 hours", None),
            ("5000000000 blocks", None),
            ("all days", None),
        ] {
            assert_eq!(Keep::parse(text), keep, "{text:?}");
        }
        let wrong = Retention { search: "much".to_owned(), ..Retention::default() };
        let error = wrong.parts().unwrap_err().to_string();
        assert!(error.contains("retention.search") && error.contains("\"much\""), "{error}");
        assert!(Retention::default().parts().unwrap().iter().all(|(_, keep)| *keep == Keep::All));
    }
}
