//! Pages of searches.

use std::{collections::BTreeSet, sync::Arc};

use dfuse_index::{BlockRef, View, blocks};
use dfuse_kv::Direction;
use dfuse_query::{
    ApiError, ApiResult, ErrorCode, ReadContext, RouteClass,
    blocks::BlockWindow,
    search::{self, BlockBounds, InvalidQuery, SearchItem, SearchPage, SearchQuestion},
};
use dfuse_search::{Bounds, Place, Position, Query};
use serde_json::json;

use crate::{
    read::Request,
    source::{Blocks, Source},
    types::{
        BlockHeader, Int64, ResultCoverage, SearchCountResponse, SearchCoverage, SearchTransactionBackwardResponse,
        SearchTransactionForwardResponse, SearchTransactionsBackwardResponse, SearchTransactionsForwardResponse,
        TransactionTrace,
    },
};

/// Most results of a page.
const MAX_LIMIT: i64 = 1000;
/// What cursors of pages without results were in the original: as none.
const EMPTY_CURSOR: &str = "9hd1ai3EX1dUhNPvo0dj0Q==";

/// The arguments of a search.
pub(super) struct Arguments {
    pub(super) query: String,
    pub(super) low_block_num: Option<Int64>,
    pub(super) high_block_num: Option<Int64>,
    pub(super) cursor: Option<String>,
    pub(super) limit: Option<Int64>,
    pub(super) irreversible_only: Option<bool>,
}

/// A query as text, and what is wrong with it as an error.
///
/// # Errors
/// `request_validation_error`.
pub(super) fn query_of(read: &ReadContext<'_>, text: &str) -> ApiResult<Query> {
    search::parse(read.service(), text).map_err(|InvalidQuery { problems, position }| {
        let message = format!("invalid query: {} (query: \"{}\")", problems.join("; "), dfuse_query::shorten(text));
        let error = ApiError::new(ErrorCode::RequestValidation, message).detail("errors", json!({"query": problems}));
        match position {
            Some(position) => error.detail("position", position),
            None => error,
        }
    })
}

/// Where a search goes on; absent if it begins.
///
/// # Errors
/// `request_validation_error`.
pub(super) fn position_of(read: &ReadContext<'_>, cursor: Option<&str>) -> ApiResult<Option<Position>> {
    match cursor {
        None | Some("" | EMPTY_CURSOR) => Ok(None),
        Some(text) => Ok(Some(Position::open(text, read.chain().feed.cursor_key())?)),
    }
}

impl Arguments {
    fn question(&self, read: &ReadContext<'_>, direction: Direction) -> ApiResult<SearchQuestion> {
        let limit = match self.limit.unwrap_or(Int64(100)).0 {
            limit if limit > MAX_LIMIT => return Err(wrong_limit("Invalid limit for this query: max 1000".to_owned())),
            limit if limit < 1 => {
                return Err(wrong_limit(format!("Invalid limit for this query: min 1, value was {limit}")));
            }
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        let bounds = bounds(self.low_block_num, self.high_block_num);
        let with_reversible = !self.irreversible_only.unwrap_or(false);
        let query = query_of(read, &self.query)?;
        let cursor = position_of(read, self.cursor.as_deref())?;
        Ok(SearchQuestion { query, span: BlockBounds { bounds, direction, with_reversible }.into(), limit, cursor })
    }
}

/// The blocks of a query; 0 as the end stands for the last block.
pub(super) fn bounds(low: Option<Int64>, high: Option<Int64>) -> Bounds {
    Bounds { low: low.map(|low| low.0), high: high.map(|high| high.0).filter(|high| *high != 0) }
}

/// Counts what a query matches.
///
/// # Errors
/// Those of [`search::count`].
pub(super) fn count(
    request: &Request,
    query: &str,
    bounds: Bounds,
    irreversible_only: bool,
) -> ApiResult<SearchCountResponse> {
    let read = request.begin(RouteClass::Search)?;
    let blocks = BlockBounds { bounds, direction: Direction::Forward, with_reversible: !irreversible_only };
    let counted = search::count(&read, &query_of(&read, query)?, &blocks.into())?;
    request.count(1);
    Ok(SearchCountResponse {
        transactions: counted.transactions.into(),
        actions: counted.actions.into(),
        low_block_num: counted.blocks.as_ref().map(|blocks| (*blocks.start()).into()),
        high_block_num: counted.blocks.as_ref().map(|blocks| (*blocks.end()).into()),
        is_complete: counted.is_complete,
        coverage: SearchCoverage::of_count(&read, &counted),
    })
}

fn wrong_limit(message: String) -> ApiError {
    let errors = json!({"limit": [message]});
    ApiError::new(ErrorCode::RequestValidation, message).detail("errors", errors)
}

/// A page, and where its results come from.
struct Found<'a> {
    read: ReadContext<'a>,
    page: SearchPage,
    source: Arc<Source>,
    /// Of results that are taken back.
    lost: Option<Arc<Source>>,
    /// The fields of the query that are about what actions did.
    fields: Arc<BTreeSet<String>>,
}

impl<'a> Found<'a> {
    fn new(request: &'a Arc<Request>, arguments: &Arguments, direction: Direction) -> ApiResult<Self> {
        let read = request.begin(RouteClass::Search)?;
        let page = search::page(&read, arguments.question(&read, direction)?)?;
        let blocks = |undo| page.items().iter().filter(move |item| item.undo == undo).map(|item| item.found.block);
        let source = |view: View, blocks: Vec<BlockRef>| {
            Source::new(request, view, Blocks::Results(BlockWindow::new(&read, blocks)))
        };
        let lost = match blocks(true).next() {
            Some(tip) => {
                let view = read.snapshot().view_at(tip.id)?.unwrap_or_else(|| read.view().clone());
                Some(source(view, blocks(true).collect()))
            }
            None => None,
        };
        let source = source(read.view().clone(), blocks(false).collect());
        request.count(page.items().len().max(1));
        let fields = Arc::new(page.question().query.fields_of_operations());
        Ok(Self { read, page, source, lost, fields })
    }

    fn source(&self, item: &SearchItem) -> &Arc<Source> {
        self.lost.as_ref().filter(|_| item.undo).unwrap_or(&self.source)
    }

    /// The newest final block as a result knows it.
    fn irreversible(&self, item: &SearchItem) -> ApiResult<u32> {
        let number = item.found.block.number;
        if item.undo {
            let undone = self.page.items().iter().filter(|item| item.undo).map(|item| item.found.block.number);
            return Ok(undone.min().unwrap_or(number).saturating_sub(1));
        }
        let lib = self.read.snapshot().lib().map_or(0, |lib| lib.number);
        if number <= lib {
            return Ok(number);
        }
        Ok(blocks::by_number(self.read.view(), number)?.map_or(lib, |block| block.lib_number))
    }

    fn cursor(&self, item: &SearchItem) -> String {
        let SearchItem { found, undo } = item;
        let position = match undo {
            true => Position { block: found.block, place: Place::Before(found.transaction) },
            false => found.position(),
        };
        position.seal(self.read.chain().feed.cursor_key())
    }

    fn coverage(&self, item: &SearchItem) -> ResultCoverage {
        ResultCoverage::new(self.source(item), item.found.block.number, &self.fields)
    }

    /// About what the results take.
    fn take_room(&self) -> ApiResult<()> {
        self.source.request().take_room(self.page.items().len() * 256)
    }
}

/// A page of results, oldest first.
///
/// # Errors
/// Those of [`search::page`].
pub(super) fn forward(request: &Arc<Request>, arguments: &Arguments) -> ApiResult<SearchTransactionsForwardResponse> {
    let found = Found::new(request, arguments, Direction::Forward)?;
    found.take_room()?;
    let result = |item: &SearchItem| {
        let (source, number) = (found.source(item), found.irreversible(item)?);
        Ok(SearchTransactionForwardResponse {
            undo: item.undo,
            cursor: found.cursor(item),
            is_irreversible: !item.undo && number == item.found.block.number,
            irreversible_block_num: number.into(),
            block: BlockHeader::new(source, item.found.block),
            trace: Some(TransactionTrace::found(source, &item.found)),
            coverage: found.coverage(item),
        })
    };
    let results = found.page.items().iter().map(result).collect::<ApiResult<_>>()?;
    let cursor = found.page.cursor(&found.read, found.page.items().len());
    let coverage = SearchCoverage::of_page(&found.read, &found.page);
    Ok(SearchTransactionsForwardResponse { cursor, results: Some(results), coverage })
}

/// A page of results, newest first.
///
/// # Errors
/// Those of [`search::page`].
pub(super) fn backward(request: &Arc<Request>, arguments: &Arguments) -> ApiResult<SearchTransactionsBackwardResponse> {
    let found = Found::new(request, arguments, Direction::Reverse)?;
    found.take_room()?;
    let result = |item: &SearchItem| {
        let (source, number) = (found.source(item), found.irreversible(item)?);
        Ok(SearchTransactionBackwardResponse {
            cursor: found.cursor(item),
            is_irreversible: number == item.found.block.number,
            irreversible_block_num: number.into(),
            block: BlockHeader::new(source, item.found.block),
            trace: Some(TransactionTrace::found(source, &item.found)),
            coverage: found.coverage(item),
        })
    };
    let results = found.page.items().iter().map(result).collect::<ApiResult<_>>()?;
    let coverage = SearchCoverage::of_page(&found.read, &found.page);
    Ok(SearchTransactionsBackwardResponse { cursor: found.last_cursor(arguments)?, results: Some(results), coverage })
}

impl Found<'_> {
    /// Where the next page begins. It must be there: at the end of the range, that is the last place which was reached.
    fn last_cursor(&self, arguments: &Arguments) -> ApiResult<String> {
        let items = self.page.items();
        if let Some(cursor) = self.page.cursor(&self.read, items.len()) {
            return Ok(cursor);
        }
        if let Some(last) = items.last() {
            return Ok(self.cursor(last));
        }
        let lowest = self.page.searched(0).blocks.map(|blocks| *blocks.start());
        let lowest = lowest.map(|number| blocks::by_number(self.read.view(), number)).transpose()?.flatten();
        Ok(match lowest {
            Some(block) => {
                let block = BlockRef { number: block.number, id: block.id };
                Position { block, place: Place::Before(0) }.seal(self.read.chain().feed.cursor_key())
            }
            None => arguments.cursor.clone().unwrap_or_default(),
        })
    }
}
