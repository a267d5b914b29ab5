use dfuse_antelope::{
    AbiDump,
    model::{
        Block, DtrxOperation, RlimitKind, RlimitOperation, TransactionReceiptHeader, TransactionStatus,
        TransactionTrace,
    },
    raw,
};

use crate::{
    Error, Event, Result, Software, Stats, abi_dump,
    arena::Arena,
    block_state::{self, Features, KeyTexts},
    error::{Parse, Why, shown},
    fields::Fields,
    operations,
    pending::{Genesis, Pending, is_deferred_removal},
    runs, trace,
    verify::Verifier,
};

/// Distinct unknown keywords that are counted by name.
const MAX_UNKNOWN: usize = 64;

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
    /// The run at work has begun with genesis, and its version line is still to come.
    in_genesis: bool,
    /// What was wrong with the last deep-mind line. It is an error unless another run begins with the next one: then it
    /// is what a node left behind that was killed.
    suspect: Option<Error>,
    /// Lines of the traces of the block at work.
    trace_lines: Vec<u64>,
    verifier: Verifier,
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
    /// Any error is final: the log says something that cannot be. What is wrong with a line is told with the next
    /// deep-mind line, or by [`Decoder::finish`]: only then is it known that the node was not killed while it wrote.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Event>> {
        self.stats.lines += 1;
        let Some(record) = runs::record_of(line).or_else(|| runs::behind_torn_line(line)) else { return Ok(None) };
        self.stats.deep_mind_lines += 1;
        if let Some(suspect) = self.suspect.take() {
            if is_cry_of_failure(record) {
                // It says why the line before it was cut, and comes twice.
                let told = matches!(suspect, Error::NodeFailed { .. });
                let failed = if told { suspect } else { Error::NodeFailed { line: self.stats.lines } };
                return self.suspend(failed);
            }
            if !runs::begins_run(record) && runs::behind_torn_line(line).is_none() {
                return Err(suspect);
            }
            self.begin_run(Some(&suspect));
        }
        self.deep_mind_line(record, line).or_else(|error| self.after_wrong_line(error, record, line))
    }

    /// Goes on with the run that begins behind half a line, or waits for what comes next.
    fn after_wrong_line(&mut self, error: Error, record: &[u8], line: &[u8]) -> Result<Option<Event>> {
        match runs::behind_torn_line(line).filter(|next| next.len() < record.len()) {
            Some(next) => {
                self.begin_run(Some(&error));
                self.deep_mind_line(next, line).or_else(|error| self.suspend(error))
            }
            None => self.suspend(error),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the end of a chain of results")]
    fn suspend(&mut self, error: Error) -> Result<Option<Event>> {
        self.suspect = Some(error);
        Ok(None)
    }

    /// Tells that there are no more lines.
    ///
    /// # Errors
    /// The last deep-mind line says something that cannot be.
    pub fn finish(&mut self) -> Result<()> {
        self.suspect.take().map_or(Ok(()), Err)
    }

    fn deep_mind_line(&mut self, record: &[u8], line: &[u8]) -> Result<Option<Event>> {
        let mut fields = Fields::new(record);
        let keyword = fields.next("keyword").unwrap_or_default();
        let number = self.stats.lines;
        if keyword == b"DEEP_MIND_VERSION" {
            let found = fields.last("version").unwrap_or_default();
            let software = Software::parse(found);
            let software = software.ok_or_else(|| Error::UnsupportedVersion { line: number, found: shown(found) })?;
            if !std::mem::take(&mut self.in_genesis) && self.software.is_some() {
                self.begin_run(None);
            }
            self.software = Some(software);
            return Ok(None);
        }
        if is_cry_of_failure(record) {
            return Err(Error::NodeFailed { line: number });
        }
        let event = self.record(keyword, &mut fields, line).map_err(|why| {
            // A line that was cut by a failed write has the node's cry for help at its end, if the streams are one.
            if memchr::memmem::find(record, b"FPRINTF_FAIL").is_some() {
                return Error::NodeFailed { line: number };
            }
            Error::Line { line: number, keyword: shown(keyword), why: why.0, text: shown(line) }
        })?;
        if let Some(Event::Block(block)) = &event {
            self.verify(block)?;
            self.stats.blocks += 1;
        }
        Ok(event)
    }

    /// Begins to read what the node wrote after it was started again. `suspect` is what was wrong with the last line.
    fn begin_run(&mut self, suspect: Option<&Error>) {
        if self.active.is_some() || suspect.is_some() {
            self.stats.cut_runs += 1;
            tracing::warn!(
                line = self.stats.lines,
                block = self.active,
                last_line = suspect.map(tracing::field::display),
                "the node was stopped while it wrote its log: what it had begun is left out, and its next run is read"
            );
        }
        self.abandon();
        self.block = Block::default();
        self.pending.clear();
        self.genesis = None;
        self.begun = false;
        self.dump = None;
        self.verifier.begin_run();
    }

    fn verify(&mut self, block: &Block) -> Result<()> {
        let Some(software) = self.software else { return Ok(()) };
        let first_of_chain = std::mem::take(&mut self.genesis).is_some_and(|genesis| genesis.is_of_chain());
        let follows = self.features.knows(block.header.previous);
        self.verifier.block(block, software, first_of_chain, follows).map_err(|finding| {
            let line = finding.trace.and_then(|at| self.trace_lines.get(at)).copied();
            Error::Damaged { line: line.unwrap_or(self.stats.lines), block: block.number, why: finding.why }
        })
    }

    fn record(&mut self, keyword: &[u8], fields: &mut Fields<'_>, line: &[u8]) -> Parse<Option<Event>> {
        match keyword {
            b"CREATION_OP" => self.pending.creations.push(operations::creation(fields)?),
            b"DB_OP" => self.pending.trace.db_ops.push(operations::db(fields, &mut self.arena)?),
            b"RAM_OP" => self.pending.trace.ram_ops.push(operations::ram(fields)?),
            b"RLIMIT_OP" => {
                let op = operations::resource_limit(fields)?;
                if op.operation == RlimitOperation::Insert && matches!(op.kind, Some(RlimitKind::Config(_))) {
                    self.begin_genesis();
                }
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
            b"START_BLOCK" => self.start_block(fields)?,
            b"ACCEPTED_BLOCK" => return self.accepted_block(fields).map(Some),
            b"ACCEPTED_BLOCK_V2" => return self.accepted_block_v2(fields).map(Some),
            b"SWITCH_FORK" => {
                let (from, to) = (fields.checksum256("head")?, fields.checksum256("new head")?);
                fields.end()?;
                self.stats.fork_switches += 1;
                self.verifier.switch_fork();
                self.abandon();
                return Ok(Some(Event::SwitchFork { from, to }));
            }
            b"ABIDUMP" => return Ok(abi_dump::read(fields, &mut self.dump)?.map(Event::AbiDump)),
            // Nothing of these is read, so they could hide the beginning of a run.
            _ if runs::behind_torn_line(line).is_some() => return Err(Why::new("the line is torn")),
            b"KV_OP" => self.stats.key_value_operations += 1,
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

    /// A node makes its chain from genesis: nothing that was read before belongs to it.
    fn begin_genesis(&mut self) {
        if self.software.is_some() || self.begun || self.in_genesis {
            self.begin_run(None);
        }
        self.in_genesis = true;
    }

    fn start_block(&mut self, fields: &mut Fields<'_>) -> Parse<()> {
        let number = fields.u32("block number")?;
        fields.end()?;
        if self.software.is_none() {
            return Err(Why::new("no DEEP_MIND_VERSION line before the first block; read the log from its beginning"));
        }
        if self.dump.is_some() {
            return Err(Why::new("ABIDUMP START without ABIDUMP END before it; lines are missing"));
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
        self.trace_lines.clear();
        if let Some(genesis) = &self.genesis {
            self.pending = genesis.pending.clone();
            self.block.rlimit_ops.clone_from(&genesis.rlimit_ops);
        }
        self.active = Some(number);
        self.in_genesis = false;
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
            self.trace_lines.push(self.stats.lines);
            if trace.receipt.as_ref().is_none_or(|receipt| receipt.status == TransactionStatus::HardFail) {
                self.pending.revert();
            }
        }
        self.pending.attach(&mut trace)?;
        self.block.unfiltered_transaction_traces.push(trace);
        self.trace_lines.push(self.stats.lines);
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
        self.pending.clear();
        Ok(Event::Block(Box::new(block)))
    }
}

/// The node says that it could not write its log, and ends.
fn is_cry_of_failure(record: &[u8]) -> bool {
    record.starts_with(b"FPRINTF_FAILED") || record.starts_with(b"FPRINTF_FAILURE_TERMINATED")
}
