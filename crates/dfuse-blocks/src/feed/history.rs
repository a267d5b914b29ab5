//! Final blocks from bundles, read ahead of their reader.

use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::{BlockStore, EncodedBlock, Error, Result, range::RangeReader};

/// Blocks in order, from bundles. A task reads the next piece while the last one is used: two pieces are in memory.
#[derive(Debug)]
pub(super) struct History {
    next: u32,
    blocks: mpsc::Receiver<Result<Vec<EncodedBlock>>>,
    piece: std::vec::IntoIter<EncodedBlock>,
}

impl History {
    /// Begins to read `first` to `last`, about `piece_bytes` at a time.
    pub(super) fn open(store: &BlockStore, first: u32, last: u32, piece_bytes: usize) -> Self {
        // The one piece that waits in the task for room in the channel counts too: hence no room but for hand-over.
        let (sender, blocks) = mpsc::channel(1);
        let reader = RangeReader::new(store.clone(), first..=last, piece_bytes);
        let pieces = stream::try_unfold(reader, async |mut reader| {
            Ok::<_, Error>(reader.piece().await?.map(|piece| (piece, reader)))
        });
        tokio::spawn(async move {
            let mut pieces = std::pin::pin!(pieces);
            // Whoever wanted them may be gone: then there is no room for ever.
            while let Ok(room) = sender.reserve().await {
                let Some(piece) = pieces.next().await else { return };
                room.send(piece);
            }
        });
        Self { next: first, blocks, piece: vec![].into_iter() }
    }

    /// Number of the next block.
    pub(super) fn next_number(&self) -> u32 {
        self.next
    }

    /// The next block; none at the end of the range. Loses nothing if it is dropped while it waits.
    pub(super) async fn block(&mut self) -> Result<Option<EncodedBlock>> {
        loop {
            if let Some(block) = self.piece.next() {
                self.next = self.next.saturating_add(1);
                return Ok(Some(block));
            }
            match self.blocks.recv().await {
                Some(piece) => self.piece = piece?.into_iter(),
                None => return Ok(None),
            }
        }
    }
}
