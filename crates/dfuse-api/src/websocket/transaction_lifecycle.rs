//! `get_transaction_lifecycle`: what has become of a transaction, now and whenever it changes.

use dfuse_antelope::{Checksum256, model::TransactionLifecycle};
use dfuse_blocks::Step;
use dfuse_index::View;
use dfuse_query::{
    ApiResult, ReadContext,
    streams::{LifecycleLook, LifecycleStep, LifecycleStream, Progress},
    transactions::by_prefix,
};
use dfuse_render::Renderer;
use dfuse_trx::IdPrefix;

use super::{
    context::Context,
    message::{Message, check, invalid},
    request::Request,
};
use crate::Api;

const KIND: &str = "transaction_lifecycle";

/// What is asked for. Wherever a stream of it begins, it tells all that is known: the block to begin with is only checked.
pub(super) struct TransactionLifecycles {
    asked: Asked,
    start_block: i64,
    confirmations: u32,
}

enum Asked {
    /// The transaction whose id begins so.
    Fetch { prefix: IdPrefix, text: String },
    /// The transaction of that id, from now on.
    Listen { id: Checksum256, with_progress: i64 },
}

impl Request for TransactionLifecycles {
    const NAMES: &[&str] = &["get_transaction_lifecycle", "get_transaction"];

    fn read(message: &Message) -> ApiResult<Self> {
        let id = message.data.text("id")?;
        check(id.len() >= 8, "transaction id too short")?;
        check(id.len() <= 64, "transaction id too long")?;
        check(id.len().is_multiple_of(2), "transaction id odd length")?;
        let prefix = IdPrefix::from_hex(id).map_err(|_| invalid("transaction id not hexadecimal"))?;
        message.wants_something()?;
        message.takes_reversible()?;
        let Message { start_block, confirmations, with_progress, .. } = *message;
        let asked = if message.listen {
            let id = id.to_ascii_lowercase().parse();
            let id = id.map_err(|_| invalid("'listen' requires a whole transaction id of 64 characters"))?;
            Asked::Listen { id, with_progress }
        } else {
            Asked::Fetch { prefix, text: id.to_owned() }
        };
        Ok(Self { asked, start_block, confirmations })
    }

    async fn run(self, context: Context) -> ApiResult<()> {
        let Self { asked, start_block, confirmations } = self;
        context.start_block(start_block, confirmations)?;
        match asked {
            Asked::Fetch { prefix, text } => fetch(&context, prefix, text, confirmations).await,
            Asked::Listen { id, with_progress } => {
                let progress = Progress::new(with_progress, context.clock());
                listen(&context, id, confirmations, progress).await
            }
        }
    }
}

async fn fetch(context: &Context, prefix: IdPrefix, text: String, confirmations: u32) -> ApiResult<()> {
    let make = || find(context.api(), &prefix, &text, confirmations);
    context.send_made(KIND, make).await
}

async fn find(api: &Api, prefix: &IdPrefix, text: &str, confirmations: u32) -> ApiResult<(Option<Vec<u8>>, ())> {
    let (prefix, text) = (prefix.clone(), text.to_owned());
    let found = api.query(move |read| {
        let (view, lifecycle) = match by_prefix(read, &prefix, &text, confirmations)? {
            Ok(found) => found,
            Err(ambiguous) => return Err(invalid(ambiguous)),
        };
        render(read, &view, &lifecycle)
    });
    Ok((Some(found.await?), ()))
}

/// First what is known, then the same again after every step that changes it, until nothing can change any more.
async fn listen(context: &Context, id: Checksum256, confirmations: u32, mut progress: Progress) -> ApiResult<()> {
    let begin = async || {
        let mut stream = LifecycleStream::begin(context.api(), id, confirmations, render).await?;
        Ok((stream.take_first(), stream))
    };
    let mut stream = context.send_made(KIND, begin).await?;
    context.listening(stream.next_block(), &["dbops", "dtrxops", "ramops", "tableops"]).await?;
    while let Some(LifecycleStep { step, may_change }) = stream.next_step().await? {
        if may_change {
            let look = async || match stream.look(&step).await? {
                Some(LifecycleLook { told, state }) => Ok((told, Some(state))),
                None => Ok((None, None)),
            };
            let Some(seen) = context.send_made(KIND, look).await? else { continue };
            if stream.take(&step, seen) {
                return Ok(());
            }
        }
        if step.step == Step::New && progress.is_due(step.block.number) {
            context.progress(step.block).await;
        }
    }
    Ok(())
}

/// The `data` of a message.
fn render(read: &ReadContext<'_>, view: &View, lifecycle: &TransactionLifecycle) -> ApiResult<Vec<u8>> {
    let mut text = Vec::new();
    let abis = read.abis(view);
    let mut renderer = Renderer::new(&mut text, &abis);
    renderer.json().begin_object();
    renderer.json().key("lifecycle");
    renderer.lifecycle(lifecycle)?;
    renderer.json().end_object();
    Ok(text)
}
