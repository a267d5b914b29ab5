//! Operations: what an action changed, by kind.
#![allow(missing_docs, reason = "fields are named and documented by the schema; what is not obvious has a note")]

use bytes::Bytes;

use super::{
    message::{enums, messages, oneofs},
    transaction::{PermissionLevel, SignedTransaction},
};
use crate::{BlockTimestamp, Checksum256, Name, TimePoint};

enums! {
    /// What happened to an implicit transaction.
    TrxOperation {
        Unknown = 0 "OPERATION_UNKNOWN",
        Create = 1 "OPERATION_CREATE",
    }

    /// What happened to a row.
    DbOperation {
        Unknown = 0 "OPERATION_UNKNOWN",
        Insert = 1 "OPERATION_INSERT",
        Update = 2 "OPERATION_UPDATE",
        Remove = 3 "OPERATION_REMOVE",
    }

    /// Why RAM usage changed, by its legacy tag.
    RamOperation {
        Unknown = 0 "OPERATION_UNKNOWN",
        CreateTable = 1 "OPERATION_CREATE_TABLE",
        DeferredTrxAdd = 2 "OPERATION_DEFERRED_TRX_ADD",
        DeferredTrxCancel = 3 "OPERATION_DEFERRED_TRX_CANCEL",
        DeferredTrxPushed = 4 "OPERATION_DEFERRED_TRX_PUSHED",
        DeferredTrxRamCorrection = 5 "OPERATION_DEFERRED_TRX_RAM_CORRECTION",
        DeferredTrxRemoved = 6 "OPERATION_DEFERRED_TRX_REMOVED",
        DeleteAuth = 7 "OPERATION_DELETEAUTH",
        LinkAuth = 8 "OPERATION_LINKAUTH",
        NewAccount = 9 "OPERATION_NEWACCOUNT",
        PrimaryIndexAdd = 10 "OPERATION_PRIMARY_INDEX_ADD",
        PrimaryIndexRemove = 11 "OPERATION_PRIMARY_INDEX_REMOVE",
        PrimaryIndexUpdate = 12 "OPERATION_PRIMARY_INDEX_UPDATE",
        PrimaryIndexUpdateAddNewPayer = 13 "OPERATION_PRIMARY_INDEX_UPDATE_ADD_NEW_PAYER",
        PrimaryIndexUpdateRemoveOldPayer = 14 "OPERATION_PRIMARY_INDEX_UPDATE_REMOVE_OLD_PAYER",
        RemoveTable = 15 "OPERATION_REMOVE_TABLE",
        SecondaryIndexAdd = 16 "OPERATION_SECONDARY_INDEX_ADD",
        SecondaryIndexRemove = 17 "OPERATION_SECONDARY_INDEX_REMOVE",
        SecondaryIndexUpdateAddNewPayer = 18 "OPERATION_SECONDARY_INDEX_UPDATE_ADD_NEW_PAYER",
        SecondaryIndexUpdateRemoveOldPayer = 19 "OPERATION_SECONDARY_INDEX_UPDATE_REMOVE_OLD_PAYER",
        SetAbi = 20 "OPERATION_SETABI",
        SetCode = 21 "OPERATION_SETCODE",
        UnlinkAuth = 22 "OPERATION_UNLINKAUTH",
        UpdateAuthCreate = 23 "OPERATION_UPDATEAUTH_CREATE",
        UpdateAuthUpdate = 24 "OPERATION_UPDATEAUTH_UPDATE",
        Deprecated = 25 "OPERATION_DEPRECATED",
    }

    /// What used RAM.
    RamNamespace {
        Unknown = 0 "NAMESPACE_UNKNOWN",
        Abi = 1 "NAMESPACE_ABI",
        Account = 2 "NAMESPACE_ACCOUNT",
        Auth = 3 "NAMESPACE_AUTH",
        AuthLink = 4 "NAMESPACE_AUTH_LINK",
        Code = 5 "NAMESPACE_CODE",
        DeferredTrx = 6 "NAMESPACE_DEFERRED_TRX",
        SecondaryIndex = 7 "NAMESPACE_SECONDARY_INDEX",
        Table = 8 "NAMESPACE_TABLE",
        TableRow = 9 "NAMESPACE_TABLE_ROW",
    }

    /// What happened to what uses RAM.
    RamAction {
        Unknown = 0 "ACTION_UNKNOWN",
        Add = 1 "ACTION_ADD",
        Cancel = 2 "ACTION_CANCEL",
        Correction = 3 "ACTION_CORRECTION",
        Push = 4 "ACTION_PUSH",
        Remove = 5 "ACTION_REMOVE",
        Update = 6 "ACTION_UPDATE",
    }

    /// What happened to a table.
    TableOperation {
        Unknown = 0 "OPERATION_UNKNOWN",
        Insert = 1 "OPERATION_INSERT",
        Remove = 2 "OPERATION_REMOVE",
    }

    /// What happened to a deferred transaction.
    DtrxOperation {
        Unknown = 0 "OPERATION_UNKNOWN",
        Create = 1 "OPERATION_CREATE",
        PushCreate = 2 "OPERATION_PUSH_CREATE",
        Failed = 3 "OPERATION_FAILED",
        Cancel = 4 "OPERATION_CANCEL",
        ModifyCancel = 5 "OPERATION_MODIFY_CANCEL",
        ModifyCreate = 6 "OPERATION_MODIFY_CREATE",
    }

    /// How a feature is activated.
    FeatureKind {
        Unknown = 0 "KIND_UNKNOWN",
        PreActivate = 1 "KIND_PRE_ACTIVATE",
        Activate = 2 "KIND_ACTIVATE",
    }

    /// What happened to a permission.
    PermOperation {
        Unknown = 0 "OPERATION_UNKNOWN",
        Insert = 1 "OPERATION_INSERT",
        Update = 2 "OPERATION_UPDATE",
        Remove = 3 "OPERATION_REMOVE",
    }

    /// What happened to a limit.
    RlimitOperation {
        Unknown = 0 "OPERATION_UNKNOWN",
        Insert = 1 "OPERATION_INSERT",
        Update = 2 "OPERATION_UPDATE",
    }
}

messages! {
    /// A transaction that the chain itself made: `onblock` or `onerror`.
    TrxOp {
        1 operation: TrxOperation;
        /// `onblock` / `onerror`.
        2 name: Name;
        3 transaction_id: Checksum256;
        4 transaction: Option<SignedTransaction>;
    }

    /// A change of a table row.
    DbOp {
        1 operation: DbOperation;
        /// Execution index.
        2 action_index: u32;
        3 code: Name;
        4 scope: Name;
        5 table_name: Name;
        /// Name rendering of u64.
        6 primary_key: Name;
        /// Empty on INSERT.
        7 old_payer: Name;
        /// Empty on REMOVE.
        8 new_payer: Name;
        9 old_data: Bytes;
        10 new_data: Bytes;
        /// Antelope only.
        11 old_data_json: String;
        /// Antelope only.
        12 new_data_json: String;
    }

    /// A list of row changes.
    DbOps {
        1 db_ops: Vec<DbOp>;
    }

    /// A change of RAM usage, with its cause.
    RamOp {
        /// Legacy tag.
        1 operation: RamOperation;
        2 action_index: u32;
        3 payer: Name;
        4 delta: i64;
        /// After op.
        5 usage: u64;
        6 namespace: RamNamespace;
        7 action: RamAction;
        /// Opaque.
        8 unique_key: String;
    }

    /// A correction of RAM usage by a protocol feature.
    RamCorrectionOp {
        1 correction_id: String;
        2 unique_key: String;
        3 payer: Name;
        4 delta: i64;
    }

    /// A table that came or went.
    TableOp {
        1 operation: TableOperation;
        2 action_index: u32;
        3 payer: Name;
        4 code: Name;
        5 scope: Name;
        6 table_name: Name;
    }

    /// A deferred transaction that was created, cancelled or replaced.
    DtrxOp {
        1 operation: DtrxOperation;
        2 action_index: u32;
        3 sender: Name;
        /// U128 decimal.
        4 sender_id: String;
        5 payer: Name;
        /// Text as printed.
        6 published_at: String;
        /// Text.
        7 delay_until: String;
        /// Text.
        8 expiration_at: String;
        9 transaction_id: Checksum256;
        10 transaction: Option<Box<SignedTransaction>>;
    }

    /// A deferred operation with the block and transaction that did it.
    ExtDtrxOp {
        1 source_transaction_id: Checksum256;
        2 block_num: u64;
        3 block_id: Checksum256;
        4 block_time: BlockTimestamp;
        5 dtrx_op: DtrxOp;
    }

    /// A protocol feature that was activated or is about to be.
    FeatureOp {
        /// String `PRE_ACTIVATE` / `ACTIVATE`, not the enum.
        1 kind: String;
        /// 0 for ACTIVATE.
        2 action_index: u32;
        3 feature_digest: Checksum256;
        4 feature: Feature;
    }

    /// A protocol feature.
    Feature {
        1 feature_digest: Checksum256;
        2 subjective_restrictions: SubjectiveRestrictions;
        3 description_digest: Checksum256;
        4 dependencies: Vec<Checksum256>;
        5 protocol_feature_type: String;
        6 specification: Vec<Specification>;
    }

    /// When a producer lets a feature be activated.
    SubjectiveRestrictions {
        1 enabled: bool;
        2 preactivation_required: bool;
        3 earliest_allowed_activation_time: String;
    }

    /// A named value of a protocol feature.
    Specification {
        1 name: String;
        2 value: String;
    }

    /// A change of a permission.
    PermOp {
        1 operation: PermOperation;
        2 action_index: u32;
        8 old_perm: Option<PermissionObject>;
        9 new_perm: Option<PermissionObject>;
    }

    /// A permission as the chain keeps it.
    PermissionObject {
        1 owner: Name;
        2 name: Name;
        3 last_updated: TimePoint;
        4 authority: Authority;
        /// 0 in v12.
        10 id: u64;
        11 parent_id: u64;
        /// Ours: the permission above, where there are no ids.
        9001 parent: Name;
    }

    /// A permission as the node's API shows it.
    Permission {
        1 name: Name;
        2 parent: Name;
        3 required_auth: Option<Authority>;
    }

    /// Keys, permissions and waits with weights, and the sum that satisfies.
    Authority {
        1 threshold: u32;
        2 keys: Vec<KeyWeight>;
        3 accounts: Vec<PermissionLevelWeight>;
        4 waits: Vec<WaitWeight>;
    }

    /// A key and its weight.
    KeyWeight {
        1 public_key: String;
        2 weight: u32;
    }

    /// A permission and its weight.
    PermissionLevelWeight {
        1 permission: PermissionLevel;
        2 weight: u32;
    }

    /// A wait and its weight.
    WaitWeight {
        1 wait_sec: u32;
        2 weight: u32;
    }

    /// A change of resource limits or usage.
    RlimitOp {
        1 operation: RlimitOperation;
        2..=5 kind: Option<RlimitKind>;
    }

    /// Resource usage of the whole chain.
    RlimitState {
        1 average_block_net_usage: UsageAccumulator;
        2 average_block_cpu_usage: UsageAccumulator;
        3 pending_net_usage: u64;
        4 pending_cpu_usage: u64;
        5 total_net_weight: u64;
        6 total_cpu_weight: u64;
        7 total_ram_bytes: u64;
        8 virtual_net_limit: u64;
        9 virtual_cpu_limit: u64;
    }

    /// Parameters of the chain's resource limits.
    RlimitConfig {
        1 cpu_limit_parameters: ElasticLimitParameters;
        2 net_limit_parameters: ElasticLimitParameters;
        3 account_cpu_usage_average_window: u32;
        4 account_net_usage_average_window: u32;
    }

    /// Resource limits of an account; -1 is unlimited.
    RlimitAccountLimits {
        1 owner: Name;
        /// Never set.
        2 pending: bool;
        3 net_weight: i64;
        4 cpu_weight: i64;
        5 ram_bytes: i64;
    }

    /// Resource usage of an account.
    RlimitAccountUsage {
        1 owner: Name;
        2 net_usage: UsageAccumulator;
        3 cpu_usage: UsageAccumulator;
        4 ram_usage: u64;
    }

    /// An exponential moving average of usage.
    UsageAccumulator {
        1 last_ordinal: u32;
        2 value_ex: u64;
        3 consumed: u64;
    }

    /// How a limit contracts and expands.
    ElasticLimitParameters {
        1 target: u64;
        2 max: u64;
        3 periods: u32;
        4 max_multiplier: u32;
        5 contract_rate: Ratio;
        6 expand_rate: Ratio;
    }

    /// A fraction.
    Ratio {
        1 numerator: u64;
        2 denominator: u64;
    }
}

oneofs! {
    /// What a resource operation is about.
    RlimitKind {
        2 state State(RlimitState);
        3 config Config(RlimitConfig);
        4 account_limits AccountLimits(RlimitAccountLimits);
        5 account_usage AccountUsage(RlimitAccountUsage);
    }
}
