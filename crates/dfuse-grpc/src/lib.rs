//! gRPC: GraphQL, Firehose, health and reflection, over the use cases of `dfuse-query`.
//!
//! ```text
//! connection -> Frame: trace id, access -> service -> Call: usage, errors, the end -> messages
//! ```
//!
//! | module | what |
//! |---|---|
//! | `server`, `connection`, `options` | the listener, its connections, limits |
//! | `frame`, `call`, `status` | what is around every call: who asks, what it used, how it ended; errors as gRPC has them |
//! | `web` | calls of browsers: gRPC-Web, and which pages may ask |
//! | `graphql`, `value` | documents, executed by whatever the binary hands in; JSON as protobuf has it |
//! | `firehose` | whole blocks: streams, single ones |
//! | `health` | whether clients may be sent here |

mod call;
mod connection;
mod firehose;
mod frame;
mod graphql;
mod health;
mod metrics;
mod options;
mod server;
mod status;
mod value;
mod web;

pub use options::{Encryption, Options};
pub use server::GrpcServer;
