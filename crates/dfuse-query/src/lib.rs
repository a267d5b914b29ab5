//! The use cases, below every surface: typed questions in, typed answers out.
//!
//! Nothing here knows HTTP, WebSocket or JSON writers. A surface parses a request, has its sender admitted, asks one use case,
//! and renders the answer or the error.
//!
//! ```text
//! request -> Service::admit: Caller -> Service::query: a snapshot, off the async threads -> use case -> answer, rendered there
//! ```
//!
//! | module | what |
//! |---|---|
//! | `error` | the one table of codes, and the error that is made of it; what errors of the rooms below mean to a client |
//! | `access`, `gate`, `client` | who may ask, and who is charged for it |
//! | `transactions`, `blocks`, `search`, `state`, `lookup`, `coverage` | the use cases: each a function of a [`ReadContext`] |
//! | `push` | pushes that return when the chain has the transaction |
//! | `context`, `page`, `cursor` | what use cases read from; lists and where their next page begins |
//! | `kept` | blocks that are kept no longer |
//! | `untold` | what the source of blocks did not tell |
//! | `service` | what use cases share: the chain, limits, a snapshot read on a CPU thread |
//! | `ahead` | questions that name a block which another machine had before: asked again once it has come |
//! | `readers` | reads by class, a bounded number at a time, given up when the client leaves |
//! | `streams` | steps of the chain as they are taken, read when the indexes have them |
//! | `turns`, `outbox` | streams: whose turn it is, and the memory of what waits for clients |
//! | `graphql` | documents, between what takes them and what executes them |
//! | `metrics`, `readiness`, `operations`, `look` | what operators ask |
//! | `secrets`, `shorten`, `trace_id` | texts from outside without private keys in them; names of requests |

mod access;
mod ahead;
pub mod blocks;
mod client;
mod context;
pub mod coverage;
mod cursor;
mod error;
pub mod filtered;
mod gate;
mod graphql;
mod kept;
mod look;
pub mod lookup;
mod metrics;
mod nearest;
mod operations;
mod options;
pub mod outbox;
mod page;
pub mod push;
mod readers;
mod readiness;
pub mod search;
pub mod secrets;
mod service;
mod shorten;
pub mod state;
pub mod streams;
mod trace_id;
pub mod transactions;
pub mod turns;
mod untold;

pub use access::{Access, Asking, Caller, OpenAccess, Surface};
pub use client::Client;
pub use context::{OwnedRead, ReadContext};
pub use cursor::ListCursor;
pub use dfuse_access::{IssuedToken, KeyId, KeyKind, Place, RouteClass, Standing, Usage, UsedSinceStart};
pub use error::{
    ApiError, ApiResult, Awaited, Detail, DetailType, ErrorBody, ErrorCode, GrpcStatus, Retry, Row,
    convert::query_position,
};
pub use gate::GateAccess;
pub use graphql::{GraphqlError, GraphqlExecutor, GraphqlLocation, GraphqlOperation, GraphqlRequest, GraphqlResponse};
pub use look::{Head, Look};
pub use metrics::Metrics;
pub use nearest::nearest;
pub use operations::{NodeLogs, Operations, SlowSearch};
pub use options::{Options, StreamOptions};
pub use page::{Page, Step};
pub use readers::{Class, Reading, blocking, within};
pub use readiness::Readiness;
pub use service::{Chain, Service};
pub use shorten::{shorten, shorten_to};
pub use trace_id::{TraceId, TraceIds};
pub use untold::Untold;
