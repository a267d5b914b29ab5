//! Replies as people and programs read them.

use std::{collections::BTreeMap, fmt::Write as _, io::Write as _};

use anyhow::Context;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::time::{shown, shown_day};
use crate::{
    control::{KeyView, Reply},
    failure,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Digits of an id that are shown in lists: as many name it everywhere.
const SHORT: usize = 12;

pub(super) fn print(reply: &Reply, format: Format, now: u64) -> anyhow::Result<()> {
    let text = match format {
        Format::Text => text(reply, now),
        Format::Json => format!("{}\n", json_of(reply)),
    };
    std::io::stdout().write_all(text.as_bytes()).context(failure::STDOUT)
}

fn json_of(reply: &Reply) -> Value {
    match reply {
        Reply::Created { text, key } => {
            let mut object = json!(key);
            object["key"] = json!(text);
            object
        }
        Reply::Keys { keys } => json!(keys),
        Reply::Key { key } => json!(key),
        Reply::Rotated { kid } => json!({"kid": kid}),
        Reply::Usage { rows, .. } => rows
            .iter()
            .map(|row| {
                let mut object = json!(row);
                object["day"] = json!(shown_day(row.day));
                object
            })
            .collect(),
        Reply::Maintenance { on } => json!({"maintenance": on}),
        Reply::Answer { status } => json!({"status": status}),
        Reply::BackedUp { copied } => json!(copied),
        Reply::IndexesCopied => json!({}),
        Reply::DiskUse { disk_use } => json!(disk_use),
        Reply::Extended { before } => json!({"before": before}),
        Reply::Failed { message, .. } => json!({"error": message}),
    }
}

fn text(reply: &Reply, now: u64) -> String {
    match reply {
        Reply::Created { text, key } => {
            format!("{}\nkey       {text}\n\nKeep the key now: it is not shown again.\n", one(key, now))
        }
        Reply::Keys { keys } if keys.is_empty() => "There are no keys; make one with dfuse keys create.\n".to_owned(),
        Reply::Keys { keys } => list(keys, now),
        Reply::Key { key } => one(key, now),
        Reply::Rotated { kid } => format!("The key {kid} signs tokens now.\n"),
        Reply::Usage { rows, .. } if rows.is_empty() => "Nothing was used on these days.\n".to_owned(),
        Reply::Usage { rows, keys } => {
            let names: BTreeMap<_, _> = keys.iter().map(|key| (key.id.to_string(), key)).collect();
            let mut text = row(&["day", "id", "name", "requests", "documents", "bytes in", "bytes out", "limited"]);
            for it in rows {
                let (id, name) = match names.get(&it.subject) {
                    Some(key) => (it.subject[..SHORT].to_owned(), key.spec.name.clone()),
                    None => ("-".to_owned(), it.subject.clone()),
                };
                let used = &it.usage;
                let numbers = [used.requests, used.documents, used.ingress_bytes, used.egress_bytes, used.rate_limited]
                    .map(|it| it.to_string());
                let cells = [&[shown_day(it.day), id, name][..], &numbers].concat();
                text += &row(&cells);
            }
            text
        }
        Reply::Maintenance { on } => format!("maintenance is {}\n", if *on { "on" } else { "off" }),
        Reply::Answer { .. }
        | Reply::BackedUp { .. }
        | Reply::IndexesCopied
        | Reply::DiskUse { .. }
        | Reply::Extended { .. } => {
            format!("{}\n", json_of(reply))
        }
        Reply::Failed { message, .. } => format!("{message}\n"),
    }
}

fn one(key: &KeyView, now: u64) -> String {
    let spec = &key.spec;
    let origins = spec.origins.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let fields = [
        ("id", key.id.to_string()),
        ("name", spec.name.clone()),
        ("kind", spec.kind.to_string()),
        ("state", state(key, now)),
        ("tier", spec.tier.clone().unwrap_or_default()),
        ("origins", origins),
        ("history", spec.history.map(|blocks| format!("{blocks} blocks below the head")).unwrap_or_default()),
        ("rate", spec.rate.map(|rate| rate.to_string()).unwrap_or_default()),
        ("created", shown(key.created)),
        ("expires", spec.expires.map(shown).unwrap_or_default()),
    ];
    let mut text = String::new();
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "{name:<9} {value}");
    }
    text
}

fn state(key: &KeyView, now: u64) -> String {
    match (key.revoked, key.spec.expires) {
        (Some(revoked), _) => format!("revoked at {}", shown(revoked)),
        (None, Some(expires)) if expires <= now => "expired".to_owned(),
        _ => "valid".to_owned(),
    }
}

fn list(keys: &[KeyView], now: u64) -> String {
    let mut text = row(&["id", "kind", "state", "tier", "created", "name"]);
    for key in keys {
        let state = state(key, now);
        let (id, created) = (key.id.to_string(), shown(key.created));
        let state = state.split(' ').next().unwrap_or_default();
        let tier = key.spec.tier.as_deref().unwrap_or("-");
        text += &row(&[&id[..SHORT], key.spec.kind.name(), state, tier, &created, &key.spec.name]);
    }
    text
}

/// Cells with tabs between them: what is pasted into a table stays one, and `column -t` aligns it.
fn row(cells: &[impl AsRef<str>]) -> String {
    let cells: Vec<_> = cells.iter().map(AsRef::as_ref).collect();
    format!("{}\n", cells.join("\t"))
}
