//! ABIs at a height, and rows that become JSON by them.

use dfuse_antelope::{Name, abi::Abi};
use dfuse_index::{
    ServingSnapshot, View,
    abi::{AbiRecord, after_block, history},
};
use dfuse_query::{ApiError, ApiResult, ErrorCode};
use dfuse_state::StateAt;

use super::{
    coverage::{self, was_created},
    height::{Asked, Height},
};
use crate::{
    Api, JsonText, Params,
    params::{
        nearest,
        rules::{boolean, name},
    },
};
use dfuse_render::{JsonWriter, RowRenderer};

pub(super) async fn get(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let account = params.required("account", name);
    let at = Asked::check(&mut params);
    let as_json = params.optional_or("json", false, boolean);
    let (account, at, as_json): (Name, Asked, bool) = params.finish((account, at, as_json))?;
    let text = api.read(move |snapshot, _| {
        let height = Height::resolve(snapshot, at)?;
        let record = known(&height, account)?;
        let mut text = Vec::new();
        let mut json = JsonWriter::new(&mut text);
        json.begin_object();
        json.key("block_num").unsigned(record.block_number);
        json.key("account").name(account);
        height.write_coverage(&mut json, true);
        json.key("abi");
        if as_json {
            let abi = Abi::from_bytes(&record.abi).map_err(|why| malformed(account, &record, &why))?;
            json.raw(&to_json(&abi)?);
        } else {
            json.hex(&record.abi);
        }
        json.end_object();
        Ok(text)
    });
    text.await.map(JsonText)
}

/// The ABI of a contract at a height.
pub(super) fn find(state: &StateAt, contract: Name) -> ApiResult<Option<AbiRecord>> {
    Ok(after_block(state.view(), contract, state.number())?)
}

/// The ABI of a contract at a height.
pub(super) fn known(height: &Height, contract: Name) -> ApiResult<AbiRecord> {
    match find(&height.state, contract)? {
        Some(record) => Ok(record),
        None => {
            let is_certain = is_known(height, contract)?;
            Err(height.absent(is_certain, not_found(contract, height.number())))
        }
    }
}

/// Whether it is known which ABI a contract has at a height: what is not known is one that was set before the indexes begin.
pub(super) fn is_known(height: &Height, contract: Name) -> ApiResult<bool> {
    Ok(height.mid_chain_start.is_none() || is_known_since(height.state.view(), contract, height.number())?)
}

/// The same after a block of indexes that begin in mid-chain.
fn is_known_since(view: &View, contract: Name, number: u32) -> ApiResult<bool> {
    if was_created(view, contract)? {
        return Ok(true);
    }
    let first = history(view, contract)?.last().transpose()?;
    Ok(first.is_some_and(|first| first.global_sequence == 0 || first.block_number <= number))
}

/// Why a contract may seem to have no ABI after a block although it has one: absent unless it may be one of before the first
/// block that is indexed.
pub(crate) fn older(snapshot: &ServingSnapshot, view: &View, contract: Name, number: u32) -> ApiResult<Option<String>> {
    let Some(first_block) = snapshot.mid_chain_start() else { return Ok(None) };
    let is_known = is_known_since(view, contract, number)?;
    let error = (!is_known).then(|| coverage::absent_since(first_block, &not_found(contract, number)));
    Ok(error.map(|error| error.message().to_owned()))
}

/// Like [`find`], for who cannot do without.
pub(super) fn required(state: &StateAt, contract: Name) -> ApiResult<AbiRecord> {
    find(state, contract)?.ok_or_else(|| not_found(contract, state.number()))
}

fn not_found(account: Name, height: u32) -> ApiError {
    ApiError::new(ErrorCode::AbiNotFound, format!("Account \"{account}\" has no ABI at block {height}."))
        .detail("account", account.to_string())
        .detail("block_num", height)
}

/// For the rows of a table; fails if the ABI does not have it.
pub(super) fn renderer(api: &Api, abi: &AbiRecord, contract: Name, table: Name) -> ApiResult<RowRenderer> {
    let parsed = api.abis().get(contract, abi).ok_or_else(|| match Abi::from_bytes(&abi.abi) {
        Err(why) => malformed(contract, abi, &why),
        Ok(_) => ApiError::unexpected("an ABI that can be read and was not"),
    })?;
    RowRenderer::new(parsed, abi.block_number, table).map_err(|_| {
        let mut message = format!("The ABI of \"{contract}\" of block {} has no table \"{table}\"", abi.block_number);
        let tables = Abi::from_bytes(&abi.abi).map(|abi| abi.tables).unwrap_or_default();
        let tables: Vec<_> = tables.iter().map(|table| table.name.to_string()).collect();
        if let Some(near) = nearest(&table.to_string(), tables.iter().map(String::as_str)) {
            message += &format!("; did you mean \"{near}\"?");
        } else {
            message.push('.');
        }
        ApiError::new(ErrorCode::TableNotFound, message)
            .detail("account", contract.to_string())
            .detail("table", table.to_string())
    })
}

/// The ABI as JSON text.
pub(super) fn to_json(abi: &Abi) -> ApiResult<Vec<u8>> {
    serde_json::to_vec(abi).map_err(|error| ApiError::unexpected(format!("an ABI that has no JSON: {error}")))
}

fn malformed(contract: Name, record: &AbiRecord, why: &dfuse_antelope::Error) -> ApiError {
    let message = format!("The ABI that \"{contract}\" set in block {} is malformed: {why}.", record.block_number);
    ApiError::new(ErrorCode::AbiMalformed, message)
        .detail("account", contract.to_string())
        .detail("block_num", record.block_number)
}
