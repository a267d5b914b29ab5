//! Search: the query language, the terms of actions and their index, and the evaluation of queries.
//!
//! A document is one action; a match is a transaction with the actions of it that match. [`SearchIndex`] keeps for every
//! term the actions that have it. [`search`] reads a view of the indexes in either direction, a page at a time, and what
//! ended a page is where the next one begins: a [`Position`], sealed as a cursor for clients. [`Evaluations`] evaluates
//! queries over single blocks as they come, once for all who ask the same. [`resume`] tells what a stream sent of blocks
//! that lost.
//!
//! Everything here is synchronous and may block on a disk: call it from CPU threads.
//!
//! | module | what |
//! |---|---|
//! | `query` | text to a query and its canonical text |
//! | `field`, `terms` | fields and the keys of their terms; the terms of a block |
//! | `filter`, `action_data` | which actions count: programs over an action; its data, decoded |
//! | `posting`, `segment`, `index` | lists of actions as bytes, terms of some blocks as one value, and what the index writes for a block |
//! | `plan`, `lists`, `search` | a query as set algebra, the lists of terms read chunk by chunk, pages and counts |
//! | `cursor`, `range`, `live` | where a stream is, the blocks that are asked for, single blocks as they come and blocks that lost |

mod action_data;
mod budget;
mod cursor;
mod earlier;
mod error;
mod families;
mod field;
mod filter;
mod index;
mod keys;
mod lists;
mod live;
mod parse_error;
mod plan;
mod posting;
mod query;
mod range;
mod search;
mod segment;
mod terms;

pub use action_data::MAX_DATA_BYTES;
pub use budget::{Budget, Pace};
pub use cursor::{Place, Position};
pub use error::{Error, Result};
pub use families::{POSTINGS, SEGMENTS, SPLITS};
pub use field::{MAX_PATH_BYTES, MAX_PREFIX_BYTES, MAX_VALUE_BYTES};
pub use filter::{AbiAt, Filter, FilterError, MAX_FILTER_BYTES, SYSTEM_ACTIONS, Verdict};
pub use index::SearchIndex;
pub use lists::{MAX_PREFIX_TERMS, MAX_QUERY_TERMS};
pub use live::{Evaluations, LiveRow, LiveTail, LostBlocks, Resumed, resume};
pub use parse_error::ParseError;
pub use query::{MAX_QUERY_BYTES, Query, decoding::DecodedContracts};
pub use range::{Bounds, Heads};
pub use search::{Count, Match, Page, PageEnd, Request, count, search};
pub use terms::{
    BlockTerms, MAX_DATA_VALUES,
    options::{EventAction, TermOptions},
    passed_filter,
};
