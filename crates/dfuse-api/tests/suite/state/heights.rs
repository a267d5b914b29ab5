//! Recorded chains at earlier heights: what all operations up to there have made.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use dfuse_antelope::{
    Name, PublicKey,
    model::{Block, DbOperation, TableOperation},
    raw::Reader,
};
use dfuse_index::BlockContext;
use dfuse_state::{RowKey, TableKey};
use serde_json::{Value, json};

use super::made::name;
use crate::support::TestChain;

/// The state after a block, from the operations alone.
#[derive(Default)]
struct Fold {
    /// Payers and bytes by primary key.
    rows: BTreeMap<TableKey, BTreeMap<u64, (Name, Bytes)>>,
    scopes: BTreeMap<(Name, Name), BTreeSet<Name>>,
    /// By account and permission.
    keys: BTreeMap<(Name, Name), BTreeSet<PublicKey>>,
    /// Account, contract and action to permission.
    links: BTreeMap<[Name; 3], Name>,
    /// Blocks, where they are known, and bytes.
    abis: BTreeMap<Name, (Option<u32>, Bytes)>,
    /// What was there after any block.
    ever: Ever,
}

#[derive(Default)]
struct Ever {
    scopes: BTreeSet<(Name, Name)>,
    keys: BTreeSet<PublicKey>,
    linked: BTreeSet<Name>,
}

impl Fold {
    fn apply(&mut self, block: &Block) {
        for trace in block.transaction_traces().iter().filter(|trace| !trace.is_reverted()) {
            for op in &trace.db_ops {
                let key = RowKey::of(op);
                let table = self.rows.entry(key.table).or_default();
                if op.operation == DbOperation::Remove {
                    table.remove(&key.primary_key);
                } else {
                    table.insert(key.primary_key, (op.new_payer, op.new_data.clone()));
                }
            }
            for op in &trace.table_ops {
                let scopes = self.scopes.entry((op.code, op.table_name)).or_default();
                if op.operation == TableOperation::Remove {
                    scopes.remove(&op.scope);
                } else {
                    scopes.insert(op.scope);
                }
            }
            for op in &trace.perm_ops {
                if let Some(old) = &op.old_perm {
                    self.keys.remove(&(old.owner, old.name));
                }
                if let Some(new) = &op.new_perm {
                    let keys = new.authority.keys.iter().map(|key| key.public_key.parse().unwrap());
                    self.keys.insert((new.owner, new.name), keys.collect());
                }
            }
        }
        let mut actions: Vec<_> = BlockContext::new(block).executed_actions().collect();
        actions.sort_by_key(|it| it.global_sequence);
        let eosio = name("eosio");
        for action in actions.iter().map(|it| it.action).filter(|it| it.receiver == eosio && it.action.account == eosio)
        {
            self.apply_action(block.number, &action.action.name.to_string(), &action.action.raw_data);
        }
        self.note();
    }

    fn apply_action(&mut self, number: u32, action: &str, data: &Bytes) {
        let mut reader = Reader::sharing(data);
        match action {
            "setabi" => {
                let (account, abi) = (reader.name().unwrap(), reader.bytes("ABI").unwrap());
                self.abis.insert(account, (Some(number), abi));
            }
            "linkauth" | "unlinkauth" => {
                let link = [(); 3].map(|()| reader.name().unwrap());
                if action == "linkauth" {
                    self.links.insert(link, reader.name().unwrap());
                } else {
                    self.links.remove(&link);
                }
            }
            _ => {}
        }
    }

    /// Notes what is there after a block.
    fn note(&mut self) {
        let there = self.scopes.iter().filter(|(_, scopes)| !scopes.is_empty());
        self.ever.scopes.extend(there.map(|(key, _)| *key));
        self.ever.keys.extend(self.keys.values().flatten().cloned());
        self.ever.linked.extend(self.links.keys().map(|link| link[0]));
    }

    /// Compares every answer at that height, of all that was ever there. Returns how many answers there were.
    async fn check(&self, chain: &TestChain, number: u32, ever: &Self) -> usize {
        let get = async |path: String| chain.get(&format!("/v0/state/{path}&block_num={number}")).await;
        let mut answers = 0;
        for table in ever.rows.keys() {
            let TableKey { contract, table: name, scope } = table;
            let path = format!("table?account={contract}&table={name}&scope={scope}&key_type=uint64");
            let ours = get(path).await.json();
            let none = BTreeMap::new();
            let rows = self.rows.get(table).unwrap_or(&none).iter();
            let rows = rows.map(|(key, (payer, data))| {
                json!({"key": key.to_string(), "payer": payer.to_string(), "hex": const_hex::encode(data)})
            });
            assert_eq!(ours["rows"], json!(rows.collect::<Vec<_>>()), "{table:?} at {number}");
            answers += 1;
        }
        for (contract, table) in &ever.ever.scopes {
            let scopes = self.scopes.get(&(*contract, *table)).into_iter().flatten().map(Name::to_string);
            let ours = get(format!("table_scopes?account={contract}&table={table}")).await.json();
            assert_eq!(ours, json!({"block_num": number, "scopes": scopes.collect::<Vec<_>>()}));
            answers += 1;
        }
        for key in &ever.ever.keys {
            let accounts = self.keys.iter().filter(|(_, keys)| keys.contains(key)).map(|((account, _), _)| *account);
            let accounts: BTreeSet<_> = accounts.collect();
            let accounts: Vec<_> = accounts.iter().map(Name::to_string).collect();
            let ours = get(format!("key_accounts?public_key={key}")).await.json();
            assert_eq!(ours, json!({"block_num": number, "account_names": accounts}), "{key}");
            answers += 1;
        }
        for account in &ever.ever.linked {
            let links =
                self.links.iter().filter(|([of, ..], _)| of == account).map(|([_, contract, action], permission)| {
                    json!({"contract": contract.to_string(), "action": action.to_string(),
                       "permission_name": permission.to_string()})
                });
            let ours = get(format!("permission_links?account={account}")).await.json();
            assert_eq!(ours["linked_permissions"], json!(links.collect::<Vec<_>>()), "{account} at {number}");
            answers += 1;
        }
        for account in ever.abis.keys() {
            let ours = get(format!("abi?account={account}")).await;
            match self.abis.get(account).filter(|(_, abi)| !abi.is_empty()) {
                None => assert_eq!(ours.error().1["code"], "data_abi_not_found_error", "{account} at {number}"),
                Some((block, abi)) => {
                    let ours = ours.json();
                    assert_eq!(ours["abi"], const_hex::encode(abi), "{account} at {number}");
                    assert!(block.is_none_or(|block| ours["block_num"] == block), "{account} at {number}: {block:?}");
                }
            }
            answers += 1;
        }
        answers
    }
}

/// Compares one height in so many, the irreversible ones among them and the head. Returns how many answers there were.
async fn check_heights(log: &str, one_in: usize) -> Option<usize> {
    let chain = TestChain::recorded(log).await?;
    let blocks = chain.best();
    let begin = || {
        let dumps = chain.abi_dumps.iter().flat_map(|dump| &dump.abis);
        Fold { abis: dumps.map(|(account, abi)| (*account, (None, abi.clone()))).collect(), ..Fold::default() }
    };
    let mut ever = begin();
    blocks.iter().for_each(|block| ever.apply(block));
    let (mut fold, mut answers) = (begin(), 0);
    for (i, block) in blocks.iter().enumerate() {
        fold.apply(block);
        if i % one_in == 0 || i + 1 == blocks.len() || i + 7 == blocks.len() {
            answers += fold.check(&chain, block.number, &ever).await;
        }
    }
    let head: Value = chain.get("/v0/state/permission_links?account=a").await.json();
    assert_eq!(head["up_to_block_id"], blocks.last().unwrap().id.to_string());
    Some(answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_a_chain() {
    let Some(answers) = check_heights("small/small.dmlog.zst", 40).await else { return };
    assert!(answers > 1000, "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_a_chain_with_forks() {
    let Some(answers) = check_heights("fork/fork.dmlog.zst", 20).await else { return };
    assert!(answers > 450, "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_a_busy_chain() {
    let Some(answers) = check_heights("busy/busy.dmlog.zst", 150).await else { return };
    assert!(answers > 1000, "{answers}");
}
