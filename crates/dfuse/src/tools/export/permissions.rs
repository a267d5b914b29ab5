//! The permissions of an account at a height: what the actions that change them have left.

use std::collections::BTreeMap;

use anyhow::Context;
use dfuse_antelope::{
    Name,
    abi::{AbiSerializer, Rendering},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::actions::{History, SystemAction};
use crate::{
    boot::native_abi,
    migration::{Authority, Permission},
};

const OWNER: Name = Name::literal("owner");
const ACTIVE: Name = Name::literal("active");
const NEW_ACCOUNT: Name = Name::literal("newaccount");
const UPDATE: Name = Name::literal("updateauth");
const DELETE: Name = Name::literal("deleteauth");
/// Longest JSON of an action.
const MAX_JSON: usize = 1 << 20;

#[derive(Deserialize)]
struct NewAccount {
    name: Name,
    owner: Authority,
    active: Authority,
}

#[derive(Deserialize)]
struct Update {
    account: Name,
    permission: Name,
    parent: Name,
    auth: Authority,
}

#[derive(Deserialize)]
struct Delete {
    account: Name,
    permission: Name,
}

/// The permissions that are known, `owner` and `active` first, and whether these are all.
pub(super) async fn permissions(history: &History<'_>, account: Name) -> anyhow::Result<(Vec<Permission>, bool)> {
    let made = history.all(&format!("action:newaccount (data.name:{account} OR data.newact:{account})")).await?;
    let changed = history.all(&format!("(action:updateauth OR action:deleteauth) data.account:{account}")).await?;
    let abi = AbiSerializer::new(&native_abi()?);
    fold(&abi, account, made.iter().chain(&changed))
}

fn fold<'a>(
    abi: &AbiSerializer,
    account: Name,
    actions: impl Iterator<Item = &'a SystemAction>,
) -> anyhow::Result<(Vec<Permission>, bool)> {
    let (mut permissions, mut is_whole) = (BTreeMap::new(), false);
    let mut set = |permission, parent, authority| {
        permissions.insert(permission, Permission { permission, parent, authority });
    };
    let mut deleted = Vec::new();
    for action in actions {
        match action.name {
            NEW_ACCOUNT => {
                let made: NewAccount = decoded(abi, action)?;
                if made.name == account {
                    set(OWNER, Name(0), made.owner);
                    set(ACTIVE, OWNER, made.active);
                    is_whole = true;
                }
            }
            UPDATE => {
                let changed: Update = decoded(abi, action)?;
                if changed.account == account {
                    deleted.retain(|name| *name != changed.permission);
                    set(changed.permission, changed.parent, changed.auth);
                }
            }
            DELETE => {
                let gone: Delete = decoded(abi, action)?;
                if gone.account == account {
                    deleted.push(gone.permission);
                }
            }
            // Of the same transaction.
            _ => {}
        }
    }
    permissions.retain(|name, _| !deleted.contains(name));
    let mut ordered: Vec<_> = [OWNER, ACTIVE].iter().filter_map(|name| permissions.remove(name)).collect();
    ordered.extend(permissions.into_values());
    Ok((ordered, is_whole))
}

fn decoded<T: DeserializeOwned>(abi: &AbiSerializer, action: &SystemAction) -> anyhow::Result<T> {
    let decode = || -> anyhow::Result<T> {
        let mut json = Vec::new();
        // Newer chains have fields behind these.
        abi.action(action.name)?.decode(&action.data, Rendering::Plain, MAX_JSON, &mut json)?;
        Ok(serde_json::from_slice(&json)?)
    };
    decode().with_context(|| format!("an action {} that cannot be read", action.name))
}
