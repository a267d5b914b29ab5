//! Transactions to a node.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, bail};
use dfuse_antelope::{
    Checksum256, Name, PrivateKey, PublicKey, TimePointSec,
    abi::{Abi, AbiSerializer},
    model::{Action, PermissionLevel, Transaction, TransactionHeader},
};
use dfuse_node::rpc::{Info, NodeClient, RpcError};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

/// How long a transaction is good for.
const LIFE_SECONDS: u32 = 120;
/// Time between two looks at the node.
const POLL: Duration = Duration::from_millis(250);
/// How long the chain may take to make some blocks.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most bytes of the data of an action.
const MAX_DATA: usize = 16 << 20;
/// Actions that every chain has from genesis on, whatever contract `eosio` has.
const NATIVE: &str = include_str!("native.abi.json");

/// A node that takes transactions, and keys to sign them with.
pub(super) struct Chain {
    node: NodeClient,
    keys: BTreeMap<PublicKey, PrivateKey>,
    native: AbiSerializer,
    abis: BTreeMap<Name, AbiSerializer>,
    chain_id: Checksum256,
}

/// What a contract is asked for.
pub(super) struct Call {
    pub(super) contract: Name,
    pub(super) action: Name,
    pub(super) authorization: PermissionLevel,
    pub(super) data: Value,
}

impl Chain {
    /// Waits until the node answers.
    pub(super) async fn connect(node: NodeClient, keys: Vec<PrivateKey>, patience: Duration) -> anyhow::Result<Self> {
        let mut waited = Duration::ZERO;
        let info = loop {
            match node.get_info().await {
                Ok(info) => break info,
                Err(error) if waited >= patience => {
                    return Err(error).with_context(|| format!("the node did not answer within {patience:?}"));
                }
                Err(error @ RpcError::Answer { .. }) => return Err(error.into()),
                Err(error) => {
                    if waited.is_zero() {
                        tracing::info!(node = node.url(), %error, "waiting for the node");
                    }
                    sleep(POLL).await;
                    waited += POLL;
                }
            }
        };
        let native: Abi = serde_json::from_str(NATIVE).context("the ABI of the chain's own actions")?;
        let keys = keys.into_iter().map(|key| (key.public_key(), key)).collect();
        let (native, abis) = (AbiSerializer::new(&native), BTreeMap::new());
        Ok(Self { node, keys, native, abis, chain_id: info.chain_id })
    }

    pub(super) fn chain_id(&self) -> Checksum256 {
        self.chain_id
    }

    /// Whether it is that chain, with that block, which is irreversible.
    pub(super) async fn has_block(&self, chain_id: Checksum256, block: Checksum256) -> anyhow::Result<bool> {
        if chain_id != self.chain_id {
            return Ok(false);
        }
        match self.node.call::<Value>("/v1/chain/get_block", &json!({"block_num_or_id": block})).await {
            Ok(_) => Ok(true),
            Err(RpcError::Refused { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets the ABI of a contract that gets another one.
    pub(super) fn forget_abi(&mut self, contract: Name) {
        self.abis.remove(&contract);
    }

    /// Signs and pushes one transaction. Returns its id.
    pub(super) async fn push(&mut self, calls: &[Call]) -> anyhow::Result<Checksum256> {
        let mut actions = Vec::with_capacity(calls.len());
        for call in calls {
            actions.push(self.action(call).await?);
        }
        let Info { head_block_time, last_irreversible_block_id: reference, .. } = self.node.get_info().await?;
        let now = u32::try_from(head_block_time.0 / 1_000_000).unwrap_or(0);
        let [.., a, b] = reference.block_num().to_be_bytes();
        let [_, _, _, _, _, _, _, _, p, q, r, s, ..] = reference.0;
        let header = TransactionHeader {
            expiration: TimePointSec(now + LIFE_SECONDS),
            ref_block_num: u16::from_be_bytes([a, b]).into(),
            ref_block_prefix: u32::from_le_bytes([p, q, r, s]),
            ..TransactionHeader::default()
        };
        let transaction = Transaction { header, actions, ..Transaction::default() };
        let keys = self.required_keys(&transaction, calls).await?;
        let packed = transaction.sign(&self.chain_id, keys);
        Ok(self.node.push_transaction(&packed).await?.transaction_id)
    }

    async fn action(&mut self, call: &Call) -> anyhow::Result<Action> {
        let Call { contract, action, authorization, data } = call;
        let raw_data = match data {
            // Packed already.
            Value::String(hex) => const_hex::decode(hex).context("the payload is text, but not hexadecimal")?,
            data => {
                let abi = self.abi(*contract, *action).await?;
                let kind = abi.action(*action).with_context(|| format!("the ABI of {contract}"))?;
                kind.encode(data, MAX_DATA).with_context(|| format!("the data of {contract}::{action}"))?
            }
        };
        Ok(Action {
            account: *contract,
            name: *action,
            authorization: vec![authorization.clone()],
            raw_data: raw_data.into(),
            ..Action::default()
        })
    }

    async fn abi(&mut self, contract: Name, action: Name) -> anyhow::Result<&AbiSerializer> {
        if contract == Name::EOSIO && self.native.action(action).is_ok() {
            return Ok(&self.native);
        }
        if !self.abis.contains_key(&contract) {
            let packed = self.node.get_raw_abi(contract).await?;
            if packed.is_empty() {
                bail!("{contract} has no ABI by which the data of {action} could be packed");
            }
            let abi = Abi::from_bytes(&packed).with_context(|| format!("the ABI of {contract}"))?;
            self.abis.insert(contract, AbiSerializer::new(&abi));
        }
        Ok(&self.abis[&contract])
    }

    /// Those of ours that the node says it takes.
    async fn required_keys(&self, transaction: &Transaction, calls: &[Call]) -> anyhow::Result<Vec<&PrivateKey>> {
        #[derive(Deserialize)]
        struct Required {
            required_keys: Vec<PublicKey>,
        }
        let actions = transaction.actions.iter().zip(calls).map(|(action, call)| {
            let PermissionLevel { actor, permission } = &call.authorization;
            json!({
                "account": action.account,
                "name": action.name,
                "authorization": [{"actor": actor, "permission": permission}],
                // Who must sign does not depend on it, and it may be megabytes of code.
                "data": "00",
            })
        });
        let body = json!({
            "transaction": {
                "expiration": transaction.header.expiration.to_string(),
                "ref_block_num": transaction.header.ref_block_num,
                "ref_block_prefix": transaction.header.ref_block_prefix,
                "max_net_usage_words": 0,
                "max_cpu_usage_ms": 0,
                "delay_sec": 0,
                "context_free_actions": [],
                "actions": actions.collect::<Vec<_>>(),
                "transaction_extensions": [],
            },
            "available_keys": self.keys.keys().collect::<Vec<_>>(),
        });
        let Required { required_keys } = self.node.call("/v1/chain/get_required_keys", &body).await?;
        let keys =
            required_keys.iter().map(|key| self.keys.get(key).with_context(|| format!("there is no key for {key}")));
        keys.collect()
    }

    /// Has the next block activate the feature by which contracts can activate others.
    pub(super) async fn preactivate(&self) -> anyhow::Result<()> {
        let digest = self.feature("PREACTIVATE_FEATURE").await?;
        if self.activated().await?.contains(&digest) {
            tracing::info!("PREACTIVATE_FEATURE is active already");
            return Ok(());
        }
        self.node.schedule_protocol_feature_activations(&[digest]).await?;
        self.wait_for_features(&[digest]).await
    }

    /// Digest of the feature of that name, or that is it already.
    pub(super) async fn feature(&self, name: &str) -> anyhow::Result<Checksum256> {
        if let Ok(digest) = name.parse() {
            return Ok(digest);
        }
        let features = self.node.get_supported_protocol_features().await?;
        if let Some(feature) = features.iter().find(|feature| feature.name() == Some(name)) {
            return Ok(feature.feature_digest);
        }
        let known: Vec<_> = features.iter().filter_map(|feature| feature.name()).collect();
        bail!("the node knows no feature \"{name}\"; it knows {}", known.join(", "))
    }

    pub(super) async fn activated(&self) -> anyhow::Result<Vec<Checksum256>> {
        #[derive(Deserialize)]
        struct Page {
            activated_protocol_features: Vec<Feature>,
        }
        #[derive(Deserialize)]
        struct Feature {
            feature_digest: Checksum256,
        }
        let body = json!({"limit": 100, "search_by_block_num": false, "reverse": false});
        let page: Page = self.node.call("/v1/chain/get_activated_protocol_features", &body).await?;
        Ok(page.activated_protocol_features.into_iter().map(|feature| feature.feature_digest).collect())
    }

    /// Waits until the chain has activated them all.
    pub(super) async fn wait_for_features(&self, digests: &[Checksum256]) -> anyhow::Result<()> {
        let mut waited = Duration::ZERO;
        loop {
            let activated = self.activated().await?;
            if digests.iter().all(|digest| activated.contains(digest)) {
                return Ok(());
            }
            if waited >= PATIENCE {
                bail!("the features were not activated within {PATIENCE:?}: does the node produce blocks?");
            }
            sleep(POLL).await;
            waited += POLL;
        }
    }

    pub(super) async fn info(&self) -> anyhow::Result<Info> {
        Ok(self.node.get_info().await?)
    }
}
