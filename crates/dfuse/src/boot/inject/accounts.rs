//! Accounts that what is injected needs: payers of rows, and those that permissions name.

use std::collections::BTreeMap;

use anyhow::Context;
use dfuse_antelope::{Name, PublicKey};
use serde_json::{Map, Value};

use super::{
    super::{calls::new_account, chain::Chain},
    batches::Batch,
};

/// Accounts that a transaction makes.
const MOST_NEW: usize = 50;

/// What is known of accounts of the chain.
pub(super) struct Accounts {
    contract: Name,
    /// That of accounts that are made.
    key: Option<PublicKey>,
    /// By name, whether we can sign for it.
    known: BTreeMap<Name, bool>,
    made: u64,
    /// Rows that the contract pays for in the place of others.
    instead: u64,
}

impl Accounts {
    pub(super) fn new(contract: Name, key: Option<PublicKey>) -> Self {
        Self { contract, key, known: BTreeMap::new(), made: 0, instead: 0 }
    }

    pub(super) fn contract(&self) -> Name {
        self.contract
    }

    pub(super) fn key(&self) -> Option<&PublicKey> {
        self.key.as_ref()
    }

    /// Looks which of the accounts there are, and makes the others, if there is a key for them. Returns those that are not there.
    pub(super) async fn make_sure_of(
        &mut self,
        chain: &mut Chain,
        names: impl IntoIterator<Item = Name>,
    ) -> anyhow::Result<Vec<Name>> {
        let mut missing = Vec::new();
        for name in names {
            match self.known.get(&name) {
                Some(_) => {}
                None => match chain.account(name).await? {
                    Some(account) => drop(self.known.insert(name, is_ours(chain, &account))),
                    None => missing.push(name),
                },
            }
        }
        let Some(key) = &self.key else { return Ok(missing) };
        for some in missing.chunks(MOST_NEW) {
            let calls: Vec<_> = some.iter().map(|name| new_account(Name::EOSIO, *name, key)).collect();
            let names = || some.iter().map(Name::to_string).collect::<Vec<_>>().join(", ");
            chain.push(&calls).await.with_context(|| format!("cannot make the accounts {}", names()))?;
            self.known.extend(some.iter().map(|name| (*name, true)));
            self.made += some.len() as u64;
        }
        Ok(Vec::new())
    }

    /// Who pays for the rows of a payer: the account itself, if it is there and we can sign for it.
    pub(super) fn pays(&self, payer: Name) -> Name {
        if self.known.get(&payer) == Some(&true) { payer } else { self.contract }
    }

    /// Counts rows that somebody else pays for.
    pub(super) fn count(&mut self, batch: &Batch) {
        self.instead += batch.payer_of_each().filter(|payer| self.pays(*payer) != *payer).count() as u64;
    }

    pub(super) fn tell(&self) {
        if self.made > 0 {
            tracing::info!(accounts = self.made, "accounts were made");
        }
        if self.instead > 0 {
            tracing::warn!(
                account = %self.contract,
                rows = self.instead,
                "the contract pays for rows whose payers are not there, or have other keys"
            );
        }
    }
}

/// Whether one of our keys is enough for its active permission.
fn is_ours(chain: &Chain, account: &Map<String, Value>) -> bool {
    let permissions = account.get("permissions").and_then(Value::as_array).into_iter().flatten();
    let active = permissions.filter(|permission| permission["perm_name"] == "active");
    active.map(|permission| &permission["required_auth"]).any(|authority| {
        let keys = authority["keys"].as_array().into_iter().flatten();
        let ours = keys.filter(|key| {
            let public = key["key"].as_str().and_then(|text| text.parse().ok());
            public.is_some_and(|public| chain.has_key(&public))
        });
        ours.filter_map(|key| key["weight"].as_u64()).sum::<u64>()
            >= authority["threshold"].as_u64().unwrap_or(u64::MAX)
    })
}
