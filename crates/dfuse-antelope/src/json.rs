//! Pieces of JSON text as nodeos writes them, appended to a byte vector.

/// Largest 64-bit integer that is shown as a number; larger ones are text.
const MAX_NUMBER: u64 = u32::MAX as u64;

/// Bytes that do not stand for themselves in a JSON string: controls, `"`, `\`, DEL, and 0xc2, which starts the second
/// range of control characters (U+0080 to U+009F).
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        special[byte] = true;
        byte += 1;
    }
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    special[0x7f] = true;
    special[0xc2] = true;
    special
};

/// A string. `replacement` takes the place of each byte that is not part of UTF-8.
pub fn write_string(out: &mut Vec<u8>, text: &[u8], replacement: &str) {
    out.push(b'"');
    if text.is_ascii() {
        write_escaped(out, text);
    } else {
        for chunk in text.utf8_chunks() {
            write_escaped(out, chunk.valid().as_bytes());
            for _ in chunk.invalid() {
                out.extend_from_slice(replacement.as_bytes());
            }
        }
    }
    out.push(b'"');
}

/// Text without quotes, escaped as nodeos does: `\t`, `\n`, `\r`, other control characters as `\u00XX`, and no `/`.
fn write_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut start = 0;
    for (at, &byte) in text.iter().enumerate() {
        if !SPECIAL[usize::from(byte)] {
            continue;
        }
        let control = match byte {
            0xc2 => match text.get(at + 1) {
                Some(&second @ 0x80..=0x9f) => second,
                _ => continue,
            },
            _ => byte,
        };
        out.extend_from_slice(&text[start..at]);
        start = at + if byte == 0xc2 { 2 } else { 1 };
        match control {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => {
                out.extend_from_slice(b"\\u00");
                write_hex(out, &[control]);
            }
        }
    }
    out.extend_from_slice(&text[start..]);
}

/// Lower-case hex, without quotes.
pub fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let at = out.len();
    out.resize(at + 2 * bytes.len(), 0);
    const_hex::encode_to_slice(bytes, &mut out[at..]).expect("two digits for each byte");
}

/// Decimal digits.
pub fn write_unsigned(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Decimal digits after a minus sign if there must be one.
pub fn write_signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    write_unsigned(out, value.unsigned_abs());
}

/// A signed 64-bit integer as nodeos shows it: a number up to 2^32 - 1 either way, decimal text beyond, which
/// JavaScript could not read exactly.
pub fn write_i64(out: &mut Vec<u8>, value: i64) {
    match value.unsigned_abs() > MAX_NUMBER {
        true => write_quoted(out, |out| write_signed(out, value)),
        false => write_signed(out, value),
    }
}

/// An unsigned 64-bit integer as nodeos shows it: a number up to 2^32 - 1, decimal text beyond.
pub fn write_u64(out: &mut Vec<u8>, value: u64) {
    match value > MAX_NUMBER {
        true => write_quoted(out, |out| write_unsigned(out, value)),
        false => write_unsigned(out, value),
    }
}

/// What `text` writes, in quotes; it must need no escaping.
pub fn write_quoted(out: &mut Vec<u8>, text: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    text(out);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &[u8], replacement: &str) -> String {
        let mut out = Vec::new();
        write_string(&mut out, text, replacement);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_by_nodeos() {
        assert_eq!(string(b"a/b\"\\\t\n\r\x00\x0b\x1f\x7f<&>", ""), r#""a/b\"\\\t\n\r\u0000\u000b\u001f\u007f<&>""#);
        assert_eq!(string("é\u{80}\u{9f}\u{a0}\u{2028}😀".as_bytes(), ""), "\"é\\u0080\\u009f\u{a0}\u{2028}😀\"");
    }

    #[test]
    fn invalid_utf8_is_left_out_or_replaced() {
        assert_eq!(string(b"\xe2\x82\"\xff\xed\xa0\x80x\xc2", ""), r#""\"x""#);
        assert_eq!(string(b"\xe2\x82\"\xff", "\u{fffd}"), "\"\u{fffd}\u{fffd}\\\"\u{fffd}\"");
    }

    #[test]
    fn decimal_limits() {
        let mut out = Vec::new();
        write_unsigned(&mut out, u64::MAX);
        write_signed(&mut out, i64::MIN);
        write_signed(&mut out, 0);
        assert_eq!(out, b"18446744073709551615-92233720368547758080");
    }

    #[test]
    fn long_numbers_are_text() {
        let mut out = Vec::new();
        for value in [4_294_967_295, 4_294_967_296] {
            write_u64(&mut out, value as u64);
            write_i64(&mut out, value);
            write_i64(&mut out, -value);
        }
        assert_eq!(out, br#"42949672954294967295-4294967295"4294967296""4294967296""-4294967296""#);
    }
}
