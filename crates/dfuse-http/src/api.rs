use std::{ops::Deref, sync::Arc, time::Duration};

use axum::{extract::FromRequestParts, http::request::Parts};
use dfuse_query::{ApiError, Caller, Class, Client, Service};
use tokio::sync::watch;

use crate::{IntegritySecret, Stopping, answer::HttpError, bodies::Bodies, metrics::describe, sender, server::Places};

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
        }
    }
}

/// What all handlers share, and on whose behalf they read. Cloning is cheap.
///
/// A handler takes it as an argument, for reads of its endpoint's class that are charged to the client.
#[derive(Debug, Clone)]
pub struct Api {
    service: Service,
    shared: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    bodies: Bodies,
    places: Arc<Places>,
    stop: watch::Sender<bool>,
}

impl Api {
    /// Answers what is asked of that service.
    pub fn new(service: Service, options: Options) -> Self {
        service.metrics().record(describe);
        let shared = Arc::new(Inner {
            bodies: Bodies::new(&options),
            places: Arc::new(Places::new(options.max_connections)),
            stop: watch::Sender::new(false),
            options,
        });
        Self { service, shared }
    }

    /// On behalf of that client.
    #[must_use]
    pub fn charged_to(&self, client: Client) -> Self {
        Self { service: self.service.charged_to(client), shared: self.shared.clone() }
    }

    /// On behalf of that caller, within what they may read.
    #[must_use]
    pub fn on_behalf_of(&self, caller: Caller) -> Self {
        Self { service: self.service.on_behalf_of(caller), shared: self.shared.clone() }
    }

    /// With reads of that class.
    #[must_use]
    pub fn reading(&self, class: Class) -> Self {
        Self { service: self.service.reading(class), shared: self.shared.clone() }
    }

    /// Room that bodies of requests have at the moment, in bytes: at most [`Options::max_bodies_bytes`].
    pub fn body_bytes(&self) -> usize {
        self.shared.bodies.taken()
    }

    pub(crate) fn bodies(&self) -> &Bodies {
        &self.shared.bodies
    }

    /// The limits.
    pub fn http_options(&self) -> &Options {
        &self.shared.options
    }

    /// Places for connections.
    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.shared.places
    }

    /// Tells when the server is to stop, and holds it up until dropped.
    pub fn stopping(&self) -> Stopping {
        Stopping(self.shared.stop.subscribe())
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.shared.stop.borrow()
    }

    pub(crate) fn stop(&self) -> &watch::Sender<bool> {
        &self.shared.stop
    }
}

impl Deref for Api {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl FromRequestParts<Self> for Api {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, api: &Self) -> Result<Self, HttpError> {
        let class = parts.extensions.get::<Class>().copied();
        let class = class.ok_or_else(|| ApiError::unexpected("an endpoint without a class of reads"))?;
        Ok(api.reading(class).on_behalf_of(sender::caller(&parts.extensions)))
    }
}
