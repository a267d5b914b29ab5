//! Changes of producers under Savanna consensus. A header proposes them as a difference, and they take effect at the beginning of a
//! round, once they are final.

use bytes::Bytes;
use dfuse_antelope::{
    Error, Name, PublicKey, Result,
    model::{
        BlockHeader, BlockSigningAuthority, Message, ProducerAuthority, ProducerAuthoritySchedule, wire::ReverseWriter,
    },
    raw::{Reader, Writer},
};

use crate::ProposedSchedule;

/// Blocks that a producer makes in a row: a round.
pub(super) const PRODUCER_REPETITIONS: u32 = 12;
/// A header extension of Savanna consensus.
pub(super) const FINALITY: u32 = 2;

/// Schedules on their way into force: the older one is pending, the newer one proposed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Policies {
    pub(super) proposed: Option<ProposedSchedule>,
    pub(super) pending: Option<ProposedSchedule>,
}

/// What a header changes of a schedule: its new version, positions that are removed, and then what is inserted where.
pub(super) struct Difference {
    version: u32,
    removed: Vec<u16>,
    inserted: Vec<(u16, ProducerAuthority)>,
}

impl Policies {
    /// The schedule that comes into force with a block at `slot`, if one does. Its parent is at `parent_slot`, and has this LIB.
    pub(super) fn promote(
        &mut self,
        slot: u32,
        parent_slot: u32,
        irreversible: u32,
    ) -> Option<ProducerAuthoritySchedule> {
        let parent_round = parent_slot - parent_slot % PRODUCER_REPETITIONS;
        if slot.saturating_sub(parent_round) < PRODUCER_REPETITIONS {
            return None;
        }
        let is_final = |policy: &ProposedSchedule| policy.block_num <= irreversible;
        let round_before = parent_round.checked_sub(PRODUCER_REPETITIONS);
        let is_old = |policy: &ProposedSchedule| round_before.is_some_and(|round| policy.slot < round);
        let promoted = match self.proposed.take_if(|policy| is_old(policy) && is_final(policy)) {
            Some(newest) => {
                self.pending = None;
                Some(newest)
            }
            None => self.pending.take_if(|policy| is_final(policy)),
        };
        if self.pending.is_none() {
            self.pending = self.proposed.take();
        }
        promoted.map(|policy| policy.schedule)
    }

    /// The one that was proposed last, on which the next difference builds.
    pub(super) fn last(&self) -> Option<&ProducerAuthoritySchedule> {
        self.proposed.as_ref().or(self.pending.as_ref()).map(|policy| &policy.schedule)
    }

    pub(super) fn pack(&self, writer: &mut Writer) {
        for policy in [&self.proposed, &self.pending] {
            writer.option(policy.as_ref(), |w, ProposedSchedule { block_num, slot, schedule }| {
                w.u32(*block_num);
                w.u32(*slot);
                let mut fields = ReverseWriter::new();
                schedule.encode(&mut fields);
                w.blob(fields.as_slice());
            });
        }
    }

    pub(super) fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        let policy = |r: &mut Reader<'_>| {
            let (block_num, slot, fields) = (r.u32()?, r.u32()?, r.blob("schedule")?);
            let schedule = ProducerAuthoritySchedule::decode(&Bytes::copy_from_slice(fields))?;
            Ok(ProposedSchedule { block_num, slot, schedule })
        };
        Ok(Self { proposed: reader.option(policy)?, pending: reader.option(policy)? })
    }
}

impl Difference {
    /// What a header changes of the schedule that was proposed last, if it changes anything.
    ///
    /// # Errors
    /// The header extension is not one of Savanna consensus.
    pub(super) fn of(header: &BlockHeader) -> Result<Option<Self>> {
        let Some(extension) = header.header_extensions.iter().find(|it| it.r#type == FINALITY) else { return Ok(None) };
        let mut reader = Reader::new(&extension.data);
        // Which block is certified, and how.
        reader.take(4 + 1, "claim")?;
        reader.option(skip_finalizers)?;
        let difference = reader.option(Self::unpack)?;
        reader.finish("finality extension")?;
        Ok(difference)
    }

    fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        let version = reader.u32()?;
        // The time of this block.
        reader.u32()?;
        let mut key = |r: &mut Reader<'_>| Ok(PublicKey::read(r)?.to_string());
        Ok(Self {
            version,
            removed: reader.list(2, "removed producers", Reader::u16)?,
            inserted: reader.list(16, "new producers", |r| {
                let (at, account_name): (u16, Name) = (r.u16()?, r.name()?);
                let block_signing_authority = BlockSigningAuthority::unpack(r, &mut key)?;
                Ok((at, ProducerAuthority { account_name, block_signing_authority }))
            })?,
        })
    }

    /// The schedule that it makes of another one.
    ///
    /// # Errors
    /// It is of a schedule that has other producers.
    pub(super) fn apply(self, to: &ProducerAuthoritySchedule) -> Result<ProducerAuthoritySchedule> {
        let mut producers = to.producers.clone();
        let wrong =
            || Error::invalid("proposer policy", "the difference does not fit the schedule that was proposed last");
        // From the last one down, so that positions stay.
        for at in self.removed.into_iter().rev().map(usize::from) {
            if at >= producers.len() {
                return Err(wrong());
            }
            producers.remove(at);
        }
        for (at, producer) in self.inserted {
            let at = usize::from(at);
            if at > producers.len() {
                return Err(wrong());
            }
            producers.insert(at, producer);
        }
        Ok(ProducerAuthoritySchedule { version: self.version, producers })
    }
}

/// A change of finalizers.
fn skip_finalizers(reader: &mut Reader<'_>) -> Result<()> {
    reader.take(4 + 8, "generation and threshold")?;
    reader.list(2, "removed finalizers", Reader::u16)?;
    reader.list(12, "new finalizers", |r| {
        r.u16()?;
        r.blob("description")?;
        r.u64()?;
        r.blob("public key").map(drop)
    })?;
    Ok(())
}
