//! What is known of a transaction over its life.
#![allow(missing_docs, reason = "fields are named and documented by the schema; what is not obvious has a note")]

use super::{
    block::BlockHeader,
    message::{messages, oneofs},
    operation::ExtDtrxOp,
    trace::TransactionTrace,
    transaction::{SignedTransaction, TransactionReceipt, TransactionStatus},
};
use crate::{BlockTimestamp, Checksum256, Name};

messages! {
    /// One thing that happened to a transaction.
    TransactionEvent {
        1 id: Checksum256;
        2 block_id: Checksum256;
        3 block_num: u32;
        4 irreversible: bool;
        5..=9 event: Option<TransactionEventKind>;
    }

    /// The chain made the transaction.
    TransactionEventAddedInternally {
        1 transaction: Option<SignedTransaction>;
    }

    /// A block has the transaction.
    TransactionEventAdded {
        1 receipt: Option<TransactionReceipt>;
        2 transaction: Option<SignedTransaction>;
        3 public_keys: Option<PublicKeys>;
    }

    /// The transaction was executed.
    TransactionEventExecuted {
        1 trace: Option<TransactionTrace>;
        2 block_header: Option<BlockHeader>;
    }

    /// The transaction was deferred.
    TransactionEventDtrxScheduled {
        1 created_by: Option<ExtDtrxOp>;
        2 transaction: Option<SignedTransaction>;
    }

    /// The deferred transaction was cancelled.
    TransactionEventDtrxCanceled {
        1 canceled_by: Option<ExtDtrxOp>;
    }

    /// A list of public keys.
    PublicKeys {
        1 public_keys: Vec<String>;
    }

    /// All that is known of a transaction.
    TransactionLifecycle {
        1 id: Checksum256;
        2 transaction_status: TransactionStatus;
        10 transaction: Option<SignedTransaction>;
        11 execution_trace: Option<TransactionTrace>;
        12 execution_block_header: Option<BlockHeader>;
        19 public_keys: Vec<String>;
        20 created_by: Option<ExtDtrxOp>;
        21 canceled_by: Option<ExtDtrxOp>;
        33 creation_irreversible: bool;
        34 execution_irreversible: bool;
        35 cancelation_irreversible: bool;
        36 transaction_receipt: Option<TransactionReceipt>;
    }

    /// Where an account was created.
    AccountCreationRef {
        1 account: Name;
        2 creator: Name;
        3 block_num: u64;
        4 block_id: Checksum256;
        5 block_time: BlockTimestamp;
        6 transaction_id: Checksum256;
    }
}

oneofs! {
    /// What happened to a transaction.
    TransactionEventKind {
        5 internal_addition InternalAddition(TransactionEventAddedInternally);
        6 addition Addition(TransactionEventAdded);
        7 execution Execution(TransactionEventExecuted);
        8 dtrx_scheduling DtrxScheduling(TransactionEventDtrxScheduled);
        9 dtrx_cancellation DtrxCancellation(TransactionEventDtrxCanceled);
    }
}
