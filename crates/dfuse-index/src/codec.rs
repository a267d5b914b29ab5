//! How values are encoded: unsigned LEB128 numbers, big-endian keys, raw bytes.

use dfuse_antelope::{Checksum256, Name};

use crate::{Error, Family, Result};

/// Appends `value` as LEB128: seven bits a byte, the lowest first.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a value of a family apart; whatever does not fit is [`Error::Damaged`].
#[derive(Debug, Clone)]
pub struct ValueReader<'a> {
    family: Family,
    rest: &'a [u8],
}

impl<'a> ValueReader<'a> {
    /// Starts at the first byte.
    pub fn new(family: Family, value: &'a [u8]) -> Self {
        Self { family, rest: value }
    }

    /// An [`Error::Damaged`] of this family.
    pub fn damaged(&self, why: impl Into<String>) -> Error {
        Error::Damaged { family: self.family.name(), why: why.into() }
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.damaged("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N).map(|bytes| bytes.try_into().expect("as many bytes as were asked for"))
    }

    /// A LEB128 number of up to 64 bits.
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.damaged("a number over 64 bits"))
    }

    /// A LEB128 number of up to 32 bits.
    pub fn varint32(&mut self) -> Result<u32> {
        u32::try_from(self.varint()?).map_err(|_| self.damaged("a number over 32 bits"))
    }

    /// Four bytes, big endian.
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, big endian.
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A name as eight bytes, big endian.
    pub fn name(&mut self) -> Result<Name> {
        self.u64().map(Name)
    }

    /// 32 bytes.
    pub fn id(&mut self) -> Result<Checksum256> {
        self.array().map(dfuse_antelope::Checksum)
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Fails unless everything was read.
    pub fn finish(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.damaged(format!("{} bytes left over", self.rest.len()))) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAMILY: Family = Family::new("family");

    proptest! {
        #[test]
        fn varints_round_trip(value: u64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut reader = ValueReader::new(FAMILY, &bytes);
            prop_assert_eq!(reader.varint().unwrap(), value);
            reader.finish().unwrap();
            prop_assert!(ValueReader::new(FAMILY, &bytes[..bytes.len() - 1]).varint().is_err());
        }
    }

    #[test]
    fn overlong_numbers_are_damage() {
        assert!(ValueReader::new(FAMILY, &[0xff; 11]).varint().is_err());
        assert!(ValueReader::new(FAMILY, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).varint().is_err());
        assert!(ValueReader::new(FAMILY, &[0xff, 0xff, 0xff, 0xff, 0x1f]).varint32().is_err());
        assert!(ValueReader::new(FAMILY, &[1, 2]).finish().is_err());
    }
}
