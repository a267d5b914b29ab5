//! What a filter may ask of an action, by name.

use super::types::Type;

/// Something that an expression may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    Receiver,
    Account,
    Action,
    BlockNum,
    BlockId,
    BlockTime,
    Step,
    TransactionId,
    TransactionIndex,
    GlobalSeq,
    ExecutionIndex,
    Data,
    Auth,
    Input,
    Notif,
    Scheduled,
    Executed,
    TrxActionCount,
    Top5TrxActors,
}

use Variable::{
    Account, Action, Auth, BlockId, BlockNum, BlockTime, Data, Executed, ExecutionIndex, GlobalSeq, Input, Notif,
    Receiver, Scheduled, Step, Top5TrxActors, TransactionId, TransactionIndex, TrxActionCount,
};

const VARIABLES: [(&str, Variable); 19] = [
    ("receiver", Receiver),
    ("account", Account),
    ("action", Action),
    ("auth", Auth),
    ("data", Data),
    ("input", Input),
    ("notif", Notif),
    ("scheduled", Scheduled),
    ("executed", Executed),
    ("block_num", BlockNum),
    ("block_id", BlockId),
    ("block_time", BlockTime),
    ("step", Step),
    ("transaction_id", TransactionId),
    ("transaction_index", TransactionIndex),
    ("global_seq", GlobalSeq),
    ("execution_index", ExecutionIndex),
    ("trx_action_count", TrxActionCount),
    ("top5_trx_actors", Top5TrxActors),
];

impl Variable {
    pub(super) fn named(name: &str) -> Option<Self> {
        VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, variable)| *variable)
    }

    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        VARIABLES.iter().map(|(name, _)| *name)
    }

    pub(super) fn kind(self) -> Type {
        match self {
            Receiver | Account | Action | BlockId | BlockTime | Step | TransactionId => Type::String,
            BlockNum | TransactionIndex | GlobalSeq | ExecutionIndex => Type::Uint,
            TrxActionCount => Type::Int,
            Input | Notif | Scheduled | Executed => Type::Bool,
            Data => Type::Map,
            Auth | Top5TrxActors => Type::List(Box::new(Type::String)),
        }
    }
}
