//! Firehose endpoints: a client, and blocks that are followed by it.
//!
//! [`FirehoseClient`] speaks to one endpoint. A source of blocks has several, in the order of preference, and a position that
//! outlives connections: no break leaves a gap, and no block comes twice.

mod block;
mod client;
mod dumps;
mod endpoint;
mod failure;
mod follow;
pub(crate) mod identity;
mod options;
mod position;
mod wanted;

pub use block::{Received, Sent};
pub use client::FirehoseClient;
pub use endpoint::{Endpoint, Endpoints};
pub use failure::Failure;
pub use follow::check;
pub(crate) use follow::{read, varied};
pub use options::{Credential, FirehoseOptions};
pub use wanted::Wanted;

pub use dfuse_proto::sf::firehose::v2::ForkStep;
