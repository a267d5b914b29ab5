//! Transactions: lifecycles, one by one or in lists.

use std::{ops::ControlFlow, sync::Arc};

use dfuse_antelope::{
    Checksum256,
    model::{BlockParts, TransactionLifecycle, TransactionTrace},
};
use dfuse_blocks::CursorKind;
use dfuse_index::{Part, ServingSnapshot, View, blocks};
use dfuse_trx::{IdPrefix, Lifecycles, Place, block_transactions, lifecycle_in_block, recent_transactions};

use crate::{
    ApiError, ApiResult, ErrorCode, ListCursor, ReadContext, Service, blocks::parts, cursor, filtered::known,
    streams::confirmed_view,
};

/// A page ends when so many transactions were passed that the chain itself made.
const PASSED: usize = 10_000;
/// Lifecycles that are in memory at a time.
pub(crate) const AT_ONCE: usize = 10;

/// All that is known of a transaction.
///
/// # Errors
/// `data_trx_not_found_error` if it is on no block of the chain and not on its way into one, `data_trx_left_out_error` if a filter
/// left it out.
pub fn lifecycle(read: &ReadContext<'_>, id: Checksum256) -> ApiResult<TransactionLifecycle> {
    let blocks = read.blocks();
    let lifecycles = read.lifecycles(read.view(), &blocks);
    match lifecycles.get(id)? {
        Some(lifecycle) => known(read.view(), lifecycle),
        None => Err(not_found(&lifecycles, &id.into(), &id.to_string())?),
    }
}

/// The transaction whose id begins so, as of the newest block that is final or has so many confirmations, and the view with whose
/// ABIs it is to be rendered. `text` is the beginning as the request has it. The inner error says that there are several.
///
/// # Errors
/// Those of [`lifecycle`].
pub fn by_prefix(
    read: &ReadContext<'_>,
    prefix: &IdPrefix,
    text: &str,
    confirmations: u32,
) -> ApiResult<Result<(View, TransactionLifecycle), String>> {
    // Of a chain that is shorter than its confirmations nothing is known yet.
    let confirmed = confirmed_view(read.snapshot(), confirmations)?;
    let view = confirmed.as_ref().unwrap_or(read.view());
    let blocks = read.blocks();
    let lifecycles = read.lifecycles(view, &blocks);
    let id = match lifecycles.find(prefix) {
        _ if confirmed.is_none() => None,
        Err(error @ dfuse_trx::Error::AmbiguousPrefix { .. }) => return Ok(Err(error.to_string())),
        found => found?,
    };
    match id.map(|id| lifecycles.get(id)).transpose()?.flatten() {
        Some(lifecycle) => Ok(Ok((view.clone(), known(view, lifecycle)?))),
        None => Err(not_found(&lifecycles, prefix, text)?),
    }
}

/// The trace of a transaction's execution, with what its deferring cost in RAM before what executing it changed. Absent if the
/// view does not know it.
///
/// # Errors
/// Those of reading.
pub fn execution(read: &ReadContext<'_>, view: &View, id: Checksum256) -> ApiResult<Option<TransactionTrace>> {
    let blocks = read.blocks();
    Ok(read.lifecycles(view, &blocks).get(id)?.and_then(|lifecycle| lifecycle.execution_trace))
}

/// All that is known of each transaction, in the order of `ids`; absent for those that are unknown. They are in memory together.
///
/// # Errors
/// Those of reading.
pub fn lifecycles(read: &ReadContext<'_>, ids: &[Checksum256]) -> ApiResult<Vec<Option<TransactionLifecycle>>> {
    let blocks = read.blocks();
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(AT_ONCE) {
        read.go_on()?;
        found.extend(read.lifecycles(read.view(), &blocks).get_all(ids)?);
    }
    Ok(found)
}

/// `data_trx_not_found_error` for an id, or its beginning, that is on no block of the chain; names the blocks that were undone
/// and have it. `text` is the id as the request has it.
///
/// # Errors
/// Those of reading.
pub fn not_found(lifecycles: &Lifecycles<'_>, id: &IdPrefix, text: &str) -> ApiResult<ApiError> {
    let blocks = lifecycles.forked_out(id)?;
    let message = match blocks.is_empty() {
        true => "No transaction of this id is known: it may be in no block yet, or have expired.",
        false => "This transaction is in no block of the chain: all blocks that had it were undone.",
    };
    let error = ApiError::new(ErrorCode::TransactionNotFound, message).detail("trx_id", text);
    let error = match lifecycles.view.floors().get(Part::Transactions) {
        0 => error,
        floor => error.detail("lowest_block_num", floor),
    };
    if blocks.is_empty() {
        return Ok(error);
    }
    let ids: Vec<_> = blocks.iter().map(|block| block.id.to_string()).collect();
    Ok(error.detail("forked_out", ids))
}

/// A transaction in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedTransaction {
    /// Its id.
    pub id: Checksum256,
    /// Its trace: number of the block and position among the traces.
    pub place: Place,
}

/// A page of transactions. Their lifecycles are read when they are asked for.
#[derive(Debug)]
pub struct TransactionPage {
    /// Of which lifecycles are read.
    view: View,
    /// The transactions.
    items: Vec<ListedTransaction>,
    /// The block whose list it is, if it was lost.
    lost: Option<Arc<BlockParts>>,
    /// The block whose list it is, if it is of one.
    list: Option<Checksum256>,
    /// After which place the next page begins, if all of this one is taken.
    end: Option<Place>,
}

/// The newest first, down to the first block that the caller may read: what the blocks of the best chain name, not what the chain
/// itself made. The last page has no cursor.
///
/// # Errors
/// `auth_invalid_history_error` if the page would begin below that block;
/// Those of reading.
pub fn recent(read: &ReadContext<'_>, limit: usize, before: Option<Place>) -> ApiResult<TransactionPage> {
    if let Some(place) = before {
        read.may_read(place.block_number)?;
    }
    let first = read.first_block().max(read.kept_from(Part::Transactions));
    let mut items = Vec::new();
    let transactions = recent_transactions(read.view(), before)?;
    let mut transactions = transactions.take_while(|it| !it.as_ref().is_ok_and(|it| it.place.block_number < first));
    let mut passed = None;
    for transaction in transactions.by_ref().take(PASSED) {
        read.go_on()?;
        let transaction = transaction?;
        passed = Some(transaction.place);
        if transaction.has_receipt {
            items.push(ListedTransaction { id: transaction.id, place: transaction.place });
            if items.len() == limit {
                break;
            }
        }
    }
    let is_last = transactions.next().transpose()?.is_none();
    let end = passed.filter(|_| !is_last);
    Ok(TransactionPage { view: read.view().clone(), items, lost: None, list: None, end })
}

/// What ran in a block of any branch, in the order of execution, those that the chain itself made among them, as the block's
/// branch tells them. There always is a cursor: what follows it may be empty, though.
///
/// # Errors
/// `data_block_not_found_error` if the block is not known, `data_not_kept_error` if its transactions are not kept any more.
pub fn of_block(
    read: &ReadContext<'_>,
    id: Checksum256,
    limit: usize,
    after: Option<Place>,
) -> ApiResult<TransactionPage> {
    let number = id.block_num();
    read.must_be_kept(Part::Transactions, number)?;
    let (view, listed, lost) = match view_of(read.snapshot(), id)? {
        Some(view) => {
            let listed = block_transactions(&view, number)?;
            let listed = listed.into_iter().map(|it| ListedTransaction { id: it.id, place: it.place }).collect();
            (view, listed, None)
        }
        // Of a branch that was lost long ago only the block is there: the best chain tells what became of those that it
        // knows, the block of the others.
        None => {
            let block = parts(read, id)?;
            (read.view().clone(), run_in(&block)?, Some(block))
        }
    };
    let listed = listed.into_iter().filter(|it| after.is_none_or(|after| it.place > after));
    let items: Vec<_> = listed.take(limit).collect();
    let first = Place { block_number: number.saturating_sub(1), position: u32::MAX };
    let end = items.last().map(|it| it.place).or(after).unwrap_or(first);
    Ok(TransactionPage { view, items, lost, list: Some(id), end: Some(end) })
}

/// The transactions that a block ran, in the order of execution.
fn run_in(block: &BlockParts) -> ApiResult<Vec<ListedTransaction>> {
    let traces = (0..).zip(block.trace_ids());
    let traces = traces.map(|(position, id)| {
        Ok(ListedTransaction { id: id?, place: Place { block_number: block.number(), position } })
    });
    traces.collect::<dfuse_antelope::Result<_>>().map_err(ApiError::unexpected)
}

/// The view to which the block belongs: at the head if it is on the best chain, else at the block.
fn view_of(snapshot: &ServingSnapshot, id: Checksum256) -> ApiResult<Option<View>> {
    match blocks::by_id(snapshot.view(), id)? {
        Some(_) => Ok(Some(snapshot.view().clone())),
        None => Ok(snapshot.view_at(id)?),
    }
}

impl TransactionPage {
    /// What is on it.
    pub fn items(&self) -> &[ListedTransaction] {
        &self.items
    }

    /// The indexes of which the lifecycles are.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Reads the lifecycles in order, a few at a time, until `visit` breaks. A transaction that has none any more is left out.
    /// Returns how many of the items were taken.
    ///
    /// # Errors
    /// Those of reading, and of `visit`.
    pub fn each_lifecycle(
        &self,
        read: &ReadContext<'_>,
        mut visit: impl FnMut(&ListedTransaction, &TransactionLifecycle) -> ApiResult<ControlFlow<()>>,
    ) -> ApiResult<usize> {
        let blocks = read.blocks();
        let mut taken = 0;
        for items in self.items.chunks(AT_ONCE) {
            let ids: Vec<_> = items.iter().map(|it| it.id).collect();
            let found = read.lifecycles(&self.view, &blocks).get_all(&ids)?;
            for (lifecycle, item) in found.into_iter().zip(items) {
                read.go_on()?;
                let lifecycle = match (lifecycle, &self.lost) {
                    (None, Some(lost)) => {
                        lifecycle_in_block(lost, item.place.position, item.id).map_err(ApiError::unexpected)?
                    }
                    (lifecycle, _) => lifecycle,
                };
                taken += 1;
                if let Some(lifecycle) = lifecycle
                    && visit(item, &lifecycle)?.is_break()
                {
                    return Ok(taken);
                }
            }
        }
        Ok(taken)
    }

    /// For what comes after so many of the items; absent if nothing does.
    pub fn cursor(&self, read: &ReadContext<'_>, taken: usize) -> Option<String> {
        let is_cut = taken < self.items.len();
        let last = if is_cut { taken.checked_sub(1).map(|at| self.items[at].place) } else { self.end };
        let place = last?;
        let place = [place.block_number.to_be_bytes(), place.position.to_be_bytes()].concat();
        Some(cursor::seal(read.service(), CursorKind::Transactions, &place, list_bytes(self.list.as_ref())))
    }
}

/// The cursor of a place in the list of a block's transactions.
pub fn cursor_of(service: &Service, place: Place, block: Checksum256) -> String {
    let place = [place.block_number.to_be_bytes(), place.position.to_be_bytes()].concat();
    cursor::seal(service, CursorKind::Transactions, &place, list_bytes(Some(&block)))
}

/// The place that a cursor of the list of a block's transactions, or else of the newest ones, has: number of the block and
/// position, big-endian; then the id of the block whose list it is, if it is of one. Absent for a cursor of another list.
pub fn place_of(cursor: &ListCursor, list: Option<Checksum256>) -> Option<Place> {
    let (number, rest) = cursor.content().split_first_chunk()?;
    let (position, of) = rest.split_first_chunk()?;
    let place = Place { block_number: u32::from_be_bytes(*number), position: u32::from_be_bytes(*position) };
    Some(place).filter(|_| of == list_bytes(list.as_ref()))
}

fn list_bytes(list: Option<&Checksum256>) -> &[u8] {
    list.map_or(&[], |id| &id.0)
}
