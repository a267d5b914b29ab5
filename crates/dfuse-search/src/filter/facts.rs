//! What a filter learns of an action when it asks.

use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
};

use dfuse_antelope::{Name, model::Block};
use dfuse_index::ExecutedAction;
use serde_json::Value as Json;

use super::{
    eval::Facts,
    value::Value,
    variable::Variable::{
        self, Account, Action, Auth, BlockId, BlockNum, BlockTime, Data, Executed, ExecutionIndex, GlobalSeq, Input,
        Notif, Receiver, Scheduled, Step, Top5TrxActors, TransactionId, TransactionIndex, TrxActionCount,
    },
};

/// What is looked at once for all actions of a transaction.
#[derive(Debug, Default)]
pub(crate) struct TransactionFacts {
    actors: OnceCell<Vec<String>>,
}

/// Decodes the data of an action; absent if it does not decode to fields.
type Decode<'a> = &'a mut dyn FnMut() -> dfuse_index::Result<Option<Json>>;

/// An action, of which things are found out when they are asked for.
pub(crate) struct ActionFacts<'a> {
    block: &'a Block,
    action: ExecutedAction<'a>,
    transaction: &'a TransactionFacts,
    data: OnceCell<Option<Json>>,
    decode: RefCell<(Decode<'a>, Option<dfuse_index::Error>)>,
}

impl<'a> ActionFacts<'a> {
    /// `decode` is called once at most.
    pub(crate) fn new(
        block: &'a Block,
        action: ExecutedAction<'a>,
        transaction: &'a TransactionFacts,
        decode: Decode<'a>,
    ) -> Self {
        Self { block, action, transaction, data: OnceCell::new(), decode: RefCell::new((decode, None)) }
    }

    pub(super) fn block_number(&self) -> u32 {
        self.block.number
    }

    /// Why the data could not be read, once.
    pub(super) fn failure(&self) -> Option<dfuse_index::Error> {
        self.decode.borrow_mut().1.take()
    }

    fn data(&self) -> Option<&Json> {
        let read = || {
            let (decode, failure) = &mut *self.decode.borrow_mut();
            decode().unwrap_or_else(|error| {
                *failure = Some(error);
                None
            })
        };
        self.data.get_or_init(read).as_ref().filter(|data| data.is_object())
    }
}

impl Facts for ActionFacts<'_> {
    fn get(&self, variable: Variable) -> Option<Value<'_>> {
        let ExecutedAction { position, transaction, action, global_sequence } = self.action;
        let text = |text: String| Value::Text(text.into());
        Some(match variable {
            Receiver => text(action.receiver.to_string()),
            Account => text(action.action.account.to_string()),
            Action => text(action.action.name.to_string()),
            BlockNum => Value::Uint(self.block.number.into()),
            BlockId => text(self.block.id.to_string()),
            BlockTime => {
                let time = self.block.header.timestamp.to_string();
                // With one decimal: half seconds.
                text(format!("{}Z", time.strip_suffix("00").unwrap_or(&time)))
            }
            // Whatever the block's step, an action passes or it does not.
            Step => Value::Text("Unknown".into()),
            TransactionId => text(transaction.id.to_string()),
            TransactionIndex => Value::Uint(position as u64),
            GlobalSeq => Value::Uint(global_sequence),
            ExecutionIndex => Value::Uint(action.execution_index.into()),
            Data => Value::Json(self.data()?),
            Auth => {
                let levels = action
                    .action
                    .authorization
                    .iter()
                    .flat_map(|level| [level.actor.to_string(), format!("{}@{}", level.actor, level.permission)]);
                Value::list(levels.map(text))
            }
            Input => Value::Bool(action.is_input()),
            Notif => Value::Bool(action.receiver != action.action.account),
            Scheduled => Value::Bool(transaction.scheduled),
            Executed => Value::Bool(!transaction.is_reverted()),
            TrxActionCount => Value::Int(transaction.action_traces.len() as i64),
            Top5TrxActors => {
                let actors = self.transaction.actors.get_or_init(|| top_actors(&self.action, 5));
                Value::list(actors.iter().map(|actor| Value::Text(actor.into())))
            }
        })
    }
}

/// The accounts that take part in most actions of the transaction, as receiver, contract or authorizer; of those with as
/// many actions the first by name.
fn top_actors(action: &ExecutedAction<'_>, most: usize) -> Vec<String> {
    let mut counts = BTreeMap::<String, usize>::new();
    let mut count = |name: Name| *counts.entry(name.to_string()).or_default() += 1;
    for trace in &action.transaction.action_traces {
        count(trace.receiver);
        count(trace.action.account);
        trace.action.authorization.iter().for_each(|level| count(level.actor));
    }
    let mut actors: Vec<_> = counts.into_iter().collect();
    // Stable, and in the order of names before.
    actors.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    actors.into_iter().take(most).map(|(name, _)| name).collect()
}
