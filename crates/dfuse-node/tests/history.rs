//! The logs of a node with the state-history plugin as a source.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{Cursor, Read, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use dfuse_antelope::{AbiDump, model::Block};
use dfuse_deep_mind::{Event, Reader};
use dfuse_node::{Error, Source, SourceEvent, SourceOptions, SourceSpec};
use dfuse_ship::{BlockLog, HistoryLog};
use dfuse_testkit::recorded;
use tempfile::TempDir;

const LOGS: [(&str, &str); 2] = [("state-history", "trace_history"), ("state-history", "chain_state_history")];

/// The data directory of the node that made the chain.
fn node(chain: &str) -> Option<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    for member in recorded::tar(&format!("{chain}/ship-and-blocks.tar.zst"))? {
        let path = folder.path().join(member.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, member.content).unwrap();
    }
    Some(folder)
}

fn open(folder: &Path, options: SourceOptions) -> Source {
    let spec: SourceSpec = format!("ship-log:{}", folder.display()).parse().unwrap();
    Source::open(&spec, options).unwrap()
}

async fn next(source: &mut Source) -> Result<Option<Arc<Block>>, Error> {
    loop {
        let (block, encoded) = match source.next().await? {
            Some(SourceEvent::Block { block, encoded }) => (block.unwrap(), encoded),
            Some(SourceEvent::AbiDump(dump)) => {
                assert_eq!(dump, AbiDump::native());
                continue;
            }
            None => return Ok(None),
            other => panic!("{other:?}"),
        };
        assert_eq!((encoded.id(), encoded.decode().unwrap()), (block.id, Block::clone(&block)));
        return Ok(Some(block));
    }
}

async fn all(folder: &Path) -> Result<Vec<Arc<Block>>, Error> {
    let mut source = open(folder, SourceOptions::default());
    let mut blocks = vec![];
    while let Some(block) = next(&mut source).await? {
        blocks.push(block);
    }
    Ok(blocks)
}

/// Splits a log and its index behind some blocks, into the folders that nodes use.
fn split_history(folder: &Path, name: &str, ends: &[u32]) {
    let path = folder.join(format!("{name}.log"));
    let bytes = fs::read(&path).unwrap();
    let mut log = HistoryLog::open(Cursor::new(&bytes)).unwrap();
    let (mut begin, mut first) = (0, 0);
    let mut ends = ends.iter().peekable();
    while let Some(entry) = log.next_entry().unwrap() {
        let number = entry.block_id.block_num();
        first = if first == 0 { number } else { first };
        if ends.next_if(|end| **end == number).is_some() {
            let end = entry.offset as usize + 48 + entry.size as usize + 8;
            // Places in a part are those in its own file.
            let mut part = vec![];
            let mut of_part = HistoryLog::open(Cursor::new(&bytes[..end])).unwrap();
            let mut index = vec![];
            while let Some(entry) = of_part.next_entry().unwrap() {
                if entry.offset as usize >= begin {
                    let place = part.len() as u64;
                    let at = entry.offset as usize;
                    part.extend(&bytes[at..at + 48 + entry.size as usize]);
                    part.extend(place.to_le_bytes());
                    index.extend(place.to_le_bytes());
                }
            }
            let below = if ends.len() == 0 { "" } else { "retained" };
            fs::create_dir_all(folder.join(below)).unwrap();
            let stem = folder.join(below).join(format!("{name}-{first}-{number}"));
            fs::write(stem.with_extension("log"), part).unwrap();
            fs::write(stem.with_extension("index"), index).unwrap();
            (begin, first) = (end, 0);
        }
    }
    let mut rest = HistoryLog::open(Cursor::new(&bytes)).unwrap();
    let (mut part, mut index) = (vec![], vec![]);
    while let Some(entry) = rest.next_entry().unwrap() {
        let at = entry.offset as usize;
        if at >= begin {
            let place = part.len() as u64;
            part.extend(&bytes[at..at + 48 + entry.size as usize]);
            part.extend(place.to_le_bytes());
            index.extend(place.to_le_bytes());
        }
    }
    fs::write(path.with_extension("index"), index).unwrap();
    fs::write(path, part).unwrap();
}

#[tokio::test]
async fn final_blocks_come_in_order_and_a_second_time_the_same() {
    let Some(folder) = node("small") else { return };
    let blocks = all(folder.path()).await.unwrap();
    assert!(blocks.iter().map(|block| block.number).eq(2..=345));
    let mut reader = Reader::new(recorded::open("small/small.dmlog.zst").unwrap());
    let mut expected = std::iter::from_fn(|| reader.next_event().unwrap()).filter_map(|event| match event {
        Event::Block(block) => Some(block),
        _ => None,
    });
    for block in &blocks {
        let expected = expected.next().unwrap();
        assert_eq!((block.id, block.lib_num()), (expected.id, expected.lib_num()));
        assert_eq!(block.active_schedule_v2, expected.active_schedule_v2);
    }
    // Without indexes, the logs themselves say where entries begin.
    for (below, name) in LOGS {
        fs::remove_file(folder.path().join(below).join(format!("{name}.index"))).unwrap();
    }
    assert!(all(folder.path()).await.unwrap() == blocks);
    let mut from = open(folder.path(), SourceOptions { start_block: 300, ..SourceOptions::default() });
    assert_eq!(*next(&mut from).await.unwrap().unwrap(), *blocks[298]);
}

#[tokio::test]
async fn split_logs_are_read_part_by_part() {
    let Some(folder) = node("fork") else { return };
    let blocks = all(folder.path()).await.unwrap();
    assert!(blocks.iter().map(|block| block.number).eq(2..=374));
    for ((below, name), ends) in LOGS.into_iter().zip([[40, 80, 320], [7, 100, 374]]) {
        split_history(&folder.path().join(below), name, &ends);
    }
    assert!(folder.path().join("state-history/retained/trace_history-2-40.log").is_file());
    assert!(all(folder.path()).await.unwrap() == blocks);
    fs::remove_file(folder.path().join("state-history/retained/trace_history-41-80.log")).unwrap();
    let message = all(folder.path()).await.unwrap_err().to_string();
    assert!(message.contains("trace_history.log has no entry of block 41"), "{message}");
}

/// Where each block of a log begins, and where the last one ends.
fn places(log: &[u8]) -> Vec<usize> {
    let mut log = BlockLog::open(Cursor::new(log)).unwrap();
    let (mut places, mut end) = (vec![], 0);
    while let Some(block) = log.next_block().unwrap() {
        places.push(block.offset as usize);
        end = block.offset as usize + block.block.len() + 8;
    }
    places.push(end);
    places
}

fn append(path: &Path, bytes: &[u8]) {
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[tokio::test]
async fn a_log_that_grows_is_followed() {
    let Some(folder) = node("small") else { return };
    let blocks = all(folder.path()).await.unwrap();
    let path = folder.path().join("blocks/blocks.log");
    let log = fs::read(&path).unwrap();
    let places = places(&log);
    // It ends inside block 101.
    fs::write(&path, &log[..places[100] + 9]).unwrap();
    assert_eq!(all(folder.path()).await.unwrap().len(), 99);
    let options = SourceOptions { follow: true, poll: Duration::from_millis(1), ..SourceOptions::default() };
    let mut source = open(folder.path(), options);
    for (at, block) in blocks.iter().enumerate() {
        if at == 99 {
            append(&path, &log[places[100] + 9..places[200]]);
        } else if at == 199 {
            append(&path, &log[places[200]..]);
        }
        assert_eq!(next(&mut source).await.unwrap().unwrap(), *block);
    }
}

#[tokio::test]
async fn what_is_missing_or_damaged_is_told() {
    let Some(folder) = node("small") else { return };
    let fails = async |wanted: &str| {
        let message = all(folder.path()).await.unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    };
    let traces = folder.path().join("state-history/trace_history.log");
    let log = fs::read(&traces).unwrap();
    let mut damaged = log.clone();
    let mut reader = HistoryLog::open(Cursor::new(&log)).unwrap();
    let entry = std::iter::from_fn(|| reader.next_entry().unwrap()).nth(50).unwrap();
    let mut content = vec![];
    reader.content(&entry).unwrap().read_to_end(&mut content).unwrap();
    let at = entry.offset as usize;
    damaged[at + 48 + entry.size as usize] ^= 1;
    fs::write(&traces, damaged).unwrap();
    fails(&format!("byte {at}: an entry: its end does not say")).await;
    let mut damaged = log.clone();
    damaged[at + 80..at + 100].fill(0xff);
    fs::write(&traces, damaged).unwrap();
    fails("block 52: its traces").await;
    fs::write(&traces, &log[..at]).unwrap();
    fails(&format!("the file ends at byte {at}, inside an entry")).await;
    fs::write(&traces, &log).unwrap();
    let blocks = folder.path().join("blocks/blocks.log");
    let log = fs::read(&blocks).unwrap();
    let mut damaged = log.clone();
    damaged[places(&log)[60] - 4] ^= 1;
    fs::write(&blocks, damaged).unwrap();
    fails("a block: its end does not say where it begins").await;
    fs::write(&blocks, b"DMLOG START").unwrap();
    fails("not a block log").await;
    fs::remove_file(&blocks).unwrap();
    fails("there is no blocks.log in").await;
    fs::remove_file(&traces).unwrap();
    fails("there is no trace_history.log; the node needs the option for it").await;
}
