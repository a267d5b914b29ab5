use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use crate::{Error, Result, error::shorten};

/// A digest of `N` bytes, shown as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksum<const N: usize>(pub [u8; N]);

/// RIPEMD-160.
pub type Checksum160 = Checksum<20>;
/// SHA-256: block ids, transaction ids, digests.
pub type Checksum256 = Checksum<32>;
/// SHA-512.
pub type Checksum512 = Checksum<64>;

impl Checksum256 {
    /// SHA-256 of `data`.
    pub fn sha256(data: &[u8]) -> Self {
        Self(Sha256::digest(data).into())
    }

    /// The block number in the first four bytes (big endian) if this is a block id.
    pub fn block_num(&self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }
}

impl<const N: usize> Default for Checksum<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> fmt::Display for Checksum<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&const_hex::encode(self.0))
    }
}

impl<const N: usize> fmt::Debug for Checksum<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> FromStr for Checksum<N> {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::from_hex(text.as_bytes())
    }
}

impl<const N: usize> Checksum<N> {
    /// Reads exactly `2 * N` hex digits of either case, without prefix.
    pub fn from_hex(hex: &[u8]) -> Result<Self> {
        let mut bytes = [0; N];
        if hex.len() != 2 * N || const_hex::decode_to_slice(hex, &mut bytes).is_err() {
            let shown = shorten(&String::from_utf8_lossy(hex));
            return Err(Error::invalid("checksum", format!("{} hex digits wanted, not \"{shown}\"", 2 * N)));
        }
        Ok(Self(bytes))
    }
}

impl<const N: usize> Serialize for Checksum<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Checksum<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_id_carries_its_number() {
        let id: Checksum256 = "0000000267f3e2284b482f3afc2e724be1d6cbc1804532ec62d4e7af47c30693".parse().unwrap();
        assert_eq!(id.block_num(), 2);
        assert_eq!(id.to_string(), "0000000267f3e2284b482f3afc2e724be1d6cbc1804532ec62d4e7af47c30693");
    }

    #[test]
    fn wrong_length_or_digit_is_an_error() {
        assert!("00".parse::<Checksum256>().is_err());
        assert!("zz".repeat(32).parse::<Checksum256>().is_err());
        assert!("0x".to_owned().parse::<Checksum160>().is_err());
        assert!(("0x".to_owned() + &"00".repeat(31)).parse::<Checksum256>().is_err());
    }
}
