//! How rows look.

use dfuse_antelope::Name;
use dfuse_query::{ApiError, ApiResult, ErrorCode};
use dfuse_state::{KeyType, StateAt};

use super::{abi, height::Height};
use crate::{
    Api, Params,
    params::{
        Checked, Finish,
        rules::{Field, Problems, boolean, extended_name, one_of},
    },
};
use dfuse_render::{RowForm, RowFormat};

/// How rows are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowOptions {
    pub(crate) format: RowFormat,
    /// Whether their content is JSON rather than hex.
    pub(crate) json: bool,
}

pub(super) struct CheckedRowOptions {
    key_type: Checked<KeyType>,
    json: Checked<bool>,
    with_block_num: Checked<bool>,
}

impl RowOptions {
    /// `key_type`, `json` and `with_block_num`.
    pub(super) fn check(params: &mut Params) -> CheckedRowOptions {
        let key_types = KeyType::ALL.map(|kind| (kind.as_str(), kind));
        CheckedRowOptions {
            key_type: params.optional_or("key_type", KeyType::default(), one_of(&key_types)),
            json: params.optional_or("json", false, boolean),
            with_block_num: params.optional_or("with_block_num", false, boolean),
        }
    }
}

impl CheckedRowOptions {
    /// A rule for primary keys of that type. It takes all if the type is wrong, which is told already.
    pub(super) fn key_rule(&self) -> impl Fn(&Field<'_>) -> Result<u64, Problems> + use<> {
        let key_type = self.key_type.get().copied();
        move |field| match key_type {
            Some(key_type) => key_type.parse(field.text).map_err(|error| field.expected(error.expected)),
            None => Ok(0),
        }
    }
}

impl Finish for CheckedRowOptions {
    type Values = RowOptions;

    fn values(self) -> Option<RowOptions> {
        let (key_type, json, with_block_num) =
            (self.key_type.values()?, self.json.values()?, self.with_block_num.values()?);
        Some(RowOptions { format: RowFormat { key_type, with_block_num }, json })
    }
}

/// A scope, and the text that it was given in.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub(super) name: Name,
    pub(super) text: String,
}

pub(super) fn scope(field: &Field<'_>) -> Result<Scope, Problems> {
    Ok(Scope { name: extended_name(field)?, text: field.text.to_owned() })
}

/// The form of the rows of a table at a height; fails if they are to be JSON and there is no ABI, or none with the table. By
/// one that is malformed no row decodes: they are hex with an error.
fn strict(api: &Api, state: &StateAt, contract: Name, table: Name, json: bool) -> ApiResult<RowForm> {
    if !json {
        return Ok(RowForm::Hex);
    }
    let renderer = abi::renderer(api, &abi::required(state, contract)?, contract, table).map(RowForm::Json);
    renderer.or_else(without(&[ErrorCode::AbiMalformed]))
}

/// Like [`form_at`], but rows without an ABI that has the table are hex with an error, too.
pub(crate) fn lenient_form(api: &Api, height: &Height, contract: Name, table: Name, json: bool) -> ApiResult<RowForm> {
    let form = form_at(api, height, contract, table, json);
    form.or_else(without(&[ErrorCode::AbiNotFound, ErrorCode::TableNotFound]))
}

/// The form of the rows of a table at a height. Fails without an ABI that has the table; but where a contract's ABI may have
/// been set before the indexes begin, rows are hex with an error.
pub(super) fn form_at(api: &Api, height: &Height, contract: Name, table: Name, json: bool) -> ApiResult<RowForm> {
    match strict(api, &height.state, contract, table, json) {
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
