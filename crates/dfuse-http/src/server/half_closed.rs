//! Clients that close their side of the connection when they have sent a request, and wait for the answer, as `nc -N` does.
//!
//! The end of what a client sends looks the same when it has left. So while a request is being answered the end is kept back
//! for a while: a client that waits has its answer then, and one that has left is not worked for much longer.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::places::ConnectionPlace;

/// How long a client that sends nothing more is waited with; a search takes no longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection whose end is not seen at once while it is at work.
#[derive(Debug)]
pub(super) struct HalfClosed<S> {
    stream: S,
    place: ConnectionPlace,
    /// Runs from the end on.
    patience: Option<Pin<Box<Sleep>>>,
    /// It is no connection of requests and answers any more.
    is_upgraded: bool,
}

impl<S> HalfClosed<S> {
    pub(super) fn new(stream: S, place: ConnectionPlace) -> Self {
        Self { stream, place, patience: None, is_upgraded: false }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn is_at_work(&self) -> bool {
        !self.is_upgraded && self.place.work_so_far().0
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HalfClosed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.patience.is_none() {
            let filled = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            if buffer.filled().len() > filled || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        if self.is_at_work() {
            let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
            ready!(patience.as_mut().poll(cx));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HalfClosed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.is_upgraded |= bytes.starts_with(b"HTTP/1.1 101 ");
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_upgraded |= slices.first().is_some_and(|slice| slice.starts_with(b"HTTP/1.1 101 "));
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
