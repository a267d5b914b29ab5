use dfuse_kv::EntryBuffer;

use crate::Family;

/// Entries that an index makes of rows, by family.
#[derive(Debug, Default)]
pub struct LoadedEntries(Vec<(Family, EntryBuffer)>);

impl LoadedEntries {
    /// Puts an entry, key and value in parts. A key may be put again, also by other threads, if the index can
    /// [join](crate::Index::join_loaded) the values.
    pub fn put(&mut self, family: Family, key: &[&[u8]], value: &[&[u8]]) {
        let at = self.0.iter().position(|(known, _)| *known == family).unwrap_or_else(|| {
            self.0.push((family, EntryBuffer::default()));
            self.0.len() - 1
        });
        self.0[at].1.put(key, value);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.iter().map(|(_, entries)| entries.memory_bytes()).sum()
    }

    pub(super) fn into_families(self) -> impl Iterator<Item = (Family, EntryBuffer)> {
        self.0.into_iter()
    }
}
