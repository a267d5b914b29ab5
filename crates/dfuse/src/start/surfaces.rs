//! The surfaces: what clients speak to.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use dfuse_api::Endpoints;
use dfuse_graphql::{Executor, Limits};
use dfuse_grpc::{Encryption, GrpcServer};
use dfuse_http::{Api, Server, Spans};
use dfuse_node::nodeos::Nodeos;
use dfuse_query::{GraphqlExecutor, Service};
use dfuse_web::PageKey;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    conditions::Conditions,
    descriptors::Shares,
    parts::Parts,
    roles::Roles,
    settings::Settings,
    traces::{self, Traces},
};

/// The servers of a service, which do not listen yet, and what they serve.
pub(super) struct Surfaces {
    http: Server,
    /// That of clients; absent if there are none.
    endpoints: Option<Endpoints>,
    /// Absent where nothing is served over it.
    grpc: Option<GrpcServer>,
    key: Option<PageKey>,
    traces: Option<Traces>,
}

impl Surfaces {
    pub(super) fn new(
        service: Service,
        (settings, shares, roles): (&Settings, &Shares, Roles),
        nodes: Option<&Nodeos>,
    ) -> anyhow::Result<Self> {
        let collected = settings.traces.client()?.map(|collector| (collector, Spans::new(traces::ROOM)));
        let http = dfuse_http::Options {
            max_connections: shares.connections,
            tls: settings.http.tls()?,
            spans: collected.as_ref().map(|(_, (spans, _))| spans.clone()),
            ..settings.http.options()
        };
        // The same certificate, which the HTTP server reads again for both.
        let encryption =
            http.tls.clone().map(|tls| Encryption(Arc::new(move || tls.config_for(&Encryption::PROTOCOLS))));
        let grpc = dfuse_grpc::Options {
            max_connections: shares.grpc_connections,
            shutdown_grace: settings.http.options().shutdown_grace,
            greeting_timeout: http.header_timeout,
            encryption,
            // The ABIs that make it are in the indexes.
            firehose_json: settings.grpc.firehose_json && roles.index,
            ..dfuse_grpc::Options::default()
        };
        let traces = collected.map(|(collector, (spans, records))| Traces {
            collector,
            service_name: settings.traces.service_name.clone(),
            spans,
            records,
            service: service.clone(),
        });
        if !roles.api {
            let grpc = roles.ingest.then(|| GrpcServer::new(service.clone(), None, grpc));
            return Ok(Self {
                http: Server::new(Api::new(service, http), []),
                endpoints: None,
                grpc,
                key: None,
                traces,
            });
        }
        let executor: Arc<dyn GraphqlExecutor> = Arc::new(Executor::new(service.clone(), Limits::default()));
        let grpc = Some(GrpcServer::new(service.clone(), Some(executor.clone()), grpc));
        let api = Api::new(service, http);
        let options = dfuse_api::Options {
            chain_api: settings.chain_api.options(nodes.and_then(Nodeos::api), shares)?,
            websocket: settings.websocket.options()?,
        };
        let endpoints = Endpoints::new(&api, options);
        let graphql = dfuse_graphql::Endpoints::new(&api, executor, settings.graphql.options(&settings.websocket));
        let key = settings.web.api_key.as_deref().map(PageKey::new);
        let pages = dfuse_web::Endpoints::new(&api, dfuse_web::Options { key: key.clone() });
        let http = Server::new(api, [endpoints.routes(), graphql.routes(), pages.routes()]);
        Ok(Self { http, endpoints: Some(endpoints), grpc, key, traces })
    }

    /// Warns of a key that pages cannot act with.
    pub(super) async fn warn_of_key(&self, conditions: &Conditions) {
        if let Some(key) = &self.key
            && let Some(problem) = key.problem(self.http.api()).await
        {
            warn!("web.api_key: {problem}");
            conditions.warn("web_api_key", format!("web.api_key: {problem}"));
        }
    }

    /// The HTTP server.
    pub(super) fn http(&self) -> &Server {
        &self.http
    }

    /// Serves until the token is cancelled.
    pub(super) fn serve(self, parts: &mut Parts, listeners: Listeners, stop: &CancellationToken) -> anyhow::Result<()> {
        let Self { http, endpoints, grpc, traces, .. } = self;
        if let Some(traces) = traces {
            let stopped = stop.clone();
            parts.spawn("sending traces", async move {
                stopped.run_until_cancelled(traces.run()).await;
                Ok(())
            });
        }
        let has_clients = endpoints.is_some();
        if let Some(endpoints) = endpoints {
            let looking = endpoints.look_after_nodes();
            // They hold a snapshot of the indexes, which then keep what they write while they close.
            drop(endpoints);
            let stopped = stop.clone();
            parts.spawn("looking after nodes", async move {
                stopped.run_until_cancelled(looking).await;
                Ok(())
            });
        }
        let (api, stopped) = (http.api().clone(), stop.clone());
        parts.spawn("telling refused requests", async move {
            stopped.run_until_cancelled(api.recent().tell_refused()).await;
            Ok(())
        });
        let address = listeners.http.local_addr()?;
        let s = if http.api().http_options().tls.is_some() { "s" } else { "" };
        let stopped = stop.clone().cancelled_owned();
        parts.spawn("the HTTP server", async move {
            http.serve(listeners.http, stopped).await;
            Ok(())
        });
        if let (Some(grpc), Some(listener)) = (grpc, listeners.grpc) {
            let grpc_address = listener.local_addr()?;
            let stopped = stop.clone().cancelled_owned();
            parts.spawn("the gRPC server", async move { Ok(grpc.serve(listener, stopped).await?) });
            info!("gRPC at {grpc_address}{}", if s.is_empty() { "" } else { ", encrypted" });
        }
        if !has_clients {
            info!("health at http{s}://{address}/healthz, metrics at http{s}://{address}/metrics");
            return Ok(());
        }
        info!(
            "REST at http{s}://{address}/v0/ and its description at http{s}://{address}/docs, the node's API at http{s}://{address}/v1/chain/, WebSocket at ws{s}://{address}/v1/stream, GraphQL at http{s}://{address}/graphql and its editor at http{s}://{address}/graphiql/, metrics at http{s}://{address}/metrics, pages for people at http{s}://{address}/"
        );
        Ok(())
    }
}

/// The addresses of the servers, bound.
pub(super) struct Listeners {
    http: TcpListener,
    /// Absent where nothing is served over it.
    grpc: Option<TcpListener>,
}

impl Listeners {
    pub(super) async fn bind(settings: &Settings, roles: Roles) -> anyhow::Result<Self> {
        let (http, grpc) = (settings.address()?, settings.grpc_address()?);
        let http = listen(http, "--listen").await?;
        if !roles.ingest && !roles.api {
            return Ok(Self { http, grpc: None });
        }
        let grpc = match listen(grpc, "--grpc-listen").await {
            // A second server on a machine is told nothing but its address for HTTP, most likely.
            Err(_) if settings.grpc_listen.is_none() => {
                warn!("{grpc} is in use, so gRPC is at a free port; name another address with --grpc-listen");
                listen(SocketAddr::new(grpc.ip(), 0), "--grpc-listen").await?
            }
            bound => bound?,
        };
        Ok(Self { http, grpc: Some(grpc) })
    }
}

async fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen at {address}; stop what uses this port, or name another address with {flag}")
    })
}
