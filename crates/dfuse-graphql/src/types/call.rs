//! Actions of transactions, whether they were executed or not.

use std::sync::Arc;

use async_graphql::{Object, SimpleObject};
use dfuse_antelope::{abi::Rendering, model};
use dfuse_query::ApiResult;

use super::Json;
use crate::source::{Source, Trace};

/// An account and one of its permissions.
#[derive(Debug, SimpleObject)]
pub(crate) struct PermissionLevel {
    /// The account.
    actor: String,
    /// The permission.
    permission: String,
}

pub(crate) fn authorization(action: &model::Action) -> Vec<PermissionLevel> {
    let level = |level: &model::PermissionLevel| PermissionLevel {
        actor: level.actor.to_string(),
        permission: level.permission.to_string(),
    };
    action.authorization.iter().map(level).collect()
}

/// What the data of an action stands for by the ABI in force at an action of the trace.
pub(super) fn action_json(
    source: &Source,
    trace: &Trace,
    position: u32,
    action: &model::Action,
) -> ApiResult<Option<Json>> {
    let Some(abi) = source.abi(action.account, trace, position)? else { return Ok(None) };
    let Ok(kind) = abi.action(action.name) else { return Ok(None) };
    let decoded = source.decode(kind, &action.raw_data, Rendering::Nodeos, usize::MAX)?;
    Ok(decoded.ok().map(Json))
}

/// The bytes of an action in hex.
pub(super) fn hex_data(source: &Source, action: &model::Action) -> ApiResult<String> {
    source.request().take_room(2 * action.raw_data.len())?;
    Ok(const_hex::encode(&action.raw_data))
}

/// About what an object takes in an answer, whatever its fields.
const OBJECT_BYTES: usize = 256;

/// Some actions, for which there must be room.
pub(super) fn actions<T>(source: &Source, actions: Vec<T>) -> ApiResult<Vec<T>> {
    source.request().take_room(actions.len() * OBJECT_BYTES)?;
    Ok(actions)
}

/// An action of a transaction, whether it was executed or not.
pub(crate) struct Action {
    pub(super) source: Arc<Source>,
    pub(super) trace: Arc<Trace>,
    /// The position of the action that made its transaction.
    pub(super) position: u32,
    pub(super) action: model::Action,
}

/// An action of a transaction.
#[Object]
impl Action {
    /// Its contract.
    async fn account(&self) -> String {
        self.action.account.to_string()
    }

    /// Its name.
    async fn name(&self) -> String {
        self.action.name.to_string()
    }

    /// Who authorises it.
    async fn authorization(&self) -> Vec<Option<PermissionLevel>> {
        authorization(&self.action).into_iter().map(Some).collect()
    }

    /// Its data by the ABI that was in force when its transaction was made; absent if it does not decode.
    async fn json(&self) -> Option<ApiResult<Json>> {
        action_json(&self.source, &self.trace, self.position, &self.action).transpose()
    }

    /// The same as `json`.
    async fn data(&self) -> Option<ApiResult<Json>> {
        action_json(&self.source, &self.trace, self.position, &self.action).transpose()
    }

    /// Its data as bytes, in hex.
    async fn hex_data(&self) -> ApiResult<String> {
        hex_data(&self.source, &self.action)
    }
}
