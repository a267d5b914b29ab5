//! Firehose endpoints: a client, and blocks that are followed by it.
//!
//! [`FirehoseClient`] speaks to one endpoint. A source of blocks has several, in the order of preference, and a position that
//! outlives connections: no break leaves a gap, and no block comes twice.

mod block;
mod client;
mod endpoint;
mod failure;
mod follow;
pub(crate) mod identity;
mod options;
mod position;

pub use block::Received;
pub use client::FirehoseClient;
pub use endpoint::{Endpoint, Endpoints};
pub use failure::Failure;
pub(crate) use follow::{check, read, varied};
pub use options::{Credential, FirehoseOptions};
