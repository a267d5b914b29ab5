//! Deep-mind text to complete encoded blocks, by stage, against zstd's own unpacking of the same text, on one core.
//!
//! `cargo bench -p dfuse-deep-mind --bench decode [-- REPETITIONS]`; the log is the recorded busy chain.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    hint::black_box,
    io::{Read, copy, sink},
    time::{Duration, Instant},
};

use dfuse_antelope::model::{Message, wire::ReverseWriter};
use dfuse_deep_mind::{Event, Reader};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The same bytes again and again.
struct Repeat<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
    times: usize,
}

impl<'a> Repeat<'a> {
    fn new(bytes: &'a [u8], times: usize) -> Self {
        Self { bytes, rest: bytes, times: times - 1 }
    }
}

impl Read for Repeat<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() && self.times > 0 {
            self.times -= 1;
            self.rest = self.bytes;
        }
        self.rest.read(buffer)
    }
}

fn timed(name: &str, text_bytes: usize, unit: &mut Option<Duration>, run: impl Fn()) {
    let elapsed = (0..3).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    let elapsed = elapsed.min().unwrap();
    let ratio = elapsed.as_secs_f64() / unit.get_or_insert(elapsed).as_secs_f64();
    let speed = text_bytes as f64 / 1e6 / elapsed.as_secs_f64();
    println!("| {name} | {:.0} ms | {speed:.0} MB/s | {ratio:.2} |", elapsed.as_secs_f64() * 1e3);
}

fn main() {
    let times = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(20);
    let Some(path) = dfuse_testkit::recorded::find("busy/busy.dmlog.zst") else { return };
    let packed = std::fs::read(path).unwrap();
    let text = zstd::decode_all(&packed[..]).unwrap();
    let bytes = text.len() * times;
    let mut unit = None;

    println!("busy log, {times} times: {:.0} MB of text\n", bytes as f64 / 1e6);
    println!("| stage | time | text | zstd = 1 |\n|---|---|---|---|");
    timed("zstd unpack", bytes, &mut unit, || {
        copy(&mut zstd::Decoder::new(Repeat::new(&packed, times)).unwrap(), &mut sink()).map(drop).unwrap();
    });
    timed("lines", bytes, &mut unit, || {
        let mut count = 0;
        let mut repeat = Repeat::new(&text, times);
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(length @ 1..) = repeat.read(&mut buffer) {
            count += memchr::memchr_iter(b'\n', &buffer[..length]).count();
        }
        black_box(count);
    });
    timed("decoded blocks", bytes, &mut unit, || {
        let mut reader = Reader::new(Repeat::new(&text, times));
        while let Some(event) = reader.next_event().unwrap() {
            black_box(event);
        }
    });
    timed("encoded blocks", bytes, &mut unit, || {
        let mut reader = Reader::new(Repeat::new(&text, times));
        let mut writer = ReverseWriter::new();
        while let Some(event) = reader.next_event().unwrap() {
            if let Event::Block(block) = event {
                writer.clear();
                block.encode(&mut writer);
                black_box(writer.as_slice());
            }
        }
    });
}
