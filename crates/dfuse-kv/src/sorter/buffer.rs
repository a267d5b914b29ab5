/// Where an entry is among the bytes of its buffer: its key, and behind that its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    start: u32,
    key: u16,
    value: u32,
}

impl Place {
    pub(super) fn key(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..][..self.key.into()]
    }

    /// Ranges of the key and the value.
    pub(super) fn ranges(self) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let start = self.start as usize;
        let middle = start + usize::from(self.key);
        (start..middle, middle..middle + self.value as usize)
    }
}

/// Entries in the order in which they were put, some megabytes of them.
#[derive(Debug, Default)]
pub struct EntryBuffer {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

impl EntryBuffer {
    /// Most bytes of a buffer, so that places fit into 32 bits; hand it to a sorter long before.
    pub const MAX_BYTES: usize = u32::MAX as usize;

    /// Puts an entry whose key and value are given in parts.
    ///
    /// # Panics
    /// If a key has more than [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES), or all entries more than [`EntryBuffer::MAX_BYTES`].
    pub fn put(&mut self, key: &[&[u8]], value: &[&[u8]]) {
        let start = self.bytes.len();
        key.iter().for_each(|part| self.bytes.extend_from_slice(part));
        let middle = self.bytes.len();
        value.iter().for_each(|part| self.bytes.extend_from_slice(part));
        let end = self.bytes.len();
        assert!(end <= Self::MAX_BYTES, "a buffer of more than {} bytes", Self::MAX_BYTES);
        let key = u16::try_from(middle - start).expect("keys have at most 65535 bytes");
        // Both fit, as the end does.
        self.places.push(Place { start: start as u32, key, value: (end - middle) as u32 });
    }

    /// Whether nothing was put.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Memory that it takes, about.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<Place>()
    }

    /// The bytes, and places in the order of their keys.
    pub(super) fn sorted(self) -> (Vec<u8>, Vec<Place>) {
        let Self { bytes, mut places } = self;
        // Stable, and fast on what is sorted in parts.
        places.sort_by(|a, b| a.key(&bytes).cmp(b.key(&bytes)));
        (bytes, places)
    }
}
