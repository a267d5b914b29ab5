//! What a search may miss where the indexes begin in mid-chain: what only an ABI of before could tell.

use std::ops::RangeInclusive;

use dfuse_antelope::Name;
use dfuse_index::{
    ServingSnapshot, View,
    abi::{self, AbiRecord},
};
use dfuse_search::{DecodedContracts, Query, TermOptions};

use crate::{ApiError, ApiResult, state::was_created};

/// The first block that is indexed, if a search of these blocks may miss something or find too much since ABIs that were set
/// before it are unknown. Data that was not decoded has no terms.
pub(super) fn incomplete_from(
    snapshot: &ServingSnapshot,
    query: &Query,
    options: &TermOptions,
    blocks: &RangeInclusive<u32>,
) -> ApiResult<Option<u32>> {
    let lacks_older = snapshot.lacks_older_state();
    let Some(first) = snapshot.mid_chain_start().filter(|_| lacks_older) else { return Ok(None) };
    let known = Known { view: snapshot.view(), first, from: *blocks.start() };
    let is_complete = match query.decoded_contracts(options) {
        // A node tells the ABIs of all contracts, or of none.
        DecodedContracts::Any => known.was_told(Name::EOSIO)?,
        DecodedContracts::Of(contracts) => {
            contracts.iter().try_fold(true, |all, contract| Ok::<_, ApiError>(all && known.has(*contract)?))?
        }
    };
    Ok(Some(first).filter(|_| !is_complete))
}

/// What is known of ABIs at each action from a block on.
struct Known<'a> {
    view: &'a View,
    first: u32,
    from: u32,
}

impl Known<'_> {
    fn has(&self, contract: Name) -> ApiResult<bool> {
        Ok(was_created(self.view, contract)?
            || self.was_told(contract)?
            || self
                .oldest(contract)?
                .is_some_and(|oldest| oldest.global_sequence > 0 && oldest.block_number < self.from))
    }

    /// Whether the node told the contract's ABI before the first block.
    fn was_told(&self, contract: Name) -> ApiResult<bool> {
        let oldest = self.oldest(contract)?;
        Ok(oldest.is_some_and(|oldest| oldest.global_sequence == 0 && oldest.block_number < self.first))
    }

    fn oldest(&self, contract: Name) -> ApiResult<Option<AbiRecord>> {
        Ok(abi::history(self.view, contract)?.last().transpose()?)
    }
}
