//! `/v0/transactions`: lifecycles, one by one or in pages.

use std::sync::Arc;

use axum::Router;
use dfuse_antelope::{Checksum256, model::BlockParts};
use dfuse_blocks::{CursorKey, CursorKind};
use dfuse_query::{ApiError, ApiResult, Class, Reading};

use super::blocks::any_block;
use crate::{
    Api, JsonText, Params,
    answer::both,
    params::rules::{Field, Problems, between, id},
    undone::not_found,
};
use dfuse_index::{ServingSnapshot, View, abi::ViewAbis, blocks};
use dfuse_render::{JsonWriter, Renderer};
use dfuse_trx::{FeedBlocks, Lifecycles, Place, block_transactions, lifecycle_in_block, recent_transactions};

/// A page ends when it has so many bytes, before as many transactions as were asked for are in it.
pub(super) const PAGE_BYTES: usize = 16 << 20;
/// A page ends when so many transactions were passed that the chain itself made.
const PASSED: usize = 10_000;
/// Lifecycles that are in memory at a time.
pub(super) const AT_ONCE: usize = 10;

pub(super) fn routes() -> Router<Api> {
    use Class::{LookUp, Page};
    Router::new()
        .route("/v0/transactions", both(Page, recent))
        .route("/v0/transactions/{id}", both(LookUp, one))
        .route("/v0/blocks/{id}/transactions", both(Page, of_block))
}

async fn one(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let id = params.required("id", id);
    let id = params.finish(id)?;
    let reader = api.clone();
    let text = api.read(move |snapshot, _| {
        let lifecycle = lifecycles(&reader, snapshot.view(), |lifecycles| match lifecycles.get(id)? {
            Some(lifecycle) => Ok(lifecycle),
            None => Err(not_found(lifecycles, &id.into(), &id.to_string())?),
        })?;
        let mut text = Vec::new();
        Renderer::new(&mut text, &ViewAbis::new(snapshot.view(), reader.abis())).lifecycle(&lifecycle)?;
        Ok(text)
    });
    text.await.map(JsonText)
}

/// The newest first: what the blocks of the best chain name, not what the chain itself made. The cursor is empty at the end.
async fn recent(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let limit = params.required("limit", between(1..=100));
    let before = params.optional("cursor", cursor(api.chain().feed.cursor_key(), None));
    let (limit, before): (u8, _) = params.finish((limit, before))?;
    let reader = api.clone();
    let text = api.read(move |snapshot, reading| {
        let view = snapshot.view();
        let mut page = Page::new(&reader, view, reading);
        let mut transactions = recent_transactions(view, before.flatten())?;
        let mut passed = None;
        for transaction in transactions.by_ref().take(PASSED) {
            reading.go_on()?;
            let transaction = transaction?;
            passed = Some(transaction.place);
            if transaction.has_receipt {
                page.listed.push((transaction.id, transaction.place));
                if page.listed.len() == usize::from(limit) {
                    break;
                }
            }
        }
        let is_last = transactions.next().transpose()?.is_none();
        let (text, cut) = page.render()?;
        Ok(with_cursor(&reader, None, cut.or(passed).filter(|_| cut.is_some() || !is_last), &text))
    });
    text.await.map(JsonText)
}

/// In the order of execution, those that the chain itself made among them, as the block's branch tells them. The cursor is never empty: what follows it may be, though.
async fn of_block(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let id = params.required("id", id);
    let limit = params.optional_or("limit", 100, between(1..=100));
    // A wrong id is told by itself.
    let list = id.peek().copied();
    let after = params.optional("cursor", cursor(api.chain().feed.cursor_key(), list));
    let (id, limit, after): (_, u8, _) = params.finish((id, limit, after))?;
    let reader = api.clone();
    let text = api.read(move |snapshot, reading| {
        let number = id.block_num();
        let (view, listed, lost) = match view_of(snapshot, id)? {
            Some(view) => {
                let listed = block_transactions(&view, number)?.into_iter().map(|it| (it.id, it.place)).collect();
                (view, listed, None)
            }
            // Of a branch that was lost long ago only the block is there: the best chain tells what became of those that it
            // knows, the block of the others.
            None => {
                let block = any_block(&reader, id)?;
                (snapshot.view().clone(), run_in(&block)?, Some(block))
            }
        };
        let mut page = Page { lost, ..Page::new(&reader, &view, reading) };
        let listed = listed.into_iter().filter(|(_, place)| after.flatten().is_none_or(|after| *place > after));
        page.listed.extend(listed.take(limit.into()));
        let (text, cut) = page.render()?;
        let last = cut.or(page.listed.last().map(|(_, place)| *place)).or(after.flatten());
        let first = Place { block_number: number.saturating_sub(1), position: u32::MAX };
        Ok(with_cursor(&reader, Some(id), Some(last.unwrap_or(first)), &text))
    });
    text.await.map(JsonText)
}

/// The transactions that a block ran, in the order of execution.
fn run_in(block: &BlockParts) -> ApiResult<Vec<(Checksum256, Place)>> {
    let traces = (0..).zip(block.trace_ids());
    let traces = traces.map(|(position, id)| Ok((id?, Place { block_number: block.number(), position })));
    traces.collect::<dfuse_antelope::Result<_>>().map_err(ApiError::unexpected)
}

/// The view to which the block belongs: at the head if it is on the best chain, else at the block.
fn view_of(snapshot: &ServingSnapshot, id: Checksum256) -> ApiResult<Option<View>> {
    match blocks::by_id(snapshot.view(), id)? {
        Some(_) => Ok(Some(snapshot.view().clone())),
        None => Ok(snapshot.view_at(id)?),
    }
}

fn lifecycles<T>(api: &Api, view: &View, read: impl FnOnce(&Lifecycles<'_>) -> ApiResult<T>) -> ApiResult<T> {
    let chain = api.chain();
    let blocks = FeedBlocks::new(chain.feed.clone());
    read(&Lifecycles { view, forked: &chain.forked, blocks: &blocks, chain_id: chain.chain_id })
}

/// Transactions of a page and their places.
struct Page<'a> {
    api: &'a Api,
    view: &'a View,
    reading: &'a Reading,
    listed: Vec<(Checksum256, Place)>,
    /// The block whose list it is, if it was lost.
    lost: Option<Arc<BlockParts>>,
}

impl<'a> Page<'a> {
    fn new(api: &'a Api, view: &'a View, reading: &'a Reading) -> Self {
        Self { api, view, reading, listed: Vec::new(), lost: None }
    }

    /// The list as JSON, and the place of the last one in it if it has become too long.
    fn render(&self) -> ApiResult<(Vec<u8>, Option<Place>)> {
        let abis = ViewAbis::new(self.view, self.api.abis());
        let mut text = Vec::new();
        let mut renderer = Renderer::new(&mut text, &abis);
        renderer.json().begin_array();
        let mut left = self.listed.len();
        for listed in self.listed.chunks(AT_ONCE) {
            let ids: Vec<_> = listed.iter().map(|(id, _)| *id).collect();
            let found = lifecycles(self.api, self.view, |lifecycles| Ok(lifecycles.get_all(&ids)?))?;
            for (lifecycle, (id, place)) in found.into_iter().zip(listed) {
                self.reading.go_on()?;
                let lifecycle = match (lifecycle, &self.lost) {
                    (None, Some(lost)) => {
                        lifecycle_in_block(lost, place.position, *id).map_err(ApiError::unexpected)?
                    }
                    (lifecycle, _) => lifecycle,
                };
                if let Some(lifecycle) = lifecycle {
                    renderer.lifecycle(&lifecycle)?;
                }
                left -= 1;
                if left > 0 && renderer.json().written() > PAGE_BYTES {
                    renderer.json().end_array();
                    return Ok((text, Some(*place)));
                }
            }
        }
        renderer.json().end_array();
        Ok((text, None))
    }
}

/// Number of the block and position, big-endian; then the id of the block whose list it is, if it is of one.
fn cursor(key: &CursorKey, list: Option<Checksum256>) -> impl Fn(&Field<'_>) -> Result<Option<Place>, Problems> {
    move |field| {
        if field.text.is_empty() {
            return Ok(None);
        }
        let content = key
            .open_content(CursorKind::Transactions, field.text)
            .map_err(|error| vec![format!("is not valid: {error}")])?;
        let parts = content.split_first_chunk().and_then(|(number, rest)| Some((number, rest.split_first_chunk()?)));
        let parts = parts.filter(|(_, (_, of))| *of == list.as_ref().map_or(&[][..], |id| &id.0));
        let (number, (position, _)) = parts.ok_or_else(|| field.expected("a cursor of this list"))?;
        Ok(Some(Place { block_number: u32::from_be_bytes(*number), position: u32::from_be_bytes(*position) }))
    }
}

/// `place` is that after which the next page begins.
fn with_cursor(api: &Api, list: Option<Checksum256>, place: Option<Place>, transactions: &[u8]) -> Vec<u8> {
    let seal = |place: Place| {
        let list = list.as_ref().map_or(&[][..], |id| &id.0);
        let content = [&place.block_number.to_be_bytes(), &place.position.to_be_bytes(), list].concat();
        api.chain().feed.cursor_key().seal_content(CursorKind::Transactions, &content)
    };
    let mut text = Vec::with_capacity(transactions.len() + 100);
    let mut json = JsonWriter::new(&mut text);
    json.begin_object();
    json.key("cursor").string(&place.map(seal).unwrap_or_default());
    json.key("transactions").raw(transactions);
    json.end_object();
    text
}
