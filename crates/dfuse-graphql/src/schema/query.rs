//! The fields of queries.

use async_graphql::{Context, Object};
use dfuse_query::{ApiResult, RouteClass, blocks};

use crate::{
    read::Request,
    types::{BlockIdResponse, Comparator, Time},
};

/// Queries
pub(crate) struct Query;

#[Object]
impl Query {
    /// Finds a block of the best chain by its time.
    #[graphql(name = "blockIDByTime")]
    async fn block_id_by_time(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The time to compare with.")] time: Time,
        #[graphql(desc = "Where the block is, as seen from the time.", default_with = "Some(Comparator::Lte)")]
        comparator: Option<Comparator>,
    ) -> ApiResult<BlockIdResponse> {
        let request = Request::of(ctx);
        let read = request.begin(RouteClass::LookUp)?;
        let block = blocks::by_time(&read, time.0, comparator.unwrap_or(Comparator::Lte).into())?;
        read.may_read(block.number)?;
        request.count(1);
        Ok(block.into())
    }
}
