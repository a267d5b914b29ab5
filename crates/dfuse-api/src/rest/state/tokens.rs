//! Tokens, who holds them, and what an account has, at the head or at the last irreversible block.

use std::collections::HashMap;

use dfuse_antelope::{Asset, Name, Symbol, SymbolCode, abi::Abi};
use dfuse_blocks::CursorKind;
use dfuse_index::{View, abi};
use dfuse_query::{ApiError, ApiResult, ErrorCode, Reading};
use dfuse_state::tokens::{self, Token, TokenHolder, TokenKey, is_token_contract};

use super::{
    abi::is_known,
    cursor,
    height::{Asked, Height, irreversible_only},
};
use crate::{
    Api, JsonText, Params,
    params::{
        Checked,
        rules::{Field, Problems, between, boolean, name},
    },
};
use dfuse_render::JsonWriter;

/// The contract of the token that can be staked.
const SYSTEM_TOKEN: Name = Name::literal("eosio.token");

fn limit(params: &mut Params) -> Checked<u16> {
    params.optional_or("limit", 100, between(1..=1000))
}

/// Those of one contract or of all, by contract and symbol. The cursor is empty at the end.
pub(super) async fn all(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let contract = params.optional("contract", name);
    let irreversible_only = irreversible_only(&mut params);
    let limit = limit(&mut params);
    let page = cursor::check(CursorKind::Tokens, &mut params, &api);
    let (contract, irreversible_only, limit, page) = params.finish((contract, irreversible_only, limit, page))?;
    let subject = cursor::bytes([contract.map_or(0, |contract: Name| contract.0)]);
    read(api, irreversible_only, contract, move |api, height, reading, json| {
        let mut after = page.flatten().map(|content| token_place(&content, &subject)).transpose()?;
        let mut contracts = Contracts::at(height);
        let mut listed: Vec<Token> = Vec::new();
        let mut more = false;
        'contracts: while let Some(view) = view(height) {
            for token in tokens::all(view, contract, after)? {
                reading.go_on()?;
                let token = token?;
                if !contracts.are_tokens(view, token.key.contract)? {
                    after = Some(TokenKey { symbol_code: SymbolCode(u64::MAX), ..token.key });
                    continue 'contracts;
                }
                if listed.len() == usize::from(limit) {
                    more = true;
                    break;
                }
                listed.push(token);
            }
            break;
        }
        json.key("tokens").array(&listed, |json, token| {
            json.begin_object();
            write_token(json, token);
            json.end_object();
        });
        let last = listed.last().filter(|_| more);
        Ok(last.map(|last| cursor::seal(CursorKind::Tokens, api, &subject, &token_bytes(last.key))))
    })
    .await
}

/// By account. The cursor is empty at the end.
pub(super) async fn holders(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let contract = params.required("contract", name);
    let symbol_code = params.required("symbol", symbol_code);
    let irreversible_only = irreversible_only(&mut params);
    let with_staked = params.optional_or("with_staked", false, boolean);
    let limit = limit(&mut params);
    let page = cursor::check(CursorKind::Holders, &mut params, &api);
    let (contract, symbol_code, irreversible_only, with_staked, limit, page) =
        params.finish((contract, symbol_code, irreversible_only, with_staked, limit, page))?;
    let key = TokenKey { contract, symbol_code };
    let subject = token_bytes(key);
    read(api, irreversible_only, Some(contract), move |api, height, reading, json| {
        let view = view(height);
        let token = view.map(|view| tokens::get(view, key)).transpose()?.flatten();
        let absent = || -> ApiResult<_> { Ok(height.absent(height.knows_account(contract)?, unknown(key))) };
        let (Some(view), Some(token)) = (view, token) else { return Err(absent()?) };
        if !Contracts::at(height).are_tokens(view, contract)? {
            return Err(absent()?);
        }
        let after = page.flatten().map(|content| cursor::place(&content, &subject)).transpose()?;
        let after = after.map(|(account, [])| Name(u64::from_be_bytes(account)));
        let (listed, more) = page_of(tokens::holders(view, key, after)?, limit, reading, |_| Ok(true))?;
        let mut stakes = HashMap::new();
        for holder in listed.iter().filter(|_| with_staked) {
            reading.go_on()?;
            stakes.insert(holder.account, tokens::staked(view, holder.account)?);
        }
        write_token(json, &token);
        json.key("accounts").array(&listed, |json, holder| {
            json.begin_object();
            json.key("account").name(holder.account);
            json.key("balance").string(&holder.balance.to_string());
            write_staked(json, holder, stakes.get(&holder.account).copied().flatten());
            json.end_object();
        });
        let last = listed.last().filter(|_| more);
        Ok(last.map(|last| cursor::seal(CursorKind::Holders, api, &subject, &last.account.0.to_be_bytes())))
    })
    .await
}

/// By contract and symbol. The cursor is empty at the end.
pub(super) async fn balances(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let account = params.required("account", name);
    let irreversible_only = irreversible_only(&mut params);
    let with_staked = params.optional_or("with_staked", false, boolean);
    let limit = limit(&mut params);
    let page = cursor::check(CursorKind::Balances, &mut params, &api);
    let (account, irreversible_only, with_staked, limit, page): (Name, _, _, _, _) =
        params.finish((account, irreversible_only, with_staked, limit, page))?;
    let subject = cursor::bytes([account.0]);
    read(api, irreversible_only, None, move |api, height, reading, json| {
        let after = page.flatten().map(|content| token_place(&content, &subject)).transpose()?;
        let mut contracts = Contracts::at(height);
        let (mut listed, mut more, mut staked) = (Vec::new(), false, None);
        if let Some(view) = view(height) {
            staked = if with_staked { tokens::staked(view, account)? } else { None };
            let balances = tokens::balances(view, account, after)?;
            (listed, more) = page_of(balances, limit, reading, |it| contracts.are_tokens(view, it.token.contract))?;
        }
        json.key("account").name(account);
        json.key("balances").array(&listed, |json, it: &TokenHolder| {
            json.begin_object();
            json.key("contract").name(it.token.contract);
            json.key("symbol").string(&it.token.symbol_code.to_string());
            json.key("balance").string(&it.balance.to_string());
            write_staked(json, it, staked);
            json.end_object();
        });
        let last = listed.last().filter(|_| more);
        Ok(last.map(|last| cursor::seal(CursorKind::Balances, api, &subject, &token_bytes(last.token))))
    })
    .await
}

/// An answer with the height before what `write` writes, and with the cursor that it gives after that. If it is of one
/// contract only, it lacks nothing where that was created since the indexes begin.
async fn read(
    api: Api,
    irreversible_only: bool,
    contract: Option<Name>,
    write: impl FnOnce(&Api, &Height, &Reading, &mut JsonWriter<'_>) -> ApiResult<Option<String>> + Send + 'static,
) -> ApiResult<JsonText> {
    let reader = api.clone();
    let text = api.read(move |snapshot, reading| {
        let height = Height::resolve(snapshot, Asked { block_num: 0, irreversible_only })?;
        let mut text = Vec::new();
        let mut json = JsonWriter::new(&mut text);
        json.begin_object();
        height.write(&mut json);
        let is_complete = contract.map(|it| height.knows_account(it)).transpose()?.unwrap_or(false);
        height.write_coverage(&mut json, is_complete);
        let cursor = write(&reader, &height, reading, &mut json)?;
        json.key("cursor").string(&cursor.unwrap_or_default());
        json.end_object();
        Ok(text)
    });
    text.await.map(JsonText)
}

/// The indexes of tokens have no history. Absent before any block is irreversible, if only such are wanted.
fn view(height: &Height) -> Option<&View> {
    let view = height.state.view();
    view.block().filter(|block| block.number == height.number()).map(|_| view)
}

/// The first of those that are wanted, and whether there are more.
fn page_of<T>(
    items: impl Iterator<Item = dfuse_index::Result<T>>,
    limit: u16,
    reading: &Reading,
    mut is_wanted: impl FnMut(&T) -> ApiResult<bool>,
) -> ApiResult<(Vec<T>, bool)> {
    let mut listed = Vec::new();
    for item in items {
        reading.go_on()?;
        let item = item?;
        if !is_wanted(&item)? {
            continue;
        }
        if listed.len() == usize::from(limit) {
            return Ok((listed, true));
        }
        listed.push(item);
    }
    Ok((listed, false))
}

/// Which contracts are such of tokens, by their ABIs. A contract whose ABI may be older than the indexes is taken for one if
/// its rows have the shape.
struct Contracts<'a> {
    height: &'a Height,
    known: HashMap<Name, bool>,
}

impl<'a> Contracts<'a> {
    fn at(height: &'a Height) -> Self {
        Self { height, known: HashMap::new() }
    }

    fn are_tokens(&mut self, view: &View, contract: Name) -> ApiResult<bool> {
        if let Some(known) = self.known.get(&contract) {
            return Ok(*known);
        }
        let are = match abi::at_head(view, contract)? {
            Some(record) => Abi::from_bytes(&record.abi).is_ok_and(|abi| is_token_contract(&abi)),
            None => !is_known(self.height, contract)?,
        };
        self.known.insert(contract, are);
        Ok(are)
    }
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

/// What is staked is of the system's token.
fn write_staked(json: &mut JsonWriter<'_>, holder: &TokenHolder, staked: Option<Asset>) {
    let is_staked = |it: &Asset| holder.token.contract == SYSTEM_TOKEN && holder.balance.symbol == it.symbol;
    if let Some(staked) = staked.filter(is_staked) {
        json.key("staked").string(&staked.to_string());
    }
}

fn unknown(key: TokenKey) -> ApiError {
    let TokenKey { contract, symbol_code } = key;
    ApiError::new(ErrorCode::TokenNotFound, format!("\"{contract}\" has no token {symbol_code}."))
        .detail("contract", contract.to_string())
        .detail("symbol", symbol_code.to_string())
}

/// `EOS`; `4,EOS` is taken for the same.
fn symbol_code(field: &Field<'_>) -> Result<SymbolCode, Problems> {
    let symbol = || field.text.parse().map(|symbol: Symbol| symbol.code());
    field.text.parse().or_else(|_| symbol()).map_err(|_| field.expected("a symbol code such as EOS"))
}

fn token_bytes(key: TokenKey) -> Vec<u8> {
    cursor::bytes([key.contract.0, key.symbol_code.0])
}

fn token_place(content: &[u8], subject: &[u8]) -> ApiResult<TokenKey> {
    let (contract, code) = cursor::place(content, subject)?;
    Ok(TokenKey { contract: Name(u64::from_be_bytes(contract)), symbol_code: SymbolCode(u64::from_be_bytes(code)) })
}
