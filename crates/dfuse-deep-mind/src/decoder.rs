use std::collections::BTreeMap;

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use dfuse_antelope::{
    AbiDump, Checksum256,
    model::{
        Block, DtrxOperation, RamAction, RamNamespace, RlimitKind, RlimitOp, TransactionReceiptHeader,
        TransactionStatus, TransactionTrace,
    },
    raw,
};

use crate::{
    Error, Result, Software,
    arena::Arena,
    block_state::{self, Features, KeyTexts},
    creation::{CreationKind, creation_tree},
    error::{Parse, Shown, Why, shown},
    fields::Fields,
    operations, trace,
};

/// Distinct unknown keywords that are counted by name.
const MAX_UNKNOWN: usize = 64;

/// What a line completes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A block, as the node executed it. After a fork switch, numbers repeat: follow ids and parents.
    Block(Box<Block>),
    /// All ABIs that the chain knows, printed when a node starts.
    AbiDump(AbiDump),
    /// The node leaves one branch for another, whose blocks follow from the fork point on.
    SwitchFork {
        /// Head of the branch that is left.
        from: Checksum256,
        /// Head of the branch that is joined.
        to: Checksum256,
    },
}

/// What was read, and what was strange about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Lines, deep-mind or not.
    pub lines: u64,
    /// Deep-mind lines.
    pub deep_mind_lines: u64,
    /// Complete blocks.
    pub blocks: u64,
    /// Blocks that were begun and never accepted: begun anew, or left for another branch.
    pub abandoned_blocks: u64,
    /// Switches to another branch.
    pub fork_switches: u64,
    /// Operations of EOSIO 2.1's key-value tables, which blocks have no place for.
    pub key_value_operations: u64,
    /// Lines of unknown keywords, by keyword. After 64 of them, the others count as `...`.
    pub unknown: BTreeMap<String, u64>,
    /// The stream ended inside a line, which was dropped.
    pub torn_line: bool,
}

/// Operations that belong to the next transaction.
#[derive(Debug, Clone, Default)]
struct Pending {
    /// Only its lists of operations are used.
    trace: TransactionTrace,
    creations: Vec<(u32, CreationKind)>,
}

impl Pending {
    fn clear(&mut self) {
        *self = Self::default();
    }

    /// What is left of a transaction that failed: billing, and the removal of the deferred transaction that it was.
    fn revert(&mut self) {
        let rlimit_ops = std::mem::take(&mut self.trace.rlimit_ops);
        let removal = self.trace.ram_ops.drain(..).find(is_deferred_removal);
        self.clear();
        self.trace.rlimit_ops = rlimit_ops;
        self.trace.ram_ops.extend(removal);
    }

    /// Moves the operations into the transaction's trace.
    fn attach(&mut self, trace: &mut TransactionTrace) -> Parse<()> {
        trace.creation_tree = creation_tree(&mut self.creations)?;
        self.creations.clear();
        let from = &mut self.trace;
        trace.db_ops = std::mem::take(&mut from.db_ops);
        trace.dtrx_ops = std::mem::take(&mut from.dtrx_ops);
        trace.feature_ops = std::mem::take(&mut from.feature_ops);
        trace.perm_ops = std::mem::take(&mut from.perm_ops);
        trace.ram_ops = std::mem::take(&mut from.ram_ops);
        trace.ram_correction_ops = std::mem::take(&mut from.ram_correction_ops);
        trace.rlimit_ops = std::mem::take(&mut from.rlimit_ops);
        trace.table_ops = std::mem::take(&mut from.table_ops);
        Ok(())
    }
}

fn is_deferred_removal(op: &dfuse_antelope::model::RamOp) -> bool {
    op.namespace == RamNamespace::DeferredTrx && op.action == RamAction::Remove
}

/// What precedes the first block: it belongs to that block, and comes back if the node begins it anew.
#[derive(Debug, Clone, Default)]
struct Genesis {
    pending: Pending,
    rlimit_ops: Vec<RlimitOp>,
}

/// Turns deep-mind lines into [`Event`]s. It does no I/O: [`Reader`](crate::Reader) feeds it from a stream.
#[derive(Default)]
pub struct Decoder {
    software: Option<Software>,
    /// Number of the block between START_BLOCK and ACCEPTED_BLOCK.
    active: Option<u32>,
    block: Block,
    pending: Pending,
    /// There until the first block is complete.
    genesis: Option<Genesis>,
    begun: bool,
    dump: Option<AbiDump>,
    arena: Arena,
    keys: KeyTexts,
    features: Features,
    stats: Stats,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("software", &self.software)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder before the first line of a log.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was read so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What writes the log, once its version line was read.
    pub fn software(&self) -> Option<Software> {
        self.software
    }

    /// Number of the block that was begun and is not complete.
    pub fn unfinished_block(&self) -> Option<u32> {
        self.active
    }

    pub(crate) fn torn_line(&mut self) {
        self.stats.torn_line = true;
    }

    /// Takes one line without its end. Text that is not a deep-mind line is counted and otherwise ignored.
    ///
    /// # Errors
    /// Any error is final: the log says something that cannot be.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Event>> {
        self.stats.lines += 1;
        let Some(record) = line.strip_prefix(b"DMLOG ").or_else(|| line.strip_prefix(b"FIRE ")) else {
            return Ok(None);
        };
        self.stats.deep_mind_lines += 1;
        let mut fields = Fields::new(record);
        let keyword = fields.next("keyword").unwrap_or_default();
        let number = self.stats.lines;
        match keyword {
            b"DEEP_MIND_VERSION" => {
                let found = fields.last("version").unwrap_or_default();
                let software = Software::parse(found);
                self.software =
                    Some(software.ok_or_else(|| Error::UnsupportedVersion { line: number, found: shown(found) })?);
                return Ok(None);
            }
            b"FPRINTF_FAILED" | b"FPRINTF_FAILURE_TERMINATED" => return Err(Error::NodeFailed { line: number }),
            _ => {}
        }
        self.record(keyword, &mut fields).map_err(|why| {
            // A line that was cut by a failed write has the node's cry for help at its end, if the streams are one.
            if memchr::memmem::find(record, b"FPRINTF_FAIL").is_some() {
                return Error::NodeFailed { line: number };
            }
            Error::Line { line: number, keyword: shown(keyword), why: why.0, text: shown(line) }
        })
    }

    fn record(&mut self, keyword: &[u8], fields: &mut Fields<'_>) -> Parse<Option<Event>> {
        match keyword {
            b"CREATION_OP" => self.pending.creations.push(operations::creation(fields)?),
            b"DB_OP" => self.pending.trace.db_ops.push(operations::db(fields, &mut self.arena)?),
            b"RAM_OP" => self.pending.trace.ram_ops.push(operations::ram(fields)?),
            b"RLIMIT_OP" => {
                let op = operations::resource_limit(fields)?;
                match op.kind {
                    Some(RlimitKind::Config(_) | RlimitKind::State(_)) => self.block.rlimit_ops.push(op),
                    _ => self.pending.trace.rlimit_ops.push(op),
                }
            }
            b"APPLIED_TRANSACTION" => self.applied_transaction(fields)?,
            b"TBL_OP" => self.pending.trace.table_ops.push(operations::table(fields)?),
            b"PERM_OP" => self.pending.trace.perm_ops.push(operations::permission(fields)?),
            b"DTRX_OP" => {
                let op = operations::deferred(fields, &mut self.arena)?;
                match op.operation {
                    DtrxOperation::Failed => self.pending.revert(),
                    _ => self.pending.trace.dtrx_ops.push(op),
                }
            }
            b"FEATURE_OP" => self.pending.trace.feature_ops.push(operations::feature(fields)?),
            b"RAM_CORRECTION_OP" => {
                self.pending.trace.ram_correction_ops.push(operations::ram_correction(fields)?);
            }
            b"TRX_OP" => {
                let op = operations::implicit_transaction(fields, &mut self.arena)?;
                self.block.unfiltered_implicit_transaction_ops.push(op);
            }
            b"KV_OP" => self.stats.key_value_operations += 1,
            b"START_BLOCK" => self.start_block(fields)?,
            b"ACCEPTED_BLOCK" => return self.accepted_block(fields).map(Some),
            b"ACCEPTED_BLOCK_V2" => return self.accepted_block_v2(fields).map(Some),
            b"SWITCH_FORK" => {
                let (from, to) = (fields.checksum256("head")?, fields.checksum256("new head")?);
                fields.end()?;
                self.stats.fork_switches += 1;
                self.abandon();
                return Ok(Some(Event::SwitchFork { from, to }));
            }
            b"ABIDUMP" => return self.abi_dump(fields),
            other => self.unknown(other),
        }
        Ok(None)
    }

    fn unknown(&mut self, keyword: &[u8]) {
        let mut keyword = shown(keyword);
        if !self.stats.unknown.contains_key(&keyword) {
            if self.stats.unknown.len() >= MAX_UNKNOWN {
                keyword = "...".to_owned();
            } else {
                let line = self.stats.lines;
                tracing::warn!(line, keyword, "unknown deep-mind line ignored; the log may be of a newer node");
            }
        }
        *self.stats.unknown.entry(keyword).or_default() += 1;
    }

    fn start_block(&mut self, fields: &mut Fields<'_>) -> Parse<()> {
        let number = fields.u32("block number")?;
        fields.end()?;
        if self.software.is_none() {
            return Err(Why::new("no DEEP_MIND_VERSION line before the first block; read the log from its beginning"));
        }
        if self.active.is_some() {
            self.abandon();
        }
        if !self.begun {
            self.begun = true;
            let rlimit_ops = std::mem::take(&mut self.block.rlimit_ops);
            self.genesis = Some(Genesis { pending: std::mem::take(&mut self.pending), rlimit_ops });
        }
        self.block = Block::default();
        self.pending.clear();
        if let Some(genesis) = &self.genesis {
            self.pending = genesis.pending.clone();
            self.block.rlimit_ops.clone_from(&genesis.rlimit_ops);
        }
        self.active = Some(number);
        Ok(())
    }

    /// Forgets the block at work: nodes say nothing when they give one up.
    fn abandon(&mut self) {
        if self.active.take().is_some() {
            self.stats.abandoned_blocks += 1;
        }
        if self.begun {
            self.block = Block::default();
            self.pending.clear();
        }
    }

    /// The software, if `number` is the block at work.
    fn expect_active(&self, number: u32) -> Parse<Software> {
        match (self.active, self.software) {
            (Some(active), Some(software)) if active == number => Ok(software),
            (Some(active), _) => Err(Why::new(format!("for block {number} while block {active} is at work"))),
            (None, _) => Err(Why::new(format!("for block {number} without a START_BLOCK"))),
        }
    }

    fn applied_transaction(&mut self, fields: &mut Fields<'_>) -> Parse<()> {
        let software = self.expect_active(fields.u32("block number")?)?;
        let bytes = self.arena.hex(fields.next("trace")?, "trace")?;
        fields.end()?;
        let mut reader = raw::Reader::sharing(&bytes);
        let mut trace = trace::read(&mut reader, software)?;
        reader.finish("transaction trace")?;
        if let Some(failed) = &mut trace.failed_dtrx_trace {
            // The trace is of `eosio::onerror`, which handles the failure of a deferred transaction.
            let ram_ops = std::mem::take(&mut self.pending.trace.ram_ops);
            let (removals, others) = ram_ops.into_iter().partition(is_deferred_removal);
            failed.ram_ops = removals;
            self.pending.trace.ram_ops = others;
            failed.receipt.get_or_insert(TransactionReceiptHeader {
                status: TransactionStatus::SoftFail,
                ..TransactionReceiptHeader::default()
            });
            self.block.unfiltered_transaction_traces.push((**failed).clone());
            if trace.receipt.as_ref().is_none_or(|receipt| receipt.status == TransactionStatus::HardFail) {
                self.pending.revert();
            }
        }
        self.pending.attach(&mut trace)?;
        self.block.unfiltered_transaction_traces.push(trace);
        Ok(())
    }

    fn accepted_block(&mut self, fields: &mut Fields<'_>) -> Parse<Event> {
        let number = fields.u32("block number")?;
        let software = self.expect_active(number)?;
        let bytes = self.arena.hex(fields.next("block state")?, "block state")?;
        fields.end()?;
        block_state::read(&mut raw::Reader::sharing(&bytes), software, &mut self.keys, &mut self.block)?;
        if self.block.number != number {
            return Err(Why::new(format!("block {number} has the state of block {}", self.block.number)));
        }
        self.finish_block()
    }

    fn accepted_block_v2(&mut self, fields: &mut Fields<'_>) -> Parse<Event> {
        let id = fields.checksum256("block id")?;
        let number = fields.u32("block number")?;
        let software = self.expect_active(number)?;
        let lib = fields.u32("last irreversible block")?;
        let signed = self.arena.hex(fields.next("signed block")?, "signed block")?;
        // Finality data serves proofs to other chains; the blocks' schema has no place for it.
        fields.next("finality data")?;
        let policy = self.arena.hex(fields.next("proposer policy")?, "proposer policy")?;
        fields.next("finalizer policy")?;
        fields.end()?;
        let block = &mut self.block;
        block.id = id;
        block.number = number;
        block.dpos_irreversible_blocknum = lib;
        let (mut signed, mut policy) = (raw::Reader::sharing(&signed), raw::Reader::sharing(&policy));
        block_state::read_v2(&mut signed, &mut policy, software, &mut self.keys, &self.features, block)?;
        self.finish_block()
    }

    fn finish_block(&mut self) -> Parse<Event> {
        let mut block = std::mem::take(&mut self.block);
        let wanted = block.header.id()?;
        if block.id != wanted {
            return Err(Why::new(format!("the block's id is {} but its header's is {wanted}", block.id)));
        }
        if block.id.block_num() != block.number {
            return Err(Why::new(format!("block {} has the id of block {}", block.number, block.id.block_num())));
        }
        let active = block.activated_protocol_features.as_ref().map_or(&[][..], |active| &active.protocol_features);
        self.features.remember(block.id, active);
        block.version = 1;
        let (time, number, id) = (block.header.timestamp, u64::from(block.number), block.id);
        for (index, trace) in block.unfiltered_transaction_traces.iter_mut().enumerate() {
            let place = |trace: &mut TransactionTrace, index: u64| {
                trace.index = index;
                trace.block_time = time;
                trace.block_num = number;
                trace.producer_block_id = Some(id);
            };
            place(trace, index as u64);
            if let Some(failed) = &mut trace.failed_dtrx_trace {
                // A copy of the trace before this one.
                place(failed, (index as u64).saturating_sub(1));
            }
        }
        block.update_counts();
        self.active = None;
        self.genesis = None;
        self.pending.clear();
        self.stats.blocks += 1;
        Ok(Event::Block(Box::new(block)))
    }

    fn abi_dump(&mut self, fields: &mut Fields<'_>) -> Parse<Option<Event>> {
        match fields.next("operation")? {
            b"START" => {
                let mut dump = AbiDump::default();
                match fields.count() {
                    0 => {}
                    2 => {
                        dump.block_num = fields.u32("block number")?;
                        dump.global_sequence = fields.u64("global sequence")?;
                    }
                    other => return Err(Why::new(format!("{other} fields after START, where 0 or 2 are due"))),
                }
                self.dump = Some(dump);
                Ok(None)
            }
            b"ABI" => {
                let dump = self.dump.as_mut().ok_or_else(|| Why::new("ABI outside of ABIDUMP START and END"))?;
                if fields.count() == 3 {
                    // EOSIO 1.8 and 2.0 give the block number here instead of at the start.
                    dump.block_num = fields.u32("block number")?;
                }
                let contract = fields.name("contract")?;
                let abi = fields.next("ABI")?;
                fields.end()?;
                let abi = BASE64.decode(abi).map_err(|_| Why::new(format!("ABI {} is not base64", Shown(abi))))?;
                dump.abis.push((contract, abi.into()));
                Ok(None)
            }
            b"END" => Ok(self.dump.take().map(Event::AbiDump)),
            other => Err(Why::new(format!("unknown operation {}", Shown(other)))),
        }
    }
}

/// Nodes pad base64; a log that went through other hands may not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
