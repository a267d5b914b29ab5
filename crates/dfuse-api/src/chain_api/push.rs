//! Pushes that return when the chain has the transaction, as `X-Eos-Push-Guarantee` wants: parsed, and answered in the form of the
//! node.

mod nodes;
mod transaction;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use dfuse_antelope::{
    Checksum256,
    model::{TransactionStatus, TransactionTrace},
};
use dfuse_blocks::BlockRef;
use dfuse_node::rpc::RpcError;
use dfuse_query::{
    ApiError, ApiResult,
    push::{Guarantee, PushError, PushQuestion, Reached, reached_trace},
    shorten,
};
use dfuse_render::{JsonWriter, Nesting, Renderer};
use metrics::{counter, gauge};
use serde_json::value::RawValue;

use self::{nodes::Pushing, transaction::Pushed};
use super::{
    NodeApi, NodeShaped, PREFIX,
    node_shaped::{FailedTransaction, TRANSACTION_EXPIRED, TRANSACTION_FAILED},
};
use crate::{
    metrics::{PUSHES, PUSHES_WAITING},
    params::body as bodies,
};
use dfuse_index::abi::ViewAbis;

/// What the header of a request says.
///
/// # Errors
/// 400 for another value.
pub(super) fn guarantee(header: &HeaderValue) -> Result<Guarantee, NodeShaped> {
    let text = String::from_utf8_lossy(header.as_bytes());
    text.parse().map_err(|()| {
        let message = format!(
            "\"{}\" is no guarantee; X-Eos-Push-Guarantee may be in-block, handoff:1, handoff:2, handoff:3 or \
             irreversible.",
            shorten(&text)
        );
        NodeShaped::unhandled(StatusCode::BAD_REQUEST, message)
    })
}

pub(super) async fn push(
    api: &NodeApi,
    call: &str,
    guarantee: Guarantee,
    request: Request,
) -> Result<Response, NodeShaped> {
    let pushes = &api.chain_api().pushes;
    let Some(_place) = pushes.place() else {
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
    let id = pushed.id;
    let question = PushQuestion { id, expiration: pushed.expiration, guarantee };
    let nodes = Pushing { upstreams: api.chain_api().upstreams(), path: format!("{PREFIX}{call}"), pushed: &pushed };
    let mut stopping = api.stopping();
    let outcome = pushes.push(api, &nodes, question, async move { stopping.begun().await }).await;
    if !matches!(outcome, Err(PushError::NoBlock)) {
        let label = if outcome.is_ok() { "reached" } else { "failed" };
        api.metrics().record(|| counter!(PUSHES, "guarantee" => guarantee.as_str(), "outcome" => label).increment(1));
    }
    let reached = outcome.map_err(|error| shaped(error, id))?;
    answer(api, if call == "push_transaction" { Nesting::Tree } else { Nesting::Flat }, &reached).await
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

fn shaped(error: PushError<RpcError>, id: Checksum256) -> NodeShaped {
    match error {
        PushError::NoNode => NodeShaped::unavailable("No node is configured."),
        PushError::NoBlock => NodeShaped::unavailable("No block is known yet, so that no push can be followed."),
        PushError::Node(error) => error.into(),
        PushError::Read(error) => error.into(),
        PushError::Stopping => NodeShaped::unavailable(format!(
            "The server is going away; the transaction {id} is with the node, push it again to follow it."
        )),
        PushError::Expired => NodeShaped::exception(
            &TRANSACTION_EXPIRED,
            format!(
                "the transaction {id} has expired: it is in no block, and an irreversible block is later than its expiration"
            ),
        ),
        PushError::TooLate { included, pushes } => {
            let so_far = match included {
                Some(block) => format!("it is in block {} ({})", block.number, block.id),
                None => "no block of the best chain has it".to_owned(),
            };
            NodeShaped::timeout(format!(
                "The guarantee for the transaction {id} was not reached in time: {so_far}. It was pushed again {} times.",
                pushes - 1
            ))
        }
    }
}

/// The transaction as its block has it, in the form of the node's own answer to this call.
async fn answer(api: &NodeApi, nesting: Nesting, reached: &Reached) -> Result<Response, NodeShaped> {
    let Reached { id, block, .. } = *reached;
    let render = reached_trace(api, reached, move |service, view, trace| {
        let mut text = Vec::new();
        Renderer::new(&mut text, &ViewAbis::new(view, service.abis())).pushed_trace(trace, nesting)?;
        Ok((status(trace), text))
    });
    let (status, trace) = render.await?;
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
