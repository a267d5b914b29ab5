//! What each step does.

use anyhow::Context;
use dfuse_antelope::{Name, model::PermissionLevel};
use serde_json::json;
use tokio::time::sleep;

use super::{
    calls::{call, new_account, set_abi, set_code},
    chain::{Call, Chain},
    inject::{self, Injection},
    sequence::{Contents, Operation, Sequence, active},
};
const TOKEN: Name = Name::literal("eosio.token");
const PRODUCERS: Name = Name::literal("eosio.prods");
const OWNER: Name = Name::literal("owner");

pub(super) async fn run_step(
    chain: &mut Chain,
    sequence: &Sequence,
    contents: &Contents,
    operation: &Operation,
    injection: Injection<'_>,
) -> anyhow::Result<()> {
    let calls = match operation {
        Operation::NewAccount(it) => {
            let key = sequence.public_key(&it.pubkey).map_err(anyhow::Error::msg)?;
            let mut calls = vec![new_account(it.creator, it.new_account, &key)];
            if it.ram_bytes > 0 {
                let ram = json!({"payer": it.creator, "receiver": it.new_account, "bytes": it.ram_bytes});
                calls.push(call(Name::EOSIO, "buyrambytes", it.creator, ram));
            }
            calls
        }
        Operation::SetCode(it) => {
            let mut calls = vec![set_code(it.account, contents.code(&it.contract_name_ref))];
            if contents.has_abi(&it.contract_name_ref) {
                calls.push(set_abi(it.account, &contents.abi(&it.contract_name_ref)?));
            }
            calls
        }
        Operation::SetAbi(it) => vec![set_abi(it.account, &contents.abi(&it.contract_name_ref)?)],
        Operation::SetPriv(it) => {
            // The field for the flag has two names.
            let data = json!({"account": it.account, "is_priv": 1, "ispriv": 1});
            vec![call(Name::EOSIO, "setpriv", Name::EOSIO, data)]
        }
        Operation::SetRam(it) => {
            vec![call(Name::EOSIO, "setram", Name::EOSIO, json!({"max_ram_size": it.max_ram_size}))]
        }
        Operation::EnableFeatures(_) => return chain.preactivate().await,
        Operation::ActivateFeatures(it) => return activate(chain, &it.features).await,
        Operation::Init(it) => {
            vec![call(Name::EOSIO, "init", Name::EOSIO, json!({"version": it.version, "core": it.core}))]
        }
        Operation::PushTransaction(it) => vec![Call {
            contract: it.contract,
            action: it.action,
            authorization: vec![PermissionLevel { actor: it.actor, permission: it.permission }],
            data: if it.payload.is_null() { json!({}) } else { it.payload.clone() },
        }],
        Operation::ResignAccounts(it) => it.accounts.iter().flat_map(|account| resign(*account)).collect(),
        Operation::TokenCreate(it) => {
            let data = json!({"issuer": it.account, "maximum_supply": it.amount});
            vec![call(TOKEN, "create", TOKEN, data)]
        }
        Operation::TokenIssue(it) => {
            let data = json!({"to": it.account, "quantity": it.amount, "memo": it.memo});
            vec![call(TOKEN, "issue", it.account, data)]
        }
        Operation::TokenTransfer(it) => {
            let data = json!({"from": it.from, "to": it.to, "quantity": it.quantity, "memo": it.memo});
            vec![call(TOKEN, "transfer", it.from, data)]
        }
        Operation::Sleep(it) => {
            sleep(it.duration).await;
            return Ok(());
        }
        Operation::Inject(it) => return inject::run(chain, sequence, it, injection).await,
    };
    if calls.is_empty() {
        // An empty list has nothing to do, and the chain refuses a transaction without actions.
        return Ok(());
    }
    let id = chain.push(&calls).await?.id;
    tracing::debug!(%id, "pushed");
    match operation {
        Operation::SetCode(it) => chain.forget_abi(it.account),
        Operation::SetAbi(it) => chain.forget_abi(it.account),
        _ => {}
    }
    Ok(())
}

/// Those that are active already are left out, since the chain refuses to activate them again.
async fn activate(chain: &mut Chain, features: &[String]) -> anyhow::Result<()> {
    let active = chain.activated().await?;
    let mut digests = Vec::new();
    for feature in features {
        let digest = chain.feature(feature).await?;
        digests.push(digest);
        if active.contains(&digest) {
            tracing::info!(feature, "the feature is active already");
            continue;
        }
        let data = json!({"feature_digest": digest});
        chain
            .push(&[call(Name::EOSIO, "activate", Name::EOSIO, data)])
            .await
            .with_context(|| format!("feature {feature}"))?;
    }
    chain.wait_for_features(&digests).await
}

/// Gives an account away: `eosio` to the producers, others to `eosio`. The owner permission goes last, since it is needed.
fn resign(account: Name) -> [Call; 2] {
    let new_owner = if account == Name::EOSIO { PRODUCERS } else { Name::EOSIO };
    let authority = json!({
        "threshold": 1, "keys": [], "waits": [],
        "accounts": [{"permission": {"actor": new_owner, "permission": active()}, "weight": 1}],
    });
    let change = |permission: Name, parent: Name| Call {
        contract: Name::EOSIO,
        action: Name::literal("updateauth"),
        authorization: vec![PermissionLevel { actor: account, permission }],
        data: json!({"account": account, "permission": permission, "parent": parent, "auth": authority}),
    };
    [change(active(), OWNER), change(OWNER, Name(0))]
}
