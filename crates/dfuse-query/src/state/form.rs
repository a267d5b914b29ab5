//! What becomes of the bytes of rows.

use dfuse_antelope::Name;
use dfuse_render::RowForm;
use dfuse_state::StateAt;

use super::{Height, abi};
use crate::{ApiError, ApiResult, ErrorCode, Service};

/// The form of the rows of a table at a height; fails if they are to be JSON and there is no ABI, or none with the table. By
/// one that is malformed no row decodes: they are hex with an error.
fn strict(service: &Service, state: &StateAt, contract: Name, table: Name, json: bool) -> ApiResult<RowForm> {
    if !json {
        return Ok(RowForm::Hex);
    }
    let renderer = abi::renderer(service, &abi::required(state, contract)?, contract, table).map(RowForm::Json);
    renderer.or_else(without(&[ErrorCode::AbiMalformed]))
}

/// Like [`form_at`], but rows without an ABI that has the table are hex with an error, too.
///
/// # Errors
/// Those of reading.
pub fn lenient_form(service: &Service, height: &Height, contract: Name, table: Name, json: bool) -> ApiResult<RowForm> {
    let form = form_at(service, height, contract, table, json);
    form.or_else(without(&[ErrorCode::AbiNotFound, ErrorCode::TableNotFound]))
}

/// The form of the rows of a table at a height. Fails without an ABI that has the table; but where a contract's ABI may have
/// been set before the indexes begin, rows are hex with an error.
///
/// # Errors
/// `data_abi_not_found_error`, `data_table_not_found_error`, and those of reading.
pub fn form_at(service: &Service, height: &Height, contract: Name, table: Name, json: bool) -> ApiResult<RowForm> {
    match strict(service, height.state(), contract, table, json) {
        Err(error) if error.code() == ErrorCode::AbiNotFound && !abi::is_known(height, contract)? => {
            Ok(RowForm::NoAbi(height.absent(false, error).message().to_owned()))
        }
        form => form,
    }
}

/// Takes errors of those codes as a reason why rows are hex.
fn without(codes: &[ErrorCode]) -> impl Fn(ApiError) -> ApiResult<RowForm> {
    move |error| {
        if codes.contains(&error.code()) { Ok(RowForm::NoAbi(error.message().to_owned())) } else { Err(error) }
    }
}
