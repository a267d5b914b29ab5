//! `/v1/chain/*`: the node's own API, passed on, and pushes that return when the chain has the transaction.
//!
//! ```text
//! request -> handle: access -> push::push: a guarantee is asked for -> dfuse_query::push: the feed, and the nodes
//!                           -> InfoCache: get_info
//!                           -> proxy::forward: everything else
//! ```
//!
//! What the node answers passes through untouched; what we say here ourselves is a [`NodeShaped`] error.

mod info;
mod node_shaped;
mod proxy;
mod push;
mod upstreams;

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method},
    response::{IntoResponse, Response},
    routing::any,
};
use dfuse_http::{AnswerForm, Charge, Counts, Endpoint, Methods, limited, params::body::declared_length};
use dfuse_node::rpc::NodeClient;
use dfuse_query::{
    ApiError, ApiResult, Chain, Class, ErrorCode, RouteClass, Surface,
    push::{PushOptions, Pushes},
    shorten,
};
use info::InfoCache;
pub(crate) use node_shaped::NodeShaped;
use upstreams::Upstreams;

use crate::{Api, peer, sender};

/// What is below has errors in the structure of the node.
pub(crate) const PATH: &str = "/v1/chain";
const PREFIX: &str = "/v1/chain/";
const GUARANTEE: HeaderName = HeaderName::from_static("x-eos-push-guarantee");
/// How answers are counted for those who are known.
const COUNTS: Counts = Counts::Answers;
/// Where a guarantee can be asked for.
const PUSHES: [&str; 3] = ["push_transaction", "send_transaction", "send_transaction2"];

/// The nodes behind `/v1/chain/*`, and limits of what is asked of them.
#[derive(Debug, Clone)]
pub struct ChainApiOptions {
    /// Nodes that answer; the next one takes over when one fails. Without any, everything is answered with 503.
    pub upstreams: Vec<NodeClient>,
    /// Further nodes that transactions with a guarantee are pushed to when they do not come into a block at once.
    pub push_upstreams: Vec<NodeClient>,
    /// Whether plain requests are checked as all others are. Pushes with a guarantee always are.
    pub authenticate: bool,
    /// How often a request that failed is sent again, if that can do no harm.
    pub retries: u32,
    /// Pause before the first retry at the same node; before the second one it is twice as long, and so on.
    pub retry_pause: Duration,
    /// How long a node may take to begin its answer, and then for each part of it.
    pub timeout: Duration,
    /// How old an answer of `get_info` may be; at most half a second makes sense.
    pub info_age: Duration,
    /// How often nodes are looked at.
    pub health_interval: Duration,
    /// Blocks that a node may be behind the best one.
    pub max_blocks_behind: u32,
    /// Of pushes with a guarantee.
    pub push: PushOptions,
}

impl Default for ChainApiOptions {
    fn default() -> Self {
        Self {
            upstreams: Vec::new(),
            push_upstreams: Vec::new(),
            authenticate: false,
            retries: 2,
            retry_pause: Duration::from_millis(250),
            timeout: Duration::from_secs(30),
            info_age: Duration::from_millis(500),
            health_interval: Duration::from_secs(5),
            max_blocks_behind: 120,
            push: PushOptions::default(),
        }
    }
}

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct ChainApi {
    upstreams: Upstreams,
    info: InfoCache,
    pushes: Pushes,
    options: ChainApiOptions,
}

/// What a handler works with: its reads are charged to the client.
#[derive(Debug, Clone)]
pub(crate) struct NodeApi {
    api: Api,
    nodes: Arc<ChainApi>,
}

impl NodeApi {
    fn chain_api(&self) -> &ChainApi {
        &self.nodes
    }

    fn node_options(&self) -> &ChainApiOptions {
        &self.nodes.options
    }
}

impl Deref for NodeApi {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl ChainApi {
    pub(crate) fn new(options: ChainApiOptions, chain: &Chain) -> Self {
        Self {
            upstreams: Upstreams::new(&options, chain),
            info: InfoCache::new(options.info_age, chain.clock.clone()),
            pushes: Pushes::new(options.push.clone()),
            options,
        }
    }

    /// Looks at all nodes now and then until the server stops.
    pub(crate) async fn look_after(&self, api: Api) {
        self.upstreams.look_after(api, &self.options).await;
    }

    /// Who to ask.
    pub(crate) fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }
}

pub(crate) fn endpoints(nodes: Arc<ChainApi>) -> Vec<Endpoint> {
    let handle = async move |State(api): State<Api>, request: Request| {
        let api = api.charged_to(peer::client(request.extensions()));
        answer(&NodeApi { api, nodes }, request).await.unwrap_or_else(NodeShaped::into_response)
    };
    // It asks for access itself, where that is wanted.
    let charge = Charge::open(Class::LookUp).counting(COUNTS);
    let endpoint = |path, handle| {
        Endpoint::raw(path, Methods::Any, charge, any(handle)).answers("What a node answers.", AnswerForm::PassedOn)
    };
    vec![endpoint(PATH, handle.clone()), endpoint("/v1/chain/{*path}", handle)]
}

async fn answer(api: &NodeApi, request: Request) -> Result<Response, NodeShaped> {
    let call = call_of(request.uri().path())?.to_owned();
    let guarantee = request.headers().get(GUARANTEE).filter(|value| !value.is_empty());
    let guarantee = guarantee.filter(|_| request.method() == Method::POST && PUSHES.contains(&&*call)).cloned();
    let (parts, body) = request.into_parts();
    let ingress_bytes = declared_length(&parts.headers).unwrap_or_default();
    let admitted = sender::admit(api, &parts, Surface::Node).await;
    let (caller, standing) = if guarantee.is_some() || api.node_options().authenticate {
        let caller = admitted?;
        let class = if guarantee.is_some() { RouteClass::Push } else { RouteClass::Chain };
        let standing = caller.take(class)?;
        (Some(caller), standing)
    } else {
        // Whoever says who they are is counted, but nobody has to.
        (admitted.ok(), None)
    };
    let answer = pass_on(api, &call, guarantee, Request::from_parts(parts, body)).await;
    let mut response = answer.unwrap_or_else(NodeShaped::into_response);
    if let Some(caller) = &caller {
        response = limited::counted(response, caller, COUNTS, ingress_bytes);
    }
    if let Some(standing) = standing {
        limited::tell(standing, response.headers_mut());
    }
    Ok(response)
}

async fn pass_on(
    api: &NodeApi,
    call: &str,
    guarantee: Option<HeaderValue>,
    request: Request,
) -> Result<Response, NodeShaped> {
    let guarantee = guarantee.map(|value| push::guarantee(&value)).transpose()?;
    if !api.chain_api().upstreams.any() {
        return Err(NodeShaped::unavailable("No node is configured that could answer this: set chain_api.upstreams."));
    }
    match guarantee {
        Some(guarantee) => push::push(api, call, guarantee, request).await,
        None if call == "get_info" => info::get_info(api, request).await,
        None => proxy::forward(api, call, request).await,
    }
}

/// What stands behind the prefix. Anything but plain names is no call of a node, and might be a way to other paths.
fn call_of(path: &str) -> ApiResult<&str> {
    let call = path.strip_prefix(PREFIX).unwrap_or_default();
    let is_name = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    if call.split('/').all(is_name) {
        return Ok(call);
    }
    Err(ApiError::new(ErrorCode::RouteNotFound, "There is nothing at this path.").detail("path", shorten(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_plain_names() {
        for path in ["get_info", "get_table_rows", "a/b-1"] {
            assert_eq!(call_of(&format!("{PREFIX}{path}")).unwrap(), path);
        }
        for path in ["", "/", "..", "../producer/pause", "a//b", "a/", "%2e%2e/producer", "a\\b", "get info", "."] {
            assert!(call_of(&format!("{PREFIX}{path}")).is_err(), "{path}");
        }
    }
}
