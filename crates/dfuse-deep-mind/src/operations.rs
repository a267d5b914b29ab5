//! The lines that tell what an action changed. Each function reads what stands after the keyword.

use dfuse_antelope::{
    Name,
    model::{
        DbOp, DbOperation, DtrxOp, DtrxOperation, FeatureOp, PermOp, PermOperation, RamAction, RamCorrectionOp,
        RamNamespace, RamOp, RamOperation, RlimitKind, RlimitOp, RlimitOperation, SignedTransaction, TableOp,
        TableOperation, Transaction, TrxOp, TrxOperation,
    },
    raw,
};
use memchr::memchr;

use crate::{
    arena::Arena,
    creation::CreationKind,
    error::{Parse, Shown, Why},
    fields::Fields,
    json::{self, AccountLimitsJson, AccountUsageJson, ConfigJson, FeatureJson, PermissionJson, StateJson, Update},
};

fn unknown<T>(what: &str, found: &[u8]) -> Parse<T> {
    Err(Why::new(format!("unknown {what} {}", Shown(found))))
}

/// Both halves of `old:new`.
fn pair<'a>(field: &'a [u8], what: &str) -> Parse<(&'a [u8], &'a [u8])> {
    match memchr(b':', field) {
        Some(at) => Ok((&field[..at], &field[at + 1..])),
        None => Err(Why::new(format!("{what} {} is not of the form old:new", Shown(field)))),
    }
}

fn name(text: &[u8], what: &str) -> Parse<Name> {
    Name::parse(text).map_err(|why| Why::new(format!("{what} {} is not a name: {why}", Shown(text))))
}

/// `CREATION_OP kind aid`
pub(crate) fn creation(fields: &mut Fields<'_>) -> Parse<(u32, CreationKind)> {
    let kind = match fields.next("kind")? {
        b"ROOT" => CreationKind::Root,
        b"NOTIFY" => CreationKind::Notify,
        b"INLINE" => CreationKind::Inline,
        b"CFA_INLINE" => CreationKind::ContextFreeInline,
        other => return unknown("kind", other),
    };
    let aid = fields.u32("action index")?;
    fields.end()?;
    Ok((aid, kind))
}

/// `DB_OP INS|UPD|REM aid payer[:payer] code scope table key data[:data]`
pub(crate) fn db(fields: &mut Fields<'_>, arena: &mut Arena) -> Parse<DbOp> {
    let operation = match fields.next("operation")? {
        b"INS" => DbOperation::Insert,
        b"UPD" => DbOperation::Update,
        b"REM" => DbOperation::Remove,
        other => return unknown("operation", other),
    };
    let mut op = DbOp { operation, action_index: fields.u32("action index")?, ..DbOp::default() };
    let payer = fields.next("payer")?;
    op.code = fields.name("code")?;
    op.scope = fields.name("scope")?;
    op.table_name = fields.name("table")?;
    op.primary_key = fields.name("primary key")?;
    let data = fields.next("data")?;
    fields.end()?;
    match operation {
        DbOperation::Insert => {
            op.new_payer = name(payer, "payer")?;
            op.new_data = arena.hex(data, "data")?;
        }
        DbOperation::Update => {
            let (old_payer, new_payer) = pair(payer, "payer")?;
            let (old_data, new_data) = pair(data, "data")?;
            op.old_payer = name(old_payer, "old payer")?;
            op.new_payer = name(new_payer, "new payer")?;
            op.old_data = arena.hex(old_data, "old data")?;
            op.new_data = arena.hex(new_data, "new data")?;
        }
        _ => {
            op.old_payer = name(payer, "payer")?;
            op.old_data = arena.hex(data, "data")?;
        }
    }
    Ok(op)
}

/// `TBL_OP INS|REM aid code scope table payer`
pub(crate) fn table(fields: &mut Fields<'_>) -> Parse<TableOp> {
    let operation = match fields.next("operation")? {
        b"INS" => TableOperation::Insert,
        b"REM" => TableOperation::Remove,
        other => return unknown("operation", other),
    };
    let op = TableOp {
        operation,
        action_index: fields.u32("action index")?,
        code: fields.name("code")?,
        scope: fields.name("scope")?,
        table_name: fields.name("table")?,
        payer: fields.name("payer")?,
    };
    fields.end()?;
    Ok(op)
}

/// `RAM_OP aid unique_key namespace action tag payer usage delta`
///
/// Words that the schema does not have become "unknown": nodes print `generic` where no cause is known.
pub(crate) fn ram(fields: &mut Fields<'_>) -> Parse<RamOp> {
    let op = RamOp {
        action_index: fields.u32("action index")?,
        unique_key: fields.text("unique key")?,
        namespace: match fields.next("namespace")? {
            b"abi" => RamNamespace::Abi,
            b"account" => RamNamespace::Account,
            b"auth" => RamNamespace::Auth,
            b"auth_link" => RamNamespace::AuthLink,
            b"code" => RamNamespace::Code,
            b"deferred_trx" => RamNamespace::DeferredTrx,
            b"secondary_index" => RamNamespace::SecondaryIndex,
            b"table" => RamNamespace::Table,
            b"table_row" => RamNamespace::TableRow,
            _ => RamNamespace::Unknown,
        },
        action: match fields.next("action")? {
            b"add" | b"create" => RamAction::Add,
            b"cancel" => RamAction::Cancel,
            b"correction" => RamAction::Correction,
            b"push" => RamAction::Push,
            b"remove" | b"erase" => RamAction::Remove,
            b"update" => RamAction::Update,
            _ => RamAction::Unknown,
        },
        operation: ram_operation(fields.next("operation")?),
        payer: fields.name("payer")?,
        // Printed as a signed number, kept as an unsigned one.
        usage: fields.i64("usage")? as u64,
        delta: fields.i64("delta")?,
    };
    fields.end()?;
    Ok(op)
}

fn ram_operation(tag: &[u8]) -> RamOperation {
    match tag {
        b"create_table" => RamOperation::CreateTable,
        b"deferred_trx_add" => RamOperation::DeferredTrxAdd,
        b"deferred_trx_cancel" => RamOperation::DeferredTrxCancel,
        b"deferred_trx_pushed" => RamOperation::DeferredTrxPushed,
        b"deferred_trx_ram_correction" => RamOperation::DeferredTrxRamCorrection,
        b"deferred_trx_removed" => RamOperation::DeferredTrxRemoved,
        b"deleteauth" => RamOperation::DeleteAuth,
        b"linkauth" => RamOperation::LinkAuth,
        b"newaccount" => RamOperation::NewAccount,
        b"primary_index_add" => RamOperation::PrimaryIndexAdd,
        b"primary_index_remove" => RamOperation::PrimaryIndexRemove,
        b"primary_index_update" => RamOperation::PrimaryIndexUpdate,
        b"primary_index_update_add_new_payer" => RamOperation::PrimaryIndexUpdateAddNewPayer,
        b"primary_index_update_remove_old_payer" => RamOperation::PrimaryIndexUpdateRemoveOldPayer,
        b"remove_table" => RamOperation::RemoveTable,
        b"secondary_index_add" => RamOperation::SecondaryIndexAdd,
        b"secondary_index_remove" => RamOperation::SecondaryIndexRemove,
        b"secondary_index_update_add_new_payer" => RamOperation::SecondaryIndexUpdateAddNewPayer,
        b"secondary_index_update_remove_old_payer" => RamOperation::SecondaryIndexUpdateRemoveOldPayer,
        b"setabi" => RamOperation::SetAbi,
        b"setcode" => RamOperation::SetCode,
        b"unlinkauth" => RamOperation::UnlinkAuth,
        b"updateauth_create" => RamOperation::UpdateAuthCreate,
        b"updateauth_update" => RamOperation::UpdateAuthUpdate,
        b"." => RamOperation::Deprecated,
        _ => RamOperation::Unknown,
    }
}

/// `RAM_CORRECTION_OP aid correction_id unique_key payer delta`
pub(crate) fn ram_correction(fields: &mut Fields<'_>) -> Parse<RamCorrectionOp> {
    fields.u32("action index")?;
    let op = RamCorrectionOp {
        correction_id: fields.text("correction id")?,
        unique_key: fields.text("unique key")?,
        payer: fields.name("payer")?,
        delta: fields.i64("delta")?,
    };
    fields.end()?;
    Ok(op)
}

/// `DTRX_OP kind aid sender sender_id payer published delay_until expiration id transaction`, or `DTRX_OP FAILED aid`.
pub(crate) fn deferred(fields: &mut Fields<'_>, arena: &mut Arena) -> Parse<DtrxOp> {
    let operation = match fields.next("operation")? {
        b"CREATE" => DtrxOperation::Create,
        b"PUSH_CREATE" => DtrxOperation::PushCreate,
        b"CANCEL" => DtrxOperation::Cancel,
        b"MODIFY_CREATE" => DtrxOperation::ModifyCreate,
        b"MODIFY_CANCEL" => DtrxOperation::ModifyCancel,
        b"FAILED" => DtrxOperation::Failed,
        other => return unknown("operation", other),
    };
    let mut op = DtrxOp { operation, action_index: fields.u32("action index")?, ..DtrxOp::default() };
    if operation != DtrxOperation::Failed {
        op.sender = fields.name("sender")?;
        op.sender_id = fields.text("sender id")?;
        op.payer = fields.name("payer")?;
        op.published_at = fields.text("publication time")?;
        op.delay_until = fields.text("delay")?;
        op.expiration_at = fields.text("expiration")?;
        op.transaction_id = fields.checksum256("transaction id")?;
        let bytes = arena.hex(fields.next("transaction")?, "transaction")?;
        let mut reader = raw::Reader::sharing(&bytes);
        let transaction = match operation {
            DtrxOperation::PushCreate => SignedTransaction::unpack(&mut reader)?,
            _ => SignedTransaction { transaction: Transaction::unpack(&mut reader)?, ..SignedTransaction::default() },
        };
        reader.finish("transaction")?;
        op.transaction = Some(Box::new(transaction));
    }
    fields.end()?;
    Ok(op)
}

/// `TRX_OP CREATE onblock|onerror id signed_transaction`
///
/// Nodes print an `onerror` transaction after its content was moved away, so that its id matches nothing.
pub(crate) fn implicit_transaction(fields: &mut Fields<'_>, arena: &mut Arena) -> Parse<TrxOp> {
    let operation = match fields.next("operation")? {
        b"CREATE" => TrxOperation::Create,
        other => return unknown("operation", other),
    };
    let name = fields.name("name")?;
    let transaction_id = fields.checksum256("transaction id")?;
    let bytes = arena.hex(fields.next("transaction")?, "transaction")?;
    fields.end()?;
    let mut reader = raw::Reader::sharing(&bytes);
    let transaction = SignedTransaction::unpack(&mut reader)?;
    reader.finish("transaction")?;
    Ok(TrxOp { operation, name, transaction_id, transaction: Some(transaction) })
}

/// `FEATURE_OP ACTIVATE digest json` or `FEATURE_OP PRE_ACTIVATE aid digest json`
pub(crate) fn feature(fields: &mut Fields<'_>) -> Parse<FeatureOp> {
    let kind = fields.next("kind")?;
    let action_index = match kind {
        b"ACTIVATE" => 0,
        b"PRE_ACTIVATE" => fields.u32("action index")?,
        other => return unknown("kind", other),
    };
    Ok(FeatureOp {
        kind: String::from_utf8_lossy(kind).into_owned(),
        action_index,
        feature_digest: fields.checksum256("feature digest")?,
        feature: json::parse::<FeatureJson>(fields.last("feature")?)?.into(),
    })
}

/// `PERM_OP INS|UPD|REM aid [id] json`; the id is not there before EOSIO 2.1.
pub(crate) fn permission(fields: &mut Fields<'_>) -> Parse<PermOp> {
    let kind = fields.next("operation")?;
    let mut op = PermOp { action_index: fields.u32("action index")?, ..PermOp::default() };
    let id = if fields.count() > 1 { fields.u64("permission id")? } else { 0 };
    let json = fields.last("permission")?;
    match kind {
        b"INS" => {
            op.operation = PermOperation::Insert;
            op.new_perm = Some(json::parse::<PermissionJson>(json)?.into_model(id));
        }
        b"UPD" => {
            let update = json::parse::<Update<PermissionJson>>(json)?;
            op.operation = PermOperation::Update;
            op.old_perm = Some(update.old.into_model(id));
            op.new_perm = Some(update.new.into_model(id));
        }
        b"REM" => {
            op.operation = PermOperation::Remove;
            op.old_perm = Some(json::parse::<PermissionJson>(json)?.into_model(id));
        }
        other => return unknown("operation", other),
    }
    Ok(op)
}

/// `RLIMIT_OP CONFIG|STATE|ACCOUNT_LIMITS|ACCOUNT_USAGE INS|UPD json`
pub(crate) fn resource_limit(fields: &mut Fields<'_>) -> Parse<RlimitOp> {
    let kind = fields.next("kind")?;
    let operation = match fields.next("operation")? {
        b"INS" => RlimitOperation::Insert,
        b"UPD" => RlimitOperation::Update,
        other => return unknown("operation", other),
    };
    let json = fields.last("object")?;
    let kind = match kind {
        b"CONFIG" => RlimitKind::Config(json::parse::<ConfigJson>(json)?.into()),
        b"STATE" => RlimitKind::State(json::parse::<StateJson>(json)?.into()),
        b"ACCOUNT_LIMITS" => RlimitKind::AccountLimits(json::parse::<AccountLimitsJson>(json)?.into()),
        b"ACCOUNT_USAGE" => RlimitKind::AccountUsage(json::parse::<AccountUsageJson>(json)?.into()),
        other => return unknown("kind", other),
    };
    Ok(RlimitOp { operation, kind: Some(kind) })
}
