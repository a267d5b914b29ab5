//! GraphQL: the schema over the use cases, and its transports HTTP and WebSocket.
//!
//! ```text
//! transport -> Executor -> one read on a CPU thread: the schema's resolvers ask use cases -> GraphqlResponse
//! ```
//!
//! | module | what |
//! |---|---|
//! | `executor`, `document`, `limits` | executes documents within limits |
//! | `feed`, `slot` | subscriptions, event by event |
//! | `schema` | the roots of the schema |
//! | `types` | its objects, enums and scalars |
//! | `source` | blocks, traces and ABIs, read when they are asked for |
//! | `read` | what the resolvers of a request read from |
//! | `error`, `nulls`, `answer` | errors in the form of GraphQL, and what they take with them; answers as JSON |
//! | `endpoints`, `http`, `socket` | the transports: HTTP, and both protocols over WebSocket |
//! | `editor` | a page to write documents in |
//! | `metrics` | what is counted |

mod answer;
mod document;
mod editor;
mod endpoints;
mod error;
mod executor;
mod feed;
mod http;
mod limits;
mod metrics;
mod nulls;
mod read;
mod schema;
mod slot;
mod socket;
mod source;
mod types;

pub use endpoints::Endpoints;
pub use executor::Executor;
pub use limits::Limits;
pub use socket::{SocketOptions, read_socket_message};
