//! Logs as they should not be: what a reader must tolerate, and what it must refuse.

use crate::random::Random;

/// Lines that do not belong into a log but occur in the output of a node, each with its line end. A reader passes over them.
pub const NOISE: &[&[u8]] = &[
    b"info  2026-11-22T10:05:00.000 nodeos    producer_plugin.cpp:651       on_incoming_block    ] Received block\n",
    b"\n",
    b"a line that ends like those of Windows\r\n",
    b"\xff\xfe\xc3\x28 is not UTF-8\n",
    b"DMLOG\n",
    b"DMLOGGER is another program\n",
    b"dmlog START_BLOCK 1\n",
    b" DMLOG START_BLOCK 1\n",
];

/// Deep-mind lines of a kind that no reader knows yet. It counts them and goes on.
pub const UNKNOWN: &[&[u8]] = &[
    b"DMLOG FUTURE_OP INS 0 eosio {\"some\":\"thing\"}\n",
    b"DMLOG ACCEPTED_BLOCK_V9 1 2 3\n",
    b"DMLOG DB_OPS INS 0\n",
];

/// Puts lines of `extra` between the lines of `log`, on average after every `one_in`th.
pub fn sprinkle(log: &[u8], extra: &[&[u8]], one_in: u32, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut out = Vec::with_capacity(log.len() + log.len() / 8);
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(line);
        if line.ends_with(b"\n") && random.below(one_in.into()) == 0 {
            out.extend_from_slice(random.pick::<&[u8]>(extra));
        }
    }
    out
}

/// The first `lines` lines of a block, at least its START_BLOCK: what a node prints of a block that it gives up.
pub fn abandoned(block: &[u8], lines: usize) -> &[u8] {
    let ends: Vec<_> = block.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    let first = usize::from(block.starts_with(b"DMLOG SWITCH_FORK"));
    let before_last = ends.len().saturating_sub(2).max(first);
    &block[..ends[(first + lines.saturating_sub(1)).min(before_last)]]
}

/// The log cut in the middle of its last line, as a crash leaves it.
pub fn torn(log: &[u8]) -> &[u8] {
    let body = log.strip_suffix(b"\n").unwrap_or(log);
    let start = body.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &log[..start + (body.len() - start) / 2]
}

/// One line made wrong so that a reader must refuse it: every field in turn left out, doubled or replaced. None of the results
/// is the line itself, but some may be lines that mean something else.
pub fn mutations(line: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let fields: Vec<Vec<u8>> = line.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect();
    let join = |fields: Vec<Vec<u8>>| [fields.join(&b' '), b"\n".to_vec()].concat();
    (1..fields.len()).flat_map(move |at| {
        let change = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut fields = fields.clone();
            change(&mut fields);
            join(fields)
        };
        let half = fields[at].len() / 2;
        vec![
            change(&|fields| drop(fields.remove(at))),
            change(&|fields| fields.insert(at, fields[at].clone())),
            change(&|fields| fields[at] = b"\xff{not a value}".to_vec()),
            change(&|fields| fields[at].truncate(half)),
            change(&|fields| fields[at].push(b'0')),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &[u8] =
        b"DMLOG SWITCH_FORK a b\nDMLOG START_BLOCK 2\nDMLOG CREATION_OP ROOT 0\nDMLOG ACCEPTED_BLOCK 2 00\n";

    #[test]
    fn an_abandoned_block_is_never_complete() {
        assert_eq!(abandoned(BLOCK, 0), b"DMLOG SWITCH_FORK a b\nDMLOG START_BLOCK 2\n");
        assert_eq!(abandoned(&BLOCK[22..], 1), b"DMLOG START_BLOCK 2\n");
        assert!(!abandoned(BLOCK, 99).ends_with(b"00\n"));
        assert!(!abandoned(&BLOCK[22..], 99).ends_with(b"00\n"));
    }

    #[test]
    fn a_torn_log_loses_half_a_line() {
        assert_eq!(torn(b"DMLOG A\nDMLOG BB\n"), b"DMLOG A\nDMLO");
        assert_eq!(torn(b""), b"");
    }

    #[test]
    fn sprinkling_keeps_the_log() {
        let sprinkled = sprinkle(BLOCK, NOISE, 1, 1);
        let kept: Vec<_> =
            sprinkled.split_inclusive(|byte| *byte == b'\n').filter(|line| !NOISE.contains(line)).collect();
        assert_eq!(kept.concat(), BLOCK);
        assert!(sprinkled.len() > BLOCK.len());
    }

    #[test]
    fn mutations_differ_from_their_line() {
        let line = b"DMLOG TBL_OP INS 0 eosio eosio global eosio\n";
        assert!(mutations(line).count() > 30);
        assert!(mutations(line).all(|mutation| mutation != line));
    }
}
