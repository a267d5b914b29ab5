//! What operators ask: is it ready, what does it count, what is it.

mod readiness;

use std::{collections::BTreeMap, net::SocketAddr};

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use dfuse_index::{BlockRef, IndexState, Part};
use dfuse_query::{ApiError, ApiResult, Class, Head, Look};
use metrics::{counter, gauge};
use serde_json::{Map, Value, json};

use crate::{
    AnswerForm, Api, Charge, Endpoint, Field, Json, Methods, Schema,
    answer::HttpError,
    metrics::{
        BODY_BYTES, COMMITTED, CONDITION_HOLDS, CONNECTIONS, CONNECTIONS_MOST, FEED_BYTES, FEED_HISTORY_BYTES, HEAD,
        HEAD_DRIFT, INDEX_LIVE, INDEX_STALLED, LIB, LOWEST_BLOCK, OVERLAY_BYTES, READY, REVERSIBLE_BLOCKS, SENT_AWAY,
        USAGE_UNWRITTEN, WS_QUEUED_BYTES, usage_of,
    },
};

use dfuse_render::rfc3339;

const HEALTH: &str = "/healthz";
const METRICS: &str = "/metrics";
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN: Charge = Charge::open(Class::LookUp);
const VERSION: Schema = Schema::Object(&[&[
    Field::always("name", Schema::Text),
    Field::always("version", Schema::Text),
    Field::always("addresses", Schema::List(&Schema::Text)),
]]);
const ANY_OBJECT: Schema = Schema::Map(&Schema::Anything);
const CONDITION: Schema = Schema::Object(&[&[
    Field::maybe("head", ANY_OBJECT),
    Field::always("lib", Schema::Nullable(&ANY_OBJECT)),
    Field::always("conditions", Schema::List(&Schema::Text)),
    Field::always("connections", ANY_OBJECT),
    Field::maybe("warnings", Schema::Map(&Schema::Text)),
    Field::always("readiness", Schema::Map(&ANY_OBJECT)),
    Field::maybe("state_from_block", Schema::Integer),
    Field::maybe("complete", Schema::Flag),
    Field::maybe("lowest_blocks", Schema::Map(&Schema::Integer)),
]]);
/// When to ask again.
const PAUSE_SECONDS: u32 = 5;

/// Whether this path is of those that operators ask.
pub(crate) fn is_below(path: &str) -> bool {
    ["/", "/healthz", "/metrics"].contains(&path)
}

/// `GET /healthz`: whether clients may be sent here.
async fn health(State(api): State<Api>) -> Result<Json<Value>, HttpError> {
    let look = look(&api).await?;
    let readiness = readiness::told(&api, &look);
    let Look { head, lib, conditions, state_start, floors, .. } = look;
    let floors = Part::ALL.into_iter().map(|part| (part.name(), floors.get(part)));
    let failing = conditions.iter().filter_map(|(name, state)| Some((name.to_string(), state.as_ref().err()?)));
    let failing: BTreeMap<_, _> = failing.map(|(name, why)| (name, without_places(why))).collect();
    if !failing.is_empty() {
        let message = format!("Not ready: {}.", failing.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
        let error = ApiError::unavailable(message).retry_after(PAUSE_SECONDS);
        return Err(error.detail("conditions", json!(failing)).detail("readiness", readiness).into());
    }
    let block = |block: BlockRef| json!({"num": block.number, "id": block.id});
    let places = api.places();
    let mut answer = json!({
        "lib": lib.map(block),
        "conditions": conditions.keys().collect::<Vec<_>>(),
        "connections": {"open": places.taken(), "most": places.most()},
        "readiness": readiness,
    });
    let mut warnings: BTreeMap<_, _> = api.readiness().warnings().into_iter().collect();
    if api.access().closed().is_some() {
        let told = "everything but health and metrics is answered with 503; `dfuse maintenance off` ends it";
        warnings.insert("maintenance".into(), told.to_owned());
    }
    if !warnings.is_empty() {
        let warnings = warnings.iter().map(|(name, text)| (name.to_string(), without_places(text).into()));
        answer["warnings"] = Value::Object(warnings.collect());
    }
    if let Some((first_block, is_complete)) = state_start {
        answer["state_from_block"] = json!(first_block);
        answer["complete"] = json!(is_complete);
    }
    let kept: Map<_, _> =
        floors.filter(|(_, floor)| *floor > 0).map(|(part, floor)| (part.into(), floor.into())).collect();
    if !kept.is_empty() {
        answer["lowest_blocks"] = Value::Object(kept);
    }
    if let Some(Head { block: reference, time, age_seconds }) = head {
        answer["head"] = block(reference);
        answer["head"]["time"] = json!(rfc3339(time));
        answer["head"]["age_seconds"] = json!(age_seconds);
    }
    Ok(Json(answer))
}

/// The text with paths and addresses left out. Everybody may ask for the health; where things are is in the log.
pub fn without_places(text: &str) -> String {
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

/// `GET /metrics`: all counts, as Prometheus reads them. They tell what each key has used.
async fn metrics(State(api): State<Api>) -> Result<Response, HttpError> {
    let Look { head, lib, conditions, status, floors, .. } = look(&api).await?;
    api.metrics().record(|| {
        let number = |block: Option<BlockRef>| block.map_or(0, |block| block.number);
        if let Some(head) = &head {
            gauge!(HEAD).set(head.block.number);
            gauge!(HEAD_DRIFT).set(head.age_seconds);
        }
        gauge!(LIB).set(number(lib));
        for part in Part::ALL {
            gauge!(LOWEST_BLOCK, "part" => part.name()).set(floors.get(part));
        }
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
        let used = api.access().used_since_start();
        gauge!(USAGE_UNWRITTEN).set(used.unwritten_requests as f64);
        for (caller, usage) in used.by_caller {
            usage_of(&caller, usage);
        }
        gauge!(READY).set(u32::from(conditions.values().all(Result::is_ok)));
        for (name, state) in &conditions {
            gauge!(CONDITION_HOLDS, "condition" => name.clone()).set(u32::from(state.is_ok()));
        }
        for index in &status.indexes {
            gauge!(INDEX_LIVE, "index" => index.name).set(u32::from(index.state == IndexState::Live));
        }
    });
    let media_type = HeaderValue::from_static(METRICS_TYPE);
    Ok(([(header::CONTENT_TYPE, media_type)], api.metrics().render()).into_response())
}

async fn look(api: &Api) -> ApiResult<Look> {
    Look::take(api, api.is_stopping()).await
}

/// `GET /`: what this is.
fn version(addresses: &[&str]) -> Json<Value> {
    Json(json!({"name": "dfuse", "version": env!("CARGO_PKG_VERSION"), "addresses": addresses}))
}

/// What operators ask, beside surfaces at those addresses. Nothing of it is counted or limited.
pub(crate) fn endpoints(addresses: Vec<&'static str>) -> Vec<Endpoint> {
    let addresses = [addresses, vec![HEALTH, METRICS]].concat();
    vec![
        Endpoint::raw("/", Methods::Get, OPEN, get(async move || version(&addresses))).answers(
            "The name and the version of the server, and where its surfaces begin.",
            AnswerForm::Json(VERSION),
        ),
        Endpoint::raw(HEALTH, Methods::Get, OPEN, get(health)).answers(
            "What the server is at: head, last irreversible block, conditions, connections, warnings.",
            AnswerForm::Json(CONDITION),
        ),
        Endpoint::raw(METRICS, Methods::Get, OPEN, get(metrics))
            .answers("All counts, in Prometheus' text format, for operators.", AnswerForm::Text(METRICS_TYPE))
            .for_operators(),
    ]
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
