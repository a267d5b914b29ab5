//! Traces of state history: what the transactions of a block did.

use bytes::Bytes;
use dfuse_antelope::{
    Error as Wrong, Result as Decoded, Signature,
    model::{
        AccountRamDelta, Action, ActionReceipt, ActionTrace, Exception, Extension, SignedTransaction, Transaction,
        TransactionHeader, TransactionReceiptHeader, TransactionStatus, TransactionTrace,
    },
    raw::Reader,
};

use crate::{Error, Result, creation};

/// A failed deferred transaction stands inside the trace of its error handler, and no deeper.
const MAX_DEPTH: usize = 4;
/// In place of an exception's text, unless the node keeps texts (`trace-history-debug-mode`).
const SOME_EXCEPTION: &str = "Y";

/// What one transaction did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// The trace, with actions in the order of execution. It has no operations, and neither block nor index.
    pub trace: TransactionTrace,
    /// RAM that a deferred transaction gave back or took as a whole.
    pub ram_delta: Option<AccountRamDelta>,
    /// What its transaction had besides actions. The trace of an error handler has none: the failed one inside of it has.
    pub transaction: Option<PartialTransaction>,
    /// The deferred transaction whose failure this one handles.
    pub failed: Option<Box<Trace>>,
}

/// What a trace says of its transaction besides actions.
#[derive(Debug, Clone, PartialEq)]
pub struct PartialTransaction {
    /// When it expires, and what it may use.
    pub header: TransactionHeader,
    /// Its extensions.
    pub extensions: Vec<Extension>,
    /// Not as text, which takes longer to make than all the rest and is hardly ever asked for.
    pub signatures: Vec<Signature>,
    /// What its context-free actions read.
    pub context_free_data: Vec<Bytes>,
}

impl Trace {
    /// The transaction, whose actions are those of the trace that no other action caused. It has no actions if it was not executed.
    pub fn signed_transaction(&self) -> Option<SignedTransaction> {
        let partial = self.transaction.clone()?;
        let mut roots: Vec<_> = self.trace.action_traces.iter().filter(|action| action.is_input()).collect();
        roots.sort_by_key(|action| action.action_ordinal);
        let (context_free, others) = roots.into_iter().partition::<Vec<_>, _>(|action| action.context_free);
        let actions = |traces: Vec<&ActionTrace>| traces.into_iter().map(|trace| trace.action.clone()).collect();
        Some(SignedTransaction {
            transaction: Transaction {
                header: partial.header,
                context_free_actions: actions(context_free),
                actions: actions(others),
                extensions: partial.extensions,
            },
            signatures: partial.signatures.iter().map(Signature::to_string).collect(),
            context_free_data: partial.context_free_data,
        })
    }
}

/// Reads the `traces` of a message, or of an entry of `trace_history.log`. What comes back shares their memory.
///
/// # Errors
/// The bytes are wrong, end too early or go on after the end, or have a form that is not known.
pub fn traces(bytes: &Bytes) -> Result<Vec<Trace>> {
    let mut reader = Reader::sharing(bytes);
    let decoded = reader.list(100, "transaction traces", |r| transaction_trace(r, 0));
    let decoded = decoded.and_then(|traces| reader.finish("traces").map(|()| traces));
    decoded.map_err(|error| Error::Damaged {
        offset: reader.position() as u64,
        what: "traces".to_owned(),
        why: error.to_string(),
    })
}

fn transaction_trace(reader: &mut Reader<'_>, depth: usize) -> Decoded<Trace> {
    if depth > MAX_DEPTH {
        return Err(Wrong::Limit { what: "nesting of failed deferred transactions", limit: MAX_DEPTH });
    }
    variant(reader, "transaction trace", 0)?;
    let id = reader.checksum256()?;
    let receipt = TransactionReceiptHeader {
        status: TransactionStatus::from_chain(reader.u8()?),
        cpu_usage_micro_seconds: reader.u32()?,
        net_usage_words: reader.varuint32()?,
    };
    let mut trace = TransactionTrace {
        id,
        receipt: Some(receipt),
        elapsed: reader.i64()?,
        net_usage: reader.u64()?,
        scheduled: reader.bool()?,
        action_traces: reader.list(60, "action traces", action_trace)?,
        ..TransactionTrace::default()
    };
    let ram_delta = reader.option(AccountRamDelta::unpack)?;
    trace.exception = exception(reader)?;
    trace.error_code = reader.option(Reader::u64)?.unwrap_or(0);
    let failed = reader.option(|r| transaction_trace(r, depth + 1).map(Box::new))?;
    let transaction = reader.option(partial_transaction)?;
    for action in &mut trace.action_traces {
        action.transaction_id = id;
    }
    creation::complete(&mut trace)?;
    Ok(Trace { trace, ram_delta, transaction, failed })
}

fn action_trace(reader: &mut Reader<'_>) -> Decoded<ActionTrace> {
    let version = variant(reader, "action trace", 1)?;
    let mut trace = ActionTrace {
        action_ordinal: reader.varuint32()?,
        creator_action_ordinal: reader.varuint32()?,
        receipt: reader.option(action_receipt)?,
        receiver: reader.name()?,
        action: Action::unpack(reader)?,
        context_free: reader.bool()?,
        elapsed: reader.i64()?,
        console: reader.string("console")?,
        account_ram_deltas: reader.list(16, "account RAM deltas", AccountRamDelta::unpack)?,
        ..ActionTrace::default()
    };
    trace.exception = exception(reader)?;
    trace.error_code = reader.option(Reader::u64)?.unwrap_or(0);
    if version == 1 {
        trace.raw_return_value = reader.bytes("return value")?;
    }
    Ok(trace)
}

fn action_receipt(reader: &mut Reader<'_>) -> Decoded<ActionReceipt> {
    variant(reader, "action receipt", 0)?;
    ActionReceipt::unpack(reader)
}

/// Only the text of an exception is ever there, and that only if the node keeps it.
fn exception(reader: &mut Reader<'_>) -> Decoded<Option<Box<Exception>>> {
    let text = reader.option(|r| r.string("exception"))?;
    Ok(text.map(|text| {
        let message = if text == SOME_EXCEPTION { String::new() } else { text };
        Box::new(Exception { message, ..Exception::default() })
    }))
}

fn partial_transaction(reader: &mut Reader<'_>) -> Decoded<PartialTransaction> {
    variant(reader, "partial transaction", 0)?;
    Ok(PartialTransaction {
        header: TransactionHeader::unpack(reader)?,
        extensions: dfuse_antelope::chain::unpack_extensions(reader)?,
        signatures: reader.list(66, "signatures", Signature::read)?,
        context_free_data: reader.list(1, "context-free data", |r| r.bytes("context-free data"))?,
    })
}

/// The variant in front of a value, of which those up to `last` are known.
fn variant(reader: &mut Reader<'_>, what: &'static str, last: u32) -> Decoded<u32> {
    match reader.varuint32()? {
        known if known <= last => Ok(known),
        other => Err(Wrong::invalid(what, format!("unknown variant {other}"))),
    }
}
