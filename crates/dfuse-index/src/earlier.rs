//! Blocks of before the first one of the indexes, which join later.
//!
//! Nothing is built anew for them. [Files](move_blocks) come first. Then the indexes that answer by lists get a store of their
//! own, which a pipeline fills from those files ([`build`]); what it has joins the lists that are served
//! ([`join_lists`], [`Pipeline::join_earlier`](crate::Pipeline::join_earlier)). At last the blocks themselves are entered, the
//! newest first ([`join_blocks`]), so that what is served always goes on without a hole from its first block to the head. The
//! [`Earlier`] record says how far all that has come, in the same batches, so it goes on after a kill wherever it was.

mod files;
mod join;

use dfuse_kv::Store;

pub use self::{
    files::{check_gathered, move_blocks},
    join::{EarlierStep, abis_are_known, build, finish, join_blocks, join_lists},
};
use crate::{
    ChainIdentity, CheckpointState, Earlier, EarlierStage, Error, Index, IndexedPart, Part, Result, UnderWay,
    checkpoint::read_checkpoint, floors_of,
};

/// What the store would say once the blocks from number `first` on are to join; what it says if they are joining already.
/// `abis_known` says whether the ABIs are known that were set before the first block of the store.
///
/// # Errors
/// [`Error::Usage`] if others are joining, if the store has those blocks or removes old ones; those of the store.
pub fn plan(store: &dyn Store, indexes: &[&dyn Index], first: u32, abis_known: bool) -> Result<Earlier> {
    let identity = identity(store, indexes)?;
    let state_first = identity.first_parent.number.saturating_add(1);
    let mut earlier = Earlier::of(store)?.unwrap_or_else(|| Earlier {
        first_parent: identity.first_parent,
        state_first,
        parts: vec![IndexedPart { first: state_first, abis_known }],
        under_way: None,
    });
    if let Some(under_way) = earlier.under_way {
        if under_way.first != first {
            return Err(Error::Usage(format!(
                "the blocks from {} on are joining already; let that come to its end before others join",
                under_way.first
            )));
        }
        return Ok(earlier);
    }
    let joint = earlier.first_parent;
    if first > joint.number || identity.mid_chain_start().is_none() {
        return Err(Error::Usage(format!(
            "the indexes have the blocks from {} on already",
            joint.number.saturating_add(1)
        )));
    }
    let floors = floors_of(store)?;
    if let Some(part) = Part::ALL.into_iter().find(|part| floors.get(*part) > 0) {
        return Err(Error::Usage(format!(
            "earlier blocks cannot join where the past is removed: \"{}\" is kept from block {} on",
            part.name(),
            floors.get(part)
        )));
    }
    earlier.under_way = Some(UnderWay { first, joint, stage: EarlierStage::Files });
    Ok(earlier)
}

/// The chain of a store whose indexes are all there.
fn identity(store: &dyn Store, indexes: &[&dyn Index]) -> Result<ChainIdentity> {
    let mut identity = None;
    for index in indexes {
        let checkpoint = read_checkpoint(store, index.name())?;
        match checkpoint.filter(|found| found.state == CheckpointState::Complete) {
            Some(found) => identity = Some(found.identity),
            None => return Err(Error::NotBuilt { index: index.name() }),
        }
    }
    identity.ok_or_else(|| Error::Usage("there are no indexes that earlier blocks could join".into()))
}
