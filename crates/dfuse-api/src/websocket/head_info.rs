use bytes::Bytes;
use dfuse_blocks::{
    BlockRef, Error, Step,
    feed::{FeedStep, Request as FeedRequest, Start},
};
use dfuse_query::{ApiError, ApiResult, ErrorCode, streams::next_step, turns::Class};

use super::{context::Context, message::Message, request::Request};
use dfuse_render::{JsonWriter, rfc3339};

const HEAD_INFO: &str = "head_info";

/// `get_head_info`: the head of the chain, now or whenever there is a new one.
pub(super) struct HeadInfo {
    listen: bool,
    confirmations: u32,
}

impl Request for HeadInfo {
    const NAMES: &[&str] = &["get_head_info"];

    fn read(message: &Message) -> ApiResult<Self> {
        message.wants_something()?;
        message.takes_reversible()?;
        Ok(Self { listen: message.listen, confirmations: message.confirmations })
    }

    async fn run(self, context: Context) -> ApiResult<()> {
        if self.listen { listen(&context, self.confirmations).await } else { fetch(&context, self.confirmations).await }
    }
}

async fn fetch(context: &Context, confirmations: u32) -> ApiResult<()> {
    let feed = &context.api().chain().feed;
    let not_ready = |message| ApiError::new(ErrorCode::HeadInfoNotReady, message);
    let (Some(head), Some(lib)) = (feed.head(), feed.lib()) else {
        return Err(not_ready("No block is known yet."));
    };
    let block = match feed.confirmed(confirmations) {
        Some(number) if number < head.number => {
            if feed.first_block().is_none_or(|first| number < first) {
                return Err(not_ready("No block has so many confirmations yet."));
            }
            feed.canonical_block(number).await?.encoded().into()
        }
        _ => head,
    };
    context.send(HEAD_INFO, &data(context, block, lib).await?).await;
    Ok(())
}

async fn listen(context: &Context, confirmations: u32) -> ApiResult<()> {
    let feed = &context.api().chain().feed;
    context.answered();
    loop {
        let mut subscription = feed.subscribe(FeedRequest { confirmations, ..Start::Head(0).into() }).await?;
        loop {
            match next_step(&mut subscription).await {
                Ok(Some(FeedStep { step: Step::New, block, lib, .. })) => {
                    let data = data(context, block, lib).await?;
                    context.send(HEAD_INFO, &data).await;
                }
                Ok(Some(_)) => {}
                // What the client missed is of no use to it any more.
                Ok(None) | Err(Error::TooSlow { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The same for all who ask at about the same time.
async fn data(context: &Context, head: BlockRef, lib: BlockRef) -> ApiResult<Bytes> {
    // One that came late may be below the last irreversible one by now.
    let lib = if lib.number < head.number { lib } else { head };
    let render = async {
        let api = context.api();
        let _turn = api.turns().turn(Class::Live).await;
        let decoded = api.chain().feed.block(head).await?.block().await?;
        let mut text = Vec::with_capacity(320);
        let mut json = JsonWriter::new(&mut text);
        json.begin_object();
        json.key("last_irreversible_block_num").unsigned(lib.number);
        json.key("last_irreversible_block_id").checksum(lib.id);
        json.key("head_block_num").unsigned(head.number);
        json.key("head_block_id").checksum(head.id);
        json.key("head_block_time").string(&rfc3339(decoded.header.timestamp));
        json.key("head_block_producer").name(decoded.header.producer);
        json.end_object();
        Ok(text.into())
    };
    context.shared().head_infos.get((head.id, lib.id), render).await
}
