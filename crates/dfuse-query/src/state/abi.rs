//! ABIs at a height, and rows that are decoded by them.

use dfuse_antelope::{Name, abi::Abi};
use dfuse_index::{
    ServingSnapshot, View,
    abi::{AbiRecord, after_block, history},
};
use dfuse_render::RowRenderer;
use dfuse_state::StateAt;

use super::{
    AskedHeight, Height,
    coverage::{absent_since, was_created},
};
use crate::{ApiError, ApiResult, ErrorCode, ReadContext, Service, nearest};

/// The ABI that a contract has at a height.
#[derive(Debug)]
pub struct ContractAbi {
    /// The contract.
    pub contract: Name,
    /// The height.
    pub height: Height,
    /// The ABI, packed, and where it was set.
    pub record: AbiRecord,
}

impl ContractAbi {
    /// Reads it.
    ///
    /// # Errors
    /// `data_abi_malformed_error` if it cannot be read.
    pub fn decode(&self) -> ApiResult<Abi> {
        Abi::from_bytes(&self.record.abi).map_err(|why| malformed(self.contract, &self.record, &why))
    }
}

/// The ABI of a contract at a height.
///
/// # Errors
/// `data_abi_not_found_error` if it has none; those of [`Height::asked`].
pub fn abi(read: &ReadContext<'_>, contract: Name, at: AskedHeight) -> ApiResult<ContractAbi> {
    let height = Height::asked(read, at)?;
    let record = known(&height, contract)?;
    Ok(ContractAbi { contract, height, record })
}

/// What makes JSON of the rows of a table, by an ABI.
///
/// # Errors
/// `data_table_not_found_error` if the ABI does not have the table, `data_abi_malformed_error` if it cannot be read.
pub fn row_renderer(read: &ReadContext<'_>, abi: &ContractAbi, table: Name) -> ApiResult<RowRenderer> {
    renderer(read.service(), &abi.record, abi.contract, table)
}

/// The ABI of a contract at a height.
pub(super) fn find(state: &StateAt, contract: Name) -> ApiResult<Option<AbiRecord>> {
    Ok(after_block(state.view(), contract, state.number())?)
}

/// The ABI of a contract at a height.
fn known(height: &Height, contract: Name) -> ApiResult<AbiRecord> {
    match find(height.state(), contract)? {
        Some(record) => Ok(record),
        None => {
            let is_certain = is_known(height, contract)?;
            Err(height.absent(is_certain, not_found(contract, height.number())))
        }
    }
}

/// Whether it is known which ABI a contract has at a height: what is not known is one that was set before the indexes begin.
pub(super) fn is_known(height: &Height, contract: Name) -> ApiResult<bool> {
    Ok(!height.lacks_older_state() || is_known_since(height.state().view(), contract, height.number())?)
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
///
/// # Errors
/// Those of reading.
pub fn older_abi(snapshot: &ServingSnapshot, view: &View, contract: Name, number: u32) -> ApiResult<Option<String>> {
    let lacks_older = snapshot.lacks_older_state();
    let Some(first_block) = snapshot.state_start().filter(|_| lacks_older) else { return Ok(None) };
    let is_known = is_known_since(view, contract, number)?;
    let error = (!is_known).then(|| absent_since(first_block, &not_found(contract, number)));
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
pub(super) fn renderer(service: &Service, abi: &AbiRecord, contract: Name, table: Name) -> ApiResult<RowRenderer> {
    let parsed = service.abis().get(contract, abi).ok_or_else(|| match Abi::from_bytes(&abi.abi) {
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

fn malformed(contract: Name, record: &AbiRecord, why: &dfuse_antelope::Error) -> ApiError {
    let message = format!("The ABI that \"{contract}\" set in block {} is malformed: {why}.", record.block_number);
    ApiError::new(ErrorCode::AbiMalformed, message)
        .detail("account", contract.to_string())
        .detail("block_num", record.block_number)
}
