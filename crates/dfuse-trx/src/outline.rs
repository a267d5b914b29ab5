use dfuse_antelope::Checksum256;

use crate::{Event, EventKind, ForkedTransaction, Outcome, Status};

/// Somewhere in a block of the view's branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the block.
    pub block_number: u32,
    /// Position in the list of the block that is meant.
    pub position: u32,
}

/// A deferred operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationPlace {
    /// One of a trace.
    OfTrace {
        /// The trace that did it.
        trace: Place,
        /// Position among the deferred operations of that trace.
        operation: u32,
    },
    /// One of the block as a whole: nobody knows which trace did it.
    OfBlock(Place),
}

impl OperationPlace {
    /// Number of the block.
    pub fn block_number(self) -> u32 {
        match self {
            Self::OfTrace { trace: place, .. } | Self::OfBlock(place) => place.block_number,
        }
    }
}

/// Where the transaction itself is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// In a receipt, signed.
    Receipt(Place),
    /// Among the implicit transactions.
    Implicit(Place),
    /// In the operation that deferred it.
    Operation(OperationPlace),
    /// In a receipt of a block that was undone, signed.
    Forked(ForkedTransaction),
    /// Among those that waited where the indexes begin.
    Waiting,
}

/// What counts of all that happened to a transaction. The index alone tells it: no block is read.
///
/// All events are of the branch of one view, so none contradicts another because of a fork. In their order:
///
/// - A creation takes back a cancellation before it: an operation that replaces a deferred transaction may leave the new
///   one its id.
/// - An execution is final. What comes later under the same id, which contracts could use again before
///   NO_DUPLICATE_DEFERRED_ID, does not count unless it is executed too. A trace without receipt is not final, nor is that
///   of a transaction that is pushed with a delay.
/// - Of several executions the last one counts; [`Outline::scheduling`] keeps the trace of pushing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The transaction.
    pub id: Checksum256,
    /// What has become of it.
    pub status: Status,
    /// Where the transaction itself is.
    pub body: Option<Body>,
    /// Its last receipt.
    pub receipt: Option<Place>,
    /// The operation that deferred it.
    pub created: Option<OperationPlace>,
    /// The operation that cancelled it.
    pub canceled: Option<OperationPlace>,
    /// Traces of its being pushed with a delay, if it ran later.
    pub scheduling: Vec<Place>,
    /// The trace that counts, and how it ended.
    pub execution: Option<(Place, Outcome)>,
    /// The same if a filter left that trace out; the position is that among what the block left out.
    pub left_out: Option<(Place, Outcome)>,
    /// Up to this block all is irreversible; 0 if nothing is.
    pub lib_number: u32,
}

impl Outline {
    /// From events in the order in which they happened. Absent if there are none.
    pub(crate) fn of(id: Checksum256, events: &[(u32, Event)], lib_number: u32) -> Option<Self> {
        let (mut signed, mut implicit, mut receipt) = (None, None, None);
        let (mut created, mut canceled) = (None, None);
        let (mut scheduling, mut execution, mut left_out) = (Vec::new(), None, None);
        let mut is_final = false;
        events.first()?;
        for (block_number, event) in events {
            let place = Place { block_number: *block_number, position: event.position };
            match event.kind {
                EventKind::SignedReceipt => {
                    signed = Some(place);
                    receipt = Some(place);
                }
                EventKind::Receipt => receipt = Some(place),
                EventKind::Implicit => implicit = Some(place),
                EventKind::Trace(outcome) if outcome != Outcome::Delayed => {
                    (execution, left_out) = (Some((place, outcome)), None);
                    is_final |= outcome != Outcome::NoReceipt;
                }
                EventKind::LeftOut(outcome) if outcome != Outcome::Delayed => {
                    (execution, left_out) = (None, Some((place, outcome)));
                    is_final |= outcome != Outcome::NoReceipt;
                }
                _ if is_final => {}
                EventKind::Created { operation } => {
                    created = Some(OperationPlace::OfTrace { trace: place, operation });
                    canceled = None;
                }
                EventKind::CreatedByBlock => {
                    created = Some(OperationPlace::OfBlock(place));
                    canceled = None;
                }
                EventKind::Canceled { operation } => {
                    canceled = Some(OperationPlace::OfTrace { trace: place, operation });
                }
                EventKind::CanceledByBlock => canceled = Some(OperationPlace::OfBlock(place)),
                EventKind::Trace(_) => scheduling.push(place),
                EventKind::LeftOut(outcome) => left_out = Some((place, outcome)),
            }
        }
        if is_final {
            canceled = None;
        }
        if execution.is_none() && left_out.is_none() {
            execution = scheduling.pop().map(|place| (place, Outcome::Delayed));
        }
        let status = match (canceled, execution.or(left_out), created) {
            (Some(_), ..) => Status::Canceled,
            (None, Some((_, outcome)), _) => outcome.into(),
            (None, None, Some(_)) => Status::Delayed,
            (None, None, None) => Status::Pending,
        };
        let body = signed.map(Body::Receipt).or(implicit.map(Body::Implicit)).or(created.map(Body::Operation));
        Some(Self { id, status, body, receipt, created, canceled, scheduling, execution, left_out, lib_number })
    }

    /// Of a deferred transaction that waited where the indexes begin, and that blocks say nothing of.
    pub(crate) fn waiting(id: Checksum256, lib_number: u32) -> Self {
        Self::without_blocks(id, Status::Delayed, Body::Waiting, lib_number)
    }

    /// Of a transaction that is in no block but such as were undone.
    pub(crate) fn pending(id: Checksum256, forked: ForkedTransaction, lib_number: u32) -> Self {
        Self::without_blocks(id, Status::Pending, Body::Forked(forked), lib_number)
    }

    fn without_blocks(id: Checksum256, status: Status, body: Body, lib_number: u32) -> Self {
        Self {
            id,
            status,
            body: Some(body),
            receipt: None,
            created: None,
            canceled: None,
            scheduling: Vec::new(),
            execution: None,
            left_out: None,
            lib_number,
        }
    }

    fn is_irreversible(&self, block_number: u32) -> bool {
        block_number <= self.lib_number
    }

    /// Whether its creation as a deferred transaction is irreversible.
    pub fn creation_irreversible(&self) -> bool {
        self.created.is_some_and(|created| self.is_irreversible(created.block_number()))
    }

    /// Whether its execution is irreversible.
    pub fn execution_irreversible(&self) -> bool {
        self.execution.or(self.left_out).is_some_and(|(place, _)| self.is_irreversible(place.block_number))
    }

    /// Whether its cancellation is irreversible.
    pub fn cancelation_irreversible(&self) -> bool {
        self.canceled.is_some_and(|canceled| self.is_irreversible(canceled.block_number()))
    }
}

#[cfg(test)]
mod tests {
    use EventKind::{Receipt, SignedReceipt};

    use super::*;

    const CREATED: EventKind = EventKind::Created { operation: 0 };
    const CANCELED: EventKind = EventKind::Canceled { operation: 1 };

    fn trace(outcome: Outcome) -> EventKind {
        EventKind::Trace(outcome)
    }

    fn outline(events: &[(u32, EventKind)]) -> Outline {
        let events: Vec<_> =
            events.iter().map(|(number, kind)| (*number, Event { kind: *kind, position: 0 })).collect();
        Outline::of(Checksum256::default(), &events, 10).unwrap()
    }

    #[test]
    fn statuses() {
        use Outcome::*;
        for (events, status) in [
            (&[(9, SignedReceipt), (9, trace(Executed))][..], Status::Executed),
            (&[(9, trace(NoReceipt))], Status::HardFail),
            (&[(9, CREATED)], Status::Delayed),
            (&[(9, CREATED), (12, Receipt), (12, trace(SoftFail))], Status::SoftFail),
            (&[(9, CREATED), (12, Receipt), (12, trace(Expired))], Status::Expired),
            (&[(9, CREATED), (12, CANCELED)], Status::Canceled),
            // Replaced by one that keeps its id.
            (&[(9, CREATED), (12, CANCELED), (12, CREATED)], Status::Delayed),
            (&[(9, CREATED), (12, CANCELED), (12, CREATED), (13, trace(Executed))], Status::Executed),
            // Failed on the producer alone, and is still in the queue.
            (&[(9, CREATED), (12, trace(NoReceipt)), (13, CANCELED)], Status::Canceled),
            (&[(9, CREATED), (12, trace(NoReceipt)), (13, trace(Executed))], Status::Executed),
            // The id is used again.
            (&[(9, CREATED), (12, trace(Executed)), (13, CREATED), (14, CANCELED)], Status::Executed),
            (&[(9, CREATED), (12, trace(Executed)), (13, CREATED), (14, trace(HardFail))], Status::HardFail),
            (&[(9, SignedReceipt), (9, CREATED), (9, trace(Delayed))], Status::Delayed),
            (&[(9, SignedReceipt), (9, CREATED), (9, trace(Delayed)), (12, CANCELED)], Status::Canceled),
            (&[(9, Receipt)], Status::Pending),
            // Of a block made of state history.
            (&[(9, EventKind::CreatedByBlock)], Status::Delayed),
            (&[(9, EventKind::CreatedByBlock), (12, EventKind::CanceledByBlock)], Status::Canceled),
            (
                &[(9, EventKind::CreatedByBlock), (12, trace(Executed)), (13, EventKind::CanceledByBlock)],
                Status::Executed,
            ),
            // Of filtered blocks.
            (&[(9, EventKind::LeftOut(SoftFail))], Status::SoftFail),
            (&[(9, CREATED), (12, EventKind::LeftOut(Executed)), (13, CANCELED)], Status::Executed),
            (&[(9, EventKind::LeftOut(Delayed)), (12, Receipt), (12, trace(Executed))], Status::Executed),
            (&[(9, EventKind::LeftOut(NoReceipt)), (12, trace(Expired))], Status::Expired),
        ] {
            assert_eq!(outline(events).status, status, "{events:?}");
        }
        assert_eq!(Outline::of(Checksum256::default(), &[], 10), None);
    }

    #[test]
    fn pushed_with_a_delay_and_run() {
        let pushed = [(9, SignedReceipt), (9, CREATED), (9, trace(Outcome::Delayed))];
        let waiting = outline(&pushed);
        let place = |block_number| Place { block_number, position: 0 };
        assert_eq!(waiting.execution, Some((place(9), Outcome::Delayed)));
        assert_eq!((waiting.scheduling.len(), waiting.execution_irreversible()), (0, true));
        let run = outline(&[&pushed[..], &[(12, Receipt), (12, trace(Outcome::Executed))]].concat());
        assert_eq!((run.body, run.receipt), (Some(Body::Receipt(place(9))), Some(place(12))));
        assert_eq!((&run.scheduling[..], run.execution), (&[place(9)][..], Some((place(12), Outcome::Executed))));
        assert_eq!((run.creation_irreversible(), run.execution_irreversible()), (true, false));
    }
}
