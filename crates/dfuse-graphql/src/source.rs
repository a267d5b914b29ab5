//! Where traces and headers come from: blocks are read, and traces decoded, when a field of them is asked for.

use std::{
    collections::VecDeque,
    ops::Deref,
    sync::{Arc, Mutex, OnceLock, PoisonError, atomic::Ordering},
};

use async_graphql::Value;
use dfuse_antelope::{
    Name,
    abi::{AbiSerializer, AbiType, Rendering},
    model::{Block, BlockHeader, DbOp, ExtDtrxOp, TransactionTrace},
};
use dfuse_index::{
    BlockRef, View,
    abi::{AbiSource, KnownAbis, ViewAbis},
};
use dfuse_query::{ApiError, ApiResult, blocks::BlockWindow, transactions};
use dfuse_render::{RowChange, RowRenderer, first_sequence, sequence_at};

use crate::{metrics::Costs, read::Request};

/// Traces that are kept decoded: all fields of a result are made before those of the next one.
const KEPT_TRACES: usize = 4;
/// Bytes of JSON that a value may become, at most.
const MAX_JSON: usize = 16 << 20;

/// The blocks of some results, and the indexes with whose ABIs they are decoded.
pub(crate) struct Source {
    request: Arc<Request>,
    view: View,
    blocks: Blocks,
    abis: KnownAbis,
    traces: Mutex<VecDeque<(BlockRef, u32, Arc<Trace>)>>,
    costs: Costs,
}

impl Drop for Source {
    fn drop(&mut self) {
        let blocks = match &self.blocks {
            Blocks::Window(window) | Blocks::Results(window) => window.read(),
            Blocks::Whole(_) => 0,
        };
        self.costs.count(self.request.read().service().metrics(), blocks);
    }
}

/// What is decoded already, and what is not.
pub(crate) enum Blocks {
    /// They are read when they are wanted.
    Window(BlockWindow),
    /// The same for results of searches: a transaction that was pushed with a delay has all its operations.
    Results(BlockWindow),
    /// One that is there as a whole.
    Whole(Arc<Block>),
}

/// A trace, of its own or in its block.
pub(crate) struct Trace {
    body: Body,
    first_sequence: OnceLock<u64>,
}

enum Body {
    Own(Box<TransactionTrace>),
    In(Arc<Block>, usize),
    /// Nothing but changes of rows of a block as a whole.
    OfBlock(Box<TransactionTrace>),
}

impl Deref for Trace {
    type Target = TransactionTrace;

    fn deref(&self) -> &TransactionTrace {
        match &self.body {
            Body::Own(trace) | Body::OfBlock(trace) => trace,
            Body::In(block, position) => &block.transaction_traces()[*position],
        }
    }
}

impl Trace {
    fn new(body: Body) -> Arc<Self> {
        Arc::new(Self { body, first_sequence: OnceLock::new() })
    }

    /// Something that no action is known to have done.
    pub(crate) fn of_row(block_number: u32, op: DbOp) -> Arc<Self> {
        let trace =
            TransactionTrace { block_num: block_number.into(), db_ops: vec![op], ..TransactionTrace::default() };
        Self::new(Body::OfBlock(Box::new(trace)))
    }

    /// The change of a row at a position of its operations.
    pub(crate) fn row_change(&self, at: usize) -> RowChange<'_> {
        let trace: &TransactionTrace = self;
        RowChange {
            block_number: u32::try_from(trace.block_num).unwrap_or(u32::MAX),
            trace: (!matches!(self.body, Body::OfBlock(_))).then_some(trace),
            op: &trace.db_ops[at],
        }
    }
}

impl Source {
    pub(crate) fn new(request: &Arc<Request>, view: View, blocks: Blocks) -> Arc<Self> {
        let (abis, traces) = (KnownAbis::default(), Mutex::default());
        Arc::new(Self { request: request.clone(), view, blocks, abis, traces, costs: Costs::default() })
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// A transaction's trace, by its block and its position there.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn trace(&self, block: BlockRef, position: u32) -> ApiResult<Arc<Trace>> {
        let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., trace)) = traces.iter().find(|(own, at, _)| (*own, *at) == (block, position)) {
            return Ok(trace.clone());
        }
        self.request.read().go_on()?;
        let unknown = || ApiError::unexpected(format!("block {block} has no transaction {position}"));
        let body = match &self.blocks {
            Blocks::Window(window) | Blocks::Results(window) => {
                self.costs.traces.fetch_add(1, Ordering::Relaxed);
                let trace = window.parts(block)?.trace(position).map_err(ApiError::unexpected)?;
                let trace = trace.ok_or_else(unknown)?;
                let is_result = matches!(self.blocks, Blocks::Results(_));
                Body::Own(Box::new(if is_result && trace.scheduled { self.with_deferring(trace)? } else { trace }))
            }
            Blocks::Whole(whole) => {
                let position = position as usize;
                whole.transaction_traces().get(position).ok_or_else(unknown)?;
                Body::In(whole.clone(), position)
            }
        };
        let trace = Trace::new(body);
        if traces.len() == KEPT_TRACES {
            traces.pop_front();
        }
        traces.push_back((block, position, trace.clone()));
        Ok(trace)
    }

    /// Has a trace that is decoded already.
    pub(crate) fn keep(&self, block: BlockRef, position: u32, trace: TransactionTrace) {
        let trace = Trace::new(Body::Own(Box::new(trace)));
        let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        traces.push_back((block, position, trace));
    }

    /// A trace that has nothing but what an action did with a deferred transaction: what stands there is decoded with the ABIs in
    /// force at that action.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn trace_of_deferring(&self, op: &ExtDtrxOp) -> ApiResult<Arc<Trace>> {
        let read = self.request.read();
        let abis = ViewAbis::remembering(&self.view, read.service().abis(), &self.abis);
        let number = u32::try_from(op.block_num).unwrap_or(u32::MAX);
        let first = abis.sequence(number, op.source_transaction_id, op.dtrx_op.action_index)?;
        let own = vec![op.dtrx_op.clone()];
        let trace = TransactionTrace { block_num: op.block_num, dtrx_ops: own, ..TransactionTrace::default() };
        Ok(Arc::new(Trace { body: Body::Own(Box::new(trace)), first_sequence: first.into() }))
    }

    /// A trace of nothing, where the newest ABIs are in force.
    pub(crate) fn no_trace(&self) -> Arc<Trace> {
        Arc::new(Trace { body: Body::Own(Box::default()), first_sequence: u64::MAX.into() })
    }

    /// A deferred transaction's trace, with what its deferring did before if it was pushed with a delay.
    fn with_deferring(&self, trace: TransactionTrace) -> ApiResult<TransactionTrace> {
        let whole = transactions::execution(&self.request.read(), &self.view, trace.id)?;
        let is_same = |whole: &TransactionTrace| (whole.block_num, whole.index) == (trace.block_num, trace.index);
        Ok(whole.filter(is_same).unwrap_or(trace))
    }

    /// The header of a block.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn header(&self, block: BlockRef) -> ApiResult<BlockHeader> {
        match &self.blocks {
            Blocks::Window(window) | Blocks::Results(window) => {
                window.parts(block)?.header().map_err(ApiError::unexpected)
            }
            Blocks::Whole(whole) => Ok(whole.header.clone()),
        }
    }

    /// The ABI of an account that was in force for an action of a trace, by its position in the order of execution.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn abi(&self, account: Name, trace: &Trace, action: u32) -> ApiResult<Option<Arc<AbiSerializer>>> {
        self.costs.abis.fetch_add(1, Ordering::Relaxed);
        let read = self.request.read();
        let abis = ViewAbis::remembering(&self.view, read.service().abis(), &self.abis);
        let first = match trace.first_sequence.get() {
            Some(first) => *first,
            None => *trace.first_sequence.get_or_init({
                let first = first_sequence(&abis, trace)?;
                move || first
            }),
        };
        Ok(abis.abi(account, sequence_at(trace, action, first))?)
    }

    /// The row before or after a change. The inner error says why it does not decode.
    ///
    /// # Errors
    /// Those of reading, and of [`Request::take_room`].
    pub(crate) fn row(&self, change: &RowChange<'_>, data: &[u8]) -> ApiResult<Result<Value, String>> {
        self.costs.abis.fetch_add(1, Ordering::Relaxed);
        let read = self.request.read();
        let abis = ViewAbis::remembering(&self.view, read.service().abis(), &self.abis);
        change.decode(&abis, |row_type| self.decode(row_type, data, Rendering::Plain, RowRenderer::max_json(data)))
    }

    /// What bytes stand for. The inner error says why they do not decode.
    ///
    /// # Errors
    /// Those of [`Request::take_room`].
    pub(crate) fn decode(
        &self,
        kind: AbiType<'_>,
        data: &[u8],
        rendering: Rendering,
        limit: usize,
    ) -> ApiResult<Result<Value, String>> {
        let mut text = Vec::new();
        if let Err(error) = kind.decode(data, rendering, limit.min(MAX_JSON), &mut text) {
            return Ok(Err(error.to_string()));
        }
        self.request.take_room(text.len())?;
        Ok(serde_json::from_slice(&text).map_err(|error| error.to_string()))
    }
}
