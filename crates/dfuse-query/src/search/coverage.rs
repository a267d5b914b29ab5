//! What a search may miss where the indexes begin in mid-chain: what only an ABI of before could tell.

use std::ops::RangeInclusive;

use dfuse_antelope::Name;
use dfuse_index::{
    Earlier, ServingSnapshot, View,
    abi::{self, AbiRecord},
    accounts,
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
    if let Some(earlier) = snapshot.view().earlier() {
        return incomplete_part(snapshot.view(), earlier, &query.decoded_contracts(options), blocks);
    }
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

/// The same where earlier blocks joined: what was indexed together had the ABIs of those blocks only, and those that were known
/// before the first of them.
fn incomplete_part(
    view: &View,
    earlier: &Earlier,
    decoded: &DecodedContracts,
    blocks: &RangeInclusive<u32>,
) -> ApiResult<Option<u32>> {
    let ends = earlier.parts.iter().skip(1).map(|next| next.first - 1).chain([u32::MAX]);
    for (part, last) in earlier.parts.iter().zip(ends) {
        let (from, to) = (part.first.max(*blocks.start()), last.min(*blocks.end()));
        if part.abis_known || from > to {
            continue;
        }
        let is_complete = match decoded {
            DecodedContracts::Any => false,
            DecodedContracts::Of(contracts) => contracts.iter().try_fold(true, |all, contract| {
                Ok::<_, ApiError>(all && came_within(view, *contract, part.first, from)?)
            })?,
        };
        if !is_complete {
            return Ok(Some(part.first));
        }
    }
    Ok(None)
}

/// Whether the contract was created from block `first` on, or had its ABI set between that block and `before`.
fn came_within(view: &View, contract: Name, first: u32, before: u32) -> ApiResult<bool> {
    let account = accounts::get(view, contract)?;
    if account.is_some_and(|account| account.creation.is_some() && account.block_number >= first) {
        return Ok(true);
    }
    for record in abi::history(view, contract)? {
        let record = record?;
        if record.global_sequence > 0 && (first..before).contains(&record.block_number) {
            return Ok(true);
        }
    }
    Ok(false)
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
