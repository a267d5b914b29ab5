//! Events of subscriptions that are not searches.

use std::sync::Arc;

use async_graphql::SimpleObject;
use dfuse_antelope::model::Block;
use dfuse_index::BlockRef;
use dfuse_query::{ApiError, ApiResult};

use super::{BlockHeader, DbOp, TransactionTrace, Uint32, call::actions};
use crate::source::{Source, Trace};

/// What a block does to the rows of a table, or takes back.
#[derive(SimpleObject)]
pub(crate) struct TableDeltasResponse {
    /// Whether it was sent before and is taken back: its block was undone.
    pub(crate) undo: bool,
    /// What comes after it begins here.
    pub(crate) cursor: String,
    /// Whether its block can no longer be undone.
    pub(crate) is_irreversible: bool,
    /// The newest block that could not be undone by then.
    pub(crate) irreversible_block_num: Uint32,
    /// Its block.
    pub(crate) block: BlockHeader,
    /// The changes in the order of execution, or in the opposite one if they are taken back; none if the stream only tells how far
    /// it is. Those without a transaction come last then, or first.
    pub(crate) deltas: Vec<TableDelta>,
}

/// A change of a row of a table.
#[derive(SimpleObject)]
pub(crate) struct TableDelta {
    /// The transaction that made it; absent if the source of the chain does not tell which one did.
    pub(crate) trace: Option<TransactionTrace>,
    /// The change. If its block was undone, it has to be applied the other way round.
    pub(crate) db_op: DbOp,
}

impl TableDeltasResponse {
    /// The changes at these places of a block, as final as can be.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn new(source: &Arc<Source>, block: &Block, places: &[(usize, usize)]) -> ApiResult<Self> {
        let reference = BlockRef { number: block.number, id: block.id };
        let delta = |(transaction, op): &(usize, usize)| match block.row_operation(*transaction, *op) {
            Some((Some(_), _)) => {
                let position = u32::try_from(*transaction).unwrap_or(u32::MAX);
                let trace = source.trace(reference, position)?;
                let db_op = DbOp::new(source, &trace, *op);
                Ok(TableDelta { trace: Some(TransactionTrace::new(source, reference, position, trace.id)), db_op })
            }
            Some((None, own)) => {
                Ok(TableDelta { trace: None, db_op: DbOp::new(source, &Trace::of_row(block.number, own.clone()), 0) })
            }
            None => Err(ApiError::unexpected(format!("block {reference} has no change {op} in {transaction}"))),
        };
        let deltas = places.iter().map(delta).collect::<ApiResult<_>>()?;
        Ok(Self {
            undo: false,
            cursor: String::new(),
            is_irreversible: true,
            irreversible_block_num: block.number.into(),
            block: BlockHeader::new(source, reference),
            deltas: actions(source, deltas)?,
        })
    }
}

/// A head of the chain.
#[derive(SimpleObject)]
pub(crate) struct HeadResponse {
    /// The block; with confirmations, the newest one that has them.
    block: BlockHeader,
    /// The last block that can no longer be undone, which is never above it.
    irreversible_block_num: Uint32,
    /// The id of that one.
    #[graphql(name = "irreversibleBlockID")]
    irreversible_block_id: String,
}

impl HeadResponse {
    /// Of a head and the last irreversible block then.
    pub(crate) fn new(source: &Arc<Source>, head: BlockRef, lib: BlockRef) -> Self {
        Self {
            block: BlockHeader::new(source, head),
            irreversible_block_num: lib.number.into(),
            irreversible_block_id: lib.id.to_string(),
        }
    }
}
