//! Rows of one table, or of a table of many contracts or in many scopes.

use axum::response::Response;
use dfuse_antelope::Name;
use dfuse_blocks::CursorKind;
use dfuse_index::ServingSnapshot;
use dfuse_kv::Direction;
use dfuse_query::{
    ApiResult, Step,
    state::{self, AskedHeight, Height, ManyTables, RowQuestion, TableOptions, TableReader},
};
use dfuse_render::{JsonWriter, RowForm, RowFormat};
use dfuse_state::{RowRange, TableKey};

use super::{
    abi::to_json,
    height::{self, CheckedHeight, cursor},
    rows::{CheckedRowOptions, RowOptions},
};
use crate::{
    Api, JsonText, Params,
    params::{
        Checked, Finish,
        rules::{Scope, boolean, count, list, name, scope},
    },
    streamed::{self, Pieces},
};

/// What is asked of every table of a request.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: AskedHeight,
    rows: RowOptions,
    with_abi: bool,
    offset: u64,
    /// 0 for all.
    limit: u64,
}

struct CheckedAsked {
    at: CheckedHeight,
    rows: CheckedRowOptions,
    with_abi: Checked<bool>,
    offset: Checked<u64>,
    limit: Checked<u64>,
}

impl Asked {
    fn check(params: &mut Params) -> CheckedAsked {
        CheckedAsked {
            at: height::check(params),
            rows: RowOptions::check(params),
            with_abi: params.optional_or("with_abi", false, boolean),
            offset: params.optional_or("offset", 0, count),
            limit: params.optional_or("limit", 0, count),
        }
    }

    fn options(&self) -> TableOptions {
        let Self { at, rows: RowOptions { json, .. }, offset, limit, .. } = *self;
        TableOptions { at, json, offset, limit }
    }

    fn show(&self) -> Show {
        Show { rows: self.rows.format, with_abi: self.with_abi }
    }
}

impl Finish for CheckedAsked {
    type Values = Asked;

    fn values(self) -> Option<Asked> {
        Some(Asked {
            at: self.at.values()?,
            rows: self.rows.values()?,
            with_abi: self.with_abi.values()?,
            offset: self.offset.values()?,
            limit: self.limit.values()?,
        })
    }
}

/// The pages of an answer are all of one height.
pub(super) async fn one(api: Api, mut params: Params) -> ApiResult<Response> {
    let account = params.required("account", name);
    let table = params.required("table", name);
    let scope = params.present("scope", scope);
    let asked = Asked::check(&mut params);
    let key = asked.rows.key_rule();
    let lower = params.optional_or("lower_bound", 0, &key);
    let upper = params.optional_or("upper_bound", u64::MAX, &key);
    let page = cursor(&mut params, &api, CursorKind::Rows);
    let (account, table, scope, asked, lower, upper, page): (_, _, Scope, Asked, _, _, _) =
        params.finish((account, table, scope, asked, lower, upper, page))?;
    let key = TableKey { contract: account, table, scope: scope.name };
    let range = (lower <= upper).then_some(RowRange { keys: lower..=upper, direction: Direction::Forward });
    streamed::answer(&api, move |read, json| {
        let table = state::table(read, key, range.clone(), asked.options(), page.as_ref().and_then(Option::as_ref))?;
        let show = asked.show();
        begin(json, table.height(), table.is_complete());
        show.begin_table(json, &table)?;
        Ok(OneTable { table, show })
    })
    .await
}

pub(super) async fn of_accounts(api: Api, mut params: Params) -> ApiResult<Response> {
    let accounts = params.required("accounts", list(name));
    let table = params.required("table", name);
    let scope = params.present("scope", scope);
    let asked = Asked::check(&mut params);
    let (mut accounts, table, scope, asked): (Vec<Name>, _, _, _) = params.finish((accounts, table, scope, asked))?;
    accounts.sort_unstable_by(|a, b| b.cmp(a));
    many(&api, accounts.into_iter().map(|account| (account, scope.clone())).collect(), table, asked, None).await
}

pub(super) async fn of_scopes(api: Api, mut params: Params) -> ApiResult<Response> {
    let account = params.required("account", name);
    let table = params.required("table", name);
    let scopes = params.required("scopes", list(scope));
    let asked = Asked::check(&mut params);
    let (account, table, mut scopes, asked): (Name, _, Vec<Scope>, _) =
        params.finish((account, table, scopes, asked))?;
    scopes.sort_unstable_by(|a, b| b.text.cmp(&a.text));
    many(&api, scopes.into_iter().map(|scope| (account, scope)).collect(), table, asked, Some(account)).await
}

/// The first table is the last one. If all are of one contract its ABI also stands before them.
async fn many(
    api: &Api,
    mut to_come: Vec<(Name, Scope)>,
    table: Name,
    asked: Asked,
    contract: Option<Name>,
) -> ApiResult<Response> {
    streamed::answer(api, move |read, json| {
        let keys = to_come.iter().map(|(contract, scope)| TableKey { contract: *contract, table, scope: scope.name });
        let tables = state::many_tables(read, keys, asked.options())?;
        let show = asked.show();
        begin(json, tables.height(), tables.is_complete());
        if let Some(contract) = contract {
            show.write_abi(json, tables.height(), contract)?;
        }
        json.key("tables").begin_array();
        Ok(Tables { tables, table, show, to_come: std::mem::take(&mut to_come) })
    })
    .await
}

pub(super) async fn row(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let account = params.required("account", name);
    let table = params.required("table", name);
    let scope = params.present("scope", scope);
    let asked = Asked::check(&mut params);
    let key_of = asked.rows.key_rule();
    let primary_key = params.present("primary_key", |field| Ok((key_of(field)?, field.text.to_owned())));
    let (account, table, scope, asked, (primary_key, text)): (Name, Name, Scope, Asked, _) =
        params.finish((account, table, scope, asked, primary_key))?;
    let answer = api.query(move |read| {
        let found = state::row(
            read,
            &RowQuestion {
                table: TableKey { contract: account, table, scope: scope.name },
                scope: &scope.text,
                primary_key,
                primary_key_text: &text,
                key_type: asked.rows.format.key_type,
                at: asked.at,
                json: asked.rows.json,
            },
        )?;
        let mut text = Vec::new();
        let mut json = JsonWriter::new(&mut text);
        begin(&mut json, &found.height, true);
        asked.show().write_abi(&mut json, &found.height, account)?;
        json.key("row");
        asked.rows.format.write(&mut json, &found.form, &found.row);
        json.end_object();
        Ok(text)
    });
    answer.await.map(JsonText)
}

/// Begins an answer with its height.
fn begin(json: &mut JsonWriter<'_>, height: &Height, is_complete: bool) {
    json.begin_object();
    height::write(json, height);
    height::write_coverage(json, height.state_start(), is_complete);
}

/// What is shown of tables.
#[derive(Debug, Clone, Copy)]
struct Show {
    rows: RowFormat,
    with_abi: bool,
}

impl Show {
    /// The ABI, if it is wanted and there is one that can be read.
    fn write_abi(&self, json: &mut JsonWriter<'_>, height: &Height, contract: Name) -> ApiResult<()> {
        let abi = if self.with_abi { height.abi(contract)? } else { None };
        if let Some(abi) = abi {
            json.key("abi").raw(&to_json(&abi)?);
        }
        Ok(())
    }

    /// What comes before the rows of a table.
    fn begin_table(&self, json: &mut JsonWriter<'_>, table: &TableReader) -> ApiResult<()> {
        self.write_abi(json, table.height(), table.key().contract)?;
        json.key("rows").begin_array();
        Ok(())
    }

    /// Writes a row, or passes one; after the end, what comes after the rows, and false.
    fn write_row(&self, json: &mut JsonWriter<'_>, table: &mut TableReader) -> ApiResult<bool> {
        match table.next_row()? {
            Step::Item(row) => self.rows.write(json, table.form(), &row),
            Step::Passed => {}
            Step::End => {
                json.end_array();
                if table.is_limited() {
                    json.key("cursor").string(&table.cursor()?.unwrap_or_default());
                }
                json.end_object();
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The answer of one table.
struct OneTable {
    table: TableReader,
    show: Show,
}

impl Pieces for OneTable {
    fn next(&mut self, json: &mut JsonWriter<'_>) -> ApiResult<bool> {
        self.show.write_row(json, &mut self.table)
    }

    fn renew(&mut self, snapshot: &ServingSnapshot) -> ApiResult<()> {
        self.table.renew(snapshot)
    }
}

/// Tables, one after the other.
struct Tables {
    tables: ManyTables,
    table: Name,
    show: Show,
    /// Contracts and scopes, the next one last.
    to_come: Vec<(Name, Scope)>,
}

impl Pieces for Tables {
    fn next(&mut self, json: &mut JsonWriter<'_>) -> ApiResult<bool> {
        if let Some(open) = self.tables.table() {
            if !self.show.write_row(json, open)? {
                self.tables.close();
            }
            return Ok(true);
        }
        let Some((contract, scope)) = self.to_come.pop() else {
            json.end_array();
            json.end_object();
            return Ok(false);
        };
        json.begin_object();
        json.key("account").name(contract);
        json.key("scope").string(&scope.text);
        let open = self.tables.open(TableKey { contract, table: self.table, scope: scope.name })?;
        if let RowForm::NoAbi(error) = open.form() {
            json.key("error").string(error);
        }
        self.show.begin_table(json, open)?;
        Ok(true)
    }

    fn renew(&mut self, snapshot: &ServingSnapshot) -> ApiResult<()> {
        self.tables.renew(snapshot)
    }
}
