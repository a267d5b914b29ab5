//! What a block says twice agrees: ids and merkle roots are those of the content, action digests those of the actions,
//! and creation trees those of the ordinals. Blocks are proofs of their content, so this needs no second source.

use dfuse_antelope::{
    Checksum256, Name, Signature,
    model::{Block, CreationFlatNode, TransactionTrace},
    raw::Writer,
};

use crate::{
    chains::{ABI_ROWS, BUSY, DEMO, EMPTY, FORK, LEAP_5, LEAP_UNIT, Log, SMALL, SPRING, traces_of_receipts},
    merkle::{action_digest, merkle, pair_digest, receipt_digest},
};

/// Digest of the protocol feature `ACTION_RETURN_VALUE`.
const ACTION_RETURN_VALUE: &str = "c3a6138c5061cf291310887c0b5c71fcaffeab90d5deb50d3b9e687cead45071";

/// Header extension of blocks whose finality is that of Savanna; their merkle trees are of another kind.
const FINALITY_EXTENSION: u32 = 2;

#[derive(Debug, Default, PartialEq, Eq)]
struct Proved {
    blocks: usize,
    /// Of these, blocks whose merkle roots and signatures were not computed.
    savanna_blocks: usize,
    receipts: usize,
    actions: usize,
    trees: usize,
}

fn prove(log: &'static Log) -> Option<Proved> {
    let mut proved = Proved::default();
    for block in &log.chain()?.blocks {
        let what = format!("{}, block {}", log.name, block.id);
        assert_eq!(block.header.id().unwrap(), block.id, "{what}");
        if !is_savanna(block) {
            prove_signature(block, &what);
        }
        prove_receipts(block, &what, &mut proved);
        prove_actions(block, &what, &mut proved);
        proved.blocks += 1;
        proved.savanna_blocks += usize::from(is_savanna(block));
    }
    Some(proved)
}

fn is_savanna(block: &Block) -> bool {
    block.header.header_extensions.iter().any(|extension| extension.r#type == FINALITY_EXTENSION)
}

/// What a producer of legacy consensus signs covers the header, the merkle tree of all blocks and the pending schedule.
fn prove_signature(block: &Block, what: &str) {
    let mut header = Writer::new();
    block.header.pack(&mut header).unwrap();
    let tree = block.blockroot_merkle.as_ref().unwrap();
    let root = if tree.node_count == 0 { &[0; 32] } else { tree.active_nodes.last().unwrap() };
    let with_root = pair_digest(&Checksum256::sha256(&header.bytes).0, root);
    let schedule_hash = &block.pending_schedule.as_ref().unwrap().schedule_hash;
    let digest = pair_digest(&with_root.0, schedule_hash);
    let key = block.producer_signature.parse::<Signature>().unwrap().recover(&digest).unwrap().to_string();

    let authority = block.valid_block_signing_authority_v2.as_ref().unwrap();
    let keys = &authority.v0.as_ref().unwrap().keys;
    assert!(keys.iter().any(|weight| weight.public_key == key), "{what}: signed by {key}");
    let producer = block.header.producer;
    // The block that brings a new schedule is still by a producer of the old one.
    let mut schedule = block.active_schedule_v2.as_ref().unwrap().producers.iter();
    let scheduled = schedule.find(|entry| entry.account_name == producer);
    assert!(scheduled.is_none_or(|entry| entry.block_signing_authority == *authority), "{what}");
    let last = block.producer_to_last_produced.iter().find(|entry| entry.name == producer).unwrap();
    assert_eq!(last.last_block_num_produced, block.number, "{what}");
}

fn prove_receipts(block: &Block, what: &str, proved: &mut Proved) {
    let receipts = &block.unfiltered_transactions;
    for (at, receipt) in receipts.iter().enumerate() {
        assert_eq!(receipt.index, at as u64, "{what}");
        if let Some(packed) = &receipt.packed_transaction {
            assert_eq!(receipt.id, packed.id().unwrap(), "{what}");
            assert_eq!(receipt.id, packed.signed_transaction().unwrap().transaction.id(), "{what}");
        }
    }
    if !is_savanna(block) {
        let root = merkle(receipts.iter().map(|receipt| receipt.digest().unwrap()).collect());
        assert_eq!(root.0, block.header.transaction_mroot, "{what}: transaction_mroot");
    }
    proved.receipts += receipts.len();

    // Every transaction but `onblock` has a receipt. One that failed shares it with its handler.
    let is_onblock = |trace: &TransactionTrace| {
        let mut ops = block.unfiltered_implicit_transaction_ops.iter();
        ops.any(|op| op.name == Name::literal("onblock") && op.transaction_id == trace.id)
    };
    let billed: Vec<_> = traces_of_receipts(block).filter(|trace| !is_onblock(trace)).collect();
    assert_eq!(billed.len(), receipts.len(), "{what}");
    for (trace, receipt) in std::iter::zip(billed, receipts) {
        let header = trace.receipt.as_ref().unwrap();
        assert_eq!(trace.failed_dtrx_trace.as_ref().map_or(trace.id, |failed| failed.id), receipt.id, "{what}");
        assert_eq!(
            (header.status, header.cpu_usage_micro_seconds, header.net_usage_words),
            (receipt.status, receipt.cpu_usage_micro_seconds, receipt.net_usage_words),
            "{what}, transaction {}",
            trace.id
        );
    }
}

fn prove_actions(block: &Block, what: &str, proved: &mut Proved) {
    let features = block.activated_protocol_features.as_ref().unwrap();
    let return_value: Checksum256 = ACTION_RETURN_VALUE.parse().unwrap();
    let with_return_value = features.protocol_features.contains(&return_value.0);
    let (mut leaves, mut last_sequence) = (vec![], 0);
    for (index, trace) in block.unfiltered_transaction_traces.iter().enumerate() {
        let what = format!("{what}, transaction {}", trace.id);
        assert_eq!((trace.index, trace.block_num), (index as u64, u64::from(block.number)), "{what}");
        assert_eq!((trace.producer_block_id, trace.block_time), (Some(block.id), block.header.timestamp), "{what}");
        for (execution_index, action) in trace.action_traces.iter().enumerate() {
            assert_eq!(action.execution_index as usize, execution_index, "{what}");
            let Some(receipt) = &action.receipt else { continue };
            assert_eq!(receipt.receiver, action.receiver, "{what}");
            assert_eq!(receipt.digest, action_digest(action, with_return_value), "{what}, action {execution_index}");
            proved.actions += 1;
        }
        if trace.is_reverted() {
            continue;
        }
        for receipt in trace.action_traces.iter().map(|action| action.receipt.as_ref().unwrap()) {
            assert!(receipt.global_sequence > last_sequence, "{what}: actions are not in the order of execution");
            last_sequence = receipt.global_sequence;
            leaves.push(receipt_digest(receipt));
        }
        assert_eq!(trace.creation_tree, tree_of_ordinals(trace), "{what}");
        proved.trees += 1;
    }
    if !is_savanna(block) {
        assert_eq!(merkle(leaves).0, block.header.action_mroot, "{what}: action_mroot");
    }
}

/// The creation tree from what action traces say of who scheduled them.
fn tree_of_ordinals(trace: &TransactionTrace) -> Vec<CreationFlatNode> {
    fn add_children(trace: &TransactionTrace, creator: u32, position: i32, tree: &mut Vec<CreationFlatNode>) {
        let mut children: Vec<_> =
            trace.action_traces.iter().filter(|action| action.creator_action_ordinal == creator).collect();
        children.sort_by_key(|action| action.action_ordinal);
        for child in children {
            let at = tree.len() as i32;
            tree.push(CreationFlatNode {
                creator_action_index: position,
                execution_action_index: child.execution_index,
            });
            add_children(trace, child.action_ordinal, at, tree);
        }
    }
    let mut tree = vec![];
    add_children(trace, 0, -1, &mut tree);
    tree
}

#[test]
fn chains_prove_themselves() {
    for (log, blocks, savanna_blocks, receipts, actions, trees) in [
        (&SMALL, 364, 0, 499, 1382, 855),
        (&FORK, 473, 0, 1634, 5633, 2107),
        (&BUSY, 407, 0, 14742, 61640, 15149),
        (&DEMO, 4042, 0, 4624, 18643, 8658),
        (&EMPTY, 199, 0, 0, 199, 199),
        (&ABI_ROWS, 317, 0, 333, 650, 650),
        (&LEAP_5, 176, 0, 168, 605, 344),
        (&LEAP_UNIT, 4, 0, 27, 31, 31),
        (&SPRING, 34, 32, 33, 67, 67),
    ] {
        let Some(proved) = prove(log) else { continue };
        assert_eq!(proved, Proved { blocks, savanna_blocks, receipts, actions, trees }, "{}", log.name);
    }
}
