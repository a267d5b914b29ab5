//! Whose turn is next. Clients take turns; of each the read that has waited longest comes first.

use std::collections::{BTreeMap, VecDeque};

use crate::client::Client;

/// Names a read.
pub(super) type Ticket = u64;

/// Reads that wait, those that have not begun and those that gave way.
#[derive(Debug)]
pub(super) struct TurnQueue<J> {
    clients: BTreeMap<Client, Own<J>>,
    /// Clients with reads that wait; the next one first.
    round: VecDeque<Client>,
    /// Reads that wait.
    len: usize,
    /// Reads that wait and have not begun.
    new: usize,
    /// Orders what came by when it came.
    arrivals: u64,
}

/// The reads of a client.
#[derive(Debug)]
struct Own<J> {
    new: VecDeque<(u64, Ticket, J)>,
    paused: VecDeque<(u64, Ticket)>,
    /// Reads that have begun and not ended.
    begun: usize,
}

/// What a read may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn<J> {
    Begin(J),
    GoOn(Ticket),
}

impl<J> Default for TurnQueue<J> {
    fn default() -> Self {
        Self { clients: BTreeMap::new(), round: VecDeque::new(), len: 0, new: 0, arrivals: 0 }
    }
}

impl<J> Default for Own<J> {
    fn default() -> Self {
        Self { new: VecDeque::new(), paused: VecDeque::new(), begun: 0 }
    }
}

impl<J> Own<J> {
    /// Whether the next one is one that begins; absent if none may have a turn.
    fn next_begins(&self, may_begin: bool) -> Option<bool> {
        match (self.new.front().filter(|_| may_begin), self.paused.front()) {
            (None, None) => None,
            (Some(_), None) => Some(true),
            (None, Some(_)) => Some(false),
            (Some((new, ..)), Some((paused, _))) => Some(new < paused),
        }
    }

    fn waiting(&self) -> usize {
        self.new.len() + self.paused.len()
    }
}

impl<J> TurnQueue<J> {
    /// Reads that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Reads that wait and have not begun.
    pub(super) fn new_ones(&self) -> usize {
        self.new
    }

    /// Those of that client.
    pub(super) fn new_ones_of(&self, client: Client) -> usize {
        self.clients.get(&client).map_or(0, |own| own.new.len())
    }

    /// How many come before a read of that client that comes now, about.
    pub(super) fn ahead_of(&self, client: Client) -> usize {
        let own = self.clients.get(&client).map_or(0, Own::waiting);
        let others = self.round.len() - usize::from(own > 0);
        self.len.min(own + others * (own + 1))
    }

    /// A read comes.
    pub(super) fn push(&mut self, client: Client, ticket: Ticket, job: J) {
        self.new += 1;
        let arrival = self.arrive(client);
        self.clients.entry(client).or_default().new.push_back((arrival, ticket, job));
    }

    /// A read that has begun gives way.
    pub(super) fn pause(&mut self, client: Client, ticket: Ticket) {
        let arrival = self.arrive(client);
        self.clients.entry(client).or_default().paused.push_back((arrival, ticket));
    }

    fn arrive(&mut self, client: Client) -> u64 {
        if self.clients.get(&client).is_none_or(|own| own.waiting() == 0) {
            self.round.push_back(client);
        }
        self.len += 1;
        self.arrivals += 1;
        self.arrivals
    }

    /// Whether there is a next turn.
    pub(super) fn has_next(&self, may_begin: bool, most_begun: usize) -> bool {
        self.clients.values().any(|own| own.next_begins(may_begin && own.begun < most_begun).is_some())
    }

    /// The next turn. `may_begin` allows reads that have not begun; a client may have `most_begun` that have.
    pub(super) fn next(&mut self, may_begin: bool, most_begun: usize) -> Option<Turn<J>> {
        for _ in 0..self.round.len() {
            let client = self.round.pop_front()?;
            let own = self.clients.entry(client).or_default();
            let turn = match own.next_begins(may_begin && own.begun < most_begun) {
                Some(true) => own.new.pop_front().map(|(.., job)| Turn::Begin(job)),
                Some(false) => own.paused.pop_front().map(|(_, ticket)| Turn::GoOn(ticket)),
                None => None,
            };
            if matches!(turn, Some(Turn::Begin(_))) {
                own.begun += 1;
                self.new -= 1;
            }
            if own.waiting() > 0 {
                self.round.push_back(client);
            }
            if turn.is_some() {
                self.len -= 1;
                return turn;
            }
        }
        None
    }

    /// A read that waits is given up; its work if it has not begun.
    pub(super) fn remove(&mut self, client: Client, ticket: Ticket) -> Option<J> {
        let own = self.clients.get_mut(&client)?;
        let new = own.new.iter().position(|(_, it, _)| *it == ticket).and_then(|at| own.new.remove(at));
        let paused = own.paused.iter().position(|(_, it)| *it == ticket).and_then(|at| own.paused.remove(at));
        self.new -= usize::from(new.is_some());
        self.len -= usize::from(new.is_some()) + usize::from(paused.is_some());
        self.forget(client);
        new.map(|(.., job)| job)
    }

    /// A read has ended.
    pub(super) fn end(&mut self, client: Client) {
        if let Some(own) = self.clients.get_mut(&client) {
            own.begun = own.begun.saturating_sub(1);
        }
        self.forget(client);
    }

    /// Lets go of a client that has nothing here any more.
    fn forget(&mut self, client: Client) {
        if let Some(own) = self.clients.get(&client)
            && own.waiting() == 0
        {
            self.round.retain(|it| *it != client);
            if own.begun == 0 {
                self.clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn client(number: u8) -> Client {
        Client::at(Some(Ipv4Addr::new(10, 0, 0, number).into()))
    }

    fn all(queue: &mut TurnQueue<Ticket>) -> Vec<Ticket> {
        std::iter::from_fn(|| queue.next(true, usize::MAX))
            .map(|turn| match turn {
                Turn::Begin(ticket) | Turn::GoOn(ticket) => ticket,
            })
            .collect()
    }

    #[test]
    fn clients_take_turns() {
        let mut queue = TurnQueue::default();
        for ticket in 0..4 {
            queue.push(client(1), ticket, ticket);
        }
        queue.push(client(2), 10, 10);
        queue.push(client(1).stream(), 20, 20);
        queue.push(client(2), 11, 11);
        assert_eq!((queue.len(), queue.new_ones_of(client(1)), queue.new_ones_of(client(3))), (7, 4, 0));
        // Before one that comes now: its own, and as many of each other client.
        assert_eq!([1, 2, 3].map(|it| queue.ahead_of(client(it))), [7, 7, 3]);
        assert_eq!(all(&mut queue), [0, 10, 20, 1, 11, 2, 3]);
        assert_eq!((queue.len(), queue.new_ones()), (0, 0));
    }

    #[test]
    fn reads_that_gave_way_take_turns_with_new_ones() {
        let mut queue = TurnQueue::default();
        queue.push(client(1), 1, 1);
        assert_eq!(queue.next(true, 1), Some(Turn::Begin(1)));
        queue.push(client(1), 2, 2);
        queue.pause(client(1), 1);
        queue.push(client(1), 3, 3);
        // The client has as many begun as it may, so that only one that has begun comes next.
        assert!(queue.has_next(true, 1));
        assert_eq!(queue.next(true, 1), Some(Turn::GoOn(1)));
        assert!(!queue.has_next(true, 1));
        assert_eq!(queue.next(true, 1), None);
        assert_eq!(queue.len(), 2);
        // Another client may begin.
        queue.push(client(2), 4, 4);
        assert_eq!(queue.next(true, 1), Some(Turn::Begin(4)));
        queue.end(client(1));
        assert_eq!(queue.next(false, 1), None);
        assert_eq!(queue.next(true, 1), Some(Turn::Begin(2)));
        queue.pause(client(2), 4);
        assert_eq!(
            (queue.remove(client(1), 3), queue.remove(client(2), 4), queue.remove(client(2), 9)),
            (Some(3), None, None)
        );
        queue.end(client(1));
        queue.end(client(2));
        assert_eq!((queue.len(), queue.new_ones(), queue.clients.len(), queue.round.len()), (0, 0, 0, 0));
    }
}
