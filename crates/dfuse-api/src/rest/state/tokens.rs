//! Tokens, who holds them, and what an account has, at the head or at the last irreversible block.

use dfuse_antelope::{Asset, Name, Symbol, SymbolCode};
use dfuse_blocks::CursorKind;
use dfuse_query::{
    ApiResult, Page,
    state::{self, Holder, TokenHolders},
};
use dfuse_render::JsonWriter;
use dfuse_state::tokens::{Token, TokenKey};

use super::height::{self, cursor, irreversible_only};
use crate::{
    Api, JsonText, Params,
    params::{
        Checked,
        rules::{Field, Problems, between, boolean, name},
    },
};

fn limit(params: &mut Params) -> Checked<u16> {
    params.optional_or("limit", 100, between(1..=1000))
}

/// Those of one contract or of all, by contract and symbol. The cursor is empty at the end.
pub(super) async fn all(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let contract = params.optional("contract", name);
    let irreversible_only = irreversible_only(&mut params);
    let limit = limit(&mut params);
    let page = cursor(&mut params, &api, CursorKind::Tokens);
    let (contract, irreversible_only, limit, page) = params.finish((contract, irreversible_only, limit, page))?;
    let text = api.query(move |read| {
        let page =
            state::tokens(read, contract, irreversible_only, limit.into(), page.as_ref().and_then(Option::as_ref))?;
        Ok(render(&page, |json| {
            json.key("tokens").array(&page.items, |json, token| {
                json.begin_object();
                write_token(json, token);
                json.end_object();
            });
        }))
    });
    text.await.map(JsonText)
}

/// By account. The cursor is empty at the end.
pub(super) async fn holders(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let contract = params.required("contract", name);
    let symbol_code = params.required("symbol", symbol_code);
    let irreversible_only = irreversible_only(&mut params);
    let with_staked = params.optional_or("with_staked", false, boolean);
    let limit = limit(&mut params);
    let page = cursor(&mut params, &api, CursorKind::Holders);
    let (contract, symbol_code, irreversible_only, with_staked, limit, page) =
        params.finish((contract, symbol_code, irreversible_only, with_staked, limit, page))?;
    let key = TokenKey { contract, symbol_code };
    let text = api.query(move |read| {
        let page = page.as_ref().and_then(Option::as_ref);
        let found = state::holders(read, key, irreversible_only, with_staked, limit.into(), page)?;
        let TokenHolders { token, page } = found;
        Ok(render(&page, |json| {
            write_token(json, &token);
            json.key("accounts").array(&page.items, |json, Holder { holder, staked }| {
                json.begin_object();
                json.key("account").name(holder.account);
                json.key("balance").string(&holder.balance.to_string());
                write_staked(json, *staked);
                json.end_object();
            });
        }))
    });
    text.await.map(JsonText)
}

/// By contract and symbol. The cursor is empty at the end.
pub(super) async fn balances(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let account = params.required("account", name);
    let irreversible_only = irreversible_only(&mut params);
    let with_staked = params.optional_or("with_staked", false, boolean);
    let limit = limit(&mut params);
    let page = cursor(&mut params, &api, CursorKind::Balances);
    let (account, irreversible_only, with_staked, limit, page): (Name, _, _, _, _) =
        params.finish((account, irreversible_only, with_staked, limit, page))?;
    let text = api.query(move |read| {
        let page = page.as_ref().and_then(Option::as_ref);
        let page = state::balances(read, account, irreversible_only, with_staked, limit.into(), page)?;
        Ok(render(&page, |json| {
            json.key("account").name(account);
            json.key("balances").array(&page.items, |json, Holder { holder, staked }| {
                json.begin_object();
                json.key("contract").name(holder.token.contract);
                json.key("symbol").string(&holder.token.symbol_code.to_string());
                json.key("balance").string(&holder.balance.to_string());
                write_staked(json, *staked);
                json.end_object();
            });
        }))
    });
    text.await.map(JsonText)
}

/// An answer with the height before what `write` writes, and with the cursor after that.
fn render<T>(page: &Page<T>, write: impl FnOnce(&mut JsonWriter<'_>)) -> Vec<u8> {
    let mut text = Vec::new();
    let mut json = JsonWriter::new(&mut text);
    json.begin_object();
    height::write(&mut json, &page.height);
    height::write_coverage(&mut json, page.height.state_start(), page.is_complete);
    write(&mut json);
    json.key("cursor").string(page.cursor.as_deref().unwrap_or_default());
    json.end_object();
    text
}

fn write_token(json: &mut JsonWriter<'_>, token: &Token) {
    json.key("contract").name(token.key.contract);
    json.key("symbol").string(&token.key.symbol_code.to_string());
    json.key("precision").unsigned(token.supply.symbol.precision());
    json.key("issuer").name(token.issuer);
    json.key("supply").string(&token.supply.to_string());
    json.key("max_supply").string(&token.max_supply.to_string());
    json.key("holders").unsigned(token.holders);
}

fn write_staked(json: &mut JsonWriter<'_>, staked: Option<Asset>) {
    if let Some(staked) = staked {
        json.key("staked").string(&staked.to_string());
    }
}

/// `EOS`; `4,EOS` is taken for the same.
fn symbol_code(field: &Field<'_>) -> Result<SymbolCode, Problems> {
    let symbol = || field.text.parse().map(|symbol: Symbol| symbol.code());
    field.text.parse().or_else(|_| symbol()).map_err(|_| field.expected("a symbol code such as EOS"))
}
