//! The head of the chain, now and whenever there is a new one.

use dfuse_antelope::{BlockTimestamp, Name};
use dfuse_blocks::{
    BlockRef, Error, Step,
    feed::{FeedStep, Request, Start, Subscription},
};

use super::follow::next_step;
use crate::{ApiError, ApiResult, ErrorCode, Service, turns::Class};

/// The head of the chain, and the last irreversible block then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadInfo {
    /// The head; with confirmations, the newest block that has them.
    pub head: BlockRef,
    /// When the head was produced.
    pub time: BlockTimestamp,
    /// Who produced it.
    pub producer: Name,
    /// The last irreversible block, which is never above the head.
    pub lib: BlockRef,
}

impl HeadInfo {
    /// Of a head and a last irreversible block that the feed named.
    ///
    /// # Errors
    /// Those of reading the block.
    pub async fn read(service: &Service, head: BlockRef, lib: BlockRef) -> ApiResult<Self> {
        let _turn = service.turns().turn(Class::Live).await;
        let block = service.chain().feed.block(head).await?.block().await?;
        let lib = Self::lib_below(head, lib);
        Ok(Self { head, time: block.header.timestamp, producer: block.header.producer, lib })
    }

    /// The last irreversible block as it is told with a head: one that came late may be below it by now.
    pub fn lib_below(head: BlockRef, lib: BlockRef) -> BlockRef {
        if lib.number < head.number { lib } else { head }
    }
}

/// The head that has so many confirmations, and the last irreversible block. [`HeadInfo::read`] gives the rest.
///
/// # Errors
/// `head_info_not_ready_error` if there is no such block yet.
pub async fn current_head(service: &Service, confirmations: u32) -> ApiResult<(BlockRef, BlockRef)> {
    let feed = &service.chain().feed;
    let not_ready = |message| ApiError::new(ErrorCode::HeadInfoNotReady, message);
    let (Some(head), Some(lib)) = (feed.head(), feed.lib()) else {
        return Err(not_ready("No block is known yet."));
    };
    match feed.confirmed(confirmations) {
        Some(number) if number < head.number => {
            if feed.first_block().is_none_or(|first| number < first) {
                return Err(not_ready("No block has so many confirmations yet."));
            }
            Ok((feed.canonical_block(number).await?.encoded().into(), lib))
        }
        _ => Ok((head, lib)),
    }
}

/// New heads of the chain. Blocks that a slow client missed are left out.
#[derive(Debug)]
pub struct NewHeads {
    service: Service,
    confirmations: u32,
    subscription: Option<Subscription>,
}

impl NewHeads {
    /// Begins with the present head. With confirmations, a head is the newest block that has them.
    pub fn new(service: &Service, confirmations: u32) -> Self {
        Self { service: service.clone(), confirmations, subscription: None }
    }

    /// The next head, as a step of the feed.
    ///
    /// # Errors
    /// Those of the feed.
    pub async fn next(&mut self) -> ApiResult<FeedStep> {
        loop {
            let subscription = match &mut self.subscription {
                Some(subscription) => subscription,
                empty => {
                    let request = Request { confirmations: self.confirmations, ..Start::Head(0).into() };
                    empty.insert(self.service.chain().feed.subscribe(request).await?)
                }
            };
            match next_step(subscription).await {
                Ok(Some(step)) if step.step == Step::New => return Ok(step),
                Ok(Some(_)) => {}
                // The client has no use for the heads that it missed: begin again with the present one.
                Ok(None) | Err(Error::TooSlow { .. }) => self.subscription = None,
                Err(error) => return Err(error.into()),
            }
        }
    }
}
