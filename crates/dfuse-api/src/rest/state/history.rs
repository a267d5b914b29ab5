//! What became of one row, block by block.

use dfuse_antelope::Name;
use dfuse_blocks::CursorKind;
use dfuse_kv::Direction;
use dfuse_query::{
    ApiResult, ListCursor, ReadContext,
    state::{HistoryQuestion, RowWritten, WrittenRow, row_history},
};
use dfuse_render::JsonWriter;
use dfuse_state::TableKey;

use super::{
    height::{self, cursor, irreversible_only},
    rows::RowOptions,
};
use crate::{
    Api, JsonText, Params,
    params::rules::{Scope, between, block_num, highest_block, name, scope, sort_is_descending},
};

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
    let page = cursor(&mut params, &api, CursorKind::RowHistory);
    let (row, options, blocks, page) = params.finish((
        (account, table, scope, primary_key),
        options,
        (first, last, irreversible_only),
        (is_descending, limit, page),
    ))?;
    let (account, table, scope, primary_key): (Name, Name, Scope, u64) = row;
    let (first_block, last_block, irreversible_only): (u32, u128, bool) = blocks;
    let (is_descending, limit, page): (bool, u8, _) = page;
    let question = HistoryQuestion {
        key: TableKey { contract: account, table, scope: scope.name }.row(primary_key),
        first_block,
        last_block,
        irreversible_only,
        direction: if is_descending { Direction::Reverse } else { Direction::Forward },
        json: options.json,
    };
    let text = api.query(move |read| render(read, question, page.as_ref().and_then(Option::as_ref), limit));
    text.await.map(JsonText)
}

fn render(
    read: &ReadContext<'_>,
    question: HistoryQuestion,
    page: Option<&ListCursor>,
    limit: u8,
) -> ApiResult<Vec<u8>> {
    let mut changes = row_history(read, question, page)?;
    let mut text = Vec::new();
    let mut json = JsonWriter::new(&mut text);
    json.begin_object();
    height::write(&mut json, changes.height());
    height::write_coverage(&mut json, changes.height().state_start(), changes.is_complete());
    json.key("changes").begin_array();
    for _ in 0..limit {
        let Some(change) = changes.next_change()? else { break };
        write(&mut json, &change);
        if json.written() > PAGE_BYTES {
            break;
        }
    }
    json.end_array();
    json.key("cursor").string(&changes.cursor()?.unwrap_or_default());
    json.end_object();
    Ok(text)
}

fn write(json: &mut JsonWriter<'_>, change: &RowWritten) {
    json.begin_object();
    json.key("block_num").unsigned(change.block.number);
    json.key("block_id").checksum(change.block.id);
    json.key("block_time").block_time(change.block_time);
    json.key("trx_ids").array(change.transaction_ids.iter().copied(), JsonWriter::checksum);
    for (key, row) in [("old", &change.old), ("new", &change.new)] {
        json.key(key);
        match row {
            None => json.null(),
            Some(WrittenRow { row, form }) => {
                json.begin_object();
                form.write(json, row);
                json.end_object();
            }
        }
    }
    json.end_object();
}
