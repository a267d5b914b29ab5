//! The binary `transaction_trace` of an `APPLIED_TRANSACTION` line.

use dfuse_antelope::{
    BlockTimestamp, Error, Result,
    model::{
        AccountRamDelta, Action, ActionReceipt, ActionTrace, Exception, ExceptionLogContext, ExceptionLogMessage,
        TransactionReceiptHeader, TransactionStatus, TransactionTrace,
    },
    raw::Reader,
};
use serde_json::Value;

use crate::{Software, variant};

/// A failed deferred transaction stands inside the trace of its error handler, and no deeper.
const MAX_DEPTH: usize = 4;

/// Reads `transaction_trace`; actions come in the order of execution.
pub(crate) fn read(reader: &mut Reader<'_>, software: Software) -> Result<TransactionTrace> {
    transaction_trace(reader, software, 0)
}

fn transaction_trace(reader: &mut Reader<'_>, software: Software, depth: usize) -> Result<TransactionTrace> {
    if depth > MAX_DEPTH {
        return Err(Error::Limit { what: "nesting of failed deferred transactions", limit: MAX_DEPTH });
    }
    let mut trace = TransactionTrace {
        id: reader.checksum256()?,
        block_num: reader.u32()?.into(),
        block_time: BlockTimestamp(reader.u32()?),
        producer_block_id: reader.option(Reader::checksum256)?,
        receipt: reader.option(|r| {
            Ok(TransactionReceiptHeader {
                status: TransactionStatus::from_chain(r.u8()?),
                cpu_usage_micro_seconds: r.u32()?,
                net_usage_words: r.varuint32()?,
            })
        })?,
        elapsed: reader.i64()?,
        net_usage: reader.u64()?,
        scheduled: reader.bool()?,
        action_traces: reader.list(110, "action traces", |r| action_trace(r, software))?,
        ..TransactionTrace::default()
    };
    // An account's RAM delta of the whole transaction: the actions and RAM operations say it in full.
    reader.option(AccountRamDelta::unpack)?;
    trace.failed_dtrx_trace = reader.option(|r| transaction_trace(r, software, depth + 1).map(Box::new))?;
    trace.exception = reader.option(|r| exception(r).map(Box::new))?;
    trace.error_code = reader.option(Reader::u64)?.unwrap_or(0);
    sort_by_execution(&mut trace.action_traces);
    Ok(trace)
}

/// The wire has actions in the order in which they were scheduled. Those that were not executed come last.
fn sort_by_execution(actions: &mut [ActionTrace]) {
    let order = |action: &ActionTrace| match &action.receipt {
        Some(receipt) if receipt.global_sequence != 0 => receipt.global_sequence,
        _ => u64::MAX,
    };
    if !actions.is_sorted_by_key(order) {
        actions.sort_by_key(order);
    }
    for (index, action) in actions.iter_mut().enumerate() {
        action.execution_index = index as u32;
    }
}

fn action_trace(reader: &mut Reader<'_>, software: Software) -> Result<ActionTrace> {
    let mut trace = ActionTrace {
        action_ordinal: reader.varuint32()?,
        creator_action_ordinal: reader.varuint32()?,
        closest_unnotified_ancestor_action_ordinal: reader.varuint32()?,
        receipt: reader.option(ActionReceipt::unpack)?,
        receiver: reader.name()?,
        action: Action::unpack(reader)?,
        context_free: reader.bool()?,
        elapsed: reader.i64()?,
        console: reader.string("console")?,
        transaction_id: reader.checksum256()?,
        block_num: reader.u32()?.into(),
        block_time: BlockTimestamp(reader.u32()?),
        producer_block_id: reader.option(Reader::checksum256)?,
        account_ram_deltas: reader.list(16, "account RAM deltas", AccountRamDelta::unpack)?,
        ..ActionTrace::default()
    };
    if software.is_eosio_21() {
        reader.list(16, "account disk deltas", AccountRamDelta::unpack)?;
    }
    trace.exception = reader.option(|r| exception(r).map(Box::new))?;
    trace.error_code = reader.option(Reader::u64)?.unwrap_or(0);
    if software.has_return_values() {
        trace.raw_return_value = reader.bytes("return value")?;
    }
    Ok(trace)
}

fn exception(reader: &mut Reader<'_>) -> Result<Exception> {
    Ok(Exception {
        // The schema has 32 bits; node error codes have seven digits.
        code: reader.i64()? as i32,
        name: reader.string("exception name")?,
        message: reader.string("exception message")?,
        stack: reader.list(1, "exception stack", log_message)?,
    })
}

/// A message of the stack is one object `{context, format, data}`.
fn log_message(reader: &mut Reader<'_>) -> Result<ExceptionLogMessage> {
    let message = variant::read(reader)?;
    Ok(ExceptionLogMessage {
        context: message.get("context").filter(|c| c.is_object()).map(|c| log_context(c, 0)),
        format: text(&message, "format"),
        data: message.get("data").map_or_else(String::new, Value::to_string).into(),
    })
}

fn log_context(context: &Value, depth: usize) -> ExceptionLogContext {
    ExceptionLogContext {
        level: text(context, "level"),
        file: text(context, "file"),
        line: context.get("line").and_then(Value::as_i64).unwrap_or(0) as i32,
        method: text(context, "method"),
        hostname: text(context, "hostname"),
        thread_name: text(context, "thread_name"),
        timestamp: text(context, "timestamp").parse().unwrap_or_default(),
        // `context` of a context is a string in what nodes write; an object is followed as the schema allows.
        context: match context.get("context").filter(|c| c.is_object()) {
            Some(inner) if depth < MAX_DEPTH => Some(Box::new(log_context(inner, depth + 1))),
            _ => None,
        },
    }
}

fn text(object: &Value, key: &str) -> String {
    object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
