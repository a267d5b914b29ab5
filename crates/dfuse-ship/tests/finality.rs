//! Finality data of a node of the Spring family, against the headers of the same blocks.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use dfuse_antelope::Checksum256;
use dfuse_ship::HistoryBlock;
use dfuse_testkit::recorded;

/// Where the claim stands in finality data.
const CLAIM: usize = 3 * 4 + 2 * 32;

/// Blocks of the recorded log, and what the node says of their finality.
fn blocks() -> Option<Vec<(HistoryBlock, Vec<u8>)>> {
    let mut blocks = vec![];
    for line in recorded::lines("public/spring-unittest.dmlog.zst")? {
        let line = String::from_utf8_lossy(&line).into_owned();
        let fields: Vec<_> = line.split(' ').collect();
        let ["DMLOG", "ACCEPTED_BLOCK_V2", id, _, _, block, finality, ..] = fields[..] else { continue };
        let byte = |text: &str, at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        let bytes = |text: &str| -> Vec<u8> { (0..text.len()).step_by(2).map(|at| byte(text, at)).collect() };
        let (id, block): (Checksum256, Bytes) = (id.parse().unwrap(), bytes(block).into());
        blocks.push((HistoryBlock::decode(id, &block, &Bytes::new(), &[0][..]).unwrap(), bytes(finality)));
    }
    Some(blocks)
}

#[test]
fn finality_data_agrees_with_its_block_or_is_refused() {
    let Some(blocks) = blocks() else { return };
    assert_eq!(blocks.len(), 32);
    for (block, finality) in &blocks {
        block.must_agree_with(finality).unwrap();
        let mut other = finality.clone();
        other[CLAIM] ^= 1;
        let message = block.must_agree_with(&other).unwrap_err().to_string();
        assert!(message.contains("its finality data claims block"), "{message}");
        let message = block.must_agree_with(&finality[..CLAIM + 3]).unwrap_err().to_string();
        assert!(message.contains("its finality data: "), "{message}");
    }
    // A block without Savanna consensus has none.
    let (mut block, finality) = blocks.into_iter().next().unwrap();
    block.signed.header.header_extensions.clear();
    assert!(block.must_agree_with(&finality).unwrap_err().to_string().contains("and its header none"));
}
