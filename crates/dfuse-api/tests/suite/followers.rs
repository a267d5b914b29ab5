//! Two followers of one committer on the embedded engine, with every index: whatever is committed, every entry of every family that
//! a view has at a head is the one that an index of one process has there.

use std::{collections::BTreeMap, io::BufRead, sync::Arc};

use dfuse_antelope::{
    AbiDump, Checksum256,
    model::{Block, wire::ReverseWriter},
};
use dfuse_blocks::{Added, BlockRef, EncodedBlock, ForkDb};
use dfuse_deep_mind::{Event, Reader};
use dfuse_index::{
    Adopted, Follower, Index, Options, Pipeline, ScratchSpace, ServingSnapshot, View, abi::Abis, accounts::Accounts,
    blocks::Blocks, keyspaces,
};
use dfuse_kv::{Direction, EngineOptions, Hint, KeyRange, MemoryStore, Snapshot, Store};
use dfuse_search::SearchIndex;
use dfuse_testkit::{
    Random, recorded,
    synthetic::{Fork, SyntheticChain},
};
use dfuse_trx::Transactions;

fn indexes() -> Vec<Arc<dyn Index>> {
    let mut indexes: Vec<Arc<dyn Index>> =
        vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts), Arc::new(Transactions)];
    indexes.extend(dfuse_state::indexes());
    indexes.push(Arc::new(SearchIndex::default()));
    indexes
}

/// The follower with little memory.
const LITTLE: usize = 1;

enum Step {
    New(Box<Block>),
    Undo(BlockRef),
    Final(BlockRef),
    Dump(AbiDump),
}

/// The steps of a log, as the feed makes them.
fn steps(log: impl BufRead) -> Vec<Step> {
    let mut reader = Reader::new(log);
    let mut writer = ReverseWriter::new();
    let mut forks: Option<ForkDb> = None;
    let (mut steps, mut chain) = (Vec::new(), Vec::<BlockRef>::new());
    let mut blocks: BTreeMap<Checksum256, Block> = BTreeMap::new();
    while let Some(event) = reader.next_event().unwrap() {
        let block = match event {
            Event::Block(block) => *block,
            Event::AbiDump(dump) => {
                steps.push(Step::Dump(dump));
                continue;
            }
            Event::SwitchFork { .. } => continue,
        };
        let first_parent = BlockRef { number: block.number - 1, id: block.header.previous };
        let forks = forks.get_or_insert_with(|| ForkDb::new(first_parent));
        let encoded = EncodedBlock::encode(&block, &mut writer).unwrap();
        blocks.insert(block.id, block);
        if forks.add(encoded) != Added::Head {
            continue;
        }
        let best = std::iter::successors(blocks.get(&forks.head().id), |block| blocks.get(&block.header.previous));
        let mut best: Vec<_> = best.map(|block| BlockRef { number: block.number, id: block.id }).collect();
        best.reverse();
        while let Some(undone) = chain.pop_if(|head| !best.contains(head)) {
            steps.push(Step::Undo(undone));
        }
        for block in &best[chain.len()..] {
            steps.push(Step::New(Box::new(blocks[&block.id].clone())));
        }
        chain = best;
        if let Some(last) = forks.finalize().irreversible.last() {
            steps.push(Step::Final(last.into()));
        }
    }
    steps
}

fn commit(pipeline: &mut Pipeline, step: &Step) {
    match step {
        Step::New(block) => drop(pipeline.apply(block).unwrap()),
        Step::Undo(block) => pipeline.undo(*block).unwrap(),
        Step::Final(block) => pipeline.finalize(*block).unwrap(),
        Step::Dump(dump) => pipeline.abi_dump(dump.clone()).unwrap(),
    }
}

fn follow(follower: &mut Follower, step: &Step) {
    match step {
        Step::New(block) => drop(follower.apply(block).unwrap()),
        Step::Undo(block) => follower.undo(*block).unwrap(),
        Step::Final(block) => follower.finalize(*block).unwrap(),
        Step::Dump(dump) => follower.abi_dump(dump.clone()).unwrap(),
    }
}

/// Every entry of every family, ascending and descending, and some by themselves.
fn compare(found: &View, expected: &View, random: &mut Random) -> usize {
    assert_eq!((found.block(), found.irreversible()), (expected.block(), expected.irreversible()));
    let mut compared = 0;
    for family in indexes().iter().flat_map(|index| index.families()).copied() {
        let entries = |view: &View, direction| {
            let scan = view.scan_hinted(family, &KeyRange::all(), direction, Hint::Many).unwrap();
            scan.map(Result::unwrap).collect::<Vec<_>>()
        };
        let mut all = entries(expected, Direction::Forward);
        let name = family.name();
        assert!(entries(found, Direction::Forward) == all, "{name} at {:?}", found.block());
        for _ in 0..all.len().min(20) {
            let at = random.position(all.len());
            let (key, value) = &all[at];
            assert_eq!(found.get(family, key).unwrap().as_ref(), Some(value), "{name}");
            for direction in [Direction::Forward, Direction::Reverse] {
                let range = KeyRange::all().skipped_to(key, direction);
                assert_eq!(found.first(family, &range, direction).unwrap().as_ref(), all.get(at), "{name}");
                let mut scan = found.scan(family, &KeyRange::all(), direction).unwrap();
                scan.skip_to(key).unwrap();
                assert_eq!(scan.next().transpose().unwrap().as_ref(), all.get(at), "{name}");
            }
        }
        compared += all.len();
        all.reverse();
        assert!(entries(found, Direction::Reverse) == all, "{name} at {:?}", found.block());
    }
    compared
}

/// The same blocks everywhere, those that lost among them. A follower that began late does not know of all of those.
fn compare_snapshots(found: &ServingSnapshot, expected: &ServingSnapshot, random: &mut Random, is_late: bool) -> usize {
    assert_eq!((found.head(), found.lib()), (expected.head(), expected.lib()));
    let (known, all): (Vec<_>, Vec<_>) = (found.forked_blocks().collect(), expected.forked_blocks().collect());
    assert!(known == all || is_late && known.iter().all(|block| all.contains(block)), "{known:?} {all:?}");
    let mut compared = compare(found.view(), expected.view(), random);
    let lost = found.forked_blocks().last();
    for block in lost.into_iter().chain(expected.lib()) {
        let [found, expected] = [found, expected].map(|snapshot| snapshot.view_at(block.id).unwrap());
        compared += compare(&found.unwrap(), &expected.unwrap(), random);
    }
    compared
}

/// The blocks of the best chain after some steps, and the last of them that is final.
fn chain_after(steps: &[Step]) -> (Vec<&Block>, Option<BlockRef>) {
    let (mut chain, mut last) = (Vec::new(), None);
    for step in steps {
        match step {
            Step::New(block) => chain.push(&**block),
            Step::Undo(_) => drop(chain.pop()),
            Step::Final(block) => last = Some(*block),
            Step::Dump(_) => {}
        }
    }
    (chain, last)
}

fn number(block: Option<BlockRef>) -> u32 {
    block.map_or(0, |block| block.number)
}

/// A committer that begins with what is committed, and has taken those steps.
fn restarted_committer(store: &Arc<dyn Store>, steps: &[Step]) -> Pipeline {
    let mut committer = Pipeline::open(store.clone(), None, indexes(), Options::default()).unwrap();
    let (chain, last) = chain_after(steps);
    let committed = number(committer.serving().status().committed);
    for block in chain.into_iter().filter(|block| block.number > committed) {
        committer.apply(block).unwrap();
    }
    if let Some(last) = last {
        committer.finalize(last).unwrap();
    }
    committer
}

/// The same of a follower.
fn restarted_follower(store: &Arc<dyn Store>, options: Options, steps: &[Step]) -> Follower {
    let mut follower = Follower::open(store.clone(), indexes(), options).unwrap();
    let (chain, last) = chain_after(steps);
    let committed = number(follower.committed());
    for block in chain.into_iter().filter(|block| block.number > committed) {
        follower.apply(block).unwrap();
    }
    if let Some(last) = last {
        follower.finalize(last).unwrap();
    }
    follower
}

/// The second follower has so `little` memory for the writes of reversible blocks that most are in the scratch space. Returns how many
/// entries were compared, and how many snapshots each follower took.
fn run(steps: &[Step], seed: u64, little: usize) -> (usize, [usize; 2]) {
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let (store, _) =
        dfuse_kv::open(folder.path().join("index"), &keyspaces(&indexes()), EngineOptions::default()).unwrap();
    let mut committer = Pipeline::open(store.clone(), None, indexes(), Options::default()).unwrap();
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(&keyspaces(&indexes())));
    let mut whole = Pipeline::open(memory, None, indexes(), Options::default()).unwrap();
    let little = Options {
        overlay_bytes: little,
        batch_bytes: little / 2,
        scratch: ScratchSpace::in_directory(folder.path().join("scratch")),
        ..Options::default()
    };
    let options = [Options::default(), little];
    let mut followers = options.clone().map(|options| Follower::open(store.clone(), indexes(), options).unwrap());
    let mut is_late = [false; 2];
    let (mut compared, mut taken, mut spilled, mut behind) = (0, [0; 2], 0, 0);
    let mut kept: Vec<Arc<dyn Snapshot>> = Vec::new();
    // Now and then the committer is behind the followers, now and then it is ahead of them.
    let mut committed = 0;
    for (at, step) in steps.iter().enumerate() {
        commit(&mut whole, step);
        let is_dump = matches!(step, Step::Dump(_));
        if is_dump || random.one_in(3) {
            let end = if is_dump { at + 1 } else { (at + random.position(12)).min(steps.len()) };
            steps[committed.min(end)..end].iter().for_each(|step| commit(&mut committer, step));
            committed = committed.max(end);
        }
        if random.one_in(40) {
            committer = restarted_committer(&store, &steps[..committed]);
        }
        for (which, (follower, taken)) in followers.iter_mut().zip(&mut taken).enumerate() {
            if is_dump {
                // The store has it by now.
                follower.adopt_newest().unwrap();
            }
            follow(follower, step);
            let before = (follower.committed(), follower.serving().snapshot());
            let adopted = match random.position(3) {
                0 => follower.adopt_newest().unwrap(),
                1 if !kept.is_empty() => Some(follower.adopt(kept[random.position(kept.len())].clone()).unwrap()),
                _ => None,
            };
            assert!(number(follower.committed()) >= number(before.0));
            if adopted == Some(Adopted::Taken) {
                *taken += 1;
                if random.one_in(8) {
                    let serving = follower.serving().snapshot();
                    compared += compare_snapshots(&serving, &before.1, &mut random, false);
                }
            }
            // What is committed may be above what it has taken: then its feed would begin there.
            if committed <= at && random.one_in(40) {
                let mut options = options[which].clone();
                if which == LITTLE {
                    // The one before it has its own until it is gone.
                    options.scratch = ScratchSpace::in_directory(folder.path().join(format!("scratch of {at}")));
                }
                *follower = restarted_follower(&store, options, &steps[..=at]);
                is_late[which] = true;
            }
            spilled += follower.serving().status().spilled_blocks;
            behind += usize::from(follower.committed() != follower.irreversible());
        }
        if random.one_in(20) {
            kept.push(store.snapshot().unwrap());
        }
        if random.one_in(60) || at + 1 == steps.len() {
            let expected = whole.serving().snapshot();
            for (follower, is_late) in followers.iter().zip(is_late) {
                compared += compare_snapshots(&follower.serving().snapshot(), &expected, &mut random, is_late);
            }
        }
    }
    assert!(spilled > 0 && behind > 0, "{spilled} {behind}");
    (compared, taken)
}

#[test]
fn every_family_of_a_synthetic_chain() {
    for seed in 0..2 {
        let chain =
            SyntheticChain::builder().seed(seed).blocks(160).fork(Fork::new(20, 2, 3)).fork(Fork::new(90, 4, 5));
        let mut log = Vec::new();
        chain.build().write_log(&mut log).unwrap();
        let (compared, taken) = run(&steps(&log[..]), seed, 32 << 10);
        assert!(compared > 10_000 && taken.iter().all(|taken| *taken > 2), "{compared} {taken:?}");
    }
}

#[test]
fn every_family_of_a_recorded_chain_with_forks() {
    let Some(log) = recorded::open("fork/fork.dmlog.zst") else { return };
    let (compared, taken) = run(&steps(log), 7, 256 << 10);
    assert!(compared > 10_000 && taken.iter().all(|taken| *taken > 10), "{compared} {taken:?}");
}
