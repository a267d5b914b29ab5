//! Transaction traces, packed as nodeos packs them.

use std::sync::Arc;

use dfuse_antelope::{Checksum256, Name, raw::Writer};

use super::{Software, wire::Action};

/// Why an action failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    message: String,
    code: Option<u64>,
}

impl Failure {
    pub(crate) fn message(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: None }
    }

    pub(crate) fn code(code: u64) -> Self {
        Self { message: String::new(), code: Some(code) }
    }

    /// What nodeos puts beside the exception; for a message one number for all contracts.
    fn error_code(&self) -> u64 {
        self.code.unwrap_or(10_000_000_000_000_000_000)
    }

    fn pack(&self, w: &mut Writer, time: &str) {
        let (number, name, what) = match self.code {
            None => (3_050_003, "eosio_assert_message_exception", "eosio_assert_message assertion failure"),
            Some(_) => (3_050_004, "eosio_assert_code_exception", "eosio_assert_code assertion failure"),
        };
        w.i64(number);
        w.blob(name.as_bytes());
        w.blob(what.as_bytes());
        let (format, (key, value)) = match self.code {
            None => ("assertion failure with message: ${s}", ("s", self.message.clone())),
            Some(code) => ("assertion failure with error code: ${error_code}", ("error_code", code.to_string())),
        };
        w.count(2);
        pack_message(w, ["error", "cf_system.cpp", "eosio_assert", time, format], key, &value);
        let pending = "pending console output: ${console}";
        pack_message(w, ["warn", "apply_context.cpp", "exec_one", time, pending], "console", "");
    }
}

/// A log message is a variant, here an object: tag 7, then count and pairs. Tag 5 is a string, 2 a number.
fn pack_message(w: &mut Writer, [level, file, method, time, format]: [&str; 5], key: &str, value: &str) {
    let string = |w: &mut Writer, key: &str, value: &str| {
        w.blob(key.as_bytes());
        w.u8(5);
        w.blob(value.as_bytes());
    };
    w.u8(7);
    w.count(3);
    w.blob(b"context");
    w.u8(7);
    w.count(7);
    string(w, "level", level);
    string(w, "file", file);
    w.blob(b"line");
    w.u8(2);
    w.u64(14);
    string(w, "method", method);
    string(w, "hostname", "");
    string(w, "thread_name", "nodeos");
    string(w, "timestamp", time);
    string(w, "format", format);
    w.blob(b"data");
    w.u8(7);
    w.count(1);
    string(w, key, value);
}

#[derive(Debug, Clone)]
pub(crate) struct ActionReceipt {
    pub(crate) act_digest: Checksum256,
    pub(crate) global_sequence: u64,
    pub(crate) recv_sequence: u64,
    /// By account, sorted.
    pub(crate) auth_sequence: Vec<(Name, u64)>,
    pub(crate) code_sequence: u32,
    pub(crate) abi_sequence: u32,
}

impl ActionReceipt {
    pub(crate) fn pack(&self, w: &mut Writer, receiver: Name) {
        w.name(receiver);
        w.checksum256(&self.act_digest);
        w.u64(self.global_sequence);
        w.u64(self.recv_sequence);
        w.list(&self.auth_sequence, |w, (account, sequence)| {
            w.name(*account);
            w.u64(*sequence);
        });
        w.varuint32(self.code_sequence);
        w.varuint32(self.abi_sequence);
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ActionTrace {
    pub(crate) creator: u32,
    pub(crate) unnotified_ancestor: u32,
    pub(crate) receipt: Option<ActionReceipt>,
    pub(crate) receiver: Name,
    pub(crate) action: Arc<Action>,
    pub(crate) context_free: bool,
    pub(crate) elapsed: i64,
    pub(crate) console: Vec<u8>,
    /// By account, sorted.
    pub(crate) ram_deltas: Vec<(Name, i64)>,
    pub(crate) disk_deltas: Vec<(Name, i64)>,
    pub(crate) failure: Option<Failure>,
    pub(crate) return_value: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) id: Checksum256,
    /// Status, CPU in microseconds, net in words.
    pub(crate) receipt: Option<(u8, u32, u32)>,
    pub(crate) elapsed: i64,
    pub(crate) scheduled: bool,
    pub(crate) actions: Vec<ActionTrace>,
    pub(crate) account_ram_delta: Option<(Name, i64)>,
    pub(crate) failed: Option<Box<Trace>>,
    pub(crate) failure: Option<Failure>,
}

/// Packs traces; the block's id is not known yet, so its places are noted.
pub(crate) struct TracePacker {
    pub(crate) w: Writer,
    pub(crate) block_ids: Vec<usize>,
    pub(crate) software: Software,
    pub(crate) number: u32,
    pub(crate) slot: u32,
    /// The block's time as text.
    pub(crate) time: String,
}

impl TracePacker {
    fn block(&mut self) {
        self.w.u32(self.number);
        self.w.u32(self.slot);
        self.w.bool(true);
        self.block_ids.push(self.w.bytes.len());
        self.w.take(&[0; 32]);
    }

    fn failure(&mut self, failure: Option<&Failure>) {
        let time = &self.time;
        self.w.option(failure, |w, failure| failure.pack(w, time));
        self.w.option(failure, |w, failure| w.u64(failure.error_code()));
    }

    pub(crate) fn pack(&mut self, trace: &Trace) {
        self.w.checksum256(&trace.id);
        self.block();
        self.w.option(trace.receipt.as_ref(), |w, (status, cpu, net)| {
            w.u8(*status);
            w.u32(*cpu);
            w.varuint32(*net);
        });
        self.w.i64(trace.elapsed);
        self.w.u64(trace.receipt.map_or(0, |(_, _, net)| 8 * u64::from(net)));
        self.w.bool(trace.scheduled);
        self.w.count(trace.actions.len());
        for (at, action) in trace.actions.iter().enumerate() {
            self.action(trace, at as u32 + 1, action);
        }
        self.w.option(trace.account_ram_delta.as_ref(), pack_delta);
        self.w.bool(trace.failed.is_some());
        if let Some(failed) = &trace.failed {
            self.pack(failed);
        }
        self.failure(trace.failure.as_ref());
    }

    fn action(&mut self, trace: &Trace, ordinal: u32, it: &ActionTrace) {
        let w = &mut self.w;
        w.varuint32(ordinal);
        w.varuint32(it.creator);
        w.varuint32(it.unnotified_ancestor);
        w.option(it.receipt.as_ref(), |w, receipt| receipt.pack(w, it.receiver));
        w.name(it.receiver);
        it.action.pack(w);
        w.bool(it.context_free);
        w.i64(it.elapsed);
        w.blob(&it.console);
        w.checksum256(&trace.id);
        self.block();
        self.w.list(&it.ram_deltas, pack_delta);
        if self.software == Software::Eosio21 {
            self.w.list(&it.disk_deltas, pack_delta);
        }
        self.failure(it.failure.as_ref());
        if self.software != Software::Eosio20 {
            self.w.blob(&it.return_value);
        }
    }
}

fn pack_delta(w: &mut Writer, delta: &(Name, i64)) {
    w.name(delta.0);
    w.i64(delta.1);
}
