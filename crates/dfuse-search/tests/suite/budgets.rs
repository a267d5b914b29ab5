//! Searches that are cut short, and evaluations that are shared.

use std::{
    cell::Cell,
    sync::{Arc, Barrier, atomic::AtomicBool},
};

use dfuse_antelope::{
    BlockTimestamp, Checksum256, Name,
    model::{
        Action, ActionReceipt, ActionTrace, Block, BlockHeader, TransactionReceiptHeader, TransactionStatus,
        TransactionTrace,
    },
};
use dfuse_deep_mind::Event;
use dfuse_kv::Direction;
use dfuse_search::{Budget, Error, MAX_PREFIX_TERMS, MAX_QUERY_TERMS, Match, Pace, PageEnd, Query, Request, search};
use dfuse_testkit::synthetic::SyntheticChain;

use crate::node::{Node, synthetic_events};

fn id(number: u32) -> Checksum256 {
    let mut id = Checksum256::sha256(&number.to_be_bytes());
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    id
}

/// A block of one transaction, whose actions are those of these accounts and receivers; the first is number `first` of the chain.
fn block(number: u32, first: u64, actions: impl Iterator<Item = (Name, Name)>) -> Event {
    let actions = actions.zip(0u32..).map(|((account, receiver), index)| {
        let global_sequence = first + u64::from(index);
        let receipt = Some(ActionReceipt { receiver, global_sequence, ..ActionReceipt::default() });
        let action = Action { account, name: Name::literal("play"), ..Action::default() };
        let (action_ordinal, execution_index) = (index + 1, index);
        ActionTrace { receipt, receiver, action, action_ordinal, execution_index, ..ActionTrace::default() }
    });
    let executed = TransactionReceiptHeader { status: TransactionStatus::Executed, ..Default::default() };
    let trace = TransactionTrace {
        id: id(number),
        receipt: Some(executed),
        action_traces: actions.collect(),
        ..Default::default()
    };
    let header = BlockHeader { timestamp: BlockTimestamp(number), previous: id(number - 1), ..Default::default() };
    let mut block = Block {
        id: id(number),
        number,
        header,
        dpos_irreversible_blocknum: number.saturating_sub(3),
        unfiltered_transaction_traces: vec![trace],
        ..Block::default()
    };
    block.update_counts();
    Event::Block(Box::new(block))
}

/// A chain of one action a block, each in a chunk of its own: `even` and `odd` by turns, and both `once`.
fn alternating(blocks: u32) -> Node {
    let mut node = Node::new(1 << 16, 1 << 20);
    for number in 2..2 + blocks {
        let account = Name::literal(if number % 2 == 0 { "even" } else { "odd" });
        let receiver = if number == blocks { Name::literal("odd") } else { account };
        node.push(block(number, number.into(), [(account, receiver)].into_iter()));
    }
    node
}

/// Pages, matches and the most work of one page.
fn pages(
    node: &Node,
    query: &str,
    direction: Direction,
    budget: impl Fn() -> Budget<'static>,
) -> (usize, Vec<Match>, u64) {
    let query = Query::parse(query, node.index.options()).unwrap();
    let snapshot = node.snapshot();
    let mut request = Request { query: &query, blocks: 0..=u32::MAX, direction, after: None, limit: 100 };
    let (mut matches, mut most) = (Vec::new(), 0);
    for page in 1.. {
        let mut budget = budget();
        let found = search(snapshot.view(), &request, &mut budget).unwrap();
        most = most.max(budget.spent());
        matches.extend(found.matches);
        match found.end {
            PageEnd::Complete => return (page, matches, most),
            PageEnd::Partial(position) => request.after = Some(position),
            PageEnd::Limit => panic!("so many there are not"),
        }
    }
    unreachable!()
}

/// Looking for a chunk in which both terms are ends with the budget, too.
#[test]
fn terms_that_hardly_meet() {
    let node = alternating(300);
    for direction in [Direction::Forward, Direction::Reverse] {
        let (whole, found, work) = pages(&node, "account:even receiver:odd", direction, Budget::unlimited);
        assert_eq!((whole, found.len()), (1, 1));
        assert!(work > 300, "{work}");
        let (cut, again, work) = pages(&node, "account:even receiver:odd", direction, || Budget::new(10));
        assert_eq!(again, found);
        assert!(cut > 10 && work < 60, "{cut} {work}");
    }
}

/// Who has left is not served on, and yet every answer comes on by a chunk.
#[test]
fn cancelled() {
    static CANCELLED: AtomicBool = AtomicBool::new(true);
    let node = alternating(60);
    for query in ["action:play", "account:even receiver:odd", "-account:even", "account:ev*"] {
        let (_, all, _) = pages(&node, query, Direction::Forward, Budget::unlimited);
        let (cut, found, work) = pages(&node, query, Direction::Forward, || Budget::unlimited().paced_by(&CANCELLED));
        assert_eq!(found, all);
        assert!(cut > 20 && work < 80, "{query} {cut} {work}");
    }
}

/// Counts how often a search may be held up, and asks for it to end after so many times.
struct Counting {
    pauses: Cell<u64>,
    most: u64,
}

impl Pace for Counting {
    fn pause(&self) {
        self.pauses.set(self.pauses.get() + 1);
    }

    fn is_given_up(&self) -> bool {
        self.pauses.get() > self.most
    }
}

/// Others can have their turn again and again, whatever a search is at.
#[test]
fn pauses() {
    let node = alternating(600);
    for query in ["action:play", "account:even receiver:odd", "-account:even", "account:ev*"] {
        let query = Query::parse(query, node.index.options()).unwrap();
        let snapshot = node.snapshot();
        let request =
            Request { query: &query, blocks: 0..=u32::MAX, direction: Direction::Forward, after: None, limit: 1000 };
        let pace = Counting { pauses: Cell::new(0), most: u64::MAX };
        let mut budget = Budget::unlimited().paced_by(&pace);
        search(snapshot.view(), &request, &mut budget).unwrap();
        let (whole, pauses) = (budget.spent(), pace.pauses.get());
        assert!(whole > 30 && pauses >= whole / 32, "{query:?}: {pauses} for {whole}");
        let pace = Counting { pauses: Cell::new(0), most: pauses / 2 };
        let mut budget = Budget::unlimited().paced_by(&pace);
        let page = search(snapshot.view(), &request, &mut budget).unwrap();
        assert!(matches!(page.end, PageEnd::Partial(_)) && budget.spent() <= whole, "{query:?}: {:?}", page.end);
    }
}

#[test]
fn evaluated_once_for_all() {
    const LISTENERS: usize = 8;
    let mut node = Node::new(0, 1 << 20);
    for event in synthetic_events(SyntheticChain::builder().seed(8).blocks(60)) {
        node.push(event);
    }
    let query = Query::parse("-action:onblock OR data.to:*", node.index.options()).unwrap();
    let same = Query::parse("data.to:* OR (-action:onblock)", node.index.options()).unwrap();
    for (block, _) in node.best() {
        let (barrier, view, evaluations) = (Barrier::new(LISTENERS), node.view_before(block), &node.evaluations);
        let answers: Vec<_> = std::thread::scope(|scope| {
            let listen = |at: usize| {
                let (barrier, view, query) = (&barrier, &view, if at.is_multiple_of(2) { &query } else { &same });
                scope.spawn(move || {
                    barrier.wait();
                    evaluations.matches(query, block, view).unwrap()
                })
            };
            let listeners: Vec<_> = (0..LISTENERS).map(listen).collect();
            listeners.into_iter().map(|listener| listener.join().unwrap()).collect()
        });
        assert!(answers.iter().all(|answer| Arc::ptr_eq(answer, &answers[0])));
    }
}

/// Beginnings stand for so many values each, and all of a query for so many together.
#[test]
fn too_broad() {
    // A letter, and six digits of base 5.
    let account = |letter: char, number: usize| -> Name {
        let digits = (0..6).rev().map(|place| char::from(b'1' + (number / 5usize.pow(place) % 5) as u8));
        std::iter::once(letter).chain(digits).collect::<String>().parse().unwrap()
    };
    let counts = [
        ('a', MAX_PREFIX_TERMS),
        ('b', MAX_PREFIX_TERMS),
        ('c', MAX_PREFIX_TERMS),
        ('d', MAX_PREFIX_TERMS - 1),
        ('e', 2),
    ];
    let all = counts.into_iter().chain([('f', MAX_PREFIX_TERMS + 1)]);
    let accounts = all.flat_map(|(letter, count)| (0..count).map(move |number| account(letter, number)));
    // Of blocks that are final, and of the newest ones.
    for tail in [0, 5] {
        let mut node = Node::new(0, 1 << 20);
        node.push(block(2, 1, accounts.clone().map(|account| (account, Name::literal("all")))));
        for number in 3..3 + tail {
            node.push(block(number, 100_000 + u64::from(number), std::iter::empty()));
        }
        let snapshot = node.snapshot();
        let search = |query: &str| {
            let query = Query::parse(query, node.index.options()).unwrap();
            let (blocks, direction) = (0..=u32::MAX, Direction::Forward);
            let request = Request { query: &query, blocks, direction, after: None, limit: 100_000 };
            search(snapshot.view(), &request, &mut Budget::unlimited())
                .map(|page| page.matches.iter().map(|found| found.actions.len()).sum::<usize>())
        };
        for (letter, count) in counts {
            assert_eq!(search(&format!("account:{letter}*")).unwrap(), count);
        }
        let four: usize = counts[..4].iter().map(|(_, count)| count).sum();
        assert!(four < MAX_QUERY_TERMS && four + 2 > MAX_QUERY_TERMS);
        assert_eq!(search("account:a* OR account:b* OR account:c* OR account:d*").unwrap(), four);
        for query in ["account:f*", "account:a* OR account:b* OR account:c* OR account:d* OR account:e*"] {
            let error = search(query).unwrap_err();
            assert!(matches!(error, Error::TooBroad { .. }), "{query}: {error}");
        }
    }
}
