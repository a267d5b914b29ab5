//! RFC 6455, case by case over a socket: what the fuzzing client of the Autobahn project sends, whose own programs do not run
//! any more (they are written for Python 2). docs/websocket.md has the result.

use std::time::Duration;

use dfuse_api::WebSocketOptions;
use dfuse_testkit::synthetic::SyntheticChain;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    connections::{frame, raw},
    serve,
};
use crate::support::Listening;

const LIMIT: usize = 100_000;

/// Text that is no request: every message of it is answered with an error of 200 to 300 bytes.
const TEXT: u8 = 0x1;
const CONTINUATION: u8 = 0x0;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FIN: u8 = 0x80;

/// What the server sends, without what is in messages.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Message,
    Pong(Vec<u8>),
    /// With its code; 0 for none.
    Close(u16),
}

use Seen::{Close, Message, Pong};

struct Case {
    name: String,
    /// Written one after the other.
    pieces: Vec<Vec<u8>>,
    /// What comes until the server has said all; after that a ping must be answered if the connection is to live on.
    seen: Vec<Seen>,
}

fn case(name: impl Into<String>, frames: &[Vec<u8>], seen: &[Seen]) -> Case {
    Case { name: name.into(), pieces: vec![frames.concat()], seen: seen.to_vec() }
}

/// The same, byte by byte.
fn in_bytes(name: &str, frames: &[Vec<u8>], seen: &[Seen]) -> Case {
    let pieces = frames.concat().into_iter().map(|byte| vec![byte]).collect();
    Case { name: name.into(), pieces, seen: seen.to_vec() }
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

fn cases() -> Vec<Case> {
    let text = |payload: &[u8]| frame(FIN | TEXT, payload);
    let mut cases = Vec::new();
    // Framing.
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, LIMIT] {
        cases.push(case(format!("text of {length} bytes"), &[text(&vec![b'*'; length])], &[Message]));
        cases.push(case(format!("binary of {length} bytes"), &[frame(FIN | BINARY, &vec![0xfe; length])], &[Message]));
    }
    cases.push(in_bytes("text byte by byte", &[text(&[b'*'; 300])], &[Message]));
    let mut unmasked = text(b"**");
    unmasked.drain(2..6);
    unmasked[1] &= 0x7f;
    cases.push(case("text without a mask", &[unmasked], &[Close(1002)]));
    // Pings and pongs.
    for payload in [&b""[..], b"Hello", &[0, 0xff, 0xfe, 0xfd], &[0xfe; 125]] {
        let name = format!("ping of {} bytes", payload.len());
        cases.push(case(name, &[frame(FIN | PING, payload)], &[Pong(payload.to_vec())]));
        let name = format!("unasked pong of {} bytes", payload.len());
        cases.push(case(name, &[frame(FIN | PONG, payload), frame(FIN | PING, b"x")], &[Pong(b"x".to_vec())]));
    }
    cases.push(case("ping of 126 bytes", &[frame(FIN | PING, &[0xfe; 126])], &[Close(1002)]));
    cases.push(in_bytes("ping byte by byte", &[frame(FIN | PING, &[0xfe; 125])], &[Pong(vec![0xfe; 125])]));
    // Reserved bits.
    for bits in 1..8u8 {
        for (opcode, kind) in [(TEXT, "text"), (PING, "ping"), (CLOSE, "close")] {
            let first = FIN | bits << 4 | opcode;
            cases.push(case(format!("{kind} with reserved bits {bits:03b}"), &[frame(first, b"")], &[Close(1002)]));
        }
    }
    // Reserved opcodes.
    for opcode in (3..8).chain(11..16) {
        for payload in [&b""[..], b"reserved"] {
            let name = format!("opcode {opcode} with {} bytes", payload.len());
            cases.push(case(name, &[frame(FIN | opcode, payload)], &[Close(1002)]));
            let name = format!("opcode {opcode} with {} bytes after a text", payload.len());
            cases.push(case(name, &[text(b"*"), frame(FIN | opcode, payload)], &[Message, Close(1002)]));
        }
    }
    // Fragments.
    let (part, middle, end) = (frame(TEXT, b"**"), frame(CONTINUATION, b"**"), frame(FIN | CONTINUATION, b"**"));
    let ping = frame(FIN | PING, b"p");
    let pong = Pong(b"p".to_vec());
    type Fragments<'a> = (&'static str, &'a [&'a Vec<u8>], &'a [Seen]);
    let fragments: [Fragments<'_>; 13] = [
        ("text in two", &[&part, &end], &[Message]),
        ("text in four", &[&part, &middle, &middle, &end], &[Message]),
        ("text in four with pings", &[&part, &ping, &middle, &ping, &end], &[pong.clone(), pong, Message]),
        ("text in two with an empty end", &[&part, &frame(FIN | CONTINUATION, b"")], &[Message]),
        ("binary in two", &[&frame(BINARY, b"**"), &end], &[Message]),
        ("ping in parts", &[&frame(PING, b"p"), &end], &[Close(1002)]),
        ("pong in parts", &[&frame(PONG, b"p"), &end], &[Close(1002)]),
        ("close in parts", &[&frame(CLOSE, &1000u16.to_be_bytes()), &end], &[Close(1002)]),
        ("an end without a beginning", &[&end], &[Close(1002)]),
        ("a middle without a beginning", &[&middle, &end], &[Close(1002)]),
        ("an end after an end", &[&part, &end, &end], &[Message, Close(1002)]),
        ("text within text", &[&part, &text(b"**")], &[Close(1002)]),
        ("binary within text", &[&part, &frame(BINARY, b"**"), &end], &[Close(1002)]),
    ];
    for (name, frames, seen) in fragments {
        let frames: Vec<_> = frames.iter().copied().cloned().collect();
        cases.push(case(name, &frames, seen));
        cases.push(in_bytes(&format!("{name}, byte by byte"), &frames, seen));
    }
    let single = |text: &[u8]| {
        let (last, others) = text.split_last().unwrap();
        let mut frames = vec![frame(TEXT, b"")];
        frames.extend(others.iter().map(|byte| frame(CONTINUATION, &[*byte])));
        frames.push(frame(FIN | CONTINUATION, &[*last]));
        frames
    };
    cases.push(case("a frame for each byte", &single(&[b'*'; 200]), &[Message]));
    // UTF-8.
    for valid in [
        "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!",
        "\u{0}",
        "\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}",
        "\u{d7ff}\u{e000}\u{fffd}\u{fffe}",
        "\u{1d11e}\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}",
    ] {
        cases.push(case(format!("valid text {valid:?}"), &[text(valid.as_bytes())], &[Message]));
        cases.push(case(format!("valid text {valid:?} in frames of a byte"), &single(valid.as_bytes()), &[Message]));
    }
    for invalid in [
        &b"\x80"[..],
        b"\xbf\xbf",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xe0\x9f\xbf",
        b"\xf0\x80\x80\xaf",
        b"\xf0\x8f\xbf\xbf",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xce\xba\xe1",
        b"\xe1\xbd",
        b"\xf0\x9d\x84",
        b"ok \xf0\x9d\x84 ok",
    ] {
        cases.push(case(format!("invalid text {invalid:02x?}"), &[text(invalid)], &[Close(1007)]));
        cases.push(case(format!("invalid text {invalid:02x?} in frames"), &single(invalid), &[Close(1007)]));
    }
    // Ends.
    cases.push(case("close without a code", &[frame(FIN | CLOSE, b"")], &[Close(0)]));
    cases.push(case("close of one byte", &[frame(FIN | CLOSE, b"\x03")], &[Close(1002)]));
    for code in (1000..=1003).chain(1007..=1013).chain([3000, 3999, 4000, 4999]) {
        cases.push(case(format!("close with {code}"), &[close(code, b"enough")], &[Close(code)]));
    }
    for code in [0, 999, 1004, 1005, 1006, 1014, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(case(format!("close with {code}"), &[close(code, b"")], &[Close(1002)]));
    }
    cases.push(case("close with the longest reason", &[close(1000, &[b'*'; 123])], &[Close(1000)]));
    cases.push(case("close with too long a reason", &[close(1000, &[b'*'; 124])], &[Close(1002)]));
    cases.push(case("close with a reason that is no text", &[close(1000, b"\xed\xa0\x80")], &[Close(1007)]));
    let after = [close(1000, b""), text(b"*"), ping.clone(), close(1001, b"")];
    cases.push(case("frames after a close", &after, &[Close(1000)]));
    cases.push(case("close within a text", &[part.clone(), close(1000, b"")], &[Close(1000)]));
    cases.push(case("text before a close", &[text(b"*"), close(1000, b"")], &[Close(1000)]));
    // Limits.
    cases.push(case("text that is too long", &[text(&vec![b'*'; LIMIT + 1])], &[Close(1009)]));
    let half = vec![b'*'; LIMIT / 2 + 1];
    cases.push(case("text too long in parts", &[frame(TEXT, &half), frame(FIN | CONTINUATION, &half)], &[Close(1009)]));
    for length in [1u64 << 32, i64::MAX as u64, u64::MAX] {
        let header = [&[FIN | TEXT, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
        cases.push(case(format!("text that says it has {length} bytes"), &[header], &[Close(1009)]));
    }
    cases
}

/// The next frame of the server.
async fn next(stream: &mut TcpStream) -> std::io::Result<Seen> {
    let first = stream.read_u8().await?;
    let length = match stream.read_u8().await? {
        126 => usize::from(stream.read_u16().await?),
        127 => stream.read_u64().await? as usize,
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    Ok(match first {
        0x81 => Message,
        0x8a => Pong(payload),
        0x88 => Close(payload.get(..2).map_or(0, |code| u16::from_be_bytes([code[0], code[1]]))),
        other => panic!("a frame that begins with {other:#x}"),
    })
}

async fn run(listening: &Listening, case: &Case) -> Result<(), String> {
    let mut stream = raw(listening).await;
    stream.set_nodelay(true).unwrap();
    let (mut read, mut write) = (Vec::new(), 0);
    for piece in &case.pieces {
        // The server may have ended it before all was sent.
        write += usize::from(stream.write_all(piece).await.is_err());
    }
    let ends = matches!(case.seen.last(), Some(Close(_)));
    let mut wanted = case.seen.clone();
    if !ends {
        // It lives on: answers may come after the pong of this.
        stream.write_all(&frame(FIN | PING, b"still there")).await.map_err(|error| error.to_string())?;
        wanted.push(Pong(b"still there".to_vec()));
    }
    while read.len() < wanted.len() {
        match next(&mut stream).await {
            Ok(seen) => read.push(seen),
            Err(error) => return Err(format!("{read:?}, then {error}; {write} writes failed")),
        }
        if matches!(read.last(), Some(Close(_))) {
            break;
        }
    }
    // Messages are answered beside what the protocol itself answers.
    let split = |seen: &[Seen]| seen.iter().cloned().partition::<Vec<_>, _>(|seen| *seen == Message);
    let ((messages, others), (wanted_messages, wanted_others)) = (split(&read), split(&wanted));
    let messages_are_right = if ends { messages.len() <= wanted_messages.len() } else { messages == wanted_messages };
    if others != wanted_others || !messages_are_right {
        return Err(format!("{read:?} instead of {wanted:?}"));
    }
    if ends {
        // It is over when both sides have said so.
        let _ = stream.write_all(&frame(FIN | CLOSE, &1000u16.to_be_bytes())).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        if !rest.is_empty() {
            return Err(format!("{rest:02x?} after the end"));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case() {
    let options = WebSocketOptions { max_message_bytes: LIMIT, ..WebSocketOptions::default() };
    let (_chain, listening) = serve(SyntheticChain::builder().seed(9).blocks(1).build(), options).await;
    let cases = cases();
    let mut failures = Vec::new();
    for case in &cases {
        let result = timeout(Duration::from_secs(60), run(&listening, case)).await;
        if let Err(problem) = result.unwrap_or_else(|_| Err("nothing came".to_owned())) {
            failures.push(format!("{}: {problem}", case.name));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
    println!("{} cases", cases.len());
}
