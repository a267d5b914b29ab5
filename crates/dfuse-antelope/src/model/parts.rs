//! A block whose lists are located but not decoded.
//!
//! A lifecycle wants one trace of a block that has hundreds. Decoding the others would cost an allocation for nearly
//! every field, only to drop it. [`BlockParts`] walks the top level of a block once, and decodes what is asked for.

use std::{fmt, ops::Range};

use bytes::Bytes;

use super::{
    block::{Block, BlockHeader},
    message::{Field, Message},
    operation::TrxOp,
    trace::TransactionTrace,
    transaction::TransactionReceipt,
    wire::{Reader, WireType},
};
use crate::{Checksum256, Error, Result};

/// Field numbers of [`Block`] that the walk looks at.
mod tags {
    pub(super) const ID: u32 = 1;
    pub(super) const NUMBER: u32 = 2;
    pub(super) const VERSION: u32 = 3;
    pub(super) const HEADER: u32 = 4;
    pub(super) const RECEIPTS: u32 = 6;
    pub(super) const IMPLICIT: u32 = 20;
    pub(super) const TRACES: u32 = 21;
    pub(super) const FILTERING_APPLIED: u32 = 40;
    pub(super) const FILTERED_TRACES: u32 = 46;
    pub(super) const FILTERED_RECEIPTS: u32 = 47;
    pub(super) const FILTERED_IMPLICIT: u32 = 49;
}

/// Field number of `id` in a [`TransactionReceipt`].
const RECEIPT_ID: u32 = 4;
/// Field number of `id` in a [`TransactionTrace`].
const TRACE_ID: u32 = 1;

/// Where the messages of a list are in the block's bytes.
type Places = Vec<Range<usize>>;

/// The three lists of a block, either unfiltered or filtered.
#[derive(Default)]
struct Lists {
    receipts: Places,
    traces: Places,
    implicit: Places,
}

/// An encoded block, of which single pieces can be decoded. Positions are those of the lists that
/// [`Block::transactions`], [`Block::transaction_traces`] and [`Block::implicit_transaction_ops`] give.
///
/// What is decoded shares the memory of the block's bytes.
pub struct BlockParts {
    data: Bytes,
    id: Checksum256,
    number: u32,
    version: u32,
    /// Where the header is; a writer may have split it.
    header: Places,
    lists: Lists,
}

impl fmt::Debug for BlockParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "parts of block {} {} ({} bytes)", self.number, self.id, self.data.len())
    }
}

impl BlockParts {
    /// Locates the pieces of a block in protobuf form (`sf.antelope.type.v1.Block`).
    ///
    /// # Errors
    /// The bytes are not a protobuf message. Pieces are not looked into.
    pub fn locate(data: Bytes) -> Result<Self> {
        let (mut id, mut number, mut version, mut is_filtered) = (Checksum256::default(), 0, 0, false);
        let (mut unfiltered, mut filtered, mut header) = (Lists::default(), Lists::default(), Places::new());
        let mut reader = Reader::new(&data);
        while !reader.is_empty() {
            let (tag, wire_type) = reader.key()?;
            let list = match tag {
                tags::HEADER => Some(&mut header),
                tags::RECEIPTS => Some(&mut unfiltered.receipts),
                tags::TRACES => Some(&mut unfiltered.traces),
                tags::IMPLICIT => Some(&mut unfiltered.implicit),
                tags::FILTERED_RECEIPTS => Some(&mut filtered.receipts),
                tags::FILTERED_TRACES => Some(&mut filtered.traces),
                tags::FILTERED_IMPLICIT => Some(&mut filtered.implicit),
                _ => None,
            };
            match (list, tag) {
                (Some(list), _) => {
                    reader.expect(wire_type, WireType::Delimited)?;
                    list.push(reader.place()?);
                }
                (None, tags::ID) => Field::merge(&mut id, tag, wire_type, &mut reader)?,
                (None, tags::NUMBER) => Field::merge(&mut number, tag, wire_type, &mut reader)?,
                (None, tags::VERSION) => Field::merge(&mut version, tag, wire_type, &mut reader)?,
                (None, tags::FILTERING_APPLIED) => Field::merge(&mut is_filtered, tag, wire_type, &mut reader)?,
                (None, _) => reader.skip(wire_type)?,
            }
        }
        let lists = if is_filtered { filtered } else { unfiltered };
        Ok(Self { data, id, number, version, header, lists })
    }

    /// Block id.
    pub fn id(&self) -> Checksum256 {
        self.id
    }

    /// Height.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The whole block.
    ///
    /// # Errors
    /// Something in it does not decode.
    pub fn decode(&self) -> Result<Block> {
        let mut block = Block::decode(&self.data)?;
        if block.version == 0 {
            block.update_counts();
        }
        Ok(block)
    }

    /// The block without its receipts, traces and implicit transactions; the counters of what it holds are right.
    ///
    /// # Errors
    /// Something else in it does not decode; in a block of version 0, which has no counters, anything.
    pub fn frame(&self) -> Result<Block> {
        let mut block = Block::default();
        if self.version == 0 {
            block = self.decode()?;
            block.unfiltered_transactions = Vec::new();
            block.unfiltered_transaction_traces = Vec::new();
            block.unfiltered_implicit_transaction_ops = Vec::new();
            block.filtered_transactions = Vec::new();
            block.filtered_transaction_traces = Vec::new();
            block.filtered_implicit_transaction_ops = Vec::new();
            return Ok(block);
        }
        let mut reader = Reader::new(&self.data);
        while !reader.is_empty() {
            let (tag, wire_type) = reader.key()?;
            match tag {
                tags::RECEIPTS
                | tags::TRACES
                | tags::IMPLICIT
                | tags::FILTERED_RECEIPTS
                | tags::FILTERED_TRACES
                | tags::FILTERED_IMPLICIT => reader.skip(wire_type)?,
                _ => block.merge_field(tag, wire_type, &mut reader)?,
            }
        }
        Ok(block)
    }

    /// The header alone.
    ///
    /// # Errors
    /// It does not decode.
    pub fn header(&self) -> Result<BlockHeader> {
        let mut header = BlockHeader::default();
        for place in &self.header {
            Message::merge(&mut header, &mut Reader::new(&self.data.slice(place.clone())))?;
        }
        Ok(header)
    }

    /// The receipt at a position; absent if the block has fewer.
    ///
    /// # Errors
    /// It does not decode.
    pub fn receipt(&self, position: u32) -> Result<Option<TransactionReceipt>> {
        self.piece(&self.lists.receipts, position)
    }

    /// The trace at a position; absent if the block has fewer.
    ///
    /// # Errors
    /// It does not decode.
    pub fn trace(&self, position: u32) -> Result<Option<TransactionTrace>> {
        self.piece(&self.lists.traces, position)
    }

    /// The implicit transaction at a position; absent if the block has fewer.
    ///
    /// # Errors
    /// It does not decode.
    pub fn implicit_transaction_op(&self, position: u32) -> Result<Option<TrxOp>> {
        self.piece(&self.lists.implicit, position)
    }

    /// Ids of the receipts, in block order.
    ///
    /// # Errors
    /// A receipt that is not a protobuf message.
    pub fn receipt_ids(&self) -> impl Iterator<Item = Result<Checksum256>> + '_ {
        self.lists.receipts.iter().map(|place| self.id_of(place, RECEIPT_ID))
    }

    /// Ids of the traces, in the order of execution.
    ///
    /// # Errors
    /// A trace that is not a protobuf message.
    pub fn trace_ids(&self) -> impl Iterator<Item = Result<Checksum256>> + '_ {
        self.lists.traces.iter().map(|place| self.id_of(place, TRACE_ID))
    }

    fn piece<M: Message>(&self, places: &[Range<usize>], position: u32) -> Result<Option<M>> {
        let place = usize::try_from(position).ok().and_then(|position| places.get(position));
        place.map(|place| M::decode(&self.data.slice(place.clone()))).transpose()
    }

    /// Reads the id of a message and nothing else.
    fn id_of(&self, place: &Range<usize>, id_tag: u32) -> Result<Checksum256> {
        let message = self.data.slice(place.clone());
        let mut reader = Reader::new(&message);
        while !reader.is_empty() {
            let (tag, wire_type) = reader.key()?;
            if tag == id_tag {
                let mut id = Checksum256::default();
                Field::merge(&mut id, tag, wire_type, &mut reader)?;
                return Ok(id);
            }
            reader.skip(wire_type)?;
        }
        Err(Error::invalid("block", format!("block {} has a transaction without an id", self.number)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::ActionTrace;

    fn id(byte: u8) -> Checksum256 {
        Checksum256::sha256(&[byte])
    }

    fn block(receipts: u8, traces: u8, filtered: Option<u8>) -> Block {
        let receipt = |byte| TransactionReceipt { id: id(byte), net_usage_words: byte.into(), ..Default::default() };
        let trace = |byte| TransactionTrace {
            id: id(byte),
            action_traces: vec![ActionTrace { console: format!("trace {byte}"), ..Default::default() }],
            ..Default::default()
        };
        let op = |byte| TrxOp { transaction_id: id(byte), ..Default::default() };
        let mut block = Block {
            id: id(255),
            number: 77,
            version: 1,
            header: BlockHeader { confirmed: 3, ..Default::default() },
            unfiltered_transactions: (0..receipts).map(receipt).collect(),
            unfiltered_transaction_traces: (0..traces).map(trace).collect(),
            unfiltered_implicit_transaction_ops: (0..traces / 2).map(op).collect(),
            producer_signature: "SIG".to_owned(),
            ..Default::default()
        };
        if let Some(filtered) = filtered {
            block.filtering_applied = true;
            block.filtered_transactions = (0..filtered).map(receipt).collect();
            block.filtered_transaction_traces = (100..100 + filtered).map(trace).collect();
            block.filtered_implicit_transaction_ops = (0..filtered).map(op).collect();
        }
        block.update_counts();
        block
    }

    proptest! {
        #[test]
        fn pieces_are_those_of_the_whole(receipts in 0..20_u8, traces in 0..20_u8, filtered in prop::option::of(0..5_u8)) {
            let block = block(receipts, traces, filtered);
            let parts = BlockParts::locate(block.to_bytes()).unwrap();
            prop_assert_eq!((parts.id(), parts.number()), (block.id, block.number));
            prop_assert_eq!(&parts.decode().unwrap(), &block);
            for position in 0..25 {
                let at = position as usize;
                let receipt = parts.receipt(position).unwrap();
                let trace = parts.trace(position).unwrap();
                let op = parts.implicit_transaction_op(position).unwrap();
                prop_assert_eq!(receipt.as_ref(), block.transactions().get(at));
                prop_assert_eq!(trace.as_ref(), block.transaction_traces().get(at));
                prop_assert_eq!(op.as_ref(), block.implicit_transaction_ops().get(at));
            }
            let ids: Vec<_> = parts.receipt_ids().map(Result::unwrap).collect();
            prop_assert_eq!(ids, block.transactions().iter().map(|it| it.id).collect::<Vec<_>>());
            let ids: Vec<_> = parts.trace_ids().map(Result::unwrap).collect();
            prop_assert_eq!(ids, block.transaction_traces().iter().map(|it| it.id).collect::<Vec<_>>());
            prop_assert_eq!(&parts.header().unwrap(), &block.header);
            let frame = parts.frame().unwrap();
            let bare = Block {
                unfiltered_transactions: vec![],
                unfiltered_transaction_traces: vec![],
                unfiltered_implicit_transaction_ops: vec![],
                filtered_transactions: vec![],
                filtered_transaction_traces: vec![],
                filtered_implicit_transaction_ops: vec![],
                ..block
            };
            prop_assert_eq!(frame, bare);
        }

        #[test]
        fn any_bytes_give_parts_or_an_error(bytes: Vec<u8>) {
            if let Ok(parts) = BlockParts::locate(bytes.into()) {
                let _ = (parts.frame(), parts.trace(0), parts.receipt(0), parts.trace_ids().count());
            }
        }
    }

    #[test]
    fn counters_of_version_0_are_those_of_the_lists() {
        let mut block = block(3, 4, None);
        block.version = 0;
        block.unfiltered_transaction_count = 0;
        block.unfiltered_executed_total_action_count = 0;
        let frame = BlockParts::locate(block.to_bytes()).unwrap().frame().unwrap();
        assert_eq!((frame.unfiltered_transaction_count, frame.unfiltered_executed_total_action_count), (3, 4));
        assert!(frame.unfiltered_transactions.is_empty() && frame.unfiltered_transaction_traces.is_empty());
    }

    #[test]
    fn damage_in_one_piece_does_not_concern_the_others() {
        let block = block(2, 2, None);
        let mut bytes = block.to_bytes().to_vec();
        // The id of the second trace is 32 bytes of text that are hex no more.
        let text = id(1).to_string();
        let at = bytes.windows(64).rposition(|window| window == text.as_bytes()).unwrap();
        bytes[at] = b'?';
        let parts = BlockParts::locate(bytes.into()).unwrap();
        assert_eq!(parts.trace(0).unwrap().unwrap(), block.unfiltered_transaction_traces[0]);
        assert!(parts.trace(1).is_err() && parts.decode().is_err());
    }
}
