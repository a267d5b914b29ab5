//! Comparison of JSON documents that tells where they first differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Debug, Display},
};

use serde_json::{Map, Value};

/// Panics with the path of the first difference, if there is one. A key that only one side has is a difference.
#[track_caller]
pub fn assert_same(what: impl Display, ours: &Value, theirs: &Value) {
    if let Some(difference) = difference(ours, theirs) {
        panic!("{what}{difference}");
    }
}

/// Panics with the first key whose values differ, if there is one.
#[track_caller]
pub fn assert_same_map<K: Ord + Debug, V: PartialEq + Debug>(
    what: impl Display,
    ours: &BTreeMap<K, V>,
    theirs: &BTreeMap<K, V>,
) {
    if ours == theirs {
        return;
    }
    let keys: BTreeSet<&K> = ours.keys().chain(theirs.keys()).collect();
    for key in keys {
        let (ours, theirs) = (ours.get(key), theirs.get(key));
        assert!(ours == theirs, "{what}: {key:?}: ours is {ours:?}, the node's {theirs:?}");
    }
}

/// A document without these keys, in all of its objects.
#[must_use]
pub fn without_keys(mut document: Value, keys: &[&str]) -> Value {
    remove_keys(&mut document, keys);
    document
}

fn remove_keys(value: &mut Value, keys: &[&str]) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !keys.contains(&key.as_str()));
            map.values_mut().for_each(|value| remove_keys(value, keys));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| remove_keys(item, keys)),
        _ => {}
    }
}

/// The path of the first difference and both values.
fn difference(ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            let of = |map: &Map<String, Value>, key: &String| map.get(key).cloned().unwrap_or("(absent)".into());
            keys.into_iter().find_map(|key| Some(format!(".{key}{}", difference(&of(ours, key), &of(theirs, key))?)))
        }
        (Value::Array(ours), Value::Array(theirs)) => std::iter::zip(ours, theirs)
            .enumerate()
            .find_map(|(at, (ours, theirs))| Some(format!("[{at}]{}", difference(ours, theirs)?)))
            .or_else(|| {
                (ours.len() != theirs.len()).then(|| format!(": we have {}, the node {}", ours.len(), theirs.len()))
            }),
        _ if ours == theirs => None,
        _ => Some(format!(": ours is {ours}, the node's {theirs}")),
    }
}

#[test]
fn a_difference_is_told_with_its_path() {
    let ours = serde_json::json!({"a": [1, {"b": 2}], "c": 3});
    let mut theirs = ours.clone();
    assert_eq!(difference(&ours, &theirs), None);
    theirs["a"][1]["b"] = 4.into();
    assert_eq!(difference(&ours, &theirs).unwrap(), ".a[1].b: ours is 2, the node's 4");
    theirs["a"] = ours["a"].clone();
    theirs["d"] = Value::Null;
    assert_eq!(difference(&ours, &theirs).unwrap(), ".d: ours is \"(absent)\", the node's null");
}
