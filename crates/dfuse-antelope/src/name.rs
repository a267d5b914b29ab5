use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Error, Result, error::shorten};

const ALPHABET: &[u8; 32] = b".12345abcdefghijklmnopqrstuvwxyz";
/// Marks a byte outside [`ALPHABET`].
const NONE: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut i = 0;
    while i < ALPHABET.len() {
        values[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    values
};

/// An account, permission, action, table or scope name: up to 13 characters of `.12345a-z` in 64 bits.
///
/// Twelve characters take five bits each from the top, the thirteenth the low four (so only `.`, `1`-`5`, `a`-`j`).
/// Every `u64` is a name; its text has no trailing dots.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub u64);

impl Name {
    /// The account of the chain itself, which has the system contract.
    pub const EOSIO: Self = Self::literal("eosio");

    /// A name known when compiling.
    ///
    /// # Panics
    /// When `text` is not a valid name; in a constant that fails the build.
    pub const fn literal(text: &str) -> Self {
        match Self::parse(text.as_bytes()) {
            Ok(name) => name,
            Err(_) => panic!("not a valid name"),
        }
    }

    /// Reads a name from text as the chain prints it. The error says what is wrong.
    #[inline]
    pub const fn parse(text: &[u8]) -> Result<Self, &'static str> {
        if text.len() > 13 {
            return Err("longer than 13 characters");
        }
        let mut value = 0u64;
        let mut i = 0;
        while i < text.len() {
            let digit = VALUES[text[i] as usize];
            if digit == NONE {
                return Err("characters are a-z, 1-5 and dots");
            }
            if i < 12 {
                value |= (digit as u64) << (59 - 5 * i);
            } else {
                if digit > 0x0f {
                    return Err("the 13th character is one of . 1-5 a-j");
                }
                value |= digit as u64;
            }
            i += 1;
        }
        Ok(Self(value))
    }

    /// The text in `buffer`, without trailing dots.
    #[inline]
    pub fn as_text(self, buffer: &mut [u8; 13]) -> &str {
        std::str::from_utf8(self.as_ascii(buffer)).expect("the alphabet is ASCII")
    }

    /// The bytes of the text in `buffer`, without trailing dots.
    #[inline]
    pub fn as_ascii(self, buffer: &mut [u8; 13]) -> &[u8] {
        let mut rest = self.0;
        let mut length = 0;
        for (i, slot) in buffer.iter_mut().enumerate() {
            if rest == 0 {
                break;
            }
            let digit = if i < 12 { rest >> 59 } else { rest >> 60 };
            *slot = ALPHABET[digit as usize & 0x1f];
            rest <<= 5;
            length = i + 1;
        }
        &buffer[..length]
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_text(&mut [0; 13]))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text.as_bytes()).map_err(|why| Error::invalid("name", format!("\"{}\": {why}", shorten(text))))
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_text(&mut [0; 13]))
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Name, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values() {
        for (text, value) in [
            ("", 0),
            ("eosio", 6138663577826885632),
            ("eosio.token", 6138663591592764928),
            ("transfer", 14829575313431724032),
            ("battlefield1", 4157834734461014544),
            ("a", 3458764513820540928),
            ("zzzzzzzzzzzzj", u64::MAX),
            ("......2ndx2k4", 1397703940),
        ] {
            assert_eq!(text.parse::<Name>().unwrap(), Name(value), "{text}");
            assert_eq!(Name(value).to_string(), text);
        }
    }

    #[test]
    fn invalid_text_is_named() {
        for (text, why) in [
            ("EOSIO", "characters are a-z, 1-5 and dots"),
            ("aaaaaaaaaaaaaa", "longer than 13 characters"),
            ("zzzzzzzzzzzzk", "the 13th character is one of . 1-5 a-j"),
            ("a b", "characters are"),
        ] {
            assert!(text.parse::<Name>().unwrap_err().to_string().contains(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_u64_round_trips(value: u64) {
            prop_assert_eq!(Name(value).to_string().parse::<Name>().unwrap(), Name(value));
        }
    }
}
