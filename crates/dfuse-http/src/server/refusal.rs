//! hyper answers what it cannot parse with a status and an empty body, and lets nobody change that. Here its answer is caught
//! on its way out, so that ours goes out instead.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::targets::MendedTargets;
use crate::frame::TRACE_ID;

/// A connection that keeps hyper's own answers back.
#[derive(Debug)]
pub(super) struct RefusalCatcher {
    stream: MendedTargets<TcpStream>,
    refused: Option<u16>,
}

impl RefusalCatcher {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream: MendedTargets::new(stream), refused: None }
    }

    /// Status of hyper's own answer, if it wanted to give one.
    pub(super) fn refused(&self) -> Option<u16> {
        self.refused
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.stream.into_inner()
    }
}

/// Status of an answer with an empty body that did not come through the request frame, which puts a trace id in. Nothing
/// that is sent of a body can look so: text has no line ends of that kind, frames of a WebSocket begin otherwise.
fn bare_error(bytes: &[u8]) -> Option<u16> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ").or_else(|| bytes.strip_prefix(b"HTTP/1.0 "))?.get(..3)?;
    let is_bare = status[0] == b'4'
        && bytes.ends_with(b"\r\n\r\n")
        && !bytes.windows(TRACE_ID.as_str().len()).any(|part| part == TRACE_ID.as_str().as_bytes());
    if is_bare { std::str::from_utf8(status).ok()?.parse().ok() } else { None }
}

impl AsyncRead for RefusalCatcher {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for RefusalCatcher {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
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
        match slices {
            [only] => self.poll_write(cx, only),
            slices => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_errors_are_caught() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        assert_eq!(bare_error(bare), Some(431));
        for other in [
            &b"HTTP/1.1 404 Not Found\r\nx-trace-id: 00\r\n\r\n"[..],
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 1\r\n\r\n{",
            b"HTTP/1.1 4",
            b"",
        ] {
            assert_eq!(bare_error(other), None);
        }
    }
}
