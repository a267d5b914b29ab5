//! `/v0/state`, tokens and `/v1/history/get_key_accounts`.

mod abi_rows;
mod errors;
mod heights;
pub(crate) mod made;
mod mid_chain;
mod pages;
mod recorded;
mod streams;
mod vectors;
