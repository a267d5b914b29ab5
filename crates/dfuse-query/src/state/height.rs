//! At which block a question is answered.

use dfuse_index::{BlockRef, Part, ServingSnapshot, blocks};
use dfuse_state::StateAt;
use serde_json::Value;

use super::unavailable::state_unavailable;
use crate::{ApiError, ApiResult, ErrorCode, ReadContext, filtered::must_have_state, kept::must_be_kept};

/// The height that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct AskedHeight {
    /// 0 for the newest.
    pub block_num: u128,
    /// Whether a block that can still be undone is refused, and the newest is the last irreversible one.
    pub irreversible_only: bool,
}

impl AskedHeight {
    /// The newest block.
    pub const HEAD: Self = Self { block_num: 0, irreversible_only: false };
}

/// The height that a question is answered at.
#[derive(Debug, Clone)]
pub struct Height {
    state: StateAt,
    /// The block, if it is reversible.
    up_to: Option<BlockRef>,
    lib: Option<BlockRef>,
    /// The first block after which state is known, if the chain had begun before it.
    state_start: Option<u32>,
    /// Whether state that was written earlier is unknown.
    lacks_older: bool,
}

impl Height {
    /// Finds the block.
    ///
    /// # Errors
    /// `app_not_ready_error` without any block, `app_block_num_higher_than_head_block_error` and its likes if the block is not there yet,
    /// `data_not_kept_error` if state as of it is kept no longer, and `app_state_unavailable_error` if it was before the indexes begin.
    pub fn resolve(snapshot: &ServingSnapshot, asked: AskedHeight) -> ApiResult<Self> {
        let AskedHeight { block_num, irreversible_only } = asked;
        let Some(head) = snapshot.head() else {
            return Err(ApiError::not_ready());
        };
        let lib = snapshot.lib();
        let lib_number = lib.map_or(0, |lib| lib.number);
        if block_num > head.number.into() {
            let message = format!("{} is above the head block, which is {}.", told(block_num), head.number);
            let error = ApiError::new(ErrorCode::BlockNumAboveHead, message)
                .detail("request_block_num", json_number(block_num))
                .detail("head_block_num", head.number)
                .detail("last_written_block_num", lib_number);
            return Err(match u32::try_from(block_num) {
                Ok(number) => error.awaiting(number),
                Err(_) => error,
            });
        }
        if irreversible_only && block_num > lib_number.into() {
            let block = told(block_num);
            let message = format!("{block} is above the last irreversible block, which is {lib_number}.");
            return Err(ApiError::new(ErrorCode::BlockNumAboveLib, message)
                .detail("request_block_num", json_number(block_num))
                .detail("last_written_block_num", lib_number));
        }
        let number = match block_num {
            0 if irreversible_only => lib_number,
            0 => head.number,
            // Not above the head.
            number => u32::try_from(number).unwrap_or(head.number),
        };
        let (state_start, lacks_older) = (snapshot.state_start(), snapshot.lacks_older_state());
        if block_num > 0 || irreversible_only {
            must_be_kept(snapshot, Part::State, number)?;
        }
        if let Some(first) = state_start.filter(|first| number < *first) {
            return Err(before(first, block_num, lacks_older));
        }
        must_have_state(snapshot.view(), number)?;
        let state = at_number(snapshot, number)?;
        let up_to = if number > lib_number { blocks::by_number(snapshot.view(), number)? } else { None };
        let up_to = up_to.map(|block| BlockRef { number, id: block.id });
        Ok(Self { state, up_to, lib, state_start, lacks_older })
    }

    /// Finds the block, if whoever asks may read it.
    ///
    /// # Errors
    /// Those of [`Height::resolve`], and `auth_invalid_history_error`.
    pub fn asked(read: &ReadContext<'_>, asked: AskedHeight) -> ApiResult<Self> {
        let height = Self::resolve(read.snapshot(), asked)?;
        read.may_read(height.number())?;
        Ok(height)
    }

    /// The state.
    pub fn state(&self) -> &StateAt {
        &self.state
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.state.number()
    }

    /// The block, if it is reversible.
    pub fn reversible_block(&self) -> Option<BlockRef> {
        self.up_to
    }

    /// The last irreversible block.
    pub fn last_irreversible_block(&self) -> Option<BlockRef> {
        self.lib
    }

    /// The first block after which state is known, if the chain had begun before it: the first one that is indexed, or that of
    /// the snapshot that was loaded.
    pub fn state_start(&self) -> Option<u32> {
        self.state_start
    }

    /// Whether state that was written before [`Height::state_start`] is unknown. A snapshot has all of it.
    pub fn lacks_older_state(&self) -> bool {
        self.lacks_older
    }

    /// The block; absent before the first one.
    ///
    /// # Errors
    /// Those of reading.
    pub fn block(&self) -> ApiResult<Option<BlockRef>> {
        if self.up_to.is_some() {
            return Ok(self.up_to);
        }
        if let Some(lib) = self.lib.filter(|lib| lib.number == self.number()) {
            return Ok(Some(lib));
        }
        let block = blocks::by_number(self.state.view(), self.number())?;
        Ok(block.map(|block| BlockRef { number: block.number, id: block.id }))
    }

    /// The same of another state.
    pub(super) fn with(&self, state: StateAt) -> Self {
        Self { state, ..self.clone() }
    }

    /// Goes on with another snapshot: the same height of the same branch.
    ///
    /// # Errors
    /// `service_unavailable_error` if the block was undone, and those of reading.
    pub fn renew(&mut self, snapshot: &ServingSnapshot) -> ApiResult<()> {
        self.state = match self.up_to {
            None => at_number(snapshot, self.number())?,
            Some(block) => match snapshot.view_at(block.id)? {
                Some(view) => StateAt::of(view),
                // Final by now.
                None if blocks::by_id(snapshot.view(), block.id)?.is_some() => at_number(snapshot, block.number)?,
                None => return Err(ApiError::unavailable("The block that is answered from was undone.")),
            },
        };
        Ok(())
    }
}

/// A height below the first block of indexes that begin in mid-chain; 0 if the last irreversible block was asked for.
fn before(first: u32, block_num: u128, lacks_older: bool) -> ApiError {
    let what = match block_num {
        0 => "No block from which on state is known is irreversible yet".to_owned(),
        number => format!("State at block {number} is unknown"),
    };
    let why = match lacks_older {
        true => format!("the indexes begin with block {first}, in the middle of the chain."),
        false => format!("the indexes begin with a snapshot of the state after block {first}."),
    };
    state_unavailable(first, format!("{what}: {why}"))
}

fn told(block_num: u128) -> String {
    match block_num {
        u128::MAX => format!("Block {} or above", u128::MAX),
        number => format!("Block {number}"),
    }
}

/// Above 64 bits with the digits that readers of JSON make of such a number.
#[expect(clippy::cast_precision_loss, reason = "it is what JavaScript reads")]
fn json_number(block_num: u128) -> Value {
    u64::try_from(block_num).map_or_else(|_| Value::from(block_num as f64), Value::from)
}

fn at_number(snapshot: &ServingSnapshot, number: u32) -> ApiResult<StateAt> {
    StateAt::at_number(snapshot, number)?
        .ok_or_else(|| ApiError::unavailable(format!("Block {number} is not indexed any more.")))
}
