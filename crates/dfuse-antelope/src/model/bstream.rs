//! The envelope around a block: protobuf package `sf.bstream.v1`, in which block files and block streams carry the
//! blocks of any chain.

use bytes::Bytes;

use super::{
    block::Block,
    message::{Field, Message, enums, messages},
    parts::BlockParts,
    wire::{Reader, ReverseWriter, WireType},
};
use crate::{BlockTimestamp, Checksum256, Error, Result, error::shorten};

/// Type of the payload of an Antelope block.
pub const ANTELOPE_BLOCK_TYPE_URL: &str = "type.googleapis.com/sf.antelope.type.v1.Block";
/// Type of the same payload in the schema of before.
pub const EOSIO_BLOCK_TYPE_URL: &str = "type.googleapis.com/dfuse.eosio.codec.v1.Block";

const PAYLOAD_TAG: u32 = 11;
/// Where an intermediate schema had the payload, and the one of today the head's number.
const HEAD_NUM_TAG: u32 = 9;

enums! {
    /// The chain of a block, as old writers numbered them.
    Protocol {
        Unknown = 0 "UNKNOWN",
        Eos = 1 "EOS",
        Eth = 2 "ETH",
        Solana = 3 "SOLANA",
        Near = 4 "NEAR",
        Cosmos = 5 "COSMOS",
    }
}

messages! {
    /// A block of any chain with what readers need to know without decoding it. [`Envelope::read`] takes what writers of
    /// all times wrote; the plain [`Message::decode`] knows today's schema only.
    Envelope {
        /// Height.
        1 number: u64;
        /// Block id.
        2 id: Checksum256;
        /// Id of the block before.
        3 parent_id: Checksum256;
        /// Block time.
        4 timestamp: BlockTimestamp;
        /// Number of the last irreversible block, as this block knows it.
        5 lib_num: u64;
        /// Deprecated: chain of `payload_buffer`.
        6 payload_kind: Protocol;
        /// Deprecated: version of the schema of `payload_buffer`, 1 for EOS.
        7 payload_version: i32;
        /// Deprecated: the block.
        8 payload_buffer: Bytes;
        /// Deprecated.
        9 head_num: u64;
        /// Height of the block before.
        10 parent_num: u64;
        /// The block.
        11 payload: Option<Any>;
    }

    /// An [`Envelope`] without its payload; reads the same bytes.
    BlockMeta {
        /// Height.
        1 number: u64;
        /// Block id.
        2 id: Checksum256;
        /// Id of the block before.
        3 parent_id: Checksum256;
        /// Block time.
        4 timestamp: BlockTimestamp;
        /// Number of the last irreversible block, as this block knows it.
        5 lib_num: u64;
        /// Height of the block before; 0 where the writer left it out.
        10 parent_num: u64;
    }

    /// `google.protobuf.Any`: a message and its type. Its JSON form shows the two fields; protobuf's would show the
    /// message inside.
    Any {
        /// `type.googleapis.com/` and the full name of the message.
        1 type_url: String;
        /// The message.
        2 value: Bytes;
    }
}

impl BlockMeta {
    /// What the envelope says of a block.
    pub fn of(block: &Block) -> Self {
        Self {
            number: block.number.into(),
            id: block.id,
            parent_id: block.header.previous,
            timestamp: block.header.timestamp,
            lib_num: block.dpos_irreversible_blocknum.into(),
            parent_num: block.number.saturating_sub(1).into(),
        }
    }

    /// Reads an envelope of any schema without touching its payload. A `parent_num` that was left out becomes the number
    /// before: Antelope chains skip none.
    pub fn read(data: &Bytes) -> Result<Self> {
        let mut meta = Self::decode(data)?;
        if meta.parent_num == 0 {
            meta.parent_num = meta.number.saturating_sub(1);
        }
        Ok(meta)
    }
}

impl Envelope {
    /// Reads an envelope of any schema and brings it into today's form: the block is in `payload`, wherever it was
    /// written, and `parent_num` is known.
    pub fn read(data: &Bytes) -> Result<Self> {
        let mut envelope = Self::default();
        let mut reader = Reader::new(data);
        while !reader.is_empty() {
            match reader.key()? {
                (HEAD_NUM_TAG, WireType::Delimited) => {
                    Field::merge(&mut envelope.payload, PAYLOAD_TAG, WireType::Delimited, &mut reader)?;
                }
                (tag, wire_type) => envelope.merge_field(tag, wire_type, &mut reader)?,
            }
        }
        if envelope.payload.is_none() {
            if envelope.payload_kind != Protocol::Eos {
                let kind = envelope.payload_kind.as_str();
                return Err(Error::invalid("block envelope", format!("no payload of an Antelope chain, kind {kind}")));
            }
            let value = std::mem::take(&mut envelope.payload_buffer);
            envelope.payload = Some(Any { type_url: ANTELOPE_BLOCK_TYPE_URL.to_owned(), value });
        }
        if envelope.parent_num == 0 {
            envelope.parent_num = envelope.number.saturating_sub(1);
        }
        Ok(envelope)
    }

    /// The Antelope block in the payload, which must be the one that the envelope names. Nothing of its lists is decoded.
    pub fn parts(&self) -> Result<BlockParts> {
        let Some(payload) = &self.payload else {
            return Err(Error::invalid("block envelope", "no payload"));
        };
        if ![ANTELOPE_BLOCK_TYPE_URL, EOSIO_BLOCK_TYPE_URL].contains(&payload.type_url.as_str()) {
            let found = shorten(&payload.type_url);
            return Err(Error::invalid("block envelope", format!("payload is a \"{found}\", not an Antelope block")));
        }
        let parts = BlockParts::locate(payload.value.clone())?;
        if u64::from(parts.number()) != self.number || parts.id() != self.id {
            return Err(Error::invalid(
                "block envelope",
                format!("it names block {} {}, its payload is {} {}", self.number, self.id, parts.number(), parts.id()),
            ));
        }
        Ok(parts)
    }

    /// The same block, decoded.
    pub fn block(&self) -> Result<Block> {
        self.parts()?.decode()
    }
}

/// Writes the envelope of a block in one pass; `writer`, emptied first, can be used for block after block.
pub fn encode_envelope(block: &Block, writer: &mut ReverseWriter) {
    writer.clear();
    writer.delimited(PAYLOAD_TAG, |writer| {
        Field::encode(block, 2, writer);
        writer.delimited(1, |writer| writer.bytes(ANTELOPE_BLOCK_TYPE_URL.as_bytes()));
    });
    Message::encode(&BlockMeta::of(block), writer);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ActionTrace, BlockHeader, TransactionTrace};

    fn id(number: u32) -> Checksum256 {
        let mut id = Checksum256::sha256(&number.to_be_bytes());
        id.0[..4].copy_from_slice(&number.to_be_bytes());
        id
    }

    fn block(number: u32) -> Block {
        Block {
            id: id(number),
            number,
            version: 1,
            header: BlockHeader { previous: id(number - 1), timestamp: BlockTimestamp(77), ..Default::default() },
            dpos_irreversible_blocknum: number - 1,
            ..Default::default()
        }
    }

    fn envelope(block: &Block) -> Bytes {
        let mut writer = ReverseWriter::new();
        encode_envelope(block, &mut writer);
        Bytes::copy_from_slice(writer.as_slice())
    }

    #[test]
    fn one_pass_equals_the_message() {
        let block = block(500);
        let wanted = Envelope {
            number: 500,
            id: block.id,
            parent_id: id(499),
            timestamp: BlockTimestamp(77),
            lib_num: 499,
            parent_num: 499,
            payload: Some(Any { type_url: ANTELOPE_BLOCK_TYPE_URL.to_owned(), value: block.to_bytes() }),
            ..Default::default()
        };
        let bytes = envelope(&block);
        assert_eq!(bytes, wanted.to_bytes());
        assert_eq!(Envelope::read(&bytes).unwrap(), wanted);
        assert_eq!(wanted.block().unwrap(), block);
        assert_eq!(BlockMeta::read(&bytes).unwrap(), BlockMeta::of(&block));
    }

    #[test]
    fn older_forms_are_read() {
        let block = block(500);
        // Before `payload`: kind, version and buffer, no number of the parent.
        let buffer = Envelope {
            parent_num: 0,
            payload: None,
            payload_kind: Protocol::Eos,
            payload_version: 1,
            payload_buffer: block.to_bytes(),
            ..Envelope::read(&envelope(&block)).unwrap()
        };
        let read = Envelope::read(&buffer.to_bytes()).unwrap();
        assert_eq!((read.block().unwrap(), read.parent_num), (block.clone(), 499));
        assert_eq!(BlockMeta::read(&buffer.to_bytes()).unwrap().parent_num, 499);

        // Between the two: the payload in field 9, of the older type.
        let any = Any { type_url: EOSIO_BLOCK_TYPE_URL.to_owned(), value: block.to_bytes() };
        let mut writer = ReverseWriter::new();
        Field::encode(&any, 9, &mut writer);
        Message::encode(&BlockMeta { parent_num: 0, ..BlockMeta::of(&block) }, &mut writer);
        let bytes = Bytes::copy_from_slice(writer.as_slice());
        let read = Envelope::read(&bytes).unwrap();
        assert_eq!((read.block().unwrap(), read.parent_num), (block.clone(), 499));
        assert_eq!(BlockMeta::read(&bytes).unwrap(), BlockMeta::of(&block));
    }

    #[test]
    fn counters_of_version_0_are_computed() {
        let mut block = block(500);
        let input = ActionTrace::default();
        let inline = ActionTrace { creator_action_ordinal: 1, ..Default::default() };
        block.version = 0;
        block.unfiltered_transactions = vec![Default::default(); 3];
        block.unfiltered_transaction_traces = vec![
            TransactionTrace { action_traces: vec![input.clone(), inline], ..Default::default() },
            TransactionTrace { action_traces: vec![input], ..Default::default() },
        ];
        let read = Envelope::read(&envelope(&block)).unwrap().block().unwrap();
        let counters = [
            read.unfiltered_transaction_count,
            read.unfiltered_transaction_trace_count,
            read.unfiltered_executed_input_action_count,
            read.unfiltered_executed_total_action_count,
        ];
        assert_eq!(counters, [3, 2, 2, 3]);
    }

    #[test]
    fn foreign_and_contradicting_payloads_are_refused() {
        let mut read = Envelope::read(&envelope(&block(500))).unwrap();
        read.number = 501;
        assert!(read.block().unwrap_err().to_string().contains("names block 501"));
        read.payload.as_mut().unwrap().type_url = "type.googleapis.com/sf.ethereum.type.v2.Block".to_owned();
        assert!(read.block().unwrap_err().to_string().contains("not an Antelope block"));
        let other = Envelope { payload: None, payload_kind: Protocol::Eth, ..read };
        assert!(Envelope::read(&other.to_bytes()).unwrap_err().to_string().contains("kind ETH"));
    }
}
