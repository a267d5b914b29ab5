//! The connection under hyper, where bytes of careless clients are mended on their way in, and answers of hyper's own are kept back
//! on their way out.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{half_closed::HeldBackEnd, refusal::bare_error, targets::MendedTargets};
use crate::places::ConnectionPlace;

/// A client's connection as hyper has it.
#[derive(Debug)]
pub(super) struct ClientStream<S> {
    stream: S,
    targets: MendedTargets,
    end: HeldBackEnd,
    /// Status of hyper's own answer, which was kept back.
    refused: Option<u16>,
}

impl<S> ClientStream<S> {
    pub(super) fn new(stream: S, place: ConnectionPlace) -> Self {
        Self { stream, targets: MendedTargets::default(), end: HeldBackEnd::new(place), refused: None }
    }

    /// Status of hyper's own answer, if it wanted to give one.
    pub(super) fn refused(&self) -> Option<u16> {
        self.refused
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.end.has_come() {
            let filled = buffer.filled().len();
            ready!(this.targets.poll_read(&mut this.stream, cx, buffer))?;
            if buffer.filled().len() > filled || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        this.end.poll_seen(cx).map(Ok)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.end.writes(bytes);
        if let Some(status) = bare_error(bytes) {
            self.refused = Some(status);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            return self.poll_write(cx, only);
        }
        if let Some(first) = slices.first() {
            self.end.writes(first);
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Our answer is still to be sent.
        if self.refused.is_some() { Poll::Ready(Ok(())) } else { Pin::new(&mut self.stream).poll_shutdown(cx) }
    }
}
