//! What became of the rows of a table between two heights.

use axum::response::Response;
use dfuse_antelope::Name;
use dfuse_index::ServingSnapshot;
use dfuse_query::ApiResult;
use dfuse_state::{RowDifference, RowRange, TableDifference, TableKey, TableRow};

use super::{
    height::{Asked, Height, irreversible_only},
    rows::{RowOptions, Scope, form_at, lenient_form, scope},
};
use crate::{
    Api, Params,
    params::rules::{Field, Problems, block_num, name},
    streamed::{self, Pieces},
};
use dfuse_render::{JsonWriter, RowForm};

pub(super) async fn get(api: Api, mut params: Params) -> ApiResult<Response> {
    let account = params.required("account", name);
    let table = params.required("table", name);
    let scope = params.present("scope", scope);
    let from = params.required("from_block", from_block);
    let to = params.optional_or("to_block", 0, block_num);
    let irreversible_only = irreversible_only(&mut params);
    let options = RowOptions::check(&mut params);
    let (account, table, scope, from, to, irreversible_only, options): (Name, Name, Scope, _, _, _, RowOptions) =
        params.finish((account, table, scope, from, to, irreversible_only, options))?;
    let reader = api.clone();
    streamed::answer(&api, move |snapshot, _, json| {
        let [from, to] = [from, to].map(|block_num| Height::resolve(snapshot, Asked { block_num, irreversible_only }));
        let (from, to) = (from?, to?);
        let lenient = |height: &Height| lenient_form(&reader, height, account, table, options.json);
        let mut forms = [lenient(&from)?, lenient(&to)?];
        if forms.iter().all(|form| matches!(form, RowForm::NoAbi(_))) {
            forms[1] = form_at(&reader, &to, account, table, options.json)?;
        }
        json.begin_object();
        to.write(json);
        let key = TableKey { contract: account, table, scope: scope.name };
        to.write_coverage(json, from.knows_table(key)?);
        json.key("from_block").unsigned(from.number());
        json.key("to_block").unsigned(to.number());
        json.key("rows").begin_array();
        let mut changes = Changes {
            heights: [from, to],
            forms,
            table: key,
            options,
            rest: Some(RowRange::default()),
            difference: None,
        };
        changes.read()?;
        Ok(changes)
    })
    .await
}

/// 0 would be the head, from which nothing has changed.
fn from_block(field: &Field<'_>) -> Result<u128, Problems> {
    let number = block_num(field)?;
    if number > 0 { Ok(number) } else { Err(field.expected("not less than 1")) }
}

struct Changes {
    heights: [Height; 2],
    forms: [RowForm; 2],
    table: TableKey,
    options: RowOptions,
    rest: Option<RowRange>,
    /// Of `rest`.
    difference: Option<TableDifference>,
}

impl Changes {
    fn read(&mut self) -> ApiResult<()> {
        let [from, to] = &self.heights;
        let difference = self.rest.clone().map(|rest| from.state.difference(&to.state, self.table, rest));
        self.difference = difference.transpose()?;
        Ok(())
    }

    fn write(&self, json: &mut JsonWriter<'_>, primary_key: u64, difference: &RowDifference) {
        json.begin_object();
        json.key("key").string(&self.options.format.key_type.format(primary_key));
        self.write_side(json.key("old"), &self.forms[0], difference.old.as_ref());
        self.write_side(json.key("new"), &self.forms[1], difference.new.as_ref());
        json.end_object();
    }

    fn write_side(&self, json: &mut JsonWriter<'_>, form: &RowForm, row: Option<&TableRow>) {
        let Some(row) = row else { return json.null() };
        json.begin_object();
        self.options.format.write_content(json, form, row);
        json.end_object();
    }
}

impl Pieces for Changes {
    fn next(&mut self, json: &mut JsonWriter<'_>) -> ApiResult<bool> {
        let looked = self.difference.as_mut().map_or(Ok(None), TableDifference::look)?;
        let Some((primary_key, difference)) = looked else {
            json.end_array();
            json.end_object();
            return Ok(false);
        };
        if let Some(difference) = difference {
            self.write(json, primary_key, &difference);
        }
        self.rest = self.rest.as_ref().and_then(|rest| rest.after(primary_key));
        Ok(true)
    }

    fn renew(&mut self, snapshot: &ServingSnapshot) -> ApiResult<()> {
        for height in &mut self.heights {
            height.renew(snapshot)?;
        }
        self.read()
    }
}
