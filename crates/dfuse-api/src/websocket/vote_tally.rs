//! `get_vote_tally`: producers and their votes, from the tables of the system contract.

use std::time::Duration;

use bytes::Bytes;
use dfuse_query::{
    ApiResult, Class, ErrorCode,
    state::{VoteTally, vote_tally},
    streams::NewHeads,
};
use serde_json::json;

use super::{context::Context, message::Message, request::Request};

/// How long a tally is the present one: every block changes it a little.
const PERIOD: Duration = Duration::from_secs(10);

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
    let mut heads = NewHeads::new(context.api(), confirmations);
    let mut sent = Bytes::new();
    context.answered();
    loop {
        heads.next().await?;
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

/// The same for all who ask within a period.
async fn current(context: &Context, confirmations: u32) -> ApiResult<Bytes> {
    let period = context.clock().elapsed().as_nanos() / PERIOD.as_nanos();
    let api = context.api().reading(Class::Page);
    // Before the first block there are no votes, either: that has a code of its own.
    let make = api.query_at_any_time(move |read| Ok(render(&vote_tally(read, confirmations)?)));
    context.shared().vote_tallies.get((period as u64, confirmations), make).await
}

/// The `data` of a message.
fn render(tally: &VoteTally) -> Bytes {
    let producers = tally.producers.iter().map(|producer| {
        json!({
            "owner": producer.owner,
            "total_votes": producer.total_votes,
            "producer_key": producer.producer_key,
            "is_active": producer.is_active,
            "url": producer.url,
            "unpaid_blocks": producer.unpaid_blocks,
            "location": producer.location,
        })
    });
    let mut data = json!({"vote_tally": {
        "total_activated_stake": tally.total_activated_stake,
        "total_votes": tally.total_votes,
        "decay_weight": tally.decay_weight,
        "producers": producers.collect::<Vec<_>>(),
    }});
    if let Some((first_block, is_complete)) = tally.coverage {
        data["vote_tally"]["state_from_block"] = first_block.into();
        data["vote_tally"]["complete"] = is_complete.into();
    }
    data.to_string().into()
}
