//! Actions, as they were executed and as transactions hold them.

use std::{collections::BTreeSet, sync::Arc};

use async_graphql::{Object, SimpleObject};
use dfuse_antelope::model;
use dfuse_query::ApiResult;

use super::{
    ActionSortOrder, DbOp, DtrxOp, Int64, Json, RamOp, TableOp, Uint32, Uint64,
    call::{PermissionLevel, action_json, actions, authorization, hex_data},
    exception::exception_json,
    operations::{db_ops, dtrx_ops, ram_ops, table_ops},
};
use crate::source::{Source, Trace};

/// How often an account has authorised actions.
#[derive(Debug, SimpleObject)]
pub(crate) struct AuthSequence {
    /// The account.
    account: Option<String>,
    /// How often, this action counted.
    sequence: Uint64,
}

/// Proof that an action was executed.
#[derive(Debug, SimpleObject)]
pub(crate) struct ActionReceipt {
    /// Who executed it.
    receiver: String,
    /// Digest of the action, in hex.
    digest: String,
    /// Its number among all actions of the chain.
    global_sequence: Uint64,
    /// How often the contract's code had been set.
    code_sequence: Uint64,
    /// How often the contract's ABI had been set.
    abi_sequence: Uint64,
    /// How often those who authorised it have authorised actions.
    auth_sequences: Vec<AuthSequence>,
}

impl From<&model::AuthSequence> for AuthSequence {
    fn from(entry: &model::AuthSequence) -> Self {
        Self { account: Some(entry.account_name.to_string()), sequence: entry.sequence.into() }
    }
}

impl From<&model::ActionReceipt> for ActionReceipt {
    fn from(receipt: &model::ActionReceipt) -> Self {
        Self {
            receiver: receipt.receiver.to_string(),
            digest: receipt.digest.to_string(),
            global_sequence: receipt.global_sequence.into(),
            code_sequence: receipt.code_sequence.into(),
            abi_sequence: receipt.abi_sequence.into(),
            auth_sequences: receipt.auth_sequence.iter().map(Into::into).collect(),
        }
    }
}

/// An action of a trace: all that its fields need. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct ActionTrace {
    pub(super) source: Arc<Source>,
    pub(super) trace: Arc<Trace>,
    /// Its position in the order of execution.
    pub(super) at: usize,
    /// Positions of those that match a query.
    pub(super) matching: Arc<[u32]>,
}

impl ActionTrace {
    pub(super) fn own(&self) -> &model::ActionTrace {
        &self.trace.action_traces[self.at]
    }

    fn position(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    fn other(&self, at: usize) -> Self {
        Self { at, ..self.clone() }
    }

    fn with_ordinal(&self, ordinal: u32) -> Option<Self> {
        let at = self.trace.action_traces.iter().position(|other| other.action_ordinal == ordinal);
        at.filter(|_| ordinal > 0).map(|at| self.other(at))
    }

    /// What its data stands for, by the ABI that was in force for it; absent if it does not decode.
    pub(super) fn decoded(&self) -> ApiResult<Option<Json>> {
        action_json(&self.source, &self.trace, self.position(), &self.own().action)
    }
}

/// An action as it was executed.
#[Object]
impl ActionTrace {
    /// Its number among all actions of the chain; 0 if it was not executed for good.
    pub(crate) async fn seq(&self) -> Uint64 {
        self.own().receipt.as_ref().map_or(0, |receipt| receipt.global_sequence).into()
    }

    /// Its position in the order in which the transaction's actions were executed, from 0.
    async fn execution_index(&self) -> Uint32 {
        self.own().execution_index.into()
    }

    /// Proof of its execution; absent if it failed.
    async fn receipt(&self) -> Option<ActionReceipt> {
        self.own().receipt.as_ref().map(Into::into)
    }

    /// Who executed it: its contract, or an account that was notified.
    async fn receiver(&self) -> String {
        self.own().receiver.to_string()
    }

    /// Its contract.
    async fn account(&self) -> String {
        self.own().action.account.to_string()
    }

    /// Its name.
    async fn name(&self) -> String {
        self.own().action.name.to_string()
    }

    /// Who authorised it.
    async fn authorization(&self) -> Vec<PermissionLevel> {
        authorization(&self.own().action)
    }

    /// The same as `json`.
    async fn data(&self) -> Option<ApiResult<Json>> {
        self.decoded().transpose()
    }

    /// Its data by the ABI that was in force for it; absent if it does not decode.
    async fn json(&self) -> Option<ApiResult<Json>> {
        self.decoded().transpose()
    }

    /// Its data as bytes, in hex.
    async fn hex_data(&self) -> ApiResult<String> {
        hex_data(&self.source, &self.own().action)
    }

    /// How it changed the use of RAM.
    async fn ram_ops(&self) -> ApiResult<Vec<RamOp>> {
        ram_ops(&self.source, &self.trace, self.position())
    }

    /// What it did with deferred transactions.
    async fn dtrx_ops(&self) -> ApiResult<Vec<DtrxOp>> {
        dtrx_ops(&self.source, &self.trace, self.position())
    }

    /// Tables that came or went with it.
    async fn table_ops(&self) -> ApiResult<Vec<TableOp>> {
        table_ops(&self.source, &self.trace, self.position())
    }

    /// The rows that it changed.
    async fn db_ops(
        &self,
        #[graphql(desc = "Rows of this contract alone.")] code: Option<String>,
        #[graphql(desc = "Rows of tables of this name alone.")] table: Option<String>,
    ) -> ApiResult<Vec<DbOp>> {
        db_ops(&self.source, &self.trace, self.position(), code.as_deref(), table.as_deref())
    }

    /// What it printed.
    async fn console(&self) -> ApiResult<String> {
        self.source.request().take_room(self.own().console.len())?;
        Ok(self.own().console.clone())
    }

    /// Whether it is a context-free action.
    async fn context_free(&self) -> bool {
        self.own().context_free
    }

    /// How long it took, in microseconds.
    async fn elapsed(&self) -> Int64 {
        self.own().elapsed.into()
    }

    /// Why it failed, if it did.
    #[graphql(name = "exceptJSON")]
    async fn except_json(&self) -> Option<ApiResult<Json>> {
        self.own().exception.as_deref().map(|it| exception_json(self.source.request(), it))
    }

    /// Whether its receiver was only notified of it.
    async fn is_notify(&self) -> bool {
        is_notify(self.own())
    }

    /// Whether it matches the query.
    async fn is_matching_query(&self) -> bool {
        self.matching.binary_search(&self.position()).is_ok()
    }

    /// The actions that it created.
    async fn created_actions(
        &self,
        #[graphql(desc = "In which order.", default_with = "Some(ActionSortOrder::Execution)")] sort: Option<
            ActionSortOrder,
        >,
    ) -> ApiResult<Vec<Option<ActionTrace>>> {
        let ordinal = self.own().action_ordinal;
        let mut created: Vec<_> = (0..)
            .zip(&self.trace.action_traces)
            .filter(|(_, other)| ordinal > 0 && other.creator_action_ordinal == ordinal)
            .map(|(at, other)| (other.action_ordinal, at))
            .collect();
        if sort == Some(ActionSortOrder::Creation) {
            created.sort_unstable();
        }
        actions(&self.source, created.into_iter().map(|(_, at)| self.other(at)).map(Some).collect())
    }

    /// The action that created it.
    async fn creator_action(&self) -> Option<ActionTrace> {
        self.with_ordinal(self.own().creator_action_ordinal)
    }

    /// The nearest one of those that led to it which is no notification.
    async fn closest_unnotified_ancestor_action(&self) -> Option<ActionTrace> {
        self.with_ordinal(self.own().closest_unnotified_ancestor_action_ordinal)
    }
}

pub(super) fn is_notify(trace: &model::ActionTrace) -> bool {
    trace.receiver.0 != 0 && trace.receiver != trace.action.account
}

/// Positions of a trace's actions that no other action created, in the order of execution.
pub(super) fn top_level(trace: &Trace) -> BTreeSet<usize> {
    (0..).zip(&trace.action_traces).filter(|(_, action)| action.is_input()).map(|(at, _)| at).collect()
}
