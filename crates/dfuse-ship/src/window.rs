use std::io::{self, Read};

use dfuse_antelope::{self as antelope, raw::Reader};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Least bytes that are read at once.
const CHUNK: usize = 1 << 18;
/// Most bytes of one row. Nodeos itself allows no byte array of more than 20 MiB.
const MAX_ROW: usize = 32 << 20;

/// Decodes values from a stream, of which it holds the bytes at hand.
pub(crate) struct Window<R> {
    source: R,
    held: Vec<u8>,
    /// The first byte of `held` that is not consumed.
    start: usize,
    /// The place of that byte in the stream.
    offset: u64,
    ended: bool,
    /// The digest of all rows, if it is wanted.
    digest: Option<Sha256>,
}

impl<R: Read> Window<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, held: Vec::new(), start: 0, offset: 0, ended: false, digest: None }
    }

    /// Begins at a place of the stream, at which the source stands.
    pub(crate) fn at(source: R, offset: u64) -> Self {
        Self { offset, ..Self::new(source) }
    }

    /// Gives the source back. What was read of it and not consumed is lost.
    pub(crate) fn into_source(self) -> R {
        self.source
    }

    /// Decodes the next value, and does not consume it.
    pub(crate) fn peek<T>(
        &mut self,
        what: &str,
        decode: impl FnMut(&mut Reader<'_>) -> antelope::Result<T>,
    ) -> Result<T> {
        Ok(self.decode(what, u64::MAX, decode)?.0)
    }

    /// Bytes consumed so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Begins a digest of all rows that are consumed from here on.
    pub(crate) fn begin_digest(&mut self) {
        self.digest = Some(Sha256::new());
    }

    /// The digest so far.
    pub(crate) fn digest(&self) -> Option<[u8; 32]> {
        self.digest.clone().map(|digest| digest.finalize().into())
    }

    /// True when nothing is left in the stream.
    pub(crate) fn is_at_end(&mut self) -> Result<bool> {
        while self.start == self.held.len() && !self.ended {
            self.fill()?;
        }
        Ok(self.start == self.held.len())
    }

    /// The next value of the container, which is no row.
    pub(crate) fn frame<T>(
        &mut self,
        what: &str,
        decode: impl FnMut(&mut Reader<'_>) -> antelope::Result<T>,
    ) -> Result<T> {
        let (value, size) = self.decode(what, u64::MAX, decode)?;
        self.consume(size);
        Ok(value)
    }

    /// Reads so many bytes as they are. What is left unread comes next.
    pub(crate) fn content(&mut self, size: u64) -> Content<'_, R> {
        Content { window: self, left: size }
    }

    /// The next row, which has at most `left` bytes.
    pub(crate) fn row<T>(
        &mut self,
        what: &str,
        left: u64,
        decode: impl FnMut(&mut Reader<'_>) -> antelope::Result<T>,
    ) -> Result<T> {
        let (value, size) = self.decode(what, left, decode)?;
        if let Some(digest) = &mut self.digest {
            digest.update(&self.held[self.start..self.start + size]);
        }
        self.consume(size);
        Ok(value)
    }

    /// Passes over so many bytes of rows.
    pub(crate) fn skip(&mut self, what: &str, mut left: u64) -> Result<()> {
        while left > 0 {
            if self.is_at_end()? {
                return Err(self.truncated(what));
            }
            let held = &self.held[self.start..];
            let size = held.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if let Some(digest) = &mut self.digest {
                digest.update(&held[..size]);
            }
            self.consume(size);
            left -= size as u64;
        }
        Ok(())
    }

    /// An error at the next byte.
    pub(crate) fn damaged(&self, what: &str, why: impl Into<String>) -> Error {
        Error::Damaged { offset: self.offset, what: what.to_owned(), why: why.into() }
    }

    fn truncated(&self, what: &str) -> Error {
        Error::Truncated { offset: self.offset, what: what.to_owned() }
    }

    fn consume(&mut self, size: usize) {
        self.start += size;
        self.offset += size as u64;
    }

    /// A value and its size. More is read until the value is whole.
    fn decode<T>(
        &mut self,
        what: &str,
        left: u64,
        mut decode: impl FnMut(&mut Reader<'_>) -> antelope::Result<T>,
    ) -> Result<(T, usize)> {
        loop {
            let held = &self.held[self.start..];
            let size = held.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let mut reader = Reader::new(&held[..size]);
            match decode(&mut reader) {
                Ok(value) => {
                    let size = reader.position();
                    return Ok((value, size));
                }
                Err(error) if !matches!(error.cause(), antelope::Error::Truncated { .. }) => {
                    return Err(self.damaged(what, error.to_string()));
                }
                Err(_) if size as u64 == left => return Err(self.damaged(what, "runs past the end of its section")),
                Err(_) if self.ended => return Err(self.truncated(what)),
                Err(_) if held.len() >= MAX_ROW => {
                    return Err(self.damaged(what, format!("has more than {MAX_ROW} bytes")));
                }
                Err(_) => self.fill()?,
            }
        }
    }

    /// Reads more: at least as much as there is, so that a long value is not decoded again and again.
    fn fill(&mut self) -> Result<()> {
        self.held.drain(..self.start);
        self.start = 0;
        let wanted = CHUNK.max(self.held.len()) as u64;
        let read = self.source.by_ref().take(wanted).read_to_end(&mut self.held);
        let read = read.map_err(|source| Error::Io { offset: self.offset + self.held.len() as u64, source })?;
        self.ended = read == 0;
        Ok(())
    }
}

/// Bytes of a window as they are.
pub(crate) struct Content<'a, R> {
    window: &'a mut Window<R>,
    left: u64,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let window = &mut *self.window;
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let held = &window.held[window.start..];
        let size = if held.is_empty() {
            window.source.read(&mut buffer[..wanted])?
        } else {
            let size = wanted.min(held.len());
            buffer[..size].copy_from_slice(&held[..size]);
            window.start += size;
            size
        };
        if size == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        window.offset += size as u64;
        self.left -= size as u64;
        Ok(size)
    }
}
