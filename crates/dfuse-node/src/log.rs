use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use dfuse_antelope::model::wire::ReverseWriter;
use dfuse_blocks::EncodedBlock;
use dfuse_deep_mind::{Event, Reader};

use crate::{Error, Result, SourceEvent, event::Sender};

/// Longest magic number that is looked for.
const MAGIC: usize = 4;

/// A stream whose first bytes were looked at.
type Peeked<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

/// Opens a log: plain, zstd- or gzip-compressed, recognised by its content rather than by its name.
pub fn open_log(file: &Path) -> Result<Box<dyn Read + Send>> {
    let open = |file| decompressed(BufReader::with_capacity(1 << 20, File::open(file)?));
    open(file).map_err(|source| Error::Open { place: file.display().to_string(), source })
}

/// The content of a zstd or gzip stream, or of one that is neither as it is.
pub fn decompressed(source: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let (magic, source) = peek(source)?;
    Ok(match magic {
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(Unpacked(zstd::Decoder::new(source)?)),
        [0x1f, 0x8b, ..] => Box::new(Unpacked(flate2::read::MultiGzDecoder::new(source))),
        _ => Box::new(source),
    })
}

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

/// Takes lines that are not the log's.
pub(crate) type OtherLines = Box<dyn FnMut(&[u8]) + Send>;

/// Reads a log, whose lines have so many bytes at most, to its end on the thread at hand. Stops early when nobody wants the blocks any more.
pub(crate) fn read(
    log: impl Read,
    sender: &Sender,
    max_line_bytes: usize,
    other_lines: Option<OtherLines>,
) -> Result<()> {
    let mut reader = Reader::with_max_line(log, max_line_bytes);
    if let Some(receive) = other_lines {
        reader = reader.on_other_lines(receive);
    }
    let mut writer = ReverseWriter::new();
    while let Some(event) = reader.next_event()? {
        let event = match event {
            Event::Block(block) => {
                let encoded = EncodedBlock::encode(&block, &mut writer)?;
                SourceEvent::Block { block: Some(block.into()), encoded }
            }
            Event::AbiDump(dump) => SourceEvent::AbiDump(dump),
            // Blocks link to their parents: who follows them sees the switch.
            Event::SwitchFork { .. } => continue,
        };
        if sender.blocking_send(Ok(event)).is_err() {
            return Ok(());
        }
    }
    let stats = reader.stats();
    if stats.torn_line || reader.unfinished_block().is_some() {
        tracing::warn!(
            line = stats.lines,
            block = reader.unfinished_block(),
            "the log ends inside a block, which was left out"
        );
    }
    Ok(())
}
