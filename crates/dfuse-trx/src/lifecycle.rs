use std::{collections::BTreeMap, sync::Arc};

use dfuse_antelope::{
    BlockTimestamp, Checksum256,
    model::{
        Block, BlockHeader, BlockParts, ExtDtrxOp, RamOp, RlimitOp, SignedTransaction, TransactionLifecycle,
        TransactionReceipt, TransactionTrace,
    },
};
use dfuse_index::{BlockRef, View, blocks};

use crate::{
    Error, ForkedTransactions, IdPrefix, Outline, Result, Signers, events,
    index::{first_ids, implicit_transaction, is_onerror, waiting},
    outline::{Body, OperationPlace},
};

/// Where blocks come from: those of the best chain, and those that were undone as long as their transactions live.
pub trait BlockSource: Send + Sync {
    /// The block of that number and id. May block: it is called on CPU threads.
    ///
    /// # Errors
    /// [`Error::Source`] if it cannot be read or is not there.
    fn block(&self, block: BlockRef) -> Result<Arc<Block>>;

    /// The same block for those who want little of it: what they do not ask for is not decoded.
    ///
    /// # Errors
    /// [`Error::Source`] if it cannot be read or is not there.
    fn parts(&self, block: BlockRef) -> Result<Arc<BlockParts>>;
}

/// Looks up transactions at one view.
#[derive(Clone, Copy)]
pub struct Lifecycles<'a> {
    /// The indexes; what is committed in it is irreversible.
    pub view: &'a View,
    /// What was undone.
    pub forked: &'a ForkedTransactions,
    /// The blocks.
    pub blocks: &'a dyn BlockSource,
    /// Recovers public keys from signatures; without it none are told.
    pub signers: Option<&'a Signers>,
}

impl std::fmt::Debug for Lifecycles<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lifecycles").field("view", self.view).finish_non_exhaustive()
    }
}

impl Lifecycles<'_> {
    /// The transaction whose id begins so; absent if there is none.
    ///
    /// # Errors
    /// [`Error::AmbiguousPrefix`] if there are several.
    pub fn find(&self, prefix: &IdPrefix) -> Result<Option<Checksum256>> {
        let mut ids = first_ids(self.view, prefix.keys(), 2)?;
        ids.extend(self.forked.first_ids(prefix, self.irreversible_time()?, 2));
        ids.sort_unstable();
        ids.dedup();
        match ids[..] {
            [] => Ok(None),
            [id] => Ok(Some(id)),
            _ => Err(Error::AmbiguousPrefix { prefix: prefix.to_hex() }),
        }
    }

    /// What has become of a transaction, without reading a block; absent if it is unknown.
    pub fn outline(&self, id: Checksum256) -> Result<Option<Outline>> {
        let lib_number = self.view.irreversible().map_or(0, |block| block.number);
        if let Some(mut outline) = Outline::of(id, &events(self.view, id)?, lib_number) {
            if outline.body.is_none() && waiting(self.view, id)?.is_some() {
                outline.body = Some(Body::Waiting);
            }
            return Ok(Some(outline));
        }
        if waiting(self.view, id)?.is_some() {
            return Ok(Some(Outline::waiting(id, lib_number)));
        }
        let Some(forked) = self.forked.get(id, None) else { return Ok(None) };
        let expired = self.irreversible_time()?.is_some_and(|time| forked.has_expired(time));
        Ok((!expired).then(|| Outline::pending(id, forked, lib_number)))
    }

    /// All that is known of a transaction; absent if it is unknown.
    pub fn get(&self, id: Checksum256) -> Result<Option<TransactionLifecycle>> {
        Ok(self.get_all(&[id])?.pop().flatten())
    }

    /// All that is known of each transaction, in the order of `ids`. Every block is read once, in the order of numbers,
    /// and let go before the next one.
    pub fn get_all(&self, ids: &[Checksum256]) -> Result<Vec<Option<TransactionLifecycle>>> {
        let mut needed = Needed { view: self.view, references: BTreeMap::new(), pieces: BTreeMap::new() };
        let mut drafts = Vec::with_capacity(ids.len());
        for (at, id) in ids.iter().enumerate() {
            let outline = self.outline(*id)?;
            if let Some(outline) = &outline {
                needed.add(at, outline)?;
            }
            let mut draft = outline.as_ref().map(Draft::new);
            if let (Some(draft), Some(Body::Waiting)) = (&mut draft, outline.and_then(|outline| outline.body)) {
                draft.lifecycle.transaction = waiting(self.view, *id)?;
            }
            drafts.push(draft);
        }
        for (reference, pieces) in needed.pieces {
            let parts = self.blocks.parts(reference)?;
            let page = Page { parts: &parts, reference };
            if parts.id() != reference.id {
                return Err(page.missing("its id"));
            }
            for (at, piece) in pieces {
                if let Some(draft) = &mut drafts[at] {
                    draft.add(piece, &page)?;
                }
            }
        }
        Ok(drafts.into_iter().map(|draft| Some(draft?.finish(self.signers))).collect())
    }

    /// The blocks that have the transaction whose id begins so and are not on the view's branch, newest first: as far as they
    /// are kept, and known to have been undone.
    pub fn forked_out(&self, prefix: &IdPrefix) -> Result<Vec<BlockRef>> {
        let mut blocks = Vec::new();
        for block in self.forked.mentions(prefix) {
            if blocks::by_id(self.view, block.id)?.is_none() {
                blocks.push(block);
            }
        }
        Ok(blocks)
    }

    fn irreversible_time(&self) -> Result<Option<BlockTimestamp>> {
        let Some(block) = self.view.irreversible() else { return Ok(None) };
        Ok(blocks::by_number(self.view, block.number)?.map(|block| block.time))
    }
}

/// Something that a lifecycle needs from a block.
#[derive(Debug, Clone, Copy)]
enum Piece {
    /// The transaction in the receipt at that position.
    Signed(u32),
    /// The implicit transaction at that position.
    Implicit(u32),
    /// The transaction in that operation.
    Deferred(OperationPlace),
    /// The receipt at that position.
    Receipt(u32),
    /// That receipt, and the transaction in it.
    SignedReceipt(u32),
    Created(OperationPlace),
    Canceled(OperationPlace),
    /// A trace that is not the one that counts.
    Scheduling(u32),
    Execution(u32),
    /// The header of the block that executed it, whose trace a filter left out.
    LeftOut,
}

/// What is needed of each block, by whom.
struct Needed<'a> {
    view: &'a View,
    references: BTreeMap<u32, BlockRef>,
    pieces: BTreeMap<BlockRef, Vec<(usize, Piece)>>,
}

impl Needed<'_> {
    fn add(&mut self, at: usize, outline: &Outline) -> Result<()> {
        let mut receipt = outline.receipt;
        match outline.body {
            // As a rule they are the same: it is decoded once.
            Some(Body::Receipt(place)) if receipt == Some(place) => {
                receipt = None;
                self.piece(at, place.block_number, Piece::SignedReceipt(place.position))?;
            }
            Some(Body::Receipt(place)) => self.piece(at, place.block_number, Piece::Signed(place.position))?,
            Some(Body::Implicit(place)) => self.piece(at, place.block_number, Piece::Implicit(place.position))?,
            Some(Body::Operation(place)) => self.piece(at, place.block_number(), Piece::Deferred(place))?,
            Some(Body::Forked(forked)) => {
                self.pieces.entry(forked.block).or_default().push((at, Piece::Signed(forked.position)));
            }
            Some(Body::Waiting) | None => {}
        }
        if let Some(place) = receipt {
            self.piece(at, place.block_number, Piece::Receipt(place.position))?;
        }
        if let Some(place) = outline.created {
            self.piece(at, place.block_number(), Piece::Created(place))?;
        }
        if let Some(place) = outline.canceled {
            self.piece(at, place.block_number(), Piece::Canceled(place))?;
        }
        for place in &outline.scheduling {
            self.piece(at, place.block_number, Piece::Scheduling(place.position))?;
        }
        if let Some((place, _)) = outline.execution {
            self.piece(at, place.block_number, Piece::Execution(place.position))?;
        }
        if let Some((place, _)) = outline.left_out {
            self.piece(at, place.block_number, Piece::LeftOut)?;
        }
        Ok(())
    }

    fn piece(&mut self, at: usize, number: u32, piece: Piece) -> Result<()> {
        let reference = match self.references.get(&number) {
            Some(reference) => *reference,
            None => {
                let block = blocks::by_number(self.view, number)?;
                let id = block.map(|block| block.id).ok_or_else(|| {
                    let why = format!("block {number} has transactions and is not in the index of blocks");
                    dfuse_index::Error::Damaged { family: blocks::BLOCKS.name(), why }
                })?;
                *self.references.entry(number).or_insert(BlockRef { number, id })
            }
        };
        self.pieces.entry(reference).or_default().push((at, piece));
        Ok(())
    }
}

/// A block from which pieces are taken.
struct Page<'a> {
    parts: &'a BlockParts,
    reference: BlockRef,
}

impl Page<'_> {
    fn missing(&self, what: &'static str) -> Error {
        Error::Mismatch { block: self.reference, what }
    }

    /// A piece of the block; one that does not decode is told with the block.
    fn piece<T>(&self, what: &'static str, found: dfuse_antelope::Result<Option<T>>) -> Result<T> {
        let found = found.map_err(|error| Error::Source { block: self.reference, source: error.into() })?;
        found.ok_or_else(|| self.missing(what))
    }

    fn trace(&self, position: u32) -> Result<TransactionTrace> {
        self.piece("a trace", self.parts.trace(position))
    }

    fn trace_of(&self, id: Checksum256, position: u32) -> Result<TransactionTrace> {
        let trace = self.trace(position)?;
        if trace.id == id { Ok(trace) } else { Err(self.missing("its trace")) }
    }

    fn receipt_of(&self, id: Checksum256, position: u32) -> Result<TransactionReceipt> {
        let receipt = self.piece("a receipt", self.parts.receipt(position))?;
        if receipt.id == id { Ok(receipt) } else { Err(self.missing("a receipt")) }
    }

    /// The transaction in a receipt; absent if it does not decode, which the chain rules out.
    fn signed(&self, receipt: &TransactionReceipt) -> Result<Option<SignedTransaction>> {
        let packed = receipt.packed_transaction.as_ref().ok_or_else(|| self.missing("a body"))?;
        Ok(packed.signed_transaction().ok())
    }

    fn implicit_transaction(&self, position: u32) -> Result<Option<SignedTransaction>> {
        let op = self.piece("an implicit transaction", self.parts.implicit_transaction_op(position))?;
        if is_onerror(&op) {
            // It is completed from the traces of the block.
            let block = self.piece("itself", self.parts.decode().map(Some))?;
            return Ok(implicit_transaction(&block, position));
        }
        Ok(op.transaction.filter(|signed| signed.transaction.id() == op.transaction_id))
    }

    fn header(&self) -> Result<BlockHeader> {
        self.piece("its header", self.parts.header().map(Some))
    }

    /// A deferred operation on that transaction, with the transaction and the block that did it.
    fn operation(&self, of: Checksum256, place: OperationPlace) -> Result<ExtDtrxOp> {
        let found = match place {
            OperationPlace::OfTrace { trace, operation } => {
                let trace = self.trace(trace.position)?;
                let dtrx_op = trace.dtrx_ops.into_iter().nth(operation as usize);
                dtrx_op.map(|dtrx_op| ExtDtrxOp {
                    source_transaction_id: trace.id,
                    block_num: self.reference.number.into(),
                    block_id: self.reference.id,
                    block_time: BlockTimestamp::default(),
                    dtrx_op,
                })
            }
            OperationPlace::OfBlock(place) => {
                let block = self.piece("itself", self.parts.frame().map(Some))?;
                block.deferred_operations_of_block().get(place.position as usize).cloned()
            }
        };
        let found = found.filter(|op| op.dtrx_op.transaction_id == of);
        let found = found.ok_or_else(|| self.missing("a deferred operation"))?;
        Ok(ExtDtrxOp { block_time: self.header()?.timestamp, ..found })
    }
}

/// A lifecycle that is being put together, in the order of blocks.
struct Draft {
    lifecycle: TransactionLifecycle,
    /// Of traces that came before the one that counts.
    ram_ops: Vec<RamOp>,
    rlimit_ops: Vec<RlimitOp>,
}

impl Draft {
    fn new(outline: &Outline) -> Self {
        let lifecycle = TransactionLifecycle {
            id: outline.id,
            transaction_status: outline.status.in_model(),
            creation_irreversible: outline.creation_irreversible(),
            execution_irreversible: outline.execution_irreversible(),
            cancelation_irreversible: outline.cancelation_irreversible(),
            ..TransactionLifecycle::default()
        };
        Self { lifecycle, ram_ops: Vec::new(), rlimit_ops: Vec::new() }
    }

    fn add(&mut self, piece: Piece, page: &Page<'_>) -> Result<()> {
        let lifecycle = &mut self.lifecycle;
        let id = lifecycle.id;
        match piece {
            Piece::Signed(position) => lifecycle.transaction = page.signed(&page.receipt_of(id, position)?)?,
            Piece::Implicit(position) => lifecycle.transaction = page.implicit_transaction(position)?,
            Piece::Deferred(place) => {
                lifecycle.transaction = page.operation(id, place)?.dtrx_op.transaction.map(|boxed| *boxed);
            }
            Piece::SignedReceipt(position) => {
                let receipt = page.receipt_of(id, position)?;
                lifecycle.transaction = page.signed(&receipt)?;
                lifecycle.transaction_receipt = Some(receipt);
            }
            Piece::Receipt(position) => lifecycle.transaction_receipt = Some(page.receipt_of(id, position)?),
            Piece::Created(place) => lifecycle.created_by = Some(page.operation(id, place)?),
            Piece::Canceled(place) => lifecycle.canceled_by = Some(page.operation(id, place)?),
            Piece::Scheduling(position) => {
                let trace = page.trace_of(id, position)?;
                self.ram_ops.extend(trace.ram_ops);
                self.rlimit_ops.extend(trace.rlimit_ops);
            }
            Piece::LeftOut => lifecycle.execution_block_header = Some(page.header()?),
            Piece::Execution(position) => {
                let mut trace = page.trace_of(id, position)?;
                trace.ram_ops.splice(..0, self.ram_ops.drain(..));
                trace.rlimit_ops.splice(..0, self.rlimit_ops.drain(..));
                lifecycle.execution_trace = Some(trace);
                lifecycle.execution_block_header = Some(page.header()?);
            }
        }
        Ok(())
    }

    fn finish(self, signers: Option<&Signers>) -> TransactionLifecycle {
        let mut lifecycle = self.lifecycle;
        if let Some((transaction, signers)) = lifecycle.transaction.as_ref().zip(signers) {
            lifecycle.public_keys = signers.of(transaction).to_vec();
        }
        lifecycle
    }
}
