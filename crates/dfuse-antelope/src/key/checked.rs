//! Base58 text with a checksum: the first four bytes of RIPEMD-160 over the payload and a suffix that names its kind.

use ripemd::{Digest, Ripemd160};

use crate::{Result, base58, raw::Reader};

const CHECKSUM: usize = 4;

fn checksum(payload: &[u8], suffix: &str) -> [u8; CHECKSUM] {
    let digest = Ripemd160::new().chain_update(payload).chain_update(suffix).finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Appends `prefix` and the text of `payload`.
pub(super) fn write_to(prefix: &str, suffix: &str, payload: &[u8], out: &mut Vec<u8>) {
    let mut bytes = Vec::with_capacity(payload.len() + CHECKSUM);
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&checksum(payload, suffix));
    out.extend_from_slice(prefix.as_bytes());
    base58::encode_to(&bytes, out);
}

/// The payload of `text`, which comes after the prefix, of at most `limit` bytes.
fn parse(text: &str, suffix: &str, limit: usize) -> Result<Vec<u8>, &'static str> {
    // Bounds the work before it is done: base58 takes less than 7 characters for 5 bytes.
    if text.len() > (limit + CHECKSUM) * 7 / 5 {
        return Err("too long");
    }
    let mut bytes = base58::decode(text.as_bytes()).ok_or("a character is not of the base58 alphabet")?;
    let payload = bytes.len().checked_sub(CHECKSUM).ok_or("too short for a checksum")?;
    if bytes[payload..] != checksum(&bytes[..payload], suffix) {
        return Err("the checksum does not match");
    }
    bytes.truncate(payload);
    Ok(bytes)
}

/// The payload of `text`, which has `N` bytes.
pub(super) fn parse_array<const N: usize>(text: &str, suffix: &str) -> Result<[u8; N], &'static str> {
    parse(text, suffix, N)?.try_into().map_err(|_| "the wrong number of bytes for its kind")
}

/// The value that the payload of `text`, of at most `limit` bytes, encodes.
pub(super) fn parse_value<T>(
    text: &str,
    suffix: &str,
    limit: usize,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T>,
) -> Result<T, &'static str> {
    let payload = parse(text, suffix, limit)?;
    let mut reader = Reader::new(&payload);
    read(&mut reader)
        .and_then(|value| reader.finish("payload").map(|()| value))
        .map_err(|_| "the bytes are not a value of its kind")
}
