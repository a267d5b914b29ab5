//! What the source of blocks did not tell, and answers over them therefore lack.
//!
//! State history says what a block changed, and not which action did. An operation is in the trace of an action only if no other one can
//! have done it: searches for operations, and answers with them, have these only.

use std::{collections::BTreeSet, ops::RangeInclusive};

use dfuse_index::{View, blocks};

use crate::ApiResult;

/// What an answer may lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    /// What was asked for of it, by the names in the request.
    pub fields: BTreeSet<String>,
    /// The first and the last block that it is about.
    pub blocks: RangeInclusive<u32>,
}

impl Untold {
    /// What may be lacking of answers over these blocks that have such fields, if anything may.
    ///
    /// # Errors
    /// Those of reading.
    pub fn of(view: &View, fields: BTreeSet<String>, blocks: &RangeInclusive<u32>) -> ApiResult<Option<Self>> {
        if fields.is_empty() {
            return Ok(None);
        }
        let blocks = blocks::of_state_history(view, blocks.clone())?;
        Ok(blocks.map(|blocks| Self { fields, blocks }))
    }

    /// Why: the kind of source.
    pub fn reason(&self) -> &'static str {
        "state_history"
    }

    /// The same for people.
    pub fn message(&self) -> String {
        let fields: Vec<_> = self.fields.iter().map(String::as_str).collect();
        format!(
            "Blocks {} to {} come from state history, which does not say which action changed what: {} can only tell what no other \
             action can have done, and RAM as a sum for each action and account.",
            self.blocks.start(),
            self.blocks.end(),
            fields.join(", ")
        )
    }
}
