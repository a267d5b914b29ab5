//! The HTTP server under every surface. It knows none of them: it is handed their [`Routes`].
//!
//! ```text
//! connection -> Server::handle: trace id, CORS, errors, log -> sender: Service::admit -> handler -> Service::read
//! ```
//!
//! A handler takes [`Params`] and the [`Api`], reads in [`dfuse_query::Service::read`], and answers with
//! [`dfuse_query::ApiResult`]. Every error that it raises has a [`dfuse_query::ErrorCode`] of the one table, from which
//! `docs/errors.md` is generated.
//!
//! | module | what |
//! |---|---|
//! | `server`, `frame` | connections, and what is around every request: trace id, CORS, errors in their one form, log line, counts |
//! | `routes`, `endpoint`, `parameter`, `charge`, `schema` | what a surface gives the server: the table of its endpoints |
//! | `answer`, `shaped` | errors as responses; those in the form of a surface |
//! | `peer`, `sender`, `params`, `bodies` | the other end of a connection and who asks there; the validator of parameters, which names all that is wrong at once; memory for bodies |
//! | `limited` | limits and usage of callers |
//! | `tls` | certificates, read again when they change |
//! | `api`, `options`, `places`, `stopping` | what handlers share; limits; places for connections; the end of the server |
//! | `streamed`, `json`, `json_body` | answers of any length, slice by slice; JSON answers and bodies |
//! | `websocket` | WebSocket connections, whatever is said on them |
//! | `health`, `metrics` | what operators ask |
//! | `documents` | `/openapi.json` and `/docs`, from the table of endpoints |

pub mod answer;
mod api;
mod bodies;
mod charge;
mod documents;
mod endpoint;
mod frame;
mod health;
mod integrity_secret;
mod json;
mod json_body;
pub mod limited;
mod metrics;
mod options;
mod parameter;
pub mod params;
pub mod peer;
mod places;
mod recent;
mod refused;
mod request_span;
mod routes;
mod schema;
pub mod sender;
mod server;
mod shaped;
mod spans;
mod stopping;
pub mod streamed;
mod tls;
pub mod websocket;

pub use api::Api;
pub use bodies::Room;
pub use charge::{Charge, Counts};
pub use endpoint::{BodyForm, COMMON_ERRORS, Endpoint, Handler, Methods};
pub use frame::{TRACE_ID, integrity::proven, panicked, path::SlashAtEnd};
pub use health::without_places;
pub use integrity_secret::IntegritySecret;
pub use json::{Json, JsonList, JsonText};
pub use json_body::JsonBody;
pub use options::Options;
pub use parameter::{Kind, Parameter, Place};
pub use params::Params;
pub use places::ConnectionPlace;
pub use recent::{Answered, FailedSoFar, Recent};
pub use routes::{ErrorPage, Routes, Untouched};
pub use schema::{AnswerForm, Field, Schema};
pub use server::Server;
pub use shaped::{Shape, Shaped, ShapedError};
pub use spans::{SpanRecord, Spans};
pub use stopping::Stopping;
pub use tls::{Tls, TlsError};
