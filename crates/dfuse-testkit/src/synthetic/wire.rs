//! What travels in blocks, packed as nodeos packs it.

use std::io::Write as _;

use dfuse_antelope::{Checksum256, Name, raw::Writer};
use flate2::{Compression, write::ZlibEncoder};

/// An actor and the permission it acts with.
pub(crate) type Level = (Name, Name);

/// What a contract is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The contract.
    pub account: Name,
    /// The action.
    pub name: Name,
    /// Actors and the permissions they act with.
    pub authorization: Vec<(Name, Name)>,
    /// Packed arguments.
    pub data: Vec<u8>,
}

impl Action {
    fn pack_base(&self, w: &mut Writer) {
        w.name(self.account);
        w.name(self.name);
        w.list(&self.authorization, pack_level);
    }

    pub(crate) fn pack(&self, w: &mut Writer) {
        self.pack_base(w);
        w.blob(&self.data);
    }

    /// The digest in an action receipt. With `output`, as computed since the feature ACTION_RETURN_VALUE.
    pub(crate) fn digest(&self, output: Option<&[u8]>, w: &mut Writer) -> Checksum256 {
        w.bytes.clear();
        let Some(output) = output else {
            self.pack(w);
            return Checksum256::sha256(&w.bytes);
        };
        self.pack_base(w);
        let base = Checksum256::sha256(&w.bytes);
        w.bytes.clear();
        w.blob(&self.data);
        w.blob(output);
        let data = Checksum256::sha256(&w.bytes);
        pair_digest(&base, &data)
    }
}

pub(crate) fn pack_level(w: &mut Writer, level: &Level) {
    w.name(level.0);
    w.name(level.1);
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Transaction {
    /// Seconds since 1970.
    pub(crate) expiration: u32,
    pub(crate) ref_block_num: u16,
    pub(crate) ref_block_prefix: u32,
    pub(crate) delay_seconds: u32,
    pub(crate) context_free_actions: Vec<Action>,
    pub(crate) actions: Vec<Action>,
    pub(crate) extensions: Vec<(u16, Vec<u8>)>,
}

impl Transaction {
    pub(crate) fn pack(&self, w: &mut Writer) {
        w.u32(self.expiration);
        w.u16(self.ref_block_num);
        w.u32(self.ref_block_prefix);
        w.varuint32(0); // max_net_usage_words
        w.u8(0); // max_cpu_usage_ms
        w.varuint32(self.delay_seconds);
        w.list(&self.context_free_actions, |w, action| action.pack(w));
        w.list(&self.actions, |w, action| action.pack(w));
        w.list(&self.extensions, pack_extension);
    }

    pub(crate) fn packed(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.pack(&mut w);
        w.bytes
    }
}

pub(crate) fn pack_extension(w: &mut Writer, extension: &(u16, Vec<u8>)) {
    w.u16(extension.0);
    w.blob(&extension.1);
}

/// A transaction as a user pushes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedTransaction {
    pub(crate) transaction: Transaction,
    pub(crate) signatures: Vec<[u8; 65]>,
    pub(crate) context_free_data: Vec<Vec<u8>>,
    pub(crate) compressed: bool,
}

impl SignedTransaction {
    pub(crate) fn pack(&self, w: &mut Writer) {
        self.transaction.pack(w);
        w.list(&self.signatures, pack_signature);
        w.list(&self.context_free_data, |w, data| w.blob(data));
    }

    fn plain_context_free_data(&self) -> Vec<u8> {
        let mut w = Writer::new();
        if !self.context_free_data.is_empty() {
            w.list(&self.context_free_data, |w, data| w.blob(data));
        }
        w.bytes
    }

    fn packed_context_free_data(&self) -> Vec<u8> {
        let plain = self.plain_context_free_data();
        if self.compressed && !plain.is_empty() { zlib(&plain) } else { plain }
    }

    /// What users sign: chain id, transaction, and the digest of the context-free data or zeros.
    pub(crate) fn signing_digest(&self, chain_id: &Checksum256) -> Checksum256 {
        let mut w = Writer::new();
        w.checksum256(chain_id);
        self.transaction.pack(&mut w);
        w.checksum256(&match &self.plain_context_free_data()[..] {
            [] => Checksum256::default(),
            data => Checksum256::sha256(data),
        });
        Checksum256::sha256(&w.bytes)
    }
}

pub(crate) fn pack_signature(w: &mut Writer, signature: &[u8; 65]) {
    w.u8(0);
    w.take(signature);
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes every byte")
}

#[derive(Debug, Clone)]
pub(crate) enum Executed {
    /// A deferred transaction, by its id.
    Deferred(Checksum256),
    /// A pushed transaction: its id, its packed form, and what surrounds it.
    Pushed(Checksum256, Vec<u8>, SignedTransaction),
}

/// How a block says that it executed a transaction.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    pub(crate) status: u8,
    pub(crate) cpu_us: u32,
    pub(crate) net_words: u32,
    pub(crate) executed: Executed,
}

impl Receipt {
    fn pack_head(&self, w: &mut Writer) {
        w.u8(self.status);
        w.u32(self.cpu_us);
        w.varuint32(self.net_words);
    }

    /// Packs the receipt, in the layout of EOSIO 2.1 if `prunable`, and returns its digest.
    pub(crate) fn pack(&self, w: &mut Writer, prunable: bool) -> Checksum256 {
        self.pack_head(w);
        let mut digest = Writer::new();
        self.pack_head(&mut digest);
        match &self.executed {
            Executed::Deferred(id) => {
                w.varuint32(0);
                w.checksum256(id);
                digest.checksum256(id);
            }
            Executed::Pushed(_, packed, pushed) => {
                let context_free_data = pushed.packed_context_free_data();
                let compressed = pushed.compressed.then(|| zlib(packed));
                let packed = compressed.as_ref().unwrap_or(packed);
                w.varuint32(1);
                if prunable {
                    w.u8(u8::from(pushed.compressed));
                    w.varuint32(0); // full_legacy
                    w.list(&pushed.signatures, pack_signature);
                    w.blob(&context_free_data);
                } else {
                    w.list(&pushed.signatures, pack_signature);
                    w.u8(u8::from(pushed.compressed));
                    w.blob(&context_free_data);
                }
                w.blob(packed);
                let mut pruned = Writer::new();
                pruned.list(&pushed.signatures, pack_signature);
                pruned.blob(&context_free_data);
                digest.u8(u8::from(pushed.compressed));
                digest.blob(packed);
                digest.checksum256(&Checksum256::sha256(&pruned.bytes));
            }
        }
        Checksum256::sha256(&digest.bytes)
    }
}

fn pair_digest(left: &Checksum256, right: &Checksum256) -> Checksum256 {
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(&left.0);
    pair[32..].copy_from_slice(&right.0);
    Checksum256::sha256(&pair)
}

/// The digest of two nodes, marked as left and right by their first bit.
fn canonical_pair(left: &Checksum256, right: &Checksum256) -> Checksum256 {
    let (mut left, mut right) = (*left, *right);
    left.0[0] &= 0x7f;
    right.0[0] |= 0x80;
    pair_digest(&left, &right)
}

/// The root of a Merkle tree over `leaves`; zeros for none.
pub(crate) fn merkle(mut leaves: Vec<Checksum256>) -> Checksum256 {
    while leaves.len() > 1 {
        if leaves.len() % 2 == 1 {
            leaves.push(leaves[leaves.len() - 1]);
        }
        leaves = leaves.chunks_exact(2).map(|pair| canonical_pair(&pair[0], &pair[1])).collect();
    }
    leaves.first().copied().unwrap_or_default()
}

/// The Merkle tree over all block ids, of which only the right edge is kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct IncrementalMerkle {
    pub(crate) active_nodes: Vec<Checksum256>,
    pub(crate) node_count: u64,
}

impl IncrementalMerkle {
    pub(crate) fn append(&mut self, leaf: Checksum256) {
        let levels = (self.node_count + 1).next_power_of_two().trailing_zeros();
        let mut index = self.node_count;
        let mut top = leaf;
        let mut old = std::mem::take(&mut self.active_nodes).into_iter();
        let mut partial = false;
        for _ in 0..levels {
            if index & 1 == 0 {
                if !partial {
                    self.active_nodes.push(top);
                }
                top = canonical_pair(&top, &top);
                partial = true;
            } else {
                let left = old.next().expect("a node to the left of every right one");
                if partial {
                    self.active_nodes.push(left);
                }
                top = canonical_pair(&left, &top);
            }
            index >>= 1;
        }
        self.active_nodes.push(top);
        self.node_count += 1;
    }
}
