//! Permissions and their links, as they were but for the keys.

use std::collections::BTreeSet;

use anyhow::Context;
use dfuse_antelope::{Name, PublicKey, model::PermissionLevel};
use dfuse_node::rpc::RpcError;
use serde_json::{Value, json};

use super::{
    super::{
        chain::{Call, Chain},
        sequence::active,
    },
    accounts::Accounts,
};
use crate::migration::{Authority, Contract, KeyWeight, Level, Permission};

const OWNER: Name = Name::literal("owner");
/// Stands for the code of an account, and is a permission of none.
const CODE: Name = Name::literal("eosio.code");

/// Sets them, if there is a key that stands for those that nobody here has.
pub(super) async fn set_permissions(
    chain: &mut Chain,
    accounts: &mut Accounts,
    contract: &Contract,
) -> anyhow::Result<()> {
    let Some(key) = accounts.key().cloned() else { return Ok(()) };
    let account = accounts.contract();
    let named = contract.permissions.iter().flat_map(|it| &it.authority.accounts).map(|it| it.permission.actor);
    accounts.make_sure_of(chain, named.chain(contract.links.iter().map(|link| link.contract))).await?;
    for permission in in_order(&contract.permissions) {
        let mut there = BTreeSet::new();
        for level in permission.authority.accounts.iter().map(|it| it.permission) {
            if is_there(chain, level).await? {
                there.insert((level.actor, level.permission));
            } else {
                tracing::warn!(
                    %account,
                    permission = %permission.permission,
                    left_out = %format!("{}@{}", level.actor, level.permission),
                    "a permission names one that is not there"
                );
            }
        }
        let authority = local(&permission.authority, &key, |level| there.contains(&(level.actor, level.permission)));
        let data = json!({
            "account": account, "permission": permission.permission, "parent": permission.parent, "auth": authority,
        });
        push(chain, account, "updateauth", data)
            .await
            .with_context(|| format!("cannot set the permission {} of {account}", permission.permission))?;
    }
    for link in &contract.links {
        let data = json!({
            "account": account, "code": link.contract, "type": link.action, "requirement": link.permission_name,
        });
        match push(chain, account, "linkauth", data).await {
            // It was linked before the last run broke off.
            Err(error) if is_same(&error) => {}
            linked => linked.with_context(|| {
                format!("cannot link {} of {} to {}", link.action, link.contract, link.permission_name)
            })?,
        }
    }
    Ok(())
}

/// As the owner, who may set all of them.
async fn push(chain: &mut Chain, account: Name, action: &str, data: Value) -> anyhow::Result<()> {
    let action = action.parse().context("the name of an action")?;
    let authorization = vec![PermissionLevel { actor: account, permission: OWNER }];
    chain.push(&[Call { contract: Name::EOSIO, action, authorization, data }]).await.map(drop)
}

fn is_same(error: &anyhow::Error) -> bool {
    let refusal = error.downcast_ref::<RpcError>().and_then(RpcError::refusal);
    refusal.is_some_and(|refusal| refusal.to_string().contains("requirement is same as old"))
}

async fn is_there(chain: &Chain, level: Level) -> anyhow::Result<bool> {
    if [OWNER, active(), CODE].contains(&level.permission) {
        return Ok(chain.account(level.actor).await?.is_some());
    }
    let account = chain.account(level.actor).await?.unwrap_or_default();
    let mut permissions = account.get("permissions").and_then(Value::as_array).into_iter().flatten();
    let name = level.permission.to_string();
    Ok(permissions.any(|permission| permission["perm_name"] == name.as_str()))
}

/// Parents before their children, but `active` and `owner`, which every account has, last: they may name others.
fn in_order(permissions: &[Permission]) -> Vec<&Permission> {
    let is_first = |permission: &Permission| [OWNER, active()].contains(&permission.permission);
    let (given, mut waiting): (Vec<_>, Vec<_>) = permissions.iter().partition(|it| is_first(it));
    let mut known = BTreeSet::from([OWNER, active()]);
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let (next, later): (Vec<_>, Vec<_>) = waiting.iter().partition(|it| known.contains(&it.parent));
        if next.is_empty() {
            break;
        }
        known.extend(next.iter().map(|it: &&Permission| it.permission));
        ordered.extend(next);
        waiting = later;
    }
    ordered.extend(given.iter().filter(|it| it.permission == active()));
    ordered.extend(given.iter().filter(|it| it.permission == OWNER));
    ordered
}

/// The same threshold, accounts and waits. One key, which is enough alone, stands for all keys.
fn local(authority: &Authority, key: &PublicKey, is_there: impl Fn(Level) -> bool) -> Authority {
    let weight = u16::try_from(authority.threshold).unwrap_or(u16::MAX);
    Authority {
        threshold: weight.into(),
        keys: vec![KeyWeight { key: key.to_string(), weight }],
        accounts: authority.accounts.iter().filter(|it| is_there(it.permission)).cloned().collect(),
        waits: authority.waits.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(name: &str, parent: &str) -> Permission {
        let authority = json!({"threshold": 2, "keys": [], "accounts": [
            {"permission": {"actor": "a", "permission": "active"}, "weight": 1},
            {"permission": {"actor": "b", "permission": "x"}, "weight": 1},
        ], "waits": [{"wait_sec": 5, "weight": 1}]});
        let authority = serde_json::from_value(authority).unwrap();
        Permission { permission: name.parse().unwrap(), parent: parent.parse().unwrap(), authority }
    }

    #[test]
    fn parents_come_first_and_those_that_are_there_last() {
        let permissions =
            [("owner", ""), ("deep", "claim"), ("active", "owner"), ("claim", "active"), ("other", "owner")];
        let permissions = permissions.map(|(name, parent)| permission(name, parent));
        let names: Vec<_> = in_order(&permissions).iter().map(|it| it.permission.to_string()).collect();
        assert_eq!(names, ["claim", "other", "deep", "active", "owner"]);
    }

    #[test]
    fn one_key_stands_for_all() {
        let key = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV".parse().unwrap();
        let authority =
            local(&permission("active", "owner").authority, &key, |level| level.actor == Name::literal("a"));
        assert_eq!((authority.threshold, authority.keys[0].weight, authority.accounts.len()), (2, 2, 1));
        assert_eq!((authority.keys[0].key.parse(), authority.waits.len()), (Ok(key), 1));
    }
}
