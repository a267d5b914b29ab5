//! A block with what ran in it.

use std::sync::Arc;

use async_graphql::{Object, SimpleObject};
use dfuse_blocks::CursorKind;
use dfuse_index::BlockRef;
use dfuse_query::{
    ApiError, ApiResult, ErrorCode, ListCursor,
    blocks::BlockFrame,
    transactions::{cursor_of, place_of},
};
use dfuse_trx::Place;
use serde_json::json;

use super::{BlockHeader, BlockRootMerkle, PageInfo, TransactionTrace, Uint32};
use crate::source::Source;

/// Most transactions of a page, and how many there are where nothing is asked for.
const MAX_PAGE: u32 = 100;

/// A block.
pub(crate) struct Block {
    pub(crate) source: Arc<Source>,
    pub(crate) frame: BlockFrame,
}

impl Block {
    fn reference(&self) -> BlockRef {
        BlockRef { number: self.frame.block.number, id: self.frame.block.id }
    }

    fn place(&self, position: u32) -> Place {
        Place { block_number: self.frame.block.number, position }
    }

    /// The position that a cursor is of.
    fn position(&self, name: &'static str, cursor: Option<&str>) -> ApiResult<Option<u32>> {
        let service = self.source.request().read().service();
        let Some(text) = cursor.filter(|text| !text.is_empty()) else { return Ok(None) };
        let opened = ListCursor::open(service, CursorKind::Transactions, text);
        let opened = opened.map_err(|problem| ApiError::invalid_parameter(name, &problem))?;
        let place = opened.and_then(|cursor| place_of(&cursor, Some(self.frame.block.id)));
        let place = place.ok_or_else(|| ApiError::invalid_parameter(name, "is the cursor of another list"))?;
        Ok(Some(place.position))
    }
}

/// A page asked for from either end.
struct Ends {
    first: Option<u32>,
    last: Option<u32>,
}

impl Ends {
    fn check(self) -> ApiResult<Self> {
        let wrong = |message: &'static str| {
            let errors = json!({"first": [message], "last": [message]});
            Err(ApiError::new(ErrorCode::RequestValidation, message).detail("errors", errors))
        };
        match (self.first.unwrap_or(0), self.last.unwrap_or(0)) {
            (1.., 1..) => wrong("cannot used first and last arguments together"),
            (first, last) if first.max(last) > MAX_PAGE => {
                wrong("invalid first or last argument for this query: max 100")
            }
            (0, 0) => Ok(Self { first: Some(MAX_PAGE), last: None }),
            (0, last) => Ok(Self { first: None, last: Some(last) }),
            (first, _) => Ok(Self { first: Some(first), last: None }),
        }
    }
}

/// A block.
#[Object]
impl Block {
    /// Its id.
    async fn id(&self) -> String {
        self.frame.block.id.to_string()
    }

    /// Its height.
    async fn num(&self) -> Uint32 {
        self.frame.block.number.into()
    }

    /// The last irreversible block, as this one knows it.
    #[graphql(name = "dposLIBNum")]
    async fn dpos_lib_num(&self) -> Uint32 {
        self.frame.block.lib_num().into()
    }

    /// Whether it can no longer be undone.
    async fn irreversible(&self) -> bool {
        self.frame.is_irreversible
    }

    /// Its header.
    async fn header(&self) -> BlockHeader {
        BlockHeader::new(&self.source, self.reference())
    }

    /// The Merkle tree of the ids of all blocks before.
    async fn merkle_root(&self) -> BlockRootMerkle {
        self.frame.block.blockroot_merkle.clone().unwrap_or_default().into()
    }

    /// How many transactions it names.
    async fn executed_transaction_count(&self) -> Uint32 {
        self.frame.block.unfiltered_transaction_count.into()
    }

    /// The transactions that ran in it, in the order of execution, those of the chain itself among them.
    async fn transaction_traces(
        &self,
        #[graphql(desc = "So many of them, from the front; at most 100.")] first: Option<Uint32>,
        #[graphql(desc = "So many of them, up to the end; at most 100.")] last: Option<Uint32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> ApiResult<TransactionTraceConnection> {
        let ends = Ends { first: first.map(|it| it.0), last: last.map(|it| it.0) }.check()?;
        let before = self.position("before", before.as_deref())?;
        let after = self.position("after", after.as_deref())?;
        let ids = self.frame.parts.trace_ids().collect::<Result<Vec<_>, _>>().map_err(ApiError::unexpected)?;
        let all = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let (from, to) = (after.map_or(0, |after| after.saturating_add(1)), before.unwrap_or(all).min(all));
        let (from, to) = match ends {
            Ends { last: Some(last), .. } => (from.max(to.saturating_sub(last)), to),
            Ends { first, .. } => (from, to.min(from.saturating_add(first.unwrap_or(MAX_PAGE)))),
        };
        let service = self.source.request().read().service();
        let edge = |(position, id): (u32, &_)| TransactionTraceEdge {
            cursor: cursor_of(service, self.place(position), self.frame.block.id),
            node: TransactionTrace::new(&self.source, self.reference(), position, *id),
        };
        let listed = (0..).zip(&ids).filter(|(position, _)| (from..to).contains(position));
        let edges: Vec<_> = listed.map(edge).collect();
        self.source.request().count(edges.len());
        let page_info = PageInfo::new(edges.iter().map(|edge| &edge.cursor), to < all, from > 0 && from <= all);
        Ok(TransactionTraceConnection { edges: edges.into_iter().map(Some).collect(), page_info })
    }
}

/// Some transactions of a block.
#[derive(SimpleObject)]
pub(crate) struct TransactionTraceConnection {
    /// The transactions.
    edges: Vec<Option<TransactionTraceEdge>>,
    /// Where they are among all.
    page_info: PageInfo,
}

/// A transaction of a block.
#[derive(SimpleObject)]
pub(crate) struct TransactionTraceEdge {
    /// What comes after it begins here.
    cursor: String,
    /// The transaction.
    node: TransactionTrace,
}
