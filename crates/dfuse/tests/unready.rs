//! Before the first block: whatever `/openapi.json` has, on every surface of a whole process, says that the server is not ready,
//! or needs no block.
#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use support::Server;
use tempfile::TempDir;

const KEY: &str = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV";

/// A value of a parameter that it takes.
fn value(path: &str, name: &str, schema: &Value) -> String {
    let first = schema["enum"].as_array().map(|values| values[0].as_str().unwrap().to_owned());
    // 0 is the head, or no beginning.
    let least = schema["minimum"].as_u64().map(|least| least.max(1).to_string());
    first.or(least).unwrap_or_else(|| {
        match (path, name) {
            (_, "time") => "2019-01-01T00:00:00Z",
            (_, "public_key") | ("/key/{key}", _) => KEY,
            (_, "symbol") => "EOS",
            ("/graphql", "query") => "%7Bblock(num:2)%7Bid%7D%7D",
            ("/search", _) | (_, "q") => "receiver:eosio",
            (_, "block" | "id" | "hash") => "0000000200000000000000000000000000000000000000000000000000000000",
            _ => "eosio",
        }
        .to_owned()
    })
}

/// Path and query of a good request.
fn target(path: &str, operation: &Value) -> String {
    let mut target = path.to_owned();
    let mut pairs = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let value = value(path, name, &parameter["schema"]);
        if parameter["in"] == "path" {
            target = target.replace(&format!("{{{name}}}"), &value);
        } else if parameter["required"] == true || name == "public_key" {
            pairs.push(format!("{name}={value}"));
        }
    }
    format!("{target}?{}", pairs.join("&"))
}

#[test]
fn every_surface_says_so() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let (mut server, log) = Server::piped(&folder.path().join("data"));
    let document = server.get("/openapi.json").json();
    let mut ready = BTreeSet::new();
    let mut unready = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(operation) = operations.get("get") else { continue };
        let target = target(path, operation);
        let answer = server.get(&target);
        let body = String::from_utf8_lossy(&answer.body);
        if answer.status == 503 && body.contains("app_not_ready_error") {
            assert!(answer.headers.contains("retry-after: 5"), "{target}: {}", answer.headers);
            unready += 1;
        } else {
            ready.insert(format!("{} {path}", answer.status));
        }
    }
    assert!(unready > 35, "{unready}");
    let needs_no_block = [
        "200 /",
        "200 /.well-known/jwks.json",
        "200 /dashboard",
        "200 /home",
        "200 /metrics",
        "200 /openapi.json",
        "302 /playground",
        "400 /v1/stream",
        "404 /v1/chain",
        "503 /healthz",
        "503 /v1/chain/{path}",
    ];
    let is_page =
        |entry: &&String| ["/docs", "/graphiql", "/guide", "/assets", "/favicon"].iter().any(|it| entry.contains(it));
    let others: BTreeSet<_> = ready.iter().filter(|entry| !is_page(entry)).map(String::as_str).collect();
    assert_eq!(others, BTreeSet::from(needs_no_block));
    server.stop();
    // A log that ends without a block is an error.
    drop(log);
}
