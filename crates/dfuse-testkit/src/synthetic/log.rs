//! The lines of a deep-mind log, as each software prints them.

use std::io::Write as _;

use dfuse_antelope::{BlockTimestamp, Checksum256, Name, TimePoint};

use super::{
    Operations, RowKey, Software, TableKey,
    state::{Authority, Counters, Deferred, Permission, Usage},
};

/// Text under construction, and how many operations of each kind wait for the next applied transaction.
pub(crate) struct Log {
    pub(crate) text: Vec<u8>,
    pub(crate) pending: Operations,
    /// TRX_OP lines of the block.
    pub(crate) implicit_transactions: u32,
    /// RLIMIT_OP CONFIG and STATE lines of the block.
    pub(crate) resource_limits: u32,
    /// Where the id of the block under construction goes, which is known when the block is complete.
    block_ids: Vec<usize>,
    software: Software,
}

/// A position to go back to.
pub(crate) struct Mark {
    text: usize,
    block_ids: usize,
    pending: Operations,
}

/// Which word a DTRX_OP line starts with.
#[derive(Clone, Copy)]
pub(crate) enum DeferredStep {
    Create,
    ModifyCreate,
    PushCreate,
    Cancel,
    ModifyCancel,
}

macro_rules! line {
    ($log:expr, $($arg:tt)*) => {{
        $log.text.extend_from_slice(b"DMLOG ");
        writeln!($log.text, $($arg)*).expect("memory takes every byte");
    }};
}

impl Log {
    pub(crate) fn new(software: Software) -> Self {
        Self {
            text: Vec::new(),
            pending: Operations::default(),
            implicit_transactions: 0,
            resource_limits: 0,
            block_ids: Vec::new(),
            software,
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { text: self.text.len(), block_ids: self.block_ids.len(), pending: self.pending.clone() }
    }

    pub(crate) fn roll_back(&mut self, mark: Mark) {
        self.text.truncate(mark.text);
        self.block_ids.truncate(mark.block_ids);
        self.pending = mark.pending;
    }

    /// The finished text with the block's id in its places.
    pub(crate) fn take(&mut self, id: &Checksum256) -> Vec<u8> {
        let hex = const_hex::encode(id.0);
        for at in self.block_ids.drain(..) {
            self.text[at..at + 64].copy_from_slice(hex.as_bytes());
        }
        let room = self.text.len() + self.text.len() / 4;
        std::mem::replace(&mut self.text, Vec::with_capacity(room))
    }

    pub(crate) fn version(&mut self, minor: u32) {
        match self.software {
            Software::Leap => line!(self, "DEEP_MIND_VERSION leap 13 {minor}"),
            Software::Spring { .. } => line!(self, "DEEP_MIND_VERSION spring 1 {minor}"),
            Software::Eosio20 => line!(self, "DEEP_MIND_VERSION 12"),
            Software::Eosio21 => line!(self, "DEEP_MIND_VERSION 13 1"),
        }
    }

    pub(crate) fn abi_dump(&mut self, block: u32, global_sequence: u64, abis: &[(Name, &[u8])]) {
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        let old = self.software == Software::Eosio20;
        if old {
            line!(self, "ABIDUMP START");
        } else {
            line!(self, "ABIDUMP START {block} {global_sequence}");
        }
        for (contract, abi) in abis {
            let abi = BASE64_STANDARD.encode(abi);
            if old {
                line!(self, "ABIDUMP ABI {block} {contract} {abi}");
            } else {
                line!(self, "ABIDUMP ABI {contract} {abi}");
            }
        }
        line!(self, "ABIDUMP END");
    }

    pub(crate) fn switch_fork(&mut self, from: &Checksum256, to: &Checksum256) {
        line!(self, "SWITCH_FORK {from} {to}");
    }

    pub(crate) fn start_block(&mut self, number: u32) {
        line!(self, "START_BLOCK {number}");
    }

    pub(crate) fn accepted_block(&mut self, number: u32, block_state: &[u8]) {
        self.start("ACCEPTED_BLOCK ");
        self.number(number.into());
        self.hex(block_state);
        self.end();
    }

    pub(crate) fn accepted_block_v2(&mut self, id: &Checksum256, number: u32, lib: u32, payloads: [&[u8]; 4]) {
        write!(self.text, "DMLOG ACCEPTED_BLOCK_V2 {id} {number} {lib}").expect("memory takes every byte");
        for payload in payloads {
            self.text.push(b' ');
            self.hex(payload);
        }
        self.end();
    }

    /// `block_ids` are the offsets in `trace` of the places for the block's id.
    pub(crate) fn applied_transaction(&mut self, number: u32, trace: &[u8], block_ids: &[usize]) {
        self.start("APPLIED_TRANSACTION ");
        self.number(number.into());
        let base = self.text.len();
        self.block_ids.extend(block_ids.iter().map(|at| base + 2 * at));
        self.hex(trace);
        self.end();
    }

    pub(crate) fn implicit_transaction(&mut self, kind: &str, id: &Checksum256, signed: &[u8]) {
        self.start("TRX_OP CREATE ");
        write!(self.text, "{kind} {id} ").expect("memory takes every byte");
        self.hex(signed);
        self.end();
        self.implicit_transactions += 1;
    }

    pub(crate) fn creation(&mut self, kind: &str, action: u32) {
        line!(self, "CREATION_OP {kind} {action}");
        self.pending.creation += 1;
    }

    pub(crate) fn row_inserted(&mut self, action: u32, key: &RowKey, payer: Name, data: &[u8]) {
        self.row("DB_OP INS ", action, key, |log| log.name(payer), |log| log.hex(data));
    }

    pub(crate) fn row_updated(&mut self, action: u32, key: &RowKey, payers: [Name; 2], old: &[u8], new: &[u8]) {
        self.row(
            "DB_OP UPD ",
            action,
            key,
            |log| {
                log.bare_name(payers[0]);
                log.text.push(b':');
                log.name(payers[1]);
            },
            |log| {
                log.hex(old);
                log.text.push(b':');
                log.hex(new);
            },
        );
    }

    pub(crate) fn row_removed(&mut self, action: u32, key: &RowKey, payer: Name, data: &[u8]) {
        self.row("DB_OP REM ", action, key, |log| log.name(payer), |log| log.hex(data));
    }

    fn row(&mut self, start: &str, action: u32, key: &RowKey, payer: impl Fn(&mut Self), data: impl Fn(&mut Self)) {
        self.start(start);
        self.number(action.into());
        payer(self);
        for name in [key.table.code, key.table.scope, key.table.table, Name(key.primary_key)] {
            self.name(name);
        }
        data(self);
        self.end();
        self.pending.rows += 1;
    }

    pub(crate) fn table(&mut self, kind: &str, action: u32, key: &TableKey, payer: Name) {
        self.start("TBL_OP ");
        self.word(kind);
        self.number(action.into());
        for name in [key.code, key.scope, key.table] {
            self.name(name);
        }
        self.bare_name(payer);
        self.end();
        self.pending.tables += 1;
    }

    /// `payers` and `values` hold one item, or for an update the old and the new one.
    pub(crate) fn key_value(
        &mut self,
        kind: &str,
        action: u32,
        code: Name,
        payers: &[Name],
        key: &[u8],
        values: &[&[u8]],
    ) {
        self.start("KV_OP ");
        self.word(kind);
        self.number(action.into());
        self.name(code);
        for (i, payer) in payers.iter().enumerate() {
            if i > 0 {
                self.text.push(b':');
            }
            self.bare_name(*payer);
        }
        self.text.push(b' ');
        self.hex(key);
        self.text.push(b' ');
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                self.text.push(b':');
            }
            self.hex(value);
        }
        self.end();
        self.pending.key_values += 1;
    }

    /// `event` is namespace, action and legacy tag.
    pub(crate) fn ram(&mut self, action: u32, unique_key: &str, event: &str, payer: Name, usage: i64, delta: i64) {
        self.start("RAM_OP ");
        self.number(action.into());
        self.word(unique_key);
        self.word(event);
        self.name(payer);
        write!(self.text, "{usage} {delta}").expect("memory takes every byte");
        self.end();
        self.pending.ram += 1;
    }

    /// `packed` is the transaction, with signatures if a user just pushed it.
    pub(crate) fn deferred(&mut self, step: DeferredStep, action: u32, it: &Deferred, packed: &[u8]) {
        let kind = match step {
            DeferredStep::Create => "CREATE",
            DeferredStep::ModifyCreate => "MODIFY_CREATE",
            DeferredStep::PushCreate => "PUSH_CREATE",
            DeferredStep::Cancel => "CANCEL",
            DeferredStep::ModifyCancel => "MODIFY_CANCEL",
        };
        let Deferred { sender, sender_id, payer, transaction_id, .. } = it;
        let [published, delay, expiration] =
            [it.published, it.delay_until, it.expiration].map(|milliseconds| TimePoint(milliseconds * 1000));
        write!(
            self.text,
            "DMLOG DTRX_OP {kind} {action} {sender} {sender_id} {payer} {published} {delay} {expiration} {transaction_id} "
        )
        .expect("memory takes every byte");
        self.hex(packed);
        self.end();
        self.pending.deferred += 1;
    }

    /// Says that a deferred transaction failed: readers drop its operations, save what is billed and that it is gone.
    pub(crate) fn deferred_failed(&mut self, action: u32) {
        line!(self, "DTRX_OP FAILED {action}");
        self.pending = self.pending.reverted();
    }

    pub(crate) fn permission(
        &mut self,
        kind: &str,
        action: u32,
        id: u64,
        old: Option<&Permission>,
        new: Option<&Permission>,
    ) {
        self.start("PERM_OP ");
        self.word(kind);
        self.number(action.into());
        if self.software != Software::Eosio20 {
            self.number(id);
        }
        match (old, new) {
            (Some(old), Some(new)) => {
                self.text.extend_from_slice(b"{\"old\":");
                self.permission_object(old);
                self.text.extend_from_slice(b",\"new\":");
                self.permission_object(new);
                self.text.push(b'}');
            }
            (Some(it), None) | (None, Some(it)) => self.permission_object(it),
            (None, None) => unreachable!("a permission operation has a permission"),
        }
        self.end();
        self.pending.permissions += 1;
    }

    fn permission_object(&mut self, it: &Permission) {
        self.text.push(b'{');
        if self.software != Software::Eosio20 {
            write!(self.text, "\"usage_id\":{},", it.usage_id).expect("memory takes every byte");
        }
        let updated = BlockTimestamp(it.updated);
        write!(
            self.text,
            "\"parent\":{},\"owner\":\"{}\",\"name\":\"{}\",\"last_updated\":\"{updated}\",\"auth\":",
            it.parent, it.owner, it.name
        )
        .expect("memory takes every byte");
        self.authority(&it.authority);
        self.text.push(b'}');
    }

    fn authority(&mut self, it: &Authority) {
        let keys = it.keys.iter().map(|(key, weight)| format!("{{\"key\":\"{key}\",\"weight\":{weight}}}"));
        let accounts = it.accounts.iter().map(|(actor, permission, weight)| {
            format!("{{\"permission\":{{\"actor\":\"{actor}\",\"permission\":\"{permission}\"}},\"weight\":{weight}}}")
        });
        let waits = it.waits.iter().map(|(seconds, weight)| format!("{{\"wait_sec\":{seconds},\"weight\":{weight}}}"));
        let [keys, accounts, waits] =
            [keys.collect(), accounts.collect(), waits.collect()].map(|it: Vec<_>| it.join(","));
        write!(
            self.text,
            "{{\"threshold\":{},\"keys\":[{keys}],\"accounts\":[{accounts}],\"waits\":[{waits}]}}",
            it.threshold
        )
        .expect("memory takes every byte");
    }

    /// `json` is the feature; the action is absent when a block activates it.
    pub(crate) fn feature(&mut self, pre_activated_by: Option<u32>, digest: &Checksum256, json: &str) {
        match pre_activated_by {
            Some(action) => line!(self, "FEATURE_OP PRE_ACTIVATE {action} {digest} {json}"),
            None => line!(self, "FEATURE_OP ACTIVATE {digest} {json}"),
        }
        self.pending.features += 1;
    }

    pub(crate) fn account_limits(&mut self, kind: &str, owner: Name, limits: [i64; 3]) {
        let [ram, net, cpu] = limits.map(Number);
        line!(
            self,
            "RLIMIT_OP ACCOUNT_LIMITS {kind} {{\"owner\":\"{owner}\",\"net_weight\":{net},\"cpu_weight\":{cpu},\"ram_bytes\":{ram}}}"
        );
        self.pending.resource_limits += 1;
    }

    pub(crate) fn account_usage(&mut self, kind: &str, owner: Name, it: &Counters) {
        self.start("RLIMIT_OP ACCOUNT_USAGE ");
        self.word(kind);
        write!(self.text, "{{\"owner\":\"{owner}\",\"net_usage\":").expect("memory takes every byte");
        self.usage(&it.net);
        self.text.extend_from_slice(b",\"cpu_usage\":");
        self.usage(&it.cpu);
        write!(self.text, ",\"ram_usage\":{}}}", Number(it.ram)).expect("memory takes every byte");
        self.end();
        self.pending.resource_limits += 1;
    }

    /// `pending` are net and CPU used so far; `limits` the virtual ones.
    pub(crate) fn resource_state(&mut self, kind: &str, averages: [&Usage; 2], pending: [u64; 2], limits: [u64; 2]) {
        self.start("RLIMIT_OP STATE ");
        self.word(kind);
        self.text.extend_from_slice(b"{\"average_block_net_usage\":");
        self.usage(averages[0]);
        self.text.extend_from_slice(b",\"average_block_cpu_usage\":");
        self.usage(averages[1]);
        let ([net, cpu], [virtual_net, virtual_cpu]) = (pending, limits.map(|limit| Number(limit as i64)));
        write!(
            self.text,
            ",\"pending_net_usage\":{net},\"pending_cpu_usage\":{cpu},\"total_net_weight\":0,\"total_cpu_weight\":0,\
             \"total_ram_bytes\":0,\"virtual_net_limit\":{virtual_net},\"virtual_cpu_limit\":{virtual_cpu}}}"
        )
        .expect("memory takes every byte");
        self.end();
        self.resource_limits += 1;
    }

    /// Targets and maxima of CPU and net.
    pub(crate) fn resource_config(&mut self, kind: &str, cpu: [u64; 2], net: [u64; 2]) {
        let [cpu, net] = [cpu, net].map(|[target, max]| {
            format!(
                "{{\"target\":{target},\"max\":{max},\"periods\":120,\"max_multiplier\":1000,\
                 \"contract_rate\":{{\"numerator\":99,\"denominator\":100}},\
                 \"expand_rate\":{{\"numerator\":1000,\"denominator\":999}}}}"
            )
        });
        line!(
            self,
            "RLIMIT_OP CONFIG {kind} {{\"cpu_limit_parameters\":{cpu},\"net_limit_parameters\":{net},\
             \"account_cpu_usage_average_window\":172800,\"account_net_usage_average_window\":172800}}"
        );
        self.resource_limits += 1;
    }

    fn usage(&mut self, it: &Usage) {
        let Usage { last_ordinal, value_ex, consumed } = it;
        let [value_ex, consumed] = [*value_ex, *consumed].map(|value| Number(value as i64));
        write!(self.text, "{{\"last_ordinal\":{last_ordinal},\"value_ex\":{value_ex},\"consumed\":{consumed}}}")
            .expect("memory takes every byte");
    }

    fn start(&mut self, words: &str) {
        self.text.extend_from_slice(b"DMLOG ");
        self.text.extend_from_slice(words.as_bytes());
    }

    fn end(&mut self) {
        self.text.push(b'\n');
    }

    fn word(&mut self, word: &str) {
        self.text.extend_from_slice(word.as_bytes());
        self.text.push(b' ');
    }

    fn number(&mut self, number: u64) {
        write!(self.text, "{number} ").expect("memory takes every byte");
    }

    fn bare_name(&mut self, name: Name) {
        self.text.extend_from_slice(name.as_text(&mut [0; 13]).as_bytes());
    }

    fn name(&mut self, name: Name) {
        self.bare_name(name);
        self.text.push(b' ');
    }

    fn hex(&mut self, bytes: &[u8]) {
        let start = self.text.len();
        self.text.resize(start + 2 * bytes.len(), 0);
        const_hex::encode_to_slice(bytes, &mut self.text[start..]).expect("two digits a byte");
    }
}

/// A number in JSON as fc writes it: quoted when its magnitude does not fit in 32 bits.
pub(crate) struct Number(pub(crate) i64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.unsigned_abs() > u64::from(u32::MAX) { write!(f, "\"{}\"", self.0) } else { write!(f, "{}", self.0) }
    }
}
