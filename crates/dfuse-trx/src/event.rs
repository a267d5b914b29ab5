use dfuse_antelope::model::{TransactionStatus, TransactionTrace};
use dfuse_index::{
    Result,
    codec::{ValueReader, put_varint},
};

/// One thing that a block says of a transaction, and where in the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What it says.
    pub kind: EventKind,
    /// Position among the block's receipts, implicit transactions or traces, the lists that the model's accessors give, or among
    /// the deferred operations of the block as a whole, or those that a filter left out.
    pub position: u32,
}

/// What a block says of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A receipt that holds the transaction, with its signatures.
    SignedReceipt,
    /// A receipt with its id.
    Receipt,
    /// The chain itself made it: `onblock` or `onerror`.
    Implicit,
    /// The trace at the position deferred it; replacing another one and pushing with a delay are the same.
    Created {
        /// Position among the deferred operations of that trace.
        operation: u32,
    },
    /// The trace at the position cancelled it, or replaced it.
    Canceled {
        /// Position among the deferred operations of that trace.
        operation: u32,
    },
    /// The trace at the position is of the transaction.
    Trace(Outcome),
    /// The operation at the position deferred it, and the block does not know which trace that was.
    CreatedByBlock,
    /// The operation at the position cancelled or replaced it, and the block does not know which trace that was.
    CanceledByBlock,
    /// The block had a trace of the transaction that ended so, and a filter left it out.
    LeftOut(Outcome),
}

/// How a trace ended: the status in the transaction's receipt.
///
/// The trace of a deferred transaction that failed says "soft fail"; where its error handler failed as well, the block's
/// receipt says "hard fail", and so does this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It failed and has no receipt: it can run again.
    NoReceipt,
    /// Executed.
    Executed,
    /// Failed, and its error handler ran.
    SoftFail,
    /// Failed.
    HardFail,
    /// Put off by its sender.
    Delayed,
    /// Never executed in time.
    Expired,
    /// A status that no chain writes.
    Unknown,
}

impl Outcome {
    const ALL: [Self; 7] =
        [Self::NoReceipt, Self::Executed, Self::SoftFail, Self::HardFail, Self::Delayed, Self::Expired, Self::Unknown];

    pub(crate) fn of(trace: &TransactionTrace) -> Self {
        Self::of_status(trace.receipt.as_ref().map(|receipt| receipt.status))
    }

    /// By the status of its receipt, if there is one.
    pub(crate) fn of_status(status: Option<TransactionStatus>) -> Self {
        match status {
            None => Self::NoReceipt,
            Some(TransactionStatus::Executed) => Self::Executed,
            Some(TransactionStatus::SoftFail) => Self::SoftFail,
            Some(TransactionStatus::HardFail) => Self::HardFail,
            Some(TransactionStatus::Delayed) => Self::Delayed,
            Some(TransactionStatus::Expired) => Self::Expired,
            Some(TransactionStatus::None | TransactionStatus::Unknown | TransactionStatus::Canceled) => Self::Unknown,
        }
    }
}

/// Kinds as numbers of four bits; those of traces follow from [`FIRST_TRACE`] on in the order of [`Outcome::ALL`].
const SIGNED_RECEIPT: u64 = 0;
const RECEIPT: u64 = 1;
const IMPLICIT: u64 = 2;
const CREATED: u64 = 3;
const CANCELED: u64 = 4;
const FIRST_TRACE: u64 = 5;
const CREATED_BY_BLOCK: u64 = 12;
const CANCELED_BY_BLOCK: u64 = 13;
const LEFT_OUT: u64 = 14;

impl Event {
    /// Kind and position in one number: the kind is in the lowest four bits. For a deferred operation its position
    /// follows, for a trace that was left out how it ended.
    pub(crate) fn encode(&self, value: &mut Vec<u8>) {
        let (kind, operation) = match self.kind {
            EventKind::SignedReceipt => (SIGNED_RECEIPT, None),
            EventKind::Receipt => (RECEIPT, None),
            EventKind::Implicit => (IMPLICIT, None),
            EventKind::Created { operation } => (CREATED, Some(operation)),
            EventKind::Canceled { operation } => (CANCELED, Some(operation)),
            EventKind::Trace(outcome) => (FIRST_TRACE + outcome as u64, None),
            EventKind::CreatedByBlock => (CREATED_BY_BLOCK, None),
            EventKind::CanceledByBlock => (CANCELED_BY_BLOCK, None),
            EventKind::LeftOut(outcome) => (LEFT_OUT, Some(outcome as u32)),
        };
        put_varint(value, u64::from(self.position) << 4 | kind);
        if let Some(operation) = operation {
            put_varint(value, operation.into());
        }
    }

    pub(crate) fn decode(reader: &mut ValueReader<'_>) -> Result<Self> {
        let number = reader.varint()?;
        let position = u32::try_from(number >> 4).map_err(|_| reader.damaged("a position over 32 bits"))?;
        let kind = match number & 0xf {
            SIGNED_RECEIPT => EventKind::SignedReceipt,
            RECEIPT => EventKind::Receipt,
            IMPLICIT => EventKind::Implicit,
            CREATED => EventKind::Created { operation: reader.varint32()? },
            CANCELED => EventKind::Canceled { operation: reader.varint32()? },
            CREATED_BY_BLOCK => EventKind::CreatedByBlock,
            CANCELED_BY_BLOCK => EventKind::CanceledByBlock,
            LEFT_OUT => match Outcome::ALL.get(reader.varint32()? as usize) {
                Some(outcome) => EventKind::LeftOut(*outcome),
                None => return Err(reader.damaged("an outcome that is none")),
            },
            kind => match Outcome::ALL.get((kind - FIRST_TRACE) as usize) {
                Some(outcome) => EventKind::Trace(*outcome),
                None => return Err(reader.damaged(format!("event of kind {kind}"))),
            },
        };
        Ok(Self { kind, position })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TRANSACTIONS;

    #[test]
    fn events_round_trip() {
        use EventKind::{CanceledByBlock, CreatedByBlock};
        let kinds =
            [EventKind::SignedReceipt, EventKind::Receipt, EventKind::Implicit, CreatedByBlock, CanceledByBlock];
        let operations = [0, 127, u32::MAX]
            .into_iter()
            .flat_map(|operation| [EventKind::Created { operation }, EventKind::Canceled { operation }]);
        let outcomes = Outcome::ALL.into_iter().flat_map(|it| [EventKind::Trace(it), EventKind::LeftOut(it)]);
        let kinds: Vec<_> = kinds.into_iter().chain(operations).chain(outcomes).collect();
        let positions = [0, 7, 8, 1023, 1024, u32::MAX];
        let events = kinds.iter().flat_map(|kind| positions.map(|position| Event { kind: *kind, position }));
        for event in events {
            let mut value = Vec::new();
            event.encode(&mut value);
            let mut reader = ValueReader::new(TRANSACTIONS, &value);
            assert_eq!(Event::decode(&mut reader).unwrap(), event);
            reader.finish().unwrap();
            assert!(Event::decode(&mut ValueReader::new(TRANSACTIONS, &value[..value.len() - 1])).is_err());
        }
        assert!(Event::decode(&mut ValueReader::new(TRANSACTIONS, &[0x0f])).is_err());
        assert!(Event::decode(&mut ValueReader::new(TRANSACTIONS, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x04])).is_err());
    }
}
