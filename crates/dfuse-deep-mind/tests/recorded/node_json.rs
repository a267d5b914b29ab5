//! Parts of the model in the JSON of the node's API.

use dfuse_antelope::model::{
    AccountRamDelta, Action, Authority, KeyWeight, PermissionLevel, ProducerAuthoritySchedule, TransactionHeader,
    TransactionStatus,
};
use serde_json::{Value, json};

pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    const_hex::encode(bytes)
}

/// The node writes numbers of more than 32 bits as text.
pub(crate) fn number(number: impl Into<i128>) -> Value {
    let number = number.into();
    if number.unsigned_abs() > u32::MAX.into() { number.to_string().into() } else { json!(number as i64) }
}

pub(crate) fn list<T>(items: &[T], item: impl FnMut(&T) -> Value) -> Value {
    items.iter().map(item).collect()
}

pub(crate) fn status(status: TransactionStatus) -> &'static str {
    match status {
        TransactionStatus::Executed => "executed",
        TransactionStatus::SoftFail => "soft_fail",
        TransactionStatus::HardFail => "hard_fail",
        TransactionStatus::Delayed => "delayed",
        TransactionStatus::Expired => "expired",
        other => panic!("no status of a node: {other:?}"),
    }
}

pub(crate) fn header(header: &TransactionHeader) -> Value {
    json!({
        "expiration": header.expiration,
        "ref_block_num": header.ref_block_num,
        "ref_block_prefix": header.ref_block_prefix,
        "max_net_usage_words": header.max_net_usage_words,
        "max_cpu_usage_ms": header.max_cpu_usage_ms,
        "delay_sec": header.delay_sec,
    })
}

/// Without `data`, which is decoded with an ABI.
pub(crate) fn action(action: &Action) -> Value {
    json!({
        "account": action.account,
        "name": action.name,
        "authorization": list(&action.authorization, level),
        "hex_data": hex(&action.raw_data),
    })
}

fn level(level: &PermissionLevel) -> Value {
    json!({"actor": level.actor, "permission": level.permission})
}

fn key(key: &KeyWeight) -> Value {
    json!({"key": key.public_key, "weight": key.weight})
}

pub(crate) fn authority(authority: &Authority) -> Value {
    json!({
        "threshold": authority.threshold,
        "keys": list(&authority.keys, key),
        "accounts": list(&authority.accounts, |account| json!({
            "permission": level(&account.permission),
            "weight": account.weight,
        })),
        "waits": list(&authority.waits, |wait| json!({"wait_sec": wait.wait_sec, "weight": wait.weight})),
    })
}

pub(crate) fn schedule(schedule: &ProducerAuthoritySchedule) -> Value {
    let producers = list(&schedule.producers, |producer| {
        let authority = producer.block_signing_authority.v0.as_ref().unwrap();
        json!({
            "producer_name": producer.account_name,
            "authority": [0, {"threshold": authority.threshold, "keys": list(&authority.keys, key)}],
        })
    });
    json!({"version": schedule.version, "producers": producers})
}

pub(crate) fn ram_delta(delta: &AccountRamDelta) -> Value {
    json!({"account": delta.account, "delta": number(delta.delta)})
}

/// Takes the entries of `keys` out of an object.
pub(crate) fn without(mut object: Value, keys: &[&str]) -> Value {
    let map = object.as_object_mut().expect("an object");
    for key in keys {
        map.remove(*key);
    }
    object
}
