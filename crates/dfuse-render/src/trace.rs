//! What the execution of transactions and actions did.

use dfuse_antelope::{
    Checksum256, TimePoint,
    model::{
        ActionReceipt, ActionTrace, Exception, ExceptionLogContext, ExceptionLogMessage, TransactionReceiptHeader,
        TransactionTrace,
    },
};
use dfuse_index::Result;
use dfuse_trx::Status;
use serde::de::IgnoredAny;

use crate::{
    ActionTree,
    renderer::{Renderer, sequence_at},
    tree::Visit,
    writer::JsonWriter,
};

/// Writes the time of a log message.
pub(crate) type LogTime = fn(&mut JsonWriter<'_>, TimePoint);
const WHOLE_SECONDS: LogTime = |json, time| json.whole_seconds(time);

impl Renderer<'_> {
    /// A `TransactionTrace` of version 1. `first_sequence` is the global sequence at which the transaction began.
    pub(crate) fn transaction_trace(&mut self, trace: &TransactionTrace, first_sequence: u64) -> Result<()> {
        self.json.begin_object();
        if trace.id != Checksum256::default() {
            self.json.key("id").checksum(trace.id);
        }
        self.json.key("block_num").unsigned(trace.block_num);
        self.json.key("block_time").block_time(trace.block_time);
        self.json.key("producer_block_id").optional_id(trace.producer_block_id);
        self.json.key("receipt");
        match &trace.receipt {
            Some(receipt) => self.json.receipt(receipt),
            None => self.json.null(),
        }
        self.json.key("elapsed").signed(trace.elapsed);
        self.json.key("net_usage").unsigned(trace.net_usage);
        self.json.key("scheduled").boolean(trace.scheduled);
        self.json.key("action_traces");
        self.action_traces(trace, first_sequence)?;
        self.json.key("failed_dtrx_trace");
        match &trace.failed_dtrx_trace {
            // Blocks with deeper nesting than a few levels do not decode.
            Some(failed) => self.transaction_trace(failed, first_sequence)?,
            None => self.json.null(),
        }
        self.json.key("except").exception_or_null(trace.exception.as_deref());
        self.json.end_object();
        Ok(())
    }

    fn action_traces(&mut self, trace: &TransactionTrace, first_sequence: u64) -> Result<()> {
        self.json.begin_array();
        for visit in ActionTree::new(&trace.action_traces).walk() {
            match visit {
                Visit::Enter(at) => {
                    self.json.begin_object();
                    let sequence = sequence_at(trace, at as u32, first_sequence);
                    self.action_trace_v1(&trace.action_traces[at], sequence)?;
                    self.json.key("inline_traces").begin_array();
                }
                Visit::Leave(_) => {
                    self.json.end_array();
                    self.json.end_object();
                }
            }
        }
        self.json.end_array();
        Ok(())
    }

    /// All keys but the last one, `inline_traces`.
    fn action_trace_v1(&mut self, trace: &ActionTrace, sequence: u64) -> Result<()> {
        self.json.ordinals(trace);
        self.json.key("receipt").action_receipt(trace);
        self.json.key("act");
        self.action(&trace.action, sequence)?;
        self.json.key("context_free").boolean(trace.context_free);
        self.json.key("elapsed").signed(trace.elapsed);
        self.json.action_place(trace);
        self.json.key("account_ram_deltas").array_or_null(&trace.account_ram_deltas, |json, delta| {
            json.begin_object();
            json.key("account").name(delta.account);
            json.key("delta").signed(delta.delta);
            json.end_object();
        });
        self.json.key("except").exception_or_null(trace.exception.as_deref());
        if trace.receiver.0 != 0 {
            self.json.key("receiver").name(trace.receiver);
        }
        self.return_value(trace, sequence)
    }

    /// The keys of what an action returned, if it returned anything: its bytes, and its value if the ABI tells its type.
    fn return_value(&mut self, trace: &ActionTrace, sequence: u64) -> Result<()> {
        if trace.raw_return_value.is_empty() {
            return Ok(());
        }
        self.json.key("return_value_hex_data").hex(&trace.raw_return_value);
        self.return_value_data(trace, sequence)
    }

    /// The value that an action returned, by the ABI of the action's contract. Nothing if it does not decode.
    pub(crate) fn return_value_data(&mut self, trace: &ActionTrace, sequence: u64) -> Result<()> {
        let abi = self.abis.abi(trace.action.account, sequence)?;
        if let Some(kind) = abi.as_ref().and_then(|abi| abi.action_result(trace.action.name).ok()) {
            self.decoded("return_value_data", kind, &trace.raw_return_value);
        }
        Ok(())
    }

    /// The `trace` of an `action_trace` message (version 0): the action at a position in the order of execution, with all
    /// that is nested in it if `tree` is given, which is that of the transaction.
    ///
    /// # Panics
    /// If there is no such position.
    pub fn action_trace(
        &mut self,
        transaction: &TransactionTrace,
        position: usize,
        tree: Option<&ActionTree>,
    ) -> Result<()> {
        self.make_room();
        let first_sequence = self.first_sequence(transaction)?;
        let alone = [Visit::Enter(position), Visit::Leave(position)];
        let (nested, alone) = match tree {
            Some(tree) => (Some(tree.walk_from(position)), None),
            None => (None, Some(alone)),
        };
        for visit in nested.into_iter().flatten().chain(alone.into_iter().flatten()) {
            match visit {
                Visit::Enter(_) => {
                    self.json.begin_object();
                    self.json.key("inline_traces").begin_array();
                }
                Visit::Leave(at) => {
                    self.json.end_array();
                    let sequence = sequence_at(transaction, at as u32, first_sequence);
                    self.action_trace_v0(&transaction.action_traces[at], sequence)?;
                    self.json.end_object();
                }
            }
        }
        Ok(())
    }

    /// All keys but the first one, `inline_traces`.
    fn action_trace_v0(&mut self, trace: &ActionTrace, sequence: u64) -> Result<()> {
        self.json.ordinals(trace);
        self.json.key("receipt").action_receipt(trace);
        self.json.key("receiver").name(trace.receiver);
        self.json.key("act");
        self.action(&trace.action, sequence)?;
        self.json.key("context_free").boolean(trace.context_free);
        self.json.key("elapsed").i64(trace.elapsed);
        self.json.action_place(trace);
        self.json.key("account_ram_deltas").ram_deltas(trace);
        if let Some(exception) = &trace.exception {
            self.json.key("except").exception(exception, WHOLE_SECONDS);
        }
        if trace.error_code != 0 {
            self.json.key("error_code").u64(trace.error_code);
        }
        self.return_value(trace, sequence)
    }
}

impl JsonWriter<'_> {
    /// Empty text if there is none.
    pub(crate) fn optional_id(&mut self, id: Option<Checksum256>) {
        self.hex(id.as_ref().map_or(&[], |id| &id.0));
    }

    pub(crate) fn receipt(&mut self, receipt: &TransactionReceiptHeader) {
        self.begin_object();
        self.key("status").string(Status::from(receipt.status).as_str());
        self.key("cpu_usage_us").unsigned(receipt.cpu_usage_micro_seconds);
        self.key("net_usage_words").unsigned(receipt.net_usage_words);
        self.end_object();
    }

    pub(crate) fn ordinals(&mut self, trace: &ActionTrace) {
        self.key("action_ordinal").unsigned(trace.action_ordinal);
        self.key("creator_action_ordinal").unsigned(trace.creator_action_ordinal);
        let ancestor = trace.closest_unnotified_ancestor_action_ordinal;
        self.key("closest_unnotified_ancestor_action_ordinal").unsigned(ancestor);
    }

    /// The receipt of an action. An action that failed, or did not run, has none: clients read the fields without asking, so
    /// they get one of zeros that names the receiver, as the original gave them.
    pub(crate) fn action_receipt(&mut self, trace: &ActionTrace) {
        let none = ActionReceipt { receiver: trace.receiver, ..ActionReceipt::default() };
        let receipt = trace.receipt.as_ref().unwrap_or(&none);
        self.begin_object();
        self.key("receiver").name(receipt.receiver);
        self.key("act_digest").optional_id(trace.receipt.as_ref().map(|receipt| receipt.digest));
        self.key("global_sequence").u64(receipt.global_sequence);
        self.key("recv_sequence").u64(receipt.recv_sequence);
        self.key("auth_sequence").array(&receipt.auth_sequence, |json, entry| {
            json.begin_array();
            json.name(entry.account_name);
            json.u64(entry.sequence);
            json.end_array();
        });
        self.key("code_sequence").u64(receipt.code_sequence);
        self.key("abi_sequence").u64(receipt.abi_sequence);
        self.end_object();
    }

    /// As a node writes them.
    pub(crate) fn ram_deltas(&mut self, trace: &ActionTrace) {
        self.array(&trace.account_ram_deltas, |json, delta| {
            json.begin_object();
            json.key("account").name(delta.account);
            json.key("delta").i64(delta.delta);
            json.end_object();
        });
    }

    /// `null` if there is none.
    pub(crate) fn id_or_null(&mut self, id: Option<Checksum256>) {
        match id {
            Some(id) => self.checksum(id),
            None => self.null(),
        }
    }

    /// What an action printed, and where it was executed.
    fn action_place(&mut self, trace: &ActionTrace) {
        self.key("console").string(&trace.console);
        self.key("trx_id").checksum(trace.transaction_id);
        self.key("block_num").unsigned(trace.block_num);
        self.key("block_time").block_time(trace.block_time);
        self.key("producer_block_id").optional_id(trace.producer_block_id);
    }

    fn exception_or_null(&mut self, exception: Option<&Exception>) {
        match exception {
            Some(exception) => self.exception(exception, WHOLE_SECONDS),
            None => self.null(),
        }
    }

    /// `time` writes when a message of it was logged.
    pub(crate) fn exception(&mut self, exception: &Exception, time: LogTime) {
        self.begin_object();
        self.key("code").i64(exception.code.into());
        self.key("name").string(&exception.name);
        self.key("message").string(&exception.message);
        self.key("stack").array_or_null(&exception.stack, |json, message| json.log_message(message, time));
        self.end_object();
    }

    fn log_message(&mut self, message: &ExceptionLogMessage, time: LogTime) {
        self.begin_object();
        self.key("context");
        match &message.context {
            Some(context) => self.log_context(context, time),
            None => self.null(),
        }
        self.key("format").string(&message.format);
        self.key("data").json_or_text(&message.data);
        self.end_object();
    }

    fn log_context(&mut self, context: &ExceptionLogContext, time: LogTime) {
        self.begin_object();
        self.key("level").string(&context.level);
        self.key("file").string(&context.file);
        self.key("line").signed(context.line);
        self.key("method").string(&context.method);
        self.key("hostname").string(&context.hostname);
        self.key("thread_name").string(&context.thread_name);
        time(self.key("timestamp"), context.timestamp);
        if let Some(context) = &context.context {
            self.key("context").log_context(context, time);
        }
        self.end_object();
    }

    /// Bytes that should be JSON, as they are if so; `null` if there are none.
    fn json_or_text(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok("") => self.null(),
            // Checked without recursion.
            Ok(text) if serde_json::from_str::<IgnoredAny>(text).is_ok() => self.raw(bytes),
            _ => self.string(&String::from_utf8_lossy(bytes)),
        }
    }
}
