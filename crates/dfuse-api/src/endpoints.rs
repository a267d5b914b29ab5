use std::{future::Future, sync::Arc};

use dfuse_http::{Api, Routes, proven};
use dfuse_query::Surface;

use crate::{
    ChainApiOptions, WebSocketOptions,
    chain_api::{self, ChainApi, NodeShaped},
    metrics::describe,
    rest::{self, auth},
    websocket,
};

/// Limits of what is answered here.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Of WebSocket connections.
    pub websocket: WebSocketOptions,
    /// Of `/v1/chain/*`.
    pub chain_api: ChainApiOptions,
}

/// REST, WebSocket and the node's API.
#[derive(Debug)]
pub struct Endpoints {
    api: Api,
    options: Options,
    chain_api: Arc<ChainApi>,
}

impl Endpoints {
    /// Asks that service.
    pub fn new(api: &Api, options: Options) -> Self {
        api.metrics().record(describe);
        let chain_api = Arc::new(ChainApi::new(options.chain_api.clone(), api.chain()));
        Self { api: api.clone(), options, chain_api }
    }

    /// Its routes, for a server.
    pub fn routes(&self) -> Routes {
        let api = &self.api;
        let websocket = websocket::endpoint(api, self.options.websocket.clone(), self.chain_api.clone());
        Routes::default()
            .with((api, Surface::Rest), rest::endpoints(), |routes| proven(routes, api))
            .with((api, Surface::WebSocket), vec![websocket], |routes| routes)
            .with((api, Surface::Rest), auth::endpoints(), |routes| routes)
            .with((api, Surface::Node), chain_api::endpoints(self.chain_api.clone()), |routes| routes)
            .at("/v0")
            .at("/v1/stream")
            .with_errors(chain_api::PATH, NodeShaped::shape)
    }

    /// Looks at the nodes behind `/v1/chain` now and then until the server stops.
    pub fn look_after_nodes(&self) -> impl Future<Output = ()> + Send + 'static {
        let (api, chain_api) = (self.api.clone(), self.chain_api.clone());
        async move { chain_api.look_after(api).await }
    }
}
