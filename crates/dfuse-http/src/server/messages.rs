//! Where requests begin in the bytes of a connection: as much of HTTP/1.1's framing as it takes to find their first lines.

/// Longest header line that is looked at; the fields that say how long a message is are shorter.
const MAX_FIELD_BYTES: usize = 256;

/// Follows the messages of one connection.
#[derive(Debug, Default)]
pub(super) struct Messages {
    at: At,
    line: Vec<u8>,
    length: u64,
    chunked: bool,
    becomes_websocket: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In or before a request line.
    #[default]
    RequestLine,
    Fields,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    Trailers,
    /// No HTTP any more, or nothing that is understood.
    Other,
}

impl Messages {
    /// Whether the next byte belongs to a request line.
    pub(super) fn is_in_request_line(&self) -> bool {
        self.at == At::RequestLine
    }

    /// The request line has ended.
    pub(super) fn end_request_line(&mut self) {
        *self = Self { at: At::Fields, ..Self::default() };
    }

    /// Passes bytes up to the next request line; how many.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while passed < bytes.len() && !self.is_in_request_line() {
            let rest = &bytes[passed..];
            passed += match self.at {
                At::RequestLine => 0,
                At::Other => rest.len(),
                At::Body(left) => {
                    let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.at = after_body(left - taken as u64);
                    taken
                }
                At::Chunk(left) => {
                    let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - taken as u64;
                    self.at = if left == 0 { At::ChunkSize } else { At::Chunk(left) };
                    taken
                }
                At::Fields | At::ChunkSize | At::Trailers => self.pass_in_line(rest),
            };
        }
        passed
    }

    fn pass_in_line(&mut self, bytes: &[u8]) -> usize {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(bytes.len(), |end| end + 1);
        let room = MAX_FIELD_BYTES.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..taken.min(room)]);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.end_line(line.trim_ascii());
        }
        taken
    }

    fn end_line(&mut self, line: &[u8]) {
        match self.at {
            At::Fields if line.is_empty() => self.at = self.after_fields(),
            At::Fields => self.note_field(line),
            At::ChunkSize => {
                let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                let size = std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
                self.at = match size {
                    Some(0) => At::Trailers,
                    // With the line end after it.
                    Some(size) => At::Chunk(size.saturating_add(2)),
                    None => At::Other,
                };
            }
            At::Trailers if line.is_empty() => self.at = At::RequestLine,
            _ => {}
        }
    }

    fn note_field(&mut self, line: &[u8]) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().unwrap_or_default();
        let value = String::from_utf8_lossy(parts.next().unwrap_or_default()).trim().to_ascii_lowercase();
        if name.eq_ignore_ascii_case(b"content-length") {
            self.length = value.parse().unwrap_or_default();
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = value.ends_with("chunked");
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.becomes_websocket |= value.contains("websocket");
        }
    }

    fn after_fields(&self) -> At {
        match (self.becomes_websocket, self.chunked) {
            (true, _) => At::Other,
            (false, true) => At::ChunkSize,
            (false, false) => after_body(self.length),
        }
    }
}

fn after_body(left: u64) -> At {
    if left == 0 { At::RequestLine } else { At::Body(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where request lines begin, when bytes come so many at a time.
    fn beginnings(bytes: &[u8], at_once: usize) -> Vec<usize> {
        let (mut messages, mut at, mut found) = (Messages::default(), 0, Vec::new());
        while at < bytes.len() {
            if messages.is_in_request_line() {
                found.push(at);
                at += bytes[at..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
                messages.end_request_line();
            }
            let end = bytes.len().min(at + at_once);
            at += messages.pass(&bytes[at..end]);
        }
        found
    }

    #[test]
    fn requests_after_bodies_are_found() {
        let parts = [
            "GET /a HTTP/1.1\r\nhost: x\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: 12\r\n\r\nGET / HTTP\r\n",
            "POST /c HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5;x=y\r\nGET /\r\n0\r\ntrailer: 1\r\n\r\n",
            "GET /d HTTP/1.1\nhost: x\n\n",
            "GET /e HTTP/1.1\r\nUpgrade: websocket\r\n\r\nGET /f HTTP/1.1\r\n\r\n",
        ];
        let mut wanted = Vec::new();
        let mut length = 0;
        for part in parts {
            wanted.push(length);
            length += part.len();
        }
        for at_once in [1, 2, 7, 1000] {
            assert_eq!(beginnings(parts.concat().as_bytes(), at_once), wanted, "{at_once}");
        }
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        let odd = "POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nGET / HTTP/1.1\r\n\r\n";
        assert_eq!(beginnings(odd.as_bytes(), 1000), [0]);
        let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\nGET /", "y".repeat(1000));
        assert_eq!(beginnings(format!("{long}\n").as_bytes(), 10), [0, long.len() - 5]);
    }
}
