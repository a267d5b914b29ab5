//! The chain in the naive way: all blocks that came, and what clients must be told of them.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE};
use crypto_secretbox::{KeyInit, XSalsa20Poly1305, aead::Aead};
use dfuse_antelope::{
    Checksum256,
    model::{Block, Message as _},
};
use dfuse_proto::sf::firehose::v2::{ForkStep, Response};

pub(crate) const NEW: i32 = ForkStep::StepNew as i32;
pub(crate) const UNDO: i32 = ForkStep::StepUndo as i32;
pub(crate) const FINAL: i32 = ForkStep::StepFinal as i32;

/// What happened to a block, by its id.
pub(crate) type Event = (i32, Checksum256);

/// All blocks that came, and the best of them.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) blocks: BTreeMap<Checksum256, Arc<Block>>,
    pub(crate) head: Option<Checksum256>,
    /// Number of the last final block; it never goes back.
    pub(crate) lib: u32,
}

impl Model {
    /// The chain that ends with a block, the first one first.
    pub(crate) fn chain(&self, end: Option<Checksum256>) -> Vec<Checksum256> {
        let parent =
            |id: &Checksum256| Some(self.blocks.get(id)?.header.previous).filter(|id| self.blocks.contains_key(id));
        let mut chain: Vec<_> = std::iter::successors(end, parent).collect();
        chain.reverse();
        chain
    }

    /// What a client whose chain ends with that block is told, until it has the best one.
    pub(crate) fn way(&self, from: Option<Checksum256>) -> Vec<Event> {
        self.way_above(from, 0)
    }

    /// The same for one that began with the block after `floor`.
    pub(crate) fn way_above(&self, from: Option<Checksum256>, floor: u32) -> Vec<Event> {
        let (old, new) = (self.chain(from), self.chain(self.head));
        let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
        let undone = old[same..].iter().rev().map(|id| (UNDO, *id));
        let way = undone.chain(new[same..].iter().map(|id| (NEW, *id)));
        way.filter(|(_, id)| id.block_num() > floor).collect()
    }

    /// Takes a block in; the longest chain is the best one, and of two the one that was there first.
    pub(crate) fn push(&mut self, block: &Arc<Block>) -> Vec<Event> {
        let before = self.head;
        self.blocks.insert(block.id, block.clone());
        if before.is_none_or(|head| block.number > head.block_num()) {
            self.head = Some(block.id);
            self.lib = self.lib.max(block.dpos_irreversible_blocknum);
        }
        self.way(before)
    }
}

/// The event of a response, which must say the same everywhere.
pub(crate) fn event(response: &Response, model: &Model) -> Event {
    let event = event_alone(response, model);
    let any = response.block.as_ref().unwrap();
    assert_eq!(any.value, model.blocks[&event.1].to_bytes());
    event
}

/// The event of a response whose block may be a part of what it was.
pub(crate) fn event_alone(response: &Response, model: &Model) -> Event {
    let metadata = response.metadata.as_ref().unwrap();
    let id: Checksum256 = metadata.id.parse().unwrap();
    let block = &model.blocks[&id];
    let any = response.block.as_ref().unwrap();
    assert_eq!(any.type_url, "type.googleapis.com/sf.antelope.type.v1.Block");
    assert_eq!(
        (metadata.num, metadata.parent_num, &metadata.parent_id, metadata.lib_num),
        (
            block.number.into(),
            u64::from(block.number) - 1,
            &block.header.previous.to_string(),
            block.dpos_irreversible_blocknum.into()
        )
    );
    let time = metadata.time.as_ref().unwrap();
    let milliseconds = time.seconds * 1000 + i64::from(time.nanos) / 1_000_000;
    assert_eq!(milliseconds, block.header.timestamp.to_unix_ms());
    (response.step, id)
}

/// Where a client stands after an event.
pub(crate) fn tip(event: &Event, model: &Model) -> Checksum256 {
    if event.0 == UNDO { model.blocks[&event.1].header.previous } else { event.1 }
}

/// A cursor as other servers of the family write it.
pub(crate) fn family(plain: &str) -> String {
    let bytes = |hex: &str| const_hex::decode(hex).unwrap();
    let key = bytes("7bfcacee257409099edd2bb6a442638b559a80bfbfc0b9acdea0d8344b10eb00");
    let nonce = bytes("261554c45ab9b752abad4f19c242605702d55a0d91616a1b");
    let cipher = XSalsa20Poly1305::new_from_slice(&key).unwrap();
    URL_SAFE.encode(cipher.encrypt(nonce.as_slice().into(), plain.as_bytes()).unwrap())
}
