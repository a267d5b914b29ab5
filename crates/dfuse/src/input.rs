//! What commands read: a log or block files, compressed or not, recognised by content rather than by name.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use anyhow::Context;

use crate::failure::usage;

/// The recorded chain that comes with the program: a real node's log of half an hour of varied traffic.
static DEMO: &[u8] = include_bytes!("../demo/demo.dmlog.zst");

/// Longest magic number that is looked for.
const MAGIC: usize = 4;

/// What a place named on the command line turned out to be.
pub(crate) enum Input {
    /// A deep-mind log, decompressed.
    Log(Box<dyn Read + Send>),
    /// A file of blocks: a bundle or a one-block file, as it is stored.
    BlockFile(Vec<u8>),
    /// A block store, by its place.
    Store(String),
}

/// Opens `demo`, `-` (standard input), a log, a block file, or a block store (a directory or a URL).
pub(crate) fn open(place: &str) -> anyhow::Result<Input> {
    match place {
        "demo" => return Ok(Input::Log(decompressed(DEMO)?)),
        "-" => return Ok(Input::Log(decompressed(io::stdin())?)),
        _ if place.contains("://") => return Ok(Input::Store(place.to_owned())),
        _ => {}
    }
    let path = Path::new(place);
    let metadata = std::fs::metadata(path).map_err(|e| usage(format!("cannot open {place}: {e}")))?;
    if metadata.is_dir() {
        if ["merged-blocks", "one-blocks"].iter().any(|part| path.join(part).is_dir()) {
            return Ok(Input::Store(place.to_owned()));
        }
        return Err(usage(format!(
            "{place} is a directory without block files; name a log, a block file or a block store"
        )));
    }
    let file = File::open(path).map_err(|e| usage(format!("cannot open {place}: {e}")))?;
    let (magic, log) =
        peek(decompressed(BufReader::with_capacity(1 << 20, file))?).with_context(|| format!("cannot read {place}"))?;
    if magic == *b"dbin" {
        return Ok(Input::BlockFile(std::fs::read(path).with_context(|| format!("cannot read {place}"))?));
    }
    Ok(Input::Log(Box::new(log)))
}

/// The content of a zstd or gzip stream, or of one that is neither as it is.
pub(crate) fn decompressed(source: impl Read + Send + 'static) -> anyhow::Result<Box<dyn Read + Send>> {
    let (magic, source) = peek(source).context("cannot read the input")?;
    Ok(match magic {
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(Unpacked(zstd::Decoder::new(source)?)),
        [0x1f, 0x8b, ..] => Box::new(Unpacked(flate2::read::MultiGzDecoder::new(source))),
        _ => Box::new(source),
    })
}

/// A stream whose first bytes were looked at.
type Peeked<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

/// The first bytes of a stream (zeros where it is shorter) and the whole stream.
fn peek<R: Read>(mut source: R) -> io::Result<([u8; MAGIC], Peeked<R>)> {
    let mut start = Vec::with_capacity(MAGIC);
    source.by_ref().take(MAGIC as u64).read_to_end(&mut start)?;
    let mut magic = [0; MAGIC];
    magic[..start.len()].copy_from_slice(&start);
    Ok((magic, io::Cursor::new(start).chain(source)))
}

/// A decompressor whose errors say what to do.
struct Unpacked<R>(R);

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|e| {
            let why = format!("{e}; the compressed data is damaged or cut off: copy the file again");
            io::Error::new(e.kind(), why)
        })
    }
}
