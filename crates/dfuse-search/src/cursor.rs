//! Where a search continues, as opaque text.

use dfuse_antelope::Checksum;
use dfuse_blocks::{CursorKey, CursorKind};
use dfuse_index::BlockRef;

use crate::{Error, Result};

/// Where a stream of matches is: between two of them. It holds in both directions and for any query.
///
/// A match is named by the position of its transaction in its block, which nothing changes. What a client has follows: in
/// ascending order all matches before, in descending order all after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// A block.
    pub block: BlockRef,
    /// Where in the block.
    pub place: Place,
}

/// A place in a block, by the position of a transaction among its traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Before this transaction: it was not sent, or was undone.
    Before(u32),
    /// At this transaction, which was sent and is not sent again in either direction.
    After(u32),
    /// After all of the block.
    End,
}

impl Place {
    /// Whether a stream in ascending order has sent that transaction of the block.
    pub(crate) fn has(self, transaction: u32) -> bool {
        match self {
            Self::Before(next) => transaction < next,
            Self::After(last) => transaction <= last,
            Self::End => true,
        }
    }
}

impl Position {
    /// The text of the position, some 80 characters of base64url.
    ///
    /// Sealed are the id of the block (32 bytes) and the place: 0 and the position before which it is, 1 and the position
    /// after which it is (u32, big endian), or 2.
    pub fn seal(&self, key: &CursorKey) -> String {
        let mut content = self.block.id.0.to_vec();
        let (kind, transaction) = match self.place {
            Place::Before(transaction) => (0, Some(transaction)),
            Place::After(transaction) => (1, Some(transaction)),
            Place::End => (2, None),
        };
        content.push(kind);
        content.extend(transaction.map(u32::to_be_bytes).iter().flatten());
        key.seal_content(CursorKind::Search, &content)
    }

    /// Reads the text of a position.
    ///
    /// # Errors
    /// [`Error::InvalidCursor`] whatever is wrong.
    pub fn open(text: &str, key: &CursorKey) -> Result<Self> {
        let content = key.open_content(CursorKind::Search, text).map_err(|_| Error::InvalidCursor)?;
        let (id, place) = content.split_first_chunk().ok_or(Error::InvalidCursor)?;
        let id = Checksum(*id);
        let place = match *place {
            [kind @ 0..=1, a, b, c, d] => {
                let transaction = u32::from_be_bytes([a, b, c, d]);
                if kind == 0 { Place::Before(transaction) } else { Place::After(transaction) }
            }
            [2] => Place::End,
            _ => return Err(Error::InvalidCursor),
        };
        Ok(Self { block: BlockRef { number: id.block_num(), id }, place })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn positions_round_trip(id: [u8; 32], transaction: u32, kind in 0..3, change in 0..70usize) {
            let key = CursorKey::new([3; 32]);
            let id = Checksum(id);
            let place = [Place::Before(transaction), Place::After(transaction), Place::End][kind as usize];
            let position = Position { block: BlockRef { number: id.block_num(), id }, place };
            let text = position.seal(&key);
            prop_assert_eq!(Position::open(&text, &key).unwrap(), position);
            let mut changed = text.clone().into_bytes();
            changed[change] = if changed[change] == b'A' { b'B' } else { b'A' };
            prop_assert!(Position::open(&String::from_utf8(changed).unwrap(), &key).is_err());
            prop_assert!(Position::open(&text, &CursorKey::new([4; 32])).is_err());
        }

        #[test]
        fn any_text_is_an_error(text in ".{0,200}") {
            prop_assert!(matches!(Position::open(&text, &CursorKey::new([3; 32])), Err(Error::InvalidCursor)));
        }
    }

    #[test]
    fn cursors_of_the_feed_are_another_kind() {
        let key = CursorKey::new([3; 32]);
        let block = BlockRef { number: 5, id: Checksum([0; 32]) };
        let cursor = dfuse_blocks::Cursor { step: dfuse_blocks::Step::New, block, tip: block, lib: 5 };
        assert!(matches!(Position::open(&key.seal(&cursor), &key), Err(Error::InvalidCursor)));
        assert!(key.open_cursor(&Position { block, place: Place::End }.seal(&key)).is_err());
    }
}
