//! Searches without an index: what an action has, and whether a query matches it, straight from the reference. It shares no
//! code with `dfuse-search`, which is held against it.

mod queries;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dfuse_antelope::{
    AbiDump, Checksum256, Name,
    abi::{Abi, AbiSerializer, Rendering},
    model::{Block, TransactionStatus, TransactionTrace},
    raw,
};
use serde_json::Value;

pub use self::queries::Vocabulary;

/// Values by field.
pub type Document = BTreeMap<String, BTreeSet<String>>;

/// The ABIs of a chain after a block.
pub type AbiState = BTreeMap<Name, Arc<AbiSerializer>>;

/// A transaction and its actions in the order of execution.
#[derive(Debug)]
pub struct Transaction {
    /// Position among the block's traces.
    pub position: u32,
    /// Its id.
    pub id: Checksum256,
    /// What each action has.
    pub actions: Vec<Document>,
}

/// What can be found in a block.
#[derive(Debug)]
pub struct Documents {
    /// Number of the block.
    pub number: u32,
    /// Transactions that executed actions.
    pub transactions: Vec<Transaction>,
    /// The ABIs after the block.
    pub abis: AbiState,
}

/// A transaction that was found: number of the block, position, id, and places of the actions that match.
pub type Found = (u32, u32, Checksum256, Vec<u32>);

/// The ABIs of a dump.
pub fn dumped(dump: &AbiDump) -> AbiState {
    dump.abis.iter().filter_map(|(account, abi)| Some((*account, compile(abi)?))).collect()
}

fn compile(abi: &[u8]) -> Option<Arc<AbiSerializer>> {
    Abi::from_bytes(abi).ok().map(|abi| Arc::new(AbiSerializer::new(&abi)))
}

/// The documents of a block, given the ABIs before it.
pub fn documents(block: &Block, mut abis: AbiState) -> Documents {
    let mut transactions = Vec::new();
    for (position, trace) in (0..).zip(block.transaction_traces()) {
        if is_reverted(trace) {
            continue;
        }
        let executed = trace.action_traces.iter().filter_map(|action| Some((action.receipt.as_ref()?, action)));
        let mut actions: Vec<_> = executed.collect();
        actions.sort_by_key(|(receipt, _)| receipt.global_sequence);
        let mut documents = Vec::new();
        for (_, action) in actions {
            assert_eq!(action.execution_index as usize, documents.len(), "{}", trace.id);
            let mut document = Document::new();
            let mut put = |field: &str, value: String| {
                document.entry(field.into()).or_default().insert(value);
            };
            let call = &action.action;
            put("receiver", action.receiver.to_string());
            put("account", call.account.to_string());
            put("action", call.name.to_string());
            for level in &call.authorization {
                put("auth", level.actor.to_string());
                put("auth", format!("{}@{}", level.actor, level.permission));
            }
            put("scheduled", trace.scheduled.to_string());
            put("notif", (action.receiver != call.account).to_string());
            put("input", (action.creator_action_ordinal == 0).to_string());
            let soft = trace.receipt.as_ref().is_some_and(|receipt| receipt.status == TransactionStatus::SoftFail);
            put("status", if soft { "soft_fail" } else { "executed" }.into());
            for op in trace.ram_ops.iter().filter(|op| op.action_index == action.execution_index && op.delta != 0) {
                put(if op.delta > 0 { "ram.consumed" } else { "ram.released" }, op.payer.to_string());
            }
            for op in trace.db_ops.iter().filter(|op| op.action_index == action.execution_index) {
                put("db.table", op.table_name.to_string());
                put("db.table", format!("{}/{}", op.table_name, op.scope));
                put("db.key", format!("{}/{}/{}", op.table_name, op.scope, op.primary_key));
            }
            put("block_num", block.number.to_string());
            put("trx_idx", position.to_string());
            let kind = abis.get(&call.account).and_then(|abi| abi.action(call.name).ok());
            let mut json = Vec::new();
            let decoded =
                kind.is_some_and(|kind| kind.decode(&call.raw_data, Rendering::Fit, 1 << 22, &mut json).is_ok());
            if let (true, Ok(data @ Value::Object(_))) = (decoded, serde_json::from_slice(&json)) {
                flatten("data", &data, &mut put);
            }
            documents.push(document);
            let names = (action.receiver, call.account, call.name);
            if names == (Name::EOSIO, Name::EOSIO, Name::literal("setabi")) {
                let mut reader = raw::Reader::sharing(&call.raw_data);
                let account = reader.name().expect("the chain has executed it");
                let abi = reader.bytes("ABI").expect("the chain has executed it");
                match compile(&abi).filter(|_| !abi.is_empty()) {
                    Some(abi) => drop(abis.insert(account, abi)),
                    None => drop(abis.remove(&account)),
                }
            }
        }
        transactions.push(Transaction { position, id: trace.id, actions: documents });
    }
    Documents { number: block.number, transactions, abis }
}

fn is_reverted(trace: &TransactionTrace) -> bool {
    let first = trace.action_traces.first().map(|action| action.action.name.to_string());
    match trace.receipt.as_ref().map(|receipt| receipt.status) {
        Some(TransactionStatus::Executed) => false,
        Some(TransactionStatus::SoftFail) => first.as_deref() != Some("onerror"),
        _ => true,
    }
}

fn flatten(path: &str, value: &Value, put: &mut impl FnMut(&str, String)) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| flatten(&format!("{path}.{name}"), value, put)),
        Value::Array(items) => items.iter().for_each(|item| flatten(path, item, put)),
        Value::Null => {}
        Value::String(text) if path == "data.abi" || path == "data.code" => {
            if let Ok(bytes) = const_hex::decode(text)
                && !text.is_empty()
            {
                put(path, Checksum256::sha256(&bytes).to_string());
            }
        }
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => put(path, text.clone()),
        other => put(path, other.to_string()),
    }
}

/// A query as a tree.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// A value of the field is like one of these.
    Is(String, Vec<Like>),
    /// All of these.
    And(Vec<Wanted>),
    /// Any of these.
    Or(Vec<Wanted>),
    /// Not this.
    Not(Box<Wanted>),
}

/// A value as it is written.
#[derive(Debug, Clone)]
pub enum Like {
    /// This text.
    Text(String),
    /// A text that begins so; with nothing, any value.
    Begins(String),
    /// `true` or `false` without quotes.
    Flag(bool),
    /// A number from the first to the last.
    Numbers(u32, u32),
}

impl Wanted {
    /// The query as the language has it.
    pub fn text(&self) -> String {
        let join = |operands: &[Self], by: &str| operands.iter().map(Self::text).collect::<Vec<_>>().join(by);
        match self {
            Self::Is(field, values) => match &values[..] {
                [value] => format!("{field}:{}", value.text()),
                values => format!("{field}:[{}]", values.iter().map(Like::text).collect::<Vec<_>>().join(",")),
            },
            Self::And(operands) => format!("({})", join(operands, " ")),
            Self::Or(operands) => format!("({})", join(operands, " OR ")),
            Self::Not(operand) => format!("-{}", operand.text()),
        }
    }

    /// Whether an action matches.
    pub fn matches(&self, document: &Document) -> bool {
        match self {
            Self::Is(field, values) => values.iter().any(|value| value.matches(field, document)),
            Self::And(operands) => operands.iter().all(|operand| operand.matches(document)),
            Self::Or(operands) => operands.iter().any(|operand| operand.matches(document)),
            Self::Not(operand) => !operand.matches(document),
        }
    }

    /// Transactions that match, in ascending order, with the actions that do.
    pub fn scan<'a>(&self, blocks: impl Iterator<Item = &'a Arc<Documents>>) -> Vec<Found> {
        let mut found = Vec::new();
        for block in blocks {
            for transaction in &block.transactions {
                let actions = (0..).zip(&transaction.actions).filter(|(_, action)| self.matches(action));
                let actions: Vec<_> = actions.map(|(index, _)| index).collect();
                if !actions.is_empty() {
                    found.push((block.number, transaction.position, transaction.id, actions));
                }
            }
        }
        found
    }
}

impl Like {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => format!("\"{text}\""),
            Self::Begins(text) => format!("{text}*"),
            Self::Flag(flag) => flag.to_string(),
            Self::Numbers(first, last) => format!("{first}-{last}"),
        }
    }

    fn matches(&self, field: &str, document: &Document) -> bool {
        let is_flag = ["scheduled", "notif", "input"].contains(&field);
        let mut values = document.get(field).into_iter().flatten();
        match self {
            Self::Text(text) => values.any(|value| value == text),
            // A field has a value also where that is within.
            Self::Begins(start) if start.is_empty() => {
                let within = format!("{field}.");
                document.keys().any(|known| known == field || known.starts_with(&within))
            }
            Self::Begins(start) => values.any(|value| value.starts_with(start)),
            Self::Flag(flag) => {
                let number = if *flag { "1" } else { "0" };
                values.any(|value| {
                    *value == flag.to_string() || field.starts_with("data.") && !is_flag && value == number
                })
            }
            Self::Numbers(first, last) => {
                values.any(|value| (*first..=*last).contains(&value.parse().expect("a number")))
            }
        }
    }
}
