//! Random chains with forks: every query at every time, and streams that go on after forks.

use std::sync::Arc;

use dfuse_blocks::Step;
use dfuse_search::{LiveRow, LiveTail, Place, Position};
use dfuse_testkit::{Random, search::Found, synthetic::SyntheticChain};
use proptest::prelude::*;

use crate::node::{Node, plain, reference, synthetic_events, times};

fn stretch() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(0u64), 1 => 1..300u64, 1 => 4_000..5_000u64, 3 => 65_500..65_560u64, 1 => 1u64 << 20..1 << 30]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16 * times() as u32))]

    #[test]
    fn any_query_at_any_time(
        seed: u64,
        blocks in 10..50u32,
        forks in (0..300u32, 1..5u32),
        lib_lag in 1..15u32,
        stretch in stretch(),
        batch_bytes in 1..200_000usize,
        restart in 5..40usize,
    ) {
        let chain = SyntheticChain::builder().seed(seed).blocks(blocks).random_forks(forks.0, forks.1).lib_lag(lib_lag);
        let chain = chain.users(6).transactions_per_block(0..=5).failing_onblock(100);
        let mut node = Node::new(stretch, batch_bytes);
        let mut random = Random::new(seed);
        for (at, event) in synthetic_events(chain).into_iter().enumerate() {
            node.push(event);
            if (at + 1) % restart == 0 {
                node.restart();
            }
            if at % 7 == 6 {
                let vocabulary = node.vocabulary();
                for _ in 0..12 {
                    let wanted = vocabulary.query(&mut random, 3);
                    node.compare(&wanted, &mut random);
                }
            }
        }
    }

    /// Streams stop at every kind of position, and go on later, when their blocks may have lost.
    #[test]
    fn streams_go_on_after_forks(
        seed: u64,
        blocks in 20..50u32,
        forks in (100..400u32, 1..6u32),
        lib_lag in 1..12u32,
        stretch in stretch(),
    ) {
        let chain = SyntheticChain::builder().seed(seed).blocks(blocks).random_forks(forks.0, forks.1).lib_lag(lib_lag);
        let mut node = Node::new(stretch, 1 << 20);
        let mut random = Random::new(seed);
        // Position, what was sent by then, and when.
        let mut stopped: Vec<(Position, Vec<Found>, usize)> = Vec::new();
        let mut wanted = None;
        let mut undone = 0;
        for (at, event) in synthetic_events(chain).into_iter().enumerate() {
            node.push(event);
            let Some(head) = node.head().filter(|head| head.number > 8) else { continue };
            let wanted = wanted.get_or_insert_with(|| {
                let vocabulary = node.vocabulary();
                // Something that is often found.
                let mut queries = std::iter::repeat_with(|| vocabulary.query(&mut random, 2));
                queries.find(|wanted| node.scan(wanted).len() > 10).unwrap()
            });
            let query = node.parse(wanted);
            let all = node.scan(wanted);
            stopped.retain(|(position, sent, when)| {
                // Some go on at once, some much later.
                if !(at + when + sent.len()).is_multiple_of(5) {
                    return true;
                }
                let mut sent = sent.clone();
                let before = sent.len();
                if !node.resume(&query, *position, &mut sent) {
                    return true;
                }
                undone += before.saturating_sub(all.iter().zip(&sent).filter(|(a, b)| a == b).count());
                assert_eq!(sent, all, "{query} from {position:?}");
                false
            });
            let mut sent: Vec<Found> = all.iter().filter(|found| found.0 < head.number).cloned().collect();
            stopped.push((Position { block: head, place: Place::Before(0) }, sent.clone(), at));
            for found in all.iter().filter(|found| found.0 == head.number) {
                stopped.push((Position { block: head, place: Place::Before(found.1) }, sent.clone(), at));
                sent.push(found.clone());
                stopped.push((Position { block: head, place: Place::After(found.1) }, sent.clone(), at));
            }
            stopped.push((Position { block: head, place: Place::End }, sent, at));
        }
    }
}

#[test]
fn live_rows_mirror_the_steps() {
    let chain = SyntheticChain::builder().seed(3).blocks(40).random_forks(200, 3);
    let mut node = Node::new(0, 1 << 20);
    let query = dfuse_search::Query::parse("account:eosio", node.index.options()).unwrap();
    let mut tail = LiveTail::new(false, 5);
    let mut finality = LiveTail::new(true, 0);
    assert!(!finality.wants(Step::New, false) && finality.wants(Step::New, true) && !finality.wants(Step::Undo, true));
    let (mut sent, mut markers, mut undone): (Vec<Found>, Vec<u32>, usize) = Default::default();
    let mut head: Option<Arc<dfuse_antelope::model::Block>> = None;
    for event in synthetic_events(chain) {
        node.push(event);
        let best: Vec<_> = node.best().map(|(block, _)| block.clone()).collect();
        while let Some(lost) = head.clone().filter(|head| best.iter().all(|block| block.id != head.id)) {
            for row in tail.rows(Step::Undo, reference(&lost), true, &node.of_block(&query, &lost)) {
                let LiveRow::Match { found, undo: true, position } = row else { panic!("{row:?}") };
                assert_eq!(position.place, Place::Before(found.transaction));
                assert_eq!(sent.pop(), Some(plain(&found)));
                undone += 1;
            }
            head = node.blocks.get(&lost.header.previous).map(|(block, _)| block.clone());
        }
        let known = head.as_ref().map_or(0, |head| head.number);
        for block in best.iter().rev().filter(|block| block.number > known) {
            for row in tail.rows(Step::New, reference(block), block.id == best[0].id, &node.of_block(&query, block)) {
                match row {
                    LiveRow::Match { found, undo, position } => {
                        assert!(!undo && position == found.position());
                        sent.push(plain(&found));
                    }
                    LiveRow::Marker(position) => {
                        assert_eq!(position.place, Place::End);
                        markers.push(position.block.number);
                    }
                }
            }
            head = Some(block.clone());
        }
        let matches = head.as_ref().map(|head| node.of_block(&query, head));
        if let (Some(head), Some(matches)) = (&head, matches) {
            let rows = finality.rows(Step::Irreversible, reference(head), true, &matches);
            assert_eq!(rows.len(), matches.len());
        }
    }
    assert!(undone > 5 && sent.len() > 40, "{undone} {}", sent.len());
    assert!(markers.windows(2).all(|pair| pair[1] >= pair[0] + 5) && markers.len() > 5, "{markers:?}");
}
