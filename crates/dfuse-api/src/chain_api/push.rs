//! Pushes that return when the chain has the transaction, as `X-Eos-Push-Guarantee` wants.

mod guarantee;
mod transaction;
mod watch;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, header},
    response::Response,
};
use dfuse_antelope::{
    Checksum256,
    model::{TransactionStatus, TransactionTrace},
};
use dfuse_blocks::{
    BlockRef,
    feed::{FeedEvent, FeedStep},
};
use dfuse_node::rpc::{NodeClient, NodeError, PushAnswer, RpcError};
use dfuse_query::{
    ApiError, ApiResult, Reading,
    streams::{Recent, read_after, view_of},
};
pub(super) use guarantee::Guarantee;
use metrics::{counter, gauge};
use serde_json::value::RawValue;
use tokio::{
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};
use transaction::Pushed;
use watch::{Content, Outcome, Watch};

use super::{
    NodeApi, NodeShaped, PREFIX,
    node_shaped::{FailedTransaction, TRANSACTION_EXPIRED, TRANSACTION_FAILED},
};
use crate::{
    metrics::{PUSHES, PUSHES_WAITING},
    params::body as bodies,
};
use dfuse_index::abi::ViewAbis;
use dfuse_render::{JsonWriter, Nesting, Renderer};

/// How long the indexes may take to come to a block, for the ABIs of its actions; after that those of the moment do.
const INDEX_PATIENCE: Duration = Duration::from_secs(5);
/// Blocks whose transactions are kept for all who look for one.
const RECENT_BLOCKS: usize = 64;
const RECENT_BYTES: usize = 8 << 20;

/// Limits of pushes with a guarantee.
#[derive(Debug, Clone)]
pub struct PushOptions {
    /// Most pushes that wait at a time.
    pub max_waiting: usize,
    /// How often the first push is tried again when the node is away, or over a limit of resources.
    pub retries: u32,
    /// Pause before the first retry when the node is away; before the second one it is twice as long, and so on.
    pub away_pause: Duration,
    /// The same when the node is over a limit.
    pub busy_pause: Duration,
    /// How long one push may take.
    pub timeout: Duration,
    /// Time between two pushes of a transaction that waits.
    pub push_again: Duration,
    /// How long to wait for a block.
    pub in_block_timeout: Duration,
    /// How long to wait for other producers.
    pub handoffs_timeout: Duration,
    /// How long to wait for irreversibility.
    pub irreversible_timeout: Duration,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            max_waiting: 10_000,
            retries: 2,
            away_pause: Duration::from_millis(250),
            busy_pause: Duration::from_millis(500),
            timeout: Duration::from_secs(30),
            push_again: Duration::from_secs(8),
            in_block_timeout: Duration::from_secs(120),
            handoffs_timeout: Duration::from_secs(180),
            irreversible_timeout: Duration::from_secs(480),
        }
    }
}

/// What all pushes share.
#[derive(Debug)]
pub(super) struct Pushes {
    places: Semaphore,
    contents: Recent<Checksum256, Arc<Content>>,
}

impl Pushes {
    pub(super) fn new(max_waiting: usize) -> Self {
        Self {
            places: Semaphore::new(max_waiting.min(Semaphore::MAX_PERMITS)),
            contents: Recent::new(RECENT_BLOCKS, RECENT_BYTES),
        }
    }
}

pub(super) async fn push(
    api: &NodeApi,
    call: &str,
    guarantee: Guarantee,
    request: Request,
) -> Result<Response, NodeShaped> {
    let Ok(_place) = api.chain_api().pushes.places.try_acquire() else {
        let message = "Too many pushes wait for their guarantee: try later, or push without one.";
        return Err(NodeShaped::unavailable(message));
    };
    let _waiting = Waiting::begin(api);
    let pushed = {
        let call = call.to_owned();
        // Room is needed for as long as it takes to read it; what waits is counted by its place.
        let (body, _room) = bodies::read(request, api).await?;
        api.read_sent(move || Ok(Pushed::read(&call, &body))).await??
    };
    if api.chain().feed.head().is_none() {
        return Err(NodeShaped::unavailable("No block is known yet, so that no push can be followed."));
    }
    let outcome = Push { api, path: format!("{PREFIX}{call}"), pushed: &pushed, guarantee }.run().await;
    let label = match &outcome {
        Ok(_) => "reached",
        Err(_) => "failed",
    };
    api.metrics().record(|| counter!(PUSHES, "guarantee" => guarantee.as_str(), "outcome" => label).increment(1));
    let (block, event) = outcome?;
    let nesting = if call == "push_transaction" { Nesting::Tree } else { Nesting::Flat };
    answer(api, pushed.id, nesting, block, &event).await
}

/// Counts a push that waits.
struct Waiting<'a>(&'a NodeApi);

impl<'a> Waiting<'a> {
    fn begin(api: &'a NodeApi) -> Self {
        api.metrics().record(|| gauge!(PUSHES_WAITING).increment(1.0));
        Self(api)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.metrics().record(|| gauge!(PUSHES_WAITING).decrement(1.0));
    }
}

/// A push at work. All of it ends when its future is dropped, as when the client leaves.
struct Push<'a> {
    api: &'a NodeApi,
    path: String,
    pushed: &'a Pushed,
    guarantee: Guarantee,
}

/// What a node says of a push.
enum Said {
    /// It has the transaction now.
    Accepted,
    /// It had it before: it may be on the chain already.
    Duplicate,
    /// The transaction has expired.
    Expired(NodeShaped),
    /// It is away, or busy.
    Nothing(NodeShaped),
    /// It refuses.
    Refused(NodeShaped),
}

type Sending<'a> = Pin<Box<dyn Future<Output = Said> + Send + 'a>>;

impl Push<'_> {
    /// Returns the transaction's block, and the step with which what was wanted has happened.
    async fn run(&self) -> Result<(BlockRef, Box<FeedEvent>), NodeShaped> {
        let options = &self.api.node_options().push;
        // Before the push, so that no block is missed.
        let mut watch = Watch::begin(self.api, self.pushed, self.guarantee).await?;
        let mut stopping = self.api.stopping();
        let mut sending: Option<Sending<'_>> = Some(Box::pin(self.first_push()));
        let mut pushes = 1;
        let mut is_accepted = false;
        let mut push_again = true;
        let mut deadline = Box::pin(sleep(self.guarantee.patience(options)));
        let mut again = interval_at(Instant::now() + options.push_again, options.push_again);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let said = tokio::select! {
                outcome = watch.outcome() => match outcome? {
                    Outcome::Reached(block, event) => return Ok((block, event)),
                    Outcome::Expired => return Err(self.expired()),
                },
                said = async { sending.as_mut().expect("not polled without").as_mut().await }, if sending.is_some() => said,
                _ = again.tick(), if is_accepted && push_again && sending.is_none() => {
                    if let Some(node) = self.api.chain_api().upstreams.random() {
                        pushes += 1;
                        sending = Some(Box::pin(self.send(node.client())));
                    }
                    continue;
                }
                () = &mut deadline, if is_accepted => return Err(self.too_late(pushes, watch.included())),
                () = stopping.begun() => {
                    let message = format!(
                        "The server is going away; the transaction {} is with the node, push it again to follow it.",
                        self.pushed.id
                    );
                    return Err(NodeShaped::unavailable(message));
                }
            };
            sending = None;
            if !is_accepted {
                match said {
                    Said::Accepted => {}
                    Said::Duplicate if watch.included().is_some() => {}
                    // If it is in no block, it is among those that the node waits with.
                    Said::Duplicate => drop(watch.locate().await?),
                    Said::Expired(error) => {
                        if !watch.locate().await? {
                            return Err(error);
                        }
                        push_again = false;
                    }
                    Said::Nothing(error) | Said::Refused(error) => return Err(error),
                }
                is_accepted = true;
                deadline = Box::pin(sleep(self.guarantee.patience(options)));
                again.reset();
            } else {
                match said {
                    Said::Accepted | Said::Duplicate | Said::Nothing(_) => {}
                    Said::Expired(_) => push_again = false,
                    // A node on another branch may not want it, but the chain has it.
                    Said::Refused(_) if watch.included().is_some() => {}
                    Said::Refused(error) => return Err(error),
                }
            }
        }
    }

    /// To one node after the other until one says something.
    async fn first_push(&self) -> Said {
        let api = &self.api.node_options();
        let upstreams = self.api.chain_api().upstreams();
        let candidates = upstreams.candidates();
        let mut attempt = 0;
        loop {
            let Some(node) = candidates.get(attempt as usize % candidates.len().max(1)) else {
                return Said::Nothing(NodeShaped::unavailable("No node is configured."));
            };
            attempt += 1;
            let result = self.send_once(node.client()).await;
            match &result {
                Ok(_) | Err(RpcError::Refused { .. }) => upstreams.succeeded(node),
                Err(error) => upstreams.failed(node, error),
            }
            let (pause, said) = match result {
                Err(error) if error.refusal().is_some_and(NodeError::is_retryable) => {
                    (api.push.busy_pause, Said::Refused(error.into()))
                }
                Err(error) if error.refusal().is_none() => (api.push.away_pause, Said::Nothing(error.into())),
                result => return said(result),
            };
            if attempt > api.push.retries {
                return said;
            }
            sleep(pause * attempt).await;
        }
    }

    async fn send(&self, node: &NodeClient) -> Said {
        said(self.send_once(node).await)
    }

    async fn send_once(&self, node: &NodeClient) -> Result<(), RpcError> {
        let time = self.api.node_options().push.timeout;
        let PushAnswer { transaction_id, .. } = node.call_within(&self.path, &self.pushed.body, time).await?;
        if transaction_id == self.pushed.id {
            return Ok(());
        }
        let (node, path) = (node.url().to_owned(), self.path.clone());
        let reason = format!("it says that the transaction is {transaction_id}, not {}", self.pushed.id);
        Err(RpcError::Answer { node, path, status: 200, reason })
    }

    fn expired(&self) -> NodeShaped {
        let message = format!(
            "the transaction {} has expired: it is in no block, and an irreversible block is later than its expiration",
            self.pushed.id
        );
        NodeShaped::exception(&TRANSACTION_EXPIRED, message)
    }

    fn too_late(&self, pushes: u32, included: Option<BlockRef>) -> NodeShaped {
        let so_far = match included {
            Some(block) => format!("it is in block {} ({})", block.number, block.id),
            None => "no block of the best chain has it".to_owned(),
        };
        NodeShaped::timeout(format!(
            "The guarantee for the transaction {} was not reached in time: {so_far}. It was pushed again {} times.",
            self.pushed.id,
            pushes - 1
        ))
    }
}

fn said(result: Result<(), RpcError>) -> Said {
    match result {
        Ok(()) => Said::Accepted,
        Err(error) => match error.refusal() {
            Some(refusal) if refusal.is_duplicate() => Said::Duplicate,
            Some(refusal) if refusal.is_expired() => Said::Expired(error.into()),
            Some(refusal) if refusal.is_retryable() => Said::Nothing(error.into()),
            Some(_) => Said::Refused(error.into()),
            None => Said::Nothing(error.into()),
        },
    }
}

/// The transaction as its block has it, in the form of the node's own answer to this call.
async fn answer(
    api: &NodeApi,
    id: Checksum256,
    nesting: Nesting,
    block: BlockRef,
    event: &FeedEvent,
) -> Result<Response, NodeShaped> {
    let content = api.chain().feed.block(block).await.map_err(ApiError::from)?.block().await.map_err(ApiError::from)?;
    let reader = api.clone();
    let render = move |snapshot: &dfuse_index::ServingSnapshot, _: &Reading| {
        let trace = content.transaction_traces().iter().find(|trace| trace.id == id && trace.receipt.is_some());
        let trace = trace.ok_or_else(|| ApiError::unexpected(format!("block {block} does not have {id}")))?;
        let mut text = Vec::new();
        let view = view_of(snapshot, block.id)?;
        Renderer::new(&mut text, &ViewAbis::new(&view, reader.abis())).pushed_trace(trace, nesting)?;
        Ok((status(trace), text))
    };
    // Its ABIs are known when the indexes have come so far.
    let rendered = timeout(INDEX_PATIENCE, read_after(api, &FeedStep::from(event), 0, render.clone())).await;
    let (status, trace) = match rendered {
        Ok(Ok(Some(rendered))) => rendered,
        Ok(Ok(None)) | Err(_) => api.read(render).await?,
        Ok(Err(error)) => return Err(error.into()),
    };
    if !matches!(status, TransactionStatus::Executed | TransactionStatus::Delayed) {
        return Err(failed(id, block, status, trace)?);
    }
    let mut text = Vec::with_capacity(trace.len() + 256);
    let mut json = JsonWriter::new(&mut text);
    json.begin_object();
    json.key("transaction_id").checksum(id);
    json.key("block_id").checksum(block.id);
    json.key("block_num").unsigned(block.number);
    json.key("processed").raw(&trace);
    json.end_object();
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn status(trace: &TransactionTrace) -> TransactionStatus {
    trace.receipt.as_ref().map_or(TransactionStatus::Unknown, |receipt| receipt.status)
}

/// On the chain, but without effect.
fn failed(id: Checksum256, block: BlockRef, status: TransactionStatus, trace: Vec<u8>) -> ApiResult<NodeShaped> {
    let exception = match status {
        TransactionStatus::Expired => &TRANSACTION_EXPIRED,
        _ => &TRANSACTION_FAILED,
    };
    let status = dfuse_trx::Status::from(status);
    let message = format!("the transaction {id} is in block {}, but its status is {}", block.number, status.as_str());
    let trace = String::from_utf8(trace).map_err(ApiError::unexpected)?;
    let processed = RawValue::from_string(trace).map_err(ApiError::unexpected)?;
    let transaction = FailedTransaction { transaction_id: id, block_id: block.id, block_num: block.number, processed };
    Ok(NodeShaped::exception(exception, message).with_transaction(transaction))
}
