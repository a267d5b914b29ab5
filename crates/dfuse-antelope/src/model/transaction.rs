//! Transactions, receipts and traces.
#![allow(missing_docs, reason = "fields are named and documented by the schema; what is not obvious has a note")]

use bytes::Bytes;

use super::{
    BlockRef, DbOp, DtrxOp, Extension, FeatureOp, PermOp, RamCorrectionOp, RamOp, RlimitOp, TableOp,
    message::{boxed_fields, enums, messages},
};
use crate::{BlockTimestamp, Checksum256, Name, TimePoint, TimePointSec};

enums! {
    /// How the execution of a transaction ended.
    TransactionStatus {
        None = 0 "TRANSACTIONSTATUS_NONE",
        Executed = 1 "TRANSACTIONSTATUS_EXECUTED",
        SoftFail = 2 "TRANSACTIONSTATUS_SOFTFAIL",
        HardFail = 3 "TRANSACTIONSTATUS_HARDFAIL",
        Delayed = 4 "TRANSACTIONSTATUS_DELAYED",
        Expired = 5 "TRANSACTIONSTATUS_EXPIRED",
        Unknown = 6 "TRANSACTIONSTATUS_UNKNOWN",
        Canceled = 7 "TRANSACTIONSTATUS_CANCELED",
    }
}

messages! {
    /// What a signed block says of one transaction.
    TransactionReceipt {
        1 status: TransactionStatus;
        2 cpu_usage_micro_seconds: u32;
        3 net_usage_words: u32;
        /// Trx id hex.
        4 id: Checksum256;
        /// Absent for deferred.
        5 packed_transaction: Option<PackedTransaction>;
        /// Position in signed block.
        6 index: u64;
    }

    /// A transaction as it was signed and sent.
    PackedTransaction {
        1 signatures: Vec<String>;
        /// 0 none 1 zlib.
        2 compression: u32;
        3 packed_context_free_data: Bytes;
        4 packed_transaction: Bytes;
    }

    /// A transaction with signatures and context-free data.
    SignedTransaction {
        1 transaction: Transaction;
        2 signatures: Vec<String>;
        3 context_free_data: Vec<Bytes>;
    }

    /// A transaction without signatures.
    Transaction {
        1 header: TransactionHeader;
        2 context_free_actions: Vec<Action>;
        3 actions: Vec<Action>;
        4 extensions: Vec<Extension>;
    }

    /// Expiration, reference block and limits of a transaction.
    TransactionHeader {
        1 expiration: TimePointSec;
        /// U16.
        2 ref_block_num: u32;
        3 ref_block_prefix: u32;
        4 max_net_usage_words: u32;
        /// U8.
        5 max_cpu_usage_ms: u32;
        6 delay_sec: u32;
    }

    /// A call of a contract.
    Action {
        1 account: Name;
        2 name: Name;
        3 authorization: Vec<PermissionLevel>;
        /// Empty if not decodable.
        4 json_data: String;
        /// Packed args.
        5 raw_data: Bytes;
    }

    /// An account and one of its permissions.
    PermissionLevel {
        1 actor: Name;
        2 permission: Name;
    }

    /// What the execution of one transaction did.
    TransactionTrace {
        /// Hex.
        1 id: Checksum256;
        2 block_num: u64;
        /// Overwritten at block end.
        3 block_time: BlockTimestamp;
        /// Hex.
        4 producer_block_id: Option<Checksum256>;
        /// Absent when failed.
        5 receipt: Option<TransactionReceiptHeader>;
        /// Us.
        6 elapsed: i64;
        /// Bytes.
        7 net_usage: u64;
        /// Deferred.
        8 scheduled: bool;
        /// Execution order.
        9 action_traces: Vec<ActionTrace>;
        /// Nested copy, see deep-mind.md.
        10 failed_dtrx_trace: Option<Box<TransactionTrace>>;
        15 exception: Option<Box<Exception>>;
        /// 0 when absent.
        16 error_code: u64;
        17 db_ops: Vec<DbOp>;
        18 dtrx_ops: Vec<DtrxOp>;
        19 feature_ops: Vec<FeatureOp>;
        20 perm_ops: Vec<PermOp>;
        21 ram_ops: Vec<RamOp>;
        22 ram_correction_ops: Vec<RamCorrectionOp>;
        /// Only account kinds.
        23 rlimit_ops: Vec<RlimitOp>;
        24 table_ops: Vec<TableOp>;
        /// Pre-order flat tree.
        25 creation_tree: Vec<CreationFlatNode>;
        /// Within the block's unfiltered traces.
        26 index: u64;
    }

    /// Status and billed resources of a transaction.
    TransactionReceiptHeader {
        1 status: TransactionStatus;
        2 cpu_usage_micro_seconds: u32;
        3 net_usage_words: u32;
    }

    /// What the execution of one action did.
    ActionTrace {
        /// Absent if not executed.
        1 receipt: Option<ActionReceipt>;
        2 action: Action;
        3 context_free: bool;
        4 elapsed: i64;
        /// Valid UTF-8.
        5 console: String;
        6 transaction_id: Checksum256;
        7 block_num: u64;
        8 producer_block_id: Option<Checksum256>;
        9 block_time: BlockTimestamp;
        10 account_ram_deltas: Vec<AccountRamDelta>;
        11 receiver: Name;
        15 exception: Option<Box<Exception>>;
        16 action_ordinal: u32;
        17 creator_action_ordinal: u32;
        18 closest_unnotified_ancestor_action_ordinal: u32;
        /// 0-based; equals op.action_index.
        19 execution_index: u32;
        20 error_code: u64;
        30 filtering_matched: bool;
        /// Kept only due to the system filter.
        31 filtering_matched_system_action_filter: bool;
        /// Dfuse name: return_value.
        41 raw_return_value: Bytes;
        /// Antelope only.
        42 json_return_value: String;
    }

    /// Proof of an action's execution, with its sequence numbers.
    ActionReceipt {
        1 receiver: Name;
        2 digest: Checksum256;
        3 global_sequence: u64;
        4 auth_sequence: Vec<AuthSequence>;
        5 recv_sequence: u64;
        6 code_sequence: u64;
        7 abi_sequence: u64;
    }

    /// How often an account has authorised actions.
    AuthSequence {
        1 account_name: Name;
        2 sequence: u64;
    }

    /// A change of the RAM that an account uses, in bytes.
    AccountRamDelta {
        1 account: Name;
        2 delta: i64;
    }

    /// A change of what an account uses.
    AccountDelta {
        1 account: Name;
        2 delta: i64;
    }

    /// A node of the tree that tells which action caused which; the list holds the tree in depth-first order.
    CreationFlatNode {
        /// Flat position of parent, -1 root.
        1 creator_action_index: i32;
        2 execution_action_index: u32;
    }

    /// Why an execution failed.
    Exception {
        1 code: i32;
        2 name: String;
        3 message: String;
        4 stack: Vec<ExceptionLogMessage>;
    }

    /// One message of an exception.
    ExceptionLogMessage {
        1 context: Option<ExceptionLogContext>;
        2 format: String;
        /// JSON bytes.
        4 data: Bytes;
    }

    /// Where a message of an exception comes from.
    ExceptionLogContext {
        1 level: String;
        2 file: String;
        3 line: i32;
        4 method: String;
        5 hostname: String;
        6 thread_name: String;
        7 timestamp: TimePoint;
        8 context: Option<Box<ExceptionLogContext>>;
    }

    /// A list of transaction traces.
    TransactionTraces {
        1 transaction_traces: Vec<TransactionTrace>;
    }

    /// A list of action traces.
    ActionTraces {
        1 action_traces: Vec<ActionTrace>;
    }

    /// A transaction trace and its block.
    TransactionTraceWithBlockRef {
        1 trace: Option<TransactionTrace>;
        2 block_ref: Option<BlockRef>;
    }
}

boxed_fields!(TransactionTrace SignedTransaction Exception ExceptionLogContext);
