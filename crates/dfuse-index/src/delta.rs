use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use crate::Family;

/// A key and what it is set to; nothing for a deletion.
pub type Write = (Bytes, Option<Bytes>);

/// What one entry of an overlay takes in memory beside its bytes, about; measured by `benches/reversible.rs`.
const ENTRY_OVERHEAD: usize = 220;

/// What an index writes for one block: by family, in the order of keys, each key once. Cloning is cheap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta(Arc<[(Family, Box<[Write]>)]>);

impl Delta {
    /// Families in the order of their names, with their writes in the order of keys.
    pub fn families(&self) -> impl Iterator<Item = (Family, &[Write])> {
        self.0.iter().map(|(family, writes)| (*family, &**writes))
    }

    /// Whether it writes nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of writes.
    pub fn len(&self) -> usize {
        self.0.iter().map(|(_, writes)| writes.len()).sum()
    }

    /// Bytes of all keys and values.
    pub fn payload_bytes(&self) -> usize {
        let writes = self.0.iter().flat_map(|(_, writes)| writes);
        writes.map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum()
    }

    /// Memory that an overlay of it takes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.payload_bytes() + self.len() * ENTRY_OVERHEAD
    }
}

/// Collects writes in any order. Of several to one key the last counts.
#[derive(Debug, Default)]
pub struct DeltaBuilder {
    /// All keys and values, one after the other: the delta shares this one piece of memory.
    bytes: Vec<u8>,
    writes: Vec<(Family, Range<usize>, Option<Range<usize>>)>,
}

impl DeltaBuilder {
    /// Without writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, family: Family, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let key = self.keep(key.as_ref());
        let value = self.keep(value.as_ref());
        self.writes.push((family, key, Some(value)));
    }

    /// Removes `key`.
    pub fn delete(&mut self, family: Family, key: impl AsRef<[u8]>) {
        let key = self.keep(key.as_ref());
        self.writes.push((family, key, None));
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// The delta.
    pub fn build(self) -> Delta {
        let Self { mut bytes, mut writes } = self;
        bytes.shrink_to_fit();
        let bytes = Bytes::from(bytes);
        // Stable: the last write to a key stays the last.
        writes.sort_by(|(family, key, _), (other, other_key, _)| {
            family.cmp(other).then_with(|| bytes[key.clone()].cmp(&bytes[other_key.clone()]))
        });
        let mut families: Vec<(Family, Vec<Write>)> = Vec::new();
        for (family, key, value) in writes {
            if families.last().is_none_or(|(last, _)| *last != family) {
                families.push((family, Vec::new()));
            }
            let Some((_, writes)) = families.last_mut() else { continue };
            let key = bytes.slice(key);
            writes.pop_if(|(last, _)| *last == key);
            writes.push((key, value.map(|value| bytes.slice(value))));
        }
        Delta(families.into_iter().map(|(family, writes)| (family, writes.into_boxed_slice())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_each_key_once() {
        let (a, b) = (Family::new("a"), Family::new("b"));
        let mut builder = DeltaBuilder::new();
        builder.put(b, "y", "1");
        builder.put(a, "z", "2");
        builder.put(b, "x", "3");
        builder.delete(b, "y");
        builder.put(a, "k", "");
        let delta = builder.build();
        let families: Vec<_> = delta.families().collect();
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        let expected_a = [(bytes("k"), Some(Bytes::new())), (bytes("z"), Some(bytes("2")))];
        let expected_b = [(bytes("x"), Some(bytes("3"))), (bytes("y"), None)];
        assert_eq!(families, [(a, &expected_a[..]), (b, &expected_b[..])]);
        assert_eq!((delta.len(), delta.payload_bytes()), (4, 6));
        assert!(DeltaBuilder::new().build().is_empty());
    }
}
