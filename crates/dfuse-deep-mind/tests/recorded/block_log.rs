//! The node's own block log against the decoded blocks, byte for byte.
//!
//! `blocks.log` version 3: version and number of the first block (both `uint32`), the genesis state, eight bytes of
//! ones, then each block followed by its position in the file (`uint64`).

use std::collections::BTreeMap;

use dfuse_antelope::{
    Checksum256,
    chain::SignedBlock,
    model::Block,
    raw::{Reader, Writer},
};
use dfuse_testkit::recorded;

use crate::chains::{BUSY, FORK, Log, SMALL};

/// The time (8 bytes), a K1 key (34) and the configuration: `uint64`, 14 `uint32` and two `uint16`.
const GENESIS_STATE: usize = 8 + 34 + 8 + 14 * 4 + 2 * 2;

struct BlockLog {
    chain_id: Checksum256,
    /// Blocks by id, packed.
    blocks: BTreeMap<Checksum256, Vec<u8>>,
}

fn read(log: &[u8]) -> BlockLog {
    let mut reader = Reader::new(log);
    assert_eq!((reader.u32().unwrap(), reader.u32().unwrap()), (3, 1), "version and first block");
    let chain_id = Checksum256::sha256(reader.take(GENESIS_STATE, "genesis state").unwrap());
    assert_eq!(reader.u64().unwrap(), u64::MAX, "the mark before the first block");
    let mut blocks = BTreeMap::new();
    while !reader.is_empty() {
        let position = reader.position();
        let block = SignedBlock::unpack(&mut reader).unwrap();
        blocks.insert(block.header.id().unwrap(), log[position..reader.position()].to_vec());
        assert_eq!(reader.u64().unwrap(), position as u64);
    }
    BlockLog { chain_id, blocks }
}

fn repack(block: &Block) -> Vec<u8> {
    let signed = SignedBlock {
        header: block.header.clone(),
        producer_signature: block.producer_signature.clone(),
        transactions: block.unfiltered_transactions.clone(),
        block_extensions: block.block_extensions.clone(),
    };
    let mut writer = Writer::new();
    signed.pack(&mut writer).unwrap();
    writer.bytes
}

/// `last`: the last block of the log, the last irreversible one when the node was stopped.
fn compare(log: &'static Log, bytes: impl FnOnce() -> Option<Vec<u8>>, last: u32) {
    let (Some(chain), Some(bytes)) = (log.chain(), bytes()) else { return };
    let theirs = read(&bytes);
    let mut compared = 0;
    for block in chain.canonical() {
        if let Some(packed) = theirs.blocks.get(&block.id) {
            assert!(repack(block) == *packed, "{}: block {} is packed differently", log.name, block.id);
            compared += 1;
        }
    }
    // All but the genesis block, which deep-mind logs do not have.
    assert_eq!(compared, theirs.blocks.len() - 1, "{}", log.name);
    assert_eq!(theirs.blocks.last_key_value().unwrap().0.block_num(), last, "{}", log.name);
    if let Some(answers) = recorded::json(&log.beside("answers.json.gz")) {
        assert_eq!(answers["get_info"]["chain_id"], theirs.chain_id.to_string(), "{}", log.name);
    }
}

fn archived(log: &Log) -> Option<Vec<u8>> {
    recorded::tar_member(&log.beside("ship-and-blocks.tar.zst"), "blocks/blocks.log")
}

#[test]
fn blocks_pack_to_the_bytes_of_the_block_log() {
    compare(&SMALL, || archived(&SMALL), 345);
    compare(&FORK, || archived(&FORK), 374);
    compare(&BUSY, || recorded::bytes("busy/blocks.log.zst"), 407);
}
