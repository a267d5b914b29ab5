//! What became of one row, block by block.

use dfuse_antelope::{Checksum, Name};
use dfuse_blocks::CursorKind;
use dfuse_index::{BlockRef, View, abi::after_block, blocks};
use dfuse_kv::Direction;
use dfuse_query::{ApiError, ApiResult};
use dfuse_state::{Row, RowChange, RowKey, StateAt, TableKey, row_history};
use dfuse_trx::{BlockSource, FeedBlocks};

use super::{
    cursor,
    height::{Asked, Height, irreversible_only},
    rows::{RowOptions, Scope, lenient_form, scope},
};
use crate::{
    Api, JsonText, Params,
    params::rules::{between, block_num, highest_block, name, sort_is_descending},
};
use dfuse_render::{JsonWriter, RowForm};

/// A page ends when it has so many bytes, before as many changes as were asked for are in it.
const PAGE_BYTES: usize = 16 << 20;

/// Newest first if not asked otherwise. The cursor is empty at the end.
pub(super) async fn get(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let account = params.required("account", name);
    let table = params.required("table", name);
    let scope = params.present("scope", scope);
    let options = RowOptions::check(&mut params);
    let primary_key = params.present("primary_key", options.key_rule());
    let first = params.optional_or("from_block", 0, highest_block);
    let last = params.optional_or("to_block", 0, block_num);
    let irreversible_only = irreversible_only(&mut params);
    let is_descending = params.optional_or("sort", true, sort_is_descending);
    let limit = params.optional_or("limit", 20, between(1..=100));
    let page = cursor::check(CursorKind::RowHistory, &mut params, &api);
    let (row, options, blocks, page) = params.finish((
        (account, table, scope, primary_key),
        options,
        (first, last, irreversible_only),
        (is_descending, limit, page),
    ))?;
    let (account, table, scope, primary_key): (Name, Name, Scope, u64) = row;
    let (mut first, last, irreversible_only): (u32, u128, bool) = blocks;
    let (is_descending, limit, page): (bool, u8, _) = page;
    // 0 is the head, which may be below a block that is still to come.
    if (1..first.into()).contains(&last) {
        return Err(ends_before_it_begins(first, last));
    }
    let key = TableKey { contract: account, table, scope: scope.name }.row(primary_key);
    let subject = cursor::bytes([account.0, table.0, scope.name.0, primary_key]);
    let reader = api.clone();
    let source = FeedBlocks::new(api.chain().feed.clone());
    let text = api.read(move |snapshot, reading| {
        let height = Height::resolve(snapshot, Asked { block_num: last, irreversible_only })?;
        let view = height.state.view();
        let is_complete =
            snapshot.mid_chain_start().is_none_or(|start| start <= first) || height.knows_account(account)?;
        let mut last = Some(height.number());
        if let Some(content) = page.flatten() {
            let (id, []) = cursor::place(&content, &subject)?;
            let passed = cursor::block_num(snapshot, Checksum(id), 0)?;
            if is_descending {
                last = passed.checked_sub(1).min(last);
            } else {
                first = first.max(passed.saturating_add(1));
            }
        }
        let direction = if is_descending { Direction::Reverse } else { Direction::Forward };
        let mut text = Vec::new();
        let mut json = JsonWriter::new(&mut text);
        json.begin_object();
        height.write(&mut json);
        height.write_coverage(&mut json, is_complete);
        json.key("changes").begin_array();
        let mut writer =
            Writer { api: &reader, height: &height, view, source: &source, key, options, forms: Vec::new() };
        let mut changes = last.map(|last| row_history(view, &key, first..=last, direction)).transpose()?;
        let mut changes = changes.iter_mut().flatten();
        let mut cursor = String::new();
        let mut written = None;
        for count in 0.. {
            reading.go_on()?;
            let Some(change) = changes.next().transpose()? else { break };
            if let Some(BlockRef { id, .. }) = written
                && (count == limit || json.written() > PAGE_BYTES)
            {
                cursor = cursor::seal(CursorKind::RowHistory, &reader, &subject, &id.0);
                break;
            }
            written = Some(writer.write(&mut json, &change)?);
        }
        json.end_array();
        json.key("cursor").string(&cursor);
        json.end_object();
        Ok(text)
    });
    text.await.map(JsonText)
}

fn ends_before_it_begins(first: u32, last: u128) -> ApiError {
    let mut params = Params::default();
    let problem = format!("must not be above to_block, which is {last}: it is {first}");
    let wrong = params.custom::<()>("from_block", Err(vec![problem]));
    params.finish(wrong).expect_err("it is wrong")
}

struct Writer<'a> {
    api: &'a Api,
    /// Of the newest change that is asked for.
    height: &'a Height,
    view: &'a View,
    source: &'a FeedBlocks,
    key: RowKey,
    options: RowOptions,
    /// By the global sequence of the `setabi`.
    forms: Vec<(u64, RowForm)>,
}

impl Writer<'_> {
    /// Writes a change; its block.
    fn write(&mut self, json: &mut JsonWriter<'_>, change: &RowChange) -> ApiResult<BlockRef> {
        let number = change.block_number;
        let indexed = blocks::by_number(self.view, number)?;
        let indexed =
            indexed.ok_or_else(|| ApiError::unexpected(format!("block {number} wrote a row and is absent")))?;
        let reference = BlockRef { number, id: indexed.id };
        let block = self.source.block(reference)?;
        let traces = block.transaction_traces().iter().filter(|trace| !trace.is_reverted());
        let traces = traces.filter(|trace| trace.db_ops.iter().any(|op| RowKey::of(op) == self.key));
        json.begin_object();
        json.key("block_num").unsigned(number);
        json.key("block_id").checksum(indexed.id);
        json.key("block_time").block_time(indexed.time);
        json.key("trx_ids").array(traces, |json, trace| json.checksum(trace.id));
        json.key("old");
        self.write_row(json, change.old.as_ref(), number.saturating_sub(1))?;
        json.key("new");
        self.write_row(json, change.new.as_ref(), number)?;
        json.end_object();
        Ok(reference)
    }

    /// A row by the ABI after a block.
    fn write_row(&mut self, json: &mut JsonWriter<'_>, row: Option<&Row>, number: u32) -> ApiResult<()> {
        let Some(row) = row else {
            json.null();
            return Ok(());
        };
        json.begin_object();
        self.form(number)?.write(json, row);
        json.end_object();
        Ok(())
    }

    fn form(&mut self, number: u32) -> ApiResult<RowForm> {
        let TableKey { contract, table, .. } = self.key.table;
        let record = if self.options.json { after_block(self.view, contract, number)? } else { None };
        let sequence = record.map(|record| record.global_sequence);
        if let Some((_, form)) = self.forms.iter().find(|(known, _)| Some(*known) == sequence) {
            return Ok(form.clone());
        }
        let height = self.height.with(StateAt::below(self.view.clone(), number));
        let form = lenient_form(self.api, &height, contract, table, self.options.json)?;
        if let Some(sequence) = sequence {
            self.forms.push((sequence, form.clone()));
        }
        Ok(form)
    }
}
