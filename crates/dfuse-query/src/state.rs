//! Rows of contract tables, ABIs, keys, links and scopes at any height, and what follows from them.
//!
//! A list of any length is a reader that gives its items one by one, so that whoever answers holds no thread between slices. It
//! is opened in a read, where all goes wrong that can in a way that the client should be told of; after a while it goes on with
//! another snapshot ([`Height::renew`]).

mod abi;
mod account;
mod code_hash;
mod coverage;
mod difference;
mod form;
mod height;
mod history;
mod list;
mod ranking;
mod row;
mod table;
mod tokens;
mod unavailable;
mod votes;

pub use abi::{ContractAbi, abi, older_abi, row_renderer};
pub use account::{Account, AccountCreated, AccountLinks, SystemRows, account, account_links, account_not_found};
pub use code_hash::{AccountCode, code_hash};
pub use coverage::was_created;
pub use difference::{DifferenceQuestion, DifferenceReader, difference};
pub use form::{form_at, lenient_form};
pub use height::{AskedHeight, Height};
pub use history::{HistoryQuestion, RowHistoryReader, RowWritten, WrittenRow, row_history};
pub use list::{ListReader, key_accounts, permission_links, table_scopes};
pub use ranking::{RankedBy, RankedPage, Ranking, TokenFilter, ranked_balances, ranked_holders, ranked_tokens};
pub use row::{RowAt, RowQuestion, row};
pub use table::{ManyTables, TableOptions, TableReader, many_tables, table};
pub use tokens::{Holder, TokenHolders, balances, holders, tokens};
pub use unavailable::state_unavailable;
pub use votes::{ProducerVotes, VoteTally, vote_tally};
