//! Enums.

use async_graphql::Enum;
use dfuse_antelope::model;
use dfuse_query::blocks::TimeComparison;

/// Declares an enum of the schema, and of which values of the model its own are.
macro_rules! enums {
    ($($(#[$meta:meta])* $name:ident = $shown:literal of $model:ident {
        $($(#[doc = $description:literal])* $value:ident: $($source:ident)|+,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
        #[graphql(name = $shown, rename_items = "SCREAMING_SNAKE_CASE")]
        pub(crate) enum $name {
            $($(#[doc = $description])* $value,)*
        }

        impl From<model::$model> for $name {
            fn from(value: model::$model) -> Self {
                match value {
                    $($(model::$model::$source)|+ => Self::$value,)*
                }
            }
        }
    )*};
}

enums! {
    /// How the execution of a transaction ended.
    TransactionStatus = "TRANSACTION_STATUS" of TransactionStatus {
        /// It was executed.
        Executed: Executed,
        /// It failed, and its sender handled that.
        SoftFail: SoftFail,
        /// It failed, and nobody handled that.
        HardFail: HardFail,
        /// It is to be executed later.
        Delayed: Delayed,
        /// Its time ran out before it was executed.
        Expired: Expired,
        /// It was cancelled before it was executed.
        Canceled: Canceled,
        /// The block does not say.
        Unknown: None | Unknown,
    }

    /// What has become of a transaction.
    TransactionLifecycleStatus = "TRANSACTION_LIFECYCLE_STATUS" of TransactionStatus {
        /// It was in a block that was undone, and can still come into another one.
        Pending: None,
        /// It waits for its time.
        Delayed: Delayed,
        /// It was executed.
        Executed: Executed,
        /// It failed, and its sender handled that.
        SoftFail: SoftFail,
        /// It failed, and nobody handled that.
        HardFail: HardFail,
        /// Its time ran out before it was executed.
        Expired: Expired,
        /// It was cancelled before it was executed.
        Canceled: Canceled,
        /// It is in no block.
        Unknown: Unknown,
    }

    /// What happened to a table.
    TableOperation = "TABLE_OPERATION" of TableOperation {
        /// It has its first row.
        Ins: Insert,
        /// It has lost its last row.
        Rem: Remove,
        /// The block does not say.
        Unknown: Unknown,
    }

    /// What happened to a row.
    DbOperation = "DB_OPERATION" of DbOperation {
        /// It is new.
        Ins: Insert,
        /// It has changed.
        Upd: Update,
        /// It is gone.
        Rem: Remove,
        /// The block does not say.
        Unknown: Unknown,
    }

    /// What happened to a deferred transaction.
    DtrxOperation = "DTRX_OPERATION" of DtrxOperation {
        /// It was signed and pushed with a delay.
        PushCreate: PushCreate,
        /// A contract has made it.
        Create: Create,
        /// It was replaced by another one.
        ModifyCancel: ModifyCancel,
        /// It takes the place of another one.
        ModifyCreate: ModifyCreate,
        /// It was cancelled.
        Cancel: Cancel,
        /// Its execution failed.
        Failed: Failed,
        /// The block does not say.
        Unknown: Unknown,
    }

    /// What used or freed RAM.
    RamFamily = "RAM_FAMILY" of RamNamespace {
        /// An ABI.
        Abi: Abi,
        /// An account.
        Account: Account,
        /// A permission.
        Auth: Auth,
        /// A link of an action to a permission.
        AuthLink: AuthLink,
        /// The code of a contract.
        Code: Code,
        /// A deferred transaction.
        DeferredTrx: DeferredTrx,
        /// A row of a secondary index.
        SecondaryIndex: SecondaryIndex,
        /// A table.
        Table: Table,
        /// A row of a table.
        TableRow: TableRow,
        /// The block does not say.
        Unknown: Unknown,
    }

    /// What was done with what uses RAM.
    RamAction = "RAM_ACTION" of RamAction {
        /// It is new.
        Add: Add,
        /// It was cancelled.
        Cancel: Cancel,
        /// What the chain had counted wrong is put right.
        Correction: Correction,
        /// It was pushed.
        Push: Push,
        /// It is gone.
        Remove: Remove,
        /// It has changed.
        Update: Update,
        /// The block does not say.
        Unknown: Unknown,
    }
}

/// Why an account uses more or less RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "RAM_OPERATION", rename_items = "SCREAMING_SNAKE_CASE")]
pub(crate) enum RamOperation {
    /// A table has its first row.
    CreateTable,
    /// A contract has made a deferred transaction.
    DeferredTrxAdd,
    /// A deferred transaction was cancelled.
    DeferredTrxCancel,
    /// A transaction was pushed with a delay.
    DeferredTrxPushed,
    /// What was charged for a deferred transaction by mistake is given back.
    DeferredTrxRamCorrection,
    /// A deferred transaction has ended.
    DeferredTrxRemoved,
    /// A permission was deleted.
    #[graphql(name = "DELETEAUTH")]
    DeleteAuth,
    /// An action was linked to a permission.
    #[graphql(name = "LINKAUTH")]
    LinkAuth,
    /// An account was created.
    #[graphql(name = "NEWACCOUNT")]
    NewAccount,
    /// A row was added.
    PrimaryIndexAdd,
    /// A row was removed.
    PrimaryIndexRemove,
    /// A row was changed.
    PrimaryIndexUpdate,
    /// A row was changed, for which this account pays from now on.
    PrimaryIndexUpdateAddNewPayer,
    /// A row was changed, for which another account pays from now on.
    PrimaryIndexUpdateRemoveOldPayer,
    /// A table has lost its last row.
    RemoveTable,
    /// An entry of a secondary index was added.
    SecondaryIndexAdd,
    /// An entry of a secondary index was removed.
    SecondaryIndexRemove,
    /// An entry of a secondary index was changed.
    SecondaryIndexUpdate,
    /// An entry of a secondary index was changed, for which this account pays from now on.
    SecondaryIndexUpdateAddNewPayer,
    /// An entry of a secondary index was changed, for which another account pays from now on.
    SecondaryIndexUpdateRemoveOldPayer,
    /// A contract has another ABI.
    #[graphql(name = "SETABI")]
    SetAbi,
    /// A contract has other code.
    #[graphql(name = "SETCODE")]
    SetCode,
    /// A link of an action to a permission was removed.
    #[graphql(name = "UNLINKAUTH")]
    UnlinkAuth,
    /// A permission was created.
    #[graphql(name = "UPDATEAUTH_CREATE")]
    UpdateAuthCreate,
    /// A permission was changed.
    #[graphql(name = "UPDATEAUTH_UPDATE")]
    UpdateAuthUpdate,
    /// The block tells family and action, for which there is no older name.
    Deprecated,
    /// The block does not say.
    Unknown,
}

impl RamOperation {
    /// What blocks of before EOSIO 2.0 name; for others, what those would have named.
    pub(crate) fn of(op: &model::RamOp) -> Self {
        use model::RamOperation as R;
        match op.operation {
            R::Unknown | R::Deprecated => Self::by_family(op),
            R::CreateTable => Self::CreateTable,
            R::DeferredTrxAdd => Self::DeferredTrxAdd,
            R::DeferredTrxCancel => Self::DeferredTrxCancel,
            R::DeferredTrxPushed => Self::DeferredTrxPushed,
            R::DeferredTrxRamCorrection => Self::DeferredTrxRamCorrection,
            R::DeferredTrxRemoved => Self::DeferredTrxRemoved,
            R::DeleteAuth => Self::DeleteAuth,
            R::LinkAuth => Self::LinkAuth,
            R::NewAccount => Self::NewAccount,
            R::PrimaryIndexAdd => Self::PrimaryIndexAdd,
            R::PrimaryIndexRemove => Self::PrimaryIndexRemove,
            R::PrimaryIndexUpdate => Self::PrimaryIndexUpdate,
            R::PrimaryIndexUpdateAddNewPayer => Self::PrimaryIndexUpdateAddNewPayer,
            R::PrimaryIndexUpdateRemoveOldPayer => Self::PrimaryIndexUpdateRemoveOldPayer,
            R::RemoveTable => Self::RemoveTable,
            R::SecondaryIndexAdd => Self::SecondaryIndexAdd,
            R::SecondaryIndexRemove => Self::SecondaryIndexRemove,
            R::SecondaryIndexUpdateAddNewPayer => Self::SecondaryIndexUpdateAddNewPayer,
            R::SecondaryIndexUpdateRemoveOldPayer => Self::SecondaryIndexUpdateRemoveOldPayer,
            R::SetAbi => Self::SetAbi,
            R::SetCode => Self::SetCode,
            R::UnlinkAuth => Self::UnlinkAuth,
            R::UpdateAuthCreate => Self::UpdateAuthCreate,
            R::UpdateAuthUpdate => Self::UpdateAuthUpdate,
        }
    }

    fn by_family(op: &model::RamOp) -> Self {
        use model::{RamAction as A, RamNamespace as N};
        match (op.namespace, op.action) {
            (N::Abi, A::Update) => Self::SetAbi,
            (N::Account, A::Add) => Self::NewAccount,
            (N::Auth, A::Add) => Self::UpdateAuthCreate,
            (N::Auth, A::Update) => Self::UpdateAuthUpdate,
            (N::Auth, A::Remove) => Self::DeleteAuth,
            (N::AuthLink, A::Add) => Self::LinkAuth,
            (N::AuthLink, A::Remove) => Self::UnlinkAuth,
            (N::Code, A::Update) => Self::SetCode,
            (N::DeferredTrx, A::Add) => Self::DeferredTrxAdd,
            (N::DeferredTrx, A::Cancel) => Self::DeferredTrxCancel,
            (N::DeferredTrx, A::Push) => Self::DeferredTrxPushed,
            (N::DeferredTrx, A::Remove) => Self::DeferredTrxRemoved,
            (N::DeferredTrx, A::Correction) => Self::DeferredTrxRamCorrection,
            (N::SecondaryIndex, A::Add) => Self::SecondaryIndexAdd,
            (N::SecondaryIndex, A::Remove) => Self::SecondaryIndexRemove,
            (N::SecondaryIndex, A::Update) => Self::SecondaryIndexUpdate,
            (N::Table, A::Add) => Self::CreateTable,
            (N::Table, A::Remove) => Self::RemoveTable,
            (N::TableRow, A::Add) => Self::PrimaryIndexAdd,
            (N::TableRow, A::Remove) => Self::PrimaryIndexRemove,
            (N::TableRow, A::Update) => Self::PrimaryIndexUpdate,
            (N::Unknown, A::Unknown) if op.operation == model::RamOperation::Unknown => Self::Unknown,
            _ => Self::Deprecated,
        }
    }
}

/// How a 64-bit value is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "UINT64_ENCODING", rename_items = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Uint64Encoding {
    /// As a name, such as `eosio.token`.
    Name,
    /// As a decimal number.
    Decimal,
    /// As a hexadecimal number in lower case.
    Hexadecimal,
    /// As a symbol, such as `4,EOS`.
    Symbol,
    /// As the letters of a symbol, such as `EOS`.
    SymbolCode,
}

/// In which order actions come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "ACTION_SORT_ORDER", rename_items = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ActionSortOrder {
    /// That of their execution.
    Execution,
    /// That in which they were created.
    Creation,
}

/// Where a block is, as seen from a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "COMPARATOR", rename_items = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Comparator {
    /// At the time, or the first one after it.
    Gte,
    /// The first one after it.
    Gt,
    /// At the time, or the last one before it.
    Lte,
    /// The last one before it.
    Lt,
    /// At the time.
    Eq,
}

impl From<Comparator> for TimeComparison {
    fn from(comparator: Comparator) -> Self {
        match comparator {
            Comparator::Gte => Self::AtOrAfter,
            Comparator::Gt => Self::After,
            Comparator::Lte => Self::AtOrBefore,
            Comparator::Lt => Self::Before,
            Comparator::Eq => Self::At,
        }
    }
}

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "SORT_ORDER", rename_items = "SCREAMING_SNAKE_CASE")]
pub(crate) enum SortOrder {
    /// The least.
    Asc,
    /// The greatest.
    Desc,
}

/// What tokens are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "TOKENS_SORT_FIELD", rename_items = "SCREAMING_SNAKE_CASE")]
pub(crate) enum TokensSortField {
    /// Their letters.
    Alpha,
    /// How many accounts hold them.
    Holders,
}

/// What the balances of an account are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "ACCOUNT_BALANCES_SORT_FIELD", rename_items = "SCREAMING_SNAKE_CASE")]
pub(crate) enum AccountBalancesSortField {
    /// The letters of the tokens.
    Alpha,
    /// The amounts in the smallest units of the tokens, whatever their decimals.
    Amount,
}

/// What the balances of a token are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "TOKEN_BALANCES_SORT_FIELD", rename_items = "SCREAMING_SNAKE_CASE")]
pub(crate) enum TokenBalancesSortField {
    /// The names of the accounts.
    Alpha,
    /// The amounts.
    Amount,
}

/// What is counted as a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "ACCOUNT_BALANCE_OPTION", rename_items = "SCREAMING_SNAKE_CASE")]
pub(crate) enum AccountBalanceOption {
    /// What is staked of the system's token, too.
    EosIncludeStaked,
}

/// How an amount of a token is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "ASSET_FORMAT", rename_items = "SCREAMING_SNAKE_CASE")]
pub(crate) enum AssetFormat {
    /// With decimals and letters, such as `12.3400 EOS`.
    Asset,
    /// In the smallest unit, such as `123400`.
    Integer,
    /// With decimals, such as `12.3400`.
    Decimal,
}
