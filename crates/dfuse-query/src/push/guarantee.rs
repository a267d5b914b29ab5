//! What a client wants to have happened when its push returns.

use std::{str::FromStr, time::Duration};

use super::options::PushOptions;

/// What must have happened to the transaction's block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// It was on the best chain.
    InBlock,
    /// So many other producers have built on it.
    Handoffs(usize),
    /// It is irreversible.
    Irreversible,
}

impl FromStr for Guarantee {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "in-block" => Self::InBlock,
            "handoff:1" | "handoffs:1" => Self::Handoffs(1),
            "handoff:2" | "handoffs:2" => Self::Handoffs(2),
            "handoff:3" | "handoffs:3" => Self::Handoffs(3),
            "irreversible" => Self::Irreversible,
            _ => return Err(()),
        })
    }
}

impl Guarantee {
    /// As clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InBlock => "in-block",
            Self::Handoffs(1) => "handoff:1",
            Self::Handoffs(2) => "handoff:2",
            Self::Handoffs(_) => "handoff:3",
            Self::Irreversible => "irreversible",
        }
    }

    /// How long to wait for it once the node has the transaction.
    pub(super) fn patience(self, options: &PushOptions) -> Duration {
        match self {
            Self::InBlock => options.in_block_timeout,
            Self::Handoffs(_) => options.handoffs_timeout,
            Self::Irreversible => options.irreversible_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_exact() {
        for (text, guarantee) in [
            ("in-block", Some(Guarantee::InBlock)),
            ("handoff:1", Some(Guarantee::Handoffs(1))),
            ("handoffs:2", Some(Guarantee::Handoffs(2))),
            ("handoff:3", Some(Guarantee::Handoffs(3))),
            ("handoffs:3", Some(Guarantee::Handoffs(3))),
            ("irreversible", Some(Guarantee::Irreversible)),
            ("In-Block", None),
            ("handoff:4", None),
            ("handoff:0", None),
            ("handoffs", None),
            ("in-block ", None),
        ] {
            assert_eq!(text.parse().ok(), guarantee, "{text}");
        }
    }
}
