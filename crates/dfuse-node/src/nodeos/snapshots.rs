//! A node's snapshots, and what its state can be made from.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use dfuse_antelope::Checksum256;

/// A snapshot of a node's state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SnapshotFile {
    /// Number of the block after which it was made.
    pub(crate) number: u32,
    pub(crate) path: PathBuf,
}

/// The snapshots of a directory, by number. Unfinished ones have other names.
pub(crate) fn list(folder: &Path) -> Vec<SnapshotFile> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let snapshot = |path: PathBuf| Some(SnapshotFile { number: snapshot_block(&path)?, path });
    let mut snapshots: Vec<_> = entries.flatten().filter_map(|entry| snapshot(entry.path())).collect();
    snapshots.sort();
    snapshots
}

/// Number of the block after which a snapshot was made, if the file has the name that nodeos gave it: `snapshot-ID.bin`.
pub fn snapshot_block(path: &Path) -> Option<u32> {
    let id = path.file_name()?.to_str()?.strip_prefix("snapshot-")?.strip_suffix(".bin")?;
    Some(id.parse::<Checksum256>().ok()?.block_num())
}

/// Removes all but the newest `keep` snapshots; tells how many.
pub(crate) fn prune(folder: &Path, keep: usize) -> io::Result<usize> {
    let snapshots = list(folder);
    let old = snapshots.len().saturating_sub(keep);
    for snapshot in &snapshots[..old] {
        fs::remove_file(&snapshot.path)?;
    }
    Ok(old)
}

/// Number of the first block in a node's `blocks.log`, if it has one. The file begins with its version, and from version 2
/// on with this number, both 4 bytes, little-endian.
pub(crate) fn first_logged_block(blocks: &Path) -> Option<u32> {
    let mut head = [0; 8];
    File::open(blocks.join("blocks.log")).ok()?.read_exact(&mut head).ok()?;
    let [a, b, c, d, e, f, g, h] = head;
    let version = u32::from_le_bytes([a, b, c, d]);
    Some(if version < 2 { 1 } else { u32::from_le_bytes([e, f, g, h]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_found_and_pruned() {
        let folder = tempfile::tempdir().unwrap();
        let name = |number: u32| format!("snapshot-{number:08x}{}.bin", "0".repeat(56));
        for number in [300_u32, 5, 70] {
            fs::write(folder.path().join(name(number)), "").unwrap();
        }
        fs::write(folder.path().join(format!(".pending-{}", name(900))), "").unwrap();
        fs::write(folder.path().join("snapshot-1.bin"), "").unwrap();
        let numbers = || list(folder.path()).iter().map(|snapshot| snapshot.number).collect::<Vec<_>>();
        assert_eq!(numbers(), [5, 70, 300]);
        assert_eq!(prune(folder.path(), 2).unwrap(), 1);
        assert_eq!(numbers(), [70, 300]);
        assert!(list(&folder.path().join("none")).is_empty());
    }

    #[test]
    fn the_first_block_of_a_log() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(first_logged_block(folder.path()), None);
        let write = |bytes: &[u8]| {
            fs::write(folder.path().join("blocks.log"), bytes).unwrap();
            first_logged_block(folder.path())
        };
        assert_eq!(write(&[3, 0, 0, 0, 7, 1, 0, 0, 9]), Some(263));
        assert_eq!(write(&[1, 0, 0, 0, 7, 1, 0, 0, 9]), Some(1));
        assert_eq!(write(&[3, 0]), None);
    }
}
