//! Transactions as they were signed, and headers of blocks.

use dfuse_antelope::{
    abi::{AbiType, Rendering},
    model::{Action, BlockHeader, Extension, ProducerKey, SignedTransaction, Transaction, TransactionTrace},
};
use dfuse_index::Result;

use crate::{JsonWriter, Renderer};

impl Renderer<'_> {
    /// A transaction and the trace of its execution, if there is one: every action is decoded with the ABI that was in force
    /// when it ran, one that did not run with the ABI at `first_sequence`.
    pub(crate) fn executed_transaction(
        &mut self,
        signed: &SignedTransaction,
        trace: Option<&TransactionTrace>,
        first_sequence: u64,
    ) -> Result<()> {
        let Transaction { context_free_actions, actions, .. } = &signed.transaction;
        let mut sequences = vec![first_sequence; context_free_actions.len() + actions.len()];
        // Those of the transaction itself have the first ordinals, in their order.
        for action in trace.filter(|trace| !trace.is_reverted()).iter().flat_map(|trace| &trace.action_traces) {
            let own = action.action_ordinal.checked_sub(1).filter(|_| action.is_input());
            let own = own.and_then(|own| sequences.get_mut(own as usize));
            if let Some((own, receipt)) = own.zip(action.receipt.as_ref()) {
                *own = receipt.global_sequence;
            }
        }
        self.signed_transaction(signed, &|position| sequences[position])
    }

    /// `sequence` gives the global sequence of an action by its position, context-free ones first.
    pub(crate) fn signed_transaction(
        &mut self,
        signed: &SignedTransaction,
        sequence: &dyn Fn(usize) -> u64,
    ) -> Result<()> {
        self.json.begin_object();
        self.transaction(&signed.transaction, sequence)?;
        self.json.key("signatures").array(&signed.signatures, |json, signature| json.string(signature));
        self.json.key("context_free_data").array(&signed.context_free_data, |json, data| json.hex(data));
        self.json.end_object();
        Ok(())
    }

    /// The keys of a transaction without signatures.
    pub(crate) fn transaction(&mut self, transaction: &Transaction, sequence: &dyn Fn(usize) -> u64) -> Result<()> {
        let header = &transaction.header;
        self.json.key("expiration").seconds(header.expiration);
        self.json.key("ref_block_num").unsigned(header.ref_block_num);
        self.json.key("ref_block_prefix").unsigned(header.ref_block_prefix);
        self.json.key("max_net_usage_words").unsigned(header.max_net_usage_words);
        self.json.key("max_cpu_usage_ms").unsigned(header.max_cpu_usage_ms);
        self.json.key("delay_sec").unsigned(header.delay_sec);
        let mut position = 0;
        for (key, actions) in
            [("context_free_actions", &transaction.context_free_actions), ("actions", &transaction.actions)]
        {
            self.json.key(key).begin_array();
            for action in actions {
                self.action(action, sequence(position))?;
                position += 1;
            }
            self.json.end_array();
        }
        self.json.key("transaction_extensions").array(&transaction.extensions, JsonWriter::extension);
        Ok(())
    }

    /// An action, decoded with the ABI in force at that global sequence.
    pub(crate) fn action(&mut self, action: &Action, global_sequence: u64) -> Result<()> {
        self.json.begin_object();
        self.json.action_target(action);
        let abi = self.abis.abi(action.account, global_sequence)?;
        if let Some(data_type) = abi.as_ref().and_then(|abi| abi.action(action.name).ok()) {
            self.decoded("data", data_type, &action.raw_data);
        }
        if !action.raw_data.is_empty() {
            self.json.key("hex_data").hex(&action.raw_data);
        }
        self.json.end_object();
        Ok(())
    }

    /// A key and the value that the bytes stand for, if they decode and room is left. Tells whether they do.
    pub(crate) fn decoded(&mut self, key: &'static str, kind: AbiType<'_>, data: &[u8]) -> bool {
        let (before, room) = (self.json.text.len(), self.room);
        let decoded = self.json.try_value(key, |text| kind.decode(data, Rendering::Nodeos, room, text).map(drop));
        if decoded.is_ok() {
            self.room = room.saturating_sub(self.json.text.len() - before);
        }
        decoded.is_ok()
    }
}

impl JsonWriter<'_> {
    /// The keys that tell what an action calls, and who authorised it.
    pub(crate) fn action_target(&mut self, action: &Action) {
        self.key("account").name(action.account);
        self.key("name").name(action.name);
        self.key("authorization").array(&action.authorization, |json, level| {
            json.begin_object();
            json.key("actor").name(level.actor);
            json.key("permission").name(level.permission);
            json.end_object();
        });
    }

    /// A header: what a block has no new schedule or extensions of is left out or `null`, as the original had it.
    pub fn block_header(&mut self, header: &BlockHeader) {
        self.begin_object();
        self.key("timestamp").block_time(header.timestamp);
        self.key("producer").name(header.producer);
        self.key("confirmed").unsigned(header.confirmed);
        self.key("previous").checksum(header.previous);
        self.key("transaction_mroot").hex(&header.transaction_mroot);
        self.key("action_mroot").hex(&header.action_mroot);
        self.key("schedule_version").unsigned(header.schedule_version);
        if let Some(schedule) = &header.new_producers_v1 {
            self.key("new_producers").begin_object();
            self.key("version").unsigned(schedule.version);
            self.key("producers").array(&schedule.producers, |json, producer: &ProducerKey| {
                json.begin_object();
                json.key("producer_name").name(producer.account_name);
                json.key("block_signing_key").string(&producer.block_signing_key);
                json.end_object();
            });
            self.end_object();
        }
        self.key("header_extensions").array_or_null(&header.header_extensions, |json, it| json.extension(it));
        self.end_object();
    }

    /// `[type, "hex"]`
    fn extension(&mut self, extension: &Extension) {
        self.begin_array();
        self.unsigned(extension.r#type);
        self.hex(&extension.data);
        self.end_array();
    }
}
