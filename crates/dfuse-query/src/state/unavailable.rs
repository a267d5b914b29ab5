use crate::{ApiError, ErrorCode};

/// `details.reason` where the indexes begin in mid-chain.
const MID_CHAIN_START: &str = "mid_chain_start";

/// The error for state of before `first_block`, the first one that is indexed.
pub fn state_unavailable(first_block: u32, message: String) -> ApiError {
    ApiError::new(ErrorCode::StateUnavailable, message)
        .detail("first_block_num", first_block)
        .detail("reason", MID_CHAIN_START)
}
