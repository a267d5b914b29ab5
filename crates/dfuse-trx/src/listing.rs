use dfuse_antelope::Checksum256;
use dfuse_index::{View, blocks};
use dfuse_kv::Direction;

use crate::{EventKind, Outcome, Place, Result, events_in_block};

/// A transaction of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockTransaction {
    /// Its id.
    pub id: Checksum256,
    /// Its trace: number of the block and position among the traces.
    pub place: Place,
    /// How the trace ended.
    pub outcome: Outcome,
    /// Whether the block itself names it; if not, the chain made it: `onblock` or `onerror`.
    pub has_receipt: bool,
}

/// Everything that ran in the block of that number, or should have, in the order of execution; empty if the block is
/// unknown.
pub fn block_transactions(view: &View, number: u32) -> Result<Vec<BlockTransaction>> {
    let ids: Vec<_> = blocks::transactions(view, number)?.into_iter().map(|transaction| transaction.id).collect();
    let events = events_in_block(view, number, &ids)?;
    let transactions = (0..).zip(ids).zip(events).map(|((position, id), events)| {
        let outcome = events.iter().find_map(|event| match event.kind {
            EventKind::Trace(outcome) if event.position == position => Some(outcome),
            _ => None,
        });
        BlockTransaction {
            id,
            place: Place { block_number: number, position },
            outcome: outcome.unwrap_or(Outcome::Unknown),
            has_receipt: events.iter().any(|it| matches!(it.kind, EventKind::SignedReceipt | EventKind::Receipt)),
        }
    });
    Ok(transactions.collect())
}

/// Everything that ran, newest first, strictly before a place, or from the view's block on. For irreversible ones begin
/// before the block after the last irreversible one.
pub fn recent_transactions(
    view: &View,
    before: Option<Place>,
) -> Result<impl Iterator<Item = Result<BlockTransaction>> + Send + use<>> {
    let last = before.map_or(u32::MAX, |place| place.block_number);
    let view = view.clone();
    let blocks = blocks::range(&view, 0..=last, Direction::Reverse)?;
    let transactions = blocks.flat_map(move |block| {
        let transactions = block.map_err(Into::into).and_then(|block| block_transactions(&view, block.number));
        let (list, error) = match transactions {
            Ok(list) => (list, None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        list.into_iter().rev().map(Ok).chain(error)
    });
    Ok(transactions.filter(move |transaction| match (transaction, before) {
        (Ok(transaction), Some(before)) => transaction.place < before,
        _ => true,
    }))
}
