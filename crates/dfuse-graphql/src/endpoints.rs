use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{FromRequestParts, Request, State, ws::WebSocketUpgrade},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use dfuse_http::{Api, Routes, proven, websocket::is_wanted};
use dfuse_query::{GraphqlExecutor, Surface, TraceId};

use crate::{
    editor,
    http::{self, Media},
    metrics::describe,
    socket::{self, SocketOptions, Sockets},
};

/// GraphQL over HTTP and WebSocket, and its editor.
#[derive(Debug)]
pub struct Endpoints {
    api: Api,
    executor: Arc<dyn GraphqlExecutor>,
    options: SocketOptions,
}

impl Endpoints {
    /// Has documents executed by that executor.
    pub fn new(api: &Api, executor: Arc<dyn GraphqlExecutor>, options: SocketOptions) -> Self {
        api.metrics().record(describe);
        Self { api: api.clone(), executor, options }
    }

    /// Its routes, for a server.
    pub fn routes(&self) -> Routes {
        let api = &self.api;
        let sockets = Arc::new(Sockets::new(api, self.executor.clone(), self.options.clone()));
        Routes::default()
            .with((api, Surface::Graphql), http::endpoints(&self.executor), |routes| {
                sockets_first(proven(routes, api), sockets)
            })
            .with((api, Surface::Graphql), editor::endpoints(), |routes| routes)
            .at(http::PATH)
            .at(editor::PATH)
    }
}

/// Who opens a connection is admitted by its first message, everybody else by the request.
fn sockets_first(routes: Router<Api>, sockets: Arc<Sockets>) -> Router<Api> {
    routes.route_layer(from_fn_with_state(sockets, dispatch))
}

async fn dispatch(
    State(sockets): State<Arc<Sockets>>,
    Extension(trace_id): Extension<TraceId>,
    request: Request,
    next: Next,
) -> Response {
    if is_wanted(request.headers()) {
        let (mut parts, _) = request.into_parts();
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
        return socket::open(sockets, &parts, trace_id, upgrade);
    }
    let media = Media::wanted(request.headers());
    http::in_form(next.run(request).await, media, trace_id)
}
