//! Changes of rows, and the ABIs by which their rows are decoded.

use dfuse_antelope::{
    Checksum256,
    abi::{AbiType, Rendering},
    model::{DbOp, DbOperation, TransactionTrace},
};
use dfuse_index::{Result, abi::AbiSource};

use crate::{
    RowRenderer,
    renderer::{Renderer, first_sequence, own_sequence},
};

/// A change of a row in a block.
#[derive(Debug, Clone, Copy)]
pub struct RowChange<'a> {
    /// The number of its block.
    pub block_number: u32,
    /// The transaction with the action that made it. Absent if no single action is known to have: then it is one of the block as a
    /// whole.
    pub trace: Option<&'a TransactionTrace>,
    /// The change.
    pub op: &'a DbOp,
}

/// How the rows of a change are written.
#[derive(Debug, Clone, Copy)]
pub enum RowChangeForm<'a> {
    /// As hex.
    Hex,
    /// Decoded. The text says why there may be no ABI, if the reason is not that there is none.
    Decoded(Option<&'a str>),
}

impl RowChange<'_> {
    /// Decodes something with the type of the table's rows, by the ABI that was in force for the change, or else by another one of
    /// its block: the one after it, since a contract's first ABI can come with the very action that changes a row; for a change of
    /// the block as a whole the one before. The inner error says what is wrong with the first one.
    ///
    /// # Errors
    /// The ABIs cannot be read, and those of decoding.
    pub fn decode<T, E: From<dfuse_index::Error>>(
        &self,
        abis: &dyn AbiSource,
        mut decode: impl FnMut(AbiType<'_>) -> Result<Result<T, String>, E>,
    ) -> Result<Result<T, String>, E> {
        let mut by_abi = |sequence| -> Result<Result<T, String>, E> {
            let Some(abi) = abis.abi(self.op.code, sequence)? else {
                return Ok(Err(format!("no ABI found for account: {}", self.op.code)));
            };
            match abi.table(self.op.table_name) {
                Ok(row_type) => decode(row_type),
                Err(error) => Ok(Err(error.to_string())),
            }
        };
        let cause = match by_abi(self.sequence(abis)?)? {
            Ok(decoded) => return Ok(Ok(decoded)),
            Err(cause) => cause,
        };
        let other = match self.trace {
            Some(_) => abis.sequence_after(self.block_number)?,
            None => abis.sequence(self.block_number, Checksum256::default(), 0)?,
        };
        Ok(by_abi(other)?.map_err(|_| cause))
    }

    /// The global sequence of its action, or of what came after its block.
    fn sequence(&self, abis: &dyn AbiSource) -> Result<u64> {
        match self.trace {
            Some(trace) => own_sequence(trace, self.op.action_index).map_or_else(|| first_sequence(abis, trace), Ok),
            None => abis.sequence_after(self.block_number),
        }
    }
}

impl Renderer<'_> {
    /// The `dbop` of a `table_delta` message: version 1 with the operation in lower case. Of `undone` changes it shows the
    /// opposite. What there is no row of before or after is left out, and so is the place of an action that is not known.
    ///
    /// # Errors
    /// The ABIs cannot be read.
    pub fn table_delta(&mut self, change: &RowChange<'_>, undone: bool, form: RowChangeForm<'_>) -> Result<()> {
        let op = change.op;
        let operation = match (op.operation, undone) {
            (DbOperation::Unknown, _) => "",
            (DbOperation::Update, _) => "upd",
            (DbOperation::Insert, false) | (DbOperation::Remove, true) => "ins",
            (DbOperation::Remove, false) | (DbOperation::Insert, true) => "rem",
        };
        self.json.begin_object();
        self.json.db_op_place(operation, change.trace.map(|_| op.action_index), op);
        let (old, new) = ((op.old_payer, &op.old_data), (op.new_payer, &op.new_data));
        let [old, new] = if undone { [new, old] } else { [old, new] };
        for (key, (payer, data)) in [("old", old), ("new", new)] {
            if payer.0 == 0 && data.is_empty() {
                continue;
            }
            self.json.key(key).begin_object();
            self.json.payer(payer);
            match form {
                RowChangeForm::Hex => self.json.hex_unless_empty(data),
                RowChangeForm::Decoded(without_abi) => self.row(change, data, without_abi)?,
            }
            self.json.end_object();
        }
        self.json.end_object();
        Ok(())
    }

    fn row(&mut self, change: &RowChange<'_>, data: &[u8], without_abi: Option<&str>) -> Result<()> {
        let (abis, json) = (self.abis, &mut self.json);
        let decoded = change.decode(abis, |row_type| {
            let room = RowRenderer::max_json(data);
            let write = |text: &mut Vec<u8>| row_type.decode(data, Rendering::Plain, room, text).map(drop);
            Ok::<_, dfuse_index::Error>(json.try_value("json", write).map_err(|error| error.to_string()))
        })?;
        if let Err(error) = decoded {
            self.json.hex_unless_empty(data);
            self.json.key("error").string(without_abi.unwrap_or(&error));
        }
        Ok(())
    }
}
