//! Blocks, headers and producer schedules.
#![allow(missing_docs, reason = "fields are named and documented by the schema; what is not obvious has a note")]

use bytes::Bytes;

use super::{
    message::{enums, messages},
    operation::{DbOp, ExtDtrxOp, KeyWeight, PermOp, RamOp, RlimitOp, TableOp, TrxOp},
    trace::TransactionTrace,
    transaction::{Extension, TransactionReceipt, TransactionStatus},
};
use crate::{BlockTimestamp, Checksum256, Name};

enums! {
    /// How final a block is.
    BlockReversibility {
        None = 0 "BLOCKREVERSIBILITY_NONE",
        Reversible = 1 "BLOCKREVERSIBILITY_REVERSIBLE",
        Irreversible = 2 "BLOCKREVERSIBILITY_IRREVERSIBLE",
        Stale = 3 "BLOCKREVERSIBILITY_STALE",
        MaybeStale = 4 "BLOCKREVERSIBILITY_MAYBESTALE",
    }
}

messages! {
    /// A block as the node executed it: header, receipts, traces of everything that ran, and the chain state around it. Each
    /// `unfiltered_` list has a `filtered_` twin, which counts when `filtering_applied` is set: use the accessors.
    Block {
        /// Block id, 64 hex.
        1 id: Checksum256;
        /// Height.
        2 number: u32;
        /// 1 (0 = old block without counters: recompute 22-25 on read).
        3 version: u32;
        /// From signed_block.
        4 header: BlockHeader;
        /// SIG_K1_..
        5 producer_signature: String;
        /// Receipts in block order; empty when filtered.
        6 unfiltered_transactions: Vec<TransactionReceipt>;
        /// Raw.
        7 block_extensions: Vec<Extension>;
        /// Block_state.
        8 dpos_proposed_irreversible_blocknum: u32;
        /// **LIB number** (wrapper lib_num).
        9 dpos_irreversible_blocknum: u32;
        /// 1.x only.
        10 active_schedule_v1: Option<ProducerSchedule>;
        11 blockroot_merkle: Option<BlockRootMerkle>;
        12 producer_to_last_produced: Vec<ProducerToLastProduced>;
        13 producer_to_last_implied_irb: Vec<ProducerToLastImpliedIrb>;
        /// 1.x only.
        14 block_signing_key: String;
        /// Packed; u8 widened.
        15 confirm_count: Vec<u32>;
        16 pending_schedule: Option<PendingProducerSchedule>;
        /// Cumulative set at this block.
        17 activated_protocol_features: Option<ActivatedProtocolFeatures>;
        /// Only CONFIG/STATE kinds.
        19 rlimit_ops: Vec<RlimitOp>;
        /// Onblock / onerror.
        20 unfiltered_implicit_transaction_ops: Vec<TrxOp>;
        /// Execution order, includes onblock, onerror, expired, failed deferred.
        21 unfiltered_transaction_traces: Vec<TransactionTrace>;
        /// Kept even when filtered.
        22 unfiltered_transaction_count: u32;
        23 unfiltered_transaction_trace_count: u32;
        /// Actions with creator ordinal 0.
        24 unfiltered_executed_input_action_count: u32;
        25 unfiltered_executed_total_action_count: u32;
        /// >= 2.0.
        30 valid_block_signing_authority_v2: Option<BlockSigningAuthority>;
        /// >= 2.0.
        31 active_schedule_v2: Option<ProducerAuthoritySchedule>;
        /// Switches every unfiltered_/filtered_ pair.
        40 filtering_applied: bool;
        /// Successive filters joined with `;;;`.
        41 filtering_include_filter_expr: String;
        /// Same.
        42 filtering_exclude_filter_expr: String;
        43 filtered_transaction_trace_count: u32;
        44 filtered_executed_input_action_count: u32;
        45 filtered_executed_total_action_count: u32;
        46 filtered_transaction_traces: Vec<TransactionTrace>;
        /// Used when filtering_applied.
        47 filtered_transactions: Vec<TransactionReceipt>;
        48 filtered_transaction_count: u32;
        49 filtered_implicit_transaction_ops: Vec<TrxOp>;
        /// Same.
        50 filtering_system_actions_include_filter_expr: String;
        /// Ours, outside of the numbers that the family of schemas uses. Present in blocks that were made of state history.
        9001 state_history: Option<StateHistory>;
        /// Ours, too: the transactions that a filter left out, in the order of execution.
        9002 left_out: Vec<LeftOutTransaction>;
    }

    /// Ours: a transaction of which a filtered block has this and no more.
    LeftOutTransaction {
        1 id: [u8; 32];
        /// That of its receipt, `None` without one. Of a deferred transaction whose error handler failed it is the handler's.
        2 status: TransactionStatus;
    }

    /// Ours: what a block changed, as far as no action in it is known to have done it: a block that was made of state history, or
    /// one whose transactions a filter left out. There is one change a row and block, from what the row was before the block to what
    /// it is after it, and `action_index` means nothing.
    StateHistory {
        1 db_ops: Vec<DbOp>;
        2 table_ops: Vec<TableOp>;
        3 perm_ops: Vec<PermOp>;
        /// With the transaction, if that is known.
        4 dtrx_ops: Vec<ExtDtrxOp>;
        /// Limits and usage of accounts.
        5 rlimit_ops: Vec<RlimitOp>;
        /// Usage that the actions do not explain.
        6 ram_ops: Vec<RamOp>;
    }

    /// What producers sign, without the signature.
    BlockHeader {
        3 timestamp: BlockTimestamp;
        4 producer: Name;
        /// U16.
        5 confirmed: u32;
        /// Hex.
        6 previous: Checksum256;
        7 transaction_mroot: [u8; 32];
        8 action_mroot: [u8; 32];
        9 schedule_version: u32;
        /// Legacy optional.
        10 new_producers_v1: Option<ProducerSchedule>;
        11 header_extensions: Vec<Extension>;
    }

    /// A block reduced to its header and merkle tree.
    HeaderOnlyBlock {
        1 id: Checksum256;
        2 number: u32;
        4 header: Option<BlockHeader>;
        11 blockroot_merkle: Option<BlockRootMerkle>;
    }

    /// A block by id and number.
    BlockRef {
        1 hash: Bytes;
        2 number: u64;
    }

    /// A transaction trace and its block.
    TransactionTraceWithBlockRef {
        1 trace: Option<TransactionTrace>;
        2 block_ref: Option<BlockRef>;
    }

    /// A block with the ids of what is in it.
    BlockWithRefs {
        1 id: Checksum256;
        2 block: Option<Block>;
        3 implicit_transaction_refs: Option<TransactionRefs>;
        4 transaction_refs: Option<TransactionRefs>;
        5 transaction_trace_refs: Option<TransactionRefs>;
        6 irreversible: bool;
    }

    /// Transaction ids.
    TransactionRefs {
        1 hashes: Vec<[u8; 32]>;
    }

    /// Digests of all protocol features that are active at a block.
    ActivatedProtocolFeatures {
        1 protocol_features: Vec<[u8; 32]>;
    }

    /// The schedule that waits for irreversibility.
    PendingProducerSchedule {
        1 schedule_lib_num: u32;
        2 schedule_hash: [u8; 32];
        3 schedule_v1: Option<ProducerSchedule>;
        4 schedule_v2: Option<ProducerAuthoritySchedule>;
    }

    /// Producers with one key each (before EOSIO 2.0, and in headers).
    ProducerSchedule {
        1 version: u32;
        2 producers: Vec<ProducerKey>;
    }

    /// A producer and its key.
    ProducerKey {
        1 account_name: Name;
        2 block_signing_key: String;
    }

    /// Producers with an authority each (EOSIO 2.0 and later).
    ProducerAuthoritySchedule {
        1 version: u32;
        2 producers: Vec<ProducerAuthority>;
    }

    /// A producer and what may sign for it.
    ProducerAuthority {
        1 account_name: Name;
        2 block_signing_authority: BlockSigningAuthority;
    }

    /// What may sign blocks; one variant is known.
    BlockSigningAuthority {
        1 v0: Option<BlockSigningAuthorityV0>;
    }

    /// Keys with weights and the sum that signs.
    BlockSigningAuthorityV0 {
        1 threshold: u32;
        2 keys: Vec<KeyWeight>;
    }

    /// The incremental merkle tree of block ids.
    BlockRootMerkle {
        /// Truncated from u64.
        1 node_count: u32;
        2 active_nodes: Vec<[u8; 32]>;
    }

    /// The last block that a producer made.
    ProducerToLastProduced {
        1 name: Name;
        2 last_block_num_produced: u32;
    }

    /// The last block that a producer implied to be irreversible.
    ProducerToLastImpliedIrb {
        1 name: Name;
        2 last_block_num_produced: u32;
    }
}
