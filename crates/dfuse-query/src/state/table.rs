//! Rows of one table, or of a table of many contracts or in many scopes.

use dfuse_antelope::{Checksum, Name, abi::Abi};
use dfuse_blocks::CursorKind;
use dfuse_index::ServingSnapshot;
use dfuse_render::RowForm;
use dfuse_state::{RowRange, TableKey, TableRow, TableRows};

use super::{AskedHeight, Height, abi, form_at, lenient_form};
use crate::{ApiResult, ListCursor, ReadContext, Service, Step, cursor};

/// What is asked of every table.
#[derive(Debug, Clone, Copy)]
pub struct TableOptions {
    /// When.
    pub at: AskedHeight,
    /// Whether rows are to be decoded.
    pub json: bool,
    /// How many rows are passed first.
    pub offset: u64,
    /// Most rows that come then; 0 for all.
    pub limit: u64,
}

/// The rows of a table at a height, one by one.
#[derive(Debug)]
pub struct TableReader {
    service: Service,
    height: Height,
    is_complete: bool,
    key: TableKey,
    form: RowForm,
    /// Those of `rest`.
    rows: Option<TableRows>,
    rest: Option<RowRange>,
    to_skip: u64,
    /// Absent without a limit.
    left: Option<u64>,
    last: Option<u64>,
    /// Whether the limit left rows out.
    has_more: bool,
}

/// The rows of a table; `range` of them, if any are asked for. The pages of an answer are all of one height, which their cursors
/// have.
///
/// # Errors
/// Those of [`form_at`] and [`Height::asked`]; `request_validation_error` for the cursor of another list.
pub fn table(
    read: &ReadContext<'_>,
    key: TableKey,
    range: Option<RowRange>,
    mut options: TableOptions,
    page: Option<&ListCursor>,
) -> ApiResult<TableReader> {
    let mut rest = range;
    if let Some(page) = page {
        let (id, last) = page.place(&subject(key))?;
        options.at.block_num = cursor::block_num(read.snapshot(), Checksum(id), options.at.block_num)?.into();
        options.offset = 0;
        rest = rest.and_then(|range| range.after(u64::from_be_bytes(last)));
    }
    let height = Height::asked(read, options.at)?;
    let is_complete = height.knows_table(key)?;
    let form = form_at(read.service(), &height, key.contract, key.table, options.json)?;
    TableReader::open(read.service(), &height, is_complete, key, form, rest, options)
}

impl TableReader {
    fn open(
        service: &Service,
        height: &Height,
        is_complete: bool,
        key: TableKey,
        form: RowForm,
        rest: Option<RowRange>,
        options: TableOptions,
    ) -> ApiResult<Self> {
        let mut reader = Self {
            service: service.clone(),
            height: height.clone(),
            is_complete,
            key,
            form,
            rows: None,
            rest,
            to_skip: options.offset,
            left: (options.limit > 0).then_some(options.limit),
            last: None,
            has_more: false,
        };
        reader.read()?;
        Ok(reader)
    }

    fn read(&mut self) -> ApiResult<()> {
        self.rows = self.rest.clone().map(|rest| self.height.state().rows(self.key, rest)).transpose()?;
        Ok(())
    }

    /// Of which height it is.
    pub fn height(&self) -> &Height {
        &self.height
    }

    /// Whether it lacks nothing that was there before the indexes begin.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// What becomes of the bytes of rows.
    pub fn form(&self) -> &RowForm {
        &self.form
    }

    /// Which table it is.
    pub fn key(&self) -> TableKey {
        self.key
    }

    /// Whether there is a limit.
    pub fn is_limited(&self) -> bool {
        self.left.is_some()
    }

    /// The next row.
    ///
    /// # Errors
    /// Those of reading.
    pub fn next_row(&mut self) -> ApiResult<Step<TableRow>> {
        let row = self.rows.as_mut().and_then(Iterator::next).transpose()?;
        let Some(row) = row else { return Ok(Step::End) };
        if self.left == Some(0) {
            self.has_more = true;
            return Ok(Step::End);
        }
        self.rest = self.rest.as_ref().and_then(|rest| rest.after(row.primary_key));
        if self.to_skip > 0 {
            self.to_skip -= 1;
            return Ok(Step::Passed);
        }
        self.left = self.left.map(|left| left - 1);
        self.last = Some(row.primary_key);
        Ok(Step::Item(row))
    }

    /// For what comes after the last row, if the limit left something out. Ask after the end.
    ///
    /// # Errors
    /// Those of reading.
    pub fn cursor(&self) -> ApiResult<Option<String>> {
        let (true, Some(block), Some(last)) = (self.has_more, self.height.block()?, self.last) else { return Ok(None) };
        let place = [&block.id.0[..], &last.to_be_bytes()].concat();
        Ok(Some(cursor::seal(&self.service, CursorKind::Rows, &subject(self.key), &place)))
    }

    /// Goes on with another snapshot.
    ///
    /// # Errors
    /// Those of [`Height::renew`].
    pub fn renew(&mut self, snapshot: &ServingSnapshot) -> ApiResult<()> {
        self.height.renew(snapshot)?;
        self.read()
    }
}

/// Tables at one height, one after the other.
#[derive(Debug)]
pub struct ManyTables {
    service: Service,
    height: Height,
    is_complete: bool,
    options: TableOptions,
    open: Option<TableReader>,
}

/// The rows of many tables at one height. What would go wrong with any of them does so now; a table without an ABI that has it
/// is hex with an error, though, so that the others are not lost for it.
///
/// # Errors
/// Those of [`Height::asked`], and those of reading.
pub fn many_tables(
    read: &ReadContext<'_>,
    tables: impl Iterator<Item = TableKey> + Clone,
    options: TableOptions,
) -> ApiResult<ManyTables> {
    let height = Height::asked(read, options.at)?;
    let mut is_complete = true;
    for key in tables.clone() {
        read.go_on()?;
        is_complete = is_complete && height.knows_table(key)?;
    }
    let mut checked = None;
    for TableKey { contract, table, .. } in tables {
        if checked.replace(contract) == Some(contract) {
            continue;
        }
        read.go_on()?;
        lenient_form(read.service(), &height, contract, table, options.json)?;
    }
    Ok(ManyTables { service: read.service().clone(), height, is_complete, options, open: None })
}

impl ManyTables {
    /// Of which height they are.
    pub fn height(&self) -> &Height {
        &self.height
    }

    /// Whether they lack nothing that was there before the indexes begin.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Begins with a table.
    ///
    /// # Errors
    /// Those of reading.
    pub fn open(&mut self, key: TableKey) -> ApiResult<&mut TableReader> {
        let TableOptions { json, .. } = self.options;
        let form = lenient_form(&self.service, &self.height, key.contract, key.table, json)?;
        let range = Some(RowRange::default());
        let reader = TableReader::open(&self.service, &self.height, self.is_complete, key, form, range, self.options)?;
        Ok(self.open.insert(reader))
    }

    /// The table at hand.
    pub fn table(&mut self) -> Option<&mut TableReader> {
        self.open.as_mut()
    }

    /// Is done with the table at hand.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// Goes on with another snapshot.
    ///
    /// # Errors
    /// Those of [`Height::renew`].
    pub fn renew(&mut self, snapshot: &ServingSnapshot) -> ApiResult<()> {
        self.height.renew(snapshot)?;
        self.open.as_mut().map_or(Ok(()), |open| open.renew(snapshot))
    }
}

impl Height {
    /// The ABI of a contract, if there is one that can be read.
    ///
    /// # Errors
    /// Those of reading.
    pub fn abi(&self, contract: Name) -> ApiResult<Option<Abi>> {
        Ok(abi::find(self.state(), contract)?.and_then(|record| Abi::from_bytes(&record.abi).ok()))
    }
}

fn subject(key: TableKey) -> Vec<u8> {
    cursor::bytes([key.contract.0, key.table.0, key.scope.0])
}
