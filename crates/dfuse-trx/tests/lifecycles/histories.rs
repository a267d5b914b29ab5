//! Random chains with deferred transactions of all kinds, forks and restarts.

use std::collections::BTreeMap;

use dfuse_antelope::{Checksum256, model::Block};
use dfuse_testkit::synthetic::{Mix, Software, SyntheticChain};
use dfuse_trx::{IdPrefix, Status, recent_transactions};
use proptest::prelude::*;

use crate::node::{Node, blocks_of, check};

/// A chain, and what happens while a server follows it.
#[derive(Debug, Clone)]
struct History {
    seed: u64,
    software: Software,
    blocks: u32,
    forks: (u32, u32),
    lib_lag: u32,
    /// A restart after every so many blocks.
    restarts: usize,
    /// Everything is compared at every so many heads.
    checks: usize,
}

impl History {
    fn blocks(&self) -> Vec<Block> {
        let (permille, depth) = self.forks;
        let mix = Mix { transfers: 10, app: 5, deferred: 60, accounts: 2, permissions: 0, abis: 0 };
        let chain = SyntheticChain::builder().seed(self.seed).software(self.software).blocks(self.blocks).mix(mix);
        let chain = chain.transactions_per_block(0..=4).users(6).random_forks(permille, depth).lib_lag(self.lib_lag);
        blocks_of(chain.failing_onblock(60).missed_slots(100))
    }

    /// How many transactions ended with which status, or were pending at some time.
    fn run(&self) -> BTreeMap<Status, usize> {
        let mut node = Node::new();
        let (mut pushed, mut heads) = (0, 0);
        let mut statuses: BTreeMap<Checksum256, Status> = BTreeMap::new();
        for block in self.blocks() {
            node.push(block, |node| {
                heads += 1;
                let all = heads % self.checks == 0;
                let ids = if all { node.model.all_ids() } else { node.model.unsettled_ids() };
                let found = check(node, &ids).into_iter().flatten();
                statuses
                    .extend(found.map(|found| (found.id, Status::of(&found))).filter(|(_, it)| *it == Status::Pending));
            });
            pushed += 1;
            if pushed % self.restarts == 0 {
                node.restart();
                check(&node, &node.model.all_ids());
            }
        }
        let ids = node.model.all_ids();
        let view = node.view();
        let lifecycles = node.lifecycles(&view, None);
        for (id, found) in ids.iter().zip(check(&node, &ids)) {
            let known = found.is_some().then_some(*id);
            assert_eq!(lifecycles.find(&IdPrefix::from(*id)).unwrap(), known);
            if let Some(found) = found {
                statuses.entry(*id).or_insert(Status::of(&found));
            }
        }
        let traces = node.model.best().iter().rev().flat_map(|block| block.unfiltered_transaction_traces.iter().rev());
        let recent = recent_transactions(&view, None).unwrap().map(Result::unwrap);
        assert!(recent.map(|it| (it.place.block_number, it.id)).eq(traces.map(|it| (it.block_num as u32, it.id))));
        let mut counts = BTreeMap::new();
        statuses.into_values().for_each(|status| *counts.entry(status).or_default() += 1);
        counts
    }
}

fn software() -> impl Strategy<Value = Software> {
    prop_oneof![4 => Just(Software::Leap), 1 => Just(Software::Eosio20), 1 => Just(Software::Eosio21)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_history_tells_the_truth(
        seed: u64,
        software in software(),
        blocks in 20..70u32,
        forks in (0..400u32, 1..6u32),
        lib_lag in 1..20u32,
        restarts in 3..60usize,
    ) {
        History { seed, software, blocks, forks, lib_lag, restarts, checks: 10 }.run();
    }
}

#[test]
fn a_long_history_has_every_status() {
    let history = History {
        seed: 11,
        software: Software::Leap,
        blocks: 150,
        forks: (120, 4),
        lib_lag: 12,
        restarts: 40,
        checks: 25,
    };
    let statuses = history.run();
    for status in [
        Status::Pending,
        Status::Delayed,
        Status::Executed,
        Status::SoftFail,
        Status::HardFail,
        Status::Expired,
        Status::Canceled,
    ] {
        assert!(statuses.contains_key(&status), "{status}: {statuses:?}");
    }
}
