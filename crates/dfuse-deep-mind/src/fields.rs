use std::str::FromStr;

use dfuse_antelope::{Checksum256, Name};
use memchr::memchr;

use crate::error::{Parse, Shown, Why};

/// The fields of a line: separated by exactly one space, each may be empty.
pub(crate) struct Fields<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(line: &'a [u8]) -> Self {
        Self { rest: Some(line) }
    }

    /// The next field, up to a space.
    #[inline]
    pub(crate) fn next(&mut self, what: &'static str) -> Parse<&'a [u8]> {
        let rest = self.rest.ok_or_else(|| missing(what))?;
        // Names and numbers are short: looking byte by byte beats a call. The rest is hex.
        let near = &rest[..rest.len().min(24)];
        let end = near
            .iter()
            .position(|&b| b == b' ')
            .or_else(|| if near.len() == rest.len() { None } else { memchr(b' ', &rest[24..]).map(|at| at + 24) });
        match end {
            Some(end) => {
                self.rest = Some(&rest[end + 1..]);
                Ok(&rest[..end])
            }
            None => {
                self.rest = None;
                Ok(rest)
            }
        }
    }

    /// All that is left, spaces included.
    #[inline]
    pub(crate) fn last(&mut self, what: &'static str) -> Parse<&'a [u8]> {
        self.rest.take().ok_or_else(|| missing(what))
    }

    /// The fields left.
    pub(crate) fn count(&self) -> usize {
        self.rest.map_or(0, |rest| 1 + rest.iter().filter(|&&b| b == b' ').count())
    }

    /// Fails unless all fields were read.
    #[inline]
    pub(crate) fn end(&self) -> Parse<()> {
        match self.rest {
            None => Ok(()),
            Some(rest) => Err(Why::new(format!("unexpected field {} at the end", Shown(rest)))),
        }
    }

    #[inline]
    pub(crate) fn name(&mut self, what: &'static str) -> Parse<Name> {
        let text = self.next(what)?;
        Name::parse(text).map_err(|why| Why::new(format!("{what} {} is not a name: {why}", Shown(text))))
    }

    #[inline]
    pub(crate) fn u32(&mut self, what: &'static str) -> Parse<u32> {
        let text = self.next(what)?;
        number(text).ok_or_else(|| Why::new(format!("{what} {} is not a number of 32 bits", Shown(text))))
    }

    pub(crate) fn i64(&mut self, what: &'static str) -> Parse<i64> {
        self.long(what)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Parse<u64> {
        self.long(what)
    }

    /// A number of 64 bits, signed or not.
    fn long<T: FromStr>(&mut self, what: &'static str) -> Parse<T> {
        let text = self.next(what)?;
        std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Why::new(format!("{what} {} is not a number of 64 bits", Shown(text))))
    }

    pub(crate) fn checksum256(&mut self, what: &'static str) -> Parse<Checksum256> {
        let text = self.next(what)?;
        Checksum256::from_hex(text).map_err(|_| Why::new(format!("{what} {} is not 64 hex digits", Shown(text))))
    }

    /// A field as text; what is not UTF-8 is replaced.
    pub(crate) fn text(&mut self, what: &'static str) -> Parse<String> {
        self.next(what).map(|text| String::from_utf8_lossy(text).into_owned())
    }
}

#[cold]
fn missing(what: &'static str) -> Why {
    Why::new(format!("the line ends before {what}"))
}

/// A decimal number of 32 bits: digits only, no sign.
#[inline]
fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 10 {
        return None;
    }
    let mut value = 0u64;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    u32::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_are_fields() {
        let mut fields = Fields::new(b"a  b ");
        assert_eq!(fields.count(), 4);
        let mut next = || fields.next("x").map_err(|_| ());
        assert_eq!(next(), Ok(&b"a"[..]));
        assert_eq!(next(), Ok(&b""[..]));
        assert_eq!(next(), Ok(&b"b"[..]));
        assert_eq!(next(), Ok(&b""[..]));
        assert_eq!(next(), Err(()));
    }

    #[test]
    fn long_fields_and_rests() {
        let long = "f".repeat(100);
        let line = format!("{long} {long} {{\"a b\": 1}}");
        let mut fields = Fields::new(line.as_bytes());
        for _ in 0..2 {
            assert_eq!(fields.next("x").map_err(|w| w.0), Ok(long.as_bytes()));
        }
        assert!(fields.end().is_err());
        assert_eq!(fields.last("x").map_err(|w| w.0), Ok(&b"{\"a b\": 1}"[..]));
        assert!(fields.end().is_ok());
    }

    #[test]
    fn numbers_are_digits_that_fit() {
        assert_eq!(number(b"4294967295"), Some(u32::MAX));
        for wrong in ["4294967296", "", "-1", "+1", " 1", "1x", "00000000001"] {
            assert_eq!(number(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
