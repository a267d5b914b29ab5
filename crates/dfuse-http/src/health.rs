//! What operators ask: is it ready, what does it count, what is it.

use std::{borrow::Cow, collections::BTreeMap, net::SocketAddr, time::Duration};

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use dfuse_index::{BlockRef, IndexState, ServingSnapshot, Status, blocks};
use dfuse_query::{ApiError, ApiResult, blocking, within};
use metrics::{counter, gauge};
use serde_json::{Value, json};

use crate::{
    Api, Endpoint, Json, Methods,
    answer::HttpError,
    metrics::{
        BODY_BYTES, COMMITTED, CONNECTIONS, CONNECTIONS_MOST, FEED_BYTES, FEED_HISTORY_BYTES, HEAD, HEAD_DRIFT,
        INDEX_LIVE, INDEX_STALLED, LIB, OVERLAY_BYTES, READY, REVERSIBLE_BLOCKS, SENT_AWAY, WS_QUEUED_BYTES,
    },
};
use dfuse_render::rfc3339;

const HEALTH: &str = "/healthz";
const METRICS: &str = "/metrics";
/// How long looking at the head may take: it is in memory, unless the store hangs.
const LOOK: Duration = Duration::from_secs(5);
/// When to ask again.
const PAUSE_SECONDS: u32 = 5;

/// Whether this path is of those that operators ask.
pub(crate) fn is_below(path: &str) -> bool {
    ["/", "/healthz", "/metrics"].contains(&path)
}

/// `GET /healthz`: whether clients may be sent here.
async fn health(State(api): State<Api>) -> Result<Json<Value>, HttpError> {
    let Look { head, lib, conditions, mid_chain_start, .. } = Look::take(&api).await?;
    let failing = conditions.iter().filter_map(|(name, state)| Some((name.to_string(), state.as_ref().err()?)));
    let failing: BTreeMap<_, _> = failing.map(|(name, why)| (name, without_places(why))).collect();
    if !failing.is_empty() {
        let message = format!("Not ready: {}.", failing.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
        let error = ApiError::unavailable(message).retry_after(PAUSE_SECONDS);
        return Err(error.detail("conditions", json!(failing)).into());
    }
    let block = |block: BlockRef| json!({"num": block.number, "id": block.id});
    let places = api.places();
    let mut answer = json!({
        "lib": lib.map(block),
        "conditions": conditions.keys().collect::<Vec<_>>(),
        "connections": {"open": places.taken(), "most": places.most()},
    });
    let warnings: BTreeMap<_, _> = api.readiness().warnings().into_iter().collect();
    if !warnings.is_empty() {
        let warnings = warnings.iter().map(|(name, text)| (name.to_string(), without_places(text).into()));
        answer["warnings"] = Value::Object(warnings.collect());
    }
    if let Some(first_block) = mid_chain_start {
        answer["state_from_block"] = json!(first_block);
        answer["complete"] = json!(false);
    }
    if let Some(Head { block: reference, time, age_seconds }) = head {
        answer["head"] = block(reference);
        answer["head"]["time"] = json!(time);
        answer["head"]["age_seconds"] = json!(age_seconds);
    }
    Ok(Json(answer))
}

/// The text with paths and addresses left out. Everybody may ask for the health; where things are is in the log.
fn without_places(text: &str) -> String {
    let is_place = |word: &str| {
        let word = word.trim_matches(|letter: char| !letter.is_alphanumeric() && !"/.~".contains(letter));
        word.starts_with(['/', '~']) && word.len() > 1
            || ["./", "../"].iter().any(|beginning| word.starts_with(beginning))
            || word.contains("://")
            // Relative paths, but not a fraction such as 3/4.
            || word.contains('/') && !word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'/')
            || word.parse::<SocketAddr>().is_ok()
    };
    let is_end = |letter: char| letter.is_whitespace() || "\"'`<>()[]{},;".contains(letter);
    let mut clean = String::with_capacity(text.len());
    for piece in text.split_inclusive(is_end) {
        let word = piece.trim_end_matches(is_end);
        if is_place(word) {
            let colon = if word.ends_with(':') { ":" } else { "" };
            clean.push_str("...");
            clean.push_str(colon);
            clean.push_str(&piece[word.len()..]);
        } else {
            clean.push_str(piece);
        }
    }
    clean
}

/// `GET /metrics`: all counts, as Prometheus reads them.
async fn metrics(State(api): State<Api>) -> Result<Response, HttpError> {
    let Look { head, lib, conditions, status, .. } = Look::take(&api).await?;
    api.metrics().record(|| {
        let number = |block: Option<BlockRef>| block.map_or(0, |block| block.number);
        if let Some(head) = &head {
            gauge!(HEAD).set(head.block.number);
            gauge!(HEAD_DRIFT).set(head.age_seconds);
        }
        gauge!(LIB).set(number(lib));
        gauge!(COMMITTED).set(number(status.committed));
        gauge!(INDEX_STALLED).set(u32::from(status.stall.is_some()));
        gauge!(REVERSIBLE_BLOCKS).set(status.reversible_blocks as f64);
        gauge!(OVERLAY_BYTES).set(status.overlay_bytes as f64);
        gauge!(FEED_BYTES).set(api.chain().feed.memory_bytes() as f64);
        let (encoded, decoded) = api.chain().feed.history_bytes();
        gauge!(FEED_HISTORY_BYTES, "form" => "encoded").set(encoded as f64);
        gauge!(FEED_HISTORY_BYTES, "form" => "decoded").set(decoded as f64);
        gauge!(WS_QUEUED_BYTES).set(api.queues().used() as f64);
        let places = api.places();
        gauge!(CONNECTIONS).set(places.taken() as f64);
        gauge!(CONNECTIONS_MOST).set(places.most() as f64);
        counter!(SENT_AWAY).absolute(places.sent_away());
        gauge!(BODY_BYTES).set(api.body_bytes() as f64);
        gauge!(READY).set(u32::from(conditions.values().all(Result::is_ok)));
        for index in &status.indexes {
            gauge!(INDEX_LIVE, "index" => index.name).set(u32::from(index.state == IndexState::Live));
        }
    });
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, media_type)], api.metrics().render()).into_response())
}

/// `GET /`: what this is.
fn version(addresses: &[&str]) -> Json<Value> {
    Json(json!({"name": "dfuse", "version": env!("CARGO_PKG_VERSION"), "addresses": addresses}))
}

/// What is open to all, beside surfaces at those addresses.
pub(crate) fn endpoints(addresses: Vec<&'static str>) -> Vec<Endpoint> {
    let addresses = [addresses, vec![HEALTH, METRICS]].concat();
    vec![
        Endpoint::raw("/", Methods::Get, get(async move || version(&addresses)))
            .answers("The name and the version of the server, and where its surfaces begin."),
        Endpoint::raw(HEALTH, Methods::Get, get(health))
            .answers("What the server is at: head, last irreversible block, conditions, connections, warnings."),
        Endpoint::raw(METRICS, Methods::Get, get(metrics)).answers("All counts, in Prometheus' text format."),
    ]
}

struct Head {
    block: BlockRef,
    time: String,
    age_seconds: f64,
}

/// The state of everything at one moment.
struct Look {
    head: Option<Head>,
    lib: Option<BlockRef>,
    /// By name: it holds, or why it does not.
    conditions: BTreeMap<Cow<'static, str>, Result<(), String>>,
    status: std::sync::Arc<Status>,
    /// The first block that is indexed, if the chain had begun before it.
    mid_chain_start: Option<u32>,
}

impl Look {
    /// Not in line with other reads: a busy server is a healthy one.
    async fn take(api: &Api) -> ApiResult<Self> {
        let (shared, serving) = (api.clone(), api.chain().serving.clone());
        let look = blocking(move |_| Self::at(&shared, &serving.snapshot(), serving.status()));
        within(LOOK, "The store does not answer.", look).await
    }

    fn at(api: &Api, snapshot: &ServingSnapshot, status: std::sync::Arc<Status>) -> ApiResult<Self> {
        let mut conditions = api.readiness().all();
        let mut hold = |name: Cow<'static, str>, problem: Option<String>| {
            conditions.insert(name, problem.map_or(Ok(()), Err));
        };
        let head = snapshot.head().map(|block| {
            let time = blocks::by_number(snapshot.view(), block.number)?.map(|block| block.time).unwrap_or_default();
            let age_ms = api.chain().clock.now().as_millis() as i64 - time.to_unix_ms();
            Ok::<_, dfuse_index::Error>(Head { block, time: rfc3339(time), age_seconds: age_ms as f64 / 1000.0 })
        });
        let head = head.transpose();
        let problem = match &head {
            Ok(None) => Some("no block yet".to_owned()),
            Ok(Some(_)) => None,
            Err(error) => Some(format!("the index of blocks cannot be read: {error}")),
        };
        hold("head_block".into(), problem);
        // What cannot be read is named; all else is still told.
        let head = head.unwrap_or_default();
        if let Some(most) = api.options().max_head_age {
            let age = head.as_ref().map(|head| head.age_seconds).filter(|age| *age > most.as_secs_f64());
            hold("head_age".into(), age.map(|age| format!("the head block is {age:.0} seconds old")));
        }
        let stall = status.stall.as_ref().map(|stall| format!("the store takes no writes: {}", stall.error));
        hold("index_store".into(), stall);
        for index in &status.indexes {
            let problem = match index.state {
                IndexState::Live => None,
                IndexState::Behind(None) => Some("it must be built from the first block on".to_owned()),
                IndexState::Behind(Some(block)) => Some(format!("it must be built from block {} on", block.number + 1)),
            };
            hold(format!("index_{}", index.name).into(), problem);
        }
        let stopping = api.is_stopping().then(|| "the server is going away".to_owned());
        hold("running".into(), stopping);
        Ok(Self { head, lib: snapshot.lib(), conditions, status, mid_chain_start: snapshot.mid_chain_start() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_left_out() {
        for (text, clean) in [
            ("catching up, at block 7", "catching up, at block 7"),
            (
                "blocks/merged-blocks/0000000100.dbin.zst: No space left on device (os error 28)",
                "...: No space left on device (os error 28)",
            ),
            (
                "cannot use its data directory /srv/dfuse/n: x; name one",
                "cannot use its data directory ...: x; name one",
            ),
            ("\"/a b/c\" is gone", "\"... ...\" is gone"),
            ("see s3://bucket/key?region=x, ~/x and ./y", "see ..., ... and ..."),
            ("it does not answer at http://10.0.0.1:8888", "it does not answer at ..."),
            ("cannot reach 10.0.0.1:8888 or [::1]:80", "cannot reach ... or [::1]:80"),
            ("3/4 of it, and so on / more", "3/4 of it, and so on / more"),
        ] {
            assert_eq!(without_places(text), clean);
        }
    }
}
