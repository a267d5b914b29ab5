//! Transactions and receipts.
#![allow(missing_docs, reason = "fields are named and documented by the schema; what is not obvious has a note")]

use bytes::Bytes;

use super::message::{boxed_fields, enums, messages};
use crate::{Checksum256, Name, TimePointSec};

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

    /// An extension of a header, block or transaction, raw.
    Extension {
        1 r#type: u32;
        2 data: Bytes;
    }
}

boxed_fields!(SignedTransaction);
