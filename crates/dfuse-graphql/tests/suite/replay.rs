//! What the original answered on the same chain.

use std::collections::{BTreeMap, HashMap};

use dfuse_query::GraphqlRequest;
use dfuse_testkit::recorded;
use serde_json::Value;

use crate::support::TestChain;

/// Pairs cursors of the original with ours as they appear in answers to the same request.
#[derive(Debug, Default)]
pub(crate) struct Cursors(HashMap<String, String>);

impl Cursors {
    /// Our cursor for what a request of the original's recording has.
    pub(crate) fn of_request(&self, variables: &Value) -> Value {
        let mut variables = variables.clone();
        if let Some(members) = variables.as_object_mut() {
            for (key, value) in members {
                if let (true, Value::String(text)) = (is_cursor(key) || key == "c", &mut *value)
                    && let Some(own) = self.0.get(text)
                {
                    own.clone_into(text);
                }
            }
        }
        variables
    }

    /// The same for a document that has cursors in it.
    fn in_text(&self, query: &str) -> String {
        let cursors = self.0.iter().filter(|(theirs, _)| theirs.len() > 8);
        cursors.fold(query.to_owned(), |query, (theirs, own)| {
            query.replace(&format!("\"{theirs}\""), &format!("\"{own}\""))
        })
    }

    fn pair(&mut self, theirs: &str, own: &str) {
        self.0.entry(theirs.to_owned()).or_insert_with(|| own.to_owned());
    }
}

fn is_cursor(key: &str) -> bool {
    matches!(key, "cursor" | "startCursor" | "endCursor" | "before" | "after")
}

/// Where two answers differ: paths with what each has.
pub(crate) fn differences(cursors: &mut Cursors, theirs: &Value, own: &Value) -> Vec<(String, Value, Value)> {
    let mut found = Vec::new();
    compare(cursors, "", theirs, own, &mut found);
    found
}

fn compare(cursors: &mut Cursors, path: &str, theirs: &Value, own: &Value, found: &mut Vec<(String, Value, Value)>) {
    match (theirs, own) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let (a, b) = (a.get(key), b.get(key));
                let path = format!("{path}.{key}");
                match (a, b) {
                    (Some(Value::String(a)), Some(Value::String(b))) if is_cursor(key) => cursors.pair(a, b),
                    (Some(a), Some(b)) => compare(cursors, &path, a, b, found),
                    (a, b) => found.push((path, a.cloned().unwrap_or_default(), b.cloned().unwrap_or_default())),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                compare(cursors, &format!("{path}[{at}]"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        (a, b) => found.push((path.to_owned(), a.clone(), b.clone())),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    text.chars().take(160).collect()
}

/// Why a value may differ from the original's; absent if there is no reason.
pub(crate) fn reason(label: &str, query: &str, path: &str, theirs: &Value, own: &Value) -> Option<&'static str> {
    let ends = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match (theirs, own) {
        (Value::String(theirs), Value::String(own)) if format!("{theirs}.500") == *own => {
            Some("the original drops the half second of block timestamps in rows")
        }
        (Value::String(_), Value::Null) if ends(&["JSON.error"]) => Some("the original gives up on rows that decode"),
        (Value::Null, Value::Object(_)) if ends(&["JSON.object"]) => Some("the original gives up on rows that decode"),
        _ if ends(&[".blockRef.id"]) && text(theirs).is_empty() => Some("F19: lists tell the block that they are of"),
        (Value::Null, Value::Object(_)) if ends(&[".blockRef", ".pageInfo"]) => Some("F19: empty lists have both"),
        _ if ends(&[".blockRef.number"]) && text(theirs) == "0" => Some("F19: empty lists have both"),
        (Value::Bool(false), Value::Bool(true)) if ends(&[".isIrreversible"]) => Some("F20: what is final is told so"),
        (Value::Number(theirs), Value::Number(own))
            if ends(&[".irreversibleBlockNum"]) && theirs.as_u64() < own.as_u64() =>
        {
            Some("F20: what is final is told so")
        }
        (Value::Array(theirs), Value::Array(_)) if theirs.is_empty() && query.contains("status:") => {
            Some("the original does not find failures by their status")
        }
        (_, Value::Null) if ends(&["searchTransactionsForward.cursor"]) => Some("C3: nothing is left in the range"),
        (Value::Null, _) if ends(&["searchTransactionsForward.cursor"]) && query.contains("status:") => {
            Some("the original does not find failures by their status")
        }
        _ if label.starts_with("account history") => Some("the original had no history of accounts on this chain"),
        (Value::Object(theirs), Value::Null) if path == ".data" && theirs.is_empty() => Some("nothing was executed"),
        _ => None,
    }
}

/// Why a request may fail for one of both only.
fn reason_to_fail(query: &str, they_fail: bool) -> Option<&'static str> {
    let has = |text: &str| query.contains(text);
    match they_fail {
        false if has("limit:-1") || has("limit:0)") => Some("F17: limits are from 1 to 1000"),
        false if has("garbage") => Some("F13: cursors that are none are refused"),
        true if has("lowBlockNum:0,highBlockNum:0") => Some("C5: 0 as the last block is the newest one"),
        true if has("query($n:Uint32)") => {
            Some("the original panics in the blocks before the first change of producers")
        }
        true if has("ram.") || has("scheduled") || has("receiver") => Some("F10: enums are complete"),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let Some(lines) = recorded::lines("small/graphql/answers.jsonl.gz") else { return };
    let mut cursors = Cursors::default();
    let (mut all, mut wrong, mut excused) =
        (0, BTreeMap::<String, Vec<String>>::new(), BTreeMap::<&'static str, usize>::new());
    for line in lines {
        let line: Value = serde_json::from_slice(&line).unwrap();
        let (label, request, theirs) = (line["label"].as_str().unwrap(), &line["request"], &line["response"]);
        let asked = GraphqlRequest {
            query: cursors.in_text(request["query"].as_str().unwrap_or_default()),
            operation_name: request["operationName"].as_str().map(str::to_owned),
            variables: cursors.of_request(&request["variables"]).as_object().cloned().unwrap_or_default(),
        };
        let mut own = chain.answer(asked).await;
        let mut theirs = theirs.clone();
        all += 1;
        // Texts of errors are ours.
        let failed = (!theirs["errors"].is_null(), !own["errors"].is_null());
        let text = own["errors"].to_string();
        for answer in [&mut theirs, &mut own] {
            if let Some(answer) = answer.as_object_mut() {
                answer.remove("errors");
            }
        }
        let query = request.to_string();
        if failed.0 != failed.1 {
            match reason_to_fail(&query, failed.0) {
                Some(reason) => *excused.entry(reason).or_default() += 1,
                None => wrong.entry(format!("{label}: errors {failed:?}")).or_default().push(format!("{query} {text}")),
            }
            continue;
        }
        for (path, theirs, own) in differences(&mut cursors, &theirs, &own) {
            if let Some(reason) = reason(label, &query, &path, &theirs, &own) {
                *excused.entry(reason).or_default() += 1;
                continue;
            }
            let kind = path.rsplit('.').take(2).collect::<Vec<_>>().join(" of ");
            let kind: String = kind.chars().filter(|it| !it.is_ascii_digit()).collect();
            let difference = format!("{path}: {} | {} in {}", short(&theirs), short(&own), short(request));
            wrong.entry(format!("{label}: {kind}")).or_default().push(difference);
        }
    }
    for (reason, times) in &excused {
        eprintln!("{times} differ: {reason}");
    }
    for (kind, examples) in &wrong {
        eprintln!("{} {kind}\n    {}", examples.len(), examples[0]);
    }
    assert_eq!(all, 444);
    assert!(wrong.is_empty());
}
