//! The binary payloads of `ACCEPTED_BLOCK` and `ACCEPTED_BLOCK_V2` lines.

use std::{
    collections::{HashMap, VecDeque},
    hash::BuildHasherDefault,
    sync::Arc,
};

use dfuse_antelope::{
    Checksum256, PublicKey, Result, Signature,
    chain::{SignedBlock, unpack_extensions, unpack_receipts, unpack_signatures},
    model::{
        ActivatedProtocolFeatures, Block, BlockHeader, BlockRootMerkle, BlockSigningAuthority, PackedTransaction,
        PendingProducerSchedule, ProducerAuthoritySchedule, ProducerToLastImpliedIrb, ProducerToLastProduced,
        TransactionReceipt,
    },
    raw::Reader,
};

use crate::Software;

/// Public keys as text. A schedule's keys repeat in every block, and a key's text takes a checksum and base58.
#[derive(Default)]
pub(crate) struct KeyTexts {
    texts: HashMap<Vec<u8>, String, BuildHasherDefault<std::hash::DefaultHasher>>,
}

impl KeyTexts {
    /// More keys than two schedules of 125 producers have.
    const CAPACITY: usize = 1024;

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<String> {
        let before = reader.remaining();
        let key = PublicKey::read(reader)?;
        let bytes = &before[..before.len() - reader.remaining().len()];
        if let Some(text) = self.texts.get(bytes) {
            return Ok(text.clone());
        }
        if self.texts.len() == Self::CAPACITY {
            self.texts.clear();
        }
        let text = key.to_string();
        self.texts.insert(bytes.to_vec(), text.clone());
        Ok(text)
    }
}

/// Which protocol features are active at recent blocks. `ACCEPTED_BLOCK_V2` does not say it: a block has those of its
/// parent and those that its header activates.
#[derive(Default)]
pub(crate) struct Features {
    recent: VecDeque<(Checksum256, Arc<[[u8; 32]]>)>,
}

impl Features {
    /// Far more blocks than a fork is long.
    const CAPACITY: usize = 1024;

    pub(crate) fn remember(&mut self, id: Checksum256, active: &[[u8; 32]]) {
        if self.recent.len() == Self::CAPACITY {
            self.recent.pop_front();
        }
        let shared = match self.recent.back() {
            Some((_, last)) if **last == *active => Arc::clone(last),
            _ => active.into(),
        };
        self.recent.push_back((id, shared));
    }

    pub(crate) fn knows(&self, id: Checksum256) -> bool {
        self.recent.iter().rev().any(|(known, _)| *known == id)
    }

    /// Features active after `header`; empty where the log began after they were activated.
    fn after(&self, header: &BlockHeader) -> Result<Vec<[u8; 32]>> {
        let parent = self.recent.iter().rev().find(|(id, _)| *id == header.previous);
        let mut active = parent.map_or(&[][..], |(_, active)| active).to_vec();
        active.extend(header.activated_features()?);
        Ok(active)
    }
}

/// Reads `block_state` of legacy consensus into `block`.
pub(crate) fn read(reader: &mut Reader<'_>, software: Software, keys: &mut KeyTexts, block: &mut Block) -> Result<()> {
    block.number = reader.u32()?;
    block.dpos_proposed_irreversible_blocknum = reader.u32()?;
    block.dpos_irreversible_blocknum = reader.u32()?;
    block.active_schedule_v2 = Some(ProducerAuthoritySchedule::unpack(reader, &mut |r| keys.read(r))?);
    let active_nodes = reader.list(32, "blockroot merkle", |r| r.array("merkle node"))?;
    // The schema has 32 bits for the count.
    block.blockroot_merkle = Some(BlockRootMerkle { node_count: reader.u64()? as u32, active_nodes });
    block.producer_to_last_produced = reader.list(12, "last produced", |r| {
        Ok(ProducerToLastProduced { name: r.name()?, last_block_num_produced: r.u32()? })
    })?;
    block.producer_to_last_implied_irb = reader.list(12, "last implied", |r| {
        Ok(ProducerToLastImpliedIrb { name: r.name()?, last_block_num_produced: r.u32()? })
    })?;
    block.valid_block_signing_authority_v2 = Some(BlockSigningAuthority::unpack(reader, &mut |r| keys.read(r))?);
    block.confirm_count = reader.blob("confirm_count")?.iter().map(|&count| count.into()).collect();
    block.id = reader.checksum256()?;
    // The header stands once more inside of the block.
    BlockHeader::unpack(reader)?;
    Signature::read(reader)?;
    block.pending_schedule = Some(PendingProducerSchedule {
        schedule_lib_num: reader.u32()?,
        schedule_hash: reader.array("schedule hash")?,
        schedule_v1: None,
        schedule_v2: Some(ProducerAuthoritySchedule::unpack(reader, &mut |r| keys.read(r))?),
    });
    let features = reader.option(|r| r.list(32, "protocol features", |r| r.array("digest")))?;
    block.activated_protocol_features =
        Some(ActivatedProtocolFeatures { protocol_features: features.unwrap_or_default() });
    reader.list(66, "additional signatures", Signature::read)?;
    if let Some(signed) = reader.option(|r| signed_block(r, software))? {
        fill(block, signed);
    }
    // `validated`, and whatever later versions add, is of no use here.
    Ok(())
}

/// Reads the `signed_block` and the active proposer policy of `ACCEPTED_BLOCK_V2` into `block`.
pub(crate) fn read_v2(
    signed: &mut Reader<'_>,
    policy: &mut Reader<'_>,
    software: Software,
    keys: &mut KeyTexts,
    features: &Features,
    block: &mut Block,
) -> Result<()> {
    let signed_block = signed_block(signed, software)?;
    signed.finish("signed block")?;
    let active = features.after(&signed_block.header)?;
    block.activated_protocol_features = Some(ActivatedProtocolFeatures { protocol_features: active });
    fill(block, signed_block);
    let _proposal_time = policy.u32()?;
    block.active_schedule_v2 = Some(ProducerAuthoritySchedule::unpack(policy, &mut |r| keys.read(r))?);
    policy.finish("proposer policy")
}

fn fill(block: &mut Block, signed: SignedBlock) {
    block.header = signed.header;
    block.producer_signature = signed.producer_signature;
    block.unfiltered_transactions = signed.transactions;
    block.block_extensions = signed.block_extensions;
}

fn signed_block(reader: &mut Reader<'_>, software: Software) -> Result<SignedBlock> {
    if software.is_eosio_21() { pruned_block(reader) } else { SignedBlock::unpack(reader) }
}

/// EOSIO 2.1's `signed_block`: transactions may have been pruned of signatures and context-free data.
fn pruned_block(reader: &mut Reader<'_>) -> Result<SignedBlock> {
    let header = BlockHeader::unpack(reader)?;
    let producer_signature = Signature::read(reader)?.to_string();
    let _prune_state = reader.u8()?;
    let transactions = unpack_receipts(reader, |r| TransactionReceipt::unpack_with(r, pruned_transaction))?;
    Ok(SignedBlock { header, producer_signature, transactions, block_extensions: unpack_extensions(reader)? })
}

fn pruned_transaction(reader: &mut Reader<'_>) -> Result<PackedTransaction> {
    let mut packed = PackedTransaction { compression: reader.u8()?.into(), ..PackedTransaction::default() };
    match reader.varuint32()? {
        // full_legacy: as other versions have it.
        0 => {
            packed.signatures = unpack_signatures(reader)?;
            packed.packed_context_free_data = reader.bytes("packed context-free data")?;
        }
        // none: a digest in place of all.
        1 => drop(reader.checksum256()?),
        // partial: single pieces of context-free data may be digests.
        2 => {
            packed.signatures = unpack_signatures(reader)?;
            reader.list(2, "context-free segments", |r| match r.varuint32()? {
                0 => r.checksum256().map(drop),
                1 => r.blob("context-free segment").map(drop),
                other => Err(invalid_variant("context-free segment", other)),
            })?;
        }
        // full: context-free data as a list instead of packed.
        3 => {
            packed.signatures = unpack_signatures(reader)?;
            let mut data = dfuse_antelope::raw::Writer::new();
            let segments = reader.list(1, "context-free data", |r| r.bytes("context-free data"))?;
            if !segments.is_empty() {
                data.list(&segments, |w, segment| w.blob(segment));
            }
            // The schema's packed form is compressed as the transaction is; kept plain where that is not.
            if packed.compression == 0 {
                packed.packed_context_free_data = data.bytes.into();
            }
        }
        other => return Err(invalid_variant("prunable data", other)),
    }
    packed.packed_transaction = reader.bytes("packed transaction")?;
    Ok(packed)
}

fn invalid_variant(what: &'static str, found: u32) -> dfuse_antelope::Error {
    dfuse_antelope::Error::invalid(what, format!("unknown variant {found}"))
}
