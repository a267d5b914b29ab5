//! Commands to a server, whether it runs or not.
//!
//! A running server listens at a Unix socket in its data directory, which only its owner may use. A command is a line of JSON, and so is
//! the reply: see [`protocol`]. Without a running server the command locks the data directory and does the same work itself.

mod client;
mod protocol;
mod server;

pub(crate) use self::{
    client::{Reached, ask, read, say_at_length},
    protocol::{Command, KeyView, Reply},
    server::{Commanded, Control},
};
