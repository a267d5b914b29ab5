//! Rows of one table, or of a table of many contracts or in many scopes.

use axum::response::Response;
use dfuse_antelope::{Checksum, Name, abi::Abi};
use dfuse_blocks::CursorKind;
use dfuse_index::ServingSnapshot;
use dfuse_kv::Direction;
use dfuse_query::{ApiError, ApiResult, ErrorCode, shorten};
use dfuse_state::{RowRange, TableKey, TableRows};

use super::{
    abi, cursor,
    height::{Asked, CheckedHeight, Height},
    rows::{CheckedRowOptions, RowOptions, Scope, form_at, lenient_form, scope},
};
use crate::{
    Api, JsonText, Params,
    params::{
        Checked, Finish,
        rules::{boolean, count, list, name},
    },
    streamed::{self, Pieces},
};
use dfuse_render::{JsonWriter, RowForm};

/// What is asked of every table of a request.
#[derive(Debug, Clone, Copy)]
struct TableOptions {
    at: Asked,
    rows: RowOptions,
    with_abi: bool,
    offset: u64,
    /// 0 for all.
    limit: u64,
}

struct CheckedTableOptions {
    at: CheckedHeight,
    rows: CheckedRowOptions,
    with_abi: Checked<bool>,
    offset: Checked<u64>,
    limit: Checked<u64>,
}

impl TableOptions {
    fn check(params: &mut Params) -> CheckedTableOptions {
        CheckedTableOptions {
            at: Asked::check(params),
            rows: RowOptions::check(params),
            with_abi: params.optional_or("with_abi", false, boolean),
            offset: params.optional_or("offset", 0, count),
            limit: params.optional_or("limit", 0, count),
        }
    }
}

impl Finish for CheckedTableOptions {
    type Values = TableOptions;

    fn values(self) -> Option<TableOptions> {
        Some(TableOptions {
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
    let options = TableOptions::check(&mut params);
    let key = options.rows.key_rule();
    let lower = params.optional_or("lower_bound", 0, &key);
    let upper = params.optional_or("upper_bound", u64::MAX, &key);
    let page = cursor::check(CursorKind::Rows, &mut params, &api);
    let (account, table, scope, mut options, lower, upper, page): (_, _, Scope, TableOptions, _, _, _) =
        params.finish((account, table, scope, options, lower, upper, page))?;
    let reader = api.clone();
    streamed::answer(&api, move |snapshot, _, json| {
        let key = TableKey { contract: account, table, scope: scope.name };
        let range = RowRange { keys: lower..=upper, direction: Direction::Forward };
        let mut rest = (lower <= upper).then(|| range.clone());
        if let Some(content) = page.flatten() {
            let (id, last) = cursor::place(&content, &subject(key))?;
            options.at.block_num = cursor::block_num(snapshot, Checksum(id), options.at.block_num)?.into();
            options.offset = 0;
            rest = range.after(u64::from_be_bytes(last));
        }
        let request = Request { api: reader, height: Height::resolve(snapshot, options.at)?, options };
        json.begin_object();
        request.height.write(json);
        request.height.write_coverage(json, request.height.knows_table(key)?);
        let form = request.form(account, table)?;
        let open = request.open(json, key, form, rest)?;
        Ok(Tables { request, table, to_come: None, open: Some(open) })
    })
    .await
}

pub(super) async fn of_accounts(api: Api, mut params: Params) -> ApiResult<Response> {
    let accounts = params.required("accounts", list(name));
    let table = params.required("table", name);
    let scope = params.present("scope", scope);
    let options = TableOptions::check(&mut params);
    let (mut accounts, table, scope, options): (Vec<Name>, _, _, _) =
        params.finish((accounts, table, scope, options))?;
    accounts.sort_unstable_by(|a, b| b.cmp(a));
    many(&api, accounts.into_iter().map(|account| (account, scope.clone())).collect(), table, options, None).await
}

pub(super) async fn of_scopes(api: Api, mut params: Params) -> ApiResult<Response> {
    let account = params.required("account", name);
    let table = params.required("table", name);
    let scopes = params.required("scopes", list(scope));
    let options = TableOptions::check(&mut params);
    let (account, table, mut scopes, options): (Name, _, Vec<Scope>, _) =
        params.finish((account, table, scopes, options))?;
    scopes.sort_unstable_by(|a, b| b.text.cmp(&a.text));
    many(&api, scopes.into_iter().map(|scope| (account, scope)).collect(), table, options, Some(account)).await
}

/// The first table is the last one. If all are of one contract its ABI also stands before them.
async fn many(
    api: &Api,
    tables: Vec<(Name, Scope)>,
    table: Name,
    options: TableOptions,
    contract: Option<Name>,
) -> ApiResult<Response> {
    let reader = api.clone();
    streamed::answer(api, move |snapshot, reading, json| {
        let request = Request { api: reader, height: Height::resolve(snapshot, options.at)?, options };
        let mut is_complete = true;
        for (contract, scope) in &tables {
            reading.go_on()?;
            let key = TableKey { contract: *contract, table, scope: scope.name };
            is_complete = is_complete && request.height.knows_table(key)?;
        }
        for of_one in tables.chunk_by(|(a, _), (b, _)| a == b) {
            reading.go_on()?;
            request.check(of_one[0].0, table)?;
        }
        json.begin_object();
        request.height.write(json);
        request.height.write_coverage(json, is_complete);
        if let Some(contract) = contract {
            request.write_abi(json, contract)?;
        }
        json.key("tables").begin_array();
        Ok(Tables { request, table, to_come: Some(tables), open: None })
    })
    .await
}

pub(super) async fn row(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let account = params.required("account", name);
    let table = params.required("table", name);
    let scope = params.present("scope", scope);
    let options = TableOptions::check(&mut params);
    let key_of = options.rows.key_rule();
    let primary_key = params.present("primary_key", |field| Ok((key_of(field)?, field.text.to_owned())));
    let (account, table, scope, options, (primary_key, text)): (Name, Name, Scope, TableOptions, _) =
        params.finish((account, table, scope, options, primary_key))?;
    let reader = api.clone();
    let answer = api.read(move |snapshot, _| {
        let request = Request { api: reader, height: Height::resolve(snapshot, options.at)?, options };
        let key_of_row = TableKey { contract: account, table, scope: scope.name }.row(primary_key);
        // A row that is not there needs no ABI.
        let Some(row) = request.height.state.row(&key_of_row)? else {
            let (number, key_type) = (request.height.number(), options.rows.format.key_type);
            let key = if text.is_empty() { "that is empty".to_owned() } else { format!("\"{}\"", shorten(&text)) };
            let message =
                format!("At block {number} the table has no row of the primary key {key}, read as {key_type}.");
            let error = ApiError::new(ErrorCode::RowNotFound, message)
                .detail("account", account.to_string())
                .detail("scope", scope.text)
                .detail("table", table.to_string())
                .detail("primary_key", text);
            return Err(request.height.absent(request.height.knows_row(&key_of_row)?, error));
        };
        let form = request.form(account, table)?;
        let mut text = Vec::new();
        let mut json = JsonWriter::new(&mut text);
        json.begin_object();
        request.height.write(&mut json);
        request.height.write_coverage(&mut json, true);
        request.write_abi(&mut json, account)?;
        json.key("row");
        options.rows.format.write(&mut json, &form, &row);
        json.end_object();
        Ok(text)
    });
    answer.await.map(JsonText)
}

/// A request whose height is resolved.
struct Request {
    api: Api,
    height: Height,
    options: TableOptions,
}

impl Request {
    fn form(&self, contract: Name, table: Name) -> ApiResult<RowForm> {
        form_at(&self.api, &self.height, contract, table, self.options.rows.json)
    }

    /// The ABI, if it is wanted and there is one that can be read.
    fn abi(&self, contract: Name) -> ApiResult<Option<Vec<u8>>> {
        let abi = if self.options.with_abi { abi::find(&self.height.state, contract)? } else { None };
        abi.and_then(|abi| Abi::from_bytes(&abi.abi).ok()).map(|abi| abi::to_json(&abi)).transpose()
    }

    fn write_abi(&self, json: &mut JsonWriter<'_>, contract: Name) -> ApiResult<()> {
        if let Some(abi) = self.abi(contract)? {
            json.key("abi").raw(&abi);
        }
        Ok(())
    }

    /// Like [`Request::form`] for one of many tables, which are not lost for one that has no ABI: its rows are hex.
    fn form_of_one(&self, contract: Name, table: Name) -> ApiResult<RowForm> {
        lenient_form(&self.api, &self.height, contract, table, self.options.rows.json)
    }

    /// Fails for what [`Request::open`] would fail for later.
    fn check(&self, contract: Name, table: Name) -> ApiResult<()> {
        self.form_of_one(contract, table)?;
        self.abi(contract).map(drop)
    }

    /// Begins what is said of a table.
    fn open(
        &self,
        json: &mut JsonWriter<'_>,
        key: TableKey,
        form: RowForm,
        rest: Option<RowRange>,
    ) -> ApiResult<OpenTable> {
        self.write_abi(json, key.contract)?;
        json.key("rows").begin_array();
        let TableOptions { offset, limit, .. } = self.options;
        let mut open =
            OpenTable { key, form, rows: None, rest, to_skip: offset, left: (limit > 0).then_some(limit), last: None };
        open.read(&self.height)?;
        Ok(open)
    }
}

/// Tables, one after the other.
struct Tables {
    request: Request,
    table: Name,
    /// Contracts and scopes, the next one last. Absent in an answer of one table.
    to_come: Option<Vec<(Name, Scope)>>,
    open: Option<OpenTable>,
}

impl Pieces for Tables {
    fn next(&mut self, json: &mut JsonWriter<'_>) -> ApiResult<bool> {
        if let Some(open) = &mut self.open {
            if !open.next(json, &self.request)? {
                json.end_object();
                self.open = None;
                return Ok(self.to_come.is_some());
            }
            return Ok(true);
        }
        let Some((contract, scope)) = self.to_come.as_mut().and_then(Vec::pop) else {
            json.end_array();
            json.end_object();
            return Ok(false);
        };
        json.begin_object();
        json.key("account").name(contract);
        json.key("scope").string(&scope.text);
        let key = TableKey { contract, table: self.table, scope: scope.name };
        let form = self.request.form_of_one(contract, self.table)?;
        if let RowForm::NoAbi(error) = &form {
            json.key("error").string(error);
        }
        self.open = Some(self.request.open(json, key, form, Some(RowRange::default()))?);
        Ok(true)
    }

    fn renew(&mut self, snapshot: &ServingSnapshot) -> ApiResult<()> {
        self.request.height.renew(snapshot)?;
        match &mut self.open {
            Some(open) => open.read(&self.request.height),
            None => Ok(()),
        }
    }
}

/// A table of which rows are being written.
struct OpenTable {
    key: TableKey,
    form: RowForm,
    /// Those of `rest`.
    rows: Option<TableRows>,
    rest: Option<RowRange>,
    to_skip: u64,
    /// Absent without a limit.
    left: Option<u64>,
    last: Option<u64>,
}

impl OpenTable {
    fn read(&mut self, height: &Height) -> ApiResult<()> {
        self.rows = self.rest.clone().map(|rest| height.state.rows(self.key, rest)).transpose()?;
        Ok(())
    }

    /// Writes a row, or passes one; false after the end.
    fn next(&mut self, json: &mut JsonWriter<'_>, request: &Request) -> ApiResult<bool> {
        let row = self.rows.as_mut().and_then(Iterator::next).transpose()?;
        let Some(row) = row.as_ref().filter(|_| self.left != Some(0)) else {
            json.end_array();
            if self.left.is_some() {
                let cursor = if row.is_some() { self.cursor(request)? } else { None };
                json.key("cursor").string(&cursor.unwrap_or_default());
            }
            return Ok(false);
        };
        self.rest = self.rest.as_ref().and_then(|rest| rest.after(row.primary_key));
        if self.to_skip > 0 {
            self.to_skip -= 1;
            return Ok(true);
        }
        self.left = self.left.map(|left| left - 1);
        self.last = Some(row.primary_key);
        request.options.rows.format.write(json, &self.form, row);
        Ok(true)
    }

    /// For what comes after the last row.
    fn cursor(&self, request: &Request) -> ApiResult<Option<String>> {
        let (Some(block), Some(last)) = (request.height.block()?, self.last) else { return Ok(None) };
        let place = [&block.id.0[..], &last.to_be_bytes()].concat();
        Ok(Some(cursor::seal(CursorKind::Rows, &request.api, &subject(self.key), &place)))
    }
}

fn subject(key: TableKey) -> Vec<u8> {
    cursor::bytes([key.contract.0, key.table.0, key.scope.0])
}
