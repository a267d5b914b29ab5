use bytes::{Bytes, BytesMut};

use crate::error::{Parse, Shown, Why};

/// Decodes hex into memory that the fields of a block share, instead of an allocation for each.
#[derive(Default)]
pub(crate) struct Arena {
    buffer: BytesMut,
}

impl Arena {
    /// Bytes in one allocation; a field of more gets its own.
    const CHUNK: usize = 64 * 1024;

    pub(crate) fn hex(&mut self, hex: &[u8], what: &'static str) -> Parse<Bytes> {
        if hex.is_empty() {
            return Ok(Bytes::new());
        }
        let length = hex.len() / 2;
        if self.buffer.capacity() < length {
            self.buffer = BytesMut::with_capacity(length.max(Self::CHUNK));
        }
        self.buffer.resize(length, 0);
        match const_hex::decode_to_slice(hex, &mut self.buffer) {
            Ok(()) if !hex.starts_with(b"0x") => Ok(self.buffer.split().freeze()),
            _ => {
                self.buffer.clear();
                Err(Why::new(format!("{what} {} is not hex", Shown(hex))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_and_refuses() {
        let mut arena = Arena::default();
        let first = arena.hex(b"00ff", "x").map_err(|w| w.0).unwrap();
        for wrong in ["0", "0g", "0x00", "zz"] {
            let why = arena.hex(wrong.as_bytes(), "data").err().unwrap().0;
            assert_eq!(why, format!("data \"{wrong}\" is not hex"));
        }
        let large = "ab".repeat(Arena::CHUNK + 1);
        assert_eq!(arena.hex(large.as_bytes(), "x").map_err(|w| w.0).unwrap().len(), Arena::CHUNK + 1);
        assert_eq!(&first[..], [0, 255]);
    }
}
