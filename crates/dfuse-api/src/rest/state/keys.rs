//! Whose keys and links they are, and where a contract has a table.

use axum::response::{IntoResponse, Response};
use dfuse_antelope::{Name, PublicKey};
use dfuse_query::{ApiError, ApiResult, ErrorCode};
use dfuse_state::{KeyAccount, StateAt};
use serde::Deserialize;

use super::{
    coverage,
    height::{Asked, Height},
    list::List,
};
use crate::{
    Api, JsonText, Params,
    params::{
        JsonBody,
        rules::{name, public_key, text},
    },
    streamed,
};
use dfuse_render::JsonWriter;

pub(super) async fn key_accounts(api: Api, mut params: Params) -> ApiResult<Response> {
    let key = params.required("public_key", public_key);
    let at = Asked::check(&mut params);
    let (key, at): (PublicKey, Asked) = params.finish((key, at))?;
    accounts_of(&api, key, at).await
}

async fn accounts_of(api: &Api, key: PublicKey, at: Asked) -> ApiResult<Response> {
    streamed::answer(api, move |snapshot, _, json| {
        let height = Height::resolve(snapshot, at)?;
        if !StateAt::of(snapshot.view().clone()).key_was_seen(&key)? {
            let error = ApiError::new(ErrorCode::PublicKeyNotFound, "The key never stood in a permission.")
                .detail("public_key", key.to_string());
            return Err(height.absent(false, error));
        }
        json.begin_object();
        json.key("block_num").unsigned(height.number());
        height.write_coverage(json, false);
        json.key("account_names").begin_array();
        List::new(
            height,
            move |state, after| state.key_accounts(&key, after),
            |json, last: Option<KeyAccount>, it| {
                if last.is_none_or(|last| last.account != it.account) {
                    json.name(it.account);
                }
            },
        )
    })
    .await
}

/// What a node's history plugin is asked.
#[derive(Debug, Deserialize)]
pub(super) struct LegacyRequest {
    #[serde(default)]
    public_key: Option<String>,
}

pub(super) async fn legacy(api: Api, mut params: Params) -> ApiResult<Response> {
    let key = params.optional("public_key", text);
    let key = params.finish(key)?;
    legacy_answer(&api, key).await
}

pub(super) async fn legacy_json(
    api: Api,
    JsonBody { value: body, .. }: JsonBody<LegacyRequest>,
) -> ApiResult<Response> {
    legacy_answer(&api, body.public_key).await
}

/// Keys that are none, or that nobody knows, are nobody's: no error.
async fn legacy_answer(api: &Api, key: Option<String>) -> ApiResult<Response> {
    let nobody = || JsonText(br#"{"block_num":0,"account_names":[]}"#.to_vec()).into_response();
    let Some(key) = key.and_then(|key| key.trim().parse().ok()) else { return Ok(nobody()) };
    match accounts_of(api, key, Asked::HEAD).await {
        Err(error) if error.code() == ErrorCode::PublicKeyNotFound => Ok(nobody()),
        Err(error) if error.code() == ErrorCode::StateUnavailable => {
            let mut text = Vec::new();
            let mut json = JsonWriter::new(&mut text);
            json.begin_object();
            json.key("block_num").unsigned(0u32);
            coverage::write(&mut json, api.chain().serving.snapshot().mid_chain_start(), false);
            json.key("account_names").begin_array();
            json.end_array();
            json.end_object();
            Ok(JsonText(text).into_response())
        }
        answer => answer,
    }
}

pub(super) async fn permission_links(api: Api, mut params: Params) -> ApiResult<Response> {
    let account = params.required("account", name);
    let at = Asked::check(&mut params);
    let (account, at): (Name, Asked) = params.finish((account, at))?;
    streamed::answer(&api, move |snapshot, _, json| {
        let height = Height::resolve(snapshot, at)?;
        json.begin_object();
        height.write(json);
        height.write_coverage(json, height.knows_account(account)?);
        json.key("linked_permissions").begin_array();
        List::new(
            height,
            move |state, after| state.permission_links(account, after),
            |json, _, link| {
                json.begin_object();
                json.key("contract").name(link.contract);
                json.key("action").name(link.action);
                json.key("permission_name").name(link.permission);
                json.end_object();
            },
        )
    })
    .await
}

pub(super) async fn table_scopes(api: Api, mut params: Params) -> ApiResult<Response> {
    let account = params.required("account", name);
    let table = params.required("table", name);
    let at = Asked::check(&mut params);
    let (account, table, at): (Name, Name, Asked) = params.finish((account, table, at))?;
    streamed::answer(&api, move |snapshot, _, json| {
        let height = Height::resolve(snapshot, at)?;
        let newest = StateAt::of(snapshot.view().clone());
        let has_older = height.mid_chain_start.is_some();
        let was_seen =
            newest.table_was_seen(account, table)? || has_older && newest.table_has_known_rows(account, table)?;
        if !was_seen {
            let error = ApiError::new(ErrorCode::TableNotFound, "The contract never had a row in this table.")
                .detail("account", account.to_string())
                .detail("table", table.to_string());
            return Err(height.absent(height.knows_account(account)?, error));
        }
        json.begin_object();
        json.key("block_num").unsigned(height.number());
        height.write_coverage(json, height.knows_account(account)?);
        json.key("scopes").begin_array();
        List::new(
            height,
            move |state: &StateAt, after| scopes(state, account, table, after, has_older),
            |json, _, scope| json.name(scope),
        )
    })
    .await
}

type Scopes = Box<dyn Iterator<Item = dfuse_index::Result<Name>> + Send>;

/// Where a table may be older than the indexes, those with rows that were written since, too.
fn scopes(
    state: &StateAt,
    contract: Name,
    table: Name,
    after: Option<Name>,
    has_older: bool,
) -> dfuse_index::Result<Scopes> {
    if has_older {
        return Ok(Box::new(state.known_scopes(contract, table, after)));
    }
    Ok(Box::new(state.scopes(contract, table, after)?.map(|scope| scope.map(|it| it.scope))))
}
