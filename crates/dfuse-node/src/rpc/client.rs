use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dfuse_antelope::{Checksum256, Name, model::PackedTransaction};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{Method, Request, Response, Uri, header};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tokio::{sync::Semaphore, time::timeout};
use url::Url;

use super::{
    Info, NodeBody, NodeError, PackedTransactionJson, ProtocolFeature, PushAnswer, RequestBody, RpcError, Snapshot,
    answers::{RawAbi, from_base64},
    empty_body, full_body,
    transport::Transport,
};

/// Most of an answer that an error shows.
const SHOWN: usize = 120;

/// Limits of a client.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a call may take, its answer included.
    pub timeout: Duration,
    /// Most bytes of an answer that is read whole.
    pub max_answer_bytes: usize,
    /// Requests that may be at work at a time, each with a connection, shared with other nodes; more wait for their turn.
    /// Any number without it.
    pub at_work: Option<Arc<Semaphore>>,
    /// Most connections that are kept for the next request.
    pub max_idle: usize,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            max_answer_bytes: 64 << 20,
            at_work: None,
            max_idle: 64,
        }
    }
}

/// One node. Cloning is cheap, and clones share connections.
#[derive(Debug, Clone)]
pub struct NodeClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    transport: Transport,
    /// `http://host:port` and a path, if there is one, without a slash at the end.
    base: String,
    options: NodeOptions,
}

impl NodeClient {
    /// The node at `http://...` or `https://...`; what the address has as a path comes before those of calls. Nothing is
    /// connected yet.
    ///
    /// # Errors
    /// [`RpcError::Url`].
    pub fn new(url: &str, options: NodeOptions) -> Result<Self, RpcError> {
        let wrong = |reason: &str| RpcError::Url { url: without_user(url), reason: reason.to_owned() };
        let parsed = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
        if !["http", "https"].contains(&parsed.scheme()) || !parsed.has_host() {
            return Err(wrong("it must begin with http:// or https:// and a host"));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(wrong("it must have no user and no password"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(wrong("it must have no query"));
        }
        let tls = parsed.scheme() == "https";
        let transport = Transport::new(tls, options.connect_timeout, options.max_idle);
        let transport = transport.map_err(|error| wrong(&format!("no certificates to check it with: {error}")))?;
        let base = parsed.as_str().trim_end_matches('/').to_owned();
        Ok(Self(Arc::new(Inner { transport, base, options })))
    }

    /// The node's address, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.0.base
    }

    /// Calls `path`, as `/v1/chain/get_info`, within [`NodeOptions::timeout`].
    ///
    /// # Errors
    /// All but [`RpcError::Url`].
    pub async fn call<A: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<A, RpcError> {
        self.call_within(path, body, self.0.options.timeout).await
    }

    /// Calls `path` within some time.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn call_within<A: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        time: Duration,
    ) -> Result<A, RpcError> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(&error))?;
        let request = Request::builder().method(Method::POST).header(header::CONTENT_TYPE, "application/json");
        let request = request.body(full_body(body)).map_err(|error| self.broken(&error))?;
        let (status, answer) = self.exchange(path, request, time).await?;
        let wrong =
            |reason: String| RpcError::Answer { node: self.0.base.clone(), path: path.to_owned(), status, reason };
        if (200..300).contains(&status) {
            return serde_json::from_slice(&answer).map_err(|error| wrong(format!("{error}: {}", shown(&answer))));
        }
        Err(match NodeError::from_json(&answer) {
            Some(error) => {
                RpcError::Refused { node: self.0.base.clone(), path: path.to_owned(), error: Box::new(error) }
            }
            None => wrong(shown(&answer)),
        })
    }

    /// What is at the address itself, within [`NodeOptions::timeout`].
    ///
    /// # Errors
    /// All but [`RpcError::Url`] and [`RpcError::Refused`].
    pub async fn get(&self) -> Result<Bytes, RpcError> {
        let request = Request::get("/").body(empty_body()).map_err(|error| self.broken(&error))?;
        let (status, answer) = self.exchange("", request, self.0.options.timeout).await?;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        Err(RpcError::Answer { node: self.0.base.clone(), path: String::new(), status, reason: shown(&answer) })
    }

    /// Passes a request on to `path_and_query`. The answer's head must come within some time; its body is a stream.
    ///
    /// # Errors
    /// [`RpcError::Busy`], [`RpcError::Connect`], [`RpcError::Broken`], [`RpcError::Timeout`].
    pub async fn forward(
        &self,
        path_and_query: &str,
        mut request: Request<RequestBody>,
        time: Duration,
    ) -> Result<Response<NodeBody>, RpcError> {
        let uri = format!("{}{path_and_query}", self.0.base);
        *request.uri_mut() = uri.parse::<Uri>().map_err(|error| self.broken(&error))?;
        let place = match &self.0.options.at_work {
            Some(places) => match timeout(time, places.clone().acquire_owned()).await {
                Ok(Ok(place)) => Some(place),
                Ok(Err(_)) | Err(_) => return Err(RpcError::Busy { node: self.0.base.clone() }),
            },
            None => None,
        };
        match timeout(time, self.0.transport.request(request)).await {
            Ok(Ok(response)) => Ok(response.map(|body| NodeBody::new(body, place))),
            Ok(Err(error)) if error.is_connect() => {
                Err(RpcError::Connect { node: self.0.base.clone(), reason: innermost(&error) })
            }
            Ok(Err(error)) => Err(self.broken(&innermost(&error))),
            Err(_) => Err(self.late(path_and_query, time)),
        }
    }

    /// Passes a request on and reads the answer whole: its status and its bytes.
    async fn exchange(
        &self,
        path: &str,
        request: Request<RequestBody>,
        time: Duration,
    ) -> Result<(u16, Bytes), RpcError> {
        let limit = self.0.options.max_answer_bytes;
        let exchange = async {
            let response = self.forward(path, request, time).await?;
            let status = response.status().as_u16();
            match Limited::new(response.into_body(), limit).collect().await {
                Ok(body) => Ok((status, body.to_bytes())),
                Err(error) if error.is::<LengthLimitError>() => Err(RpcError::Answer {
                    node: self.0.base.clone(),
                    path: path.to_owned(),
                    status,
                    reason: format!("more than {limit} bytes"),
                }),
                Err(error) => Err(self.broken(&error)),
            }
        };
        timeout(time, exchange).await.unwrap_or_else(|_| Err(self.late(path, time)))
    }

    fn broken(&self, reason: &impl ToString) -> RpcError {
        RpcError::Broken { node: self.0.base.clone(), reason: reason.to_string() }
    }

    fn late(&self, path: &str, time: Duration) -> RpcError {
        RpcError::Timeout { node: self.0.base.clone(), path: path.to_owned(), time }
    }
}

/// The calls that dfuse makes. Errors are those of [`NodeClient::call`].
#[allow(clippy::missing_errors_doc, reason = "said above")]
impl NodeClient {
    /// `get_info`: the chain and its head.
    pub async fn get_info(&self) -> Result<Info, RpcError> {
        self.call("/v1/chain/get_info", &json!({})).await
    }

    /// `get_account`: all fields, as the node has them.
    pub async fn get_account(&self, account: Name) -> Result<Map<String, Value>, RpcError> {
        self.call("/v1/chain/get_account", &json!({"account_name": account})).await
    }

    /// `get_raw_abi`: a contract's packed ABI, empty if the account has none.
    pub async fn get_raw_abi(&self, account: Name) -> Result<Vec<u8>, RpcError> {
        let path = "/v1/chain/get_raw_abi";
        let answer: RawAbi = self.call(path, &json!({"account_name": account})).await?;
        from_base64(&answer.abi).map_err(|error| RpcError::Answer {
            node: self.0.base.clone(),
            path: path.to_owned(),
            status: 200,
            reason: format!("the ABI is not base64: {error}"),
        })
    }

    /// `push_transaction`: returns when the node has executed it, speculatively.
    pub async fn push_transaction(&self, transaction: &PackedTransaction) -> Result<PushAnswer, RpcError> {
        self.call("/v1/chain/push_transaction", &PackedTransactionJson::from(transaction)).await
    }

    /// `get_supported_protocol_features`: those that are not active too.
    pub async fn get_supported_protocol_features(&self) -> Result<Vec<ProtocolFeature>, RpcError> {
        let all = json!({"exclude_disabled": false, "exclude_unactivatable": false});
        self.call("/v1/producer/get_supported_protocol_features", &all).await
    }

    /// `schedule_protocol_feature_activations`: the next block that the node makes activates them.
    pub async fn schedule_protocol_feature_activations(&self, digests: &[Checksum256]) -> Result<(), RpcError> {
        let body = json!({"protocol_features_to_activate": digests});
        let _: Value = self.call("/v1/producer/schedule_protocol_feature_activations", &body).await?;
        Ok(())
    }

    /// `create_snapshot`: returns when the file is written, which may take minutes.
    pub async fn create_snapshot(&self, time: Duration) -> Result<Snapshot, RpcError> {
        self.call_within("/v1/producer/create_snapshot", &json!({}), time).await
    }
}

/// The last cause: what is around it says that a client failed.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn shown(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".to_owned();
    }
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("\"{text}\"{}", if bytes.len() > SHOWN { " and more" } else { "" })
}

/// What may be told of an address: a password may be in it.
fn without_user(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        (None, Some((_, host))) => format!("***@{host}"),
        (_, None) => url.chars().take(SHOWN).collect(),
    }
}
