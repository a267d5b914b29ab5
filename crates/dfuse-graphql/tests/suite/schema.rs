//! The schema: what it has of the original's, and the file that shows it.

use std::{collections::BTreeMap, path::Path};

use dfuse_testkit::recorded;
use serde_json::{Value, json};

use crate::support::{TestChain, request};

const INTROSPECTION: &str = "{__schema{queryType{name} subscriptionType{name} mutationType{name} types{kind name \
    fields{name args{name defaultValue type{...T}} type{...T}} enumValues{name}}}} \
    fragment T on __Type{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name}}}}}";

/// A type as documents write it.
fn written(kind: &Value) -> String {
    match kind["kind"].as_str() {
        Some("NON_NULL") => format!("{}!", written(&kind["ofType"])),
        Some("LIST") => format!("[{}]", written(&kind["ofType"])),
        _ => kind["name"].as_str().unwrap_or_default().to_owned(),
    }
}

/// Every field, argument and value of a schema, each with its type and default.
fn all_of(schema: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    for kind in items(&schema["types"]).iter().filter(|kind| !name(kind).starts_with("__")) {
        all.insert(name(kind), kind["kind"].to_string());
        for value in items(&kind["enumValues"]) {
            all.insert(format!("{}.{}", name(kind), name(&value)), String::new());
        }
        for field in items(&kind["fields"]) {
            let path = format!("{}.{}", name(kind), name(&field));
            for argument in items(&field["args"]) {
                let kind = format!("{} = {}", written(&argument["type"]), argument["defaultValue"]);
                all.insert(format!("{path}({})", name(&argument)), kind);
            }
            all.insert(path, written(&field["type"]));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_all_of_the_originals() {
    let Some(theirs) = recorded::json("small/graphql/schema.json") else { return };
    let chain = TestChain::new(Box::new(std::io::empty())).await;
    let own = chain.answer(request(INTROSPECTION, json!({}))).await;
    let (theirs, own) = (&theirs["__schema"], &own["data"]["__schema"]);
    for root in ["queryType", "subscriptionType", "mutationType"] {
        assert_eq!(theirs[root]["name"], own[root]["name"]);
    }
    let (theirs, own) = (all_of(theirs), all_of(own));
    assert!(theirs.len() > 250, "{}", theirs.len());
    let lacking: Vec<_> = theirs
        .iter()
        // Of the scalars that every schema may have, these are used by no field.
        .filter(|(name, _)| !["Float", "ID", "Int"].contains(&name.as_str()))
        .filter(|(name, kind)| own.get(*name) != Some(*kind))
        .map(|(name, kind)| format!("{name}: {kind} | {:?}", own.get(name)))
        .collect();
    assert!(lacking.is_empty(), "{lacking:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_shows_it() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql");
    let chain = TestChain::new(Box::new(std::io::empty())).await;
    let own = chain.executor.sdl();
    if std::env::var_os("DFUSE_UPDATE_DOCS").is_some() {
        std::fs::write(&file, &own).unwrap();
    }
    let shown = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        shown == own,
        "schema.graphql is out of date: DFUSE_UPDATE_DOCS=1 cargo test -p dfuse-graphql --test suite"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_those_of_pages() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let document = "query($q: String!, $l: Int64){searchCount(query: $q, lowBlockNum: $l){transactions actions lowBlockNum \
        highBlockNum isComplete} searchTransactionsForward(query: $q, lowBlockNum: $l, limit: 1000){results{trace{id \
        matchingActions{seq receipt{authSequences{account sequence}}}}}}}";
    for query in ["account:eosio.token action:transfer", "auth:alice", "account:nosuch"] {
        let answer = chain.answer(request(document, json!({"q": query, "l": 10}))).await;
        let (count, found) = (&answer["data"]["searchCount"], &answer["data"]["searchTransactionsForward"]["results"]);
        let found = found.as_array().unwrap_or_else(|| panic!("{answer}"));
        let actions = found.iter().flat_map(|it| it["trace"]["matchingActions"].as_array().unwrap());
        assert_eq!(count["transactions"], found.len().to_string());
        assert_eq!(count["actions"], actions.clone().count().to_string());
        assert_eq!((&count["lowBlockNum"], &count["highBlockNum"]), (&json!(10), &json!(365)));
        assert_eq!(count["isComplete"], true);
        for action in actions {
            let sequences = action["receipt"]["authSequences"].as_array().unwrap();
            assert!(sequences.iter().all(|it| it["account"].is_string() && it["sequence"].is_string()), "{action}");
        }
    }
}
