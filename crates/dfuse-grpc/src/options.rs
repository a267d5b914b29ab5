use std::time::Duration;

/// Limits of the server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections that may be open. Whoever comes then waits until one ends.
    pub max_connections: usize,
    /// Calls that a connection may have open.
    pub max_calls: u32,
    /// Bytes of a request.
    pub max_request_bytes: usize,
    /// After so long without a sign of life a connection is asked for one.
    pub keepalive: Duration,
    /// How long it may take to give it.
    pub keepalive_timeout: Duration,
    /// How long calls may take to end when the server does.
    pub shutdown_grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_calls: 256,
            max_request_bytes: 1 << 20,
            keepalive: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}
