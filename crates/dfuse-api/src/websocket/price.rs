use std::future::pending;

use dfuse_query::{ApiError, ApiResult, ErrorCode};

use super::{context::Context, message::Message, request::Request};

/// `get_price`: there is no source of prices. Whoever listens hears nothing, until one may know a price.
pub(super) struct Price {
    listen: bool,
}

impl Request for Price {
    const NAMES: &[&str] = &["get_price"];

    fn read(message: &Message) -> ApiResult<Self> {
        message.wants_something()?;
        message.takes_newest()?;
        Ok(Self { listen: message.listen })
    }

    async fn run(self, context: Context) -> ApiResult<()> {
        if self.listen {
            context.answered();
            return pending().await;
        }
        Err(ApiError::new(ErrorCode::PriceNotReady, "No price is known: this server has no source of prices."))
    }
}
