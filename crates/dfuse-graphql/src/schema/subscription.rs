//! The fields of subscriptions.
//!
//! A resolver only says what is to be streamed. Whoever drives the subscription asks a use case for the next events, and hands them
//! to the resolver's stream one by one: see [`crate::feed`].

use async_graphql::{Context, Subscription as SubscriptionRoot};
use dfuse_kv::Direction;
use dfuse_query::{
    ApiError, ApiResult,
    streams::{RowFollow, RowStart, SearchFollow},
};
use dfuse_search::Bounds;
use futures::Stream;

use super::{
    search::{position_of, query_of},
    state::table as table_of,
    transactions::whole_id,
};
use crate::{
    read::Request,
    slot::{Asked, Slot},
    types::{
        HeadResponse, Int64, SearchTransactionBackwardResponse, SearchTransactionForwardResponse, TableDeltasResponse,
        TransactionLifecycle, Uint32,
    },
};

/// Subscriptions
pub(crate) struct Subscription;

/// The arguments of a stream of a search.
struct Arguments {
    query: String,
    low_block_num: Option<Int64>,
    high_block_num: Option<Int64>,
    cursor: Option<String>,
    limit: Option<Int64>,
    irreversible_only: Option<bool>,
    live_marker_interval: Option<Uint32>,
}

impl Arguments {
    fn follow(self, ctx: &Context<'_>, direction: Direction) -> ApiResult<SearchFollow> {
        let read = Request::of(ctx).read();
        // Streams count from the newest block, which is 0.
        let counted = |number: Int64| if number.0 < 1 { number.0.saturating_sub(1) } else { number.0 };
        let low = Some(self.low_block_num.map_or(-1, counted));
        Ok(SearchFollow {
            query: query_of(&read, &self.query)?,
            bounds: Bounds { low, high: self.high_block_num.map(counted) },
            direction,
            cursor: position_of(&read, self.cursor.as_deref())?,
            irreversible_only: self.irreversible_only.unwrap_or(false),
            marker_interval: self.live_marker_interval.map_or(0, |interval| interval.0),
            limit: self.limit.and_then(|limit| u64::try_from(limit.0).ok()),
        })
    }
}

#[SubscriptionRoot]
impl Subscription {
    /// Follows transactions with actions that match a query, oldest first, as the chain goes on. What was sent of blocks that are
    /// undone is sent again as undone.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn search_transactions_forward(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to look for, in the language of searches.")] query: String,
        #[graphql(desc = "The first block; numbers below 1 count from the newest one, which is 0.")]
        low_block_num: Option<Int64>,
        #[graphql(desc = "The last block, in the same manner; without it the stream goes on.")] high_block_num: Option<
            Int64,
        >,
        #[graphql(desc = "The cursor after which the results begin.")] cursor: Option<String>,
        #[graphql(desc = "Ends after so many results; 0 for no end.", default_with = "Some(Int64(0))")] limit: Option<
            Int64,
        >,
        #[graphql(desc = "Only blocks that can no longer be undone.", default_with = "Some(false)")]
        irreversible_only: Option<bool>,
        #[graphql(
            desc = "Blocks at the end of the chain after which a result without a trace tells how far the stream is; 0 for none.",
            default_with = "Some(Uint32(0))"
        )]
        live_marker_interval: Option<Uint32>,
    ) -> Result<impl Stream<Item = SearchTransactionForwardResponse> + use<>, ApiError> {
        let arguments =
            Arguments { query, low_block_num, high_block_num, cursor, limit, irreversible_only, live_marker_interval };
        let follow = arguments.follow(ctx, Direction::Forward)?;
        Ok(Slot::of(ctx).stream(Asked::Search(follow)))
    }

    /// Sends transactions with actions that match a query, newest first, and ends.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn search_transactions_backward(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to look for, in the language of searches.")] query: String,
        #[graphql(desc = "The first block; numbers below 1 count from the newest one, which is 0.")]
        low_block_num: Option<Int64>,
        #[graphql(desc = "The last block, in the same manner.")] high_block_num: Option<Int64>,
        #[graphql(desc = "The cursor before which the results end.")] cursor: Option<String>,
        #[graphql(desc = "Ends after so many results; 0 for all.", default_with = "Some(Int64(0))")] limit: Option<
            Int64,
        >,
        #[graphql(desc = "Only blocks that can no longer be undone.", default_with = "Some(false)")]
        irreversible_only: Option<bool>,
    ) -> Result<impl Stream<Item = SearchTransactionBackwardResponse> + use<>, ApiError> {
        let live_marker_interval = None;
        let arguments =
            Arguments { query, low_block_num, high_block_num, cursor, limit, irreversible_only, live_marker_interval };
        let follow = arguments.follow(ctx, Direction::Reverse)?;
        Ok(Slot::of(ctx).stream(Asked::Search(follow)))
    }

    /// Follows what becomes of the rows of a table of a contract: one answer for each block that changes some. What was sent of blocks
    /// that are undone is sent again as undone.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn table_deltas(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The contract.")] code: String,
        #[graphql(desc = "The table.")] table: String,
        #[graphql(desc = "The scope; a name, a symbol such as 4,EOS, or the letters of one. May be empty.")]
        scope: String,
        #[graphql(desc = "The first block; numbers below 1 count from the newest one, which is 0.")]
        low_block_num: Option<Int64>,
        #[graphql(desc = "The last block; without it the stream goes on.")] high_block_num: Option<Uint32>,
        #[graphql(desc = "The cursor after which the answers begin.")] cursor: Option<String>,
        #[graphql(
            desc = "A block is sent when so many stand on top of it, or it is final.",
            default_with = "Some(Uint32(0))"
        )]
        confirmations: Option<Uint32>,
        #[graphql(desc = "Only blocks that can no longer be undone.", default_with = "Some(false)")]
        irreversible_only: Option<bool>,
        #[graphql(
            desc = "Blocks after which an answer without changes tells how far the stream is; 0 for none.",
            default_with = "Some(Uint32(0))"
        )]
        live_marker_interval: Option<Uint32>,
    ) -> Result<impl Stream<Item = TableDeltasResponse> + use<>, ApiError> {
        let start = match cursor.as_deref().unwrap_or_default() {
            "" => RowStart::Block(low_block_num.map_or(0, |low| low.0)),
            text => RowStart::Cursor(Request::of(ctx).read().chain().feed.open_cursor(text)?),
        };
        let number = |number: Option<Uint32>| number.map_or(0, |number| number.0);
        let follow = RowFollow {
            table: table_of(&code, &table, &scope)?,
            start,
            stop_block: high_block_num.map(|number| number.0),
            confirmations: number(confirmations),
            irreversible_only: irreversible_only.unwrap_or(false),
            marker_interval: number(live_marker_interval),
        };
        Ok(Slot::of(ctx).stream(Asked::Rows(follow)))
    }

    /// Sends what is known of a transaction, then the same again whenever a block changes it, and ends when nothing can change any more.
    /// It may be subscribed to before the transaction is in a block.
    async fn transaction_lifecycle(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its whole id.")] id: String,
        #[graphql(desc = "Only blocks count that are final or have so many on top.", default_with = "Some(Uint32(0))")]
        confirmations: Option<Uint32>,
    ) -> Result<impl Stream<Item = TransactionLifecycle> + use<>, ApiError> {
        let (id, confirmations) = (whole_id(&id)?, confirmations.map_or(0, |it| it.0));
        Ok(Slot::of(ctx).stream(Asked::Lifecycle { id, confirmations }))
    }

    /// Sends the head of the chain, and each new one. Heads that come faster than they are read are left out.
    async fn head(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The head is the newest block that is final or has so many on top.",
            default_with = "Some(Uint32(0))"
        )]
        confirmations: Option<Uint32>,
    ) -> Result<impl Stream<Item = HeadResponse> + use<>, ApiError> {
        Ok(Slot::of(ctx).stream(Asked::Head { confirmations: confirmations.map_or(0, |it| it.0) }))
    }
}
