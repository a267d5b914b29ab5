//! Traces and block logs of real nodes: they say what deep mind of the same node says.
#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    io::{Cursor, Read},
};

use bytes::Bytes;
use dfuse_antelope::{
    Checksum256,
    chain::SignedBlock,
    model::{Block, TransactionReceiptHeader, TransactionStatus, TransactionTrace},
    raw,
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_ship::{BlockLog, Error, HistoryLog, Trace, traces};
use dfuse_testkit::recorded;

fn log(chain: &str, file: &str) -> Option<Vec<u8>> {
    recorded::tar_member(&format!("{chain}/ship-and-blocks.tar.zst"), file)
}

/// Blocks that deep mind of the same node logged, by id.
fn deep_mind(chain: &str) -> Option<HashMap<Checksum256, Block>> {
    let mut reader = Reader::new(recorded::open(&format!("{chain}/{chain}.dmlog.zst"))?);
    let mut blocks = HashMap::new();
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(block) = event {
            blocks.insert(block.id, *block);
        }
    }
    Some(blocks)
}

fn logged_traces(chain: &str) -> Option<Vec<(Checksum256, Bytes)>> {
    let mut log = HistoryLog::open(Cursor::new(log(chain, "state-history/trace_history.log")?)).unwrap();
    let mut all = vec![];
    while let Some(entry) = log.next_entry().unwrap() {
        let mut content = vec![];
        log.content(&entry).unwrap().read_to_end(&mut content).unwrap();
        all.push((entry.block_id, content.into()));
    }
    Some(all)
}

/// A trace of deep mind without what state history does not have.
fn reduced(trace: &TransactionTrace) -> TransactionTrace {
    let mut trace = TransactionTrace {
        block_num: 0,
        block_time: Default::default(),
        producer_block_id: None,
        elapsed: 0,
        failed_dtrx_trace: None,
        db_ops: vec![],
        dtrx_ops: vec![],
        feature_ops: vec![],
        perm_ops: vec![],
        ram_ops: vec![],
        ram_correction_ops: vec![],
        rlimit_ops: vec![],
        table_ops: vec![],
        index: 0,
        exception: trace.exception.as_ref().map(|_| Default::default()),
        ..trace.clone()
    };
    for action in &mut trace.action_traces {
        action.block_num = 0;
        action.block_time = Default::default();
        action.producer_block_id = None;
        action.elapsed = 0;
        action.console.clear();
        action.exception = action.exception.as_ref().map(|_| Default::default());
        action.action.json_data.clear();
        action.json_return_value.clear();
    }
    trace
}

/// The traces in the form of deep mind: that of a failed deferred transaction stands before the one of its handler.
fn flattened(traces: Vec<Trace>) -> Vec<TransactionTrace> {
    let mut flat = vec![];
    for mut trace in traces {
        if let Some(failed) = trace.failed.take() {
            let soft = TransactionReceiptHeader { status: TransactionStatus::SoftFail, ..Default::default() };
            flat.push(TransactionTrace { receipt: Some(soft), ..failed.trace });
            let receipt = trace.trace.receipt.as_mut().unwrap();
            if receipt.status == TransactionStatus::Executed {
                receipt.status = TransactionStatus::SoftFail;
            }
        }
        flat.push(trace.trace);
    }
    flat
}

#[test]
fn traces_are_those_of_deep_mind() {
    // Those of failed deferred transactions among them.
    for (chain, actions) in [("small", 1555), ("fork", 4891)] {
        let (Some(entries), Some(blocks)) = (logged_traces(chain), deep_mind(chain)) else { return };
        let mut compared = 0;
        for (id, content) in entries {
            let block = &blocks[&id];
            let found = flattened(traces(&content).unwrap());
            assert_eq!(found.len(), block.unfiltered_transaction_traces.len(), "{chain}, block {}", block.number);
            for (trace, wanted) in found.iter().zip(&block.unfiltered_transaction_traces) {
                compared += trace.action_traces.len();
                assert_eq!(*trace, reduced(wanted), "{chain}, block {}", block.number);
            }
        }
        assert_eq!(compared, actions, "{chain}");
    }
}

#[test]
fn transactions_follow_from_traces() {
    let (mut same, mut other) = (0, HashMap::<_, u32>::new());
    for chain in ["small", "fork"] {
        let Some(entries) = logged_traces(chain) else { return };
        for (_, content) in entries {
            for trace in traces(&content).unwrap() {
                let trace = trace.failed.map_or(Trace { failed: None, ..trace }, |failed| *failed);
                if trace.signed_transaction().unwrap().transaction.id() == trace.trace.id {
                    same += 1;
                } else {
                    *other.entry(trace.trace.receipt.unwrap().status).or_default() += 1;
                }
            }
        }
    }
    // Delayed and expired ones have no actions; one that was replaced keeps its id.
    let exceptions =
        [(TransactionStatus::Delayed, 4), (TransactionStatus::Expired, 2), (TransactionStatus::Executed, 2)];
    assert_eq!((same, other), (2680, HashMap::from(exceptions)));
}

#[test]
fn a_block_log_has_the_blocks_of_deep_mind() {
    for (chain, last) in [("small", 345), ("fork", 374)] {
        let (Some(bytes), Some(blocks)) = (log(chain, "blocks/blocks.log"), deep_mind(chain)) else { return };
        let mut log = BlockLog::open(Cursor::new(bytes.clone())).unwrap();
        assert_eq!((log.first_block_num(), log.genesis().is_some()), (1, true));
        let genesis = recorded::bytes(&format!("{chain}/genesis.json")).unwrap();
        assert_eq!(log.chain_id(), dfuse_antelope::Genesis::from_json(&genesis).unwrap().chain_id().unwrap());
        let mut offsets = vec![];
        while let Some(logged) = log.next_block().unwrap() {
            offsets.push(logged.offset);
            assert_eq!(logged.id.block_num() as usize, offsets.len());
            let block = SignedBlock::unpack(&mut raw::Reader::new(&logged.block)).unwrap();
            if let Some(expected) = blocks.get(&logged.id) {
                assert_eq!(block.transactions, expected.unfiltered_transactions);
                assert_eq!(block.header, expected.header);
            } else {
                assert_eq!(offsets.len(), 1, "only the first block is not in a deep-mind log");
            }
        }
        assert_eq!(offsets.len(), last);
        pruned_and_damaged(&bytes, &offsets);
    }
}

fn pruned_and_damaged(bytes: &[u8], offsets: &[u64]) {
    let ids = |bytes: Vec<u8>| -> Result<Vec<u32>, Error> {
        let mut log = BlockLog::open(Cursor::new(bytes))?;
        let (mut all, first) = (vec![], log.first_block_num());
        while let Some(block) = log.next_block()? {
            all.push(block.id.block_num());
        }
        assert!(all.first().is_none_or(|number| *number == first));
        Ok(all)
    };
    let (begin, kept) = (offsets[0] as usize, 40);
    let last = offsets.len() as u32;
    let mut pruned = bytes.to_vec();
    pruned[3] |= 0x80;
    pruned[begin..offsets[offsets.len() - kept] as usize - 30].fill(0);
    pruned.extend((kept as u32).to_le_bytes());
    assert_eq!(ids(pruned).unwrap(), (last - 39..=last).collect::<Vec<_>>());

    let log = BlockLog::open(Cursor::new(bytes.to_vec())).unwrap();
    let mut log = log.seek(offsets[9]).unwrap();
    assert_eq!(log.next_block().unwrap().unwrap().id.block_num(), 10);

    let end = bytes.len();
    for cut in [end - 1, end - 9, *offsets.last().unwrap() as usize + 1] {
        match ids(bytes[..cut].to_vec()).unwrap_err() {
            Error::Truncated { offset, .. } => assert_eq!(offset, *offsets.last().unwrap()),
            other => panic!("{other}"),
        }
    }
    let mut damaged = bytes.to_vec();
    damaged[offsets[5] as usize - 8] ^= 1;
    let message = ids(damaged).unwrap_err().to_string();
    assert!(message.contains(&format!("byte {}", offsets[4])), "{message}");
    let mut newer = bytes.to_vec();
    newer[0] = 4;
    assert!(ids(newer).unwrap_err().to_string().contains("EOSIO 2.1"));
    assert!(matches!(ids(b"DMLOG START".to_vec()), Err(Error::NotABlockLog { .. })));
}
