//! The native and privileged actions of `eosio`.

use dfuse_antelope::{
    Checksum256, Name, PublicKey,
    raw::{Reader, Writer},
};

use super::{ACTIVE, Call, Failure, OWNER, unpack};
use crate::synthetic::{
    execute::Context,
    log::DeferredStep,
    state::{Authority, Counters, Permission},
    wire::Action,
};

/// RAM of a new account beside its authorities, of a permission, of a link.
const ACCOUNT: i64 = 2624;
const PERMISSION: i64 = 288;
const LINK: i64 = 144;
/// Bytes of RAM that a byte of code costs.
const CODE_FACTOR: i64 = 10;

/// A protocol feature, known by what its digest is made of.
pub(crate) struct Feature {
    pub(crate) digest: Checksum256,
    pub(crate) json: String,
}

impl Feature {
    pub(crate) const PRE_ACTIVATE: &str = "PREACTIVATE_FEATURE";
    pub(crate) const OTHERS: [&str; 4] =
        ["NO_DUPLICATE_DEFERRED_ID", "REPLACE_DEFERRED", "ONLY_BILL_FIRST_AUTHORIZER", "ACTION_RETURN_VALUE"];

    pub(crate) fn named(name: &str) -> Self {
        let digest = Checksum256::sha256(name.as_bytes());
        let description = Checksum256::sha256(&digest.0);
        let pre = name != Self::PRE_ACTIVATE;
        let json = format!(
            "{{\"feature_digest\":\"{digest}\",\"subjective_restrictions\":{{\"enabled\":true,\
             \"preactivation_required\":{pre},\"earliest_allowed_activation_time\":\"1970-01-01T00:00:00.000\"}},\
             \"description_digest\":\"{description}\",\"dependencies\":[],\"protocol_feature_type\":\"builtin\",\
             \"specification\":[{{\"name\":\"builtin_feature_codename\",\"value\":\"{name}\"}}]}}"
        );
        Self { digest, json }
    }

    pub(crate) fn with_digest(digest: &Checksum256) -> Option<Self> {
        Self::OTHERS.into_iter().map(Self::named).find(|feature| feature.digest == *digest)
    }
}

pub(crate) fn pack_authority(w: &mut Writer, it: &Authority) {
    w.u32(it.threshold);
    w.list(&it.keys, |w, (key, weight)| {
        key.write(w);
        w.u16(*weight);
    });
    w.list(&it.accounts, |w, (actor, permission, weight)| {
        w.name(*actor);
        w.name(*permission);
        w.u16(*weight);
    });
    w.list(&it.waits, |w, (seconds, weight)| {
        w.u32(*seconds);
        w.u16(*weight);
    });
}

fn authority(r: &mut Reader<'_>) -> dfuse_antelope::Result<Authority> {
    Ok(Authority {
        threshold: r.u32()?,
        keys: r.list(36, "keys", |r| Ok((PublicKey::read(r)?, r.u16()?)))?,
        accounts: r.list(18, "accounts", |r| Ok((r.name()?, r.name()?, r.u16()?)))?,
        waits: r.list(6, "waits", |r| Ok((r.u32()?, r.u16()?)))?,
    })
}

pub(super) fn apply(call: &mut Call<'_, '_>, action: &Action) -> Result<(), Failure> {
    let data = &action.data;
    match action.name.to_string().as_str() {
        "onblock" => call.check(!call.context.environment.onblock_fails, || "onblock fails".into()),
        "newaccount" => {
            let (creator, name) = unpack(data, |r| Ok((r.name()?, r.name()?)))?;
            let (owner, active) = unpack(&data[16..], |r| Ok((authority(r)?, authority(r)?)))?;
            call.require_authority(creator)?;
            call.check(!call.context.state.exists(name), || format!("account {name} already exists"))?;
            let ram = create_account(call.context, name, owner, active);
            call.ram(&name.to_string(), "account add newaccount", name, ram);
            Ok(())
        }
        "setcode" => {
            let (account, size) = unpack(data, |r| {
                let account = r.name()?;
                r.u16()?;
                Ok((account, r.blob("code")?.len()))
            })?;
            call.require_authority(account)?;
            let old = i64::from(call.context.state.counters(account).code_size);
            let new = size as i64;
            call.context.state.change(account, |it| {
                it.code_size = size as u32;
                it.code_sequence += 1;
            });
            let event = format!("code {} setcode", change(old, new));
            call.ram(&account.to_string(), &event, account, CODE_FACTOR * (new - old));
            Ok(())
        }
        "setabi" => {
            let (account, abi) = unpack(data, |r| Ok((r.name()?, r.blob("abi")?.to_vec())))?;
            call.require_authority(account)?;
            let old = call.context.state.abis().get(&account).map_or(0, |abi| abi.len() as i64);
            let new = abi.len() as i64;
            let event = format!("abi {} setabi", change(old, new));
            call.set_abi(account, abi.into());
            call.ram(&account.to_string(), &event, account, new - old);
            Ok(())
        }
        "updateauth" => {
            let (account, name, parent, auth) = unpack(data, |r| Ok((r.name()?, r.name()?, r.name()?, authority(r)?)))?;
            call.require_authority(account)?;
            update_authority(call, account, name, parent, auth)
        }
        "deleteauth" => {
            let (account, name) = unpack(data, |r| Ok((r.name()?, r.name()?)))?;
            call.require_authority(account)?;
            let linked = call.context.state.links().iter();
            let linked = linked.filter(|((owner, ..), _)| *owner == account).any(|(_, (_, link))| *link == name);
            call.check(!linked, || "Cannot delete a linked authority. Unlink the authority first.".into())?;
            let (id, size) = match call.context.state.permission(account, name) {
                Some((id, permission)) => (id, PERMISSION + permission.authority.ram()),
                None => return Err(Failure::message("no such permission")),
            };
            call.context.write_permission(call.index, id, None);
            call.ram(&id.to_string(), "auth remove deleteauth", account, -size);
            Ok(())
        }
        "linkauth" => {
            let (account, code, kind, permission) = unpack(data, |r| Ok((r.name()?, r.name()?, r.name()?, r.name()?)))?;
            call.require_authority(account)?;
            match call.context.state.links().get(&(account, code, kind)).copied() {
                Some((_, old)) if old == permission => return Err(Failure::message("link is up to date")),
                Some((id, _)) => call.set_link(account, code, kind, Some((id, permission))),
                None => {
                    let id = call.context.state.counts().next_link;
                    call.context.state.count(|counts| counts.next_link += 1);
                    call.set_link(account, code, kind, Some((id, permission)));
                    call.ram(&id.to_string(), "auth_link add linkauth", account, LINK);
                }
            }
            Ok(())
        }
        "unlinkauth" => {
            let (account, code, kind) = unpack(data, |r| Ok((r.name()?, r.name()?, r.name()?)))?;
            call.require_authority(account)?;
            let link = call.context.state.links().get(&(account, code, kind)).copied();
            let (id, _) = link.ok_or_else(|| Failure::message("Attempting to unlink authority, but no link found"))?;
            call.set_link(account, code, kind, None);
            call.ram(&id.to_string(), "auth_link remove unlinkauth", account, -LINK);
            Ok(())
        }
        "canceldelay" => {
            let (_, trx_id) = unpack(data, |r| Ok(((r.name()?, r.name()?), r.checksum256()?)))?;
            let mut queue = call.context.state.deferred().iter();
            let id = queue.find(|(_, it)| it.sender == Name(0) && it.transaction_id == trx_id).map(|(id, _)| *id);
            let id =
                id.ok_or_else(|| Failure::message("cannot cancel trx_id, there is no deferred transaction with it"))?;
            call.cancel(id, DeferredStep::Cancel);
            Ok(())
        }
        "setalimits" => {
            let (account, limits) = unpack(data, |r| Ok((r.name()?, [r.i64()?, r.i64()?, r.i64()?])))?;
            call.context.log.account_limits("UPD", account, limits);
            Ok(())
        }
        "setprods" => {
            let names = unpack(data, |r| {
                r.list(42, "producers", |r| {
                    let name = r.name()?;
                    PublicKey::read(r)?;
                    Ok(name)
                })
            })?;
            call.context.state.set_proposed(names);
            Ok(())
        }
        "activate" => {
            let digest = unpack(data, |r| r.checksum256())?;
            let feature = Feature::with_digest(&digest).ok_or_else(|| Failure::message("no such protocol feature"))?;
            call.context.log.feature(Some(call.index), &digest, &feature.json);
            let mut features = call.context.state.pre_activated().to_vec();
            features.push(digest);
            call.context.state.set_pre_activated(features);
            Ok(())
        }
        other => Err(Failure::message(format!("no action {other}"))),
    }
}

fn change(old: i64, new: i64) -> &'static str {
    match (old, new) {
        (0, _) => "add",
        (_, 0) => "remove",
        _ => "update",
    }
}

/// Writes a new account with its permissions and limits, and returns the RAM that it takes.
pub(crate) fn create_account(context: &mut Context<'_>, name: Name, owner: Authority, active: Authority) -> i64 {
    let ram = ACCOUNT + owner.ram() + active.ram();
    context.state.add_account(name);
    context.changes.accounts.push(name);
    let parent = create_permission(context, name, OWNER, 0, owner);
    create_permission(context, name, ACTIVE, parent, active);
    context.log.account_limits("INS", name, [-1; 3]);
    context.log.account_usage("INS", name, &Counters::default());
    ram
}

/// Writes a new permission and returns its id.
pub(crate) fn create_permission(
    context: &mut Context<'_>,
    owner: Name,
    name: Name,
    parent: u64,
    authority: Authority,
) -> u64 {
    let id = context.state.counts().next_permission + 1;
    context.state.count(|counts| counts.next_permission = id);
    let updated = context.environment.slot;
    let permission = Permission { usage_id: id - 1, parent, owner, name, updated, authority };
    context.write_permission(context.completed, id, Some(permission));
    id
}

fn update_authority(
    call: &mut Call<'_, '_>,
    account: Name,
    name: Name,
    parent: Name,
    authority: Authority,
) -> Result<(), Failure> {
    let updated = call.context.environment.slot;
    if let Some((id, old)) = call.context.state.permission(account, name) {
        let delta = authority.ram() - old.authority.ram();
        let new = Permission { authority, updated, ..old.clone() };
        call.context.write_permission(call.index, id, Some(new));
        call.ram(&id.to_string(), "auth update updateauth_update", account, delta);
        return Ok(());
    }
    let parent = call.context.state.permission(account, parent).map(|(id, _)| id);
    let parent = parent.ok_or_else(|| Failure::message("no such parent permission"))?;
    let size = PERMISSION + authority.ram();
    let id = create_permission(call.context, account, name, parent, authority);
    call.ram(&id.to_string(), "auth add updateauth_create", account, size);
    Ok(())
}
