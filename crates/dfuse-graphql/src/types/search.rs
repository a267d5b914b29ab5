//! Results of searches.

use std::sync::Arc;

use async_graphql::SimpleObject;

use super::{BlockHeader, ResultCoverage, SearchCoverage, TransactionTrace, Uint32, Uint64};
use crate::source::Source;

/// A page of results, oldest first.
#[derive(SimpleObject)]
pub(crate) struct SearchTransactionsForwardResponse {
    /// Where the next page begins; absent if nothing is left in the range.
    pub(crate) cursor: Option<String>,
    /// The results.
    pub(crate) results: Option<Vec<SearchTransactionForwardResponse>>,
    /// What the results may lack.
    #[graphql(flatten)]
    pub(crate) coverage: SearchCoverage,
}

/// A page of results, newest first.
#[derive(SimpleObject)]
pub(crate) struct SearchTransactionsBackwardResponse {
    /// Where the next page begins.
    pub(crate) cursor: String,
    /// The results.
    pub(crate) results: Option<Vec<SearchTransactionBackwardResponse>>,
    /// What the results may lack.
    #[graphql(flatten)]
    pub(crate) coverage: SearchCoverage,
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
    /// What the numbers may lack.
    #[graphql(flatten)]
    pub(crate) coverage: SearchCoverage,
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
    /// What the search may lack in its block.
    #[graphql(flatten)]
    pub(crate) coverage: ResultCoverage,
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
    /// What the search may lack in its block.
    #[graphql(flatten)]
    pub(crate) coverage: ResultCoverage,
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
