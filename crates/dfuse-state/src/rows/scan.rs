//! The rows of a table at a height, one after the other.

use std::cmp::Ordering;

use dfuse_index::{Result, View, ViewScan};
use dfuse_kv::{Direction, Hint};

use super::{
    families::{ROW_CURRENT, ROW_HISTORY},
    keys::{ListedKeys, RemovedKeys, next_list, primary_key},
    point::{row_at, row_written, table_row},
    range::RowRange,
};
use crate::{
    TableKey, TableRow,
    table::Version,
    versions::{Newest, versioned},
};

/// When to do what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Keys without a row that are passed one by one, at the least, before the table's lists of keys are looked for.
    pub(crate) passed: usize,
    /// So many more for each row that is found.
    pub(crate) passed_per_row: usize,
    /// Removed keys that are held in memory.
    pub(crate) held: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { passed: 256, passed_per_row: 8, held: 1 << 18 }
    }
}

/// The rows of a table at a height, in the order of their primary keys. Ends after the first error.
///
/// Nothing is read ahead, and memory does not grow with the table: take some thousand rows at a time and let others have the
/// thread. It keeps its view alive, so begin again after the last row within minutes.
pub struct TableRows {
    view: View,
    number: u32,
    table: TableKey,
    /// What has not been looked at; absent when there is nothing more.
    rest: Option<RowRange>,
    plan: Plan,
    pub(crate) limits: Limits,
}

enum Plan {
    /// The height is the view's.
    Current(ViewScan),
    /// From key to key through the history.
    Skip { versions: Box<Newest>, passed: Passed },
    /// Through keys of which all rows are.
    Keys(Box<Candidates>),
}

/// What a scan from key to key has met.
#[derive(Default)]
struct Passed {
    rows: usize,
    /// Keys of rows that had been removed.
    removed: usize,
    /// Keys of rows that were not there yet.
    later: usize,
    /// There is no list of the table's keys.
    has_no_list: bool,
}

impl Passed {
    fn count(&mut self, has_version: bool, has_row: bool) {
        *match (has_version, has_row) {
            (_, true) => &mut self.rows,
            (true, false) => &mut self.removed,
            (false, false) => &mut self.later,
        } += 1;
    }

    /// Whether there are better ways to go on.
    fn is_enough(&mut self, limits: Limits, next_list: impl FnOnce() -> Result<Option<u32>>) -> Result<bool> {
        let limit = limits.passed + limits.passed_per_row * self.rows;
        if self.removed > limit {
            return Ok(true);
        }
        // Without a list later rows are passed in any case, and those that were changed cost more then.
        if self.removed + self.later <= limit || self.has_no_list {
            return Ok(false);
        }
        self.has_no_list = next_list()?.is_none();
        Ok(!self.has_no_list)
    }
}

impl std::fmt::Debug for TableRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableRows").field("table", &self.table).field("rest", &self.rest).finish_non_exhaustive()
    }
}

impl TableRows {
    pub(crate) fn new(view: &View, number: u32, table: TableKey, range: RowRange) -> Result<Self> {
        let plan = if view.block().is_none_or(|block| block.number <= number) {
            let rows = range.entries(table, |key, _| key.to_vec());
            Plan::Current(view.scan_hinted(ROW_CURRENT, &rows, range.direction, Hint::Many)?)
        } else {
            let keys = range.entries(table, |key, last| versioned(key, if last { 0 } else { u32::MAX }));
            let versions = Box::new(Newest::new(view, ROW_HISTORY, &keys, number, range.direction)?);
            Plan::Skip { versions, passed: Passed::default() }
        };
        Ok(Self { view: view.clone(), number, table, rest: Some(range), plan, limits: Limits::default() })
    }

    fn step(&mut self) -> Result<Option<TableRow>> {
        while let Some(rest) = &self.rest {
            let (key, row) = match &mut self.plan {
                Plan::Current(scan) => {
                    let Some((key, value)) = scan.next().transpose()? else { return Ok(None) };
                    let key = primary_key(&key)?;
                    (key, Some(TableRow::decode_current(ROW_CURRENT, key, &value)?.0))
                }
                Plan::Skip { versions, passed } => {
                    let Some((key, version)) = versions.next().transpose()? else { return Ok(None) };
                    let primary_key = primary_key(&key)?;
                    let row = match &version {
                        Some((block_number, value)) => table_row(&self.table.row(primary_key), *block_number, value)?,
                        None => None,
                    };
                    passed.count(version.is_some(), row.is_some());
                    if passed.is_enough(self.limits, || next_list(&self.view, self.table, self.number))?
                        && let Some(rest) = rest.after(primary_key)
                    {
                        let candidates = Candidates::new(&self.view, self.number, self.table, rest, self.limits.held)?;
                        self.plan = Plan::Keys(Box::new(candidates));
                    }
                    (primary_key, row)
                }
                Plan::Keys(candidates) => {
                    let Some((key, version, row)) = candidates.next()? else { return Ok(None) };
                    let row_key = self.table.row(key);
                    let row = match version {
                        Version { number, .. } if number <= self.number => match row {
                            None => row_written(&self.view, &row_key, number)?,
                            row => row,
                        },
                        // Not there yet.
                        Version { is_first: true, .. } => None,
                        _ => row_at(&self.view, &row_key, self.number)?,
                    };
                    (key, row)
                }
            };
            self.rest = rest.after(key);
            if row.is_some() {
                return Ok(row);
            }
        }
        Ok(None)
    }
}

impl Iterator for TableRows {
    type Item = Result<TableRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.step().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.rest = None;
        }
        next
    }
}

/// Keys among which are all that a table had at a height, in order: those that it has later, and those removed between.
struct Candidates {
    direction: Direction,
    later: Later,
    removed: RemovedKeys,
    /// Next of the former and of the latter.
    next: (Option<Candidate>, Option<(u64, Version)>),
}

/// A key, the version that its row has later or had when it was removed, and the row itself if it is at hand.
type Candidate = (u64, Version, Option<TableRow>);

enum Later {
    Listed(ListedKeys),
    Current(ViewScan),
}

impl Later {
    fn next(&mut self) -> Result<Option<Candidate>> {
        match self {
            Self::Listed(keys) => Ok(keys.next()?.map(|(key, version)| (key, version, None))),
            Self::Current(scan) => {
                let Some((key, value)) = scan.next().transpose()? else { return Ok(None) };
                let key = primary_key(&key)?;
                let (row, version) = TableRow::decode_current(ROW_CURRENT, key, &value)?;
                Ok(Some((key, version, Some(row))))
            }
        }
    }
}

impl Candidates {
    fn new(view: &View, number: u32, table: TableKey, range: RowRange, held: usize) -> Result<Self> {
        let direction = range.direction;
        let (until, mut later) = match next_list(view, table, number)? {
            Some(list) => (list, Later::Listed(ListedKeys::new(view, table, list, range.clone())?)),
            None => {
                let rows = range.entries(table, |key, _| key.to_vec());
                (u32::MAX, Later::Current(view.scan_hinted(ROW_CURRENT, &rows, direction, Hint::Many)?))
            }
        };
        let mut removed = RemovedKeys::new(view, table, number, until, range, held);
        let next = (later.next()?, removed.next()?);
        Ok(Self { direction, later, removed, next })
    }

    fn next(&mut self) -> Result<Option<Candidate>> {
        let order = match (&self.next.0, &self.next.1) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((later, ..)), Some((removed, _))) if self.direction == Direction::Forward => later.cmp(removed),
            (Some((later, ..)), Some((removed, _))) => removed.cmp(later),
        };
        let mut candidate = None;
        if order.is_le() {
            let later = self.later.next()?;
            candidate = std::mem::replace(&mut self.next.0, later);
        }
        // What was removed first was there before what came again.
        if order.is_ge() {
            let removed = self.removed.next()?;
            let removed = std::mem::replace(&mut self.next.1, removed);
            candidate = removed.map(|(key, version)| (key, version, None));
        }
        Ok(candidate)
    }
}
