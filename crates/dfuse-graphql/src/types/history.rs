//! What an account has done and what has come to it.

use async_graphql::{Object, SimpleObject};
use dfuse_index::blocks::by_id;
use dfuse_query::ApiResult;

use super::{
    ActionTrace, Json, PageInfo, SearchCoverage, Time, Uint32, Uint64,
    action::{ActionReceipt, is_notify},
    call::{PermissionLevel, authorization, hex_data},
};

/// Some actions of an account.
#[derive(SimpleObject)]
pub(crate) struct AccountHistoryActionsConnection {
    /// The actions, newest first.
    pub(crate) edges: Vec<SimpleActionTraceEdge>,
    /// Where they are among all.
    pub(crate) page_info: PageInfo,
    /// What the actions may lack.
    #[graphql(flatten)]
    pub(crate) coverage: SearchCoverage,
}

/// An action of an account.
#[derive(SimpleObject)]
pub(crate) struct SimpleActionTraceEdge {
    /// What comes after it begins here.
    pub(crate) cursor: String,
    /// The action.
    pub(crate) node: SimpleActionTrace,
}

/// An action with where it was executed, and without what it changed.
pub(crate) struct SimpleActionTrace {
    pub(crate) action: super::TransactionTrace,
    /// Its position in the order of execution.
    pub(crate) at: u32,
}

impl SimpleActionTrace {
    fn read(&self) -> ApiResult<ActionTrace> {
        self.action.action_at(self.at)
    }
}

/// An action with where it was executed.
#[Object]
impl SimpleActionTrace {
    /// Its number among all actions of the chain; 0 if it was not executed for good.
    async fn seq(&self) -> ApiResult<Uint64> {
        Ok(self.read()?.own().receipt.as_ref().map_or(0, |receipt| receipt.global_sequence).into())
    }

    /// The height of its block.
    async fn block_num(&self) -> Uint64 {
        u64::from(self.action.block.number).into()
    }

    /// The id of its block.
    #[graphql(name = "blockID")]
    async fn block_id(&self) -> String {
        self.action.block.id.to_string()
    }

    /// When its block was made.
    async fn block_time(&self) -> ApiResult<Time> {
        let source = &self.action.source;
        match by_id(source.view(), self.action.block.id)? {
            Some(indexed) => Ok(indexed.time.into()),
            None => Ok(source.header(self.action.block)?.timestamp.into()),
        }
    }

    /// The id of its transaction.
    #[graphql(name = "trxID")]
    async fn trx_id(&self) -> String {
        self.action.id.to_string()
    }

    /// Its position in the order in which the transaction's actions were executed, from 0.
    async fn execution_index(&self) -> ApiResult<Uint32> {
        Ok(self.read()?.own().execution_index.into())
    }

    /// Proof of its execution; absent if it failed.
    async fn receipt(&self) -> Option<ApiResult<ActionReceipt>> {
        self.read().map(|action| action.own().receipt.as_ref().map(Into::into)).transpose()
    }

    /// Who executed it: its contract, or an account that was notified.
    async fn receiver(&self) -> ApiResult<String> {
        Ok(self.read()?.own().receiver.to_string())
    }

    /// Its contract.
    async fn account(&self) -> ApiResult<String> {
        Ok(self.read()?.own().action.account.to_string())
    }

    /// Its name.
    async fn name(&self) -> ApiResult<String> {
        Ok(self.read()?.own().action.name.to_string())
    }

    /// Who authorised it.
    async fn authorization(&self) -> ApiResult<Vec<PermissionLevel>> {
        Ok(authorization(&self.read()?.own().action))
    }

    /// The same as `json`.
    async fn data(&self) -> Option<ApiResult<Json>> {
        self.read().and_then(|action| action.decoded()).transpose()
    }

    /// Its data by the ABI that was in force for it; absent if it does not decode.
    async fn json(&self) -> Option<ApiResult<Json>> {
        self.read().and_then(|action| action.decoded()).transpose()
    }

    /// Its data as bytes, in hex.
    async fn hex_data(&self) -> ApiResult<String> {
        let action = self.read()?;
        hex_data(&action.source, &action.own().action)
    }

    /// What it printed.
    async fn console(&self) -> ApiResult<String> {
        let action = self.read()?;
        action.source.request().take_room(action.own().console.len())?;
        Ok(action.own().console.clone())
    }

    /// Whether it is a context-free action.
    async fn context_free(&self) -> ApiResult<bool> {
        Ok(self.read()?.own().context_free)
    }

    /// Whether its receiver was only notified of it.
    async fn is_notify(&self) -> ApiResult<bool> {
        Ok(is_notify(self.read()?.own()))
    }
}
