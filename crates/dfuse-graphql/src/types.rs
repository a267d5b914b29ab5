//! Objects, enums and scalars of the schema.

mod action;
mod block;
mod blocks;
mod call;
mod coverage;
mod deferred;
mod enums;
mod exception;
mod height;
mod history;
mod lifecycle;
mod operations;
mod scalars;
mod search;
mod state;
mod streams;
mod tokens;
mod transaction;

pub(crate) use action::ActionTrace;
pub(crate) use block::Block;
pub(crate) use blocks::{BlockHeader, BlockIdResponse, BlockRootMerkle, PageInfo};
pub(crate) use coverage::{ResultCoverage, SearchCoverage, SearchDetail};
pub(crate) use deferred::Transaction;
pub(crate) use enums::{
    AccountBalanceOption, AccountBalancesSortField, ActionSortOrder, AssetFormat, Comparator, DbOperation,
    DtrxOperation, RamAction, RamFamily, RamOperation, SortOrder, TableOperation, TokenBalancesSortField,
    TokensSortField, TransactionLifecycleStatus, TransactionStatus, Uint64Encoding,
};
pub(crate) use height::StateHeight;
pub(crate) use history::{AccountHistoryActionsConnection, SimpleActionTrace, SimpleActionTraceEdge};
pub(crate) use lifecycle::TransactionLifecycle;
pub(crate) use operations::{DbOp, DecodedObject, DtrxOp, RamOp, TableOp};
pub(crate) use scalars::{Int64, Json, Time, Uint32, Uint64};
pub(crate) use search::{
    SearchCountResponse, SearchTransactionBackwardResponse, SearchTransactionForwardResponse,
    SearchTransactionsBackwardResponse, SearchTransactionsForwardResponse,
};
pub(crate) use state::{Table, TableDiffResponse, TableRowDiff, TableRowResponse, TableRowsResponse};
pub(crate) use streams::{HeadResponse, TableDeltasResponse};
pub(crate) use tokens::{AccountBalanceConnection, TokenConnection};
pub(crate) use transaction::TransactionTrace;
