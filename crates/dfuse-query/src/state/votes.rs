//! Producers and their votes, from the tables of the system contract.

use dfuse_antelope::{
    BlockTimestamp, Name,
    abi::{AbiSerializer, Rendering},
};
use dfuse_index::{ServingSnapshot, abi::AbiSource, blocks};
use dfuse_state::{RowRange, StateAt, TableKey};
use serde_json::Value;

use super::{abi::older_abi, unavailable::state_unavailable};
use crate::{
    ApiError, ApiResult, ErrorCode, ReadContext,
    streams::{confirmed, confirmed_view},
};

/// Most producers of a tally.
const MAX_PRODUCERS: usize = 10_000;
/// Most bytes of JSON of a row.
const MAX_ROW_BYTES: usize = 64 << 10;
const SECONDS_PER_WEEK: u32 = 7 * 24 * 3600;
const PRODUCERS: Name = Name::literal("producers");
const GLOBAL: Name = Name::literal("global");
const NO_VOTES: &str = "The votes of before the first block that is indexed are unknown, and none were counted since.";

/// The votes of all producers.
#[derive(Debug, Clone, PartialEq)]
pub struct VoteTally {
    /// The staked tokens that vote, in the smallest unit of the token.
    pub total_activated_stake: f64,
    /// The weight of all votes.
    pub total_votes: f64,
    /// What a staked token weighs in a vote at this time.
    pub decay_weight: f64,
    /// The producers, those with the most votes first.
    pub producers: Vec<ProducerVotes>,
    /// The first block of which there is state, and whether the producers are all known; absent if the whole chain is indexed.
    pub coverage: Option<(u32, bool)>,
}

/// A producer and its votes. Values that are only passed on are as the ABI of the system contract renders them.
#[derive(Debug, Clone, PartialEq)]
pub struct ProducerVotes {
    /// The producer's account.
    pub owner: Value,
    /// The weight of the votes for it.
    pub total_votes: f64,
    /// The key with which it signs blocks.
    pub producer_key: Value,
    /// Whether it is registered as a producer.
    pub is_active: bool,
    /// The producer's web page.
    pub url: Value,
    /// Blocks for which it has not claimed its reward.
    pub unpaid_blocks: Value,
    /// The number of its location.
    pub location: Value,
}

/// The votes at the newest block that has so many confirmations.
///
/// # Errors
/// `vote_tally_not_ready_error` if the chain has no votes, and `state_unavailable_error` if they may have been counted before
/// the first block that is indexed.
pub fn vote_tally(read: &ReadContext<'_>, confirmations: u32) -> ApiResult<VoteTally> {
    let not_ready =
        || ApiError::new(ErrorCode::VoteTallyNotReady, "No votes are known: the chain has no system contract.");
    let snapshot = read.snapshot();
    let view = &confirmed_view(snapshot, confirmations)?.ok_or_else(not_ready)?;
    let state = StateAt::of(view.clone());
    let Some(abi) = read.abis(view).abi(Name::EOSIO, u64::MAX)? else {
        return Err(match older_abi(snapshot, view, Name::EOSIO, state.number())? {
            Some(why) => unknown_since(snapshot, &format!("Votes cannot be read: {why}")).unwrap_or_else(not_ready),
            None => not_ready(),
        });
    };
    let global_table = TableKey { contract: Name::EOSIO, table: GLOBAL, scope: Name::EOSIO };
    let Some(row) = state.row(&global_table.row(GLOBAL.0))? else {
        let older = if state.table_is_known(global_table)? { None } else { unknown_since(snapshot, NO_VOTES) };
        return Err(older.unwrap_or_else(not_ready));
    };
    let global = decode(&abi, GLOBAL, &row.row.data).ok_or_else(not_ready)?;
    let producers_table = TableKey { contract: Name::EOSIO, table: PRODUCERS, scope: Name::EOSIO };
    let mut producers = Vec::new();
    for row in state.rows(producers_table, RowRange::default())?.take(MAX_PRODUCERS) {
        read.go_on()?;
        // Nobody could vote for a row that does not decode.
        producers.extend(decode(&abi, PRODUCERS, &row?.row.data).map(producer));
    }
    producers.sort_by(|one, other| other.total_votes.total_cmp(&one.total_votes));
    let time = blocks::by_number(view, confirmed(snapshot, confirmations))?.map(|block| block.time).unwrap_or_default();
    let is_whole = !snapshot.lacks_older_state();
    let known = |first_block| Ok::<_, ApiError>((first_block, is_whole || state.table_is_known(producers_table)?));
    Ok(VoteTally {
        total_activated_stake: number(&global["total_activated_stake"]),
        total_votes: number(&global["total_producer_vote_weight"]),
        decay_weight: decay_weight(time),
        producers,
        coverage: snapshot.state_start().map(known).transpose()?,
    })
}

fn producer(mut row: Value) -> ProducerVotes {
    let (total_votes, is_active) = (number(&row["total_votes"]), flag(&row["is_active"]));
    let mut take = |key: &str| row.get_mut(key).map(Value::take).unwrap_or_default();
    ProducerVotes {
        owner: take("owner"),
        total_votes,
        producer_key: take("producer_key"),
        is_active,
        url: take("url"),
        unpaid_blocks: take("unpaid_blocks"),
        location: take("location"),
    }
}

/// The error for votes that may have been counted before the first block that is indexed; absent if there is none before.
fn unknown_since(snapshot: &ServingSnapshot, message: &str) -> Option<ApiError> {
    let first_block = snapshot.state_start().filter(|_| snapshot.lacks_older_state())?;
    Some(state_unavailable(first_block, message.to_owned()))
}

fn decode(abi: &AbiSerializer, table: Name, row: &[u8]) -> Option<Value> {
    let mut text = Vec::new();
    abi.table(table).ok()?.decode(row, Rendering::Plain, MAX_ROW_BYTES, &mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Large numbers are texts.
fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|number| number.is_finite()).unwrap_or(0.0)
}

/// Some versions of the contract have a number there.
fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| number(value) != 0.0)
}

/// What a vote counts, as the system contract has it: twice as much with every year of 52 weeks since 2000.
fn decay_weight(time: BlockTimestamp) -> f64 {
    let weeks = time.0 / 2 / SECONDS_PER_WEEK;
    (f64::from(weeks) / 52.0).exp2()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn weights_grow_by_the_week() {
        let week = 2 * SECONDS_PER_WEEK;
        for (slot, weight) in [(0, 1.0), (week - 1, 1.0), (52 * week, 2.0), (104 * week + 5, 4.0)] {
            assert!((decay_weight(BlockTimestamp(slot)) - weight).abs() < 1e-12);
        }
        assert!(decay_weight(BlockTimestamp(week)) > 1.0);
    }

    #[test]
    fn numbers_are_numbers_or_texts() {
        for (value, is) in [(json!(1.5), 1.5), (json!("10000000000000"), 1e13), (json!("nan"), 0.0), (json!(null), 0.0)]
        {
            assert!((number(&value) - is).abs() < f64::EPSILON, "{value}");
        }
    }
}
