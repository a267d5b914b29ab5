//! How rows look.

use dfuse_antelope::Name;
use dfuse_state::{KeyType, RenderedRow, Row, RowRenderer, StateAt, TableRow};

use super::{abi, height::Height};
use crate::{
    Api, ApiError, ApiResult, ErrorCode, Params,
    lifecycle::JsonWriter,
    params::{
        Checked, Finish,
        rules::{Field, Problems, boolean, extended_name, one_of},
    },
};

/// How rows are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowOptions {
    pub(crate) key_type: KeyType,
    pub(crate) json: bool,
    pub(crate) with_block_num: bool,
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

    /// A row as an object.
    pub(crate) fn write(&self, json: &mut JsonWriter<'_>, form: &Form, row: &TableRow) {
        json.begin_object();
        json.key("key").string(&self.key_type.format(row.primary_key));
        self.write_content(json, form, row);
        json.end_object();
    }

    /// A row as an object without its key.
    pub(super) fn write_content(&self, json: &mut JsonWriter<'_>, form: &Form, row: &TableRow) {
        form.write(json, &row.row);
        if self.with_block_num {
            json.key("block").unsigned(row.block_number);
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
        Some(RowOptions {
            key_type: self.key_type.values()?,
            json: self.json.values()?,
            with_block_num: self.with_block_num.values()?,
        })
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

/// What becomes of a row's bytes.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    Hex,
    Json(RowRenderer),
    /// Hex, with the reason why it is not JSON.
    NoAbi(String),
}

impl Form {
    /// Of the rows of a table at a height; fails if they are to be JSON and there is no ABI, or none with the table. By one
    /// that is malformed no row decodes: they are hex with an error.
    pub(super) fn new(api: &Api, state: &StateAt, contract: Name, table: Name, json: bool) -> ApiResult<Self> {
        if !json {
            return Ok(Self::Hex);
        }
        let renderer = abi::renderer(api, &abi::required(state, contract)?, contract, table).map(Self::Json);
        renderer.or_else(Self::without(&[ErrorCode::AbiMalformed]))
    }

    /// Like [`Form::new`], but rows without an ABI that has the table are hex with an error, too.
    pub(crate) fn lenient(api: &Api, state: &StateAt, contract: Name, table: Name, json: bool) -> ApiResult<Self> {
        let form = Self::new(api, state, contract, table, json);
        form.or_else(Self::without(&[ErrorCode::AbiNotFound, ErrorCode::TableNotFound]))
    }

    /// Like [`Form::new`], but where a contract's ABI may have been set before the indexes begin, rows are hex with an error.
    pub(super) fn at(api: &Api, height: &Height, contract: Name, table: Name, json: bool) -> ApiResult<Self> {
        match Self::new(api, &height.state, contract, table, json) {
            Err(error) if error.code() == ErrorCode::AbiNotFound && !abi::is_known(height, contract)? => {
                Ok(Self::NoAbi(height.absent(false, error).message().to_owned()))
            }
            form => form,
        }
    }

    /// Takes errors of those codes as a reason why rows are hex.
    fn without(codes: &[ErrorCode]) -> impl Fn(ApiError) -> ApiResult<Self> {
        move |error| {
            if codes.contains(&error.code()) { Ok(Self::NoAbi(error.message().to_owned())) } else { Err(error) }
        }
    }

    /// Keys of a row: who pays, if anybody does, and the content.
    pub(super) fn write(&self, json: &mut JsonWriter<'_>, row: &Row) {
        if row.payer.0 != 0 {
            json.key("payer").name(row.payer);
        }
        match self {
            Self::Hex => json.key("hex").hex(&row.data),
            Self::NoAbi(error) => {
                json.key("hex").hex(&row.data);
                json.key("error").string(error);
            }
            Self::Json(renderer) => match renderer.render(&row.data) {
                RenderedRow::Json(text) => json.key("json").raw(&text),
                RenderedRow::Hex { hex, error } => {
                    json.key("hex").string(&hex);
                    json.key("error").string(&error);
                }
            },
        }
    }
}
