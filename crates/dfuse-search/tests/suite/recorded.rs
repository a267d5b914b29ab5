//! Recorded chains: thousands of queries find what a scan finds.

use dfuse_testkit::{Random, recorded};

use crate::node::{Node, events, plain, times};

fn compare(log: &str, stretch: u64, queries: usize) {
    let Some(log) = recorded::open(log) else { return };
    let queries = queries * times();
    let mut node = Node::new(stretch, 1 << 20);
    let mut random = Random::new(7);
    let all = events(log);
    let (count, mut pushed, mut found) = (all.len(), 0, 0);
    for event in all {
        node.push(event);
        pushed += 1;
        if pushed % (count / 4) == 0 || pushed == count {
            let vocabulary = node.vocabulary();
            for _ in 0..queries / 4 {
                let wanted = vocabulary.query(&mut random, 3);
                found += node.compare(&wanted, &mut random);
            }
        }
    }
    assert!(found > queries, "{found}");
    println!("{queries} queries of seed 7 found {found} transactions");
    // Single blocks, the forked ones too.
    let vocabulary = node.vocabulary();
    for _ in 0..20 {
        let wanted = vocabulary.query(&mut random, 3);
        let query = node.parse(&wanted);
        for (block, documents) in node.blocks.values().filter(|(block, _)| block.number.is_multiple_of(7)) {
            if node.best().any(|(best, _)| best.id == block.id) {
                let found: Vec<_> = node.of_block(&query, block).iter().map(plain).collect();
                assert_eq!(found, wanted.scan([documents].into_iter()), "{query} in {}", block.number);
            }
        }
    }
}

#[test]
fn small() {
    compare("small/small.dmlog.zst", 0, 600);
}

#[test]
fn small_over_many_chunks() {
    compare("small/small.dmlog.zst", 65_531, 300);
}

#[test]
fn forks() {
    compare("fork/fork.dmlog.zst", 3_000, 300);
}

#[test]
fn demo() {
    compare("demo/demo.dmlog.zst", 0, 200);
}
