//! The table of all types of requests.

use std::{future::Future, pin::Pin};

use dfuse_query::ApiResult;

use super::{
    account::GetAccount, action_traces::ActionTraces, context::Context, head_info::GetHeadInfo, message::Message,
    price::Price, request::Request, table_rows::GetTableRows, transaction_lifecycle::TransactionLifecycles,
    vote_tally::GetVoteTally,
};

type Work = Pin<Box<dyn Future<Output = ApiResult<()>> + Send>>;

/// What is left to do of a request that is right.
pub(super) type Prepared = Box<dyn FnOnce(Context) -> Work + Send>;

pub(super) struct RequestType {
    pub(super) names: &'static [&'static str],
    pub(super) prepare: fn(&Message) -> ApiResult<Prepared>,
}

const fn row<R: Request>() -> RequestType {
    RequestType {
        names: R::NAMES,
        prepare: |message| {
            let request = R::read(message)?;
            Ok(Box::new(move |context| Box::pin(request.run(context))))
        },
    }
}

/// All of them but `unlisten` and `pong`, which are about the connection.
pub(super) static TYPES: [RequestType; 7] = [
    row::<ActionTraces>(),
    row::<GetHeadInfo>(),
    row::<Price>(),
    row::<GetTableRows>(),
    row::<TransactionLifecycles>(),
    row::<GetAccount>(),
    row::<GetVoteTally>(),
];

pub(super) fn find(name: &str) -> Option<&'static RequestType> {
    TYPES.iter().find(|kind| kind.names.contains(&name))
}
