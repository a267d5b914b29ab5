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
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::contracts::native_abi;

/// How long a transaction is good for.
const LIFE_SECONDS: u32 = 120;
/// Time between two looks at the node.
const POLL: Duration = Duration::from_millis(250);
/// How long the chain may take to make some blocks.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most bytes of the data of an action.
const MAX_DATA: usize = 16 << 20;

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
    pub(super) authorization: Vec<PermissionLevel>,
    /// Text is packed data in hex.
    pub(super) data: Value,
}

/// A transaction that was pushed, and the chain just before.
pub(super) struct Pushed {
    pub(super) id: Checksum256,
    pub(super) before: Info,
}

/// A table of a contract, and how many rows and entries it has.
#[derive(Deserialize)]
pub(super) struct TableCount {
    pub(super) scope: Name,
    pub(super) table: Name,
    pub(super) count: u64,
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
                    pause(&mut waited).await;
                }
            }
        };
        let native = native_abi()?;
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

    /// Signs and pushes one transaction.
    pub(super) async fn push(&mut self, calls: &[Call]) -> anyhow::Result<Pushed> {
        let mut actions = Vec::with_capacity(calls.len());
        for call in calls {
            actions.push(self.action(call).await?);
        }
        let before = self.info().await?;
        let reference = before.last_irreversible_block_id;
        let now = u32::try_from(before.head_block_time.0 / 1_000_000).unwrap_or(0);
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
        let id = self.node.push_transaction(&packed).await?.transaction_id;
        Ok(Pushed { id, before })
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
            authorization: authorization.clone(),
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
            let level = |PermissionLevel { actor, permission }: &_| json!({"actor": actor, "permission": permission});
            json!({
                "account": action.account,
                "name": action.name,
                "authorization": call.authorization.iter().map(level).collect::<Vec<_>>(),
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
            pause(&mut waited).await;
        }
    }

    pub(super) async fn info(&self) -> anyhow::Result<Info> {
        Ok(self.node.get_info().await?)
    }

    /// Waits until the chain has that many more blocks than after a transaction: it is in one of them.
    pub(super) async fn wait_for_blocks(&self, more: u32, after: &Info) -> anyhow::Result<()> {
        let mut waited = Duration::ZERO;
        while self.info().await?.head_block_num < after.head_block_num + more {
            if waited >= PATIENCE {
                bail!("there was no block within {PATIENCE:?}: does the node produce blocks?");
            }
            pause(&mut waited).await;
        }
        Ok(())
    }

    /// What the node says about an account; nothing if there is none.
    pub(super) async fn account(&self, name: Name) -> anyhow::Result<Option<Map<String, Value>>> {
        match self.node.get_account(name).await {
            Ok(account) => Ok(Some(account)),
            Err(RpcError::Refused { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The public keys whose private ones are there.
    pub(super) fn has_key(&self, key: &PublicKey) -> bool {
        self.keys.contains_key(key)
    }

    /// SHA-256 of an account's code, zeros if it has none.
    pub(super) async fn code_hash(&self, account: Name) -> anyhow::Result<Checksum256> {
        #[derive(Deserialize)]
        struct Answer {
            code_hash: Checksum256,
        }
        let answer: Answer = self.node.call("/v1/chain/get_code_hash", &json!({"account_name": account})).await?;
        Ok(answer.code_hash)
    }

    /// Calls `each` for every table of a contract. The same may come twice.
    pub(super) async fn tables(&self, contract: Name, mut each: impl FnMut(TableCount)) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Page {
            rows: Vec<TableCount>,
            /// The scope that the next page begins with.
            more: String,
        }
        let mut from = String::new();
        loop {
            let body = json!({"code": contract, "table": "", "lower_bound": from, "upper_bound": "", "limit": 1000});
            let page: Page = self.node.call("/v1/chain/get_table_by_scope", &body).await?;
            page.rows.into_iter().for_each(&mut each);
            if page.more.is_empty() || page.more == from {
                return Ok(());
            }
            from = page.more;
        }
    }
}

/// Waits between two looks at the node.
pub(super) async fn pause(waited: &mut Duration) {
    sleep(POLL).await;
    *waited += POLL;
}
