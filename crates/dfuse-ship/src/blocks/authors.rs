//! Which action wrote a row. Only one whose receiver is the row's contract can: where the block has one such action, it is certain.

use std::collections::HashMap;

use dfuse_antelope::{
    Checksum256, Name,
    model::{Action, Block, TransactionTrace},
    raw::Reader,
};

const NEWACCOUNT: Name = Name::literal("newaccount");
const UPDATEAUTH: Name = Name::literal("updateauth");
const DELETEAUTH: Name = Name::literal("deleteauth");
const CANCELDELAY: Name = Name::literal("canceldelay");
const OWNER: Name = Name::literal("owner");
const ACTIVE: Name = Name::literal("active");

/// An action: the position of its trace, and its own there.
pub(super) type Place = (usize, u32);

/// Actions that a block executed, by what they can have changed.
#[derive(Debug, Default)]
pub(super) struct Authors {
    receivers: HashMap<Name, Vec<Place>>,
    permissions: HashMap<(Name, Name), Vec<Place>>,
    cancelled: HashMap<Checksum256, Vec<Place>>,
}

impl Authors {
    pub(super) fn of(block: &Block) -> Self {
        let mut authors = Self::default();
        for (position, trace) in block.unfiltered_transaction_traces.iter().enumerate() {
            if !trace.is_reverted() {
                authors.add(position, trace);
            }
        }
        authors
    }

    fn add(&mut self, position: usize, trace: &TransactionTrace) {
        for action in trace.action_traces.iter().filter(|action| action.receipt.is_some()) {
            let place = (position, action.execution_index);
            self.receivers.entry(action.receiver).or_default().push(place);
            if (action.receiver, action.action.account) != (Name::EOSIO, Name::EOSIO) {
                continue;
            }
            for permission in permissions(&action.action) {
                self.permissions.entry(permission).or_default().push(place);
            }
            if let Some(id) = cancelled(&action.action) {
                self.cancelled.entry(id).or_default().push(place);
            }
        }
    }

    /// The only action that can have written rows of a contract.
    pub(super) fn of_contract(&self, code: Name) -> Option<Place> {
        only(self.receivers.get(&code))
    }

    /// The only action of a trace that can have sent a deferred transaction.
    pub(super) fn of_sender(&self, sender: Name, position: Option<usize>) -> Option<Place> {
        let all = self.receivers.get(&sender)?;
        let Some(position) = position else { return only(Some(all)) };
        let of_trace: Vec<_> = all.iter().copied().filter(|place| place.0 == position).collect();
        only(Some(&of_trace))
    }

    /// The only action that names a permission.
    pub(super) fn of_permission(&self, owner: Name, name: Name) -> Option<Place> {
        only(self.permissions.get(&(owner, name)))
    }

    /// The only action that cancels a delayed transaction.
    pub(super) fn of_cancellation(&self, id: Checksum256) -> Option<Place> {
        only(self.cancelled.get(&id))
    }
}

fn only(places: Option<&Vec<Place>>) -> Option<Place> {
    match places.map(Vec::as_slice) {
        Some([place]) => Some(*place),
        _ => None,
    }
}

/// Permissions that a system action sets or deletes.
fn permissions(action: &Action) -> Vec<(Name, Name)> {
    let mut data = Reader::new(&action.raw_data);
    let (Ok(first), Ok(second)) = (data.name(), data.name()) else { return vec![] };
    match action.name {
        NEWACCOUNT => vec![(second, OWNER), (second, ACTIVE)],
        UPDATEAUTH | DELETEAUTH => vec![(first, second)],
        _ => vec![],
    }
}

/// The transaction that a system action cancels.
fn cancelled(action: &Action) -> Option<Checksum256> {
    if action.name != CANCELDELAY {
        return None;
    }
    let mut data = Reader::new(&action.raw_data);
    data.name().and_then(|_| data.name()).and_then(|_| data.checksum256()).ok()
}
