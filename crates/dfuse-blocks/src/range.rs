//! Reading many blocks: a bundle in pieces, and a range over bundles.

use std::{ops::RangeInclusive, sync::Arc};

use futures::{Stream, TryStreamExt, stream};
use object_store::path::Path;

use crate::{
    BlockStore, EncodedBlock, Error, Result,
    bundle::{BlockTable, StreamReader, base_of},
    store::{Layout, blocking, new_decompressor},
};

/// How many bytes of blocks make a piece, where nothing else is wanted; one block more may come on top.
pub(crate) const PIECE_BYTES: usize = 8 << 20;

/// Reads the blocks of one bundle in pieces, in the order of the file.
pub(crate) struct BundleReader {
    store: BlockStore,
    path: Path,
    wanted: RangeInclusive<u32>,
    piece_bytes: usize,
    state: State,
}

enum State {
    /// The next frame to read.
    Frames(Arc<BlockTable>, usize),
    /// None after a failure.
    Stream(Option<StreamReader>),
}

impl BundleReader {
    /// Opens the bundle with this base; blocks outside `wanted` are left out.
    pub(crate) async fn open(
        store: &BlockStore,
        base: u32,
        wanted: RangeInclusive<u32>,
        piece_bytes: usize,
    ) -> Result<Self> {
        let path = store.bundle_path(base);
        let state = match store.layout(base).await? {
            Layout::Framed(table) => {
                let first = table.frames().partition_point(|frame| frame.number < *wanted.start());
                State::Frames(table, first)
            }
            Layout::Stream => {
                let data = store.get(&path).await?;
                let file = path.clone();
                State::Stream(Some(blocking(move || StreamReader::new(file.as_ref(), data)).await?))
            }
        };
        Ok(Self { store: store.clone(), path, wanted, piece_bytes, state })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether blocks can be read one by one.
    pub(crate) fn is_framed(&self) -> bool {
        matches!(self.state, State::Frames(..))
    }

    /// The next blocks; none at the end.
    pub(crate) async fn piece(&mut self) -> Result<Vec<EncodedBlock>> {
        let next = match &self.state {
            State::Frames(table, next) => table.frames().get(*next).map(|frame| (frame.number, table.clone())),
            State::Stream(_) => None,
        };
        match (self.read_piece().await, next) {
            (Err(Error::Damaged { .. }), Some((number, before))) if self.is_new(number, &before).await? => {
                self.read_piece().await
            }
            (read, _) => read,
        }
    }

    /// Whether the bundle was written anew since its tables were read; goes on in it with the block with that number.
    async fn is_new(&mut self, number: u32, before: &BlockTable) -> Result<bool> {
        self.store.forget_layout(base_of(number));
        let Layout::Framed(table) = self.store.layout(base_of(number)).await? else { return Ok(false) };
        let is_new = table.frames().len() != before.frames().len();
        let next = table.frames().partition_point(|frame| frame.number < number);
        self.state = State::Frames(table, next);
        Ok(is_new)
    }

    async fn read_piece(&mut self) -> Result<Vec<EncodedBlock>> {
        let path = self.path.clone();
        match &mut self.state {
            State::Frames(table, next) => {
                let (mut count, mut bytes) = (0, 0);
                for frame in table.frames()[*next..].iter().take_while(|frame| self.wanted.contains(&frame.number)) {
                    count += 1;
                    bytes += frame.content_length();
                    if bytes >= self.piece_bytes {
                        break;
                    }
                }
                let frames = table.frames()[*next..*next + count].to_vec();
                let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return Ok(vec![]) };
                let start = first.offset;
                let data = self.store.get_range(&path, start..last.end()).await?;
                *next += count;
                blocking(move || {
                    let mut decompressor = new_decompressor(path.as_ref())?;
                    let decode = |frame: &crate::bundle::BlockFrame| {
                        let bytes = ((frame.offset - start) as usize)..((frame.end() - start) as usize);
                        let frame_data = data.get(bytes).unwrap_or_default();
                        frame.decode(path.as_ref(), frame_data, &mut decompressor)
                    };
                    frames.iter().map(decode).collect()
                })
                .await
            }
            State::Stream(reader) => {
                let Some(mut stream) = reader.take() else { return Ok(vec![]) };
                let (wanted, piece_bytes) = (self.wanted.clone(), self.piece_bytes);
                let (stream, blocks) = blocking(move || {
                    let (mut blocks, mut bytes) = (vec![], 0);
                    while bytes < piece_bytes {
                        let Some(block) = stream.block()? else { break };
                        if wanted.contains(&block.number()) {
                            bytes += block.envelope().len();
                            blocks.push(block);
                        }
                    }
                    Ok((stream, blocks))
                })
                .await?;
                *reader = Some(stream);
                Ok(blocks)
            }
        }
    }
}

/// Reads a range of blocks over bundles.
pub(crate) struct RangeReader {
    store: BlockStore,
    next: u32,
    end: u32,
    done: bool,
    last: Option<EncodedBlock>,
    piece_bytes: usize,
    bundle: Option<BundleReader>,
}

impl RangeReader {
    pub(crate) fn new(store: BlockStore, range: RangeInclusive<u32>, piece_bytes: usize) -> Self {
        let (next, end, done) = (*range.start(), *range.end(), range.is_empty());
        Self { store, next, end, done, last: None, piece_bytes, bundle: None }
    }

    /// Whether it is in a bundle that can only be read from its start.
    pub(crate) fn is_open_stream(&self) -> bool {
        self.bundle.as_ref().is_some_and(|bundle| !bundle.is_framed())
    }

    /// The next blocks; none after the end of the range.
    pub(crate) async fn piece(&mut self) -> Result<Option<Vec<EncodedBlock>>> {
        if self.done {
            return Ok(None);
        }
        let missing = |number| Error::NotFound(format!("block {number}"));
        let bundle = match &mut self.bundle {
            Some(bundle) => bundle,
            None => {
                let opened =
                    BundleReader::open(&self.store, base_of(self.next), self.next..=self.end, self.piece_bytes).await;
                self.bundle.insert(opened.map_err(|e| match e {
                    Error::NotFound(_) => missing(self.next),
                    other => other,
                })?)
            }
        };
        let piece = bundle.piece().await?;
        if piece.is_empty() {
            return Err(missing(self.next));
        }
        for block in &piece {
            if block.number() > self.next {
                return Err(missing(self.next));
            } else if block.number() < self.next {
                let why = format!("block {} where {} is due", block.number(), self.next);
                return Err(Error::damaged(bundle.path().as_ref(), None, why));
            }
            if let Some(last) = self.last.as_ref().filter(|last| last.id() != block.previous()) {
                return Err(Error::unlinked(block, format!("its parent is {}, not {}", block.previous(), last.id())));
            }
            self.last = Some(block.clone());
            self.done = self.next == self.end;
            self.next = self.next.saturating_add(1);
        }
        if self.next == base_of(self.next) {
            self.bundle = None;
        }
        Ok(Some(piece))
    }
}

/// Reading many blocks, piece by piece.
impl BlockStore {
    /// Reads the blocks of a range from bundles, each verified to follow the one before. A block that is not there ends
    /// the stream with [`Error::NotFound`]. Memory: one piece of a bundle.
    pub fn read_range(&self, range: RangeInclusive<u32>) -> impl Stream<Item = Result<EncodedBlock>> + Send {
        let pieces = stream::try_unfold(RangeReader::new(self.clone(), range, PIECE_BYTES), async |mut reader| {
            Ok::<_, Error>(reader.piece().await?.map(|piece| (piece, reader)))
        });
        pieces.map_ok(|piece| stream::iter(piece.into_iter().map(Ok))).try_flatten()
    }

    /// Reads the blocks of a range that one bundle holds, whatever may be missing between them.
    pub fn read_bundle_blocks(
        &self,
        base: u32,
        range: RangeInclusive<u32>,
    ) -> impl Stream<Item = Result<EncodedBlock>> + Send + use<> {
        let pieces = stream::try_unfold((self.clone(), None), move |(store, reader)| {
            let range = range.clone();
            async move {
                let mut reader = match reader {
                    Some(reader) => reader,
                    None => BundleReader::open(&store, base, range, PIECE_BYTES).await?,
                };
                let piece = reader.piece().await?;
                Ok::<_, Error>((!piece.is_empty()).then_some((piece, (store, Some(reader)))))
            }
        });
        pieces.map_ok(|piece| stream::iter(piece.into_iter().map(Ok))).try_flatten()
    }

    /// Reads all blocks of a bundle, piece by piece.
    pub(crate) async fn read_bundle(&self, base: u32) -> Result<BundleReader> {
        BundleReader::open(self, base, 0..=u32::MAX, PIECE_BYTES).await
    }
}
