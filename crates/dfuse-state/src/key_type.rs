//! Primary keys and scopes as text.

use std::fmt;

use dfuse_antelope::{Name, Symbol, SymbolCode};

/// How primary keys are written as text. What [`KeyType::format`] gives, [`KeyType::parse`] reads back.
///
/// | | text of a key | also read |
/// |---|---|---|
/// | `name` | name; empty for 0 | symbols (`4,EOS`) and symbol codes (`EOS`), which no name looks like |
/// | `uint64` | decimal | |
/// | `symbol` | `4,EOS`; name if it is no symbol | |
/// | `symbol_code` | `EOS`; name if it is no symbol code | |
/// | `hex` | 16 digits, the lowest byte first | capital digits |
/// | `hex_be` | 16 digits, the highest byte first | capital digits, less of them |
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyType {
    /// `name`
    #[default]
    Name,
    /// `uint64`
    Uint64,
    /// `symbol`
    Symbol,
    /// `symbol_code`
    SymbolCode,
    /// `hex`
    Hex,
    /// `hex_be`
    HexBe,
}

/// The text is not of that kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not {expected}")]
pub struct InvalidKey {
    /// The text, shortened.
    pub text: String,
    /// What was expected.
    pub expected: &'static str,
}

impl KeyType {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Name, Self::Uint64, Self::Symbol, Self::SymbolCode, Self::Hex, Self::HexBe];

    /// What they are called in the API, in the same order.
    pub const NAMES: [&'static str; 6] = [
        Self::Name.as_str(),
        Self::Uint64.as_str(),
        Self::Symbol.as_str(),
        Self::SymbolCode.as_str(),
        Self::Hex.as_str(),
        Self::HexBe.as_str(),
    ];

    /// As the API's parameter has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Uint64 => "uint64",
            Self::Symbol => "symbol",
            Self::SymbolCode => "symbol_code",
            Self::Hex => "hex",
            Self::HexBe => "hex_be",
        }
    }

    /// The inverse of [`KeyType::as_str`].
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The text of a key.
    pub fn format(self, key: u64) -> String {
        let (symbol, code) = (Symbol(key), SymbolCode(key));
        match self {
            Self::Uint64 => key.to_string(),
            Self::Symbol if symbol.precision() < 100 && symbol.code().is_valid() => symbol.to_string(),
            Self::SymbolCode if code.is_valid() => code.to_string(),
            Self::Name | Self::Symbol | Self::SymbolCode => Name(key).to_string(),
            Self::Hex => const_hex::encode(key.to_le_bytes()),
            Self::HexBe => const_hex::encode(key.to_be_bytes()),
        }
    }

    /// The key with that text.
    pub fn parse(self, text: &str) -> Result<u64, InvalidKey> {
        let (key, expected) = match self {
            Self::Name => (extended_name(text), "a name, a symbol such as 4,EOS or a symbol code such as EOS"),
            Self::Uint64 => (digits(text), "a decimal number below 2^64"),
            Self::Symbol => (symbol(text).or_else(|| name(text)), "a symbol such as 4,EOS"),
            Self::SymbolCode => {
                (symbol_code(text).or_else(|| name(text)), "a symbol code, one to seven capital letters")
            }
            Self::Hex => (hex(text).filter(|_| text.len() == 16).map(u64::swap_bytes), "16 hexadecimal digits"),
            Self::HexBe => (hex(text), "a hexadecimal number of up to 16 digits"),
        };
        key.ok_or_else(|| InvalidKey { text: text.chars().take(64).collect(), expected })
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

fn extended_name(text: &str) -> Option<u64> {
    symbol(text).or_else(|| symbol_code(text)).or_else(|| name(text))
}

fn name(text: &str) -> Option<u64> {
    text.parse::<Name>().ok().map(|name| name.0)
}

fn symbol_code(text: &str) -> Option<u64> {
    text.parse::<SymbolCode>().ok().map(|code| code.0)
}

/// One or two digits, whatever the chain makes of that many decimals, a comma and a code.
fn symbol(text: &str) -> Option<u64> {
    let (precision, code) = text.split_once(',')?;
    let precision = digits(precision).filter(|_| precision.len() <= 2)?;
    Some(Symbol::new(u8::try_from(precision).ok()?, SymbolCode(symbol_code(code)?)).0)
}

/// Digits only: no sign.
fn digits(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_hexdigit()) && text.len() <= 16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_keys() {
        // What is no symbol or symbol code has the text of a name.
        let none = None;
        for (key, name, symbol, code, hex, hex_be) in [
            (6_138_406_292_105_986_048, "eos", none, none, "0000000000003055", "5530000000000000"),
            (5_459_781, "........ehbo5", Some("69,OS"), Some("EOS"), "454f530000000000", "0000000000534f45"),
            (4_542_291, "........cpbp3", Some("83,OE"), Some("SOE"), "534f450000000000", "0000000000454f53"),
            (1_397_703_940, "......2ndx2k4", Some("4,EOS"), none, "04454f5300000000", "00000000534f4504"),
            (1, "............1", none, none, "0100000000000000", "0000000000000001"),
            (0, "", none, none, "0000000000000000", "0000000000000000"),
            (u64::MAX, "zzzzzzzzzzzzj", none, none, "ffffffffffffffff", "ffffffffffffffff"),
            (0x9078_5634_12ef_cdab, "m1w5gh.mxzauf", none, none, "abcdef1234567890", "9078563412efcdab"),
        ] {
            let texts = [name, &key.to_string(), symbol.unwrap_or(name), code.unwrap_or(name), hex, hex_be];
            for (kind, text) in KeyType::ALL.into_iter().zip(texts) {
                assert_eq!(kind.format(key), text, "{kind}");
                assert_eq!(kind.parse(text), Ok(key), "{kind} {text}");
            }
        }
        for (kind, text, key) in [
            (KeyType::Name, "EOS", 5_459_781),
            (KeyType::Name, "4,EOS", 1_397_703_940),
            (KeyType::Symbol, "04,EOS", 1_397_703_940),
            (KeyType::HexBe, "1", 1),
            (KeyType::Hex, "ABCDEF1234567890", 0x9078_5634_12ef_cdab),
        ] {
            assert_eq!(kind.parse(text), Ok(key), "{kind} {text}");
        }
    }

    #[test]
    fn what_is_no_key() {
        for (kind, texts) in [
            (KeyType::Name, &["0", "EOSEOSEO", "a b", "zzzzzzzzzzzzz", "aaaaaaaaaaaaaa", "4,eos", ",", "100,EOS"][..]),
            (KeyType::Uint64, &["", "abc", "-1", "+1", "18446744073709551616", "1.0"]),
            (KeyType::Symbol, &["4,EOSEOSEO", "EOS", "100,EOS", "+4,EOS", "4,"]),
            (KeyType::SymbolCode, &["EOSEOSEO", "E1S", "4,EOS"]),
            (KeyType::Hex, &["", "1", "00000000000000000", "000000000000000g", "+00000000000000a"]),
            (KeyType::HexBe, &["", "00000000000000000", "g", "+1", "0x1"]),
        ] {
            for text in texts {
                assert!(kind.parse(text).is_err(), "{kind} {text}");
            }
        }
        let error = KeyType::Uint64.parse("abc").unwrap_err();
        assert_eq!(error.to_string(), "\"abc\" is not a decimal number below 2^64");
        assert_eq!(KeyType::named("Name"), None);
    }

    proptest! {
        #[test]
        fn every_key_is_found_by_its_text(key: u64, small in 0..1u64 << 40) {
            for key in [key, small] {
                for kind in KeyType::ALL {
                    prop_assert_eq!(kind.parse(&kind.format(key)), Ok(key));
                    prop_assert_eq!(KeyType::named(kind.as_str()), Some(kind));
                }
            }
        }
    }
}
