//! Targets of requests as careless clients send them: with spaces, quotes and angle brackets that should be percent-encoded.
//! hyper refuses such a request, so they are encoded on their way in.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::messages::Messages;

/// Mends the request lines of a connection as they are read.
#[derive(Debug, Default)]
pub(super) struct MendedTargets {
    lines: RequestLines,
    /// Bytes that were read and are to be handed on, from `given` on.
    pending: Vec<u8>,
    given: usize,
}

/// Rewrites the request lines among the bytes of a connection.
#[derive(Debug, Default)]
struct RequestLines {
    messages: Messages,
    /// Whether the method is behind.
    in_target: bool,
    /// The beginning of what may be ` HTTP/1.1` and the end of the line.
    version: Vec<u8>,
}

impl MendedTargets {
    /// Reads from the connection.
    pub(super) fn poll_read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.give(buffer) || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut *stream).poll_read(cx, buffer))?;
            let read = &buffer.filled()[before..];
            if read.is_empty() {
                // The end. What was held back is all that there will be.
                self.lines.give_up(&mut self.pending);
                if self.pending.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let unchanged = self.lines.messages.pass(read);
            self.lines.rewrite(&read[unchanged..], &mut self.pending);
            buffer.set_filled(before + unchanged);
            if unchanged > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Whether there was anything to hand on.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let rest = &self.pending[self.given..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.given += count;
        if self.given == self.pending.len() {
            self.pending.clear();
            self.given = 0;
        }
        count > 0
    }
}

impl RequestLines {
    fn rewrite(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.messages.is_in_request_line() {
                self.take(*first, out);
                bytes = rest;
            } else {
                let passed = self.messages.pass(bytes);
                out.extend_from_slice(&bytes[..passed]);
                bytes = &bytes[passed..];
            }
        }
    }

    /// Takes a byte of a request line.
    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        if !self.in_target {
            // Empty lines may stand before a request line; one that has no space is none, and is hyper's to refuse.
            self.in_target = byte == b' ';
            out.push(byte);
            return;
        }
        if !self.version.is_empty() || byte == b' ' {
            self.version.push(byte);
            if begins_version(&self.version) {
                if byte == b'\n' {
                    self.end(out);
                }
                return;
            }
            // It was none, but another one may begin with this byte.
            self.version.pop();
            self.version.drain(..).for_each(|byte| encode(byte, out));
            if byte == b' ' {
                self.version.push(byte);
                return;
            }
        }
        encode(byte, out);
        if byte == b'\n' {
            self.end(out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.give_up(out);
        self.in_target = false;
        self.messages.end_request_line();
    }

    /// Hands on what was held back, as it came.
    fn give_up(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.version);
    }
}

/// Whether ` HTTP/1.1`, of any digits, and a line end begin so.
fn begins_version(bytes: &[u8]) -> bool {
    let pattern = b" HTTP/0.0\r\n";
    let (text, end) = bytes.split_at(bytes.len().min(pattern.len() - 2));
    let same = |(byte, wanted): (&u8, &u8)| if *wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted };
    text.iter().zip(pattern).all(same) && matches!(end, [] | [b'\r'] | b"\r\n" | [b'\n'])
}

/// A byte of a target: encoded if it must not stand there as it is. Control characters are left for hyper to refuse.
fn encode(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b' ' | b'"' | b'<' | b'>' | b'`' | 0x80.. => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        byte => out.push(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(bytes: &[u8], at_once: usize) -> String {
        let (mut lines, mut out) = (RequestLines::default(), Vec::new());
        bytes.chunks(at_once).for_each(|chunk| lines.rewrite(chunk, &mut out));
        lines.give_up(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn targets_are_encoded_and_nothing_else() {
        for (sent, read) in [
            ("/v0/x?q=a:b", "/v0/x?q=a:b"),
            ("/v0/x?q=a b", "/v0/x?q=a%20b"),
            ("/v0/x?q=a \"b c\" <d>", "/v0/x?q=a%20%22b%20c%22%20%3Cd%3E"),
            ("/v0/x?q=HTTP/1.1 HTTP/1.1", "/v0/x?q=HTTP/1.1%20HTTP/1.1"),
            ("/v0/x?q=a  HTTP/", "/v0/x?q=a%20%20HTTP/"),
            ("/v0/x`?q=%20|{}\\^", "/v0/x%60?q=%20|{}\\^"),
            ("/\u{e4}?q=\u{e4}", "/%C3%A4?q=%C3%A4"),
            (" /x", "%20/x"),
        ] {
            let rest = "Host: \"a b\"\r\nContent-Length: 16\r\n\r\nGET / \" HTTP/1.1";
            let request = |target: &str| format!("POST {target} HTTP/1.1\r\n{rest}\r\nGET {target} HTTP/1.0\r\n\r\n");
            for at_once in [1, 3, 1000] {
                assert_eq!(mended(request(sent).as_bytes(), at_once), request(read), "{sent}");
            }
        }
    }

    #[test]
    fn what_is_no_request_stays_so() {
        for text in
            ["", "HELLO", "GET /", "GET / HT", "GET / HTTP/1", "GET /\0\t\r\n\r\n", "GET /x\r\n", "GET / HTTP/7.3\r\n"]
        {
            assert_eq!(mended(text.as_bytes(), 1), text);
        }
        assert_eq!(mended(b"GET / http/1.1\r\n", 1), "GET /%20http/1.1\r\n");
    }
}
