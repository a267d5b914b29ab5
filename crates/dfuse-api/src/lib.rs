//! REST, WebSocket and the node's API: [`Endpoints`] has their routes.
//!
//! | module | what |
//! |---|---|
//! | `endpoints` | the routes, and the limits of all that is answered here |
//! | `rest` | the endpoints; each module has its routes |
//! | `chain_api` | `/v1/chain/*`: requests passed on to nodes, pushes with a guarantee |
//! | `websocket` | `/v1/stream`: `session` takes requests, `types` has their table, a module each answers them, `blocks` sends what is made once for many, `action_history` the past |
//! | `untold` | what an answer may lack since the source of its blocks did not tell it |

mod chain_api;
mod endpoints;
mod metrics;
mod rest;
mod untold;
mod websocket;

pub use chain_api::ChainApiOptions;
use dfuse_http::{Api, Json, JsonBody, JsonList, JsonText, Params, Stopping, answer, params, peer, sender, streamed};
pub use endpoints::{Endpoints, Options};
pub use websocket::{WebSocketOptions, check_stream_message, stream_message_types};
