use std::time::Duration;

use crate::{IntegritySecret, Spans, Tls};

/// Limits of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most connections at a time. When one more comes, the one that has been idle longest is closed; if all are at work, it waits.
    pub max_connections: usize,
    /// Most bytes of a request's header, path and query included.
    pub max_header_bytes: usize,
    /// Most bytes of a request's body.
    pub max_body_bytes: usize,
    /// How long the header of a request may take. A connection between two requests is closed after this time, too.
    pub header_timeout: Duration,
    /// How long the body of a request may take.
    pub body_timeout: Duration,
    /// Most bytes of the bodies of all requests together.
    pub max_bodies_bytes: usize,
    /// How long a client may take nothing of a long answer before it is given up.
    pub client_timeout: Duration,
    /// How long requests at work may go on after the server was told to stop.
    pub shutdown_grace: Duration,
    /// What answers are proven with to clients that ask for it; without it there are no proofs.
    pub integrity_secret: Option<IntegritySecret>,
    /// What connections are encrypted with; without it they are not.
    pub tls: Option<Tls>,
    /// Where requests that were answered are offered, for traces.
    pub spans: Option<Spans>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_header_bytes: 80 << 10,
            max_body_bytes: 10 << 20,
            header_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            max_bodies_bytes: 64 << 20,
            client_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(20),
            integrity_secret: None,
            tls: None,
            spans: None,
        }
    }
}
