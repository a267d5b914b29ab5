//! Deferred transactions: sent, replaced, cancelled.

use std::collections::HashMap;

use dfuse_antelope::{
    BlockTimestamp, Checksum256, Result, TimePoint,
    model::{
        Block, DtrxOp, DtrxOperation, ExtDtrxOp, ProducerAuthoritySchedule, ProducerSchedule, SignedTransaction,
        Transaction, TransactionStatus,
    },
    raw::Reader,
};

use super::{
    authors::{Authors, Place},
    key::Key,
    known::{Change, Known},
};
use crate::{
    deltas::StateRow,
    state::{DeferredTimes, GeneratedTransaction},
};

/// A transaction extension that tells who sent a deferred transaction.
const SENT_BY: u32 = 0;
const SECOND: i64 = 1_000_000;
/// `deferred_trx_expiration_window` stands behind so many numbers of 32 bits.
const BEFORE_WINDOW: usize = 11 * 4;

/// Deferred transactions of a block.
pub(super) struct Deferred<'a> {
    authors: &'a Authors,
    /// Positions of traces by transaction.
    traces: HashMap<Checksum256, usize>,
    published: TimePoint,
    /// For how long a deferred transaction can be executed, in seconds.
    window: u32,
}

impl<'a> Deferred<'a> {
    pub(super) fn new(block: &Block, authors: &'a Authors, known: &Known) -> crate::Result<Self> {
        let traces = block.unfiltered_transaction_traces.iter().enumerate();
        let window = match known.get(&Key::Chain("global_property".to_owned()))? {
            Some(StateRow::Chain(_, row)) => expiration_window(&row)
                .map_err(|error| crate::Error::Block { number: block.number, why: error.to_string() })?,
            _ => 0,
        };
        Ok(Self {
            authors,
            traces: traces.map(|(position, trace)| (trace.id, position)).collect(),
            published: time(block.header.timestamp),
            window,
        })
    }

    /// Completes the row with its times, which the next blocks may need.
    pub(super) fn add(&self, block: &mut Block, change: &mut Change) -> Result<()> {
        let row = |row: &Option<StateRow>| match row {
            Some(StateRow::GeneratedTransaction(row)) => Some(row.clone()),
            _ => None,
        };
        let (before, after) = (row(&change.before), row(&change.after));
        let after = match after {
            Some(after) => Some(self.timed(after)?),
            None => None,
        };
        change.after = after.clone().map(StateRow::GeneratedTransaction);
        match (before, after) {
            (None, Some(sent)) if sent.sender.0 == 0 => self.pushed(block, &sent)?,
            (None, Some(sent)) => self.put(block, DtrxOperation::Create, &sent, self.sender(&sent)?)?,
            (Some(before), Some(after)) => {
                // What replaces it knows who sent it, and the same one replaced the other.
                let by = self.sender(&after)?;
                self.put(block, DtrxOperation::ModifyCancel, &before, by)?;
                self.put(block, DtrxOperation::ModifyCreate, &after, by)?;
            }
            (Some(before), None) if !self.traces.contains_key(&before.id) => {
                let by = self.authors.of_cancellation(before.id);
                let by = by.or_else(|| self.authors.of_sender(before.sender, None));
                self.put(block, DtrxOperation::Cancel, &before, (None, by))?;
            }
            // Executed, failed or expired: the traces say so.
            _ => {}
        }
        Ok(())
    }

    fn timed(&self, mut sent: GeneratedTransaction) -> Result<GeneratedTransaction> {
        let delay = Transaction::unpack(&mut Reader::new(&sent.transaction))?.header.delay_sec;
        let delay_until = TimePoint(self.published.0 + i64::from(delay) * SECOND);
        let expiration = TimePoint(delay_until.0 + i64::from(self.window) * SECOND);
        sent.times = Some(DeferredTimes { delay_until, expiration, published: self.published });
        Ok(sent)
    }

    /// The transaction that sent a deferred one, and its action.
    fn sender(&self, sent: &GeneratedTransaction) -> Result<(Option<Checksum256>, Option<Place>)> {
        let transaction = Transaction::unpack(&mut Reader::new(&sent.transaction))?;
        let Some(extension) = transaction.extensions.iter().find(|extension| extension.r#type == SENT_BY) else {
            return Ok((None, self.authors.of_sender(sent.sender, None)));
        };
        let id = Reader::new(&extension.data).checksum256()?;
        let position = self.traces.get(&id).copied();
        Ok((Some(id), position.and_then(|position| self.authors.of_sender(sent.sender, Some(position)))))
    }

    /// Somebody pushed a transaction with a delay. The block has it signed.
    fn pushed(&self, block: &mut Block, sent: &GeneratedTransaction) -> Result<()> {
        let receipts = block.unfiltered_transactions.iter();
        let mut receipt =
            receipts.filter(|receipt| receipt.id == sent.id && receipt.status == TransactionStatus::Delayed);
        let signed = receipt.next().and_then(|receipt| receipt.packed_transaction.as_ref());
        let signed = signed.map(|packed| packed.signed_transaction()).transpose()?;
        let mut op = operation(DtrxOperation::PushCreate, sent)?;
        if let Some(signed) = signed {
            op.transaction = Some(Box::new(signed));
        }
        match self.traces.get(&sent.id) {
            Some(position) => block.unfiltered_transaction_traces[*position].dtrx_ops.push(op),
            None => of_block(block, op, Some(sent.id)),
        }
        Ok(())
    }

    fn put(
        &self,
        block: &mut Block,
        kind: DtrxOperation,
        row: &GeneratedTransaction,
        (transaction, place): (Option<Checksum256>, Option<Place>),
    ) -> Result<()> {
        let mut op = operation(kind, row)?;
        match place {
            Some((position, action)) => {
                op.action_index = action;
                block.unfiltered_transaction_traces[position].dtrx_ops.push(op);
            }
            None => of_block(block, op, transaction),
        }
        Ok(())
    }
}

fn of_block(block: &mut Block, dtrx_op: DtrxOp, transaction: Option<Checksum256>) {
    let op = ExtDtrxOp {
        source_transaction_id: transaction.unwrap_or_default(),
        block_num: block.number.into(),
        block_id: block.id,
        block_time: block.header.timestamp,
        dtrx_op,
    };
    block.state_history.get_or_insert_default().dtrx_ops.push(op);
}

fn operation(operation: DtrxOperation, row: &GeneratedTransaction) -> Result<DtrxOp> {
    let transaction = Transaction::unpack(&mut Reader::new(&row.transaction))?;
    let text = |time: fn(&DeferredTimes) -> TimePoint| row.times.as_ref().map(|it| time(it).to_string());
    Ok(DtrxOp {
        operation,
        action_index: 0,
        sender: row.sender,
        sender_id: row.sender_id.to_string(),
        payer: row.payer,
        published_at: text(|it| it.published).unwrap_or_default(),
        delay_until: text(|it| it.delay_until).unwrap_or_default(),
        expiration_at: text(|it| it.expiration).unwrap_or_default(),
        transaction_id: row.id,
        transaction: Some(Box::new(SignedTransaction { transaction, ..SignedTransaction::default() })),
    })
}

fn time(time: BlockTimestamp) -> TimePoint {
    TimePoint(time.to_unix_ms() * 1000)
}

/// `deferred_trx_expiration_window` of a packed `global_property`.
fn expiration_window(row: &[u8]) -> Result<u32> {
    let mut reader = Reader::new(row);
    let r = &mut reader;
    let version = r.varuint32()?;
    r.option(|r| r.u32())?;
    match version {
        0 => drop(ProducerSchedule::unpack(r)?),
        _ => drop(ProducerAuthoritySchedule::unpack(r, &mut |r| {
            dfuse_antelope::PublicKey::read(r).map(|key| key.to_string())
        })?),
    }
    r.varuint32()?;
    r.take(8 + BEFORE_WINDOW, "chain configuration")?;
    r.u32()
}
