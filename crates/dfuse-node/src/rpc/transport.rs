//! Connections to a node: plain or TLS, kept for the next request.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::crypto::ring;
use tokio::sync::OwnedSemaphorePermit;

/// Whatever a body fails with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body of these bytes.
pub fn full_body(bytes: impl Into<Bytes>) -> RequestBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub fn empty_body() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// The body of a node's answer. Its connection counts as at work until this is read or dropped.
#[derive(Debug)]
pub struct NodeBody {
    body: Incoming,
    _place: Option<OwnedSemaphorePermit>,
}

impl NodeBody {
    pub(super) fn new(body: Incoming, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { body, _place: place }
    }
}

impl Body for NodeBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Nodes close idle connections, some after 30 seconds: one that is older is not used again.
const IDLE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone)]
pub(crate) enum Transport {
    Plain(Client<HttpConnector, RequestBody>),
    Tls(Client<HttpsConnector<HttpConnector>, RequestBody>),
}

impl Transport {
    /// # Errors
    /// The system has no certificates to check others with.
    pub(crate) fn new(tls: bool, connect_timeout: Duration, max_idle: usize) -> std::io::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(max_idle);
        if !tls {
            return Ok(Self::Plain(builder.build(connector)));
        }
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(ring::default_provider())?
            .https_only()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Self::Tls(builder.build(connector)))
    }

    /// Boxed here, so that whoever asks nodes need not compile the HTTP client.
    pub(crate) fn request(&self, request: Request<RequestBody>) -> BoxFuture<'_, Result<Response<Incoming>, Error>> {
        Box::pin(async move {
            match self {
                Self::Plain(client) => client.request(request).await,
                Self::Tls(client) => client.request(request).await,
            }
        })
    }
}
