use dfuse_ship::{Snapshot, SnapshotRow};

/// A portable snapshot, uncompressed: it is read row by row. Whether rows are read or passed over, its end is where the file ends.
pub fn snapshot(data: &[u8]) {
    let read = read(data, |_| true);
    assert!(read.is_none_or(|end| end == data.len() as u64), "a snapshot that can be read ends with its file");
    // What can be read can be passed over.
    let passed = self::read(data, |_| false);
    assert!(read.is_none() || passed == read, "rows that are passed over take their place");
}

/// Reads sections of which `wanted` says so by number. Gives the bytes that were read, unless there was an error.
fn read(data: &[u8], wanted: impl Fn(usize) -> bool) -> Option<u64> {
    let mut snapshot = Snapshot::open_with_hash(data).ok()?;
    let mut number = 0;
    while snapshot.next_section().ok()?.is_some() {
        while wanted(number) {
            match snapshot.next_row().ok()? {
                Some(SnapshotRow::Head(head)) => assert_eq!(head.block_num(), head.id().block_num()),
                Some(_) => {}
                None => break,
            }
        }
        number += 1;
    }
    assert!(snapshot.integrity_hash().is_some(), "a snapshot that was read to its end has its hash");
    Some(snapshot.offset())
}
