//! Operations: what an action changed.

use std::{ops::Deref, sync::Arc};

use async_graphql::{Object, SimpleObject};
use dfuse_antelope::{Checksum256, Name, Symbol, SymbolCode, model};
use dfuse_query::ApiResult;

use super::{
    DbOperation, DtrxOperation, Int64, Json, RamAction, RamFamily, RamOperation, TableOperation, Time, Transaction,
    Uint64, Uint64Encoding, call,
};
use crate::source::{Source, Trace};

/// Declares an operation of a trace: which list it is in, and whether it reads more.
macro_rules! operations {
    ($($(#[$meta:meta])* $name:ident in $list:ident: $model:ident, $all:ident $(, $source:ident)?;)*) => {$(
        $(#[$meta])*
        #[derive(Clone)]
        pub(crate) struct $name {
            $($source: Arc<Source>,)?
            trace: Arc<Trace>,
            at: usize,
        }

        impl Deref for $name {
            type Target = model::$model;

            fn deref(&self) -> &Self::Target {
                &self.trace.$list[self.at]
            }
        }

        impl $name {
            /// The one at a position of its list.
            #[allow(unused_variables, reason = "not every operation reads more")]
            pub(super) fn new(source: &Arc<Source>, trace: &Arc<Trace>, at: usize) -> Self {
                Self { $($source: source.clone(),)? trace: trace.clone(), at }
            }
        }

        /// Those of the action at a position, as the block has them.
        pub(super) fn $all(source: &Arc<Source>, trace: &Arc<Trace>, action: u32) -> ApiResult<Vec<$name>> {
            let own = trace.$list.iter().enumerate().filter(|(_, op)| op.action_index == action);
            let own = own.map(|(at, _)| $name::new(source, trace, at));
            call::actions(source, own.collect())
        }
    )*};
}

operations! {
    /// A change of RAM usage.
    RamOp in ram_ops: RamOp, ram_ops;
    /// What happened to a deferred transaction.
    DtrxOp in dtrx_ops: DtrxOp, dtrx_ops, source;
    /// A table that came or went.
    TableOp in table_ops: TableOp, table_ops;
    /// A change of a row.
    DbOp in db_ops: DbOp, all_db_ops, source;
}

/// Those of rows of one contract and of tables of one name, if these are given and not empty.
pub(super) fn db_ops(
    source: &Arc<Source>,
    trace: &Arc<Trace>,
    action: u32,
    code: Option<&str>,
    table: Option<&str>,
) -> ApiResult<Vec<DbOp>> {
    let mut ops = all_db_ops(source, trace, action)?;
    for (wanted, own) in [(code, (|op| op.code) as fn(&model::DbOp) -> Name), (table, |op| op.table_name)] {
        if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) {
            ops.retain(|op| own(op).to_string() == wanted);
        }
    }
    Ok(ops)
}

fn text(name: Name) -> Option<String> {
    Some(name).filter(|name| name.0 != 0).map(|name| name.to_string())
}

fn non_empty(text: &str) -> Option<String> {
    Some(text).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A change of how much RAM an account uses.
#[Object(name = "RAMOp")]
impl RamOp {
    /// Why it changed, by the names of before EOSIO 2.0.
    async fn operation(&self) -> RamOperation {
        RamOperation::of(self)
    }

    /// What uses or used the RAM.
    async fn family(&self) -> RamFamily {
        self.namespace.into()
    }

    /// What was done with that.
    async fn action(&self) -> RamAction {
        self.action.into()
    }

    /// The account.
    async fn payer(&self) -> String {
        self.payer.to_string()
    }

    /// How many bytes more, or less if it is below 0.
    async fn delta(&self) -> Int64 {
        self.delta.into()
    }

    /// Bytes that the account uses after it.
    async fn usage(&self) -> Uint64 {
        self.usage.into()
    }
}

/// What happened to a deferred transaction.
#[Object(name = "DTrxOp")]
impl DtrxOp {
    /// What it was.
    async fn operation(&self) -> DtrxOperation {
        self.operation.into()
    }

    /// The contract that made the transaction.
    async fn sender(&self) -> Option<String> {
        text(self.sender)
    }

    /// The number that the sender gave it, in decimal.
    #[graphql(name = "senderID")]
    async fn sender_id(&self) -> Option<String> {
        non_empty(&self.sender_id)
    }

    /// Who pays for keeping it.
    async fn payer(&self) -> Option<String> {
        text(self.payer)
    }

    /// When it was made.
    async fn published_at(&self) -> Option<Time> {
        Time::parse_utc(&self.published_at)
    }

    /// Before when it is not executed.
    async fn delay_until(&self) -> Option<Time> {
        Time::parse_utc(&self.delay_until)
    }

    /// After when it is not executed.
    async fn expiration_at(&self) -> Option<Time> {
        Time::parse_utc(&self.expiration_at)
    }

    /// Its id.
    #[graphql(name = "trxID")]
    async fn trx_id(&self) -> Option<String> {
        let id = self.transaction_id;
        Some(id).filter(|id| *id != Checksum256::default()).map(|id| id.to_string())
    }

    /// The transaction.
    async fn transaction(&self) -> Option<Transaction> {
        let op: &model::DtrxOp = self;
        op.transaction.as_ref()?;
        Some(Transaction::deferred(&self.source, &self.trace, self.at))
    }
}

/// A table that came with its first row or went with its last one.
#[Object]
impl TableOp {
    /// What happened to it.
    async fn operation(&self) -> TableOperation {
        self.operation.into()
    }

    /// Which table.
    async fn table(&self) -> TableOpKey {
        TableOpKey { code: self.code, table: self.table_name, scope: self.scope }
    }
}

/// The name of a table.
pub(crate) struct TableOpKey {
    code: Name,
    table: Name,
    scope: Name,
}

/// The name of a table.
#[Object]
impl TableOpKey {
    /// The contract.
    async fn code(&self) -> String {
        self.code.to_string()
    }

    /// The table.
    async fn table(&self) -> String {
        self.table.to_string()
    }

    /// The scope.
    async fn scope(
        &self,
        #[graphql(desc = "How it is shown.", default_with = "Some(Uint64Encoding::Name)")] encoding: Option<
            Uint64Encoding,
        >,
    ) -> String {
        encoded(self.scope, encoding)
    }
}

/// A change of a row.
#[Object(name = "DBOp")]
impl DbOp {
    /// What happened to it.
    async fn operation(&self) -> DbOperation {
        self.operation.into()
    }

    /// Who paid for the row before.
    async fn old_payer(&self) -> Option<String> {
        text(self.old_payer)
    }

    /// Who pays for the row after.
    async fn new_payer(&self) -> Option<String> {
        text(self.new_payer)
    }

    /// Which row.
    async fn key(&self) -> DbOpKey {
        DbOpKey { code: self.code, table: self.table_name, scope: self.scope, key: self.primary_key }
    }

    /// The bytes of the row before, in hex.
    async fn old_data(&self) -> Option<ApiResult<String>> {
        self.hex(&self.old_data).transpose()
    }

    /// The bytes of the row after, in hex.
    async fn new_data(&self) -> Option<ApiResult<String>> {
        self.hex(&self.new_data).transpose()
    }

    /// The row before, by the ABI that was in force.
    #[graphql(name = "oldJSON")]
    async fn old_json(&self) -> ApiResult<DecodedObject> {
        self.decoded(&self.old_data)
    }

    /// The row after, by the ABI that was in force.
    #[graphql(name = "newJSON")]
    async fn new_json(&self) -> ApiResult<DecodedObject> {
        self.decoded(&self.new_data)
    }
}

impl DbOp {
    fn hex(&self, data: &[u8]) -> ApiResult<Option<String>> {
        if data.is_empty() {
            return Ok(None);
        }
        self.source.request().take_room(2 * data.len())?;
        Ok(Some(const_hex::encode(data)))
    }

    fn decoded(&self, data: &[u8]) -> ApiResult<DecodedObject> {
        if data.is_empty() {
            return Ok(DecodedObject::default());
        }
        Ok(match self.source.row(&self.trace.row_change(self.at), data)? {
            Ok(object) => DecodedObject { object: Some(Json(object)), error: None },
            Err(cause) => DecodedObject { object: None, error: Some(self.failure(data, &cause)?) },
        })
    }

    fn failure(&self, data: &[u8], cause: &str) -> ApiResult<String> {
        let op: &model::DbOp = self;
        let hex = self.hex(data)?.unwrap_or_default();
        Ok(format!(
            "failed to decode code '{}' table '{}' data '{hex}' at block '{}': {cause}",
            op.code, op.table_name, self.trace.block_num
        ))
    }
}

/// The name of a row.
pub(crate) struct DbOpKey {
    code: Name,
    table: Name,
    scope: Name,
    key: Name,
}

/// The name of a row.
#[Object(name = "DBOpKey")]
impl DbOpKey {
    /// The contract.
    async fn code(&self) -> String {
        self.code.to_string()
    }

    /// The table.
    async fn table(&self) -> String {
        self.table.to_string()
    }

    /// The scope.
    async fn scope(
        &self,
        #[graphql(desc = "How it is shown.", default_with = "Some(Uint64Encoding::Name)")] encoding: Option<
            Uint64Encoding,
        >,
    ) -> String {
        encoded(self.scope, encoding)
    }

    /// The primary key.
    async fn key(
        &self,
        #[graphql(desc = "How it is shown.", default_with = "Some(Uint64Encoding::Name)")] encoding: Option<
            Uint64Encoding,
        >,
    ) -> String {
        encoded(self.key, encoding)
    }
}

/// A row by an ABI, or why it does not decode. Neither is there where there is no row.
#[derive(Debug, Default, SimpleObject)]
pub(crate) struct DecodedObject {
    /// The row.
    pub(super) object: Option<Json>,
    /// Why there is none.
    pub(super) error: Option<String>,
}

/// A 64-bit value, of which blocks keep the name.
pub(super) fn encoded(value: Name, encoding: Option<Uint64Encoding>) -> String {
    match encoding.unwrap_or(Uint64Encoding::Name) {
        Uint64Encoding::Name => value.to_string(),
        Uint64Encoding::Decimal => value.0.to_string(),
        Uint64Encoding::Hexadecimal => format!("{:x}", value.0),
        Uint64Encoding::Symbol => Symbol(value.0).to_string(),
        Uint64Encoding::SymbolCode => SymbolCode(value.0).to_string(),
    }
}
