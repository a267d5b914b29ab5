//! The reader against logs of chains that never were, of which every fact is known.

use dfuse_antelope::{
    Checksum256, Name, Signature,
    model::{Block, DbOp, TransactionStatus, TransactionTrace},
};
use dfuse_deep_mind::{Event, Reader, Stats};
use dfuse_testkit::damage::{NOISE, UNKNOWN, abandoned, mutations, sprinkle, torn};
use dfuse_testkit::synthetic::{
    Builder, ExpectedTransaction, Fork, Mix, Row, RowChange, RowKey, Software, Status, SyntheticBlock, SyntheticChain,
    TableKey, private_key,
};

fn status(status: Status) -> TransactionStatus {
    match status {
        Status::Executed => TransactionStatus::Executed,
        Status::SoftFail => TransactionStatus::SoftFail,
        Status::HardFail => TransactionStatus::HardFail,
        Status::Delayed => TransactionStatus::Delayed,
        Status::Expired => TransactionStatus::Expired,
    }
}

fn row(payer: Name, data: &[u8]) -> Option<Row> {
    (payer != Name(0)).then(|| Row { payer, data: data.into() })
}

fn row_change(op: &DbOp) -> RowChange {
    let table = TableKey { code: op.code, scope: op.scope, table: op.table_name };
    RowChange {
        key: RowKey { table, primary_key: op.primary_key.0 },
        old: row(op.old_payer, &op.old_data),
        new: row(op.new_payer, &op.new_data),
    }
}

fn check_trace(trace: &TransactionTrace, expected: &ExpectedTransaction) {
    let id = expected.id;
    assert_eq!(trace.id, id);
    assert_eq!(trace.receipt.as_ref().map(|it| it.status), expected.status.map(status), "{id}");
    assert_eq!(trace.is_reverted(), expected.reverted, "{id}");
    assert_eq!(trace.scheduled, expected.scheduled, "{id}");
    assert_eq!(trace.action_traces.len(), expected.actions.len(), "{id}");
    // A block has them as they were executed, the log and the facts as they were scheduled.
    let mut actions: Vec<_> = expected.actions.iter().collect();
    actions.sort_by_key(|action| action.global_sequence.unwrap_or(u64::MAX));
    for (action, expected) in trace.action_traces.iter().zip(actions) {
        assert_eq!(action.action_ordinal, expected.ordinal);
        assert_eq!(action.creator_action_ordinal, expected.creator);
        assert_eq!(action.receiver, expected.receiver);
        assert_eq!(action.action.account, expected.action.account);
        assert_eq!(action.action.name, expected.action.name);
        assert_eq!(action.action.raw_data, expected.action.data);
        let authorization: Vec<_> = action.action.authorization.iter().map(|it| (it.actor, it.permission)).collect();
        assert_eq!(authorization, expected.action.authorization);
        assert_eq!(action.receipt.as_ref().map(|it| it.global_sequence), expected.global_sequence);
        assert_eq!(action.raw_return_value, expected.return_value);
        assert_eq!(action.console, String::from_utf8_lossy(&expected.console));
    }
    let operations = &expected.operations;
    for (kind, found, expected) in [
        ("db", trace.db_ops.len(), operations.rows),
        ("table", trace.table_ops.len(), operations.tables),
        ("ram", trace.ram_ops.len(), operations.ram),
        ("dtrx", trace.dtrx_ops.len(), operations.deferred),
        ("perm", trace.perm_ops.len(), operations.permissions),
        ("feature", trace.feature_ops.len(), operations.features),
        ("rlimit", trace.rlimit_ops.len(), operations.resource_limits),
        ("creation", trace.creation_tree.len(), operations.creation),
    ] {
        assert_eq!(found, expected as usize, "{kind} operations of {id}");
    }
    if !expected.reverted {
        let rows: Vec<_> = trace.db_ops.iter().map(row_change).collect();
        assert_eq!(rows, expected.changes.rows, "{id}");
        check_execution_order(trace);
    }
}

/// The creation tree numbers actions as the node executed them.
fn check_execution_order(trace: &TransactionTrace) {
    let actions = &trace.action_traces;
    let nodes = &trace.creation_tree;
    for node in nodes {
        let action = &actions[node.execution_action_index as usize];
        let creator = usize::try_from(node.creator_action_index).ok().map(|at| nodes[at].execution_action_index);
        let creator = creator.map_or(0, |index| actions[index as usize].action_ordinal);
        assert_eq!(action.creator_action_ordinal, creator, "{}", trace.id);
        assert_eq!(action.execution_index, node.execution_action_index, "{}", trace.id);
    }
}

fn check_block(block: &Block, expected: &SyntheticBlock) {
    let number = expected.number;
    assert_eq!((block.id, block.number), (expected.id, number));
    assert_eq!(block.header.previous, expected.previous, "{number}");
    assert_eq!(block.header.timestamp.0, expected.slot, "{number}");
    assert_eq!(block.lib_num(), expected.lib, "{number}");
    let receipts: Vec<_> = block.transactions().iter().map(|receipt| receipt.id).collect();
    assert_eq!(receipts, expected.facts.receipts, "{number}");
    assert_eq!(block.implicit_transaction_ops().len(), expected.facts.implicit_transactions as usize, "{number}");
    assert_eq!(block.rlimit_ops.len(), expected.facts.resource_limits as usize, "{number}");
    assert_eq!(block.transaction_traces().len(), expected.facts.transactions.len(), "{number}");
    for (trace, expected) in block.transaction_traces().iter().zip(&expected.facts.transactions) {
        check_trace(trace, expected);
    }
    for (account, usage) in &expected.facts.ram {
        let traces = block.transaction_traces().iter().rev();
        let last = traces.flat_map(|trace| trace.ram_ops.iter().rev().map(move |op| (trace, op)));
        let mut last = last.filter(|(_, op)| op.payer == *account);
        // What a failed transaction printed is not what is left, unless its deferred transaction left the queue.
        let of_failed = |trace: &TransactionTrace| trace.is_reverted() && trace.receipt.is_none();
        if let Some((_, op)) = last.find(|(trace, _)| !of_failed(trace)) {
            assert_eq!(op.usage, u64::try_from(*usage).expect("never below zero"), "RAM of {account} at {number}");
        }
    }
}

/// Reads the whole log of a chain, compares every block, and returns what the reader counted.
fn check(builder: Builder) -> Stats {
    check_damaged(builder, |_, log| log)
}

/// The same with a log that `damage` did something to that must not matter.
fn check_damaged(builder: Builder, damage: impl Fn(&[SyntheticBlock], Vec<u8>) -> Vec<u8>) -> Stats {
    let chain = builder.build();
    let mut log = chain.prelude().to_vec();
    let expected: Vec<_> = chain.collect();
    expected.iter().for_each(|block| log.extend_from_slice(&block.lines));
    let log = damage(&expected, log);

    let mut reader = Reader::new(&log[..]);
    let mut blocks = expected.iter();
    let mut switch = None;
    while let Some(event) = reader.next_event().expect("a readable log") {
        match event {
            Event::AbiDump(dump) => assert_eq!(dump.abis.len(), 1),
            Event::SwitchFork { from, to } => switch = Some((from, to)),
            Event::Block(block) => {
                let expected = blocks.next().expect("no more blocks than expected");
                assert_eq!(switch.take(), expected.switch);
                check_block(&block, expected);
            }
        }
    }
    assert!(blocks.next().is_none());
    reader.stats().clone()
}

fn check_quiet(builder: Builder) -> Stats {
    let stats = check(builder);
    assert_eq!((stats.unknown.len(), stats.torn_line, stats.abandoned_blocks), (0, false, 0));
    assert_eq!(stats.lines, stats.deep_mind_lines);
    stats
}

fn varied(seed: u64) -> Builder {
    SyntheticChain::builder().seed(seed).blocks(250).transactions_per_block(2..=9).failing_onblock(30)
}

#[test]
fn leap() {
    for seed in 0..3 {
        check_quiet(varied(seed));
    }
}

#[test]
fn spring_with_and_without_savanna() {
    check_quiet(varied(4).software(Software::Spring { savanna_from: 60 }));
    check_quiet(varied(5).software(Software::Spring { savanna_from: u32::MAX }));
    check_quiet(varied(6).software(Software::Spring { savanna_from: 2 }).random_forks(50, 4));
}

#[test]
fn eosio_2_0() {
    check_quiet(varied(7).software(Software::Eosio20).random_forks(50, 4));
}

#[test]
fn eosio_2_1() {
    let stats = check_quiet(varied(8).software(Software::Eosio21).random_forks(50, 4));
    assert!(stats.key_value_operations > 0);
}

#[test]
fn forks() {
    let stats = check_quiet(
        varied(9)
            .fork(Fork::new(20, 3, 4))
            .fork(Fork { after: 40, branches: vec![2, 3, 5], rejoin: None })
            .fork(Fork { after: 60, branches: vec![4, 5], rejoin: Some(3) })
            .fork(Fork::new(100, 30, 31)),
    );
    assert_eq!(stats.fork_switches, 6);
    let stats = check_quiet(varied(10).random_forks(200, 6).stall_lib(50..=150));
    assert!(stats.fork_switches > 20);
}

#[test]
fn only_deferred_transactions() {
    let mix = Mix { deferred: 10, transfers: 3, ..Mix::transfers() };
    check_quiet(varied(11).mix(mix.clone()));
    check_quiet(varied(12).mix(mix).software(Software::Eosio20));
}

#[test]
fn busy() {
    check_quiet(SyntheticChain::builder().busy().blocks(40));
}

#[test]
fn lines_of_others_and_unknown_operations_change_nothing() {
    let builder = varied(13).blocks(60).random_forks(100, 3);
    let stats = check_damaged(builder, |_, log| sprinkle(&sprinkle(&log, NOISE, 3, 1), UNKNOWN, 5, 2));
    assert_eq!(stats.unknown.len(), UNKNOWN.len());
    assert!(stats.lines > stats.deep_mind_lines);
}

#[test]
fn a_block_begun_anew_is_read_as_if_begun_once() {
    let builder = varied(14).blocks(60).random_forks(100, 3);
    let stats = check_damaged(builder, |blocks, log| {
        let prelude = log.len() - blocks.iter().map(|block| block.lines.len()).sum::<usize>();
        let mut again = log[..prelude].to_vec();
        for (lines, block) in blocks.iter().enumerate() {
            again.extend_from_slice(abandoned(&block.lines, lines));
            let start = block.lines.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            // SWITCH_FORK comes once.
            again.extend_from_slice(&block.lines[if block.switch.is_some() { start } else { 0 }..]);
        }
        again
    });
    assert!(stats.abandoned_blocks > 60);
}

#[test]
fn a_torn_line_is_dropped_with_its_block() {
    let chain = varied(15).blocks(20).build();
    let prelude = chain.prelude().to_vec();
    let blocks: Vec<_> = chain.collect();
    let log = [prelude, blocks.iter().flat_map(|block| block.lines.clone()).collect()].concat();
    let mut reader = Reader::new(torn(&log));
    let read = reader.by_ref().map(Result::unwrap).filter(|event| matches!(event, Event::Block(_))).count();
    assert_eq!((read, reader.stats().torn_line), (blocks.len() - 1, true));
    assert_eq!(reader.unfinished_block(), blocks.last().map(|block| block.number));
}

#[test]
fn a_wrong_field_is_an_error_or_another_value_but_never_a_panic() {
    for software in [Software::Leap, Software::Eosio20, Software::Eosio21, Software::Spring { savanna_from: 10 }] {
        let chain = varied(16).blocks(30).transactions_per_block(1..=2).software(software).build();
        let prelude = chain.prelude().to_vec();
        let blocks: Vec<_> = chain.collect();
        for (at, block) in blocks.iter().enumerate().skip(1).step_by(9) {
            let lines: Vec<_> = block.lines.split_inclusive(|byte| *byte == b'\n').collect();
            for (number, line) in lines.iter().enumerate().step_by(1 + at % 3) {
                for mutation in mutations(line) {
                    let (before, after) = (lines[..number].concat(), lines[number + 1..].concat());
                    let log = [&prelude, &before, &mutation, &after].map(Vec::as_slice).concat();
                    let mut reader = Reader::new(&log[..]);
                    while let Ok(Some(_)) = reader.next_event() {}
                }
            }
        }
    }
}

#[test]
fn signatures_recover_to_the_keys_of_their_users() {
    let builder = varied(17).blocks(40).signed(true);
    let mut log = Vec::new();
    builder.clone().build().write_log(&mut log).unwrap();
    let mut signed = 0;
    for event in Reader::new(&log[..]) {
        let Event::Block(block) = event.unwrap() else { continue };
        for receipt in block.transactions() {
            let Some(packed) = receipt.packed_transaction.as_ref().filter(|packed| packed.compression == 0) else {
                continue;
            };
            let traces = block.transaction_traces().iter();
            let inputs = traces.filter(|it| it.id == receipt.id).flat_map(|it| &it.action_traces);
            let Some(first) = inputs.filter(|action| !action.context_free).find(|action| action.is_input()) else {
                continue;
            };
            let data = match &packed.packed_context_free_data[..] {
                [] => Checksum256::default(),
                data => Checksum256::sha256(data),
            };
            let message = [&builder.chain_id().0[..], &packed.packed_transaction, &data.0].concat();
            let signature: Signature = packed.signatures[0].parse().unwrap();
            let key = signature.recover(&Checksum256::sha256(&message)).unwrap();
            assert_eq!(key, private_key(first.action.authorization[0].actor).public_key());
            signed += 1;
        }
    }
    assert!(signed > 100);
}
