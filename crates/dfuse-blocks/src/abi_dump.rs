//! The file of an ABI dump: JSON lines, zstd-compressed. The first line is `{"block": 2, "global_sequence": 0, "abis": 1}`
//! with the number of lines to come; each of them is `{"contract": "eosio", "abi": "<packed ABI, base64>"}`. The zstd frame has a
//! checksum of its content, which files of earlier releases lack.

use std::io::{Read, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use dfuse_antelope::{AbiDump, Name};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Bounds what a damaged or hostile file makes us hold: thousands of times what a chain has.
const MAX_BYTES: u64 = 4 << 30;

#[derive(Serialize, Deserialize)]
struct Head {
    block: u32,
    global_sequence: u64,
    abis: usize,
}

#[derive(Serialize, Deserialize)]
struct Line {
    contract: Name,
    abi: String,
}

pub(crate) fn encode(dump: &AbiDump, level: i32) -> Result<Vec<u8>> {
    let failed = |e: &dyn std::fmt::Display| Error::Usage(format!("ABI dump cannot be written: {e}"));
    let head = Head { block: dump.block_num, global_sequence: dump.global_sequence, abis: dump.abis.len() };
    let mut lines = serde_json::to_vec(&head).map_err(|e| failed(&e))?;
    for (contract, abi) in &dump.abis {
        lines.push(b'\n');
        let line = Line { contract: *contract, abi: STANDARD.encode(abi) };
        serde_json::to_writer(&mut lines, &line).map_err(|e| failed(&e))?;
    }
    lines.push(b'\n');
    let compress = || {
        let mut encoder = zstd::Encoder::new(Vec::new(), level)?;
        encoder.include_checksum(true)?;
        encoder.write_all(&lines)?;
        encoder.finish()
    };
    compress().map_err(|e| failed(&e))
}

/// Whether the frame has a checksum, which was verified then when it was read.
pub(crate) fn has_checksum(data: &[u8]) -> bool {
    // The third of the flags after the magic number.
    data.get(4).is_some_and(|flags| flags & 0b100 != 0)
}

pub(crate) fn decode(file: &str, data: &[u8]) -> Result<AbiDump> {
    let damaged = |line: usize, e: &dyn std::fmt::Display| Error::damaged(file, None, format!("line {line}: {e}"));
    let mut text = String::new();
    let decoder = zstd::Decoder::with_buffer(data).map_err(|e| damaged(1, &e))?;
    decoder.take(MAX_BYTES).read_to_string(&mut text).map_err(|e| Error::damaged(file, None, e))?;
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let (_, head) = lines.next().ok_or_else(|| damaged(1, &"empty file"))?;
    let head: Head = serde_json::from_str(head).map_err(|e| damaged(1, &e))?;
    let mut abis = vec![];
    for (at, line) in lines {
        let line: Line = serde_json::from_str(line).map_err(|e| damaged(at, &e))?;
        abis.push((line.contract, STANDARD.decode(line.abi).map_err(|e| damaged(at, &e))?.into()));
    }
    if abis.len() != head.abis {
        return Err(damaged(1, &format!("{} ABIs announced, {} found", head.abis, abis.len())));
    }
    Ok(AbiDump { block_num: head.block, global_sequence: head.global_sequence, abis })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn round_trip_and_damage() {
        let abis = vec![("eosio".parse().unwrap(), Bytes::from_static(b"\x0eeosio::abi/1.0")), (Name(1), Bytes::new())];
        let dump = AbiDump { block_num: 2, global_sequence: u64::MAX, abis };
        let file = encode(&dump, 3).unwrap();
        assert_eq!(decode("f", &file).unwrap(), dump);
        for end in 0..file.len() {
            assert!(matches!(decode("f", &file[..end]), Err(Error::Damaged { .. })), "{end}");
        }
        assert!(has_checksum(&file));
        for at in 0..file.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 0x08;
            // Some bits of the frame's header say nothing of its content.
            let read = decode("f", &flipped);
            assert!(matches!(&read, Err(Error::Damaged { .. })) || read.is_ok_and(|read| read == dump), "{at}");
        }
        let former = zstd::encode_all(&zstd::decode_all(&file[..]).unwrap()[..], 3).unwrap();
        assert!(!has_checksum(&former) && decode("f", &former).unwrap() == dump);
        let cut = br#"{"block":2,"global_sequence":0,"abis":1}"#;
        let error = decode("f", &zstd::encode_all(&cut[..], 1).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "f is damaged: line 1: 1 ABIs announced, 0 found");
    }
}
