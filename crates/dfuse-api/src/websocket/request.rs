//! The types of requests.

use std::{future::Future, pin::Pin};

use dfuse_query::ApiResult;

use super::{
    account::GetAccount, action_traces::ActionTraces, context::Context, head_info::HeadInfo, message::Message,
    price::Price, table_rows::GetTableRows, transaction_lifecycle::TransactionLifecycles, vote_tally::GetVoteTally,
};

/// A type of requests.
pub(super) trait Request: Sized + Send + 'static {
    /// What clients call it.
    const NAMES: &[&str];

    /// Reads and checks a message.
    ///
    /// # Errors
    /// `ws_invalid_json_message_data_error` and `ws_message_data_validation_error`; of several reasons the first.
    fn read(message: &Message) -> ApiResult<Self>;

    /// Answers. If the message listens, this is a stream, which takes up one of the connection's places until it returns; it
    /// calls [`Context::answered`] when further requests of the same `req_id` may be answered.
    fn run(self, context: Context) -> impl Future<Output = ApiResult<()>> + Send;
}

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
    row::<HeadInfo>(),
    row::<Price>(),
    row::<GetTableRows>(),
    row::<TransactionLifecycles>(),
    row::<GetAccount>(),
    row::<GetVoteTally>(),
];

pub(super) fn find(name: &str) -> Option<&'static RequestType> {
    TYPES.iter().find(|kind| kind.names.contains(&name))
}
