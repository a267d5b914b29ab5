use std::io::{Cursor, Read};

use bytes::Bytes;
use dfuse_ship::{BlockLog, Deltas, HistoryLog, Protocol, Request, Results, traces};

/// Most bytes that are read of what an entry decompresses to.
const MAX_CONTENT: u64 = 1 << 20;

/// A message of a node, or of a client, of state history; or the traces or deltas inside of one.
pub fn history_message(data: &[u8]) {
    let _ = (Protocol::from_abi(data), traces(&Bytes::copy_from_slice(data)));
    deltas(data);
    if let Ok(request) = Request::unpack(data) {
        assert_eq!(Request::unpack(&request.pack()), Ok(request), "a request that can be read can be written");
    }
    let Ok(mut results) = Results::read(data) else { return };
    let mut left = data.len() as u64;
    while let Ok(Some(size)) = results.next_part() {
        let mut part = vec![];
        if results.content(size).read_to_end(&mut part).is_err() {
            break;
        }
        left = left.checked_sub(size).expect("parts are no longer than their message");
        let _ = traces(&part.into());
    }
}

/// A log of state history or of blocks: every entry is read.
pub fn history_log(data: &[u8]) {
    if let Ok(mut log) = HistoryLog::open(Cursor::new(data)) {
        let mut end = 0;
        while let Ok(Some(entry)) = log.next_entry() {
            assert!(entry.offset >= end, "entries come one after the other");
            end = entry.offset + 1;
            let mut content = vec![];
            let read = log.content(&entry).map(|content| content.take(MAX_CONTENT));
            if read.is_ok_and(|mut read| read.read_to_end(&mut content).is_ok()) {
                deltas(&content);
                let _ = traces(&content.into());
            }
        }
    }
    if let Ok(mut log) = BlockLog::open(Cursor::new(data)) {
        while let Ok(Some(block)) = log.next_block() {
            assert_eq!(data[block.offset as usize..][..block.block.len()], block.block, "a block is where it says");
        }
    }
}

fn deltas(data: &[u8]) {
    let mut deltas = Deltas::new(data);
    while let Ok(Some(_)) = deltas.next_row() {}
}
