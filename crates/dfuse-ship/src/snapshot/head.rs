//! The state of the head block's header, from which consensus goes on.

use dfuse_antelope::{
    BlockTimestamp, Checksum256, Error, Name, PublicKey, Result, Signature,
    chain::unpack_signatures,
    model::{
        BlockHeader, BlockRootMerkle, BlockSigningAuthority, BlockSigningAuthorityV0, KeyWeight, ProducerAuthority,
        ProducerAuthoritySchedule, ProducerSchedule,
    },
    raw::Reader,
};

/// The block that a snapshot is the state after. During the transition to Savanna consensus there are both states.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The state of legacy consensus.
    pub legacy: Option<LegacyHead>,
    /// The state of Savanna consensus.
    pub savanna: Option<SavannaHead>,
}

/// The header state of legacy consensus.
#[derive(Debug, Clone, PartialEq)]
pub struct LegacyHead {
    /// The block's number.
    pub block_num: u32,
    /// The last block that producers proposed as irreversible.
    pub dpos_proposed_irreversible_block_num: u32,
    /// The LIB.
    pub dpos_irreversible_block_num: u32,
    /// The schedule in force.
    pub active_schedule: ProducerAuthoritySchedule,
    /// The Merkle tree of the ids of all blocks before.
    pub blockroot_merkle: BlockRootMerkle,
    /// The last block of each producer.
    pub producer_to_last_produced: Vec<(Name, u32)>,
    /// The last block that each producer takes as irreversible.
    pub producer_to_last_implied_irb: Vec<(Name, u32)>,
    /// Who could sign the block.
    pub valid_block_signing_authority: BlockSigningAuthority,
    /// How many confirmations each of the last blocks lacks.
    pub confirm_count: Vec<u8>,
    /// The block's id.
    pub id: Checksum256,
    /// The header.
    pub header: BlockHeader,
    /// The LIB from which the pending schedule can take effect.
    pub pending_schedule_lib_num: u32,
    /// The hash of the pending schedule.
    pub pending_schedule_hash: Checksum256,
    /// The pending schedule.
    pub pending_schedule: ProducerAuthoritySchedule,
    /// Digests of the active protocol features.
    pub activated_protocol_features: Vec<Checksum256>,
}

/// What is of use of the block state of Savanna consensus.
#[derive(Debug, Clone, PartialEq)]
pub struct SavannaHead {
    /// The block's id.
    pub id: Checksum256,
    /// The header.
    pub header: BlockHeader,
    /// Digests of the active protocol features.
    pub activated_protocol_features: Vec<Checksum256>,
    /// The LIB.
    pub irreversible_block_num: u32,
    /// The newest claim of a quorum certificate: the block that it is for, and whether it is strong.
    pub latest_claim: (u32, bool),
    /// What the blocks since the LIB claim: which block, and the one that its header names.
    pub claims: Vec<(u32, u32)>,
    /// The schedule in force, if there is one.
    pub active_schedule: Option<ProducerAuthoritySchedule>,
    /// The schedule that was proposed last, if it is not pending yet.
    pub proposed_schedule: Option<ProposedSchedule>,
    /// The schedule that comes into force next.
    pub pending_schedule: Option<ProposedSchedule>,
}

/// A schedule that is not in force yet.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposedSchedule {
    /// Number of the block that proposed it.
    pub block_num: u32,
    /// Time of that block, in slots.
    pub slot: u32,
    /// The schedule.
    pub schedule: ProducerAuthoritySchedule,
}

impl Head {
    fn header(&self) -> Option<(Checksum256, &BlockHeader, u32)> {
        match (&self.savanna, &self.legacy) {
            (Some(head), _) => Some((head.id, &head.header, head.irreversible_block_num)),
            (None, Some(head)) => Some((head.id, &head.header, head.dpos_irreversible_block_num)),
            (None, None) => None,
        }
    }

    /// The block's id.
    pub fn id(&self) -> Checksum256 {
        self.header().map_or_else(Checksum256::default, |(id, _, _)| id)
    }

    /// The block's number.
    pub fn block_num(&self) -> u32 {
        self.id().block_num()
    }

    /// The block's time.
    pub fn time(&self) -> BlockTimestamp {
        self.header().map_or_else(BlockTimestamp::default, |(_, header, _)| header.timestamp)
    }

    /// The LIB as of the block.
    pub fn irreversible_block_num(&self) -> u32 {
        self.header().map_or(0, |(_, _, number)| number)
    }

    pub(super) fn unpack(reader: &mut Reader<'_>, version: u32) -> Result<Self> {
        let head = match version {
            8 => Self {
                legacy: reader.option(|r| LegacyHead::unpack(r, version))?,
                savanna: reader.option(SavannaHead::unpack)?,
            },
            _ => Self { legacy: Some(LegacyHead::unpack(reader, version)?), savanna: None },
        };
        let Some((id, header, _)) = head.header() else {
            return Err(Error::invalid("block state", "there is neither legacy nor Savanna state"));
        };
        match id.block_num() == header.block_num() {
            true => Ok(head),
            false => Err(Error::invalid("block state", "the id is of another number than the header")),
        }
    }
}

impl LegacyHead {
    fn unpack(reader: &mut Reader<'_>, version: u32) -> Result<Self> {
        let numbers = |r: &mut Reader<'_>| r.list(12, "blocks of producers", |r| Ok((r.name()?, r.u32()?)));
        let head = Self {
            block_num: reader.u32()?,
            dpos_proposed_irreversible_block_num: reader.u32()?,
            dpos_irreversible_block_num: reader.u32()?,
            active_schedule: schedule(reader, version)?,
            blockroot_merkle: BlockRootMerkle {
                active_nodes: reader.list(32, "blockroot merkle", |r| r.array("merkle node"))?,
                // The schema has 32 bits for the count.
                node_count: reader.u64()? as u32,
            },
            producer_to_last_produced: numbers(reader)?,
            producer_to_last_implied_irb: numbers(reader)?,
            valid_block_signing_authority: match version {
                2 => single_key(PublicKey::read(reader)?.to_string()),
                _ => BlockSigningAuthority::unpack(reader, &mut key_text)?,
            },
            confirm_count: reader.blob("confirm_count")?.to_vec(),
            id: reader.checksum256()?,
            header: signed_header(reader)?,
            pending_schedule_lib_num: reader.u32()?,
            pending_schedule_hash: reader.checksum256()?,
            pending_schedule: schedule(reader, version)?,
            activated_protocol_features: features(reader)?,
        };
        if version > 2 {
            unpack_signatures(reader)?;
        }
        Ok(head)
    }
}

impl SavannaHead {
    fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        let id = reader.checksum256()?;
        let header = BlockHeader::unpack(reader)?;
        let activated_protocol_features = features(reader)?;
        let links = reader.list(9, "links", |r| Ok((r.u32()?, r.u32()?, r.bool()?)))?;
        let (Some(first), Some(last)) = (links.first(), links.last()) else {
            return Err(Error::invalid("finality core", "there is no link"));
        };
        let (irreversible_block_num, latest_claim) = (first.1, (last.1, last.2));
        let claims = links.iter().map(|(source, target, _)| (*source, *target)).collect();
        // Two generations of finalizers end them.
        let references = reader.list(76, "block references", |r| {
            let (id, slot) = (r.checksum256()?, r.u32()?);
            r.take(32 + 4 + 4, "block reference").map(|_| (id.block_num(), slot))
        })?;
        reader.u32()?; // the time of the chain's first block under Savanna
        reader.option(finalizer_policy)?;
        let active_schedule = reader.option(proposer_policy)?.map(|(_, schedule)| schedule);
        // They go by their times, of which those of final blocks are not all told.
        let with_number = |(slot, schedule)| {
            let own = (id.block_num(), header.timestamp.0);
            let (block_num, _) =
                references.iter().copied().chain([own]).find(|(_, at)| slot <= *at).unwrap_or((u32::MAX, 0));
            ProposedSchedule { block_num, slot, schedule }
        };
        let proposed_schedule = reader.option(proposer_policy)?.map(with_number);
        let pending_schedule = reader.option(proposer_policy)?.map(with_number);
        let numbered = |r: &mut Reader<'_>| r.u32().and_then(|_| r.option(finalizer_policy));
        reader.list(5, "proposed finalizer policies", numbered)?;
        reader.option(numbered)?;
        reader.option(finalizer_policy)?;
        reader.take(4 + 32 + 4, "finalizer policy generation")?;
        reader.option(|r| {
            r.u64()?;
            r.list(32, "validation tree", Reader::checksum256)?;
            r.list(32, "validation roots", Reader::checksum256)
        })?;
        Ok(Self {
            id,
            header,
            activated_protocol_features,
            irreversible_block_num,
            latest_claim,
            claims,
            active_schedule,
            proposed_schedule,
            pending_schedule,
        })
    }
}

fn finalizer_policy(reader: &mut Reader<'_>) -> Result<()> {
    reader.u32()?;
    reader.u64()?;
    reader.list(10, "finalizers", |r| {
        r.blob("description")?;
        r.u64()?;
        r.blob("public key").map(drop)
    })?;
    Ok(())
}

/// The time of the block that proposed it, in slots, and the schedule.
fn proposer_policy(reader: &mut Reader<'_>) -> Result<(u32, ProducerAuthoritySchedule)> {
    Ok((reader.u32()?, ProducerAuthoritySchedule::unpack(reader, &mut key_text)?))
}

fn key_text(reader: &mut Reader<'_>) -> Result<String> {
    Ok(PublicKey::read(reader)?.to_string())
}

fn signed_header(reader: &mut Reader<'_>) -> Result<BlockHeader> {
    let header = BlockHeader::unpack(reader)?;
    Signature::read(reader)?;
    Ok(header)
}

/// `activated_protocol_features` is a pointer in nodeos, hence optional.
fn features(reader: &mut Reader<'_>) -> Result<Vec<Checksum256>> {
    Ok(reader.option(|r| r.list(32, "protocol features", Reader::checksum256))?.unwrap_or_default())
}

fn single_key(public_key: String) -> BlockSigningAuthority {
    BlockSigningAuthority {
        v0: Some(BlockSigningAuthorityV0 { threshold: 1, keys: vec![KeyWeight { public_key, weight: 1 }] }),
    }
}

/// A schedule. Those of version 2 have one key a producer, and become what nodeos makes of them when it loads one.
pub(super) fn schedule(reader: &mut Reader<'_>, version: u32) -> Result<ProducerAuthoritySchedule> {
    if version > 2 {
        return ProducerAuthoritySchedule::unpack(reader, &mut key_text);
    }
    let legacy = ProducerSchedule::unpack(reader)?;
    let authority = |producer: dfuse_antelope::model::ProducerKey| ProducerAuthority {
        account_name: producer.account_name,
        block_signing_authority: single_key(producer.block_signing_key),
    };
    Ok(ProducerAuthoritySchedule {
        version: legacy.version,
        producers: legacy.producers.into_iter().map(authority).collect(),
    })
}
