//! The surfaces: what clients speak to.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use dfuse_api::Endpoints;
use dfuse_graphql::{Executor, Limits};
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
    listener: TcpListener,
    service: Service,
    (settings, shares): (&Settings, &Shares),
    (nodes, conditions): (Option<&Nodeos>, &Conditions),
    stop: &CancellationToken,
) -> anyhow::Result<Server> {
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
    info!(
        "REST at http://{address}/v0/, the node's API at http://{address}/v1/chain/, WebSocket at ws://{address}/v1/stream, GraphQL at http://{address}/graphql and its editor at http://{address}/graphiql/, metrics at http://{address}/metrics"
    );
    Ok(server)
}

/// The HTTP server, which does not listen yet, and what it serves.
pub(super) fn server(
    service: Service,
    (settings, shares): (&Settings, &Shares),
    nodes: Option<&Nodeos>,
) -> anyhow::Result<(Server, Endpoints)> {
    let http = dfuse_http::Options { max_connections: shares.connections, ..settings.http.options() };
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

/// Binds the address of the HTTP server.
pub(super) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen at {address}; stop what uses this port, or name another address with --listen")
    })
}
