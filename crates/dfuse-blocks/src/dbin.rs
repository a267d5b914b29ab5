//! The dbin container: a header, then messages that each follow their length.
//!
//! | version | header |
//! |---|---|
//! | 0 | `dbin`, 0, three bytes of content type (`EOS`), two digits of content version (`01`) |
//! | 1 | `dbin`, 1, length of the content type (u16, big endian), content type (type URL of the payload of the blocks) |
//!
//! A message is its length (u32, big endian) and as many bytes: one envelope `sf.bstream.v1.Block`. The end of the file
//! between two messages is the end of the stream.

use std::io::{ErrorKind, Read};

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Error, Result};

/// The largest message that is read or written. The length would allow 4 GiB, but protobuf stops at 2 GiB, the largest
/// real blocks have some tens of MiB, and a damaged length must not take all memory.
pub const MAX_MESSAGE_BYTES: usize = 512 << 20;

const MAGIC: &[u8; 4] = b"dbin";

/// A header of version 1.
pub fn header(content_type: &str) -> Bytes {
    let length = u16::try_from(content_type.len()).expect("content types are short constants");
    let mut header = BytesMut::with_capacity(7 + content_type.len());
    header.put_slice(MAGIC);
    header.put_u8(1);
    header.put_u16(length);
    header.put_slice(content_type.as_bytes());
    header.freeze()
}

/// The length that stands before a message; [`Error::Usage`] for one over [`MAX_MESSAGE_BYTES`].
pub fn length_prefix(message: &[u8]) -> Result<[u8; 4]> {
    if message.is_empty() || message.len() > MAX_MESSAGE_BYTES {
        let why = format!("a block of {} bytes cannot be stored, the limit is {MAX_MESSAGE_BYTES}", message.len());
        return Err(Error::Usage(why));
    }
    Ok((message.len() as u32).to_be_bytes())
}

/// Splits a stream into its messages.
#[derive(Debug)]
pub struct Reader<R> {
    file: String,
    stream: R,
    offset: u64,
    version: u8,
    content_type: String,
}

impl<R: Read> Reader<R> {
    /// Reads the header; `file` is the name used in errors.
    pub fn new(file: &str, stream: R) -> Result<Self> {
        let mut reader = Self { file: file.to_owned(), stream, offset: 0, version: 0, content_type: String::new() };
        let start = reader.bytes(5, "header")?;
        if start[..4] != *MAGIC {
            return Err(reader.damaged_at(0, "not a dbin file: it does not start with \"dbin\""));
        }
        reader.version = start[4];
        let content_type = match reader.version {
            0 => reader.bytes(5, "header")?,
            1 => {
                let at = reader.offset;
                let length = reader.bytes(2, "header")?;
                match u16::from_be_bytes([length[0], length[1]]) {
                    0 => return Err(reader.damaged_at(at, "empty content type")),
                    length => reader.bytes(length.into(), "header")?,
                }
            }
            version => return Err(reader.damaged_at(4, format!("dbin version {version}, 0 and 1 are known"))),
        };
        reader.content_type = String::from_utf8_lossy(&content_type).into_owned();
        Ok(reader)
    }

    /// Version of the container, 0 or 1.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Type URL of the blocks' payload; in version 0 the chain and the version of its schema, `EOS01`.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next message, or none at the end of the stream.
    pub fn message(&mut self) -> Result<Option<Bytes>> {
        let at = self.offset;
        let length = self.up_to(4)?;
        if length.is_empty() {
            return Ok(None);
        }
        let length: [u8; 4] = length[..].try_into().map_err(|_| self.cut("length of a message", 4, length.len()))?;
        match u32::from_be_bytes(length) as usize {
            0 => Err(self.damaged_at(at, "empty message")),
            length if length > MAX_MESSAGE_BYTES => {
                Err(self.damaged_at(at, format!("message of {length} bytes, the limit is {MAX_MESSAGE_BYTES}")))
            }
            length => self.bytes(length, "message").map(Some),
        }
    }

    fn bytes(&mut self, count: usize, what: &str) -> Result<Bytes> {
        let bytes = self.up_to(count)?;
        if bytes.len() < count { Err(self.cut(what, count, bytes.len())) } else { Ok(bytes.into()) }
    }

    /// Fewer than `count` bytes only at the end. Memory grows with what is there, not with what was announced.
    fn up_to(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(count.min(1 << 20));
        let read = (&mut self.stream).take(count as u64).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        match read {
            Ok(_) => Ok(bytes),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                Err(self.damaged_at(self.offset, "compressed data is cut off"))
            }
            Err(e) => Err(self.damaged_at(self.offset, e)),
        }
    }

    fn cut(&self, what: &str, wanted: usize, found: usize) -> Error {
        self.damaged_at(self.offset, format!("file ends within a {what}: {wanted} bytes wanted, {found} left"))
    }

    pub(crate) fn damaged_at(&self, offset: u64, why: impl ToString) -> Error {
        Error::damaged(&self.file, offset, why)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(stream: &[u8]) -> Result<Vec<Bytes>> {
        let mut reader = Reader::new("f", stream)?;
        let mut messages = vec![];
        while let Some(message) = reader.message()? {
            messages.push(message);
        }
        Ok(messages)
    }

    fn write(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = header("type.googleapis.com/x").to_vec();
        for message in messages {
            stream.extend_from_slice(&length_prefix(message).unwrap());
            stream.extend_from_slice(message);
        }
        stream
    }

    proptest! {
        #[test]
        fn round_trip_and_cuts(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5)) {
            let stream = write(&messages);
            prop_assert_eq!(&read_all(&stream).unwrap(), &messages);
            let mut boundaries = vec![write(&[]).len()];
            for message in &messages {
                boundaries.push(boundaries.last().unwrap() + 4 + message.len());
            }
            for end in 0..stream.len() {
                match read_all(&stream[..end]) {
                    Ok(read) => prop_assert_eq!(boundaries.get(read.len()), Some(&end)),
                    Err(Error::Damaged { offset, why, .. }) => {
                        prop_assert_eq!(offset, Some(end as u64));
                        prop_assert!(why.starts_with("file ends within"), "{}", why);
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        }

        #[test]
        fn random_bytes_never_panic(tail: Vec<u8>) {
            let _ = read_all(&tail);
            let _ = read_all(&[MAGIC, &tail[..]].concat());
        }
    }

    #[test]
    fn version_0_is_read() {
        let mut reader = Reader::new("f", &b"dbin\x00EOS01\x00\x00\x00\x02hi"[..]).unwrap();
        assert_eq!((reader.version(), reader.content_type()), (0, "EOS01"));
        assert_eq!(reader.message().unwrap().unwrap(), "hi");
        assert_eq!(reader.message().unwrap(), None);
    }

    #[test]
    fn version_1_is_written_as_others_do() {
        let header = header("type.googleapis.com/sf.antelope.type.v1.Block");
        assert_eq!(header[..9], *b"dbin\x01\x00\x2dty");
        assert_eq!(Reader::new("f", &header[..]).unwrap().content_type().len(), 45);
    }

    #[test]
    fn errors_are_exact() {
        let error = |stream: &[u8]| read_all(stream).unwrap_err().to_string();
        assert_eq!(error(b"dbim\x01"), "f is damaged at byte 0: not a dbin file: it does not start with \"dbin\"");
        assert_eq!(error(b"dbin\x02"), "f is damaged at byte 4: dbin version 2, 0 and 1 are known");
        assert_eq!(error(b"dbin\x01\x00\x00"), "f is damaged at byte 5: empty content type");
        assert_eq!(error(b"dbin\x01\x00\x01x\x00\x00\x00\x00"), "f is damaged at byte 8: empty message");
        assert_eq!(
            error(b"dbin\x01\x00\x01x\xff\xff\xff\xff"),
            "f is damaged at byte 8: message of 4294967295 bytes, the limit is 536870912"
        );
        assert_eq!(
            error(b"dbin\x01\x00\x01x\x00\x00\x00\x05hell"),
            "f is damaged at byte 16: file ends within a message: 5 bytes wanted, 4 left"
        );
        assert!(length_prefix(&[]).is_err());
    }
}
