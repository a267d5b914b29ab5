//! `get_vote_tally`: producers and their votes, from the tables of the system contract.

use std::time::Duration;

use bytes::Bytes;
use dfuse_antelope::{
    BlockTimestamp, Name,
    abi::{AbiSerializer, Rendering},
};
use dfuse_blocks::{
    Error, Step,
    feed::{Request as FeedRequest, Start},
};
use dfuse_query::{
    ApiError, ApiResult, Class, ErrorCode, Reading,
    state::{older_abi, state_unavailable},
    streams::{Recent, confirmed, confirmed_view, next_step},
};
use dfuse_state::{RowRange, StateAt, TableKey};
use serde_json::{Value, json};

use super::{context::Context, message::Message, request::Request};
use crate::Api;
use dfuse_index::{
    ServingSnapshot,
    abi::{AbiSource, ViewAbis},
    blocks,
};

/// How long a tally is the present one: every block changes it a little.
const PERIOD: Duration = Duration::from_secs(10);
/// Most producers.
const MAX_PRODUCERS: usize = 10_000;
/// Most bytes of JSON of a row.
const MAX_ROW_BYTES: usize = 64 << 10;
const SECONDS_PER_WEEK: u32 = 7 * 24 * 3600;

const SYSTEM: Name = Name::literal("eosio");
const PRODUCERS: Name = Name::literal("producers");
const GLOBAL: Name = Name::literal("global");
const NO_VOTES: &str = "The votes of before the first block that is indexed are unknown, and none were counted since.";

/// The `data` of messages, by the period that it was made in and the confirmations.
pub(super) type Tallies = Recent<(u64, u32), Bytes>;

pub(super) struct GetVoteTally {
    listen: bool,
    confirmations: u32,
}

impl Request for GetVoteTally {
    const NAMES: &[&str] = &["get_vote_tally"];

    fn read(message: &Message) -> ApiResult<Self> {
        message.wants_something()?;
        message.takes_reversible()?;
        Ok(Self { listen: message.listen, confirmations: message.confirmations })
    }

    async fn run(self, context: Context) -> ApiResult<()> {
        if self.listen {
            return listen(&context, self.confirmations).await;
        }
        let tally = current(&context, self.confirmations).await?;
        context.send("vote_tally", &tally).await;
        Ok(())
    }
}

/// Sends the tally now, and whenever it is another one with a new block.
async fn listen(context: &Context, confirmations: u32) -> ApiResult<()> {
    let feed = &context.api().chain().feed;
    let mut sent = Bytes::new();
    context.answered();
    loop {
        let mut subscription = feed.subscribe(FeedRequest { confirmations, ..Start::Head(0).into() }).await?;
        loop {
            match next_step(&mut subscription).await {
                Ok(Some(step)) if step.step == Step::New => {}
                Ok(Some(_)) => continue,
                // What the client missed is of no use to it any more.
                Ok(None) | Err(Error::TooSlow { .. }) => break,
                Err(error) => return Err(error.into()),
            }
            match current(context, confirmations).await {
                Ok(tally) if tally != sent => {
                    context.send("vote_tally", &tally).await;
                    sent = tally;
                }
                Ok(_) => {}
                Err(error) if error.code() == ErrorCode::VoteTallyNotReady => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The same for all who ask within a period.
async fn current(context: &Context, confirmations: u32) -> ApiResult<Bytes> {
    let period = context.clock().elapsed().as_nanos() / PERIOD.as_nanos();
    let api = context.api().clone();
    let make = async {
        let reader = api.clone();
        api.reading(Class::Page).read(move |snapshot, reading| tally(&reader, snapshot, confirmations, reading)).await
    };
    context.shared().vote_tallies.get((period as u64, confirmations), make).await
}

fn tally(api: &Api, snapshot: &ServingSnapshot, confirmations: u32, reading: &Reading) -> ApiResult<Bytes> {
    let not_ready =
        || ApiError::new(ErrorCode::VoteTallyNotReady, "No votes are known: the chain has no system contract.");
    let view = &confirmed_view(snapshot, confirmations)?.ok_or_else(not_ready)?;
    let state = StateAt::of(view.clone());
    let Some(abi) = ViewAbis::new(view, api.abis()).abi(SYSTEM, u64::MAX)? else {
        return Err(match older_abi(snapshot, view, SYSTEM, state.number())? {
            Some(why) => unknown_since(snapshot, &format!("Votes cannot be read: {why}")).unwrap_or_else(not_ready),
            None => not_ready(),
        });
    };
    let global_table = TableKey { contract: SYSTEM, table: GLOBAL, scope: SYSTEM };
    let Some(row) = state.row(&global_table.row(GLOBAL.0))? else {
        let older = if state.table_is_known(global_table)? { None } else { unknown_since(snapshot, NO_VOTES) };
        return Err(older.unwrap_or_else(not_ready));
    };
    let global = decode(&abi, GLOBAL, &row.row.data).ok_or_else(not_ready)?;
    let producers = TableKey { contract: SYSTEM, table: PRODUCERS, scope: SYSTEM };
    let mut tallied = Vec::new();
    for row in state.rows(producers, RowRange::default())?.take(MAX_PRODUCERS) {
        reading.go_on()?;
        // What does not decode is no producer that anybody could vote for.
        let Some(row) = decode(&abi, PRODUCERS, &row?.row.data) else { continue };
        let votes = number(&row["total_votes"]);
        let producer = json!({
            "owner": row["owner"],
            "total_votes": votes,
            "producer_key": row["producer_key"],
            "is_active": flag(&row["is_active"]),
            "url": row["url"],
            "unpaid_blocks": row["unpaid_blocks"],
            "location": row["location"],
        });
        tallied.push((votes, producer));
    }
    tallied.sort_by(|(votes, _), (others, _)| others.total_cmp(votes));
    let time = blocks::by_number(view, confirmed(snapshot, confirmations))?.map(|block| block.time).unwrap_or_default();
    let mut tally = json!({"vote_tally": {
        "total_activated_stake": number(&global["total_activated_stake"]),
        "total_votes": number(&global["total_producer_vote_weight"]),
        "decay_weight": decay_weight(time),
        "producers": tallied.into_iter().map(|(_, producer)| producer).collect::<Vec<_>>(),
    }});
    if let Some(first_block) = snapshot.mid_chain_start() {
        tally["vote_tally"]["state_from_block"] = first_block.into();
        tally["vote_tally"]["complete"] = state.table_is_known(producers)?.into();
    }
    Ok(tally.to_string().into())
}

/// The error for votes that may have been counted before the first block that is indexed; absent if there is none before.
fn unknown_since(snapshot: &ServingSnapshot, message: &str) -> Option<ApiError> {
    let first_block = snapshot.mid_chain_start()?;
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
