//! How rows look.

use dfuse_state::{KeyType, Row, TableRow};

use crate::{JsonWriter, RenderedRow, RowRenderer};

/// What is shown of a row besides its content, and how.
#[derive(Debug, Clone, Copy)]
pub struct RowFormat {
    /// What primary keys are read as and written as.
    pub key_type: KeyType,
    /// Whether each row tells the block that last wrote it.
    pub with_block_num: bool,
}

impl RowFormat {
    /// A row as an object: `key`, its content, `block` if that is wanted.
    pub fn write(&self, json: &mut JsonWriter<'_>, form: &RowForm, row: &TableRow) {
        json.begin_object();
        json.key("key").string(&self.key_type.format(row.primary_key));
        self.write_content(json, form, row);
        json.end_object();
    }

    /// The keys of a row but its `key`, for an object that is open.
    pub fn write_content(&self, json: &mut JsonWriter<'_>, form: &RowForm, row: &TableRow) {
        form.write(json, &row.row);
        if self.with_block_num {
            json.key("block").unsigned(row.block_number);
        }
    }
}

/// What becomes of a row's bytes.
#[derive(Debug, Clone)]
pub enum RowForm {
    /// They are shown as they are.
    Hex,
    /// Decoded by an ABI. Rows that it does not fit are hex with an error.
    Json(RowRenderer),
    /// Hex, with the reason why no row is JSON.
    NoAbi(String),
}

impl RowForm {
    /// Keys of a row: who pays, if anybody does, and the content.
    pub fn write(&self, json: &mut JsonWriter<'_>, row: &Row) {
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
