//! Nothing of a log is lost: every line decodes, and every operation is in the trace of the transaction that the next
//! `APPLIED_TRANSACTION` line tells of, save those that the failure of a deferred transaction undid.

use std::collections::BTreeMap;

use dfuse_antelope::model::{Block, RlimitKind, RlimitOp, TransactionStatus, TransactionTrace};
use dfuse_testkit::{compare::assert_same_map, recorded};

use crate::chains::{BUSY, Chain, DEMO, EMPTY, FORK, LEAP_5, LEAP_UNIT, Log, SMALL, SPRING, traces_of_receipts};

/// Lines by kind, named as the `opcounts.txt` files of the recorded chains do.
type Counts = BTreeMap<String, u64>;

const DEFERRED_REMOVAL: &str = "RAM_OP deferred_trx/remove/deferred_trx_removed";
const FAILED: &str = "DTRX_OP FAILED";

fn count(counts: &mut Counts, kind: impl Into<String>) {
    *counts.entry(kind.into()).or_default() += 1;
}

fn add(counts: &mut Counts, more: &Counts) {
    for (kind, number) in more {
        *counts.entry(kind.clone()).or_default() += number;
    }
}

fn kind_of(line: &str) -> String {
    let fields: Vec<&str> = line.splitn(8, ' ').collect();
    match fields[1..] {
        ["RAM_OP", _, _, namespace, action, tag, ..] => format!("RAM_OP {namespace}/{action}/{tag}"),
        [keyword @ ("RLIMIT_OP" | "TRX_OP"), operation, what, ..] => format!("{keyword} {operation} {what}"),
        [
            keyword @ ("CREATION_OP" | "DB_OP" | "TBL_OP" | "PERM_OP" | "DTRX_OP" | "FEATURE_OP" | "ABIDUMP"),
            operation,
            ..,
        ] => format!("{keyword} {operation}"),
        [keyword, ..] => keyword.to_owned(),
        [] => panic!("not a deep-mind line: {line}"),
    }
}

/// What the lines of a log amount to.
#[derive(Default)]
struct Expected {
    /// All lines.
    lines: Counts,
    /// For each `APPLIED_TRANSACTION`, the operations that come with it, in their order.
    transactions: Vec<Vec<String>>,
    /// For each accepted block, the operations that belong to the block itself.
    blocks: Vec<Counts>,
}

fn read_lines(file: &str) -> Option<Expected> {
    let mut expected = Expected::default();
    let (mut pending, mut block) = (vec![], Counts::new());
    for line in recorded::lines(file)? {
        let kind = kind_of(std::str::from_utf8(&line).unwrap());
        count(&mut expected.lines, kind.clone());
        let (keyword, operation) = kind.split_once(' ').unwrap_or((&kind, ""));
        match keyword {
            "APPLIED_TRANSACTION" => expected.transactions.push(std::mem::take(&mut pending)),
            "ACCEPTED_BLOCK" | "ACCEPTED_BLOCK_V2" => {
                assert_eq!(pending, [""; 0], "operations after the last transaction of a block");
                expected.blocks.push(std::mem::take(&mut block));
            }
            "TRX_OP" => count(&mut block, kind),
            "RLIMIT_OP" if !operation.starts_with("ACCOUNT") => count(&mut block, kind),
            "RLIMIT_OP" | "CREATION_OP" | "DB_OP" | "RAM_OP" | "TBL_OP" | "PERM_OP" | "DTRX_OP" | "FEATURE_OP"
            | "RAM_CORRECTION_OP" => pending.push(kind),
            _ => {}
        }
    }
    Some(expected)
}

/// What stays of a transaction's operations: all of them, or after a failure those that bill it.
fn kept(mut kinds: Vec<String>, trace: &TransactionTrace) -> Counts {
    let mut kept = Counts::new();
    if let Some(at) = kinds.iter().position(|kind| kind == FAILED) {
        let handler = kinds.split_off(at + 1);
        assert!(!handler.iter().any(|kind| kind == FAILED), "two failures in one transaction");
        if let Some(removal) = kinds.iter().find(|kind| *kind == DEFERRED_REMOVAL) {
            count(&mut kept, removal.clone());
        }
        kinds.retain(|kind| kind.starts_with("RLIMIT_OP"));
        kinds.extend(handler);
        let status = trace.receipt.as_ref().map(|receipt| receipt.status);
        if trace.failed_dtrx_trace.is_some() && matches!(status, None | Some(TransactionStatus::HardFail)) {
            kinds.retain(|kind| kind.starts_with("RLIMIT_OP"));
        }
    }
    for kind in kinds {
        count(&mut kept, kind);
    }
    // A tree tells its roots from the others only.
    let children: u64 =
        ["NOTIFY", "INLINE", "CFA_INLINE"].iter().filter_map(|kind| kept.remove(&format!("CREATION_OP {kind}"))).sum();
    if children > 0 {
        kept.insert("CREATION_OP child".to_owned(), children);
    }
    kept
}

/// `OPERATION_INSERT` as lines say it.
fn short(operation: &str) -> &str {
    match operation.strip_prefix("OPERATION_").unwrap() {
        "INSERT" => "INS",
        "UPDATE" => "UPD",
        "REMOVE" => "REM",
        other => other,
    }
}

fn resource_limit(op: &RlimitOp) -> String {
    let kind = match op.kind.as_ref().unwrap() {
        RlimitKind::Config(_) => "CONFIG",
        RlimitKind::State(_) => "STATE",
        RlimitKind::AccountLimits(_) => "ACCOUNT_LIMITS",
        RlimitKind::AccountUsage(_) => "ACCOUNT_USAGE",
    };
    format!("RLIMIT_OP {kind} {}", short(op.operation.as_str()))
}

fn decoded_operations(trace: &TransactionTrace) -> Counts {
    let mut counts = Counts::new();
    let lower = |name: &str, prefix: &str| name.strip_prefix(prefix).unwrap().to_lowercase();
    for node in &trace.creation_tree {
        count(&mut counts, if node.creator_action_index < 0 { "CREATION_OP ROOT" } else { "CREATION_OP child" });
    }
    for op in &trace.db_ops {
        count(&mut counts, format!("DB_OP {}", short(op.operation.as_str())));
    }
    for op in &trace.table_ops {
        count(&mut counts, format!("TBL_OP {}", short(op.operation.as_str())));
    }
    for op in &trace.perm_ops {
        count(&mut counts, format!("PERM_OP {}", short(op.operation.as_str())));
    }
    for op in &trace.dtrx_ops {
        count(&mut counts, format!("DTRX_OP {}", short(op.operation.as_str())));
    }
    for op in &trace.ram_ops {
        let namespace = lower(op.namespace.as_str(), "NAMESPACE_");
        let action = lower(op.action.as_str(), "ACTION_");
        let tag = lower(op.operation.as_str(), "OPERATION_");
        count(&mut counts, format!("RAM_OP {namespace}/{action}/{tag}"));
    }
    for op in &trace.feature_ops {
        count(&mut counts, format!("FEATURE_OP {}", op.kind));
    }
    for _ in &trace.ram_correction_ops {
        count(&mut counts, "RAM_CORRECTION_OP");
    }
    for op in &trace.rlimit_ops {
        count(&mut counts, resource_limit(op));
    }
    counts
}

fn decoded_block_operations(block: &Block) -> Counts {
    let mut counts = Counts::new();
    for op in &block.unfiltered_implicit_transaction_ops {
        count(&mut counts, format!("TRX_OP {} {}", short(op.operation.as_str()), op.name));
    }
    for op in &block.rlimit_ops {
        count(&mut counts, resource_limit(op));
    }
    counts
}

/// Compares all operations, and returns the lines of the log with what a failure dropped of them.
fn compare(log: &Log, chain: &Chain) -> (Counts, Counts) {
    let expected = read_lines(log.file).expect("the log was just decoded");
    assert_eq!(chain.stats.lines, expected.lines.values().sum::<u64>());
    assert_eq!(chain.stats.lines, chain.stats.deep_mind_lines);
    assert_eq!(chain.stats.blocks, chain.blocks.len() as u64);
    assert_eq!(chain.stats.fork_switches, chain.switches.len() as u64);
    assert_eq!((chain.stats.abandoned_blocks, chain.stats.key_value_operations), (0, 0));
    assert!(chain.stats.unknown.is_empty() && !chain.stats.torn_line && chain.unfinished_block.is_none());
    assert_eq!(chain.dumps.len() as u64, expected.lines["ABIDUMP END"]);
    let dumped: usize = chain.dumps.iter().map(|dump| dump.abis.len()).sum();
    assert_eq!(dumped as u64, expected.lines["ABIDUMP ABI"]);

    assert_eq!(chain.blocks.len(), expected.blocks.len());
    let mut transactions = expected.transactions.into_iter();
    let mut dropped = Counts::new();
    for (block, wanted) in std::iter::zip(&chain.blocks, &expected.blocks) {
        let what = format!("{}, block {}", log.name, block.id);
        assert_same_map(&what, &decoded_block_operations(block), wanted);
        for trace in traces_of_receipts(block) {
            let mut decoded = decoded_operations(trace);
            // A failed deferred transaction shares a line with its handler.
            if let Some(failed) = &trace.failed_dtrx_trace {
                add(&mut decoded, &decoded_operations(failed));
            }
            let kinds = transactions.next().expect("a trace for each line");
            let mut all = Counts::new();
            for kind in &kinds {
                count(&mut all, kind.clone());
            }
            let kept = kept(kinds, trace);
            assert_same_map(format!("{what}, transaction {}", trace.id), &decoded, &kept);
            for (kind, number) in all {
                let gone = number - kept.get(&kind).copied().unwrap_or(0);
                if gone > 0 && !kind.starts_with("CREATION_OP") {
                    *dropped.entry(kind).or_default() += gone;
                }
            }
        }
    }
    assert_eq!(transactions.next(), None, "lines without a trace");
    (expected.lines, dropped)
}

/// `count kind` lines of a file; those that quote log lines are left out.
fn read_counts(file: &str) -> Counts {
    let text = String::from_utf8(recorded::bytes(file).unwrap()).unwrap();
    let entry = |line: &str| {
        let (number, kind) = line.trim().split_once(' ')?;
        Some((kind.to_owned(), number.parse().ok().filter(|_| !kind.starts_with("DMLOG"))?))
    };
    text.lines().filter_map(entry).collect()
}

fn counts_of(pairs: &[(&str, u64)]) -> Counts {
    pairs.iter().map(|(kind, number)| ((*kind).to_owned(), *number)).collect()
}

/// `dropped` are the operations that failed deferred transactions undid.
fn compare_with_counts(log: &'static Log, dropped: &[(&str, u64)]) {
    let Some(chain) = log.chain() else { return };
    let (lines, gone) = compare(log, chain);
    assert_same_map(log.name, &lines, &read_counts(&log.beside("opcounts.txt")));
    assert_same_map(format!("{}, dropped", log.name), &gone, &counts_of(dropped));
}

#[test]
fn every_line_of_small() {
    compare_with_counts(&SMALL, &[(FAILED, 59), ("DB_OP UPD", 2)]);
}

#[test]
fn every_line_of_fork() {
    compare_with_counts(&FORK, &[]);
}

#[test]
fn every_line_of_busy() {
    compare_with_counts(&BUSY, &[]);
}

#[test]
fn every_line_of_demo() {
    compare_with_counts(&DEMO, &[(FAILED, 708), ("DB_OP UPD", 2)]);
}

#[test]
fn every_line_of_logs_without_counts() {
    for (log, blocks) in [(&EMPTY, 199), (&LEAP_5, 176), (&LEAP_UNIT, 4), (&SPRING, 34)] {
        let Some(chain) = log.chain() else { continue };
        compare(log, chain);
        assert_eq!(chain.blocks.len(), blocks, "{}", log.name);
    }
}
