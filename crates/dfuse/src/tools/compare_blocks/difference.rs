//! What differs between two blocks.

use std::collections::BTreeSet;

use dfuse_antelope::model::Block;
use dfuse_blocks::EncodedBlock;
use serde_json::Value;

/// Longest value that is shown.
const SHOWN: usize = 80;

/// What differs between two blocks of one number, not more than `most`: the path of a field, and what it has in each.
pub(super) fn differences(a: &EncodedBlock, b: &EncodedBlock, most: usize) -> anyhow::Result<Vec<String>> {
    let mut found = vec![];
    let envelope = |block: &EncodedBlock| {
        [
            ("id", block.id().to_string()),
            ("parent_id", block.previous().to_string()),
            ("lib_num", block.lib_number().to_string()),
            ("timestamp", block.time().to_string()),
        ]
    };
    for ((name, a), (_, b)) in envelope(a).iter().zip(&envelope(b)) {
        if a != b {
            found.push(format!("{name} of the envelope: {a} in A, {b} in B"));
        }
    }
    if a.payload()? != b.payload()? {
        let [a, b] = [a, b].map(|block| {
            let mut block = block.decode()?;
            block.drop_json();
            anyhow::Ok(block)
        });
        let (a, b) = (a?, b?);
        let (filter_a, filter_b) = (filter(&a), filter(&b));
        if filter_a != filter_b {
            // All else differs for that.
            found.push(format!("filter: {filter_a} in A, {filter_b} in B"));
        } else if a != b {
            compare("", &serde_json::to_value(&a)?, &serde_json::to_value(&b)?, &mut found, most);
        }
    }
    found.truncate(most);
    Ok(found)
}

/// The filter that a block went through.
fn filter(block: &Block) -> String {
    if !block.filtering_applied {
        return "none".to_owned();
    }
    let texts = [
        ("include", &block.filtering_include_filter_expr),
        ("exclude", &block.filtering_exclude_filter_expr),
        ("system", &block.filtering_system_actions_include_filter_expr),
    ];
    let texts = texts.iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| format!("{name} \"{text}\""));
    texts.collect::<Vec<_>>().join(", ")
}

fn compare(path: &str, a: &Value, b: &Value, found: &mut Vec<String>, most: usize) {
    if a == b || found.len() >= most {
        return;
    }
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let field = |of: &serde_json::Map<String, Value>| of.get(name).cloned().unwrap_or_default();
                compare(&path, &field(a), &field(b), found, most);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                found.push(format!("{path}: {} elements in A, {} in B", a.len(), b.len()));
            }
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{at}]"), a, b, found, most);
            }
        }
        _ => found.push(format!("{path}: {} in A, {} in B", shown(a), shown(b))),
    }
}

/// A value in one line; fields without one are left out of JSON.
fn shown(value: &Value) -> String {
    if value.is_null() {
        return "nothing".to_owned();
    }
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_and_values_are_told() {
        let a = json!({"id": "x", "traces": [{"n": 1}, {"n": 2, "m": [1, 2]}], "same": [1]});
        let b = json!({"id": "y", "traces": [{"n": 1}, {"n": 3, "m": [1]}, {}], "same": [1]});
        let mut found = vec![];
        compare("", &a, &b, &mut found, 10);
        assert_eq!(
            found,
            [
                "id: \"x\" in A, \"y\" in B",
                "traces: 2 elements in A, 3 in B",
                "traces[1].m: 2 elements in A, 1 in B",
                "traces[1].n: 2 in A, 3 in B",
            ]
        );
        found.clear();
        compare("", &a, &b, &mut found, 1);
        assert_eq!(found.len(), 1);
        assert_eq!(shown(&json!("é".repeat(200))).chars().count(), SHOWN + 3);
    }
}
