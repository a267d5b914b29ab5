//! An account in the form in which a node tells it.

use dfuse_antelope::{BlockTimestamp, Name};
use dfuse_query::state::{Account, AccountCreated, AccountLinks};
use dfuse_render::rfc3339;
use dfuse_state::{
    PermissionLink,
    account_state::{AccountLimits, AccountPermission},
};
use serde_json::{Map, Value, json};

use super::zero::{self, NEVER};

/// The permission that stands for all others of an account in links.
const ANY: Name = Name::literal("eosio.any");
/// Numbers above are texts in a node's JSON.
const MAX_NUMBER: i64 = 0xffff_ffff;

/// What a node would say; absent is what only a node knows.
pub(super) fn account(account: &Account, links: &[PermissionLink]) -> Map<String, Value> {
    let permissions: Vec<_> = account.permissions.iter().map(|it| permission(it, links)).collect();
    let mut values = object([
        ("account_name", json!(account.name)),
        ("privileged", account.base.is_privileged.into()),
        ("last_code_update", time(account.base.code_updated)),
        ("created", time(account.base.created)),
        ("permissions", permissions.into()),
        ("eosio_any_linked_actions", linked_actions(links, ANY)),
    ]);
    if let Some(limits) = &account.limits {
        values.extend(resources(limits));
    }
    if let Some(usage) = account.ram_usage {
        values.insert("ram_usage".to_owned(), number(i64::try_from(usage).unwrap_or(i64::MAX)));
    }
    let rows = &account.system_rows;
    for (key, row) in [
        ("total_resources", &rows.total_resources),
        ("self_delegated_bandwidth", &rows.self_delegated_bandwidth),
        ("refund_request", &rows.refund_request),
        ("voter_info", &rows.voter_info),
    ] {
        values.extend(row.clone().map(|row| (key.to_owned(), row)));
    }
    if let Some(balance) = account.core_balance {
        values.insert("core_liquid_balance".to_owned(), balance.to_string().into());
    }
    if let Some((head, time)) = account.head {
        values.insert("head_block_num".to_owned(), head.number.into());
        values.insert("head_block_time".to_owned(), time.to_string().into());
    }
    if let Some((first_block, is_complete)) = account.coverage {
        values.insert("state_from_block".to_owned(), first_block.into());
        values.insert("complete".to_owned(), is_complete.into());
    }
    values
}

/// Adds what nodes do not say, and what clients read without asking.
pub(super) fn complete(mut account: Map<String, Value>, known: &AccountLinks) -> Map<String, Value> {
    zero::fill(&mut account);
    let updated = account.get("last_code_update").and_then(Value::as_str);
    // Nodes print the fraction since version 2.
    let never = NEVER.trim_end_matches(".000");
    let has_contract = updated.is_some_and(|time| !time.starts_with(never));
    let links = known.links.iter();
    let links =
        links.map(|link| json!({"contract": link.contract, "action": link.action, "permission_name": link.permission}));
    account.insert("creator".to_owned(), known.created.as_ref().map_or(Value::Null, creator));
    account.insert("linked_permissions".to_owned(), links.collect::<Vec<_>>().into());
    // Nobody ever filled it.
    account.insert("account_verifications".to_owned(), Value::Null);
    account.insert("has_contract".to_owned(), has_contract.into());
    account
}

fn creator(created: &AccountCreated) -> Value {
    json!({
        "created": created.name,
        "creator": created.creation.creator,
        "block_id": created.block.as_ref().map(|block| block.id),
        "block_num": created.block_number,
        "block_time": created.block.as_ref().map(|block| rfc3339(block.time)),
        "trx_id": created.creation.transaction_id,
    })
}

fn resources(limits: &AccountLimits) -> Map<String, Value> {
    let mut values = object([
        ("net_weight", number(limits.net_weight)),
        ("cpu_weight", number(limits.cpu_weight)),
        ("ram_quota", number(limits.ram_bytes)),
    ]);
    for (key, weight) in [("net_limit", limits.net_weight), ("cpu_limit", limits.cpu_weight)] {
        if weight < 0 {
            values.insert(key.to_owned(), json!({"used": -1, "available": -1, "max": -1}));
        }
    }
    values
}

fn permission(permission: &AccountPermission, links: &[PermissionLink]) -> Value {
    let authority = &permission.authority;
    let keys = authority.keys.iter().map(|it| json!({"key": it.public_key, "weight": it.weight}));
    let accounts = authority.accounts.iter().map(|it| {
        let level = json!({"actor": it.permission.actor, "permission": it.permission.permission});
        json!({"permission": level, "weight": it.weight})
    });
    let waits = authority.waits.iter().map(|it| json!({"wait_sec": it.wait_sec, "weight": it.weight}));
    json!({
        "perm_name": permission.name,
        "parent": permission.parent,
        "required_auth": {
            "threshold": authority.threshold,
            "keys": keys.collect::<Vec<_>>(),
            "accounts": accounts.collect::<Vec<_>>(),
            "waits": waits.collect::<Vec<_>>(),
        },
        "linked_actions": linked_actions(links, permission.name),
    })
}

/// The links of one permission; those of all actions of a contract have no action.
fn linked_actions(links: &[PermissionLink], permission: Name) -> Value {
    let links = links.iter().filter(|link| link.permission == permission);
    let links = links.map(|link| {
        let action = Some(link.action).filter(|action| *action != Name(0));
        json!({"account": link.contract, "action": action})
    });
    links.collect::<Vec<_>>().into()
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Slot 0 is before every chain.
fn time(time: BlockTimestamp) -> Value {
    if time.0 == 0 { NEVER.into() } else { time.to_string().into() }
}

fn number(value: i64) -> Value {
    if (-MAX_NUMBER..=MAX_NUMBER).contains(&value) { value.into() } else { value.to_string().into() }
}
