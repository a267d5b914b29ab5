//! The terms of a block's actions: what can be found, and where.

mod abis;
mod collector;
mod data;
mod event;
pub(crate) mod options;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, ops::Range};

use dfuse_antelope::{
    Checksum256, Name,
    model::{ActionTrace, Block, TransactionStatus, TransactionTrace},
};
use dfuse_index::{BlockContext, BlockRef, ExecutedAction, Result, global_sequences};

pub(crate) use self::abis::{AbiSource, BlockAbis, KnownAbis};
pub use self::data::MAX_DATA_VALUES;
use self::{collector::Collector, data::DataTerms, options::TermOptions};
use crate::{
    action_data::decoded,
    field::{Field, INDEXED, TRANSACTION_START},
    filter::{ActionFacts, TransactionFacts, Verdict},
    posting::{chunk_of, low},
    segment::SegmentBuilder,
};
const SETABI: Name = Name::literal("setabi");

/// Whether the action is not there for its transaction's sake only. Of a filtered block those are the actions that passed, and
/// those that set an ABI; of others all are.
pub fn passed_filter(block: &Block, trace: &ActionTrace) -> bool {
    !block.filtering_applied
        || trace.filtering_matched && (!trace.filtering_matched_system_action_filter || sets_abi(trace))
}

fn sets_abi(trace: &ActionTrace) -> bool {
    (trace.receiver, trace.action.account, trace.action.name) == (Name::EOSIO, Name::EOSIO, SETABI)
}

/// A transaction of a block that executed actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TermTransaction {
    /// First global sequence, above that of the block.
    pub(crate) first: u32,
    /// Position among the block's traces.
    pub(crate) position: u32,
    pub(crate) id: Checksum256,
}

/// All terms of one block, each with the actions that have it.
#[derive(Debug)]
pub struct BlockTerms {
    block: BlockRef,
    /// Global sequence from which offsets count.
    first: u64,
    /// In ascending order; offsets ascend too.
    terms: Vec<(Box<[u8]>, Vec<u32>)>,
    transactions: Vec<TermTransaction>,
}

impl BlockTerms {
    /// The terms of a block; data is decoded with the ABI in force at each action.
    pub(crate) fn new(context: &BlockContext<'_>, options: &TermOptions, abis: &mut impl AbiSource) -> Result<Self> {
        let block = context.block();
        let first = context.global_sequences().map_or(0, |sequences| *sequences.start());
        let mut terms = Self { block: context.reference(), first, terms: Vec::new(), transactions: Vec::new() };
        // Offsets are 32 bits wide; a block with sequences further apart is none of a chain.
        let offset = |sequence: u64| u32::try_from(sequence - first).ok();
        let mut collector = Collector::default();
        let start = collector.id(TRANSACTION_START);
        for (position, trace) in (0..).zip(block.transaction_traces()) {
            let Some(own) = global_sequences(trace).and_then(|own| offset(*own.start())) else { continue };
            collector.add(start, own);
            terms.transactions.push(TermTransaction { first: own, position, id: trace.id });
        }
        terms.transactions.sort_by_key(|transaction| transaction.first);
        let mut actions: Vec<ExecutedAction<'_>> = context.executed_actions().collect();
        actions.sort_by_key(|action| action.global_sequence);
        let mut data = DataTerms::default();
        for of_one in actions.chunk_by(|action, next| action.position == next.position) {
            let operations = Operations::of(of_one[0].transaction);
            let facts = TransactionFacts::default();
            let mut indexed = BTreeSet::new();
            for executed in of_one {
                let Some(at) = offset(executed.global_sequence) else { continue };
                if !passed_filter(block, executed.action) || !passes(options, block, executed, &facts, abis)? {
                    continue;
                }
                indexed.insert(at);
                add_action(&mut collector, executed, at, options.act_digest);
                operations.add(&mut collector, executed, at);
                let abi = abis.at(executed.action.action.account, executed.global_sequence)?;
                data.add(&mut collector, executed.action, abi.as_ref(), at, options);
            }
            if let Some(events) = &options.events {
                let place =
                    |action: &ExecutedAction<'_>| offset(action.global_sequence).filter(|at| indexed.contains(at));
                event::add(&mut collector, of_one, events, place, abis)?;
            }
        }
        terms.terms = collector.finish();
        Ok(terms)
    }

    /// The block.
    pub fn block(&self) -> BlockRef {
        self.block
    }

    /// Number of different terms.
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether there is nothing to find.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub(crate) fn transactions(&self) -> &[TermTransaction] {
        &self.transactions
    }

    /// Offsets of the actions that have the term.
    pub(crate) fn find(&self, term: &[u8]) -> &[u32] {
        let at = self.terms.binary_search_by(|(known, _)| (**known).cmp(term));
        at.map_or(&[], |at| &self.terms[at].1)
    }

    /// The lists of all terms that begin so.
    pub(crate) fn with_prefix<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = &'a [u32]> {
        let from = self.terms.partition_point(|(term, _)| **term < *prefix);
        let terms = self.terms[from..].iter().take_while(move |(term, _)| term.starts_with(prefix));
        terms.map(|(_, list)| &list[..])
    }

    /// What the index keeps of the block: for each chunk its first ordinal and the terms.
    pub(crate) fn segments(&self) -> Vec<(u64, Vec<u8>)> {
        let Some(last) = self.terms.iter().filter_map(|(_, list)| list.last()).max() else { return Vec::new() };
        let chunks = chunk_of(self.first)..=chunk_of(self.first + u64::from(*last));
        let mut list = Vec::new();
        let segment = |chunk: u64| {
            let mut builder = SegmentBuilder::default();
            let mut begin = u64::MAX;
            for (term, offsets) in &self.terms {
                list.clear();
                let ordinals = offsets.iter().map(|offset| self.first + u64::from(*offset));
                let own = ordinals.filter(|ordinal| chunk_of(*ordinal) == chunk);
                list.extend(own.inspect(|ordinal| begin = begin.min(*ordinal)).map(low));
                if !list.is_empty() {
                    builder.push(term, &list);
                }
            }
            (begin < u64::MAX).then(|| (begin, builder.finish()))
        };
        chunks.filter_map(segment).collect()
    }
}

/// Whether the action passes the filter of the options.
fn passes(
    options: &TermOptions,
    block: &Block,
    executed: &ExecutedAction<'_>,
    transaction: &TransactionFacts,
    abis: &mut impl AbiSource,
) -> Result<bool> {
    if options.filter.passes_all() {
        return Ok(true);
    }
    let mut decode = || {
        let abi = abis.at(executed.action.action.account, executed.global_sequence)?;
        Ok(abi.and_then(|abi| decoded(&abi, executed.action)))
    };
    Ok(match options.filter.verdict(&ActionFacts::new(block, *executed, transaction, &mut decode))? {
        Verdict::Passes => true,
        Verdict::System => sets_abi(executed.action),
        Verdict::Fails => false,
    })
}

fn add_action(collector: &mut Collector, executed: &ExecutedAction<'_>, at: u32, act_digest: bool) {
    let ExecutedAction { action: trace, transaction, .. } = *executed;
    let action = &trace.action;
    collector.put(INDEXED, at);
    collector.put_name(&Field::Receiver, trace.receiver, at);
    collector.put_name(&Field::Account, action.account, at);
    collector.put_name(&Field::Action, action.name, at);
    for authorization in &action.authorization {
        collector.put_auth(authorization.actor, authorization.permission, at);
    }
    if !action.authorization.is_empty() {
        collector.put_presence(&Field::Auth, at);
    }
    let flags = [
        (Field::Scheduled, transaction.scheduled),
        (Field::Notif, trace.receiver != action.account),
        (Field::Input, trace.is_input()),
    ];
    for (flag, _) in flags.iter().filter(|(_, set)| *set) {
        collector.put_text(flag, b"", at);
    }
    let status = transaction.receipt.as_ref().map(|receipt| receipt.status);
    let status: &[u8] = if status == Some(TransactionStatus::SoftFail) { b"soft_fail" } else { b"executed" };
    collector.put_text(&Field::Status, status, at);
    if act_digest && let Some(receipt) = &trace.receipt {
        collector.put_text(&Field::ActDigest, const_hex::encode(&receipt.digest.0[..8]).as_bytes(), at);
    }
}

/// The operations of a transaction, by the action that did them.
struct Operations<'a> {
    trace: &'a TransactionTrace,
    /// Action and position of each operation, sorted.
    rows: Vec<(u32, usize)>,
    ram: Vec<(u32, usize)>,
}

impl<'a> Operations<'a> {
    fn of(trace: &'a TransactionTrace) -> Self {
        let sorted = |actions: &mut dyn Iterator<Item = u32>| {
            let mut sorted: Vec<_> = actions.zip(0..).collect();
            sorted.sort_unstable();
            sorted
        };
        let rows = sorted(&mut trace.db_ops.iter().map(|op| op.action_index));
        let ram = sorted(&mut trace.ram_ops.iter().map(|op| op.action_index));
        Self { trace, rows, ram }
    }

    fn add(&self, collector: &mut Collector, executed: &ExecutedAction<'_>, at: u32) {
        let index = executed.action.execution_index;
        let rows = &self.rows[range_of(&self.rows, index)];
        for (_, position) in rows {
            let op = &self.trace.db_ops[*position];
            collector.put_row(op.table_name, op.scope, op.primary_key, at);
        }
        if !rows.is_empty() {
            collector.put_presence(&Field::DbTable, at);
            collector.put_presence(&Field::DbKey, at);
        }
        for (_, position) in &self.ram[range_of(&self.ram, index)] {
            let op = &self.trace.ram_ops[*position];
            let field = match op.delta {
                0 => continue,
                1.. => Field::RamConsumed,
                _ => Field::RamReleased,
            };
            collector.put_name(&field, op.payer, at);
            collector.put_presence(&field, at);
        }
    }
}

fn range_of(sorted: &[(u32, usize)], action: u32) -> Range<usize> {
    let start = sorted.partition_point(|(index, _)| *index < action);
    start..start + sorted[start..].partition_point(|(index, _)| *index == action)
}
