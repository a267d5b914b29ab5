//! What a type of requests is.

use std::future::Future;

use dfuse_query::ApiResult;

use super::{context::Context, message::Message};

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
