//! An account as far as the indexes know it, in the form in which a node tells it.

use dfuse_antelope::{
    Asset, BlockTimestamp, Name,
    abi::{AbiSerializer, Rendering},
    raw::Reader,
};
use dfuse_query::{
    ApiResult,
    state::{state_unavailable, was_created},
};
use dfuse_state::{
    PermissionLink, StateAt, TableKey,
    account_state::{self, AccountPermission},
    tokens::{self, TokenKey},
};
use serde_json::{Map, Value, json};

use super::{NEVER, no_account};
use crate::Api;
use dfuse_index::{
    ServingSnapshot, View,
    abi::{AbiSource, ViewAbis},
    accounts, blocks,
};

const SYSTEM: Name = Name::literal("eosio");
const TOKEN: Name = Name::literal("eosio.token");
/// The permission that stands for all others of an account in links.
const ANY: Name = Name::literal("eosio.any");
const RAM_MARKET: Name = Name::literal("rammarket");
/// The primary key of the RAM market: the symbol `4,RAMCORE`.
const RAM_CORE: u64 = u64::from_le_bytes(*b"\x04RAMCORE");
/// Most bytes of JSON of a row.
const MAX_ROW_BYTES: usize = 64 << 10;
/// Numbers above are texts in a node's JSON.
const MAX_NUMBER: i64 = 0xffff_ffff;

/// What a node would say; absent is what only a node knows.
pub(super) fn account(
    api: &Api,
    snapshot: &ServingSnapshot,
    name: Name,
    links: &[PermissionLink],
) -> ApiResult<Map<String, Value>> {
    let view = snapshot.view();
    if accounts::get(view, name)?.is_none() {
        return Err(match snapshot.mid_chain_start() {
            None => no_account(name),
            Some(first) => state_unavailable(
                first,
                format!("No account of this name was seen since block {first}; earlier ones are unknown."),
            ),
        });
    }
    let mut account = chain_values(view, name, links)?;
    account.extend(contract_values(api, view, name)?);
    if let Some(head) = snapshot.head() {
        let time = blocks::by_number(view, head.number)?.map(|block| block.time).unwrap_or_default();
        account.insert("head_block_num".to_owned(), head.number.into());
        account.insert("head_block_time".to_owned(), time.to_string().into());
    }
    if let Some(first) = snapshot.mid_chain_start() {
        account.insert("state_from_block".to_owned(), first.into());
        account.insert("complete".to_owned(), was_created(view, name)?.into());
    }
    Ok(account)
}

/// What the chain itself keeps.
fn chain_values(view: &View, name: Name, links: &[PermissionLink]) -> ApiResult<Map<String, Value>> {
    let base = account_state::base(view, name)?;
    let permissions = account_state::permissions(view, name)?;
    let permissions: Vec<_> = permissions.iter().map(|it| permission(it, links)).collect();
    let mut values = object([
        ("account_name", json!(name)),
        ("privileged", base.is_privileged.into()),
        ("last_code_update", time(base.code_updated)),
        ("created", time(base.created)),
        ("permissions", permissions.into()),
        ("eosio_any_linked_actions", linked_actions(links, ANY)),
    ]);
    if let Some(limits) = account_state::limits(view, name)? {
        values.insert("net_weight".to_owned(), number(limits.net_weight));
        values.insert("cpu_weight".to_owned(), number(limits.cpu_weight));
        values.insert("ram_quota".to_owned(), number(limits.ram_bytes));
        for (key, weight) in [("net_limit", limits.net_weight), ("cpu_limit", limits.cpu_weight)] {
            if weight < 0 {
                values.insert(key.to_owned(), json!({"used": -1, "available": -1, "max": -1}));
            }
        }
    }
    if let Some(usage) = account_state::ram_usage(view, name)? {
        values.insert("ram_usage".to_owned(), number(i64::try_from(usage).unwrap_or(i64::MAX)));
    }
    Ok(values)
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

/// What the system contract and the token contract have in their tables.
fn contract_values(api: &Api, view: &View, name: Name) -> ApiResult<Map<String, Value>> {
    let state = StateAt::of(view.clone());
    let mut values = Map::new();
    if let Some(abi) = ViewAbis::new(view, api.abis()).abi(SYSTEM, u64::MAX)? {
        for (key, table, scope) in [
            ("total_resources", Name::literal("userres"), name),
            ("self_delegated_bandwidth", Name::literal("delband"), name),
            ("refund_request", Name::literal("refunds"), name),
            ("voter_info", Name::literal("voters"), SYSTEM),
        ] {
            let row = state.row(&TableKey { contract: SYSTEM, table, scope }.row(name.0))?;
            if let Some(row) = row.and_then(|row| decode(&abi, table, &row.row.data)) {
                values.insert(key.to_owned(), row);
            }
        }
    }
    let market = TableKey { contract: SYSTEM, table: RAM_MARKET, scope: SYSTEM }.row(RAM_CORE);
    if let Some(core) = state.row(&market)?.and_then(|row| read_core(&row.row.data)) {
        let token = TokenKey { contract: TOKEN, symbol_code: core.symbol.code() };
        let held = tokens::balance(view, token, name)?.filter(|held| held.balance.symbol == core.symbol);
        if let Some(held) = held {
            values.insert("core_liquid_balance".to_owned(), held.balance.to_string().into());
        }
    }
    Ok(values)
}

fn decode(abi: &AbiSerializer, table: Name, row: &[u8]) -> Option<Value> {
    let mut text = Vec::new();
    abi.table(table).ok()?.decode(row, Rendering::Nodeos, MAX_ROW_BYTES, &mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// What the RAM market has of the chain's own token: behind its supply, and the RAM that it has with its weight.
fn read_core(market: &[u8]) -> Option<Asset> {
    let mut reader = Reader::new(market);
    reader.take(16 + 16 + 8, "RAM market").ok()?;
    Asset::read(&mut reader).ok()
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
