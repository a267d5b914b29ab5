use bytes::Bytes;
use dfuse_blocks::BlockRef;
use dfuse_query::{
    ApiResult,
    streams::{HeadInfo, NewHeads, current_head},
};
use dfuse_render::{JsonWriter, rfc3339};

use super::{context::Context, message::Message, request::Request};

/// `get_head_info`: the head of the chain, now or whenever there is a new one.
pub(super) struct GetHeadInfo {
    listen: bool,
    confirmations: u32,
}

impl Request for GetHeadInfo {
    const NAMES: &[&str] = &["get_head_info"];

    fn read(message: &Message) -> ApiResult<Self> {
        message.wants_something()?;
        message.takes_reversible()?;
        Ok(Self { listen: message.listen, confirmations: message.confirmations })
    }

    async fn run(self, context: Context) -> ApiResult<()> {
        if !self.listen {
            let (head, lib) = current_head(context.api(), self.confirmations).await?;
            return send(&context, head, lib).await;
        }
        let mut heads = NewHeads::new(context.api(), self.confirmations);
        context.answered();
        loop {
            let step = heads.next().await?;
            send(&context, step.block, step.lib).await?;
        }
    }
}

/// The same for all who ask at about the same time.
async fn send(context: &Context, head: BlockRef, lib: BlockRef) -> ApiResult<()> {
    let make = async {
        let info = HeadInfo::read(context.api(), head, lib).await?;
        ApiResult::Ok(render(&info))
    };
    // Below the last irreversible block, a head is its own: see `HeadInfo::read`.
    let lib_id = if lib.number < head.number { lib.id } else { head.id };
    let data = context.shared().head_infos.get((head.id, lib_id), make).await?;
    context.send("head_info", &data).await;
    Ok(())
}

/// The `data` of a message.
fn render(info: &HeadInfo) -> Bytes {
    let mut text = Vec::with_capacity(320);
    let mut json = JsonWriter::new(&mut text);
    json.begin_object();
    json.key("last_irreversible_block_num").unsigned(info.lib.number);
    json.key("last_irreversible_block_id").checksum(info.lib.id);
    json.key("head_block_num").unsigned(info.head.number);
    json.key("head_block_id").checksum(info.head.id);
    json.key("head_block_time").string(&rfc3339(info.time));
    json.key("head_block_producer").name(info.producer);
    json.end_object();
    text.into()
}
