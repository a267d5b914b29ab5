//! What became of the rows of a table between two heights.

use axum::response::Response;
use dfuse_antelope::Name;
use dfuse_index::ServingSnapshot;
use dfuse_query::{
    ApiResult, Step,
    state::{DifferenceQuestion, DifferenceReader, difference},
};
use dfuse_render::{JsonWriter, RowForm, RowFormat};
use dfuse_state::{RowDifference, TableKey, TableRow};

use super::{
    height::{self, irreversible_only},
    rows::RowOptions,
};
use crate::{
    Api, Params,
    params::rules::{Field, Problems, Scope, block_num, name, scope},
    streamed::{self, Pieces},
};

pub(super) async fn get(api: Api, mut params: Params) -> ApiResult<Response> {
    let account = params.required("account", name);
    let table = params.required("table", name);
    let scope = params.present("scope", scope);
    let from = params.required("from_block", from_block);
    let to = params.optional_or("to_block", 0, block_num);
    let irreversible_only = irreversible_only(&mut params);
    let options = RowOptions::check(&mut params);
    let (account, table, scope, from_block, to_block, irreversible_only, RowOptions { format, json }): (
        Name,
        Name,
        Scope,
        _,
        _,
        _,
        RowOptions,
    ) = params.finish((account, table, scope, from, to, irreversible_only, options))?;
    let table = TableKey { contract: account, table, scope: scope.name };
    let question = DifferenceQuestion { table, from_block, to_block, irreversible_only, json };
    streamed::answer(&api, move |read, json| {
        let rows = difference(read, &question)?;
        let [from, to] = rows.heights();
        json.begin_object();
        height::write(json, to);
        height::write_coverage(json, to.state_start(), rows.is_complete());
        json.key("from_block").unsigned(from.number());
        json.key("to_block").unsigned(to.number());
        json.key("rows").begin_array();
        Ok(Changes { rows, format })
    })
    .await
}

/// 0 would be the head, from which nothing has changed.
fn from_block(field: &Field<'_>) -> Result<u128, Problems> {
    let number = block_num(field)?;
    if number > 0 { Ok(number) } else { Err(field.expected("not less than 1")) }
}

struct Changes {
    rows: DifferenceReader,
    format: RowFormat,
}

impl Changes {
    fn write(&self, json: &mut JsonWriter<'_>, primary_key: u64, difference: &RowDifference) {
        let [old, new] = self.rows.forms();
        json.begin_object();
        json.key("key").string(&self.format.key_type.format(primary_key));
        self.write_side(json.key("old"), old, difference.old.as_ref());
        self.write_side(json.key("new"), new, difference.new.as_ref());
        json.end_object();
    }

    fn write_side(&self, json: &mut JsonWriter<'_>, form: &RowForm, row: Option<&TableRow>) {
        let Some(row) = row else { return json.null() };
        json.begin_object();
        self.format.write_content(json, form, row);
        json.end_object();
    }
}

impl Pieces for Changes {
    fn next(&mut self, json: &mut JsonWriter<'_>) -> ApiResult<bool> {
        match self.rows.next_row()? {
            Step::Item((primary_key, difference)) => self.write(json, primary_key, &difference),
            Step::Passed => {}
            Step::End => {
                json.end_array();
                json.end_object();
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn renew(&mut self, snapshot: &ServingSnapshot) -> ApiResult<()> {
        self.rows.renew(snapshot)
    }
}
