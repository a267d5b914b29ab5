//! Results of searches.

use std::sync::Arc;

use async_graphql::SimpleObject;
use dfuse_query::Untold;

use super::{BlockHeader, TransactionTrace, Uint32, Uint64};
use crate::source::Source;

/// A page of results, oldest first.
#[derive(SimpleObject)]
pub(crate) struct SearchTransactionsForwardResponse {
    /// Where the next page begins; absent if nothing is left in the range.
    pub(crate) cursor: Option<String>,
    /// The results.
    pub(crate) results: Option<Vec<SearchTransactionForwardResponse>>,
    /// What the results may lack since the source of their blocks did not tell it.
    pub(crate) details: Vec<SearchDetail>,
}

/// A page of results, newest first.
#[derive(SimpleObject)]
pub(crate) struct SearchTransactionsBackwardResponse {
    /// Where the next page begins.
    pub(crate) cursor: String,
    /// The results.
    pub(crate) results: Option<Vec<SearchTransactionBackwardResponse>>,
    /// What the results may lack since the source of their blocks did not tell it.
    pub(crate) details: Vec<SearchDetail>,
}

/// How much a query matches.
#[derive(SimpleObject)]
pub(crate) struct SearchCountResponse {
    /// Transactions with actions that match.
    pub(crate) transactions: Uint64,
    /// Actions that match.
    pub(crate) actions: Uint64,
    /// The first block that was counted; absent if none was.
    pub(crate) low_block_num: Option<Uint32>,
    /// The last block that was counted; absent if none was.
    pub(crate) high_block_num: Option<Uint32>,
    /// Whether all blocks were counted that were asked for. If not, ask again from the block after the last one.
    pub(crate) is_complete: bool,
    /// What the numbers may lack since the source of the blocks did not tell it.
    pub(crate) details: Vec<SearchDetail>,
}

/// What an answer may lack since the source of its blocks did not tell it.
#[derive(SimpleObject)]
pub(crate) struct SearchDetail {
    /// Which kind of source it is: `state_history`.
    pub(crate) reason: String,
    /// The fields of the query that it is about.
    pub(crate) fields: Vec<String>,
    /// The first block that it is about.
    pub(crate) low_block_num: Uint32,
    /// The last block that it is about.
    pub(crate) high_block_num: Uint32,
    /// The same for people.
    pub(crate) message: String,
}

impl SearchDetail {
    /// As a list, which is empty if nothing is lacking.
    pub(crate) fn list(untold: Option<&Untold>) -> Vec<Self> {
        let detail = untold.map(|untold| Self {
            reason: untold.reason().to_owned(),
            fields: untold.fields.iter().cloned().collect(),
            low_block_num: (*untold.blocks.start()).into(),
            high_block_num: (*untold.blocks.end()).into(),
            message: untold.message(),
        });
        detail.into_iter().collect()
    }
}

/// A result, oldest first; without a trace it only tells that the stream has come to the block.
#[derive(SimpleObject)]
pub(crate) struct SearchTransactionForwardResponse {
    /// Whether it was sent before and is taken back: its block was undone.
    pub(crate) undo: bool,
    /// What comes after it begins here.
    pub(crate) cursor: String,
    /// Whether its block can no longer be undone.
    pub(crate) is_irreversible: bool,
    /// The newest block that could not be undone when this was found.
    pub(crate) irreversible_block_num: Uint32,
    /// Its block.
    pub(crate) block: BlockHeader,
    /// The transaction; absent if the result only tells how far the stream is.
    pub(crate) trace: Option<TransactionTrace>,
}

/// A result, newest first.
#[derive(SimpleObject)]
pub(crate) struct SearchTransactionBackwardResponse {
    /// What comes after it begins here.
    pub(crate) cursor: String,
    /// Whether its block can no longer be undone.
    pub(crate) is_irreversible: bool,
    /// The newest block that could not be undone when this was found.
    pub(crate) irreversible_block_num: Uint32,
    /// Its block.
    pub(crate) block: BlockHeader,
    /// The transaction.
    pub(crate) trace: Option<TransactionTrace>,
}

impl TransactionTrace {
    /// Of a match.
    pub(crate) fn found(source: &Arc<Source>, found: &dfuse_search::Match) -> Self {
        Self {
            source: source.clone(),
            block: found.block,
            position: found.transaction,
            id: found.id,
            matching: found.actions.as_slice().into(),
        }
    }
}
