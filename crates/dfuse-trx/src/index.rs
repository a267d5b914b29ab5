use dfuse_antelope::{
    Checksum, Checksum256, Name,
    model::{
        Block, DtrxOp, DtrxOperation, Message, SignedTransaction, Transaction, TransactionStatus, TransactionTrace,
        TrxOp,
    },
    raw,
};
use dfuse_index::{
    Aging, BlockContext, Delta, DeltaBuilder, EarlierWay, Error, Family, Index, Kept, LoadedEntries, Part, Result,
    StateRow, View, codec::ValueReader,
};
use dfuse_kv::{Direction, KeyRange};

use crate::{Event, EventKind, Outcome};

/// Transaction id (32 bytes) and block number (u32) to what the block says of the transaction.
pub const TRANSACTIONS: Family = Family::new("transaction");

/// Transaction id (32 bytes) to a deferred transaction that waited where the indexes begin with state that was loaded: the message
/// [`SignedTransaction`], without signatures. What becomes of it, blocks tell.
pub const WAITING: Family = Family::new("waiting_transaction");

const ONERROR: Name = Name::literal("onerror");

/// The index of transactions. Its name is `transactions`.
///
/// Transactions themselves stay in the blocks; the index says where.
#[derive(Debug, Clone, Copy, Default)]
pub struct Transactions;

impl Index for Transactions {
    fn name(&self) -> &'static str {
        "transactions"
    }

    fn schema_version(&self) -> u32 {
        1
    }

    fn families(&self) -> &'static [Family] {
        &[TRANSACTIONS, WAITING]
    }

    fn kept(&self, family: Family) -> Option<Kept> {
        // What waited when the state was loaded is known of nowhere else.
        (family == TRANSACTIONS).then_some(Kept { parts: &[Part::Transactions], aging: Aging::Blocks { offset: 32 } })
    }

    fn is_read_with_block_files(&self) -> bool {
        true
    }

    fn delta(&self, context: &BlockContext<'_>, _: &View) -> Result<Delta> {
        let number = context.block().number.to_be_bytes();
        let mut events = events_of(context.block());
        // Stable: those of one transaction stay in the order of the block.
        events.sort_by_key(|(id, _)| *id);
        let mut delta = DeltaBuilder::new();
        let (mut key, mut value) = ([0; 36], Vec::new());
        key[32..].copy_from_slice(&number);
        for of_one in events.chunk_by(|(id, _), (next, _)| id == next) {
            value.clear();
            of_one.iter().for_each(|(_, event)| event.encode(&mut value));
            key[..32].copy_from_slice(&of_one[0].0.0);
            delta.put(TRANSACTIONS, key, &value);
        }
        Ok(delta.build())
    }

    fn earlier_way(&self) -> EarlierWay {
        EarlierWay::Blocks
    }

    fn earlier_block(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        let delta = self.delta(context, view)?;
        let mut with_waiting = DeltaBuilder::new();
        for (family, writes) in delta.families() {
            for (key, value) in writes {
                let Some(value) = value else { continue };
                with_waiting.put(family, key, value);
                // What the loaded state has of it is in its block.
                let id = key.get(..32).unwrap_or_default();
                if view.get(WAITING, id)?.is_some() {
                    with_waiting.delete(WAITING, id);
                }
            }
        }
        Ok(with_waiting.build())
    }

    fn holds_state(&self) -> bool {
        true
    }

    fn load(&self, rows: &[StateRow], _: u32, entries: &mut LoadedEntries) -> Result<()> {
        for row in rows {
            let StateRow::GeneratedTransaction(row) = row else { continue };
            // The chain has decoded what it takes.
            let Ok(transaction) = Transaction::unpack(&mut raw::Reader::new(&row.transaction)) else { continue };
            let signed = SignedTransaction { transaction, ..SignedTransaction::default() };
            entries.put(WAITING, &[&row.id.0], &[&signed.to_bytes()]);
        }
        Ok(())
    }
}

/// A deferred transaction that waited where the indexes begin.
pub(crate) fn waiting(view: &View, id: Checksum256) -> Result<Option<SignedTransaction>> {
    let Some(value) = view.get(WAITING, &id.0)? else { return Ok(None) };
    let damaged = |error: dfuse_antelope::Error| Error::Damaged { family: WAITING.name(), why: error.to_string() };
    SignedTransaction::decode(&value).map(Some).map_err(damaged)
}

/// Everything that a block says of transactions: receipts, implicit transactions, then traces in the order of execution,
/// each after the deferred operations that it did; then those of the block as a whole, and traces that a filter left out.
pub(crate) fn events_of(block: &Block) -> Vec<(Checksum256, Event)> {
    let (receipts, traces) = (block.transactions(), block.transaction_traces());
    let mut events = Vec::with_capacity(receipts.len() + 2 * traces.len());
    for (position, receipt) in (0..).zip(receipts) {
        let signed = receipt.packed_transaction.is_some();
        let kind = if signed { EventKind::SignedReceipt } else { EventKind::Receipt };
        events.push((receipt.id, Event { kind, position }));
    }
    for (position, id) in (0..).zip(implicit_ids(block)) {
        events.push((id, Event { kind: EventKind::Implicit, position }));
    }
    for (position, trace) in (0..).zip(traces) {
        // The operations of a trace without receipt are told, but were taken back.
        let operations = if trace.receipt.is_some() { &trace.dtrx_ops[..] } else { &[] };
        for (operation, deferred) in (0..).zip(operations) {
            let kind = match is_creation(deferred) {
                Some(true) => EventKind::Created { operation },
                Some(false) => EventKind::Canceled { operation },
                None => continue,
            };
            events.push((deferred.transaction_id, Event { kind, position }));
        }
        // Only the receipt of the error handler says whether that failed, too; it counts for both.
        let handler = traces.get(position as usize + 1).filter(|next| is_handler_of(next, trace));
        let outcome = Outcome::of(handler.unwrap_or(trace));
        events.push((trace.id, Event { kind: EventKind::Trace(outcome), position }));
    }
    for (position, op) in (0..).zip(block.deferred_operations_of_block()) {
        let kind = match is_creation(&op.dtrx_op) {
            Some(true) => EventKind::CreatedByBlock,
            Some(false) => EventKind::CanceledByBlock,
            None => continue,
        };
        events.push((op.dtrx_op.transaction_id, Event { kind, position }));
    }
    for (position, left_out) in (0..).zip(&block.left_out) {
        let status = Some(left_out.status).filter(|status| *status != TransactionStatus::None);
        let kind = EventKind::LeftOut(Outcome::of_status(status));
        events.push((Checksum(left_out.id), Event { kind, position }));
    }
    events
}

/// Whether an operation defers a transaction or cancels one.
fn is_creation(op: &DtrxOp) -> Option<bool> {
    match op.operation {
        DtrxOperation::Create | DtrxOperation::PushCreate | DtrxOperation::ModifyCreate => Some(true),
        DtrxOperation::Cancel | DtrxOperation::ModifyCancel => Some(false),
        DtrxOperation::Failed | DtrxOperation::Unknown => None,
    }
}

fn is_handler_of(handler: &TransactionTrace, failed: &TransactionTrace) -> bool {
    handler.failed_dtrx_trace.as_ref().is_some_and(|inner| inner.id == failed.id)
}

/// Traces of error handlers, which are those that contain the transaction that failed.
fn handlers(block: &Block) -> impl Iterator<Item = &TransactionTrace> {
    block.transaction_traces().iter().filter(|trace| trace.failed_dtrx_trace.is_some())
}

pub(crate) fn is_onerror(op: &TrxOp) -> bool {
    op.name == ONERROR
}

/// Ids of the implicit transactions. Leap and Spring print a wrong one for `onerror`: it has that of its trace here.
fn implicit_ids(block: &Block) -> impl Iterator<Item = Checksum256> {
    let operations = block.implicit_transaction_ops();
    // A filtered block may have more of the ones than of the others.
    let paired = operations.iter().filter(|op| is_onerror(op)).count() == handlers(block).count();
    let mut handlers = handlers(block);
    operations.iter().map(move |op| match is_onerror(op) && paired {
        true => handlers.next().map_or(op.transaction_id, |trace| trace.id),
        false => op.transaction_id,
    })
}

/// The implicit transaction at that position; absent if the block does not tell it.
///
/// Leap and Spring print the header of an `onerror` transaction without its action, which its trace has.
pub(crate) fn implicit_transaction(block: &Block, position: u32) -> Option<SignedTransaction> {
    let op = block.implicit_transaction_ops().get(position as usize)?;
    let id = implicit_ids(block).nth(position as usize)?;
    let mut signed = op.transaction.clone()?;
    if signed.transaction.actions.is_empty() && is_onerror(op) {
        let trace = handlers(block).find(|trace| trace.id == id);
        let actions = trace.iter().flat_map(|trace| &trace.action_traces).filter(|action| action.is_input());
        signed.transaction.actions = actions.map(|action| action.action.clone()).collect();
    }
    (signed.transaction.id() == id).then_some(signed)
}

/// What the blocks of the view's branch say of the transaction: block numbers in ascending order, with events in the
/// order in which they happened. Empty if it is unknown.
pub fn events(view: &View, id: Checksum256) -> Result<Vec<(u32, Event)>> {
    let mut events = Vec::new();
    // What is below may be there still or not.
    let floor = view.floors().get(Part::Transactions);
    let first = [&id.0[..], &floor.to_be_bytes()].concat();
    let last = [&id.0[..], &u32::MAX.to_be_bytes()].concat();
    for entry in view.scan(TRANSACTIONS, &KeyRange::new(first..=last), Direction::Forward)? {
        let (key, value) = entry?;
        let (_, number) = split_key(&key)?;
        decode_events(&value, |event| events.push((number, event)))?;
    }
    Ok(events)
}

/// What the block of that number says of each of the transactions; nothing of those that it does not have.
pub fn events_in_block(view: &View, number: u32, ids: &[Checksum256]) -> Result<Vec<Vec<Event>>> {
    let keys: Vec<_> = ids.iter().map(|id| [&id.0[..], &number.to_be_bytes()].concat()).collect();
    let keys: Vec<_> = keys.iter().map(Vec::as_slice).collect();
    let values = view.multi_get(TRANSACTIONS, &keys)?.into_iter();
    let decode = |value: Option<dfuse_kv::Bytes>| {
        let mut events = Vec::new();
        decode_events(&value.unwrap_or_default(), |event| events.push(event))?;
        Ok(events)
    };
    values.map(decode).collect()
}

fn decode_events(value: &[u8], mut take: impl FnMut(Event)) -> Result<()> {
    let mut reader = ValueReader::new(TRANSACTIONS, value);
    while !reader.rest().is_empty() {
        take(Event::decode(&mut reader)?);
    }
    Ok(())
}

fn split_key(key: &[u8]) -> Result<(Checksum256, u32)> {
    let mut reader = ValueReader::new(TRANSACTIONS, key);
    let (id, number) = (reader.id()?, reader.u32()?);
    reader.finish()?;
    Ok((id, number))
}

/// The first ids in the range, those of transactions in blocks each once, and then those that waited.
pub(crate) fn first_ids(view: &View, mut range: KeyRange, count: usize) -> Result<Vec<Checksum256>> {
    let mut ids = Vec::new();
    let mut waited = Vec::new();
    for entry in view.scan(WAITING, &range, Direction::Forward)?.take(count) {
        let (key, _) = entry?;
        waited.push(ValueReader::new(WAITING, &key).id()?);
    }
    while ids.len() < count
        && let Some((key, _)) = view.first(TRANSACTIONS, &range, Direction::Forward)?
    {
        let (id, _) = split_key(&key)?;
        ids.push(id);
        range = range.after([&id.0[..], &[0xff; 4]].concat());
    }
    ids.extend(waited);
    Ok(ids)
}
