//! Answers of any length: written slice by slice on CPU threads, and sent as the client takes them.
//!
//! A slice is a thousand pieces, a piece a row or so; less if they are large or take long. Between slices no thread is held,
//! so a slow client costs what waits for it: a few slices. A snapshot is used for minutes at most.

use std::{future::poll_fn, io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use dfuse_blocks::Clock;
use dfuse_index::ServingSnapshot;
use dfuse_query::{ApiResult, ReadContext};
use futures::{
    StreamExt,
    channel::mpsc::{Receiver, Sender, channel},
    stream,
};
use tokio::time::timeout;
use tracing::{Instrument, Span};

use crate::{Api, JsonText};
use dfuse_render::JsonWriter;

/// Most pieces of a slice.
const SLICE_PIECES: usize = 1000;
/// Work after which a slice ends.
const SLICE_TIME: Duration = Duration::from_millis(5);
/// Text after which a slice ends.
pub const SLICE_BYTES: usize = 256 << 10;
/// For how long slices are read from one snapshot.
const SNAPSHOT_TIME: Duration = Duration::from_secs(60);

/// What comes in an answer after its beginning.
pub trait Pieces: Send + 'static {
    /// Appends the next piece, a row or so, or passes something that is not in the answer. False after the end of the answer.
    ///
    /// # Errors
    /// Those of reading. The client's connection is aborted: it may have had the status 200 already.
    fn next(&mut self, json: &mut JsonWriter<'_>) -> ApiResult<bool>;

    /// Goes on at the same place of the same answer, but reads from that snapshot.
    ///
    /// # Errors
    /// The snapshot does not have what is answered.
    fn renew(&mut self, snapshot: &ServingSnapshot) -> ApiResult<()>;
}

/// A JSON answer. What can go wrong in a way that the client should be told of must do so in `open`, which writes the answer's
/// beginning.
pub async fn answer<P: Pieces>(
    api: &Api,
    mut open: impl FnMut(&ReadContext<'_>, &mut JsonWriter<'_>) -> ApiResult<P> + Send + 'static,
) -> ApiResult<Response> {
    let clock = api.chain().clock.clone();
    let first = api.query(move |read| {
        let mut text = Vec::new();
        let pieces = open(read, &mut JsonWriter::new(&mut text))?;
        let mut slices = Slices { pieces, text, snapshot_taken: clock.elapsed(), clock: clock.clone() };
        Ok((slices.go_on()?, slices))
    });
    let (more, slices) = first.await?;
    if !more {
        return Ok(JsonText(slices.text).into_response());
    }
    let (sender, receiver) = channel(1);
    tokio::spawn(send(api.clone(), slices, sender).instrument(Span::current()));
    let mut response = Response::new(body(receiver));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Text, and whether it is the last of its answer.
type Slice = (Bytes, bool);

/// Ends with an error when the sender goes before the last slice came: the client must not take the answer for complete.
fn body(receiver: Receiver<Slice>) -> Body {
    let slices = stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        Some(match receiver.next().await {
            Some((text, is_last)) => (Ok(text), (!is_last).then_some(receiver)),
            None => (Err(io::Error::other("the answer was given up")), None),
        })
    });
    // Compression asks again after the end.
    Body::from_stream(slices.fuse())
}

struct Slices<P> {
    pieces: P,
    /// Written and not sent.
    text: Vec<u8>,
    snapshot_taken: Duration,
    clock: Arc<dyn Clock>,
}

impl<P: Pieces> Slices<P> {
    /// Writes a slice; whether there is more.
    fn go_on(&mut self) -> ApiResult<bool> {
        let began = self.clock.elapsed();
        let mut json = JsonWriter::new(&mut self.text);
        for _ in 0..SLICE_PIECES {
            if !self.pieces.next(&mut json)? {
                return Ok(false);
            }
            if json.written() >= SLICE_BYTES || self.clock.elapsed().saturating_sub(began) >= SLICE_TIME {
                break;
            }
        }
        Ok(true)
    }

    fn renew(&mut self, snapshot: &ServingSnapshot) -> ApiResult<()> {
        let now = self.clock.elapsed();
        if now.saturating_sub(self.snapshot_taken) >= SNAPSHOT_TIME {
            self.pieces.renew(snapshot)?;
            self.snapshot_taken = now;
        }
        Ok(())
    }

    /// What was written, but for a last byte if more is to come: by it the writer knows whether a comma comes next.
    fn take(&mut self, more: bool) -> Slice {
        let mut text = std::mem::take(&mut self.text);
        if more {
            self.text.extend(text.pop());
        } else {
            text.push(b'\n');
        }
        (text.into(), !more)
    }
}

/// Sends slices until the last one, or until the client or the chain does not let it.
async fn send<P: Pieces>(api: Api, mut slices: Slices<P>, mut sender: Sender<Slice>) {
    let mut more = true;
    loop {
        match timeout(api.http_options().client_timeout, poll_fn(|context| sender.poll_ready(context))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                tracing::info!("the client takes nothing of its answer: given up");
                return;
            }
        }
        let slice = slices.take(more);
        if !slice.0.is_empty() && sender.start_send(slice).is_err() || !more {
            return;
        }
        let next = api.read_on(move |snapshot, _| {
            slices.renew(snapshot)?;
            Ok((slices.go_on()?, slices))
        });
        (more, slices) = match next.await {
            Ok(next) => next,
            Err(error) => {
                let cause = error.cause();
                tracing::error!(target: "dfuse_api::error", %error, cause, "an answer was broken off");
                return;
            }
        };
    }
}
