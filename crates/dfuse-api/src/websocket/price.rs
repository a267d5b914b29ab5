use super::{
    context::Context,
    message::{Message, check},
    request::Request,
};
use crate::{ApiError, ApiResult, ErrorCode};

/// `get_price`: there is no source of prices.
pub(super) struct Price;

impl Request for Price {
    const NAMES: &[&str] = &["get_price"];

    fn read(message: &Message) -> ApiResult<Self> {
        message.wants_something()?;
        check(!message.listen, "'listen' is not supported: this server has no source of prices")?;
        Ok(Self)
    }

    async fn run(self, _: Context) -> ApiResult<()> {
        Err(ApiError::new(ErrorCode::PriceNotReady, "No price is known: this server has no source of prices."))
    }
}
