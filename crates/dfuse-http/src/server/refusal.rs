//! hyper answers what it cannot parse with a status and an empty body, and lets nobody change that. Here its answer is recognised
//! on its way out, so that ours goes out instead.

use crate::frame::TRACE_ID;

/// Status of an answer with an empty body that did not come through the request frame, which puts a trace id in. Nothing
/// that is sent of a body can look so: text has no line ends of that kind, frames of a WebSocket begin otherwise.
pub(super) fn bare_error(bytes: &[u8]) -> Option<u16> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ").or_else(|| bytes.strip_prefix(b"HTTP/1.0 "))?.get(..3)?;
    let is_bare = status[0] == b'4'
        && bytes.ends_with(b"\r\n\r\n")
        && !bytes.windows(TRACE_ID.as_str().len()).any(|part| part == TRACE_ID.as_str().as_bytes());
    if is_bare { std::str::from_utf8(status).ok()?.parse().ok() } else { None }
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
