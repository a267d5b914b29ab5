//! The node's state-history logs, an independent binary record of traces, against the decoded traces.
//!
//! An entry is a mark, the block's id, the size of what follows (`uint64`), the content, and the entry's position
//! (`uint64`). The content is `uint32` 1, the unpacked size (`uint64`), then zlib. Traces and table deltas are written as
//! the state-history plugin's ABI says, where every struct of version 0 is a variant with index 0.

use std::io::Read;

use dfuse_antelope::{
    BlockTimestamp, Checksum256, Result, Signature, TimePointSec,
    model::{
        AccountRamDelta, Action, ActionReceipt, ActionTrace, Exception, Extension, SignedTransaction, Transaction,
        TransactionHeader, TransactionReceiptHeader, TransactionStatus, TransactionTrace,
    },
    raw::Reader,
};
use dfuse_testkit::{compare::assert_same, recorded};
use serde_json::Value;

use crate::chains::{FORK, Log, SMALL, traces_of_receipts};

const ARCHIVE: &str = "ship-and-blocks.tar.zst";

/// The blocks of one of the logs, with their content.
pub(crate) fn entries(log: &Log, name: &str) -> Option<Vec<(Checksum256, Vec<u8>)>> {
    let file = recorded::tar_member(&log.beside(ARCHIVE), &format!("state-history/{name}.log"))?;
    let mut reader = Reader::new(&file);
    let mut entries = vec![];
    while !reader.is_empty() {
        let start = reader.position() as u64;
        assert_eq!(reader.u64().unwrap(), 0xc35d_5000_0000_0000, "mark of version 0");
        let id = reader.checksum256().unwrap();
        let size = reader.u64().unwrap() as usize;
        let mut content = Reader::new(reader.take(size, "content").unwrap());
        assert_eq!((content.u32().unwrap(), reader.u64().unwrap()), (1, start));
        let mut unpacked = Vec::with_capacity(content.u64().unwrap() as usize);
        flate2::read::ZlibDecoder::new(content.remaining()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked.len(), unpacked.capacity());
        entries.push((id, unpacked));
    }
    Some(entries)
}

/// The index that precedes a value.
pub(crate) fn variant(reader: &mut Reader<'_>, wanted: u32) {
    assert_eq!(reader.varuint32().unwrap(), wanted, "variant");
}

/// A trace, and what it repeats of the signed transaction.
fn transaction_trace(reader: &mut Reader<'_>) -> Result<(TransactionTrace, Option<SignedTransaction>)> {
    variant(reader, 0);
    let mut trace = TransactionTrace {
        id: reader.checksum256()?,
        receipt: Some(TransactionReceiptHeader {
            status: TransactionStatus::from_chain(reader.u8()?),
            cpu_usage_micro_seconds: reader.u32()?,
            net_usage_words: reader.varuint32()?,
        }),
        elapsed: reader.i64()?,
        net_usage: reader.u64()?,
        scheduled: reader.bool()?,
        action_traces: reader.list(50, "action traces", action_trace)?,
        ..TransactionTrace::default()
    };
    reader.option(AccountRamDelta::unpack)?;
    trace.exception = reader.option(exception)?;
    trace.error_code = reader.option(Reader::u64)?.unwrap_or(0);
    trace.failed_dtrx_trace = reader.option(|r| Ok(Box::new(transaction_trace(r)?.0)))?;
    Ok((trace, reader.option(partial_transaction)?))
}

fn partial_transaction(reader: &mut Reader<'_>) -> Result<SignedTransaction> {
    variant(reader, 0);
    Ok(SignedTransaction {
        transaction: Transaction {
            header: TransactionHeader {
                expiration: TimePointSec(reader.u32()?),
                ref_block_num: reader.u16()?.into(),
                ref_block_prefix: reader.u32()?,
                max_net_usage_words: reader.varuint32()?,
                max_cpu_usage_ms: reader.u8()?.into(),
                delay_sec: reader.varuint32()?,
            },
            extensions: reader
                .list(3, "extensions", |r| Ok(Extension { r#type: r.u16()?.into(), data: r.bytes("extension")? }))?,
            ..Transaction::default()
        },
        signatures: reader.list(66, "signatures", |r| Ok(Signature::read(r)?.to_string()))?,
        context_free_data: reader.list(1, "context-free data", |r| r.bytes("context-free data"))?,
    })
}

fn action_trace(reader: &mut Reader<'_>) -> Result<ActionTrace> {
    // Version 1 has a return value.
    variant(reader, 1);
    Ok(ActionTrace {
        action_ordinal: reader.varuint32()?,
        creator_action_ordinal: reader.varuint32()?,
        receipt: reader.option(action_receipt)?,
        receiver: reader.name()?,
        action: Action::unpack(reader)?,
        context_free: reader.bool()?,
        elapsed: reader.i64()?,
        console: reader.string("console")?,
        account_ram_deltas: reader.list(16, "account RAM deltas", AccountRamDelta::unpack)?,
        exception: reader.option(exception)?,
        error_code: reader.option(Reader::u64)?.unwrap_or(0),
        raw_return_value: reader.bytes("return value")?,
        ..ActionTrace::default()
    })
}

fn action_receipt(reader: &mut Reader<'_>) -> Result<ActionReceipt> {
    variant(reader, 0);
    ActionReceipt::unpack(reader)
}

/// Of an exception, a node that was not told to record more says that there was one: "Y".
fn exception(reader: &mut Reader<'_>) -> Result<Box<Exception>> {
    assert_eq!(reader.string("exception")?, "Y");
    Ok(Box::default())
}

/// What a decoded trace has in common with that of state history, where actions are in the order of their ordinals.
fn common(trace: &TransactionTrace) -> TransactionTrace {
    let exception = |exception: &Option<Box<Exception>>| exception.as_ref().map(|_| Box::default());
    let action = |action: &ActionTrace| ActionTrace {
        exception: exception(&action.exception),
        // The node was not told to record these.
        elapsed: 0,
        console: String::new(),
        // State history does not have these.
        closest_unnotified_ancestor_action_ordinal: 0,
        transaction_id: Checksum256::default(),
        block_num: 0,
        block_time: BlockTimestamp::default(),
        producer_block_id: None,
        execution_index: 0,
        ..action.clone()
    };
    let mut action_traces: Vec<ActionTrace> = trace.action_traces.iter().map(action).collect();
    action_traces.sort_by_key(|action| action.action_ordinal);
    let mut receipt = trace.receipt.clone();
    let mut failed_dtrx_trace = trace.failed_dtrx_trace.as_deref().map(|failed| Box::new(common(failed)));
    if let (Some(failed), Some(receipt)) = (&mut failed_dtrx_trace, &mut receipt) {
        // A failed transaction has no receipt. We say that it failed softly, as other readers of deep-mind logs do; state
        // history repeats the status of the handler, and calls a handler that ran executed.
        assert_eq!(failed.receipt.as_ref().unwrap().status, TransactionStatus::SoftFail);
        failed.receipt =
            Some(TransactionReceiptHeader { status: receipt.status, ..TransactionReceiptHeader::default() });
        if receipt.status == TransactionStatus::SoftFail {
            receipt.status = TransactionStatus::Executed;
        }
    }
    TransactionTrace {
        id: trace.id,
        receipt,
        net_usage: trace.net_usage,
        scheduled: trace.scheduled,
        action_traces,
        failed_dtrx_trace,
        exception: exception(&trace.exception),
        error_code: trace.error_code,
        ..TransactionTrace::default()
    }
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

fn compare(log: &'static Log, wanted: (usize, usize, usize)) {
    let (Some(chain), Some(entries)) = (log.chain(), entries(log, "trace_history")) else { return };
    let canonical = chain.canonical();
    assert_eq!(canonical.len(), entries.len());
    let (mut transactions, mut headers) = (0, 0);
    for (block, (id, content)) in std::iter::zip(canonical, &entries) {
        assert_eq!(block.id, *id);
        let mut reader = Reader::new(content);
        let theirs = reader.list(50, "traces", transaction_trace).unwrap();
        reader.finish("traces").unwrap();
        // State history has a failed deferred transaction inside of its handler only.
        let ours: Vec<_> = traces_of_receipts(block).collect();
        assert_eq!(ours.len(), theirs.len(), "block {id}");
        for (ours, (theirs, signed)) in std::iter::zip(ours, &theirs) {
            let what = format!("{}, block {id}, transaction {}: ", log.name, ours.id);
            assert_same(&what, &json(&common(ours)), &json(theirs));
            transactions += 1;
            let receipt = block.unfiltered_transactions.iter().find(|receipt| receipt.id == ours.id);
            if let (Some(signed), Some(packed)) = (signed, receipt.and_then(|r| r.packed_transaction.as_ref())) {
                let mut ours = packed.signed_transaction().unwrap();
                ours.transaction.actions.clear();
                ours.transaction.context_free_actions.clear();
                assert_same(&what, &json(&ours), &json(signed));
                headers += 1;
            }
        }
    }
    assert_eq!((entries.len(), transactions, headers), wanted, "{}: blocks, transactions, headers", log.name);
}

#[test]
fn traces_are_those_of_state_history() {
    compare(&SMALL, (364, 863, 424));
    compare(&FORK, (413, 1825, 1412));
}
