//! WebSocket connections from their upgrade to their end, whatever is said on them.
//!
//! ```text
//! request -> upgrade -> Connection::run: client -> Conversation::take
//!                                        client <- outbox, bounded <- whatever the conversation makes
//! ```

mod connection;
mod conversation;
mod upgrade;

pub use connection::{Connection, SocketLimits};
pub use conversation::{Conversation, End, close_code};
pub use upgrade::{is_wanted, upgrade};
