//! Searches: pages of transactions, counts, and how the beginning of a query may go on.

mod account;
mod blocks;
mod budget;
mod completion;
mod count;
mod coverage;
mod page;
mod query;
mod range;
mod undone;

pub use account::{AccountAction, AccountActions, account_actions};
pub use completion::{Completion, Suggestion, complete};
pub use count::{Counted, count};
pub use page::{SearchCost, SearchItem, SearchPage, SearchQuestion, Searched, page};
pub use query::{InvalidQuery, account_history, parse};
pub use range::{AskedBlocks, BlockBounds, BlockSpan};
pub(crate) use range::{heads, missing_below};
pub(crate) use undone::FeedLostBlocks;
