use std::{fmt, sync::Arc, time::Duration};

use rustls::ServerConfig;

/// What new connections are encrypted with: asked for each of them, since certificates change. It names the protocols `h2` and
/// `http/1.1` in ALPN.
#[derive(Clone)]
pub struct Encryption(pub Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>);

impl Encryption {
    /// The protocols that are spoken, as ALPN names them, the preferred one first.
    pub const PROTOCOLS: [&'static [u8]; 2] = [b"h2", b"http/1.1"];
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encryption")
    }
}

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
    /// How long a new connection may take until it is encrypted, and again until it has begun to ask.
    pub greeting_timeout: Duration,
    /// What connections are encrypted with; without it they are not.
    pub encryption: Option<Encryption>,
    /// Whether Firehose's blocks have the JSON of actions and rows, unless a request says it.
    pub firehose_json: bool,
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
            greeting_timeout: Duration::from_secs(20),
            encryption: None,
            firehose_json: true,
        }
    }
}
