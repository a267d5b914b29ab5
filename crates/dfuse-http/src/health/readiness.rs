//! What load balancers and alerts ask: few conditions whose names stay, each with its numbers.

use dfuse_query::Look;
use serde_json::{Map, Value, json};

use super::without_places;
use crate::Api;

/// The conditions of the parts that each stands for.
const FEED: [&str; 4] = ["source", "source_connection", "head_block", "head_age"];
const INDEX: [&str; 1] = ["index_store"];
const STORE: [&str; 2] = ["block_store", "bundles"];
const KEYS: [&str; 1] = ["keys"];
/// What the conditions of single indexes begin with.
const OF_INDEX: &str = "index_";

/// Feed, index, store, schema and keys: whether each holds, why not, and how it stands.
pub(super) fn told(api: &Api, look: &Look) -> Value {
    let mut all = Map::new();
    let mut tell = |name: &str, is_part: &dyn Fn(&str) -> bool, numbers: Value| {
        let failing = look.conditions.iter().filter(|(part, _)| is_part(part));
        let why: Vec<_> =
            failing.filter_map(|(_, state)| state.as_ref().err()).map(|why| without_places(why)).collect();
        let mut told = json!({"ready": why.is_empty()});
        if !why.is_empty() {
            told["why"] = json!(why.join("; "));
        }
        if let (Value::Object(told), Value::Object(numbers)) = (&mut told, numbers) {
            told.extend(numbers);
        }
        all.insert(name.to_owned(), told);
    };
    let feed = &api.chain().feed;
    let head = look.head.as_ref();
    let numbers = match head {
        Some(head) => json!({"head_block_num": head.block.number, "head_age_seconds": head.age_seconds}),
        None => json!({}),
    };
    tell("feed", &|part| FEED.contains(&part), numbers);
    if api.options().has_indexes {
        let (status, indexed) = (&look.status, head.map_or(0, |head| head.block.number));
        let behind = feed.head().map_or(0, |head| head.number.saturating_sub(indexed));
        let numbers = json!({
            "blocks_behind": behind,
            "committed_block_num": status.committed.map_or(0, |block| block.number),
            "reversible_blocks": status.reversible_blocks,
            "overlay_bytes": status.overlay_bytes,
        });
        tell("index", &|part| INDEX.contains(&part), numbers);
        let is_schema = |part: &str| part.starts_with(OF_INDEX) && !INDEX.contains(&part);
        let behind = look.conditions.iter().filter(|(part, state)| is_schema(part) && state.is_err()).count();
        tell("schema", &is_schema, json!({"indexes": status.indexes.len(), "indexes_to_build": behind}));
    }
    tell("store", &|part| STORE.contains(&part), json!({"memory_bytes": feed.memory_bytes()}));
    tell("keys", &|part| KEYS.contains(&part), json!({}));
    Value::Object(all)
}
