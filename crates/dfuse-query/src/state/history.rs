//! What became of one row, block by block.

use dfuse_antelope::{BlockTimestamp, Checksum, Checksum256};
use dfuse_blocks::CursorKind;
use dfuse_index::{BlockRef, Part, abi::after_block, blocks};
use dfuse_kv::Direction;
use dfuse_render::RowForm;
use dfuse_state::{Row, RowChange, RowHistory, RowKey, StateAt, TableKey, row_history as history_of};
use dfuse_trx::{BlockSource, FeedBlocks};

use super::{AskedHeight, Height, lenient_form};
use crate::{ApiError, ApiResult, ListCursor, ReadContext, cursor, kept::not_kept};

/// Which row, and between which heights.
#[derive(Debug, Clone, Copy)]
pub struct HistoryQuestion {
    /// The row.
    pub key: RowKey,
    /// The first block.
    pub first_block: u32,
    /// The last block; 0 for the newest.
    pub last_block: u128,
    /// Whether blocks that can still be undone are refused.
    pub irreversible_only: bool,
    /// Which change comes first.
    pub direction: Direction,
    /// Whether rows are to be decoded.
    pub json: bool,
}

/// The changes of a row, one by one.
pub struct RowHistoryReader<'a> {
    read: &'a ReadContext<'a>,
    question: HistoryQuestion,
    height: Height,
    is_complete: bool,
    source: FeedBlocks,
    changes: Option<RowHistory>,
    last: Option<BlockRef>,
    /// By the global sequence of the `setabi`.
    forms: Vec<(u64, RowForm)>,
}

impl std::fmt::Debug for RowHistoryReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowHistoryReader").field("question", &self.question).finish_non_exhaustive()
    }
}

/// What a block made of a row.
#[derive(Debug)]
pub struct RowWritten {
    /// The block.
    pub block: BlockRef,
    /// When that was.
    pub block_time: BlockTimestamp,
    /// The transactions of the block that wrote the row.
    pub transaction_ids: Vec<Checksum256>,
    /// The row before; absent if there was none.
    pub old: Option<WrittenRow>,
    /// The row after; absent if it was removed.
    pub new: Option<WrittenRow>,
}

/// A row, and what becomes of its bytes by the ABI of its time.
#[derive(Debug)]
pub struct WrittenRow {
    /// The row.
    pub row: Row,
    /// What becomes of its bytes.
    pub form: RowForm,
}

/// The changes of a row.
///
/// # Errors
/// Those of [`Height::asked`]; `request_validation_error` for blocks that end before they begin, for a cursor of another list
/// or of a block that was undone; `auth_invalid_history_error` for one of somebody who may read further back.
pub fn row_history<'a>(
    read: &'a ReadContext<'a>,
    mut question: HistoryQuestion,
    page: Option<&ListCursor>,
) -> ApiResult<RowHistoryReader<'a>> {
    let HistoryQuestion { key, first_block, last_block, irreversible_only, .. } = question;
    // 0 is the head, which may be below a block that is still to come.
    if (1..first_block.into()).contains(&last_block) {
        let problem = format!("must not be above to_block, which is {last_block}: it is {first_block}");
        return Err(ApiError::invalid_parameter("from_block", &problem));
    }
    let height = Height::asked(read, AskedHeight { block_num: last_block, irreversible_only })?;
    // What is further back than they may read is left out, unless they ask for it.
    // What a row was before a change at the lowest height is not kept.
    let kept = read.kept_from(Part::State).checked_add(1).filter(|first| *first > 1).unwrap_or(0);
    if first_block > 0 {
        read.may_read(first_block)?;
        if first_block < kept {
            return Err(not_kept(Part::State, kept, Some(first_block)));
        }
    }
    // What a snapshot has is no change of its block.
    let start = read.snapshot().mid_chain_start();
    let begins = start.filter(|_| !height.lacks_older_state()).unwrap_or(0);
    question.first_block = first_block.max(read.first_block()).max(begins).max(kept);
    let is_complete =
        start.is_none_or(|start| start <= question.first_block) || height.knows_account(key.table.contract)?;
    let mut last = Some(height.number());
    if let Some(page) = page {
        let (id, []) = page.place(&subject(&key))?;
        let passed = cursor::block_num(read.snapshot(), Checksum(id), 0)?;
        read.may_read(passed)?;
        match question.direction {
            Direction::Reverse => last = passed.checked_sub(1).min(last),
            Direction::Forward => question.first_block = question.first_block.max(passed.saturating_add(1)),
        }
    }
    let view = height.state().view();
    let blocks = last.map(|last| question.first_block..=last);
    let changes = blocks.map(|blocks| history_of(view, &key, blocks, question.direction)).transpose()?;
    let source = read.blocks();
    Ok(RowHistoryReader { read, question, height, is_complete, source, changes, last: None, forms: Vec::new() })
}

impl RowHistoryReader<'_> {
    /// The height of the newest change that may come.
    pub fn height(&self) -> &Height {
        &self.height
    }

    /// Whether it lacks nothing that was there before the indexes begin.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn advance(&mut self) -> ApiResult<Option<RowChange>> {
        self.read.go_on()?;
        Ok(self.changes.iter_mut().flatten().next().transpose()?)
    }

    /// The next change; absent after the last one.
    ///
    /// # Errors
    /// Those of reading.
    pub fn next_change(&mut self) -> ApiResult<Option<RowWritten>> {
        let Some(change) = self.advance()? else { return Ok(None) };
        let number = change.block_number;
        let indexed = blocks::by_number(self.height.state().view(), number)?;
        let indexed =
            indexed.ok_or_else(|| ApiError::unexpected(format!("block {number} wrote a row and is absent")))?;
        let reference = BlockRef { number, id: indexed.id };
        let block = self.source.block(reference)?;
        let traces = block.transaction_traces().iter().filter(|trace| !trace.is_reverted());
        let traces = traces.filter(|trace| trace.db_ops.iter().any(|op| RowKey::of(op) == self.question.key));
        let transaction_ids = traces.map(|trace| trace.id).collect();
        self.last = Some(reference);
        Ok(Some(RowWritten {
            block: reference,
            block_time: indexed.time,
            transaction_ids,
            old: self.written(change.old, number.saturating_sub(1))?,
            new: self.written(change.new, number)?,
        }))
    }

    /// For what comes after the last change that was given, if anything does. Ends the reading.
    ///
    /// # Errors
    /// Those of reading.
    pub fn cursor(mut self) -> ApiResult<Option<String>> {
        let (Some(BlockRef { id, .. }), Some(_)) = (self.last, self.advance()?) else { return Ok(None) };
        Ok(Some(cursor::seal(self.read.service(), CursorKind::RowHistory, &subject(&self.question.key), &id.0)))
    }

    /// A row by the ABI after a block.
    fn written(&mut self, row: Option<Row>, number: u32) -> ApiResult<Option<WrittenRow>> {
        row.map(|row| Ok(WrittenRow { row, form: self.form(number)? })).transpose()
    }

    fn form(&mut self, number: u32) -> ApiResult<RowForm> {
        let (view, json) = (self.height.state().view(), self.question.json);
        let TableKey { contract, table, .. } = self.question.key.table;
        let record = if json { after_block(view, contract, number)? } else { None };
        let sequence = record.map(|record| record.global_sequence);
        if let Some((_, form)) = self.forms.iter().find(|(known, _)| Some(*known) == sequence) {
            return Ok(form.clone());
        }
        let height = self.height.with(StateAt::below(view.clone(), number));
        let form = lenient_form(self.read.service(), &height, contract, table, json)?;
        if let Some(sequence) = sequence {
            self.forms.push((sequence, form.clone()));
        }
        Ok(form)
    }
}

fn subject(key: &RowKey) -> Vec<u8> {
    let TableKey { contract, table, scope } = key.table;
    cursor::bytes([contract.0, table.0, scope.0, key.primary_key])
}
