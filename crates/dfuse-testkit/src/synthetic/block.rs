//! Blocks: headers, block states of the consensus with producers' confirmations, and what replaces them under Savanna.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use dfuse_antelope::{Checksum256, Name, PrivateKey, PublicKey, raw::Writer};

use super::{
    Software,
    state::Usage,
    wire::{IncrementalMerkle, Receipt, merkle, pack_extension},
};

/// The block that the next one follows, and what blocks carry on from one to the next.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) number: u32,
    pub(crate) id: Checksum256,
    pub(crate) slot: u32,
    pub(crate) lib: u32,
    /// The packed header of the head: what the next `onblock` carries.
    pub(crate) header: Vec<u8>,
    /// Ids from the LIB on.
    pub(crate) ids: BTreeMap<u32, Checksum256>,
    merkle: IncrementalMerkle,
    pub(crate) activated: Vec<Checksum256>,
    schedule: Schedule,
    /// A schedule that waits until the block that proposed it is irreversible.
    pending: Option<(u32, Schedule)>,
    pending_block: u32,
    last_produced: BTreeMap<Name, u32>,
    last_implied: BTreeMap<Name, u32>,
    pub(crate) net: Usage,
    pub(crate) cpu: Usage,
    pub(crate) virtual_net: u64,
    pub(crate) virtual_cpu: u64,
}

#[derive(Debug, Clone)]
struct Schedule {
    version: u32,
    producers: Vec<(Name, PublicKey)>,
}

impl Schedule {
    fn new(version: u32, producers: &[Name]) -> Self {
        let producers = producers.iter().map(|name| (*name, private_key(*name).public_key())).collect();
        Self { version, producers }
    }

    fn pack(&self, w: &mut Writer) {
        w.u32(self.version);
        w.list(&self.producers, |w, (producer, key)| {
            w.name(*producer);
            pack_signing_authority(w, key);
        });
    }

    fn digest(&self) -> Checksum256 {
        let mut w = Writer::new();
        self.pack(&mut w);
        Checksum256::sha256(&w.bytes)
    }
}

/// The key that an account is created with. It goes on signing with it, whatever becomes of its permissions.
pub fn private_key(account: Name) -> PrivateKey {
    PrivateKey::k1(&Checksum256::sha256(&account.0.to_le_bytes()).0).expect("no name has such a digest")
}

fn pack_signing_authority(w: &mut Writer, key: &PublicKey) {
    w.varuint32(0);
    w.u32(1);
    w.count(1);
    key.write(w);
    w.u16(1);
}

/// What was executed, to be sealed into a block.
pub(crate) struct Body<'a> {
    pub(crate) slot: u32,
    pub(crate) lib: u32,
    pub(crate) receipts: &'a [Receipt],
    pub(crate) action_digests: Vec<Checksum256>,
    /// Protocol features that the block activates.
    pub(crate) features: Vec<Checksum256>,
    pub(crate) proposed: Vec<Name>,
    pub(crate) signature: [u8; 65],
}

/// The payload of the line that ends a block.
pub(crate) enum Sealed {
    V1(Vec<u8>),
    V2([Vec<u8>; 4]),
}

impl Head {
    /// The block before the first: a genesis header and nothing else.
    pub(crate) fn genesis(slot: u32, seed: u64) -> Self {
        // Where a real genesis block has the digest of its configuration.
        let action_root = Checksum256::sha256(&seed.to_le_bytes());
        let header = Header { slot, action_root, ..Header::default() }.packed();
        let id = block_id(1, &header);
        Self {
            number: 1,
            id,
            slot,
            lib: 0,
            header,
            ids: BTreeMap::from([(1, id)]),
            merkle: IncrementalMerkle::default(),
            activated: Vec::new(),
            schedule: Schedule::new(0, &[Name::EOSIO]),
            pending: None,
            pending_block: 0,
            last_produced: BTreeMap::new(),
            last_implied: BTreeMap::new(),
            net: Usage::default(),
            cpu: Usage::default(),
            virtual_net: 1_048_576,
            virtual_cpu: 200_000,
        }
    }

    /// The reference that transactions carry to prove which chain they are for: the number and four bytes of the LIB's id.
    pub(crate) fn reference(&self) -> (u16, u32) {
        let (number, id) = self.ids.first_key_value().expect("the head is among them");
        (*number as u16, u32::from_le_bytes([id.0[8], id.0[9], id.0[10], id.0[11]]))
    }

    /// Appends a block and returns its producer's view of it.
    pub(crate) fn append(&mut self, software: Software, body: Body<'_>) -> Sealed {
        let number = self.number + 1;
        let previous = self.id;
        let savanna = matches!(software, Software::Spring { savanna_from } if number >= savanna_from);
        if self.pending.as_ref().is_some_and(|(proposed, _)| *proposed <= self.lib) {
            self.schedule = self.pending.take().expect("just seen").1;
        }
        let producers = &self.schedule.producers;
        let (producer, key) = producers[body.slot as usize / 12 % producers.len()].clone();

        let prunable = software == Software::Eosio21;
        let mut packed_receipts = Writer::new();
        packed_receipts.count(body.receipts.len());
        let digests = body.receipts.iter().map(|receipt| receipt.pack(&mut packed_receipts, prunable)).collect();
        let (transaction_root, action_root) = (merkle(digests), merkle(body.action_digests));

        let header = Header {
            slot: body.slot,
            producer,
            previous,
            transaction_root,
            action_root,
            schedule_version: if savanna { 0x8000_0000 } else { self.schedule.version },
            extensions: self.header_extensions(software, number, &body.features, &body.proposed),
        };
        let header = header.packed();
        let id = block_id(number, &header);

        let mut block = Writer::new();
        block.take(&header);
        super::wire::pack_signature(&mut block, &body.signature);
        if prunable {
            block.u8(0);
        }
        block.take(&packed_receipts.bytes);
        let block_extensions =
            if savanna && !number.is_multiple_of(8) { vec![(3, certificate(number - 1))] } else { vec![] };
        block.list(&block_extensions, pack_extension);

        self.merkle.append(previous);
        self.activated.extend(body.features);
        self.lib = body.lib;
        self.last_produced.insert(producer, number);
        self.last_implied.insert(producer, body.lib);
        if !body.proposed.is_empty() {
            let schedule = Schedule::new(self.schedule.version + 1, &body.proposed);
            self.pending = Some((number, schedule));
            self.pending_block = number;
        }
        self.number = number;
        self.id = id;
        self.slot = body.slot;
        self.ids.insert(number, id);
        while self.ids.first_key_value().is_some_and(|(number, _)| *number < self.lib) {
            self.ids.pop_first();
        }

        let sealed = if savanna {
            Sealed::V2(self.finality(software, block.bytes, &action_root))
        } else {
            Sealed::V1(self.block_state(software, &key, &header, &body.signature, &block.bytes, &action_root))
        };
        self.header = header;
        sealed
    }

    fn header_extensions(
        &self,
        software: Software,
        number: u32,
        features: &[Checksum256],
        proposed: &[Name],
    ) -> Vec<(u16, Vec<u8>)> {
        let mut extensions = Vec::new();
        let mut extension = |id, write: &dyn Fn(&mut Writer)| {
            let mut w = Writer::new();
            write(&mut w);
            extensions.push((id, w.bytes));
        };
        if !features.is_empty() {
            extension(0, &|w| w.list(features, |w, digest| w.checksum256(digest)));
        }
        if !proposed.is_empty() {
            let schedule = Schedule::new(self.schedule.version + 1, proposed);
            extension(1, &|w| schedule.pack(w));
        }
        if let Software::Spring { savanna_from } = software
            && number >= savanna_from
        {
            extension(2, &|w| {
                w.u32(number.max(savanna_from + 1) - 1);
                w.bool(number > savanna_from + 2);
                w.bool(number == savanna_from);
                if number == savanna_from {
                    w.u32(1); // generation
                    w.u64(1); // threshold
                    w.count(0); // removed
                    w.count(1); // inserted: its place, description, weight, key
                    w.u16(0);
                    w.blob(FINALIZER.as_bytes());
                    w.u64(1);
                    w.blob(&finalizer_key());
                }
                w.bool(false); // no proposer policy
            });
        }
        extensions
    }

    /// The fields of `block_state` in the order of nodeos.
    fn block_state(
        &self,
        software: Software,
        key: &PublicKey,
        header: &[u8],
        signature: &[u8; 65],
        block: &[u8],
        action_root: &Checksum256,
    ) -> Vec<u8> {
        let mut w = Writer::new();
        let by_producer = |w: &mut Writer, numbers: &BTreeMap<Name, u32>| {
            w.count(numbers.len());
            for (producer, number) in numbers {
                w.name(*producer);
                w.u32(*number);
            }
        };
        w.u32(self.number);
        w.u32(self.lib.max(self.number.saturating_sub(1))); // proposed irreversible
        w.u32(self.lib);
        self.schedule.pack(&mut w);
        w.list(&self.merkle.active_nodes, |w, node| w.checksum256(node));
        w.u64(self.merkle.node_count);
        by_producer(&mut w, &self.last_produced);
        by_producer(&mut w, &self.last_implied);
        pack_signing_authority(&mut w, key);
        // With more than one producer every reversible block counts who still has to confirm it.
        let unconfirmed = if self.schedule.producers.len() > 1 { self.number - self.lib } else { 0 };
        w.blob(&(0..unconfirmed.min(1024)).map(|age| if age < unconfirmed / 2 { 1 } else { 2 }).collect::<Vec<_>>());
        w.checksum256(&self.id);
        w.take(header);
        super::wire::pack_signature(&mut w, signature);
        let waiting = self.pending.as_ref().map(|(_, schedule)| schedule.clone());
        let pending = waiting.unwrap_or(Schedule::new(self.schedule.version, &[]));
        w.u32(self.pending_block);
        w.checksum256(&pending.digest());
        pending.pack(&mut w);
        w.bool(true);
        w.list(&self.activated, |w, digest| w.checksum256(digest));
        w.count(0); // additional signatures
        w.bool(true);
        w.take(block);
        w.bool(true); // validated
        if matches!(software, Software::Spring { .. }) {
            w.option(Some(action_root), |w, root| w.checksum256(root));
        }
        w.bytes
    }

    /// Block, finality data, active proposer policy and active finalizer policy.
    fn finality(&self, software: Software, block: Vec<u8>, action_root: &Checksum256) -> [Vec<u8>; 4] {
        let Software::Spring { savanna_from } = software else { unreachable!("only Spring has Savanna") };
        let transition = self.number == savanna_from;
        let mut data = Writer::new();
        data.u32(1);
        data.u32(0);
        data.u32(1);
        data.checksum256(action_root);
        data.checksum256(&Checksum256::sha256(&self.id.0));
        let claimed = if transition { self.number } else { self.number - 1 };
        data.u32(claimed);
        data.checksum256(&Checksum256::sha256(&claimed.to_le_bytes()));
        data.u32(if transition { 0 } else { self.slot - 1 });
        data.checksum256(&Checksum256::sha256(&block));
        data.bool(transition);
        if transition {
            finalizer_policy(&mut data);
        }
        data.u32(1);
        let mut proposers = Writer::new();
        proposers.u32(0);
        self.schedule.pack(&mut proposers);
        let mut finalizers = Writer::new();
        finalizer_policy(&mut finalizers);
        [block, data.bytes, proposers.bytes, finalizers.bytes]
    }
}

const FINALIZER: &str = "finalizer of the synthetic chain";

fn finalizer_key() -> [u8; 96] {
    let mut key = [0; 96];
    for (number, part) in key.chunks_mut(32).enumerate() {
        part.copy_from_slice(&Checksum256::sha256(&[number as u8]).0);
    }
    key
}

fn finalizer_policy(w: &mut Writer) {
    w.u32(1); // generation
    w.u64(1); // threshold
    w.count(1);
    w.blob(FINALIZER.as_bytes());
    w.u64(1);
    let mut key = finalizer_key().to_vec();
    key.extend_from_slice(&Checksum256::sha256(&key).0[..4]);
    w.blob(format!("PUB_BLS_{}", BASE64_URL_SAFE_NO_PAD.encode(&key)).as_bytes());
}

/// A quorum certificate: one finalizer of one signed strongly.
fn certificate(number: u32) -> Vec<u8> {
    let mut w = Writer::new();
    w.u32(number);
    w.bool(true);
    w.count(1);
    w.u8(1);
    w.bool(false);
    w.blob(&[finalizer_key(), finalizer_key()].concat());
    w.bool(false);
    w.bytes
}

#[derive(Default)]
struct Header {
    slot: u32,
    producer: Name,
    previous: Checksum256,
    transaction_root: Checksum256,
    action_root: Checksum256,
    schedule_version: u32,
    extensions: Vec<(u16, Vec<u8>)>,
}

impl Header {
    fn packed(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u32(self.slot);
        w.name(self.producer);
        w.u16(0); // confirmed
        w.checksum256(&self.previous);
        w.checksum256(&self.transaction_root);
        w.checksum256(&self.action_root);
        w.u32(self.schedule_version);
        w.bool(false); // new_producers moved to an extension
        w.list(&self.extensions, pack_extension);
        w.bytes
    }
}

fn block_id(number: u32, header: &[u8]) -> Checksum256 {
    let mut id = Checksum256::sha256(header);
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    id
}
