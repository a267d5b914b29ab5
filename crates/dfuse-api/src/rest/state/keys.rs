//! Whose keys and links they are, and where a contract has a table.

use axum::response::{IntoResponse, Response};
use dfuse_antelope::{Name, PublicKey};
use dfuse_index::ServingSnapshot;
use dfuse_query::{
    ApiResult, ErrorCode,
    state::{self, AskedHeight, ListReader},
};
use dfuse_render::JsonWriter;
use dfuse_state::{KeyAccount, PermissionLink};
use serde::Deserialize;

use super::height;
use crate::{
    Api, JsonBody, JsonText, Params,
    params::rules::{name, public_key, text},
    streamed::{self, Pieces},
};

pub(super) async fn key_accounts(api: Api, mut params: Params) -> ApiResult<Response> {
    let key = params.required("public_key", public_key);
    let at = height::check(&mut params);
    let (key, at): (PublicKey, AskedHeight) = params.finish((key, at))?;
    accounts_of(&api, key, at).await
}

async fn accounts_of(api: &Api, key: PublicKey, at: AskedHeight) -> ApiResult<Response> {
    streamed::answer(api, move |read, json| {
        let items = state::key_accounts(read, key.clone(), at)?;
        begin(json, &items);
        json.key("account_names").begin_array();
        let write = |json: &mut JsonWriter<'_>, last: Option<KeyAccount>, it: KeyAccount| {
            if last.is_none_or(|last| last.account != it.account) {
                json.name(it.account);
            }
        };
        Ok(List { items, last: None, write })
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
    match accounts_of(api, key, AskedHeight::HEAD).await {
        Err(error) if error.code() == ErrorCode::PublicKeyNotFound => Ok(nobody()),
        Err(error) if error.code() == ErrorCode::StateUnavailable => {
            let mut text = Vec::new();
            let mut json = JsonWriter::new(&mut text);
            json.begin_object();
            json.key("block_num").unsigned(0u32);
            height::write_coverage(&mut json, api.chain().serving.snapshot().state_start(), false);
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
    let at = height::check(&mut params);
    let (account, at): (Name, AskedHeight) = params.finish((account, at))?;
    streamed::answer(&api, move |read, json| {
        let items = state::permission_links(read, account, at)?;
        json.begin_object();
        height::write(json, items.height());
        height::write_coverage(json, items.height().state_start(), items.is_complete());
        json.key("linked_permissions").begin_array();
        let write = |json: &mut JsonWriter<'_>, _: Option<PermissionLink>, link: PermissionLink| {
            json.begin_object();
            json.key("contract").name(link.contract);
            json.key("action").name(link.action);
            json.key("permission_name").name(link.permission);
            json.end_object();
        };
        Ok(List { items, last: None, write })
    })
    .await
}

pub(super) async fn table_scopes(api: Api, mut params: Params) -> ApiResult<Response> {
    let account = params.required("account", name);
    let table = params.required("table", name);
    let at = height::check(&mut params);
    let (account, table, at): (Name, Name, AskedHeight) = params.finish((account, table, at))?;
    streamed::answer(&api, move |read, json| {
        let items = state::table_scopes(read, account, table, at)?;
        begin(json, &items);
        json.key("scopes").begin_array();
        let write = |json: &mut JsonWriter<'_>, _: Option<Name>, scope: Name| json.name(scope);
        Ok(List { items, last: None, write })
    })
    .await
}

/// Begins an answer with `block_num`.
fn begin<T: Copy + Send + 'static>(json: &mut JsonWriter<'_>, items: &ListReader<T>) {
    json.begin_object();
    json.key("block_num").unsigned(items.height().number());
    height::write_coverage(json, items.height().state_start(), items.is_complete());
}

/// The items of an answer's last list.
struct List<T> {
    items: ListReader<T>,
    last: Option<T>,
    /// Writes one; it is told the one before.
    write: fn(&mut JsonWriter<'_>, Option<T>, T),
}

impl<T: Copy + Send + 'static> Pieces for List<T> {
    fn next(&mut self, json: &mut JsonWriter<'_>) -> ApiResult<bool> {
        let Some(item) = self.items.next_item()? else {
            json.end_array();
            json.end_object();
            return Ok(false);
        };
        (self.write)(json, self.last.replace(item), item);
        Ok(true)
    }

    fn renew(&mut self, snapshot: &ServingSnapshot) -> ApiResult<()> {
        self.items.renew(snapshot)
    }
}
