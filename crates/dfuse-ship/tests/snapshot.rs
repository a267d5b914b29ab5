//! Snapshots of real nodes: parsed to the last byte, equal to what the same node logged, and refused where they are damaged.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, io::Read};

use bytes::Bytes;
use dfuse_antelope::{
    Checksum256, Name,
    model::{Block, DbOperation, DtrxOperation, PermOperation, TableOperation, TransactionTrace},
    raw::Writer,
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_ship::{Error, Result, SecondaryKey, Snapshot, SnapshotRow, Table};
use dfuse_testkit::recorded;

const SMALL: &str = "snapshots/small-345.bin.zst";

fn rows_of(file: impl Read) -> Result<Vec<(String, SnapshotRow)>> {
    let mut snapshot = Snapshot::open(file)?;
    let mut rows = vec![];
    while let Some(section) = snapshot.next_section()? {
        let name = section.name.clone();
        while let Some(row) = snapshot.next_row()? {
            rows.push((name.clone(), row));
        }
    }
    Ok(rows)
}

/// Where sections begin, how long their rows are, and where their rows begin; read by the reference alone.
fn sections(file: &[u8]) -> Vec<(usize, usize, usize)> {
    let (mut sections, mut at) = (vec![], 8);
    loop {
        let size = u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
        if size == u64::MAX {
            assert_eq!(at + 8, file.len());
            return sections;
        }
        let name = file[at + 16..].iter().position(|byte| *byte == 0).unwrap();
        let (begin, end) = (at + 16 + name + 1, at + 8 + usize::try_from(size).unwrap());
        sections.push((at, end - begin, begin));
        at = end;
    }
}

#[test]
fn every_version_is_parsed_to_its_end() {
    for (file, version) in [
        ("unit-test-v2", 2),
        ("unit-test-v2-producer-schedule", 2),
        ("unit-test-v3", 3),
        ("unit-test-v4", 4),
        ("unit-test-v5", 5),
        ("unit-test-v6", 6),
        ("unit-test-v8", 8),
        ("small-345", 6),
    ] {
        let Some(bytes) = recorded::bytes(&format!("snapshots/{file}.bin.zst")) else { return };
        let mut snapshot = Snapshot::open(&bytes[..]).unwrap();
        assert_eq!(snapshot.version(), version, "{file}");
        let (mut head, mut chain_id, mut summaries) = (None, None, 0);
        while let Some(section) = snapshot.next_section().unwrap() {
            assert!(section.known, "{file}: {}", section.name);
            while let Some(row) = snapshot.next_row().unwrap() {
                match row {
                    SnapshotRow::Head(row) => head = Some(row),
                    SnapshotRow::GlobalProperty(row) => chain_id = row.chain_id.or(chain_id),
                    SnapshotRow::Genesis(id) => chain_id = Some(id),
                    SnapshotRow::BlockSummary(_) => summaries += 1,
                    _ => {}
                }
            }
        }
        assert_eq!(snapshot.offset(), bytes.len() as u64, "{file}");
        assert_eq!(summaries, 65_536, "{file}");
        assert!(chain_id.is_some(), "{file}");
        let head = head.unwrap();
        let legacy = head.legacy.as_ref().unwrap();
        assert_eq!(head.id(), legacy.header.id().unwrap(), "{file}");
        assert_eq!(head.block_num(), legacy.block_num, "{file}");
    }
}

#[test]
fn the_chain_of_version_2_has_the_id_that_version_3_says() {
    let chain_id = |file: &str| {
        let rows = rows_of(&recorded::bytes(file)?[..]).unwrap();
        rows.into_iter().find_map(|(_, row)| match row {
            SnapshotRow::Genesis(id) => Some(id),
            SnapshotRow::GlobalProperty(row) => row.chain_id,
            _ => None,
        })
    };
    let Some(second) = chain_id("snapshots/unit-test-v2.bin.zst") else { return };
    assert_eq!(Some(second), chain_id("snapshots/unit-test-v3.bin.zst"));
}

/// What the operations of a chain leave, by key.
#[derive(Default)]
struct Folded {
    rows: BTreeMap<(Name, Name, Name, u64), (Name, Bytes)>,
    tables: BTreeMap<(Name, Name, Name), Name>,
    ram: BTreeMap<Name, u64>,
    /// Threshold and keys.
    permissions: BTreeMap<(Name, Name), (u32, Vec<String>)>,
    deferred: BTreeMap<(Name, u128), Checksum256>,
    last_sequence: u64,
}

impl Folded {
    fn trace(&mut self, trace: &TransactionTrace) {
        if let Some(failed) = &trace.failed_dtrx_trace {
            self.trace(failed);
        }
        for op in &trace.db_ops {
            let key = (op.code, op.scope, op.table_name, op.primary_key.0);
            match op.operation {
                DbOperation::Remove => drop(self.rows.remove(&key)),
                _ => drop(self.rows.insert(key, (op.new_payer, op.new_data.clone()))),
            }
        }
        for op in &trace.table_ops {
            let key = (op.code, op.scope, op.table_name);
            match op.operation {
                TableOperation::Remove => drop(self.tables.remove(&key)),
                _ => drop(self.tables.insert(key, op.payer)),
            }
        }
        for op in &trace.ram_ops {
            self.ram.insert(op.payer, op.usage);
        }
        for op in &trace.perm_ops {
            let perm = op.new_perm.as_ref().or(op.old_perm.as_ref()).unwrap();
            let key = (perm.owner, perm.name);
            let authority = &perm.authority;
            let keys = authority.keys.iter().map(|key| key.public_key.clone()).collect();
            match op.operation {
                PermOperation::Remove => drop(self.permissions.remove(&key)),
                _ => drop(self.permissions.insert(key, (authority.threshold, keys))),
            }
        }
        for op in &trace.dtrx_ops {
            let key = (op.sender, op.sender_id.parse().unwrap());
            match op.operation {
                DtrxOperation::Create | DtrxOperation::PushCreate | DtrxOperation::ModifyCreate => {
                    self.deferred.insert(key, op.transaction_id);
                }
                _ => drop(self.deferred.remove(&key)),
            }
        }
        // Executed, expired and failed ones leave without an operation.
        self.deferred.retain(|_, id| !trace.scheduled || *id != trace.id);
        let receipts = trace.action_traces.iter().filter_map(|action| action.receipt.as_ref());
        self.last_sequence = receipts.map(|receipt| receipt.global_sequence).fold(self.last_sequence, u64::max);
    }
}

/// The operations of `small` up to a block, and that block.
fn folded_to(number: u32) -> Option<(Folded, Block)> {
    let mut reader = Reader::new(recorded::open("small/small.dmlog.zst")?);
    let mut folded = Folded::default();
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(block) = event {
            block.transaction_traces().iter().for_each(|trace| folded.trace(trace));
            if block.number == number {
                return Some((folded, *block));
            }
        }
    }
    panic!("the log has no block {number}")
}

#[test]
fn a_snapshot_is_what_the_node_logged() {
    let Some(bytes) = recorded::bytes(SMALL) else { return };
    let Some((folded, block)) = folded_to(345) else { return };
    let mut found = Folded::default();
    let (mut secondary, mut head, mut accounts, mut table_rows) = (0, None, vec![], 0);
    for (_, row) in rows_of(&bytes[..]).unwrap() {
        match row {
            SnapshotRow::Head(row) => head = row.legacy,
            SnapshotRow::Account(account) => accounts.push(account),
            SnapshotRow::Contract(row) => {
                let key = (row.code, row.scope, row.table, row.primary_key);
                found.rows.insert(key, (row.payer, row.value));
            }
            SnapshotRow::Secondary(_) => secondary += 1,
            SnapshotRow::Table(table) => {
                table_rows += table.rows.unwrap() as usize;
                found.tables.insert((table.code, table.scope, table.table), table.payer);
            }
            SnapshotRow::ResourceUsage(row) => drop(found.ram.insert(row.owner, row.ram_bytes)),
            SnapshotRow::Permission(row) if row.owner != Name(0) => {
                let keys = row.authority.keys.iter().map(|(key, _)| key.to_string()).collect();
                found.permissions.insert((row.owner, row.name), (row.authority.threshold, keys));
            }
            SnapshotRow::GeneratedTransaction(row) => {
                let times = row.times.unwrap();
                assert!(times.published < times.delay_until && times.delay_until < times.expiration);
                found.deferred.insert((row.sender, row.sender_id), row.id);
            }
            SnapshotRow::GlobalActionSequence(sequence) => found.last_sequence = sequence,
            _ => {}
        }
    }
    assert_eq!(found.rows.len(), 178);
    assert_eq!(secondary, 141);
    assert_eq!(table_rows, 178 + 141);
    assert_eq!(found.rows, folded.rows);
    assert_eq!(found.tables, folded.tables);
    assert_eq!(found.deferred, folded.deferred);
    assert_eq!(found.last_sequence, folded.last_sequence);
    for (account, usage) in &folded.ram {
        assert_eq!(found.ram.get(account), Some(usage), "RAM of {account}");
    }
    // Deep mind logs nothing of the permissions of the schedule.
    for (key, permission) in folded.permissions.iter().filter(|((owner, _), _)| owner.to_string() != "eosio.prods") {
        assert_eq!(found.permissions.get(key), Some(permission), "{key:?}");
    }
    let head = head.unwrap();
    assert_eq!((head.id, head.block_num), (block.id, 345));
    assert_eq!(head.header, block.header);
    assert_eq!(head.dpos_irreversible_block_num, block.dpos_irreversible_blocknum);
    assert_eq!(Some(head.active_schedule), block.active_schedule_v2);
    assert_eq!(Some(head.blockroot_merkle), block.blockroot_merkle);
    let answers = recorded::json("small/answers.json.gz").unwrap();
    assert_eq!(accounts.len(), answers["account"].as_object().unwrap().len());
}

#[test]
fn the_integrity_hash_covers_all_rows() {
    let Some(bytes) = recorded::bytes(SMALL) else { return };
    let rows: Vec<u8> =
        sections(&bytes).iter().flat_map(|&(_, size, begin)| &bytes[begin..begin + size]).copied().collect();
    let mut snapshot = Snapshot::open_with_hash(&bytes[..]).unwrap();
    // Rows that are passed over count, too.
    for read in [true, false].into_iter().cycle() {
        if snapshot.next_section().unwrap().is_none() {
            break;
        }
        assert_eq!(snapshot.integrity_hash(), None);
        while read && snapshot.next_row().unwrap().is_some() {}
    }
    assert_eq!(snapshot.integrity_hash(), Some(Checksum256::sha256(&rows)));
}

/// Gives so many bytes at a time.
struct Drops<'a>(&'a [u8], usize);

impl Read for Drops<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = self.1.min(buffer.len());
        self.0.read(&mut buffer[..size])
    }
}

#[test]
fn rows_do_not_depend_on_how_the_bytes_arrive() {
    let Some(bytes) = recorded::bytes(SMALL) else { return };
    assert!(rows_of(Drops(&bytes, 1009)).unwrap() == rows_of(&bytes[..]).unwrap());
}

#[test]
fn what_is_no_whole_snapshot_is_refused_with_its_reason() {
    let Some(bytes) = recorded::bytes(SMALL) else { return };
    let error = |bytes: &[u8]| rows_of(bytes).unwrap_err();
    assert!(matches!(error(b""), Error::NotASnapshot { .. }));
    assert!(matches!(error(b"{\"magic_number\": 1}"), Error::NotASnapshot { .. }));
    let version = sections(&bytes)[0].2;
    for (number, software) in [(1, "EOSIO before 1.8"), (7, "Spring 1.0.0"), (9, "newer")] {
        let mut other = bytes.clone();
        other[version] = number;
        let message = error(&other).to_string();
        assert!(message.contains(&format!("version {number}")) && message.contains(software), "{message}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(error(&longer).to_string().contains("the file goes on"));
    let (begin, size, rows) = sections(&bytes)[3];
    let without = [&bytes[..begin], &bytes[rows + size..]].concat();
    assert!(error(&without).to_string().contains("account_metadata_object is missing"));
    let mut fewer = bytes.clone();
    let (accounts, ..) = sections(&bytes)[2];
    fewer[accounts + 8] -= 1;
    assert!(error(&fewer).to_string().contains("bytes are left after its last row"));
    fewer[accounts + 8] += 2;
    assert!(error(&fewer).to_string().contains("runs past the end of its section"));
    for end in (1..bytes.len()).step_by(9973) {
        assert!(rows_of(&bytes[..end]).is_err(), "{end}");
    }
}

#[test]
fn a_section_that_nobody_knows_is_passed_over() {
    let Some(bytes) = recorded::bytes(SMALL) else { return };
    let (begin, ..) = sections(&bytes)[3];
    let mut unknown = Vec::new();
    section(&mut unknown, "eosio::chain::new_object", 3, b"12345");
    let with = [&bytes[..begin], &unknown, &bytes[begin..]].concat();
    assert!(rows_of(&with[..]).unwrap() == rows_of(&bytes[..]).unwrap());
}

#[test]
fn damage_is_an_error_or_other_rows_and_never_a_panic() {
    let Some(whole) = recorded::bytes(SMALL) else { return };
    // Without the block summaries, which are most of the file and all alike.
    let mut bytes = whole[..8].to_vec();
    for (begin, size, rows) in sections(&whole) {
        match &whole[begin + 16..rows - 1] {
            name @ b"eosio::chain::block_summary_object" => {
                section(&mut bytes, std::str::from_utf8(name).unwrap(), 0, b"");
            }
            _ => bytes.extend(&whole[begin..rows + size]),
        }
    }
    bytes.extend(u64::MAX.to_le_bytes());
    assert!(rows_of(&bytes[..]).is_ok());
    let mut damaged = bytes.clone();
    for (begin, size, rows) in sections(&bytes) {
        // The first bytes of a section and some of its rows.
        for at in (begin..rows).chain((rows..rows + size).step_by(size / 7 + 1)) {
            for value in [0, 0x7f, 0xff] {
                damaged[at] = value;
                let _ = rows_of(&damaged[..]);
            }
            damaged[at] = bytes[at];
        }
    }
}

fn section(out: &mut Vec<u8>, name: &str, rows: u64, content: &[u8]) {
    out.extend((8 + name.len() as u64 + 1 + content.len() as u64).to_le_bytes());
    out.extend(rows.to_le_bytes());
    out.extend(name.as_bytes());
    out.push(0);
    out.extend(content);
}

/// The tables of a snapshot as version 8 writes them: `contract_tables` split by kind of row.
fn split(rows: &[(String, SnapshotRow)]) -> Vec<u8> {
    let (mut tables, mut kinds) = (Writer::new(), vec![(BTreeMap::<u64, (u32, Writer)>::new(), 0); 6]);
    let (mut count, mut last) = (0, Table::default());
    for (_, row) in rows {
        let (kind, writer) = match row {
            SnapshotRow::Table(table) => {
                for name in [table.code, table.scope, table.table, table.payer] {
                    tables.name(name);
                }
                tables.u32(table.rows.unwrap());
                (count, last) = (count + 1, *table);
                continue;
            }
            SnapshotRow::Contract(row) => {
                let mut writer = Writer::new();
                writer.u64(row.primary_key);
                writer.name(row.payer);
                writer.blob(&row.value);
                (0, writer)
            }
            SnapshotRow::Secondary(row) => {
                assert_eq!((row.code, row.scope, row.table), (last.code, last.scope, last.table));
                let mut writer = Writer::new();
                writer.u64(row.primary_key);
                writer.name(row.payer);
                let kind = match row.key {
                    SecondaryKey::U64(key) => (1, key.to_le_bytes().to_vec()),
                    SecondaryKey::U128(key) => (2, key.to_le_bytes().to_vec()),
                    SecondaryKey::U256([high, low]) => (3, [high.to_le_bytes(), low.to_le_bytes()].concat()),
                    SecondaryKey::Double(key) => (4, key.to_le_bytes().to_vec()),
                    SecondaryKey::LongDouble(key) => (5, key.to_le_bytes().to_vec()),
                };
                writer.take(&kind.1);
                (kind.0, writer)
            }
            _ => continue,
        };
        let (groups, rows) = &mut kinds[kind];
        let (of_table, bytes) = groups.entry(count - 1).or_default();
        *of_table += 1;
        *rows += 1;
        bytes.take(&writer.bytes);
    }
    let mut out = Vec::new();
    section(&mut out, "eosio::chain::table_id_object", count, &tables.bytes);
    for (name, (groups, rows)) in
        ["key_value", "index64", "index128", "index256", "index_double", "index_long_double"].iter().zip(kinds)
    {
        let mut content = Writer::new();
        for (table, (of_table, bytes)) in &groups {
            content.u64(*table);
            content.varuint32(*of_table);
            content.take(&bytes.bytes);
        }
        section(&mut out, &format!("eosio::chain::{name}_object"), rows + 2 * groups.len() as u64, &content.bytes);
    }
    out
}

/// The public sample of version 8 has no contract, hence its tables are replaced by those of another snapshot.
#[test]
fn version_8_has_the_same_tables_in_other_sections() {
    let (Some(small), Some(empty)) = (recorded::bytes(SMALL), recorded::bytes("snapshots/unit-test-v8.bin.zst")) else {
        return;
    };
    let rows = rows_of(&small[..]).unwrap();
    let mut file = empty[..8].to_vec();
    for (begin, size, rows_begin) in sections(&empty) {
        let name = String::from_utf8_lossy(&empty[begin + 16..rows_begin - 1]).into_owned();
        if name.ends_with("::table_id_object") {
            file.extend(split(&rows));
        } else if !name.contains("::key_value_object") && !name.contains("::index") {
            file.extend(&empty[begin..rows_begin + size]);
        }
    }
    file.extend(u64::MAX.to_le_bytes());
    let of_contracts = |rows: &[(String, SnapshotRow)]| {
        let contract = |row: &SnapshotRow| {
            matches!(row, SnapshotRow::Table(_) | SnapshotRow::Contract(_) | SnapshotRow::Secondary(_))
        };
        let mut shown: Vec<_> =
            rows.iter().map(|(_, row)| row).filter(|row| contract(row)).map(|row| format!("{row:?}")).collect();
        shown.sort();
        shown
    };
    let found = of_contracts(&rows_of(&file[..]).unwrap());
    assert_eq!(found.len(), 68 + 178 + 141);
    assert_eq!(found, of_contracts(&rows));
    // A row of a table that does not exist.
    let at = file.windows(22).position(|name| name == b"::key_value_object\0\0\0\0").map(|at| at + 19).unwrap();
    let mut wrong = file.clone();
    wrong[at + 2] = 1;
    assert!(rows_of(&wrong[..]).unwrap_err().to_string().contains("there is no table"));
}
