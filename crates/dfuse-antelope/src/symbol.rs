use crate::{
    Result,
    raw::{Reader, Writer},
    text::as_text,
};

/// Most characters of a symbol code.
const MAX_CODE: usize = 7;

/// The letters of a token: one to seven of `A-Z`, the first in the lowest byte.
///
/// Chain data may hold any `u64`; [`is_valid`](Self::is_valid) tells. The text of an invalid one has its bytes up to the
/// last that is not zero, seven at most, and U+FFFD for each byte that is not UTF-8, as eos-go prints it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolCode(pub u64);

impl SymbolCode {
    /// True for one to seven letters `A-Z`.
    pub fn is_valid(self) -> bool {
        let bytes = self.0.to_le_bytes();
        let letters = bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        (1..=MAX_CODE).contains(&letters) && bytes[letters..].iter().all(|&byte| byte == 0)
    }

    /// Appends the text to `out`.
    pub fn write_to(self, out: &mut Vec<u8>) {
        let bytes = self.0.to_le_bytes();
        let length = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| MAX_CODE.min(last + 1));
        for chunk in bytes[..length].utf8_chunks() {
            out.extend_from_slice(chunk.valid().as_bytes());
            for _ in chunk.invalid() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }

    /// Reads eight bytes, valid or not.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.u64().map(Self)
    }

    /// The inverse of [`read`](Self::read).
    pub fn write(self, writer: &mut Writer) {
        writer.u64(self.0);
    }

    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if !(1..=MAX_CODE).contains(&text.len()) {
            return Err("a symbol code has one to seven letters");
        }
        if !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err("the letters of a symbol code are A-Z");
        }
        Ok(Self(text.bytes().rev().fold(0, |code, byte| code << 8 | u64::from(byte))))
    }
}

/// A token's symbol: decimals in the lowest byte, [`SymbolCode`] above; its text is `4,EOS`.
///
/// Chain data may hold any `u64`; [`is_valid`](Self::is_valid) tells.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub u64);

impl Symbol {
    /// Most decimals of a valid symbol.
    pub const MAX_PRECISION: u8 = 18;

    /// The symbol of `code` with `precision` decimals. The eighth byte of an invalid code is lost.
    pub fn new(precision: u8, code: SymbolCode) -> Self {
        Self(code.0 << 8 | u64::from(precision))
    }

    /// Decimals, at most [`MAX_PRECISION`](Self::MAX_PRECISION) if valid.
    pub fn precision(self) -> u8 {
        self.0 as u8
    }

    /// The letters.
    pub fn code(self) -> SymbolCode {
        SymbolCode(self.0 >> 8)
    }

    /// True for a valid code and at most [`MAX_PRECISION`](Self::MAX_PRECISION) decimals.
    pub fn is_valid(self) -> bool {
        self.precision() <= Self::MAX_PRECISION && self.code().is_valid()
    }

    /// Appends the text to `out`.
    pub fn write_to(self, out: &mut Vec<u8>) {
        let precision = self.precision();
        for (least, unit) in [(100, 100), (10, 10), (0, 1)] {
            if precision >= least {
                out.push(b'0' + precision / unit % 10);
            }
        }
        out.push(b',');
        self.code().write_to(out);
    }

    /// Reads eight bytes, valid or not.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.u64().map(Self)
    }

    /// The inverse of [`read`](Self::read).
    pub fn write(self, writer: &mut Writer) {
        writer.u64(self.0);
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (precision, code) = text.split_once(',').ok_or("a symbol is its decimals, a comma and its code")?;
        let canonical = precision == "0" || precision.starts_with(|first| matches!(first, '1'..='9'));
        match precision.parse() {
            Ok(precision) if canonical && precision <= Self::MAX_PRECISION => {
                Ok(Self::new(precision, SymbolCode::parse(code)?))
            }
            _ => Err("a symbol has 0 to 18 decimals"),
        }
    }
}

as_text!(SymbolCode: "symbol code", Symbol: "symbol");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values() {
        for (text, symbol, code) in [
            ("4,EOS", 1_397_703_940, 5_459_781),
            ("8,WAX", 1_480_677_128, 5_783_895),
            ("0,A", 16_640, 65),
            ("18,ZZZZZZZ", 0x5a5a_5a5a_5a5a_5a12, 0x5a_5a5a_5a5a_5a5a),
        ] {
            let parsed: Symbol = text.parse().unwrap();
            assert_eq!(parsed.0, symbol);
            assert_eq!(parsed.to_string(), text);
            assert!(parsed.is_valid());
            assert_eq!(parsed.code(), SymbolCode(code));
            assert_eq!(Symbol::new(parsed.precision(), parsed.code()), parsed);
        }
        assert_eq!(SymbolCode(22_606_239_386_324_546).to_string(), "BNTDAPP");
        assert_eq!("BNTDAPP".parse(), Ok(SymbolCode(22_606_239_386_324_546)));
    }

    #[test]
    fn invalid_text_is_an_error() {
        for text in
            ["", ",", "EOS", "4,", "4,eos", "4,EOSEOSEO", "19,EOS", "04,EOS", "+4,EOS", "-1,EOS", "4, EOS", "4,E,S"]
        {
            assert!(text.parse::<Symbol>().is_err(), "{text}");
        }
        for text in ["", "eos", "EOSEOSEO", "E S", "\u{c9}OS"] {
            assert!(text.parse::<SymbolCode>().is_err(), "{text}");
        }
        let error = serde_json::from_str::<Symbol>("\"4,eos\"").unwrap_err().to_string();
        assert!(error.starts_with("invalid symbol: \"4,eos\": the letters of a symbol code are A-Z"), "{error}");
    }

    #[test]
    fn invalid_values_have_a_text() {
        for (code, text) in [
            (0, ""),
            (0x41_0041, "A\0A"),
            (0x0100_0000_0000_0041, "A\0\0\0\0\0\0"),
            (0xa9_c3_41, "A\u{e9}"),
            (0x82_e2_41, "A\u{fffd}\u{fffd}"),
            (u64::MAX, "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(SymbolCode(code).to_string(), text);
            assert!(!SymbolCode(code).is_valid());
        }
        assert_eq!(Symbol(0x41_ff).to_string(), "255,A");
        assert!(!Symbol(0x41_13).is_valid());
    }

    proptest! {
        #[test]
        fn what_is_valid_round_trips(text in "(0|[1-9]|1[0-8]),[A-Z]{1,7}") {
            let symbol: Symbol = text.parse().unwrap();
            prop_assert!(symbol.is_valid());
            prop_assert_eq!(symbol.to_string(), text);
            let json = serde_json::to_string(&symbol).unwrap();
            prop_assert_eq!(serde_json::from_str::<Symbol>(&json).unwrap(), symbol);
        }

        #[test]
        fn every_u64_is_shown_and_only_valid_ones_are_read_back(value: u64) {
            let symbol = Symbol(value);
            prop_assert_eq!(symbol.to_string().parse() == Ok(symbol), symbol.is_valid());
            let code = SymbolCode(value);
            prop_assert_eq!(code.to_string().parse() == Ok(code), code.is_valid());
        }
    }
}
