//! What the decoder makes of logs that are cut, mixed up, foreign or damaged.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use dfuse_antelope::{
    Name,
    model::{Block, DbOp, DbOperation, RlimitKind},
};
use dfuse_deep_mind::{Decoder, Error, Event, Reader, Stats};
use dfuse_testkit::recorded;
use proptest::prelude::*;

type Lines = Vec<Vec<u8>>;

/// All that a text decodes to.
#[derive(Debug, Default)]
struct Outcome {
    events: Vec<Event>,
    stats: Stats,
    unfinished_block: Option<u32>,
    error: Option<Error>,
}

impl Outcome {
    fn of(text: impl AsRef<[u8]>) -> Self {
        Self::with_max_line(text, dfuse_deep_mind::MAX_LINE)
    }

    fn with_max_line(text: impl AsRef<[u8]>, max_line: usize) -> Self {
        let mut reader = Reader::with_max_line(text.as_ref(), max_line);
        let mut outcome = Self::default();
        loop {
            match reader.next_event() {
                Ok(Some(event)) => outcome.events.push(event),
                Ok(None) => break,
                Err(error) => {
                    outcome.error = Some(error);
                    break;
                }
            }
        }
        outcome.stats = reader.stats().clone();
        outcome.unfinished_block = reader.unfinished_block();
        outcome
    }

    /// The error's message; panics if there is none.
    fn message(&self) -> String {
        self.error.as_ref().expect("an error").to_string()
    }

    /// Panics if there is an error.
    #[track_caller]
    fn good(self) -> Self {
        assert!(self.error.is_none(), "{:?}", self.error);
        self
    }

    fn blocks(&self) -> Vec<&Block> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Block(block) => Some(&**block),
                _ => None,
            })
            .collect()
    }
}

fn text(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect()
}

/// The first `blocks` blocks of a recorded log, with all that precedes them.
fn recorded_lines(file: &str, blocks: usize) -> Option<Lines> {
    let mut left = blocks;
    let until_enough = |line: &Vec<u8>| {
        let more = left > 0;
        left -= usize::from(more && line.starts_with(b"DMLOG ACCEPTED_BLOCK "));
        more
    };
    Some(recorded::lines(file)?.take_while(until_enough).collect())
}

/// Three blocks with nothing but `onblock`, numbers 2 to 4.
fn three_blocks() -> Option<Lines> {
    recorded_lines("empty.dmlog.gz", 3)
}

/// The position of the first line that begins with `prefix`.
#[track_caller]
fn position(lines: &[Vec<u8>], prefix: &str) -> usize {
    lines.iter().position(|line| line.starts_with(prefix.as_bytes())).expect(prefix)
}

fn insert(lines: &mut Lines, at: usize, line: &str) {
    lines.insert(at, line.as_bytes().to_vec());
}

#[test]
fn a_log_that_ends_anywhere() {
    let Some(lines) = three_blocks() else { return };
    let whole = Outcome::of(text(&lines)).good();
    let (mut blocks, mut begun) = (0, None);
    for (at, line) in lines.iter().enumerate() {
        let torn = [text(&lines[..at]), line[..line.len() / 2].to_vec()].concat();
        for (cut, is_torn) in [(&text(&lines[..at]), false), (&torn, true)] {
            let outcome = Outcome::of(cut);
            if at == 0 {
                assert!(matches!(outcome.error, Some(Error::NotALog { .. })), "{:?}", outcome.error);
                continue;
            }
            let outcome = outcome.good();
            assert_eq!(outcome.blocks(), whole.blocks()[..blocks], "cut at line {at}");
            assert_eq!((outcome.stats.torn_line, outcome.unfinished_block), (is_torn, begun), "cut at line {at}");
        }
        let mut fields = std::str::from_utf8(line).unwrap().split(' ').skip(1);
        match fields.next().unwrap() {
            "START_BLOCK" => begun = Some(fields.next().unwrap().parse().unwrap()),
            "ACCEPTED_BLOCK" => (blocks, begun) = (blocks + 1, None),
            _ => {}
        }
    }
    assert_eq!((blocks, whole.stats.torn_line, whole.unfinished_block), (3, false, None));
}

#[test]
fn a_block_that_is_begun_anew() {
    let Some(lines) = three_blocks() else { return };
    let whole = Outcome::of(text(&lines)).good();
    for number in [2, 3, 4] {
        let start = position(&lines, &format!("DMLOG START_BLOCK {number}"));
        let end = position(&lines, &format!("DMLOG ACCEPTED_BLOCK {number}"));
        for given_up in start + 1..=end {
            // The same block from its beginning, and another in between: nodes try blocks that they do not accept.
            for between in [vec![], vec![b"DMLOG START_BLOCK 9".to_vec()]] {
                let log = [&lines[..given_up], &between, &lines[start..]].concat();
                let outcome = Outcome::of(text(&log)).good();
                assert_eq!(outcome.events, whole.events, "block {number} given up at line {given_up}");
                assert_eq!(outcome.stats.abandoned_blocks, 1 + between.len() as u64);
            }
        }
    }
}

#[test]
fn a_block_that_is_left_for_another_branch() {
    let Some(lines) = three_blocks() else { return };
    let start = position(&lines, "DMLOG START_BLOCK 3");
    let switch = format!("DMLOG SWITCH_FORK {} {}", "00000003".repeat(8), "00000004".repeat(8));
    let log = [&lines[..start + 2], &[switch.into_bytes()], &lines[start..]].concat();
    let outcome = Outcome::of(text(&log)).good();
    let whole = Outcome::of(text(&lines)).good();
    assert_eq!(outcome.blocks(), whole.blocks());
    assert_eq!((outcome.stats.abandoned_blocks, outcome.stats.fork_switches), (1, 1));
    let Event::SwitchFork { from, to } = &outcome.events[2] else { panic!("{:?}", outcome.events[2]) };
    assert_eq!((from.block_num(), to.block_num()), (3, 4));
}

/// The operations of genesis precede the version line, and belong to the first block.
#[test]
fn operations_of_genesis() {
    let Some(lines) = three_blocks() else { return };
    let version = position(&lines, "DMLOG DEEP_MIND_VERSION");
    let whole = Outcome::of(text(&lines)).good();
    let first = whole.blocks()[0];
    let trace = &first.unfiltered_transaction_traces[0];
    let kinds: Vec<_> = first.rlimit_ops.iter().map(|op| op.kind.as_ref().unwrap()).collect();
    assert!(matches!(kinds[..2], [RlimitKind::Config(_), RlimitKind::State(_)]), "{kinds:?}");
    let of_block = 2;
    // The last operations of the first trace are those of `onblock`.
    let kept = trace.perm_ops.len() + trace.ram_ops.len() + trace.rlimit_ops.len() - 1;
    assert_eq!(version, of_block + kept);
}

#[test]
fn versions() {
    let read = |version: &str| Outcome::of(format!("DMLOG DEEP_MIND_VERSION {version}\nDMLOG START_BLOCK 2\n"));
    for known in ["12", "13 1", "leap 13 0", "spring 1 0"] {
        assert_eq!(read(known).good().unfinished_block, Some(2), "{known}");
    }
    assert_eq!(
        read("leap 14 0").message(),
        "line 1: unsupported deep-mind version \"leap 14 0\": known are \"12\", \"13 N\", \"leap 13 N\" and \"spring 1 N\""
    );
    assert_eq!(
        Outcome::of("DMLOG START_BLOCK 2\n").message(),
        "line 1: START_BLOCK: no DEEP_MIND_VERSION line before the first block; read the log from its beginning \
         (\"DMLOG START_BLOCK 2\")"
    );
}

const VERSION: &str = "DMLOG DEEP_MIND_VERSION leap 13 0";

#[test]
fn numbers_of_another_block() {
    for (lines, message) in [
        (
            "DMLOG START_BLOCK 5\nDMLOG APPLIED_TRANSACTION 6 00",
            "line 3: APPLIED_TRANSACTION: for block 6 while block 5 is at work (\"DMLOG APPLIED_TRANSACTION 6 00\")",
        ),
        (
            "DMLOG START_BLOCK 5\nDMLOG ACCEPTED_BLOCK 4 00",
            "line 3: ACCEPTED_BLOCK: for block 4 while block 5 is at work (\"DMLOG ACCEPTED_BLOCK 4 00\")",
        ),
        (
            "DMLOG ACCEPTED_BLOCK 4 00",
            "line 2: ACCEPTED_BLOCK: for block 4 without a START_BLOCK (\"DMLOG ACCEPTED_BLOCK 4 00\")",
        ),
    ] {
        assert_eq!(Outcome::of(format!("{VERSION}\n{lines}\n")).message(), message);
    }
    // The state of a block under the number of another.
    let Some(lines) = three_blocks() else { return };
    let state = &lines[position(&lines, "DMLOG ACCEPTED_BLOCK 3 ")];
    let state = state.strip_prefix(b"DMLOG ACCEPTED_BLOCK 3 ").unwrap();
    let head = format!("{VERSION}\nDMLOG START_BLOCK 7\nDMLOG ACCEPTED_BLOCK 7 ");
    let message = Outcome::of([head.as_bytes(), state, b"\n"].concat()).message();
    assert!(message.starts_with("line 3: ACCEPTED_BLOCK: block 7 has the state of block 3 (\""), "{message}");
}

/// Counts warnings.
struct Warnings(Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn unknown_lines_are_counted_and_warned_of_once() {
    let warnings = Arc::new(AtomicUsize::new(0));
    let many: String = (0..100).map(|i| format!("DMLOG NEW_{i:03} x\n")).collect();
    let log = format!("{VERSION}\nDMLOG FOO_OP 1 2\nDMLOG FOO_OP\nDMLOG BAR_OP 3\nDMLOG KV_OP INS 0 a b c d\n{many}");
    let outcome = tracing::subscriber::with_default(Warnings(Arc::clone(&warnings)), || Outcome::of(&log).good());
    let unknown = &outcome.stats.unknown;
    assert_eq!((unknown["FOO_OP"], unknown["BAR_OP"], unknown["NEW_000"]), (2, 1, 1));
    // What is counted by name is bounded.
    assert_eq!((unknown.len(), unknown["..."]), (65, 38));
    assert_eq!(warnings.load(Ordering::Relaxed), 64);
    assert_eq!(outcome.stats.key_value_operations, 1);
    assert_eq!(outcome.stats.deep_mind_lines, outcome.stats.lines);
}

#[test]
fn text_that_is_not_utf_8() {
    let log = |line: &[u8]| [VERSION.as_bytes(), b"\n", line, b"\n"].concat();
    // Keys of RAM operations are text that contracts cannot choose freely; what is wrong with it is replaced.
    Outcome::of(log(b"DMLOG RAM_OP 0 a\xff:b table_row add primary_index_add alice 128 128")).good();
    Outcome::of(log(b"\xff\xfe no deep-mind line")).good();
    assert_eq!(Outcome::of(log(b"DMLOG \xff\xfe 1")).good().stats.unknown["\u{fffd}\u{fffd}"], 1);
    for json in [&b"{\"owner\":\"\xff\"}"[..], b"{\"owner\"", b"{}", b"[]", b"", b"{\"owner\":{}}"] {
        let message = Outcome::of(log(&[b"DMLOG RLIMIT_OP ACCOUNT_LIMITS INS ", json].concat())).message();
        assert!(message.starts_with("line 2: RLIMIT_OP: "), "{message}");
        assert!(message.chars().all(|c| !c.is_control()), "{message}");
    }
}

#[test]
fn a_node_that_failed_to_write() {
    for line in [
        "DMLOG FPRINTF_FAILED failed written=0",
        "DMLOG FPRINTF_FAILURE_TERMINATED",
        // In one stream, the cry follows the line that was cut.
        "DMLOG APPLIED_TRANSACTION 2 00ffDMLOG FPRINTF_FAILED failed written=7",
    ] {
        assert_eq!(
            Outcome::of(format!("{VERSION}\nDMLOG START_BLOCK 2\n{line}\n")).message(),
            "line 3: the node failed to write its deep-mind log and stopped; free disk space and restart it"
        );
    }
}

/// Blocks of the first run that were complete, and those of the second one.
#[track_caller]
fn assert_two_runs(log: &[u8], first_run: &[&Block], second_run: &[Event], cut: u64) {
    let warnings = Arc::new(AtomicUsize::new(0));
    let outcome = tracing::subscriber::with_default(Warnings(Arc::clone(&warnings)), || Outcome::of(log).good());
    let blocks = outcome.blocks();
    let (first, second) = blocks.split_at(first_run.len().min(blocks.len()));
    assert_eq!(first, first_run);
    let of_second: Vec<_> = second_run
        .iter()
        .filter_map(|event| if let Event::Block(block) = event { Some(&**block) } else { None })
        .collect();
    assert_eq!(second, of_second);
    assert_eq!((outcome.stats.cut_runs, warnings.load(Ordering::Relaxed) as u64), (cut, cut));
    assert_eq!((outcome.stats.torn_line, outcome.unfinished_block), (false, None));
}

/// A node that was killed at any place, with a log that is appended to: another run from genesis follows, or one that
/// goes on.
#[test]
fn a_log_that_was_cut_and_goes_on() {
    let Some(lines) = three_blocks() else { return };
    let whole = Outcome::of(text(&lines)).good();
    let version = position(&lines, "DMLOG DEEP_MIND_VERSION");
    let goes_on = [&lines[version..=version], &lines[position(&lines, "DMLOG START_BLOCK 4")..]].concat();
    let going_on = Outcome::of(text(&goes_on)).good();
    let (mut complete, mut active) = (0, false);
    for (at, line) in lines.iter().enumerate() {
        let fields = std::str::from_utf8(line).unwrap();
        for next in [&lines, &goes_on] {
            let events = if next.len() == lines.len() { &whole.events } else { &going_on.events };
            // Continuing takes the blocks before, and a version.
            if next.len() != lines.len() && at <= version {
                continue;
            }
            // At the end of a line, in its middle, before its line end, or with zeros where nothing was written.
            for kept in [0, 1, 4, 6, line.len() / 2, line.len() - 1, line.len()] {
                for zeros in [0, 5] {
                    let torn = [&line[..kept], &vec![0; zeros]].concat();
                    let log = [text(&lines[..at]), torn, text(next)].concat();
                    // Half a prefix is not a deep-mind line, and nothing is lost with it.
                    let cut = active || kept >= 6;
                    assert_two_runs(&log, &whole.blocks()[..complete], events, u64::from(cut));
                }
            }
        }
        active = if fields.starts_with("DMLOG START_BLOCK") {
            true
        } else {
            active && !fields.starts_with("DMLOG ACCEPTED")
        };
        complete += usize::from(fields.starts_with("DMLOG ACCEPTED_BLOCK"));
    }
}

/// With both streams of the node in one file, its own log comes behind the half of a line; so does a newline that
/// somebody added.
#[test]
fn text_between_two_runs() {
    let Some(lines) = three_blocks() else { return };
    let whole = Outcome::of(text(&lines)).good();
    let at = position(&lines, "DMLOG APPLIED_TRANSACTION 3");
    for between in [
        &b"\n"[..],
        b"info  2026-11-22T10:05:00.000 nodeos    main.cpp:1 main ] nodeos started\n",
        b"\ninfo  2026-11-22T10:05:00.000 nodeos    main.cpp:1 main ] nodeos started\n\n",
        b"DMLOG FPRINTF_FAILED failed written=7\nDMLOG FPRINTF_FAILURE_TERMINATED\n",
        b"\nDMLOG FPRINTF_FAILED failed written=7\n",
    ] {
        let torn = &lines[at][..lines[at].len() / 2];
        let log = [&text(&lines[..at]), torn, between, &text(&lines)].concat();
        assert_two_runs(&log, &whole.blocks()[..1], &whole.events, 1);
    }
    // A node that was stopped in order is none that was cut.
    let log = [text(&lines), text(&lines)].concat();
    assert_two_runs(&log, &whole.blocks(), &whole.events, 0);
    // A line that cannot be right is an error if the same run goes on, at the end of the log, and if the cry is the last word.
    let damaged = [&lines[..at], &[lines[at][..90].to_vec()], &lines[at + 1..]].concat();
    for log in [text(&damaged), text(&damaged[..=at])] {
        let message = Outcome::of(log).message();
        assert!(message.starts_with(&format!("line {}: APPLIED_TRANSACTION: ", at + 1)), "{message}");
    }
}

/// The recorded case: a node with odd ABIs, killed in the middle of a line and started again.
#[test]
fn a_recorded_log_that_was_cut_and_goes_on() {
    let Some(log) = recorded::bytes("cases/abi-rows.dmlog.gz") else { return };
    let whole = Outcome::of(&log).good();
    assert_eq!(whole.blocks().len(), 317);
    let cut = Outcome::of([&log[..1_500_003], &log[..]].concat()).good();
    let blocks = cut.blocks();
    let (first, second) = blocks.split_at(blocks.len() - 317);
    assert_eq!((second, first), (&whole.blocks()[..], &whole.blocks()[..first.len()]));
    assert!(!first.is_empty());
    assert_eq!(cut.stats.cut_runs, 1);
}

#[test]
fn empty_fields() {
    let Some(mut lines) = three_blocks() else { return };
    let at = position(&lines, "DMLOG APPLIED_TRANSACTION 2 ");
    // The name 0 is empty text: here a scope and a primary key, then data as well.
    insert(&mut lines, at, "DMLOG DB_OP INS 0 alice code  table  00ff");
    insert(&mut lines, at + 1, "DMLOG DB_OP REM 0 alice code  table  ");
    let outcome = Outcome::of(text(&lines)).good();
    let ops = &outcome.blocks()[0].unfiltered_transaction_traces[0].db_ops;
    let of_both = DbOp { code: Name::literal("code"), table_name: Name::literal("table"), ..DbOp::default() };
    let alice = Name::literal("alice");
    let inserted = DbOp { operation: DbOperation::Insert, new_payer: alice, ..of_both.clone() };
    let removed = DbOp { operation: DbOperation::Remove, old_payer: alice, ..of_both };
    assert_eq!(ops[..], [DbOp { new_data: vec![0, 0xff].into(), ..inserted }, removed]);
    // With one space less, every field is taken for the one before it.
    lines[at] = b"DMLOG DB_OP INS 0 alice code table  00ff".to_vec();
    assert_eq!(
        Outcome::of(text(&lines)).message(),
        format!(
            "line {}: DB_OP: primary key \"00ff\" is not a name: characters are a-z, 1-5 and dots (\"{}\")",
            at + 1,
            String::from_utf8_lossy(&lines[at]),
        )
    );
}

#[test]
fn line_ends_and_prefixes_of_other_systems() {
    let Some(lines) = three_blocks() else { return };
    let whole = Outcome::of(text(&lines)).good();
    let replace = |line: &Vec<u8>, tail: &[u8]| [b"FIRE ", line.strip_prefix(b"DMLOG ").unwrap(), tail].concat();
    let changed: [Lines; 3] = [
        lines.iter().map(|line| [line, &b"\r"[..]].concat()).collect(),
        lines.iter().map(|line| replace(line, b"")).collect(),
        lines.iter().map(|line| replace(line, b"\r")).collect(),
    ];
    for lines in changed {
        let outcome = Outcome::of(text(&lines)).good();
        assert_eq!((&outcome.events, &outcome.stats), (&whole.events, &whole.stats));
    }
}

#[test]
fn the_log_of_the_node_in_between() {
    let Some(lines) = three_blocks() else { return };
    let whole = Outcome::of(text(&lines)).good();
    let foreign =
        [&b"info  2026-11-22T10:05:00.000 nodeos  producer_plugin.cpp:2245"[..], b"", b" DMLOG x", b"DMLOG", b"\xff"];
    let mixed: Lines = std::iter::zip(&lines, foreign.iter().cycle())
        .flat_map(|(line, foreign)| [foreign.to_vec(), line.clone()])
        .collect();
    let received = Arc::new(Mutex::new(Lines::new()));
    let (mixed, sink) = (text(&mixed), Arc::clone(&received));
    let mut reader = Reader::new(&mixed[..]).on_other_lines(move |line| sink.lock().unwrap().push(line.to_vec()));
    let events: Vec<Event> = reader.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(events, whole.events);
    let stats = reader.stats();
    assert_eq!((stats.lines, stats.deep_mind_lines), (2 * lines.len() as u64, lines.len() as u64));
    let wanted: Lines = foreign.iter().cycle().take(lines.len()).map(|line| line.to_vec()).collect();
    assert_eq!(*received.lock().unwrap(), wanted);
}

#[test]
fn base_64_with_and_without_padding() {
    let dump = |abis: &str| format!("{VERSION}\nDMLOG ABIDUMP START 44 500\n{abis}DMLOG ABIDUMP END\n");
    let abis = |outcome: Outcome| match &outcome.good().events[..] {
        [Event::AbiDump(dump)] => (dump.block_num, dump.global_sequence, dump.abis.clone()),
        other => panic!("{other:?}"),
    };
    let read =
        abis(Outcome::of(dump("DMLOG ABIDUMP ABI alice AAE=\nDMLOG ABIDUMP ABI bob AAE\nDMLOG ABIDUMP ABI carol \n")));
    let abi = |name, data: &[u8]| (Name::literal(name), bytes::Bytes::copy_from_slice(data));
    let wanted = vec![abi("alice", &[0, 1]), abi("bob", &[0, 1]), abi("carol", &[])];
    assert_eq!(read, (44, 500, wanted));
    assert_eq!(
        Outcome::of(dump("DMLOG ABIDUMP ABI alice ?\n")).message(),
        "line 3: ABIDUMP: ABI \"?\" is not base64 (\"DMLOG ABIDUMP ABI alice ?\")"
    );
}

#[test]
fn what_is_no_log() {
    let end = "; a deep-mind log is what nodeos prints when it runs with --deep-mind";
    assert_eq!(Outcome::of("").message(), format!("the log is empty{end}"));
    let no_line = format!("no complete deep-mind line was found{end}");
    let binary: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for text in [&b"info nodeos started\n"[..], b"DMLOG START", b"\n\n\n", &binary] {
        assert_eq!(Outcome::of(text).message(), no_line);
    }
    // Line ends or not, a large file of another kind is given up early.
    let endless = vec![b'x'; 80 << 20];
    assert_eq!(Outcome::of(&endless).message(), format!("a line is longer than any of a log{end}"));
    let lines = [vec![b'x'; 1 << 20], vec![b'\n']].concat().repeat(65);
    assert_eq!(Outcome::of(lines).message(), format!("the first 64 MiB hold no deep-mind line{end}"));
}

#[test]
fn a_line_over_the_limit() {
    let Some(mut lines) = three_blocks() else { return };
    let limit = lines.iter().map(Vec::len).max().unwrap();
    let whole = Outcome::with_max_line(text(&lines), limit).good();
    assert_eq!(whole.blocks().len(), 3);
    let long = format!("DMLOG DB_OP INS {}", "x".repeat(1 << 20));
    insert(&mut lines, 7, &long);
    assert_eq!(
        Outcome::with_max_line(text(&lines), 1 << 17).message(),
        "line 8 is longer than 131072 bytes, the most that are read"
    );
}

/// One line of each kind of a recorded log.
fn samples() -> &'static Lines {
    static SAMPLES: OnceLock<Lines> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let mut samples = BTreeMap::<(Vec<u8>, Vec<u8>), Vec<u8>>::new();
        for line in recorded::lines("small/small.dmlog.zst").into_iter().flatten() {
            let mut fields = line.split(|byte| *byte == b' ').skip(1).map(<[u8]>::to_vec);
            let (keyword, mut operation) = (fields.next().unwrap(), fields.next().unwrap_or_default());
            if keyword == b"APPLIED_TRANSACTION" || keyword == b"RAM_OP" {
                // These differ by length, the more so the more is in them.
                operation = line.len().ilog2().to_string().into_bytes();
            } else if operation.iter().all(u8::is_ascii_digit) {
                operation.clear();
            }
            samples.entry((keyword, operation)).or_insert(line);
        }
        samples.into_values().collect()
    })
}

/// A change of a line at a place that is a fraction of its length.
#[derive(Debug, Clone)]
enum Mutation {
    Replace(u8),
    /// Replaces a hex digit by another, so that what is wrong is found in the binary field.
    Digit(u8),
    Insert(Vec<u8>),
    Remove(usize),
    Truncate,
}

fn mutate(line: &mut Vec<u8>, place: f64, mutation: &Mutation) {
    if line.is_empty() {
        return;
    }
    let at = ((line.len() as f64 * place) as usize).min(line.len() - 1);
    match mutation {
        Mutation::Replace(byte) => line[at] = *byte,
        Mutation::Digit(digit) => {
            if line[at].is_ascii_hexdigit() {
                line[at] = b"0123456789abcdef"[usize::from(digit % 16)];
            }
        }
        Mutation::Insert(bytes) => drop(line.splice(at..at, bytes.iter().copied())),
        Mutation::Remove(count) => drop(line.drain(at..(at + count).min(line.len()))),
        Mutation::Truncate => line.truncate(at),
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        any::<u8>().prop_map(Mutation::Replace),
        any::<u8>().prop_map(Mutation::Digit),
        any::<u8>().prop_map(Mutation::Digit),
        prop::collection::vec(any::<u8>(), 1..20).prop_map(Mutation::Insert),
        (1..40usize).prop_map(Mutation::Remove),
        Just(Mutation::Truncate),
    ]
}

/// Feeds a decoder that knows its version; an error ends it, as it should.
fn feed(lines: &[Vec<u8>]) {
    let mut decoder = Decoder::new();
    for line in std::iter::once(VERSION.as_bytes()).chain(lines.iter().map(|line| &line[..])) {
        if let Err(error) = decoder.line(line) {
            assert!(error.to_string().len() < 2000, "{error}");
            return;
        }
    }
}

/// A `START_BLOCK` for the number that the second field of a line says, if it is one.
fn start_block(line: &[u8]) -> Option<Vec<u8>> {
    let number = line.split(|byte| *byte == b' ').nth(2)?;
    let is_number = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    is_number.then(|| [b"DMLOG START_BLOCK ", number].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn damaged_lines_never_panic(
        chosen: prop::sample::Index,
        mutations in prop::collection::vec((0.0..1.0, mutation()), 1..4),
    ) {
        if samples().is_empty() {
            return Ok(());
        }
        let mut line = chosen.get(samples()).clone();
        let start = start_block(&line);
        for (place, mutation) in &mutations {
            mutate(&mut line, *place, mutation);
        }
        let mut lines: Lines = start.into_iter().collect();
        lines.push(line);
        feed(&lines);
    }

    #[test]
    fn lines_in_any_order_never_panic(order in prop::collection::vec(any::<prop::sample::Index>(), 1..40)) {
        if samples().is_empty() {
            return Ok(());
        }
        let lines: Lines = order.iter().map(|index| index.get(samples()).clone()).collect();
        feed(&lines);
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Outcome::of(&bytes);
        let _ = Outcome::of([VERSION.as_bytes(), b"\nDMLOG ", &bytes[..], b"\n"].concat());
    }
}
