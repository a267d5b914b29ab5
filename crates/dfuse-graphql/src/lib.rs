//! GraphQL: the schema over the use cases, and its transports HTTP and WebSocket.
//!
//! ```text
//! transport -> Executor -> one read on a CPU thread: the schema's resolvers ask use cases -> GraphqlResponse
//! ```
//!
//! | module | what |
//! |---|---|
//! | `executor`, `limits` | executes documents within limits |
//! | `schema` | the roots of the schema |
//! | `types` | its objects, enums and scalars |
//! | `read` | what the resolvers of a request read from |
//! | `error` | errors in the form of GraphQL |

mod error;
mod executor;
mod limits;
mod read;
mod schema;
mod types;

pub use executor::Executor;
pub use limits::Limits;
