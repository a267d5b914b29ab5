use dfuse_antelope::Checksum256;
use dfuse_kv::KeyRange;

use crate::{Error, Result};

/// The beginning of a transaction id, or a whole one: 1 to 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPrefix(Vec<u8>);

impl IdPrefix {
    /// Reads 2 to 64 hex digits of either case, of an even number.
    pub fn from_hex(text: &str) -> Result<Self> {
        let invalid = |why| {
            let shown =
                text.char_indices().nth(80).map_or_else(|| text.to_owned(), |(at, _)| format!("{}...", &text[..at]));
            Error::InvalidPrefix { text: shown, why }
        };
        if text.is_empty() || text.len() > 64 {
            return Err(invalid("2 to 64 hex digits are wanted"));
        }
        if !text.len().is_multiple_of(2) {
            return Err(invalid("an even number of hex digits is wanted"));
        }
        let mut bytes = vec![0; text.len() / 2];
        // Into a slice: a prefix of "0x" is refused.
        match const_hex::decode_to_slice(text.as_bytes(), &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(invalid("not all are hex digits")),
        }
    }

    /// Whether the id begins so.
    pub fn matches(&self, id: Checksum256) -> bool {
        id.0.starts_with(&self.0)
    }

    pub(crate) fn keys(&self) -> KeyRange {
        KeyRange::prefix(self.0.clone())
    }

    /// The first id that can match.
    pub(crate) fn first(&self) -> Checksum256 {
        let mut id = Checksum256::default();
        id.0[..self.0.len()].copy_from_slice(&self.0);
        id
    }

    pub(crate) fn to_hex(&self) -> String {
        const_hex::encode(&self.0)
    }
}

impl From<Checksum256> for IdPrefix {
    fn from(id: Checksum256) -> Self {
        Self(id.0.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_numbers_of_digits() {
        let prefix = IdPrefix::from_hex("0aFF").unwrap();
        assert_eq!((prefix.to_hex().as_str(), prefix.first().0[..3].to_vec()), ("0aff", vec![0x0a, 0xff, 0]));
        assert!(prefix.matches(prefix.first()) && !prefix.matches(Checksum256::default()));
        for wrong in ["", "0", "abc", "0x", "0x12", "zz", &"00".repeat(33), &"é".repeat(9), "日本"] {
            assert!(matches!(IdPrefix::from_hex(wrong), Err(Error::InvalidPrefix { .. })), "{wrong}");
        }
        let id = Checksum256::sha256(b"id");
        assert_eq!(IdPrefix::from_hex(&id.to_string().to_uppercase()).unwrap(), id.into());
    }
}
