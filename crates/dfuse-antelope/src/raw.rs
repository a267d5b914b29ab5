//! The chain's binary encoding (`fc::raw`): little-endian integers, LEB128 lengths, no padding, no tags.

use bytes::Bytes;

use crate::{Checksum, Checksum256, Error, Name, Result};

/// Most items that a list may announce, as in nodeos (`MAX_NUM_ARRAY_ELEMENTS`).
pub const MAX_ITEMS: usize = 1024 * 1024;
/// Most bytes that a string or byte array may announce, as in nodeos (`MAX_SIZE_OF_BYTE_ARRAYS`).
pub const MAX_BYTES: usize = 20 * 1024 * 1024;

/// Reads values from the front of a byte slice; strings and byte arrays are borrowed from it.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    data: &'a [u8],
    position: usize,
    /// What `data` is all of, where byte arrays are to share its memory.
    shared: Option<&'a Bytes>,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `data`.
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, position: 0, shared: None }
    }

    /// Starts at the first byte of `data`; what [`Reader::bytes`] returns shares its memory.
    pub fn sharing(data: &'a Bytes) -> Self {
        Self { data, position: 0, shared: Some(data) }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The bytes not read yet.
    pub fn remaining(&self) -> &'a [u8] {
        &self.data[self.position..]
    }

    /// True when every byte has been read.
    pub fn is_empty(&self) -> bool {
        self.position == self.data.len()
    }

    /// Fails unless every byte has been read.
    pub fn finish(&self, what: &'static str) -> Result<()> {
        match self.data.len() - self.position {
            0 => Ok(()),
            left => Err(Error::invalid(what, format!("{left} bytes left over after byte {}", self.position))),
        }
    }

    /// The next `count` bytes.
    #[inline]
    pub fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8]> {
        let rest = &self.data[self.position..];
        match rest.get(..count) {
            Some(bytes) => {
                self.position += count;
                Ok(bytes)
            }
            None => Err(Error::Truncated { what, offset: self.position, wanted: count - rest.len(), left: rest.len() }),
        }
    }

    /// The next `N` bytes as an array.
    #[inline]
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>("uint8")?[0])
    }

    /// Two bytes, little endian.
    #[inline]
    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array("uint16")?))
    }

    /// Four bytes, little endian.
    #[inline]
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array("uint32")?))
    }

    /// Eight bytes, little endian.
    #[inline]
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array("uint64")?))
    }

    /// Eight bytes, little endian, two's complement.
    #[inline]
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array("int64")?))
    }

    /// One byte, 0 or 1; anything else is an error, as in nodeos.
    #[inline]
    pub fn bool(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Error::invalid("bool", format!("byte {other} is neither 0 nor 1"))),
        }
    }

    /// LEB128, at most five bytes and 32 bits.
    #[inline]
    pub fn varuint32(&mut self) -> Result<u32> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u32::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in [7, 14, 21, 28] {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value)
                    .map_err(|_| Error::invalid("varuint32", format!("{value} does not fit in 32 bits")));
            }
        }
        Err(Error::invalid("varuint32", "more than five bytes"))
    }

    /// A length in front of `what`: a count of items, bounded by [`MAX_ITEMS`] and by the bytes that are left, of which
    /// each item takes at least `item_size`. Whoever reserves memory for the items can trust it.
    #[inline]
    pub fn count(&mut self, item_size: usize, what: &'static str) -> Result<usize> {
        let count = self.varuint32()? as usize;
        if count > MAX_ITEMS {
            return Err(Error::Limit { what, limit: MAX_ITEMS });
        }
        let left = self.data.len() - self.position;
        if count * item_size > left {
            return Err(Error::Truncated { what, offset: self.position, wanted: count * item_size - left, left });
        }
        Ok(count)
    }

    /// A list: its count, then the items, read by `item`. `item_size` is the least bytes that one takes.
    #[inline]
    pub fn list<T>(
        &mut self,
        item_size: usize,
        what: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.count(item_size, what)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// An optional value: a bool, then the value if true.
    #[inline]
    pub fn option<T>(&mut self, value: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.bool()? { value(self).map(Some) } else { Ok(None) }
    }

    /// A byte array: its length, then its bytes.
    #[inline]
    pub fn blob(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let length = self.varuint32()? as usize;
        if length > MAX_BYTES {
            return Err(Error::Limit { what, limit: MAX_BYTES });
        }
        self.take(length, what)
    }

    /// A byte array that outlives the reader: shared if the reader was made by [`Reader::sharing`], else a copy.
    #[inline]
    pub fn bytes(&mut self, what: &'static str) -> Result<Bytes> {
        let bytes = self.blob(what)?;
        Ok(match self.shared {
            _ if bytes.is_empty() => Bytes::new(),
            Some(shared) => shared.slice(self.position - bytes.len()..self.position),
            None => Bytes::copy_from_slice(bytes),
        })
    }

    /// A string, with invalid UTF-8 replaced by U+FFFD.
    pub fn string(&mut self, what: &'static str) -> Result<String> {
        Ok(String::from_utf8_lossy(self.blob(what)?).into_owned())
    }

    /// An account, action, table or permission name.
    #[inline]
    pub fn name(&mut self) -> Result<Name> {
        Ok(Name(u64::from_le_bytes(self.array("name")?)))
    }

    /// 32 bytes: a block id, transaction id or digest.
    #[inline]
    pub fn checksum256(&mut self) -> Result<Checksum256> {
        Ok(Checksum(self.array("checksum256")?))
    }
}

/// Writes values to the end of a byte vector: the inverse of [`Reader`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writer {
    /// What was written so far.
    pub bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes as they are.
    pub fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes, little endian.
    pub fn u16(&mut self, value: u16) {
        self.take(&value.to_le_bytes());
    }

    /// Four bytes, little endian.
    pub fn u32(&mut self, value: u32) {
        self.take(&value.to_le_bytes());
    }

    /// Eight bytes, little endian.
    pub fn u64(&mut self, value: u64) {
        self.take(&value.to_le_bytes());
    }

    /// Eight bytes, little endian, two's complement.
    pub fn i64(&mut self, value: i64) {
        self.take(&value.to_le_bytes());
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// LEB128.
    pub fn varuint32(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.u8((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    /// The count of a list or the length of a byte array.
    ///
    /// # Panics
    /// Never for what this process can hold within the limits of [`Reader`]: the length must fit in 32 bits.
    pub fn count(&mut self, count: usize) {
        self.varuint32(u32::try_from(count).expect("lists and byte arrays are far below 4 GiB"));
    }

    /// A list: its count, then the items.
    pub fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.count(items.len());
        for value in items {
            item(self, value);
        }
    }

    /// An optional value: a bool, then the value if there is one.
    pub fn option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// A byte array or string: its length, then its bytes.
    pub fn blob(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.take(bytes);
    }

    /// An account, action, table or permission name.
    pub fn name(&mut self, name: Name) {
        self.u64(name.0);
    }

    /// 32 bytes.
    pub fn checksum256(&mut self, checksum: &Checksum256) {
        self.take(&checksum.0);
    }
}
