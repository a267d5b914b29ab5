//! `/v0/simple_search`: what a text may name.

use dfuse_antelope::Checksum256;
use dfuse_query::{
    ApiResult, ReadContext,
    lookup::{AccountFound, Found, find},
};
use dfuse_render::{JsonWriter, Renderer, rfc3339};

use crate::{Api, JsonText, Params, params::rules::text, rest::blocks};

pub(super) async fn simple_search(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let text = params.required("q", text);
    let text = params.finish(text)?;
    let answer = api.query(move |read| render(read, &find(read, &text)?));
    answer.await.map(JsonText)
}

fn render(read: &ReadContext<'_>, found: &Found) -> ApiResult<Vec<u8>> {
    let abis = read.abis(read.view());
    let mut text = Vec::new();
    let mut renderer = Renderer::new(&mut text, &abis);
    let json = renderer.json();
    json.begin_object();
    json.key("type").string(match found {
        Found::Block(..) | Found::BlockId(_) => "block",
        Found::Transaction(_) | Found::TransactionId(_) => "transaction",
        Found::Account(_) => "account",
    });
    json.key("data");
    match found {
        Found::Block(block, siblings) => blocks::write(json, block, Some(siblings)),
        Found::Transaction(lifecycle) => renderer.lifecycle(lifecycle)?,
        Found::BlockId(id) | Found::TransactionId(id) => write_id(json, *id),
        Found::Account(account) => write_account(json, account),
    }
    renderer.json().end_object();
    Ok(text)
}

fn write_id(json: &mut JsonWriter<'_>, id: Checksum256) {
    json.begin_object();
    json.key("id").checksum(id);
    json.end_object();
}

/// An account; who created it is known if that was indexed.
fn write_account(json: &mut JsonWriter<'_>, account: &AccountFound) {
    json.begin_object();
    json.key("account_name").name(account.name);
    json.key("creator");
    match &account.creation {
        None => json.null(),
        Some((creation, block)) => {
            json.begin_object();
            json.key("block_id").checksum(block.id);
            json.key("block_num").unsigned(block.number);
            json.key("block_time").string(&rfc3339(block.time));
            json.key("created").name(account.name);
            json.key("creator").name(creation.creator);
            json.key("trx_id").checksum(creation.transaction_id);
            json.end_object();
        }
    }
    json.end_object();
}
