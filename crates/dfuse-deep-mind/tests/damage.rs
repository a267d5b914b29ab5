//! Logs of which lines are missing, doubled or changed: a block says enough of itself to notice.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use std::collections::{BTreeMap, BTreeSet};

use dfuse_antelope::model::{Block, TransactionTrace};
use dfuse_deep_mind::{Error, Event, Reader};
use dfuse_testkit::recorded;

const VERSION: &[u8] = b"DMLOG DEEP_MIND_VERSION leap 13 0";

/// Lines of which nothing else in their block says that they must be there.
const UNPROVEN: &[&str] = &[
    // What keeps its size takes no RAM.
    "DB_OP UPD",
    "PERM_OP UPD",
    "RLIMIT_OP ",
    "FEATURE_OP PRE_ACTIVATE",
    "RAM_CORRECTION_OP",
    // The queue takes and gives RAM beside the actions, so that only what the payer has before and after tells.
    "RAM_OP deferred_trx_ram_correction",
    "RAM_OP deferred_trx_removed",
];

/// What a log decodes to, and the error that ended it.
fn read(lines: &[&[u8]]) -> Result<Vec<Event>, Error> {
    let text: Vec<u8> = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
    Reader::new(&text[..]).collect()
}

/// A recorded log by block, without what precedes the first one.
struct Log {
    lines: Vec<Vec<u8>>,
    /// Where the lines of each block begin, and its number.
    begins: Vec<(usize, u32)>,
}

impl Log {
    fn open(file: &str) -> Option<Self> {
        let lines: Vec<Vec<u8>> = recorded::lines(file)?.collect();
        let number = |line: &Vec<u8>| {
            let number = line.strip_prefix(b"DMLOG START_BLOCK ")?;
            std::str::from_utf8(number).unwrap().parse().ok()
        };
        let begins = lines.iter().enumerate().filter_map(|(at, line)| Some((at, number(line)?))).collect();
        Some(Self { lines, begins })
    }

    /// A log of the block of a line with the two before it and the one after it, the place of the line in it, and the
    /// number of its block.
    fn around(&self, line: usize) -> (Vec<&[u8]>, usize, u32) {
        let block = self.begins.partition_point(|(begin, _)| *begin <= line) - 1;
        let begin = self.begins[block.saturating_sub(2)].0;
        let end = self.begins.get(block + 2).map_or(self.lines.len(), |(end, _)| *end);
        let lines = self.lines[begin..end].iter().map(Vec::as_slice);
        (std::iter::once(VERSION).chain(lines).collect(), line - begin + 1, self.begins[block].1)
    }

    /// Up to `most` lines of each kind, from all over the log.
    fn samples(&self, most: usize) -> BTreeMap<String, Vec<usize>> {
        let mut all = BTreeMap::<String, Vec<usize>>::new();
        // Not of the first blocks, which have no others before them.
        for (at, line) in self.lines.iter().enumerate().skip(self.begins[3].0) {
            all.entry(kind(line)).or_default().push(at);
        }
        for places in all.values_mut() {
            let step = places.len().div_ceil(most);
            *places = places.iter().copied().step_by(step).collect();
        }
        all
    }
}

/// Keyword and operation of a line.
fn kind(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let fields: Vec<&str> = text.split(' ').collect();
    let is_word = |field: &&&str| !field.is_empty() && field.bytes().all(|c| c.is_ascii_uppercase() || c == b'_');
    let operation = if fields[1] == "RAM_OP" { fields.get(6) } else { fields.get(2).filter(is_word) };
    format!("{} {}", fields[1], operation.unwrap_or(&""))
}

/// What was done to a line is told, with a line and a block at or behind it, unless it changes nothing. Tells whether it was.
#[track_caller]
fn assert_told(damaged: &[&[u8]], whole: &[Event], at: usize, block: u32, what: &str) -> bool {
    let error = match read(damaged) {
        Ok(events) => {
            assert_eq!(events, whole, "{what} changes what is read, and nothing is told");
            return false;
        }
        Err(error) => error,
    };
    let line = match &error {
        Error::Damaged { line, block: found, .. } => {
            assert!((block..=block + 1).contains(found), "{what} is of block {block}: {error}");
            line
        }
        Error::Line { line, .. } => line,
        other => panic!("{what}: {other}"),
    };
    assert!(*line >= at as u64, "{what}: {error}");
    true
}

#[test]
fn lines_that_are_missing_or_doubled() {
    let Some(log) = Log::open("small/small.dmlog.zst") else { return };
    let mut told = BTreeSet::new();
    for (kind, places) in log.samples(4) {
        if UNPROVEN.iter().any(|unproven| kind.starts_with(unproven)) {
            continue;
        }
        for place in places {
            let (lines, at, block) = log.around(place);
            let whole = read(&lines).unwrap();
            let what = format!("{kind}, line {}", place + 1);
            let mut missing = lines.clone();
            missing.remove(at);
            if assert_told(&missing, &whole, at, block, &format!("{what} missing")) {
                told.insert(kind.clone());
            }
            let mut doubled = lines.clone();
            doubled.insert(at, lines[at]);
            assert_told(&doubled, &whole, at, block, &format!("{what} doubled"));
        }
    }
    for kind in [
        "START_BLOCK ",
        "APPLIED_TRANSACTION ",
        "ACCEPTED_BLOCK ",
        "TRX_OP CREATE",
        "CREATION_OP ROOT",
        "CREATION_OP NOTIFY",
        "CREATION_OP INLINE",
        "DB_OP INS",
        "DB_OP REM",
        "TBL_OP INS",
        "TBL_OP REM",
        "PERM_OP INS",
        "PERM_OP REM",
        "DTRX_OP CREATE",
        "DTRX_OP CANCEL",
        "DTRX_OP PUSH_CREATE",
        "FEATURE_OP ACTIVATE",
        "RAM_OP newaccount",
        "RAM_OP setcode",
        "RAM_OP primary_index_add",
        "RAM_OP primary_index_update",
        "RAM_OP secondary_index_add",
        "RAM_OP linkauth",
    ] {
        assert!(told.contains(kind), "{kind} missing is not told; told are {told:?}");
    }
}

/// The case from which this comes: a transaction stays pending, and a balance wrong.
#[test]
fn a_transaction_whose_trace_is_missing() {
    let Some(log) = Log::open("busy/busy.dmlog.zst") else { return };
    let traces = log.samples(40).remove("APPLIED_TRANSACTION ").unwrap();
    for place in traces {
        let (mut lines, at, block) = log.around(place);
        let line = String::from_utf8(lines.remove(at).to_vec()).unwrap();
        let id = line.split(' ').nth(3).unwrap()[..64].to_owned();
        let error = read(&lines).unwrap_err();
        assert!(matches!(error, Error::Damaged { block: found, .. } if found == block), "{error}");
        assert!(
            error.to_string().contains(&id)
                || error.to_string().contains("of which the block has a receipt")
                || error.to_string().contains("the block's next receipt"),
            "{id}: {error}"
        );
    }
}

/// What nodes may differ in is not proven, nor is what a failure undid.
fn proven(block: &Block) -> Vec<TransactionTrace> {
    let traces = block.unfiltered_transaction_traces.iter().filter(|trace| !trace.is_reverted());
    let mut traces: Vec<_> = traces.cloned().collect();
    for trace in &mut traces {
        (trace.elapsed, trace.net_usage, trace.scheduled) = (0, 0, false);
        (trace.exception, trace.error_code, trace.failed_dtrx_trace) = (None, 0, None);
        for action in &mut trace.action_traces {
            (action.elapsed, action.context_free, action.error_code) = (0, false, 0);
            (action.console, action.exception, action.producer_block_id) = (Default::default(), None, None);
            action.closest_unnotified_ancestor_action_ordinal = 0;
        }
    }
    traces
}

#[test]
fn digits_of_a_trace_that_were_changed() {
    let Some(log) = Log::open("small/small.dmlog.zst") else { return };
    let traces = log.samples(12).remove("APPLIED_TRANSACTION ").unwrap();
    let blocks = |events: &[Event]| -> Vec<_> {
        let blocks =
            events.iter().filter_map(|event| if let Event::Block(block) = event { Some(proven(block)) } else { None });
        blocks.collect()
    };
    let mut told = 0;
    for place in traces {
        let (lines, at, _) = log.around(place);
        let whole = blocks(&read(&lines).unwrap());
        let line = lines[at].to_vec();
        let first = line.len() - line.rsplit(|byte| *byte == b' ').next().unwrap().len();
        for digit in (first..line.len()).step_by(1 + (line.len() - first) / 50) {
            let mut changed = line.clone();
            changed[digit] = if changed[digit] == b'0' { b'1' } else { b'0' };
            let mut damaged = lines.clone();
            damaged[at] = &changed;
            match read(&damaged) {
                Ok(events) => assert_eq!(blocks(&events), whole, "digit {digit} of line {} is not told", place + 1),
                Err(Error::Damaged { .. } | Error::Line { .. }) => told += 1,
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(told > 200, "{told}");
}

#[test]
fn numbers_of_ram_that_were_changed() {
    let Some(log) = Log::open("small/small.dmlog.zst") else { return };
    // What the queue of deferred transactions takes and gives, actions do not say.
    let is_of_action =
        |(kind, _): &(String, _)| kind.starts_with("RAM_OP ") && !kind.starts_with("RAM_OP deferred_trx_");
    for (kind, places) in log.samples(3).into_iter().filter(is_of_action) {
        for place in places {
            let (lines, at, block) = log.around(place);
            let whole = read(&lines).unwrap();
            let line = String::from_utf8(lines[at].to_vec()).unwrap();
            let mut fields: Vec<&str> = line.split(' ').collect();
            let field = fields.len() - 1;
            for (what, value) in [("delta", "77"), ("payer", "nobody")] {
                let at_field = field - 2 * usize::from(what == "payer");
                let was = std::mem::replace(&mut fields[at_field], value);
                let changed = fields.join(" ");
                let mut damaged = lines.clone();
                damaged[at] = changed.as_bytes();
                assert_told(&damaged, &whole, at, block, &format!("{kind} with another {what}, line {}", place + 1));
                fields[at_field] = was;
            }
        }
    }
}

/// Usage follows from what the payer had before, in whichever block that was.
#[test]
fn usage_of_ram_that_was_changed() {
    let Some(log) = Log::open("small/small.dmlog.zst") else { return };
    let mut told = 0;
    for places in log.samples(1).into_iter().filter(|(kind, _)| kind.starts_with("RAM_OP ")).map(|(_, places)| places) {
        let place = places[0];
        let line = String::from_utf8(log.lines[place].clone()).unwrap();
        let mut fields: Vec<&str> = line.split(' ').collect();
        let at = fields.len() - 2;
        fields[at] = "123456";
        let changed = fields.join(" ");
        let end = log.begins[log.begins.partition_point(|(begin, _)| *begin <= place)].0;
        let mut lines: Vec<&[u8]> = log.lines[..end].iter().map(Vec::as_slice).collect();
        lines[place] = changed.as_bytes();
        let error = read(&lines).err();
        let is_told = matches!(&error, Some(Error::Damaged { why, .. }) if why.contains("RAM usage"));
        assert!(is_told, "{line}: {error:?}");
        told += 1;
    }
    assert!(told > 10, "{told}");
}

/// The message names line, block and transaction, and says what to do.
#[test]
fn what_is_told() {
    let Some(log) = Log::open("small/small.dmlog.zst") else { return };
    let place = log.samples(4)["DB_OP INS"][1];
    let (mut lines, at, block) = log.around(place);
    lines.remove(at);
    let trace = at + 1 + lines[at..].iter().position(|line| line.starts_with(b"DMLOG APPLIED_TRANSACTION")).unwrap();
    let message = read(&lines).unwrap_err().to_string();
    assert!(message.starts_with(&format!("line {trace}: block {block}: transaction ")), "{message}");
    assert!(message.ends_with("DB_OP lines and RAM_OP lines do not agree; lines of the log are missing or were changed: copy the log again, or have the node execute the block again"), "{message}");
}
