use std::{ops::Deref, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use dfuse_query::{ApiError, Caller, Class, Client, Service};
use tokio::sync::watch;

use crate::{
    Options, Stopping, answer::HttpError, bodies::Bodies, metrics::describe, peer, places::Places, recent::Recent,
};

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
    recent: Recent,
    stop: watch::Sender<bool>,
}

impl Api {
    /// Answers what is asked of that service.
    pub fn new(service: Service, options: Options) -> Self {
        service.metrics().record(describe);
        let shared = Arc::new(Inner {
            bodies: Bodies::new(&options),
            places: Arc::new(Places::new(options.max_connections)),
            recent: Recent::default(),
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

    /// What operators look at: requests that failed or took long.
    pub fn recent(&self) -> &Recent {
        &self.shared.recent
    }

    /// How many connections are open, and how many may be.
    pub fn connections(&self) -> (usize, usize) {
        (self.shared.places.taken(), self.shared.places.most())
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
        Ok(api.reading(class).on_behalf_of(peer::caller(&parts.extensions)))
    }
}
