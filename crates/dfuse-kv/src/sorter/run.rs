//! Sorted entries, in memory or in a file.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    vec,
};

use super::buffer::Place;
use crate::{Bytes, Entry, Error, Result};

/// Bytes that are read or written at once.
const FILE_BUFFER: usize = 64 << 10;

/// A file that goes with its owner.
#[derive(Debug)]
pub(super) struct TemporaryFile(PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // What is left behind goes with the folder.
        let _ = fs::remove_file(&self.0);
    }
}

/// Sorted entries.
#[derive(Debug)]
pub(super) enum Run {
    Memory { bytes: Bytes, places: vec::IntoIter<Place>, size: usize },
    File { path: TemporaryFile, reader: BufReader<File>, left: u64 },
}

impl Run {
    pub(super) fn of((bytes, places): (Vec<u8>, Vec<Place>), size: usize) -> Self {
        Self::Memory { bytes: bytes.into(), places: places.into_iter(), size }
    }

    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self, Self::Memory { .. })
    }

    /// Bytes of memory that it was given.
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Memory { size, .. } => *size,
            Self::File { .. } => 0,
        }
    }

    /// The same in a file.
    pub(super) fn into_file(mut self, path: &Path) -> Result<Self> {
        Self::write(path, std::iter::from_fn(|| self.next().transpose()))
    }

    /// A file of entries: lengths of key and value (u16 and u32, little endian), key, value.
    pub(super) fn write(path: &Path, entries: impl Iterator<Item = Result<Entry>>) -> Result<Self> {
        let fail = |error| Error::io(path, error);
        let file = File::create(path).map_err(fail)?;
        let owned = TemporaryFile(path.to_owned());
        let mut out = BufWriter::with_capacity(FILE_BUFFER, file);
        let mut left = 0;
        for entry in entries {
            let (key, value) = entry?;
            let lengths = [&(key.len() as u16).to_le_bytes()[..], &(value.len() as u32).to_le_bytes()].concat();
            for part in [&lengths[..], &key, &value] {
                out.write_all(part).map_err(fail)?;
            }
            left += 1;
        }
        out.into_inner().map_err(|error| fail(error.into_error()))?;
        let reader = BufReader::with_capacity(FILE_BUFFER, File::open(path).map_err(fail)?);
        Ok(Self::File { path: owned, reader, left })
    }

    /// The next entry.
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        match self {
            Self::Memory { bytes, places, .. } => Ok(places.next().map(|place| {
                let (key, value) = place.ranges();
                (bytes.slice(key), bytes.slice(value))
            })),
            Self::File { left: 0, .. } => Ok(None),
            Self::File { path, reader, left } => {
                *left -= 1;
                read(reader).map(Some).map_err(|error| Error::io(&path.0, error))
            }
        }
    }
}

fn read(reader: &mut impl Read) -> std::io::Result<Entry> {
    let (mut key, mut value) = ([0; 2], [0; 4]);
    reader.read_exact(&mut key)?;
    reader.read_exact(&mut value)?;
    let key = usize::from(u16::from_le_bytes(key));
    let mut bytes = vec![0; key + u32::from_le_bytes(value) as usize];
    reader.read_exact(&mut bytes)?;
    let mut key_and_value = Bytes::from(bytes);
    let value = key_and_value.split_off(key);
    Ok((key_and_value, value))
}
