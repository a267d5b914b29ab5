//! Traces as a node writes them in its answer to a push.

use dfuse_antelope::{
    BlockTimestamp, TimePoint,
    model::{Action, ActionTrace, Exception, RamNamespace, TransactionStatus, TransactionTrace},
};
use dfuse_index::Result;

use crate::{
    ActionTree,
    renderer::{Renderer, sequence_at},
    tree::Visit,
    writer::JsonWriter,
};

/// Where the actions of a pushed transaction stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    /// In the actions that caused them, as `push_transaction` answers.
    Tree,
    /// In the order of execution, as `send_transaction` and its successors answer.
    Flat,
}

impl Renderer<'_> {
    /// The `processed` of an answer to a push, with every key that the node's own answer has.
    pub fn pushed_trace(&mut self, trace: &TransactionTrace, nesting: Nesting) -> Result<()> {
        self.make_room();
        let first_sequence = self.first_sequence(trace)?;
        self.pushed_trace_from(trace, nesting, first_sequence)
    }

    fn pushed_trace_from(&mut self, trace: &TransactionTrace, nesting: Nesting, first_sequence: u64) -> Result<()> {
        self.json.begin_object();
        self.json.key("id").checksum(trace.id);
        self.json.key("block_num").unsigned(trace.block_num);
        self.json.key("block_time").node_time(trace.block_time);
        self.json.key("producer_block_id").id_or_null(trace.producer_block_id);
        self.json.key("receipt");
        match &trace.receipt {
            Some(receipt) => self.json.receipt(receipt),
            None => self.json.null(),
        }
        self.json.key("elapsed").signed(trace.elapsed);
        self.json.key("net_usage").unsigned(trace.net_usage);
        self.json.key("scheduled").boolean(trace.scheduled);
        self.json.key("action_traces").begin_array();
        match nesting {
            Nesting::Tree => self.pushed_tree(trace, first_sequence)?,
            Nesting::Flat => self.pushed_list(trace, first_sequence)?,
        }
        self.json.end_array();
        self.json.key("account_ram_delta").ram_of_deferral(trace);
        // The only key that a node leaves out.
        if let Some(failed) = &trace.failed_dtrx_trace {
            self.json.key("failed_dtrx_trace");
            self.pushed_trace_from(failed, nesting, first_sequence)?;
        }
        self.json.key("except").node_exception(trace.exception.as_deref());
        self.json.key("error_code").code_or_null(trace.error_code);
        self.json.end_object();
        Ok(())
    }

    fn pushed_tree(&mut self, trace: &TransactionTrace, first_sequence: u64) -> Result<()> {
        for visit in ActionTree::new(&trace.action_traces).walk() {
            match visit {
                Visit::Enter(at) => {
                    self.json.begin_object();
                    let sequence = sequence_at(trace, at as u32, first_sequence);
                    self.pushed_action(&trace.action_traces[at], sequence)?;
                    self.json.key("inline_traces").begin_array();
                }
                Visit::Leave(_) => {
                    self.json.end_array();
                    self.json.end_object();
                }
            }
        }
        Ok(())
    }

    fn pushed_list(&mut self, trace: &TransactionTrace, first_sequence: u64) -> Result<()> {
        for (action, at) in trace.action_traces.iter().zip(0..) {
            self.json.begin_object();
            self.pushed_action(action, sequence_at(trace, at, first_sequence))?;
            self.json.end_object();
        }
        Ok(())
    }

    /// The keys of an action trace, but for those nested in it.
    fn pushed_action(&mut self, trace: &ActionTrace, sequence: u64) -> Result<()> {
        self.json.ordinals(trace);
        self.json.key("receipt").action_receipt(trace);
        self.json.key("receiver").name(trace.receiver);
        self.json.key("act");
        self.pushed_act(&trace.action, sequence)?;
        self.json.key("context_free").boolean(trace.context_free);
        self.json.key("elapsed").signed(trace.elapsed);
        self.json.key("console").string(&trace.console);
        self.json.key("trx_id").checksum(trace.transaction_id);
        self.json.key("block_num").unsigned(trace.block_num);
        self.json.key("block_time").node_time(trace.block_time);
        self.json.key("producer_block_id").id_or_null(trace.producer_block_id);
        self.json.key("account_ram_deltas").ram_deltas(trace);
        self.json.key("except").node_exception(trace.exception.as_deref());
        self.json.key("error_code").code_or_null(trace.error_code);
        self.json.key("return_value_hex_data").hex(&trace.raw_return_value);
        self.return_value_data(trace, sequence)
    }

    /// An action; data that does not decode is hex under both keys.
    fn pushed_act(&mut self, action: &Action, sequence: u64) -> Result<()> {
        self.json.begin_object();
        self.json.action_target(action);
        let abi = self.abis.abi(action.account, sequence)?;
        let kind = abi.as_ref().and_then(|abi| abi.action(action.name).ok());
        if !kind.is_some_and(|kind| self.decoded("data", kind, &action.raw_data)) {
            self.json.key("data").hex(&action.raw_data);
        }
        self.json.key("hex_data").hex(&action.raw_data);
        self.json.end_object();
        Ok(())
    }
}

impl JsonWriter<'_> {
    /// What a transaction with a delay takes until it is executed, and who pays for it. `null` for any other one.
    fn ram_of_deferral(&mut self, trace: &TransactionTrace) {
        let is_delayed = trace.receipt.as_ref().is_some_and(|it| it.status == TransactionStatus::Delayed);
        match trace.ram_ops.iter().find(|op| is_delayed && op.namespace == RamNamespace::DeferredTrx) {
            Some(op) => {
                self.begin_object();
                self.key("account").name(op.payer);
                self.key("delta").i64(op.delta);
                self.end_object();
            }
            None => self.null(),
        }
    }

    /// Always with milliseconds.
    fn node_time(&mut self, time: BlockTimestamp) {
        self.quoted(|text| time.write_to(text));
    }

    fn code_or_null(&mut self, code: u64) {
        match code {
            0 => self.null(),
            code => self.u64(code),
        }
    }

    fn node_exception(&mut self, exception: Option<&Exception>) {
        let time = |json: &mut JsonWriter<'_>, time: TimePoint| json.quoted(|text| time.write_to(text));
        match exception {
            Some(exception) => self.exception(exception, time),
            None => self.null(),
        }
    }
}
