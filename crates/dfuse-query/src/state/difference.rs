//! What became of the rows of a table between two heights.

use dfuse_index::ServingSnapshot;
use dfuse_render::RowForm;
use dfuse_state::{RowDifference, RowRange, TableDifference, TableKey};

use super::{AskedHeight, Height, form_at, lenient_form};
use crate::{ApiResult, ReadContext, Step};

/// Which table, and between which heights.
#[derive(Debug, Clone, Copy)]
pub struct DifferenceQuestion {
    /// The table.
    pub table: TableKey,
    /// The height of the old rows.
    pub from_block: u128,
    /// The height of the new rows; 0 for the newest.
    pub to_block: u128,
    /// Whether blocks that can still be undone are refused.
    pub irreversible_only: bool,
    /// Whether rows are to be decoded.
    pub json: bool,
}

/// The rows of a table that differ between two heights, one by one.
#[derive(Debug)]
pub struct DifferenceReader {
    heights: [Height; 2],
    forms: [RowForm; 2],
    is_complete: bool,
    table: TableKey,
    rest: Option<RowRange>,
    /// Of `rest`.
    difference: Option<TableDifference>,
}

/// Compares a table at two heights. Only if neither has an ABI with the table that fails.
///
/// # Errors
/// Those of [`form_at`] and [`Height::asked`].
pub fn difference(read: &ReadContext<'_>, question: &DifferenceQuestion) -> ApiResult<DifferenceReader> {
    let &DifferenceQuestion { table, irreversible_only, json, .. } = question;
    let resolve = |block_num| Height::asked(read, AskedHeight { block_num, irreversible_only });
    let (from, to) = (resolve(question.from_block)?, resolve(question.to_block)?);
    let lenient = |height: &Height| lenient_form(read.service(), height, table.contract, table.table, json);
    let mut forms = [lenient(&from)?, lenient(&to)?];
    if forms.iter().all(|form| matches!(form, RowForm::NoAbi(_))) {
        forms[1] = form_at(read.service(), &to, table.contract, table.table, json)?;
    }
    let is_complete = from.knows_table(table)?;
    let rest = Some(RowRange::default());
    let mut reader = DifferenceReader { heights: [from, to], forms, is_complete, table, rest, difference: None };
    reader.read()?;
    Ok(reader)
}

impl DifferenceReader {
    fn read(&mut self) -> ApiResult<()> {
        let [from, to] = &self.heights;
        let difference = self.rest.clone().map(|rest| from.state().difference(to.state(), self.table, rest));
        self.difference = difference.transpose()?;
        Ok(())
    }

    /// The heights of the old rows and of the new ones.
    pub fn heights(&self) -> &[Height; 2] {
        &self.heights
    }

    /// What becomes of the bytes of the old rows and of the new ones.
    pub fn forms(&self) -> &[RowForm; 2] {
        &self.forms
    }

    /// Whether it lacks nothing that was there before the indexes begin.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The next row that differs, with its primary key.
    ///
    /// # Errors
    /// Those of reading.
    pub fn next_row(&mut self) -> ApiResult<Step<(u64, RowDifference)>> {
        let looked = self.difference.as_mut().map_or(Ok(None), TableDifference::look)?;
        let Some((primary_key, difference)) = looked else { return Ok(Step::End) };
        self.rest = self.rest.as_ref().and_then(|rest| rest.after(primary_key));
        Ok(difference.map_or(Step::Passed, |difference| Step::Item((primary_key, difference))))
    }

    /// Goes on with another snapshot.
    ///
    /// # Errors
    /// Those of [`Height::renew`].
    pub fn renew(&mut self, snapshot: &ServingSnapshot) -> ApiResult<()> {
        for height in &mut self.heights {
            height.renew(snapshot)?;
        }
        self.read()
    }
}
