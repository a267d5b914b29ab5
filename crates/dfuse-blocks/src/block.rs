use std::fmt;

use bytes::Bytes;
use dfuse_antelope::{
    BlockTimestamp, Checksum256, Error as CodecError,
    model::{
        Block, BlockParts,
        bstream::{BlockMeta, Envelope, encode_envelope},
        wire::ReverseWriter,
    },
};

use crate::{Linked, Result};

/// A block as block files hold it: its envelope `sf.bstream.v1.Block` as bytes, and what the envelope says of it.
/// Cloning is cheap.
///
/// Always true of it: the id carries the number, and the previous id the number before, as everywhere in Antelope.
#[derive(Clone, PartialEq, Eq)]
pub struct EncodedBlock {
    number: u32,
    lib_number: u32,
    time: BlockTimestamp,
    id: Checksum256,
    previous: Checksum256,
    envelope: Bytes,
}

impl EncodedBlock {
    /// Encodes a block; `writer` is reused from block to block.
    pub fn encode(block: &Block, writer: &mut ReverseWriter) -> Result<Self> {
        encode_envelope(block, writer);
        Self::new(&BlockMeta::of(block), Bytes::copy_from_slice(writer.as_slice()))
    }

    /// Takes an envelope of any schema as it is; the payload is not looked at.
    pub fn from_envelope(envelope: Bytes) -> Result<Self> {
        Self::new(&BlockMeta::read(&envelope)?, envelope)
    }

    fn new(meta: &BlockMeta, envelope: Bytes) -> Result<Self> {
        let narrow = |what, number| {
            u32::try_from(number)
                .map_err(|_| CodecError::invalid("block envelope", format!("{what} {number} is over 32 bits")))
        };
        let block = Self {
            number: narrow("number", meta.number)?,
            lib_number: narrow("lib_num", meta.lib_num)?,
            time: meta.timestamp,
            id: meta.id,
            previous: meta.parent_id,
            envelope,
        };
        let linked = block.number.checked_sub(1) == Some(block.previous.block_num());
        if block.id.block_num() != block.number || !linked || u64::from(block.number) - 1 != meta.parent_num {
            let why = format!(
                "number {}, id {}, parent number {}, parent id {} do not go together",
                meta.number, meta.id, meta.parent_num, meta.parent_id
            );
            return Err(CodecError::invalid("block envelope", why).into());
        }
        Ok(block)
    }

    /// The block itself, with counters even where its writer left them out. Fails where payload and envelope disagree.
    pub fn decode(&self) -> Result<Block> {
        let block = Envelope::read(&self.envelope)?.block()?;
        if block.header.previous != self.previous {
            let why = format!("its parent is {}, that of its payload {}", self.previous, block.header.previous);
            return Err(CodecError::invalid("block envelope", why).into());
        }
        Ok(block)
    }

    /// The bytes of the block alone, as its writer wrote them: those of a message `sf.antelope.type.v1.Block`.
    ///
    /// # Errors
    /// There is none in the envelope.
    pub fn payload(&self) -> Result<Bytes> {
        let payload = Envelope::read(&self.envelope)?.payload;
        let missing = || CodecError::invalid("block envelope", "no payload".to_owned());
        Ok(payload.ok_or_else(missing)?.value)
    }

    /// The block with its lists located and nothing of them decoded: for those who want little of it. Fails where payload
    /// and envelope disagree.
    pub fn parts(&self) -> Result<BlockParts> {
        Ok(Envelope::read(&self.envelope)?.parts()?)
    }

    /// Height.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Block id.
    pub fn id(&self) -> Checksum256 {
        self.id
    }

    /// Id of the block before.
    pub fn previous(&self) -> Checksum256 {
        self.previous
    }

    /// Number of the last irreversible block when this one is the head.
    pub fn lib_number(&self) -> u32 {
        self.lib_number
    }

    /// Block time.
    pub fn time(&self) -> BlockTimestamp {
        self.time
    }

    /// `sf.bstream.v1.Block`, as the writer wrote it.
    pub fn envelope(&self) -> &Bytes {
        &self.envelope
    }
}

impl fmt::Debug for EncodedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {} {} ({} bytes)", self.number, self.id, self.envelope.len())
    }
}

impl Linked for EncodedBlock {
    fn id(&self) -> Checksum256 {
        self.id()
    }

    fn previous(&self) -> Checksum256 {
        self.previous()
    }

    fn lib_number(&self) -> u32 {
        self.lib_number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block, chain};

    #[test]
    fn round_trip_and_sharing() {
        let model = block(500, 7, 3);
        let encoded = EncodedBlock::encode(&model, &mut ReverseWriter::new()).unwrap();
        assert_eq!((encoded.number(), encoded.lib_number()), (500, 7));
        assert_eq!(
            (encoded.id(), encoded.previous(), encoded.time()),
            (model.id, model.header.previous, model.header.timestamp)
        );
        let read = EncodedBlock::from_envelope(encoded.envelope().clone()).unwrap();
        assert_eq!(read, encoded);
        assert_eq!(read.envelope().as_ptr(), encoded.envelope().as_ptr());
        assert_eq!(read.decode().unwrap(), model);
    }

    #[test]
    fn contradictions_are_refused() {
        let mut writer = ReverseWriter::new();
        let mut wrong_number = block(500, 7, 0);
        wrong_number.number = 501;
        assert!(EncodedBlock::encode(&wrong_number, &mut writer).is_err());
        let mut wrong_parent = block(500, 7, 0);
        wrong_parent.header.previous = wrong_parent.id;
        assert!(EncodedBlock::encode(&wrong_parent, &mut writer).is_err());
        assert!(EncodedBlock::from_envelope(Bytes::new()).is_err());
        assert!(EncodedBlock::from_envelope(chain(2, 1, 0)[0].envelope().slice(..20)).is_err());

        // An envelope around another block of the same number.
        let (good, mut other) = (block(500, 7, 0), block(500, 7, 0));
        other.id.0[31] ^= 1;
        let mut envelope = Envelope::read(EncodedBlock::encode(&good, &mut writer).unwrap().envelope()).unwrap();
        envelope.id = other.id;
        let bytes = dfuse_antelope::model::Message::to_bytes(&envelope);
        assert!(
            EncodedBlock::from_envelope(bytes).unwrap().decode().unwrap_err().to_string().contains("names block 500")
        );
    }
}
