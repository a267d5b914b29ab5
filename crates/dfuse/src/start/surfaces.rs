//! The surfaces: what clients speak to.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use dfuse_api::Endpoints;
use dfuse_graphql::{Executor, Limits};
use dfuse_grpc::GrpcServer;
use dfuse_http::{Api, Server};
use dfuse_node::nodeos::Nodeos;
use dfuse_query::{GraphqlExecutor, Service};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{conditions::Conditions, descriptors::Shares, parts::Parts, settings::Settings};

/// Makes the surfaces of a service and has them served until the token is cancelled. Returns the HTTP server,
/// for commands that read.
pub(super) fn spawn(
    parts: &mut Parts,
    listeners: Listeners,
    service: Service,
    (settings, shares): (&Settings, &Shares),
    (nodes, conditions): (Option<&Nodeos>, &Conditions),
    stop: &CancellationToken,
) -> anyhow::Result<Server> {
    let Listeners { http: listener, grpc } = listeners;
    spawn_grpc(parts, grpc, &service, (settings, shares), stop)?;
    let (server, endpoints) = server(service, (settings, shares), nodes)?;
    if let Some(shortage) = shares.shortage(settings.http.max_connections) {
        warn!("{shortage}");
        conditions.warn("open_files", shortage);
    }
    let looking = endpoints.look_after_nodes();
    // They hold a snapshot of the indexes, which then keep what they write while they close.
    drop(endpoints);
    let stopped = stop.clone();
    parts.spawn("looking after nodes", async move {
        stopped.run_until_cancelled(looking).await;
        Ok(())
    });
    let address = listener.local_addr()?;
    let stopped = stop.clone().cancelled_owned();
    let serving = server.clone();
    parts.spawn("the HTTP server", async move {
        serving.serve(listener, stopped).await;
        Ok(())
    });
    let s = if settings.http.tls_certificate.is_some() { "s" } else { "" };
    info!(
        "REST at http{s}://{address}/v0/ and its description at http{s}://{address}/docs, the node's API at http{s}://{address}/v1/chain/, WebSocket at ws{s}://{address}/v1/stream, GraphQL at http{s}://{address}/graphql and its editor at http{s}://{address}/graphiql/, metrics at http{s}://{address}/metrics"
    );
    Ok(server)
}

/// The HTTP server, which does not listen yet, and what it serves.
pub(super) fn server(
    service: Service,
    (settings, shares): (&Settings, &Shares),
    nodes: Option<&Nodeos>,
) -> anyhow::Result<(Server, Endpoints)> {
    let http = dfuse_http::Options {
        max_connections: shares.connections,
        tls: settings.http.tls()?,
        ..settings.http.options()
    };
    let options = dfuse_api::Options {
        chain_api: settings.chain_api.options(nodes.and_then(Nodeos::api), shares)?,
        websocket: settings.websocket.options()?,
    };
    let executor: Arc<dyn GraphqlExecutor> = Arc::new(Executor::new(service.clone(), Limits::default()));
    let api = Api::new(service, http);
    let endpoints = Endpoints::new(&api, options);
    let graphql = dfuse_graphql::Endpoints::new(&api, executor, settings.graphql.options(&settings.websocket));
    Ok((Server::new(api, [endpoints.routes(), graphql.routes()]), endpoints))
}

/// Has gRPC served.
fn spawn_grpc(
    parts: &mut Parts,
    listener: TcpListener,
    service: &Service,
    (settings, shares): (&Settings, &Shares),
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let options = dfuse_grpc::Options {
        max_connections: shares.grpc_connections,
        shutdown_grace: settings.http.options().shutdown_grace,
        ..dfuse_grpc::Options::default()
    };
    let executor = Executor::new(service.clone(), Limits::default());
    let server = GrpcServer::new(service.clone(), Arc::new(executor), options);
    let address = listener.local_addr()?;
    let stopped = stop.clone().cancelled_owned();
    parts.spawn("the gRPC server", async move { Ok(server.serve(listener, stopped).await?) });
    info!("gRPC at {address}");
    Ok(())
}

/// The addresses of the servers, bound.
pub(super) struct Listeners {
    http: TcpListener,
    grpc: TcpListener,
}

impl Listeners {
    pub(super) async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let (http, grpc) = (settings.address()?, settings.grpc_address()?);
        let http = listen(http, "--listen").await?;
        let grpc = match listen(grpc, "--grpc-listen").await {
            // A second server on a machine is told nothing but its address for HTTP, most likely.
            Err(_) if settings.grpc_listen.is_none() => {
                warn!("{grpc} is in use, so gRPC is at a free port; name another address with --grpc-listen");
                listen(SocketAddr::new(grpc.ip(), 0), "--grpc-listen").await?
            }
            bound => bound?,
        };
        Ok(Self { http, grpc })
    }
}

async fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen at {address}; stop what uses this port, or name another address with {flag}")
    })
}
