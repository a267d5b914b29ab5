//! State-history logs of real nodes: their deltas leave what deep mind of the same node says, after every block.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    io::{Cursor, Read},
};

use bytes::Bytes;
use dfuse_antelope::{
    Checksum256, Name,
    model::{DbOperation, TableOperation, TransactionTrace},
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_ship::{Deltas, Error, HistoryLog, StateRow};
use dfuse_testkit::recorded;

const STATE: &str = "state-history/chain_state_history.log";
const TRACES: &str = "state-history/trace_history.log";

type Rows = BTreeMap<(Name, Name, Name, u64), (Name, Bytes)>;
type Tables = BTreeMap<(Name, Name, Name), Name>;

fn log(chain: &str, file: &str) -> Option<Vec<u8>> {
    recorded::tar_member(&format!("{chain}/ship-and-blocks.tar.zst"), file)
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, present: bool, key: K, value: V) {
    if present {
        map.insert(key, value);
    } else {
        map.remove(&key);
    }
}

fn fold(trace: &TransactionTrace, rows: &mut Rows, tables: &mut Tables) {
    for op in &trace.db_ops {
        let key = (op.code, op.scope, op.table_name, op.primary_key.0);
        put(rows, op.operation != DbOperation::Remove, key, (op.new_payer, op.new_data.clone()));
    }
    for op in &trace.table_ops {
        let key = (op.code, op.scope, op.table_name);
        put(tables, op.operation != TableOperation::Remove, key, op.payer);
    }
}

/// Blocks of the branch that won, by number: id, and the hash of all rows and tables after it.
fn deep_mind(chain: &str) -> Option<BTreeMap<u32, (Checksum256, String)>> {
    let mut reader = Reader::new(recorded::open(&format!("{chain}/{chain}.dmlog.zst"))?);
    let mut states: BTreeMap<Checksum256, (Rows, Tables)> = BTreeMap::new();
    let mut blocks = BTreeMap::new();
    while let Some(event) = reader.next_event().unwrap() {
        let Event::Block(block) = event else { continue };
        let (mut rows, mut tables) = states.get(&block.header.previous).cloned().unwrap_or_default();
        block.transaction_traces().iter().for_each(|trace| fold(trace, &mut rows, &mut tables));
        // A block of a branch that won replaces one of the same number.
        blocks.insert(block.number, (block.id, digest(&rows, &tables)));
        states.insert(block.id, (rows, tables));
    }
    Some(blocks)
}

fn digest(rows: &Rows, tables: &Tables) -> String {
    Checksum256::sha256(format!("{rows:?} {tables:?}").as_bytes()).to_string()
}

#[test]
fn deltas_leave_what_the_same_node_logged_after_every_block() {
    for chain in ["small", "fork"] {
        let (Some(bytes), Some(expected)) = (log(chain, STATE), deep_mind(chain)) else { return };
        let mut log = HistoryLog::open(Cursor::new(bytes)).unwrap();
        let (mut rows, mut tables, mut compared) = (Rows::new(), Tables::new(), 0);
        while let Some(entry) = log.next_entry().unwrap() {
            let mut deltas = Deltas::new(log.content(&entry).unwrap());
            while let Some(delta) = deltas.next_row().unwrap() {
                match delta.row {
                    StateRow::Contract(row) => {
                        let key = (row.code, row.scope, row.table, row.primary_key);
                        put(&mut rows, delta.present, key, (row.payer, row.value));
                    }
                    StateRow::Table(table) => {
                        put(&mut tables, delta.present, (table.code, table.scope, table.table), table.payer);
                    }
                    _ => {}
                }
            }
            if let Some((id, state)) = expected.get(&entry.block_id.block_num()) {
                assert_eq!(entry.block_id, *id, "{chain}");
                assert_eq!(digest(&rows, &tables), *state, "{chain}: {id}");
                compared += 1;
            }
        }
        assert_eq!(compared, expected.len(), "{chain}");
    }
}

fn entries(bytes: Vec<u8>) -> dfuse_ship::Result<Vec<(Checksum256, Vec<u8>)>> {
    let mut log = HistoryLog::open(Cursor::new(bytes))?;
    let mut entries = vec![];
    while let Some(entry) = log.next_entry()? {
        let mut content = vec![];
        log.content(&entry)?.read_to_end(&mut content).map_err(|source| Error::Io { offset: entry.offset, source })?;
        entries.push((entry.block_id, content));
    }
    Ok(entries)
}

/// An entry: magic number, id, payload, and where it begins.
fn entry(log: &mut Vec<u8>, flags: u64, id: Checksum256, payload: &[u8]) {
    let begin = log.len() as u64;
    log.extend((0xc35d_5000_0000_0000 | flags).to_le_bytes());
    log.extend(id.0);
    log.extend((payload.len() as u64).to_le_bytes());
    log.extend(payload);
    log.extend(begin.to_le_bytes());
}

fn zlib(content: &[u8]) -> Vec<u8> {
    let mut packed = vec![];
    flate2::read::ZlibEncoder::new(content, flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
    packed
}

#[test]
fn older_and_pruned_logs_have_the_same_content() {
    let Some(bytes) = log("small", TRACES) else { return };
    let expected = entries(bytes).unwrap();
    assert_eq!(expected.len(), 364);
    let mut older = vec![];
    for (id, content) in &expected {
        let packed = zlib(content);
        let payload = [&u32::try_from(packed.len()).unwrap().to_le_bytes()[..], &packed].concat();
        entry(&mut older, 0, *id, &payload);
    }
    assert!(entries(older.clone()).unwrap() == expected);

    // Half of it is pruned: the first header stays, and behind it is a hole with ragged edges.
    let kept = 100;
    let mut log = HistoryLog::open(Cursor::new(older.clone())).unwrap();
    let begins: Vec<_> = std::iter::from_fn(|| log.next_entry().unwrap()).map(|entry| entry.offset as usize).collect();
    let mut pruned = older;
    pruned[2] = 1;
    pruned[48..begins[expected.len() - kept] - 100].fill(0);
    pruned.extend(u32::try_from(kept).unwrap().to_le_bytes());
    assert!(entries(pruned.clone()).unwrap() == expected[expected.len() - kept..]);
    let end = pruned.len();
    pruned[end - 12] ^= 1;
    assert!(matches!(entries(pruned).unwrap_err(), Error::Damaged { .. } | Error::Truncated { .. }));
}

#[test]
fn a_branch_that_is_appended_comes_after_the_one_that_lost() {
    let id = |number: u32, branch: u8| {
        let mut id = Checksum256::sha256(&[branch]);
        id.0[..4].copy_from_slice(&number.to_be_bytes());
        id
    };
    let mut log = vec![];
    let ids = [id(2, 0), id(3, 0), id(4, 0), id(3, 1), id(4, 1)];
    for id in ids {
        let payload = [&1_u32.to_le_bytes()[..], &1_u64.to_le_bytes(), &zlib(&[0])].concat();
        entry(&mut log, 0, id, &payload);
    }
    assert_eq!(entries(log).unwrap().into_iter().map(|(id, _)| id).collect::<Vec<_>>(), ids);
}

#[test]
fn damage_is_told_by_its_offset() {
    let Some(bytes) = log("small", STATE) else { return };
    assert!(matches!(entries(b"DMLOG START".repeat(9)).unwrap_err(), Error::NotALog { .. }));
    assert!(entries(vec![]).unwrap().is_empty());
    let mut newer = bytes.clone();
    newer[0] = 1;
    assert!(entries(newer).unwrap_err().to_string().contains("EOSIO 2.1"));
    let mut log = HistoryLog::open(Cursor::new(bytes.clone())).unwrap();
    let begins: Vec<_> = std::iter::from_fn(|| log.next_entry().unwrap()).map(|entry| entry.offset as usize).collect();
    let last = *begins.last().unwrap();
    for end in [last + 1, last + 47, last + 60, bytes.len() - 1] {
        match entries(bytes[..end].to_vec()).unwrap_err() {
            Error::Truncated { offset, .. } => assert_eq!(offset, last as u64),
            other => panic!("{other}"),
        }
    }
    for at in [bytes.len() - 8, last, last + 40] {
        let mut damaged = bytes.clone();
        damaged[at + 4] ^= 0xff;
        let message = entries(damaged).unwrap_err().to_string();
        assert!(message.contains(&format!("byte {last}")), "{message}");
    }
}

#[test]
fn damaged_deltas_are_an_error_and_never_a_panic() {
    let Some(bytes) = log("small", STATE) else { return };
    let read = |bytes: &[u8]| -> dfuse_ship::Result<()> {
        let mut deltas = Deltas::new(bytes);
        while deltas.next_row()?.is_some() {}
        Ok(())
    };
    for (_, content) in entries(bytes).unwrap().into_iter().step_by(40) {
        read(&content).unwrap();
        for end in 0..content.len().min(600) {
            assert!(read(&content[..end]).is_err());
        }
        assert!(read(&[&content[..], &[0]].concat()).unwrap_err().to_string().contains("after the last table"));
        let mut damaged = content.clone();
        for at in 0..content.len().min(600) {
            damaged[at] ^= 0xff;
            let _ = read(&damaged);
            damaged[at] ^= 0xff;
        }
    }
    let second = [1, 1, 0];
    assert!(read(&second).unwrap_err().to_string().contains("EOSIO 2.1"));
}
