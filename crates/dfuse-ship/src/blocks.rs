//! Blocks of state history and a block log, in the form that deep mind gives them.
//!
//! What is missing is not made up: an operation stands in a trace only if one action alone can have done it, and otherwise among the
//! changes of the block as a whole (`Block::state_history`), one a row and block. Deltas say what a row becomes, so that the state of
//! the chain before the block must be known.

mod authors;
mod consensus;
mod deferred;
mod finality;
mod key;
mod known;
mod merkle;
mod packed;
mod resources;
mod rows;
mod transactions;

use std::collections::VecDeque;

use authors::Authors;
use bytes::Bytes;
pub use consensus::Consensus;
use deferred::Deferred;
use dfuse_antelope::{
    self as antelope, Checksum256,
    chain::SignedBlock,
    model::{Block, StateHistory},
    raw::Reader,
};
use key::Key;
use known::{Known, Recent};
pub use known::{MemoryRows, RowChange, Rows};
pub use packed::state_entry;
use resources::Ram;

use crate::{DeltaRow, Deltas, Error, Result, Trace, block_log::GenesisState, traces::traces};

/// A block and what state history says of it, decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryBlock {
    /// Its id.
    pub id: Checksum256,
    /// The block.
    pub signed: SignedBlock,
    /// Its traces.
    pub traces: Vec<Trace>,
    /// Its deltas.
    pub deltas: Vec<DeltaRow>,
}

impl HistoryBlock {
    /// Decodes the parts of a block. This is most of the work, and can be done for many blocks at once.
    ///
    /// # Errors
    /// The parts are wrong, or of another block.
    pub fn decode(id: Checksum256, block: &Bytes, history: &Bytes, deltas: impl std::io::Read) -> Result<Self> {
        let wrong = |why: String| Error::Block { number: id.block_num(), why };
        let mut reader = Reader::sharing(block);
        let signed = SignedBlock::unpack(&mut reader).and_then(|signed| reader.finish("block").map(|()| signed));
        let signed = signed.map_err(|error| wrong(error.to_string()))?;
        let of_header = signed.header.id().map_err(|error| wrong(error.to_string()))?;
        if of_header != id {
            return Err(wrong(format!("its header has the id {of_header} instead of {id}")));
        }
        let traces = if history.is_empty() { vec![] } else { traces(history)? };
        let mut rows = vec![];
        let mut deltas = Deltas::new(deltas);
        while let Some(row) = deltas.next_row()? {
            rows.push(row);
        }
        Ok(Self { id, signed, traces, deltas: rows })
    }
}

/// What takes a block back.
#[derive(Debug)]
struct Undo {
    consensus: Consensus,
    rows: Vec<(Key, Option<Recent>)>,
}

/// Makes blocks, each from its parts and from what is known after its parent. Blocks can be taken back down to the LIB.
///
/// Rows that a block changed are held in memory until it is [settled](Assembler::settle).
#[derive(Debug)]
pub struct Assembler {
    consensus: Consensus,
    known: Known,
    /// What the chain began with, which becomes part of its second block: its first has no place in the feed.
    genesis: Vec<DeltaRow>,
    undo: VecDeque<Undo>,
}

impl Assembler {
    /// After the first block of a chain, whose deltas are the whole state. There are no rows yet.
    pub fn genesis(genesis: &GenesisState, id: Checksum256, deltas: Vec<DeltaRow>, rows: Box<dyn Rows>) -> Self {
        let consensus = Consensus::genesis(genesis, id);
        Self { consensus, known: Known::new(rows), genesis: deltas, undo: VecDeque::new() }
    }

    /// After a block in the middle of a chain, of whose state these are the rows.
    pub fn after(consensus: Consensus, rows: Box<dyn Rows>) -> Self {
        Self { consensus, known: Known::new(rows), genesis: vec![], undo: VecDeque::new() }
    }

    /// Writes what final blocks up to this one have changed to where rows are kept.
    ///
    /// # Errors
    /// The rows cannot be written.
    pub fn settle(&mut self, up_to: u32) -> Result<()> {
        self.known.settle(up_to.min(self.irreversible()))
    }

    /// The newest block.
    pub fn head(&self) -> Checksum256 {
        self.consensus.id()
    }

    /// Blocks that the next one can follow, the newest last: it and those that can be taken back.
    pub fn positions(&self) -> Vec<Checksum256> {
        self.undo.iter().map(|undo| undo.consensus.id()).chain([self.head()]).collect()
    }

    /// The LIB as of the newest block.
    pub fn irreversible(&self) -> u32 {
        self.consensus.irreversible()
    }

    /// Makes the next block. If its parent is not the newest block, those after the parent are taken back.
    ///
    /// # Errors
    /// The parent is not known or final, or the parts contradict what is known. Nothing is changed then.
    pub fn block(&mut self, parts: HistoryBlock) -> Result<Block> {
        let number = parts.id.block_num();
        let wrong = |error: antelope::Error| Error::Block { number, why: error.to_string() };
        self.go_back_to(parts.signed.header.previous, number)?;
        let mut consensus = self.consensus.next(&parts.signed.header, parts.id).map_err(wrong)?;
        let mut block = Block { id: parts.id, number, version: 1, ..Block::default() };
        block.valid_block_signing_authority_v2 =
            consensus.signing_authority(&self.consensus, parts.signed.header.producer);
        consensus.fill(&mut block);
        fill(&mut block, parts.signed);
        block.state_history = Some(StateHistory::default());
        let ram_deltas = transactions::add(&mut block, parts.traces);

        let deltas = self.genesis.iter().cloned().chain(parts.deltas).collect();
        let mut changes = self.known.changes(deltas)?;
        let authors = Authors::of(&block);
        let deferred = Deferred::new(&block, &authors, &self.known)?;
        let mut ram = Ram::new(&self.known);
        ram.add(&mut block, &ram_deltas)?;
        ram.correct(&mut block, &changes)?;
        for change in &mut changes {
            if let Key::Deferred(..) = change.key {
                deferred.add(&mut block, change).map_err(wrong)?;
            }
            rows::add(&mut block, &authors, change);
            resources::add(&mut block, change).map_err(wrong)?;
            if let Some(producers) = rows::producers(change) {
                consensus.set_producers(&producers);
            }
        }
        transactions::finish(&mut block).map_err(wrong)?;

        self.genesis.clear();
        let before = std::mem::replace(&mut self.consensus, consensus);
        self.undo.push_back(Undo { consensus: before, rows: self.known.apply(self.consensus.clone(), changes) });
        let is_final = |undo: &Undo| undo.consensus.id().block_num() < self.consensus.irreversible();
        while self.undo.front().is_some_and(is_final) {
            self.undo.pop_front();
        }
        Ok(block)
    }

    fn go_back_to(&mut self, parent: Checksum256, number: u32) -> Result<()> {
        let known = self.head() == parent || self.undo.iter().any(|undo| undo.consensus.id() == parent);
        if !known {
            let why =
                format!("its parent {parent} is neither the newest block, {}, nor one after the LIB", self.head());
            return Err(Error::Block { number, why });
        }
        while self.head() != parent
            && let Some(undo) = self.undo.pop_back()
        {
            self.consensus = undo.consensus;
            self.known.restore(undo.rows);
        }
        Ok(())
    }
}

fn fill(block: &mut Block, signed: SignedBlock) {
    block.header = signed.header;
    block.producer_signature = signed.producer_signature;
    block.unfiltered_transactions = signed.transactions;
    block.block_extensions = signed.block_extensions;
}
