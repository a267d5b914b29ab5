use serde::{Deserialize, Serialize};

use crate::{
    Name, Result, Symbol, SymbolCode,
    raw::{Reader, Writer},
    text::as_text,
};

/// An amount of a token in its smallest unit; the text `1.0000 EOS` has as many decimals as the symbol.
///
/// Chain data may hold any sixteen bytes, and all have a text; [`is_valid`](Self::is_valid) tells whether nodeos accepts
/// them. Only the text of valid assets is read.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asset {
    /// Tokens times ten to the power of the symbol's precision.
    pub amount: i64,
    /// The token.
    pub symbol: Symbol,
}

impl Asset {
    /// Largest absolute amount of a valid asset.
    pub const MAX_AMOUNT: i64 = (1 << 62) - 1;

    /// True for a valid symbol and an amount within [`MAX_AMOUNT`](Self::MAX_AMOUNT).
    pub fn is_valid(self) -> bool {
        self.amount.unsigned_abs() <= Self::MAX_AMOUNT as u64 && self.symbol.is_valid()
    }

    /// Appends the text to `out`.
    pub fn write_to(self, out: &mut Vec<u8>) {
        let mut buffer = [0; 20];
        let digits = decimal(self.amount.unsigned_abs(), &mut buffer);
        let precision = usize::from(self.symbol.precision());

        if self.amount < 0 {
            out.push(b'-');
        }
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(precision));
        out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
        if precision > 0 {
            out.push(b'.');
            out.resize(out.len() + precision - fraction.len(), b'0');
            out.extend_from_slice(fraction);
        }
        out.push(b' ');
        self.symbol.code().write_to(out);
    }

    /// Reads sixteen bytes, valid or not.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { amount: reader.i64()?, symbol: Symbol::read(reader)? })
    }

    /// The inverse of [`read`](Self::read).
    pub fn write(self, writer: &mut Writer) {
        writer.i64(self.amount);
        self.symbol.write(writer);
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (number, code) = text.split_once(' ').ok_or("an asset is an amount, a space and a symbol code")?;
        let code = SymbolCode::parse(code)?;
        let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
        let (whole, fraction) = match number.split_once('.') {
            Some((_, "")) => return Err("a decimal is missing after the point"),
            Some(parts) => parts,
            None => (number, ""),
        };
        let precision = u8::try_from(fraction.len()).ok().filter(|&precision| precision <= Symbol::MAX_PRECISION);
        let precision = precision.ok_or("an asset has at most 18 decimals")?;
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err("the amount is not a decimal number");
        }

        let amount = whole.bytes().chain(fraction.bytes()).try_fold(0i64, |amount, digit| {
            let amount = amount.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
            (amount <= Self::MAX_AMOUNT).then_some(amount)
        });
        let amount = amount.ok_or("the amount is over 2^62 - 1 of the smallest unit")?;
        Ok(Self { amount: if negative { -amount } else { amount }, symbol: Symbol::new(precision, code) })
    }
}

/// The digits of `value` at the end of `buffer`, at least one.
fn decimal(mut value: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &buffer[start..];
        }
    }
}

as_text!(Asset: "asset");

/// An asset of the token that `contract` manages; an object in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExtendedAsset {
    /// How much of what.
    pub quantity: Asset,
    /// The account whose contract has the token.
    pub contract: Name,
}

impl ExtendedAsset {
    /// True if the quantity is valid; every contract name is.
    pub fn is_valid(self) -> bool {
        self.quantity.is_valid()
    }

    /// Reads 24 bytes, valid or not.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { quantity: Asset::read(reader)?, contract: reader.name()? })
    }

    /// The inverse of [`read`](Self::read).
    pub fn write(self, writer: &mut Writer) {
        self.quantity.write(writer);
        writer.name(self.contract);
    }
}

impl std::fmt::Display for ExtendedAsset {
    /// Prints `1.0000 EOS@eosio.token`, as nodeos does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.quantity, self.contract)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EOS: Symbol = Symbol(1_397_703_940);

    #[test]
    fn known_texts() {
        for (amount, symbol, text) in [
            (10, "4,EOS", "0.0010 EOS"),
            (0, "4,EOS", "0.0000 EOS"),
            (-5, "0,A", "-5 A"),
            (-5, "1,A", "-0.5 A"),
            (12_345, "4,EOS", "1.2345 EOS"),
            (Asset::MAX_AMOUNT, "4,EOS", "461168601842738.7903 EOS"),
            (-Asset::MAX_AMOUNT, "18,ABCDEFG", "-4.611686018427387903 ABCDEFG"),
            (1, "18,ABCDEFG", "0.000000000000000001 ABCDEFG"),
        ] {
            let asset = Asset { amount, symbol: symbol.parse().unwrap() };
            assert_eq!(asset.to_string(), text);
            assert_eq!(text.parse(), Ok(asset));
            assert!(asset.is_valid());
        }
    }

    #[test]
    fn invalid_text_is_an_error() {
        for (text, why) in [
            ("1.0000", "a space"),
            ("1.0000 eos", "A-Z"),
            ("1.0000  EOS", "A-Z"),
            ("1.0000 ", "one to seven"),
            (" EOS", "decimal number"),
            (".5 EOS", "decimal number"),
            ("-.5 EOS", "decimal number"),
            ("--5 EOS", "decimal number"),
            ("+5 EOS", "decimal number"),
            ("1,0 EOS", "decimal number"),
            ("1.0.0 EOS", "decimal number"),
            ("5. EOS", "after the point"),
            ("0.0000000000000000000 EOS", "at most 18"),
            ("461168601842738.7904 EOS", "2^62"),
            ("99999999999999999999999999999 EOS", "2^62"),
        ] {
            let error = text.parse::<Asset>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn invalid_values_have_a_text() {
        let asset = Asset { amount: i64::MIN, symbol: EOS };
        assert_eq!(asset.to_string(), "-922337203685477.5808 EOS");
        assert!(!asset.is_valid());
        let asset = Asset { amount: 7, symbol: Symbol(255) };
        assert_eq!(asset.to_string(), format!("0.{}7 ", "0".repeat(254)));
        assert!(!asset.is_valid());
    }

    #[test]
    fn extended_asset() {
        let json = r#"{"quantity":"1.0000 EOS","contract":"eosio.token"}"#;
        let asset: ExtendedAsset = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&asset).unwrap(), json);
        assert_eq!(asset.to_string(), "1.0000 EOS@eosio.token");

        let mut writer = Writer::new();
        asset.write(&mut writer);
        assert_eq!(const_hex::encode(&writer.bytes), "102700000000000004454f530000000000a6823403ea3055");
        assert_eq!(ExtendedAsset::read(&mut Reader::new(&writer.bytes)), Ok(asset));
        assert!(ExtendedAsset::read(&mut Reader::new(&writer.bytes[..23])).is_err());
    }

    proptest! {
        #[test]
        fn any_value_round_trips_if_valid(amount: i64, precision in 0u8..20, code in "[A-Z]{1,7}", bits in 0u32..64) {
            let asset = Asset { amount: amount >> bits, symbol: Symbol::new(precision, code.parse().unwrap()) };
            prop_assert_eq!(asset.to_string().parse() == Ok(asset), asset.is_valid());
            let mut writer = Writer::new();
            asset.write(&mut writer);
            prop_assert_eq!(Asset::read(&mut Reader::new(&writer.bytes)), Ok(asset));
        }

        #[test]
        fn any_value_has_a_text(amount: i64, symbol: u64) {
            let asset = Asset { amount, symbol: Symbol(symbol) };
            prop_assert!(asset.to_string().len() > 2);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-0-9. A-Z]{0,30}") {
            let _ = text.parse::<Asset>();
        }
    }
}
