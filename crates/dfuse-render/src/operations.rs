//! Operations: what actions changed, in the models of both versions.

use dfuse_antelope::{
    Checksum256, Name,
    model::{
        DbOp, DbOperation, DtrxOp, DtrxOperation, RamAction, RamNamespace, RamOp, RamOperation, TableOp,
        TableOperation, TransactionTrace,
    },
};
use dfuse_index::Result;

use crate::{
    renderer::{Renderer, sequence_at},
    writer::JsonWriter,
};

impl Renderer<'_> {
    /// A `DTrxOp` of version 0: operation in lower case, the transaction without signatures. `trace` is what did it.
    pub fn dtrx_op_v0(&mut self, op: &DtrxOp, trace: &TransactionTrace) -> Result<()> {
        let sequence = sequence_at(trace, op.action_index, self.first_sequence(trace)?);
        self.json.begin_object();
        self.json.dtrx_op(dtrx_operation(op.operation)[0], op);
        if let Some(signed) = &op.transaction {
            self.json.key("trx").begin_object();
            self.transaction(&signed.transaction, &|_| sequence)?;
            self.json.end_object();
        }
        self.json.end_object();
        Ok(())
    }

    /// The keys of a `DTrxOp` of version 1, which the action with that global sequence did.
    pub(crate) fn dtrx_op_v1(&mut self, op: &DtrxOp, sequence: u64) -> Result<()> {
        self.json.dtrx_op(dtrx_operation(op.operation)[1], op);
        self.json.key("trx");
        match &op.transaction {
            Some(signed) => self.signed_transaction(signed, &|_| sequence),
            None => {
                self.json.null();
                Ok(())
            }
        }
    }
}

impl JsonWriter<'_> {
    /// A `DBOp` of version 0.
    pub fn db_op_v0(&mut self, op: &DbOp) {
        self.begin_object();
        self.key("op").string(db_operation(op.operation));
        self.key("action_idx").unsigned(op.action_index);
        for (key, payer) in [("opayer", op.old_payer), ("npayer", op.new_payer)] {
            if payer.0 != 0 {
                self.key(key).name(payer);
            }
        }
        self.key("path").path([op.code, op.scope, op.table_name, op.primary_key]);
        for (key, data) in [("old", &op.old_data), ("new", &op.new_data)] {
            if !data.is_empty() {
                self.key(key).hex(data);
            }
        }
        self.end_object();
    }

    /// A `DBOp` of version 1 as in a lifecycle: rows as bytes, `{}` where there is none.
    pub(crate) fn db_op_v1(&mut self, op: &DbOp) {
        self.begin_object();
        self.db_op_place(db_operation(op.operation), Some(op.action_index), op);
        for (key, payer, data) in [("old", op.old_payer, &op.old_data), ("new", op.new_payer, &op.new_data)] {
            self.key(key).begin_object();
            self.payer(payer);
            self.hex_unless_empty(data);
            self.end_object();
        }
        self.end_object();
    }

    pub(crate) fn db_op_place(&mut self, operation: &'static str, action_index: Option<u32>, op: &DbOp) {
        if !operation.is_empty() {
            self.key("op").string(operation);
        }
        if let Some(action_index) = action_index {
            self.key("action_idx").unsigned(action_index);
        }
        // Also where a name is empty, as the scope 0 is: clients read all four without asking.
        let names = [("account", op.code), ("table", op.table_name), ("scope", op.scope), ("key", op.primary_key)];
        for (key, name) in names {
            self.key(key).name(name);
        }
    }

    pub(crate) fn payer(&mut self, payer: Name) {
        if payer.0 != 0 {
            self.key("payer").name(payer);
        }
    }

    pub(crate) fn hex_unless_empty(&mut self, data: &[u8]) {
        if !data.is_empty() {
            self.key("hex").hex(data);
        }
    }

    /// A `RAMOp` of version 0.
    pub fn ram_op_v0(&mut self, op: &RamOp) {
        self.begin_object();
        self.key("action_idx").unsigned(op.action_index);
        self.key("event_id").string(&op.unique_key);
        self.key("family").string(ram_family(op.namespace));
        self.key("action").string(ram_action(op.action));
        self.key("op").string(ram_operation(op.operation));
        self.key("payer").name(op.payer);
        self.key("delta").i64(op.delta);
        self.key("usage").u64(op.usage);
        self.end_object();
    }

    pub(crate) fn ram_op_v1(&mut self, op: &RamOp) {
        self.begin_object();
        self.key("op").string(ram_operation(op.operation));
        self.key("family").string(ram_family(op.namespace));
        self.key("action").string(ram_action(op.action));
        self.key("action_idx").unsigned(op.action_index);
        self.key("payer").name(op.payer);
        self.key("delta").signed(op.delta);
        self.key("usage").unsigned(op.usage);
        self.end_object();
    }

    /// A `TableOp`, which is the same in both versions.
    pub fn table_op(&mut self, op: &TableOp) {
        self.begin_object();
        self.key("op").string(match op.operation {
            TableOperation::Unknown => "",
            TableOperation::Insert => "INS",
            TableOperation::Remove => "REM",
        });
        self.key("action_idx").unsigned(op.action_index);
        self.key("payer").name(op.payer);
        self.key("path").path([op.code, op.scope, op.table_name]);
        self.end_object();
    }

    /// All keys but the last one, `trx`.
    fn dtrx_op(&mut self, operation: &'static str, op: &DtrxOp) {
        self.key("op").string(operation);
        self.key("action_idx").unsigned(op.action_index);
        self.key("sender").name(op.sender);
        self.key("sender_id").sender_id(&op.sender_id);
        self.key("payer").name(op.payer);
        self.key("published_at").string(&op.published_at);
        self.key("delay_until").string(&op.delay_until);
        self.key("expiration_at").string(&op.expiration_at);
        let id = Some(op.transaction_id).filter(|id| *id != Checksum256::default());
        self.key("trx_id").optional_id(id);
    }

    /// `0x` and the 16 bytes in the order of the chain, which is the reverse of the number's digits. Blocks have it in
    /// decimal; other text stays as it is.
    fn sender_id(&mut self, decimal: &str) {
        match decimal.parse::<u128>() {
            Ok(id) => self.string(&format!("0x{}", const_hex::encode(id.to_le_bytes()))),
            Err(_) => self.string(decimal),
        }
    }
}

/// Version 0, version 1.
fn dtrx_operation(operation: DtrxOperation) -> [&'static str; 2] {
    match operation {
        DtrxOperation::Unknown => ["", ""],
        DtrxOperation::Create => ["create", "CREATE"],
        DtrxOperation::PushCreate => ["push_create", "PUSH_CREATE"],
        DtrxOperation::Failed => ["failed", "FAILED"],
        DtrxOperation::Cancel => ["cancel", "CANCEL"],
        DtrxOperation::ModifyCancel => ["modify_cancel", "MODIFY_CANCEL"],
        DtrxOperation::ModifyCreate => ["modify_create", "MODIFY_CREATE"],
    }
}

fn db_operation(operation: DbOperation) -> &'static str {
    match operation {
        DbOperation::Unknown => "",
        DbOperation::Insert => "INS",
        DbOperation::Update => "UPD",
        DbOperation::Remove => "REM",
    }
}

fn ram_family(namespace: RamNamespace) -> &'static str {
    match namespace {
        RamNamespace::Unknown => "unknown",
        RamNamespace::Abi => "abi",
        RamNamespace::Account => "account",
        RamNamespace::Auth => "auth",
        RamNamespace::AuthLink => "auth_link",
        RamNamespace::Code => "code",
        RamNamespace::DeferredTrx => "deferred_trx",
        RamNamespace::SecondaryIndex => "secondary_index",
        RamNamespace::Table => "table",
        RamNamespace::TableRow => "table_row",
    }
}

fn ram_action(action: RamAction) -> &'static str {
    match action {
        RamAction::Unknown => "unknown",
        RamAction::Add => "add",
        RamAction::Cancel => "cancel",
        RamAction::Correction => "correction",
        RamAction::Push => "push",
        RamAction::Remove => "remove",
        RamAction::Update => "update",
    }
}

/// What logs before EOSIO 2.0 named RAM operations by; later ones say `deprecated`.
fn ram_operation(operation: RamOperation) -> &'static str {
    match operation {
        RamOperation::Unknown => "unknown",
        RamOperation::CreateTable => "create_table",
        RamOperation::DeferredTrxAdd => "deferred_trx_add",
        RamOperation::DeferredTrxCancel => "deferred_trx_cancel",
        RamOperation::DeferredTrxPushed => "deferred_trx_pushed",
        RamOperation::DeferredTrxRamCorrection => "deferred_trx_ram_correction",
        RamOperation::DeferredTrxRemoved => "deferred_trx_removed",
        RamOperation::DeleteAuth => "deleteauth",
        RamOperation::LinkAuth => "linkauth",
        RamOperation::NewAccount => "newaccount",
        RamOperation::PrimaryIndexAdd => "primary_index_add",
        RamOperation::PrimaryIndexRemove => "primary_index_remove",
        RamOperation::PrimaryIndexUpdate => "primary_index_update",
        RamOperation::PrimaryIndexUpdateAddNewPayer => "primary_index_update_add_new_payer",
        RamOperation::PrimaryIndexUpdateRemoveOldPayer => "primary_index_update_remove_old_payer",
        RamOperation::RemoveTable => "remove_table",
        RamOperation::SecondaryIndexAdd => "secondary_index_add",
        RamOperation::SecondaryIndexRemove => "secondary_index_remove",
        RamOperation::SecondaryIndexUpdateAddNewPayer => "secondary_index_update_add_new_payer",
        RamOperation::SecondaryIndexUpdateRemoveOldPayer => "secondary_index_update_remove_old_payer",
        RamOperation::SetAbi => "setabi",
        RamOperation::SetCode => "setcode",
        RamOperation::UnlinkAuth => "unlinkauth",
        RamOperation::UpdateAuthCreate => "updateauth_create",
        RamOperation::UpdateAuthUpdate => "updateauth_update",
        RamOperation::Deprecated => "deprecated",
    }
}
