//! Traces: what transactions did.
#![allow(missing_docs, reason = "fields are named and documented by the schema; what is not obvious has a note")]

use bytes::Bytes;

use super::{
    message::{boxed_fields, messages},
    operation::{DbOp, DtrxOp, FeatureOp, PermOp, RamCorrectionOp, RamOp, RlimitOp, TableOp},
    transaction::{Action, TransactionStatus},
};
use crate::{BlockTimestamp, Checksum256, Name, TimePoint};

messages! {
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
}

boxed_fields!(TransactionTrace Exception ExceptionLogContext);
