//! Branches: what the log of a node says that changed its mind three times.

use std::collections::{BTreeMap, BTreeSet};

use dfuse_antelope::{Checksum256, model::Block};
use dfuse_testkit::recorded;

use crate::chains::{BUSY, DEMO, EMPTY, FORK, Log, SMALL};

#[test]
fn blocks_link_to_their_parents() {
    let Some(fork) = FORK.chain() else { return };
    let mut heights = BTreeMap::<u32, BTreeSet<Checksum256>>::new();
    let mut known = BTreeMap::<Checksum256, &Block>::new();
    let mut applied_again = 0;
    for block in &fork.blocks {
        heights.entry(block.number).or_default().insert(block.id);
        match known.get(&block.header.previous) {
            Some(parent) => {
                assert_eq!(parent.number + 1, block.number);
                assert!(parent.header.timestamp < block.header.timestamp);
                assert!(parent.lib_num() <= block.lib_num(), "finality goes back at {}", block.id);
            }
            None => assert_eq!(block.number, 2, "only the first block has no parent"),
        }
        assert!(block.lib_num() < block.number);
        applied_again += usize::from(known.insert(block.id, block).is_some());
    }
    assert_eq!((fork.blocks.len(), heights.len(), applied_again), (473, 413, 0));
    assert_eq!(fork.canonical().len(), 413);
    // What was once irreversible stays on the branch that won.
    let canonical: BTreeSet<Checksum256> = fork.canonical().iter().map(|block| block.id).collect();
    let mut irreversible = 0;
    for block in &fork.blocks {
        assert!(block.number > irreversible, "{} replaces an irreversible block", block.id);
        assert!(canonical.contains(&block.id) || heights[&block.number].len() > 1);
        irreversible = irreversible.max(block.lib_num());
    }
}

/// A switch leaves the last block for a branch of which the next block is the first that the node lacks.
#[test]
fn switches_name_the_heads_of_both_branches() {
    let Some(fork) = FORK.chain() else { return };
    let position = |id: &Checksum256| fork.blocks.iter().position(|block| block.id == *id).unwrap();
    let steps: Vec<_> = fork
        .switches
        .iter()
        .map(|(from, to)| {
            let (left, joined) = (position(from), position(to));
            assert!(left < joined, "the new branch is applied after the switch");
            (from.block_num(), fork.blocks[left + 1].number, to.block_num())
        })
        .collect();
    assert_eq!(steps, [(83, 60, 84), (147, 136, 147), (228, 205, 207)]);
}

/// Along a chain, actions are numbered without a gap, if those are passed over that a failure undid: they have receipts
/// whose numbers others take after them.
#[test]
fn global_sequences_have_no_gaps() {
    for (log, last) in [(&SMALL, 1381), (&FORK, 4891), (&BUSY, 61640), (&DEMO, 18642), (&EMPTY, 199)] {
        let Some(chain) = log.chain() else { continue };
        let (mut sequence, mut undone) = (0, 0);
        for trace in chain.canonical().into_iter().flat_map(|block| &block.unfiltered_transaction_traces) {
            for receipt in trace.action_traces.iter().filter_map(|action| action.receipt.as_ref()) {
                assert_eq!(receipt.global_sequence, sequence + 1 + undone, "{}, transaction {}", log.name, trace.id);
                if trace.is_reverted() {
                    undone += 1;
                } else {
                    sequence += 1;
                }
            }
            undone = 0;
        }
        assert_eq!(sequence, last, "{}", log.name);
    }
}

#[test]
fn the_canonical_chain_is_the_nodes() {
    for log in [&SMALL, &FORK] {
        compare_ids(log);
    }
}

fn compare_ids(log: &'static Log) {
    let Some(chain) = log.chain() else { return };
    let Some(answers) = recorded::json(&log.beside("answers.json.gz")) else { return };
    let theirs = answers["blocks"].as_object().unwrap();
    let canonical = chain.canonical();
    // The genesis block is not in the log.
    assert_eq!(canonical.len() + 1, theirs.len());
    for block in canonical {
        assert_eq!(theirs[&block.number.to_string()]["id"], block.id.to_string(), "{}", log.name);
    }
}
