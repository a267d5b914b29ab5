//! Limits of WebSocket connections.

use std::{collections::BTreeSet, time::Duration};

/// Limits of WebSocket connections.
#[derive(Debug, Clone)]
pub struct WebSocketOptions {
    /// Most streams of a connection.
    pub max_streams: usize,
    /// Most bytes of a message from a client. A longer one ends the connection.
    pub max_message_bytes: usize,
    /// How long a client may take to read one message. The connection ends after that.
    pub slow_client_time: Duration,
    /// Time between two `ping` messages.
    pub ping_interval: Duration,
    /// Types of requests that are not offered.
    pub disabled_messages: BTreeSet<String>,
}

impl Default for WebSocketOptions {
    fn default() -> Self {
        Self {
            max_streams: 12,
            max_message_bytes: 128 << 10,
            slow_client_time: Duration::from_secs(60),
            ping_interval: Duration::from_secs(10),
            disabled_messages: BTreeSet::new(),
        }
    }
}
