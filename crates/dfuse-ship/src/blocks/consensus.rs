//! What consensus makes of a chain of headers: producers, LIB, features. Nodes keep it as the state of a header, and say nothing of
//! it in state history.

mod policies;

use std::collections::BTreeMap;

use bytes::Bytes;
use dfuse_antelope::{
    Checksum256, Error, Name, PublicKey, Result,
    model::{
        ActivatedProtocolFeatures, Block, BlockHeader, BlockRootMerkle, BlockSigningAuthority, BlockSigningAuthorityV0,
        KeyWeight, Message, PendingProducerSchedule, ProducerAuthority, ProducerAuthoritySchedule, ProducerSchedule,
        ProducerToLastImpliedIrb, ProducerToLastProduced, wire::ReverseWriter,
    },
    raw::{Reader, Writer},
};

use self::policies::{Difference, FINALITY, PRODUCER_REPETITIONS, Policies};
use super::merkle::IncrementalMerkle;
use crate::{Head, LegacyHead, ProposedSchedule, SavannaHead, block_log::GenesisState};

/// Most blocks whose confirmations are counted.
const MAX_CONFIRMS: usize = 1024;
/// Blocks whose claims are remembered: a certificate is for one of the last blocks.
const MAX_CLAIMS: usize = 4096;
/// A header extension with a new schedule.
const PRODUCER_SCHEDULE_CHANGE: u32 = 1;
/// First byte of a packed state: the version of that form.
const FORMAT: u8 = 1;
/// The same where changes of producers under Savanna are on their way, which come before the rest.
const FORMAT_WITH_POLICIES: u8 = 2;

/// The state of a block's header, from which that of the next one follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Consensus {
    number: u32,
    id: Checksum256,
    /// The block's time; 0 where it does not matter.
    slot: u32,
    proposed: u32,
    irreversible: u32,
    schedule: ProducerAuthoritySchedule,
    merkle: IncrementalMerkle,
    last_produced: BTreeMap<Name, u32>,
    last_implied: BTreeMap<Name, u32>,
    confirms: Vec<u8>,
    pending: Pending,
    policies: Policies,
    features: Vec<[u8; 32]>,
    /// Under Savanna: what the last blocks claim to be final, by number.
    claims: BTreeMap<u32, u32>,
    /// Whether the schedule is known with its order and keys, and not just who is in it.
    has_schedule: bool,
    /// Whether all that came before is known.
    has_past: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Pending {
    lib_num: u32,
    hash: [u8; 32],
    schedule: ProducerAuthoritySchedule,
}

impl Consensus {
    /// After the first block of a chain.
    pub fn genesis(genesis: &GenesisState, id: Checksum256) -> Self {
        let eosio = Name::literal("eosio");
        let schedule = ProducerAuthoritySchedule {
            version: 0,
            producers: vec![ProducerAuthority {
                account_name: eosio,
                block_signing_authority: single_key(genesis.initial_key.to_string()),
            }],
        };
        // What is pending is the same schedule without producers, hashed as nodes of that time did.
        let mut packed = Writer::new();
        packed.u32(0);
        packed.count(1);
        packed.name(eosio);
        genesis.initial_key.write(&mut packed);
        let hash = Checksum256::sha256(&packed.bytes).0;
        Self {
            number: 1,
            id,
            slot: 0,
            proposed: 0,
            irreversible: 0,
            schedule,
            merkle: IncrementalMerkle::default(),
            last_produced: BTreeMap::from([(eosio, 1)]),
            last_implied: BTreeMap::from([(eosio, 0)]),
            confirms: vec![],
            pending: Pending { hash, ..Pending::default() },
            policies: Policies::default(),
            features: vec![],
            claims: BTreeMap::new(),
            has_schedule: true,
            has_past: true,
        }
    }

    /// After the block that a snapshot is of.
    pub fn of_snapshot(head: &Head) -> Self {
        match (&head.savanna, &head.legacy) {
            (Some(savanna), legacy) => {
                // While a chain goes over to Savanna, both are there.
                let schedule = legacy.as_ref().map(|legacy| legacy.active_schedule.clone());
                Self::of_savanna(savanna, schedule)
            }
            (None, Some(legacy)) => Self::of_legacy(legacy),
            (None, None) => Self::in_the_middle(head.id(), &[], vec![]),
        }
    }

    fn of_savanna(head: &SavannaHead, schedule: Option<ProducerAuthoritySchedule>) -> Self {
        let schedule = head.active_schedule.clone().or(schedule);
        Self {
            irreversible: head.irreversible_block_num,
            proposed: head.irreversible_block_num,
            has_schedule: schedule.is_some(),
            schedule: schedule.unwrap_or_default(),
            features: head.activated_protocol_features.iter().map(|digest| digest.0).collect(),
            claims: head.claims.iter().copied().collect(),
            slot: head.header.timestamp.0,
            policies: Policies { proposed: head.proposed_schedule.clone(), pending: head.pending_schedule.clone() },
            ..Self::in_the_middle(head.id, &[], vec![])
        }
    }

    /// After a block of which only this is known: it is final, and these are the producers, in no order. The LIB stays at that block
    /// until each producer has made blocks after it; from then on it is right.
    pub fn in_the_middle(id: Checksum256, producers: &[Name], mut features: Vec<[u8; 32]>) -> Self {
        features.sort_unstable();
        let number = id.block_num();
        let mut consensus = Self {
            number,
            id,
            slot: 0,
            proposed: number,
            irreversible: number,
            schedule: ProducerAuthoritySchedule::default(),
            merkle: IncrementalMerkle::default(),
            last_produced: BTreeMap::new(),
            last_implied: BTreeMap::new(),
            confirms: vec![],
            pending: Pending::default(),
            policies: Policies::default(),
            features,
            claims: BTreeMap::new(),
            has_schedule: false,
            has_past: false,
        };
        consensus.set_producers(producers);
        consensus
    }

    /// Who makes blocks now, as the permission of the producers says, for as long as nothing better is known.
    pub(super) fn set_producers(&mut self, producers: &[Name]) {
        if self.has_schedule {
            return;
        }
        let unknown = |name: &Name| ProducerAuthority { account_name: *name, ..ProducerAuthority::default() };
        // A chain that has elected none has that one.
        let names = if producers.is_empty() { &[Name::EOSIO][..] } else { producers };
        self.schedule.producers = names.iter().map(unknown).collect();
        self.restrict_to_schedule();
    }

    fn of_legacy(head: &LegacyHead) -> Self {
        Self {
            number: head.block_num,
            id: head.id,
            slot: head.header.timestamp.0,
            proposed: head.dpos_proposed_irreversible_block_num,
            irreversible: head.dpos_irreversible_block_num,
            schedule: head.active_schedule.clone(),
            merkle: IncrementalMerkle {
                nodes: head.blockroot_merkle.active_nodes.clone(),
                count: head.blockroot_merkle.node_count.into(),
            },
            last_produced: head.producer_to_last_produced.iter().copied().collect(),
            last_implied: head.producer_to_last_implied_irb.iter().copied().collect(),
            confirms: head.confirm_count.clone(),
            pending: Pending {
                lib_num: head.pending_schedule_lib_num,
                hash: head.pending_schedule_hash.0,
                schedule: head.pending_schedule.clone(),
            },
            policies: Policies::default(),
            features: head.activated_protocol_features.iter().map(|digest| digest.0).collect(),
            claims: BTreeMap::new(),
            has_schedule: true,
            has_past: true,
        }
    }

    /// The block.
    pub fn id(&self) -> Checksum256 {
        self.id
    }

    /// The LIB as of the block.
    pub fn irreversible(&self) -> u32 {
        self.irreversible
    }

    /// The schedule in force as of the block, where it is known with its order and keys.
    pub fn schedule(&self) -> Option<&ProducerAuthoritySchedule> {
        Some(&self.schedule).filter(|_| self.has_schedule)
    }

    /// After a block, which must be the next one.
    ///
    /// # Errors
    /// It is of another producer than the one whose turn it is, or follows another block.
    pub fn next(&self, header: &BlockHeader, id: Checksum256) -> Result<Self> {
        let invalid = |why: String| Err(Error::invalid("block", why));
        if header.previous != self.id {
            return invalid(format!("block {} follows {} instead of {}", header.block_num(), header.previous, self.id));
        }
        if header.block_num() != id.block_num() {
            return invalid(format!("block {} has the id {id}", header.block_num()));
        }
        let mut next = self.clone();
        (next.number, next.id, next.slot) = (header.block_num(), id, header.timestamp.0);
        next.merkle.append(self.id.0);
        for digest in header.activated_features()? {
            if let Err(at) = next.features.binary_search(&digest) {
                next.features.insert(at, digest);
            }
        }
        match claim(header)? {
            Some((block_num, is_strong)) => {
                next.savanna(self, block_num, is_strong);
                next.follow_policies(self, header)?;
            }
            None => next.legacy(self, header)?,
        }
        Ok(next)
    }

    /// The LIB is what the block claimed for which this one brings a strong certificate.
    fn savanna(&mut self, parent: &Self, block_num: u32, is_strong: bool) {
        if is_strong {
            let final_num = parent.claims.get(&block_num).copied().unwrap_or(parent.irreversible);
            self.irreversible = final_num.max(parent.irreversible);
        }
        self.claims.insert(self.number, block_num);
        while self.claims.len() > MAX_CLAIMS {
            self.claims.pop_first();
        }
    }

    /// The schedule as of the block, and what it proposes. Where the schedule is not known, a difference makes none.
    fn follow_policies(&mut self, parent: &Self, header: &BlockHeader) -> Result<()> {
        if let Some(schedule) = self.policies.promote(self.slot, parent.slot, parent.irreversible) {
            self.schedule = schedule;
            self.has_schedule = true;
        }
        let Some(difference) = Difference::of(header)? else { return Ok(()) };
        if self.has_schedule || self.policies.last().is_some() {
            let schedule = difference.apply(self.policies.last().unwrap_or(&self.schedule))?;
            self.policies.proposed = Some(ProposedSchedule { block_num: self.number, slot: self.slot, schedule });
        }
        Ok(())
    }

    fn legacy(&mut self, parent: &Self, header: &BlockHeader) -> Result<()> {
        let producer = header.producer;
        let producers = &parent.schedule.producers;
        let count = producers.len() as u32;
        let turn = header.timestamp.0.checked_div(PRODUCER_REPETITIONS).and_then(|turn| turn.checked_rem(count));
        let scheduled = turn.and_then(|turn| producers.get(turn as usize)).map(|it| it.account_name);
        if self.has_schedule && scheduled != Some(producer) {
            let why = format!("block {} is of {producer} in the turn of {scheduled:?}", self.number);
            return Err(Error::invalid("block", why));
        }
        self.confirm(count, header.confirmed);
        self.irreversible = parent.calculate_irreversible(producer);
        let promoted = !parent.pending.schedule.producers.is_empty() && self.irreversible >= parent.pending.lib_num;
        if promoted {
            self.schedule = std::mem::take(&mut self.pending.schedule);
            self.pending.schedule.version = self.schedule.version;
            self.has_schedule = true;
            self.restrict_to_schedule();
        }
        self.last_produced.insert(producer, self.number);
        if !promoted || self.last_implied.contains_key(&producer) {
            self.last_implied.insert(producer, parent.proposed);
        }
        if let Some(pending) = new_schedule(header, self.number)? {
            self.pending = pending;
        }
        Ok(())
    }

    /// What is known of producers is that of those in the schedule.
    fn restrict_to_schedule(&mut self) {
        let names: Vec<_> = self.schedule.producers.iter().map(|it| it.account_name).collect();
        let irreversible = self.irreversible;
        for numbers in [&mut self.last_produced, &mut self.last_implied] {
            let kept = |name: &Name| (*name, numbers.get(name).copied().unwrap_or(irreversible));
            *numbers = names.iter().map(kept).collect();
        }
    }

    /// A block confirms itself and some before. What two thirds confirm is proposed as irreversible.
    fn confirm(&mut self, producers: u32, confirmed: u32) {
        if self.confirms.len() >= MAX_CONFIRMS {
            self.confirms.remove(0);
        }
        self.confirms.push((producers * 2 / 3 + 1) as u8);
        for back in 0..=confirmed as usize {
            let Some(at) = self.confirms.len().checked_sub(1 + back) else { return };
            self.confirms[at] = self.confirms[at].saturating_sub(1);
            if self.confirms[at] == 0 {
                self.proposed = self.number - back as u32;
                self.confirms.drain(..=at);
                return;
            }
        }
    }

    /// What two thirds of the producers take as irreversible, once this one has made its block.
    fn calculate_irreversible(&self, producer: Name) -> u32 {
        let implied = self.last_implied.iter();
        let mut numbers: Vec<u32> =
            implied.map(|(name, number)| if *name == producer { self.proposed } else { *number }).collect();
        numbers.sort_unstable();
        numbers.get(numbers.len().saturating_sub(1) / 3).copied().unwrap_or(0)
    }

    /// Writes the state into its block, as far as it is known.
    pub(super) fn fill(&self, block: &mut Block) {
        self.fill_all(block);
        if !self.has_schedule {
            block.active_schedule_v2 = None;
        }
        // Under Savanna nodes keep nothing of the rest.
        if !self.has_past || !self.claims.is_empty() {
            block.blockroot_merkle = None;
            block.producer_to_last_produced.clear();
            block.producer_to_last_implied_irb.clear();
            block.confirm_count.clear();
            block.pending_schedule = None;
        }
    }

    fn fill_all(&self, block: &mut Block) {
        block.dpos_proposed_irreversible_blocknum = self.proposed;
        block.dpos_irreversible_blocknum = self.irreversible;
        block.active_schedule_v2 = Some(self.schedule.clone());
        block.activated_protocol_features =
            Some(ActivatedProtocolFeatures { protocol_features: self.features.clone() });
        block.blockroot_merkle = Some(BlockRootMerkle {
            // The schema has 32 bits for the count.
            node_count: self.merkle.count as u32,
            active_nodes: self.merkle.nodes.clone(),
        });
        let numbers = |numbers: &BTreeMap<Name, u32>| numbers.clone().into_iter();
        let produced = numbers(&self.last_produced);
        block.producer_to_last_produced = produced
            .map(|(name, last_block_num_produced)| ProducerToLastProduced { name, last_block_num_produced })
            .collect();
        let implied = numbers(&self.last_implied);
        block.producer_to_last_implied_irb = implied
            .map(|(name, last_block_num_produced)| ProducerToLastImpliedIrb { name, last_block_num_produced })
            .collect();
        block.confirm_count = self.confirms.iter().map(|count| u32::from(*count)).collect();
        block.pending_schedule = Some(PendingProducerSchedule {
            schedule_lib_num: self.pending.lib_num,
            schedule_hash: self.pending.hash,
            schedule_v1: None,
            schedule_v2: Some(self.pending.schedule.clone()),
        });
    }

    /// In a form to keep.
    pub fn pack(&self) -> Vec<u8> {
        let mut block = Block { id: self.id, number: self.number, ..Block::default() };
        self.fill_all(&mut block);
        let mut fields = ReverseWriter::new();
        block.encode(&mut fields);
        let mut writer = Writer::new();
        if self.policies == Policies::default() {
            writer.u8(FORMAT);
        } else {
            writer.u8(FORMAT_WITH_POLICIES);
            writer.u32(self.slot);
            self.policies.pack(&mut writer);
        }
        writer.bool(self.has_schedule);
        writer.bool(self.has_past);
        writer.u64(self.merkle.count);
        let claims: Vec<_> = self.claims.iter().collect();
        writer.list(&claims, |w, (number, claimed)| {
            w.u32(**number);
            w.u32(**claimed);
        });
        writer.take(fields.as_slice());
        writer.bytes
    }

    /// Reads what [`Consensus::pack`] writes.
    ///
    /// # Errors
    /// It is something else.
    pub fn unpack(packed: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(packed);
        let format = reader.u8()?;
        let (slot, policies) = match format {
            FORMAT => (0, Policies::default()),
            FORMAT_WITH_POLICIES => (reader.u32()?, Policies::unpack(&mut reader)?),
            _ => {
                let why =
                    format!("it has format {format}, this version of dfuse knows those up to {FORMAT_WITH_POLICIES}");
                return Err(Error::invalid("state of a header", why));
            }
        };
        let (has_schedule, has_past, count) = (reader.bool()?, reader.bool()?, reader.u64()?);
        let claims = reader.list(8, "claims", |r| Ok((r.u32()?, r.u32()?)))?;
        let block = Block::decode(&Bytes::copy_from_slice(reader.remaining()))?;
        let pending = block.pending_schedule.unwrap_or_default();
        let produced = block.producer_to_last_produced.iter();
        let implied = block.producer_to_last_implied_irb.iter();
        Ok(Self {
            number: block.number,
            id: block.id,
            slot,
            proposed: block.dpos_proposed_irreversible_blocknum,
            irreversible: block.dpos_irreversible_blocknum,
            schedule: block.active_schedule_v2.unwrap_or_default(),
            merkle: IncrementalMerkle { nodes: block.blockroot_merkle.unwrap_or_default().active_nodes, count },
            last_produced: produced.map(|it| (it.name, it.last_block_num_produced)).collect(),
            last_implied: implied.map(|it| (it.name, it.last_block_num_produced)).collect(),
            confirms: block.confirm_count.iter().map(|count| *count as u8).collect(),
            pending: Pending {
                lib_num: pending.schedule_lib_num,
                hash: pending.schedule_hash,
                schedule: pending.schedule_v2.unwrap_or_default(),
            },
            policies,
            features: block.activated_protocol_features.unwrap_or_default().protocol_features,
            claims: claims.into_iter().collect(),
            has_schedule,
            has_past,
        })
    }

    /// What may sign for the producer of the block, which follows one with the state `parent`: legacy consensus goes by the schedule as
    /// of the parent.
    pub(super) fn signing_authority(&self, parent: &Self, producer: Name) -> Option<BlockSigningAuthority> {
        let scheduled = if self.claims.is_empty() { parent } else { self };
        let mut producers = scheduled.schedule.producers.iter().filter(|_| scheduled.has_schedule);
        let authority = producers.find(|it| it.account_name == producer);
        authority.map(|it| it.block_signing_authority.clone())
    }
}

/// Which block a header claims to be certified, and whether strongly. Only headers of Savanna consensus do.
pub(super) fn claim(header: &BlockHeader) -> Result<Option<(u32, bool)>> {
    let extension = header.header_extensions.iter().find(|extension| extension.r#type == FINALITY);
    let claim = extension.map(|extension| {
        let mut reader = Reader::new(&extension.data);
        Ok((reader.u32()?, reader.bool()?))
    });
    claim.transpose()
}

/// The schedule that a header announces.
fn new_schedule(header: &BlockHeader, number: u32) -> Result<Option<Pending>> {
    if let Some(legacy) = &header.new_producers_v1 {
        let mut packed = Writer::new();
        packed.u32(legacy.version);
        packed.count(legacy.producers.len());
        for producer in &legacy.producers {
            packed.name(producer.account_name);
            producer.block_signing_key.parse::<PublicKey>()?.write(&mut packed);
        }
        let hash = Checksum256::sha256(&packed.bytes).0;
        return Ok(Some(Pending { lib_num: number, hash, schedule: of_legacy(legacy) }));
    }
    let Some(extension) = header.header_extensions.iter().find(|it| it.r#type == PRODUCER_SCHEDULE_CHANGE) else {
        return Ok(None);
    };
    let mut reader = Reader::new(&extension.data);
    let schedule = ProducerAuthoritySchedule::unpack(&mut reader, &mut |r| Ok(PublicKey::read(r)?.to_string()))?;
    Ok(Some(Pending { lib_num: number, hash: Checksum256::sha256(&extension.data).0, schedule }))
}

fn of_legacy(legacy: &ProducerSchedule) -> ProducerAuthoritySchedule {
    let producers = legacy.producers.iter().map(|producer| ProducerAuthority {
        account_name: producer.account_name,
        block_signing_authority: single_key(producer.block_signing_key.clone()),
    });
    ProducerAuthoritySchedule { version: legacy.version, producers: producers.collect() }
}

fn single_key(public_key: String) -> BlockSigningAuthority {
    BlockSigningAuthority {
        v0: Some(BlockSigningAuthorityV0 { threshold: 1, keys: vec![KeyWeight { public_key, weight: 1 }] }),
    }
}
