//! REST, WebSocket and the node's API: [`Endpoints`] has their routes.
//!
//! | module | what |
//! |---|---|
//! | `endpoints` | the routes, and the limits of all that is answered here |
//! | `rest` | the endpoints; each module has its routes |
//! | `chain_api` | `/v1/chain/*`: requests passed on to nodes, pushes with a guarantee |
//! | `websocket` | `/v1/stream`: `session` takes requests, a module each answers them, `selection` what is made once for many, `action_history` the past |

mod chain_api;
mod endpoints;
mod metrics;
mod rest;
mod websocket;

pub use chain_api::{ChainApiOptions, PushOptions};
use dfuse_http::{Api, Json, JsonBody, JsonList, JsonText, Params, Stopping, answer, params, peer, sender, streamed};
pub use endpoints::{Endpoints, Options};
pub use websocket::{WebSocketOptions, check_stream_message, stream_message_types};
