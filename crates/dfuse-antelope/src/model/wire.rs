//! Protobuf wire format, written back to front.
//!
//! A length stands before the message that it measures. Writing from the end to the start, the length is known when it
//! is due, so that a tree of messages is encoded in one pass without measuring any of it first.

use std::ops::Range;

use bytes::Bytes;

use crate::{Error, Result};

/// Deepest nesting of messages that is read; blocks need 8, protobuf libraries allow 100.
const MAX_DEPTH: u8 = 32;

/// How a field's value is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireType {
    /// LEB128, up to 64 bits.
    Varint,
    /// Eight bytes.
    Fixed64,
    /// A length, then that many bytes.
    Delimited,
    /// Four bytes.
    Fixed32,
}

impl WireType {
    fn code(self) -> u64 {
        match self {
            Self::Varint => 0,
            Self::Fixed64 => 1,
            Self::Delimited => 2,
            Self::Fixed32 => 5,
        }
    }
}

/// Collects bytes from the last to the first. The vector is reused from message to message.
#[derive(Debug, Default)]
pub struct ReverseWriter {
    /// What was written so far is `buffer[start..]`.
    buffer: Vec<u8>,
    start: usize,
}

impl ReverseWriter {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes written so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// True before the first byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes written so far, in reading order.
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Forgets what was written and keeps the memory.
    pub fn clear(&mut self) {
        self.start = self.buffer.len();
    }

    #[cold]
    fn grow(&mut self, count: usize) {
        let written = self.len();
        let capacity = (written + count).next_power_of_two().max(4096);
        let mut buffer = vec![0; capacity];
        buffer[capacity - written..].copy_from_slice(self.as_slice());
        self.start = capacity - written;
        self.buffer = buffer;
    }

    /// Room for `count` bytes in front of what was written.
    #[inline]
    pub fn slot(&mut self, count: usize) -> &mut [u8] {
        if self.start < count {
            self.grow(count);
        }
        self.start -= count;
        &mut self.buffer[self.start..self.start + count]
    }

    /// Puts `bytes` in front of what was written.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.slot(bytes.len()).copy_from_slice(bytes);
    }

    /// Puts a varint in front of what was written.
    #[inline]
    pub fn varint(&mut self, mut value: u64) {
        if value < 0x80 {
            self.slot(1)[0] = value as u8;
            return;
        }
        let length = (70 - (value | 1).leading_zeros() as usize) / 7;
        let slot = self.slot(length);
        for byte in &mut slot[..length - 1] {
            *byte = value as u8 | 0x80;
            value >>= 7;
        }
        slot[length - 1] = value as u8;
    }

    /// Puts a field's number and type in front of its value.
    #[inline]
    pub fn key(&mut self, tag: u32, wire_type: WireType) {
        self.varint(u64::from(tag) << 3 | wire_type.code());
    }

    /// A length-delimited field: `content` writes its value.
    #[inline]
    pub fn delimited(&mut self, tag: u32, content: impl FnOnce(&mut Self)) {
        let before = self.len();
        content(self);
        self.varint((self.len() - before) as u64);
        self.key(tag, WireType::Delimited);
    }
}

/// Reads the fields of one message; nested byte fields share the memory of `data`.
#[derive(Debug)]
pub struct Reader<'a> {
    data: &'a Bytes,
    position: usize,
    end: usize,
    depth: u8,
}

impl<'a> Reader<'a> {
    /// Reads `data` as one message.
    pub fn new(data: &'a Bytes) -> Self {
        Self { data, position: 0, end: data.len(), depth: 0 }
    }

    fn truncated(&self, wanted: usize) -> Error {
        let left = self.end - self.position;
        Error::Truncated { what: "protobuf message", offset: self.position, wanted: wanted - left, left }
    }

    /// True after the last field.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.position == self.end
    }

    /// A varint of at most ten bytes.
    #[inline]
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for (i, &byte) in self.data[self.position..self.end].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                if i == 9 && byte > 1 {
                    break;
                }
                self.position += i + 1;
                return Ok(value);
            }
        }
        if self.end - self.position < 10 {
            return Err(self.truncated(self.end - self.position + 1));
        }
        Err(Error::invalid("protobuf message", format!("varint over 64 bits at byte {}", self.position)))
    }

    /// The next field's number and type.
    #[inline]
    pub fn key(&mut self) -> Result<(u32, WireType)> {
        let at = self.position;
        let key = self.varint()?;
        let wire_type = match key & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Delimited,
            5 => WireType::Fixed32,
            other => return Err(Error::invalid("protobuf message", format!("wire type {other} at byte {at}"))),
        };
        match u32::try_from(key >> 3) {
            Ok(tag) if tag != 0 => Ok((tag, wire_type)),
            _ => Err(Error::invalid("protobuf message", format!("field number {} at byte {at}", key >> 3))),
        }
    }

    #[inline]
    fn skip_bytes(&mut self, count: usize) -> Result<usize> {
        if count > self.end - self.position {
            return Err(self.truncated(count));
        }
        let start = self.position;
        self.position += count;
        Ok(start)
    }

    #[inline]
    fn length(&mut self) -> Result<usize> {
        let length = self.varint()?;
        usize::try_from(length).map_err(|_| Error::invalid("protobuf message", format!("length {length}")))
    }

    /// A length-delimited value, borrowed.
    #[inline]
    pub fn delimited(&mut self) -> Result<&'a [u8]> {
        let length = self.length()?;
        let start = self.skip_bytes(length)?;
        Ok(&self.data[start..self.position])
    }

    /// A length-delimited value that shares the memory of the whole.
    #[inline]
    pub fn shared(&mut self) -> Result<Bytes> {
        let length = self.length()?;
        let start = self.skip_bytes(length)?;
        Ok(self.data.slice(start..self.position))
    }

    /// Where a length-delimited value is in the bytes that are read.
    #[inline]
    pub fn place(&mut self) -> Result<Range<usize>> {
        let length = self.length()?;
        let start = self.skip_bytes(length)?;
        Ok(start..self.position)
    }

    /// A length-delimited value that holds fields or packed numbers of its own.
    #[inline]
    pub fn nested(&mut self) -> Result<Self> {
        if self.depth == MAX_DEPTH {
            return Err(Error::Limit { what: "nesting of protobuf messages", limit: MAX_DEPTH.into() });
        }
        let length = self.length()?;
        let start = self.skip_bytes(length)?;
        Ok(Self { data: self.data, position: start, end: self.position, depth: self.depth + 1 })
    }

    /// Passes over a field that the schema does not know.
    pub fn skip(&mut self, wire_type: WireType) -> Result<()> {
        match wire_type {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.skip_bytes(8).map(drop),
            WireType::Delimited => self.delimited().map(drop),
            WireType::Fixed32 => self.skip_bytes(4).map(drop),
        }
    }

    /// Fails unless the field at hand has the wire type that its schema wants.
    #[inline]
    pub fn expect(&self, found: WireType, wanted: WireType) -> Result<()> {
        if found == wanted {
            return Ok(());
        }
        Err(Error::invalid(
            "protobuf message",
            format!("{found:?} where {wanted:?} is due before byte {}", self.position),
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_round_trip(values: Vec<u64>) {
            let mut writer = ReverseWriter::new();
            for value in values.iter().rev() {
                writer.varint(*value);
            }
            let bytes = Bytes::copy_from_slice(writer.as_slice());
            let mut reader = Reader::new(&bytes);
            for value in values {
                prop_assert_eq!(reader.varint().unwrap(), value);
            }
            prop_assert!(reader.is_empty());
        }
    }

    #[test]
    fn overlong_and_torn_varints_are_errors() {
        let overlong = Bytes::from(vec![0xff; 11]);
        assert!(matches!(Reader::new(&overlong).varint(), Err(Error::Invalid { .. })));
        let over_64_bits = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]);
        assert!(matches!(Reader::new(&over_64_bits).varint(), Err(Error::Invalid { .. })));
        let torn = Bytes::from(vec![0x80; 3]);
        assert!(matches!(Reader::new(&torn).varint(), Err(Error::Truncated { wanted: 1, .. })));
        let long = Bytes::from_static(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        let mut reader = Reader::new(&long);
        reader.key().unwrap();
        assert!(matches!(reader.delimited(), Err(Error::Truncated { .. })));
    }
}
