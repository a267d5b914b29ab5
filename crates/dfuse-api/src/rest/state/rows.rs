//! How rows look.

use dfuse_render::RowFormat;
use dfuse_state::KeyType;

use crate::{
    Params,
    params::{
        Checked, Finish,
        rules::{Field, Problems, boolean, one_of},
    },
};

/// How rows are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowOptions {
    pub(super) format: RowFormat,
    /// Whether their content is JSON rather than hex.
    pub(super) json: bool,
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
