//! What streams send of a block: rendered slice by slice on CPU threads, once for all who ask for the same.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use dfuse_blocks::feed::FeedEvent;

use super::{context::Context, recent::Recent};
use crate::{ApiResult, Reading};

/// JSON that is rendered at a time.
const SLICE_BYTES: usize = 256 << 10;
/// Blocks below the head for which messages are kept for other streams.
const SHARED_BLOCKS: u32 = 8;

/// Some messages, in order.
pub(super) type Slice = Arc<[Bytes]>;

/// Renders a message for each place, until they are many bytes. `write` appends one.
pub(super) fn slice<T>(
    reading: &Reading,
    places: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T) -> ApiResult<()>,
) -> ApiResult<Slice> {
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for place in places {
        reading.go_on()?;
        let mut text = Vec::new();
        write(&mut text, place)?;
        bytes += text.len();
        messages.push(Bytes::from(text));
        if bytes > SLICE_BYTES {
            break;
        }
    }
    Ok(messages.into())
}

/// The first slices of the newest blocks, by what they are of.
pub(super) type RecentSlices<K> = Recent<K, Slice>;

/// Sends the messages of so many places of the event's block. `render` makes a slice of those from a place on, of which
/// there is one at least; the first may be that of another stream with the same key.
pub(super) async fn send<K: Ord + Clone, R: Future<Output = ApiResult<Slice>>>(
    context: &Context,
    kind: &str,
    event: &FeedEvent,
    places: usize,
    (recent, key): (&RecentSlices<K>, K),
    render: impl Fn(usize) -> R,
) -> ApiResult<()> {
    let is_shared = event.head.number.saturating_sub(event.block.encoded().id().block_num()) < SHARED_BLOCKS;
    let mut next = if is_shared { recent.get(key, render(0)).await? } else { render(0).await? };
    let mut done = 0;
    loop {
        for message in &*next {
            context.send(kind, message).await;
        }
        done += next.len();
        if done >= places {
            return Ok(());
        }
        next = render(done).await?;
    }
}
