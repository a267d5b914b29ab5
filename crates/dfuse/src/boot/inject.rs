//! `migration.inject`: a contract with all that it had on another chain.
//!
//! Nobody but a contract can write its rows. So the account gets the injector as its code, a contract of our own (`injector/injector.c`),
//! which writes rows and secondary keys as it is told, and then the code that it shall have.

mod accounts;
mod batches;
mod permissions;

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, bail};
use dfuse_antelope::{Checksum256, Name, model::PermissionLevel};
use dfuse_node::rpc::RpcError;
use serde_json::Value;

use self::{
    accounts::Accounts,
    batches::{Batch, Batches},
    permissions::set_permissions,
};
use super::{
    calls::{set_abi, set_code},
    chain::{Call, Chain, Pushed, TableCount, pause},
    contracts::{INJECTOR, injector_abi},
    progress::Progress,
    sequence::{Inject, Sequence, active},
};
use crate::migration::Contract;

/// How often a row is tried again that the chain has no room for just now.
const TRIES: u32 = 40;
/// How often it is said how far it is, in rows.
const TELL_EVERY: u64 = 100_000;

/// Where the step stands among others.
pub(super) struct Injection<'a> {
    /// The folder of the sequence.
    pub(super) folder: &'a Path,
    pub(super) progress: &'a mut Progress,
    /// The number of the step, and how many rows and entries of it are on the chain already.
    pub(super) step: usize,
    pub(super) done: u64,
}

pub(super) async fn run(
    chain: &mut Chain,
    sequence: &Sequence,
    what: &Inject,
    mut injection: Injection<'_>,
) -> anyhow::Result<()> {
    let contract = Contract::open(injection.folder.join(&what.data_dir))?;
    let key = what.pubkey.as_deref().map(|key| sequence.public_key(key)).transpose().map_err(anyhow::Error::msg)?;
    let mut accounts = Accounts::new(what.account, key);
    if !accounts.make_sure_of(chain, [what.account]).await?.is_empty() {
        bail!("there is no account {}, and no \"pubkey\" to make it with", what.account);
    }
    set_injector(chain, what.account).await?;
    let counted = rows(chain, &contract, &mut accounts, &mut injection).await?;
    accounts.tell();
    if let Err(error) = check(chain, what.account, counted).await {
        // What was taken for done is not: all of it is written again.
        injection.progress.set(injection.step, 0)?;
        return Err(error.context("the chain does not have what was injected; if rows are missing, run it again"));
    }
    if !contract.has_indexes() {
        tracing::info!(
            account = %what.account,
            "actions find no rows by secondary keys: they were not exported"
        );
    }
    set_contract(chain, what.account, &contract).await?;
    set_permissions(chain, &mut accounts, &contract).await
}

/// The chain refuses to set the code that an account has already.
async fn set_injector(chain: &mut Chain, account: Name) -> anyhow::Result<()> {
    if chain.code_hash(account).await? == Checksum256::sha256(INJECTOR) {
        return Ok(());
    }
    let abi = injector_abi()?.to_bytes();
    let set = chain.push(&[set_code(account, INJECTOR), set_abi(account, &abi)]).await;
    set.with_context(|| format!("cannot set the code of {account}")).map(drop)
}

/// Writes all rows and entries. Returns how many there must be, by scope and table.
async fn rows(
    chain: &mut Chain,
    contract: &Contract,
    accounts: &mut Accounts,
    injection: &mut Injection<'_>,
) -> anyhow::Result<BTreeMap<(Name, Name), u64>> {
    let mut batches = Batches::new(contract)?;
    batches.skip(injection.done)?;
    let (mut last, mut told) = (None, injection.done);
    while let Some(batch) = batches.next()? {
        accounts.make_sure_of(chain, batch.payers().iter().copied()).await?;
        let Some(pushed) = push(chain, &batch, accounts).await? else {
            batches.give_back(batch);
            continue;
        };
        injection.done += batch.len() as u64;
        accounts.count(&batch);
        injection.progress.reached(injection.step, injection.done, &pushed.before)?;
        last = Some(pushed.before);
        if injection.done >= told + TELL_EVERY {
            told = injection.done;
            tracing::info!(rows = told, "injecting");
        }
    }
    if let Some(last) = &last {
        chain.wait_for_blocks(2, last).await?;
    }
    tracing::info!(rows = injection.done, "all rows are injected");
    Ok(batches.into_counted())
}

/// Pushes a batch. Nothing if it should be tried in smaller pieces.
async fn push(chain: &mut Chain, batch: &Batch, accounts: &Accounts) -> anyhow::Result<Option<Pushed>> {
    let own = accounts.contract();
    let payers = batch.payers().iter().copied().filter(|payer| *payer != own && accounts.pays(*payer) == *payer);
    let authorization =
        [own].into_iter().chain(payers).map(|actor| PermissionLevel { actor, permission: active() }).collect();
    let data = Value::String(const_hex::encode(batch.pack(|payer| accounts.pays(payer))));
    let call = [Call { contract: own, action: batch.action(), authorization, data }];
    let (mut tries, mut waited) = (0, Duration::ZERO);
    loop {
        let error = match chain.push(&call).await {
            Ok(pushed) => return Ok(Some(pushed)),
            Err(error) => error,
        };
        let is_too_much = match error.downcast_ref::<RpcError>() {
            // A block can be full; a transaction can be too long for any.
            Some(RpcError::Refused { error, .. }) if error.is_retryable() => true,
            // What is there may come again.
            Some(RpcError::Refused { error, .. }) if error.is_duplicate() || error.is_expired() => false,
            Some(RpcError::Busy { .. } | RpcError::Broken { .. } | RpcError::Timeout { .. }) => false,
            _ => return Err(error.context(format!("{batch} cannot be written"))),
        };
        if is_too_much && batch.len() > 1 {
            tracing::debug!(%error, "in smaller pieces");
            return Ok(None);
        }
        if tries == TRIES {
            return Err(error.context(format!("{batch} cannot be written")));
        }
        tracing::debug!(%error, "once more");
        tries += 1;
        pause(&mut waited).await;
    }
}

/// Compares what the chain counts with what was written.
async fn check(chain: &Chain, account: Name, wanted: BTreeMap<(Name, Name), u64>) -> anyhow::Result<()> {
    let mut found = BTreeMap::new();
    let note = |table: TableCount| {
        found.insert((table.scope, table.table), table.count);
    };
    chain.tables(account, note).await?;
    for ((scope, table), wanted) in &wanted {
        let found = found.remove(&(*scope, *table)).unwrap_or(0);
        if found != *wanted {
            bail!("table {table} of {account} has {found} rows and entries in scope \"{scope}\" instead of {wanted}");
        }
    }
    if let Some((scope, table)) = found.keys().next() {
        bail!(
            "{account} has rows of table {table} in scope \"{scope}\" that are not of this export; take a fresh chain"
        );
    }
    Ok(())
}

async fn set_contract(chain: &mut Chain, account: Name, contract: &Contract) -> anyhow::Result<()> {
    let (code, abi) = contract.code_and_abi()?;
    let set = chain.push(&[set_code(account, &code), set_abi(account, &abi)]).await;
    chain.forget_abi(account);
    set.with_context(|| {
        format!("cannot set the code of {account}: it may need protocol features that the chain has not activated")
    })?;
    Ok(())
}
