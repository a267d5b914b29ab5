//! Blocks made of state history, compared with those of deep mind of the same node: what is not the same is listed here.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, HashMap},
    io::{Cursor, Read},
};

use bytes::Bytes;
use dfuse_antelope::{
    Checksum256, Name,
    model::{
        Block, DbOp, DbOperation, DtrxOp, DtrxOperation, PermOp, PermissionObject, RamAction, RamOp, TableOperation,
    },
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_ship::{Assembler, BlockLog, Error, HistoryBlock, HistoryLog, MemoryRows};
use dfuse_testkit::recorded;

fn log(chain: &str, file: &str) -> Option<Vec<u8>> {
    recorded::tar_member(&format!("{chain}/ship-and-blocks.tar.zst"), file)
}

/// Blocks that deep mind of the same node logged, by id.
fn deep_mind(chain: &str) -> Option<HashMap<Checksum256, Block>> {
    let mut reader = Reader::new(recorded::open(&format!("{chain}/{chain}.dmlog.zst"))?);
    let mut blocks = HashMap::new();
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(block) = event {
            blocks.insert(block.id, *block);
        }
    }
    Some(blocks)
}

fn entries(chain: &str, name: &str) -> Option<HashMap<Checksum256, Bytes>> {
    let mut log = HistoryLog::open(Cursor::new(log(chain, &format!("state-history/{name}_history.log"))?)).unwrap();
    let mut all = HashMap::new();
    while let Some(entry) = log.next_entry().unwrap() {
        let mut content = vec![];
        log.content(&entry).unwrap().read_to_end(&mut content).unwrap();
        all.insert(entry.block_id, content.into());
    }
    Some(all)
}

/// The first block and its genesis, ready for the second, and the parts of all others.
fn parts(chain: &str) -> Option<(Assembler, Vec<HistoryBlock>)> {
    let (traces, deltas) = (entries(chain, "trace")?, entries(chain, "chain_state")?);
    let mut log = BlockLog::open(Cursor::new(log(chain, "blocks/blocks.log")?)).unwrap();
    let genesis = log.genesis().unwrap().clone();
    let (mut assembler, mut blocks) = (None, vec![]);
    while let Some(logged) = log.next_block().unwrap() {
        let history = traces.get(&logged.id).cloned().unwrap_or_default();
        let block = HistoryBlock::decode(logged.id, &logged.block, &history, &deltas[&logged.id][..]).unwrap();
        match assembler {
            None => {
                assembler = Some(Assembler::genesis(&genesis, block.id, block.deltas, Box::<MemoryRows>::default()));
            }
            Some(_) => blocks.push(block),
        }
    }
    Some((assembler?, blocks))
}

fn made(chain: &str) -> Option<Vec<Block>> {
    let (mut assembler, parts) = parts(chain)?;
    Some(parts.into_iter().map(|parts| assembler.block(parts).unwrap()).collect())
}

/// Where two values differ: one line a field, numbers of lists left out.
fn differences(path: &str, left: &serde_json::Value, right: &serde_json::Value, found: &mut BTreeMap<String, usize>) {
    use serde_json::Value;
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let none = Value::Null;
            let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let (left, right) = (left.get(key).unwrap_or(&none), right.get(key).unwrap_or(&none));
                differences(&format!("{path}.{key}"), left, right, found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            left.iter().zip(right).for_each(|(left, right)| differences(path, left, right, found));
        }
        _ if left == right => {}
        _ => *found.entry(path.to_owned()).or_default() += 1,
    }
}

/// What state history says otherwise than deep mind, or not at all. Operations differ in number where several actions can have done
/// them: then they are among the changes of the block. Where there are as many, they can come in another order.
const DIFFERENCES: [&str; 33] = [
    // Usage that is pending; limits and usage of accounts, which are changes of the block.
    ".rlimitOps",
    ".stateHistory",
    ".traces.rlimitOps",
    // The transaction of an error handler.
    ".implicitOps.transaction.transaction.actions",
    ".implicitOps.transaction.transaction.header.expiration",
    ".implicitOps.transaction.transaction.header.refBlockNum",
    ".implicitOps.transaction.transaction.header.refBlockPrefix",
    ".implicitOps.transactionId",
    // What a node keeps in its debug mode only, or never.
    ".actions.console",
    ".actions.elapsed",
    ".actions.exception.*",
    ".traces.elapsed",
    ".traces.exception.*",
    // One change a row and block.
    ".traces.dbOps",
    ".traces.dbOps.*",
    ".traces.tableOps",
    // Failures; what was sent and cancelled within a block; the window of expiration in the block that changes it.
    ".traces.dtrxOps",
    ".traces.dtrxOps.expirationAt",
    // Only digests of features are known.
    ".traces.featureOps.feature.*",
    // Permissions have no numbers, but the name of their parent.
    ".traces.permOps",
    ".traces.permOps.newPerm.id",
    ".traces.permOps.newPerm.parent",
    ".traces.permOps.newPerm.parentId",
    ".traces.permOps.oldPerm.id",
    ".traces.permOps.oldPerm.parent",
    ".traces.permOps.oldPerm.parentId",
    // RAM is summed by action and account.
    ".traces.ramCorrectionOps",
    ".traces.ramOps",
    ".traces.ramOps.action",
    ".traces.ramOps.delta",
    ".traces.ramOps.namespace",
    ".traces.ramOps.operation",
    ".traces.ramOps.*",
];

/// A path of [`differences`], shortened.
fn short(path: &str) -> String {
    let path = path.replace(".unfilteredTransactionTraces", ".traces").replace(".failedDtrxTrace", "");
    let path =
        path.replace(".traces.actionTraces", ".actions").replace("unfilteredImplicitTransactionOps", "implicitOps");
    let whole = ["exception", "dbOps", "feature", "ramOps"];
    for name in whole {
        if let Some((before, _)) = path.split_once(&format!(".{name}.")) {
            let all = format!("{before}.{name}.*");
            return if DIFFERENCES.contains(&path.as_str()) { path } else { all };
        }
    }
    path
}

#[test]
fn blocks_are_those_of_deep_mind_but_for_what_is_listed() {
    let mut all = std::collections::BTreeSet::new();
    for chain in ["small", "fork"] {
        let (Some(blocks), Some(expected)) = (made(chain), deep_mind(chain)) else { return };
        let mut found = BTreeMap::new();
        for block in &blocks {
            let expected = serde_json::to_value(&expected[&block.id]).unwrap();
            differences("", &serde_json::to_value(block).unwrap(), &expected, &mut found);
        }
        all.extend(found.keys().map(|path| short(path)));
    }
    assert_eq!(all, DIFFERENCES.map(str::to_owned).into());
}

type Rows = BTreeMap<(Name, Name, Name, u64), (Name, Bytes)>;
type Tables = BTreeMap<(Name, Name, Name), ()>;

fn fold(block: &Block, rows: &mut Rows, tables: &mut Tables) {
    for op in block.row_operations() {
        let key = (op.code, op.scope, op.table_name, op.primary_key.0);
        let before = match op.operation {
            DbOperation::Remove => rows.remove(&key),
            _ => rows.insert(key, (op.new_payer, op.new_data.clone())),
        };
        let told = (op.operation != DbOperation::Insert).then(|| (op.old_payer, op.old_data.clone()));
        assert_eq!(before, told, "block {}: {op:?}", block.number);
    }
    for op in block.table_operations() {
        let key = (op.code, op.scope, op.table_name);
        let is_new = op.operation == TableOperation::Insert;
        let was_there = if is_new { tables.insert(key, ()) } else { tables.remove(&key) };
        assert_eq!(was_there.is_some(), !is_new, "block {}: {op:?}", block.number);
    }
}

#[test]
fn rows_and_tables_are_the_same_after_every_block() {
    for chain in ["small", "fork"] {
        let (Some(blocks), Some(expected)) = (made(chain), deep_mind(chain)) else { return };
        let mut own = (Rows::new(), Tables::new());
        let mut theirs = own.clone();
        let (mut certain, mut of_block) = (0, 0);
        for block in &blocks {
            fold(block, &mut own.0, &mut own.1);
            fold(&expected[&block.id], &mut theirs.0, &mut theirs.1);
            assert!(own == theirs, "{chain}, block {}", block.number);
            certain += block.unfiltered_transaction_traces.iter().map(|trace| trace.db_ops.len()).sum::<usize>();
            of_block += block.state_history.as_ref().unwrap().db_ops.len();
        }
        assert!(certain > 200 && of_block > 200, "{chain}: {certain} {of_block}");
    }
}

/// Every operation in a trace is one that deep mind has in the same action.
#[test]
fn nothing_is_attached_to_a_guessed_action() {
    for chain in ["small", "fork"] {
        let (Some(blocks), Some(expected)) = (made(chain), deep_mind(chain)) else { return };
        for (own, theirs) in blocks.iter().flat_map(|block| {
            block.unfiltered_transaction_traces.iter().zip(&expected[&block.id].unfiltered_transaction_traces)
        }) {
            for op in &own.db_ops {
                let key = |op: &DbOp| (op.code, op.scope, op.table_name, op.primary_key, op.action_index);
                let last = theirs.db_ops.iter().rfind(|it| key(it) == key(op)).unwrap();
                assert_eq!((&last.new_data, last.new_payer), (&op.new_data, op.new_payer), "{op:?}");
            }
            for op in &own.table_ops {
                assert!(theirs.table_ops.contains(op), "{op:?}");
            }
            for op in &own.perm_ops {
                let key = |it: &Option<PermissionObject>| {
                    it.as_ref().map(|it| (it.owner, it.name, it.last_updated, it.authority.clone()))
                };
                let same = |it: &&PermOp| {
                    it.action_index == op.action_index
                        && (key(&it.old_perm), key(&it.new_perm)) == (key(&op.old_perm), key(&op.new_perm))
                };
                assert!(theirs.perm_ops.iter().any(|it| same(&it)), "{op:?}");
            }
            for op in &own.dtrx_ops {
                // One that was sent and replaced within a block is one that was sent.
                let kind = |op: &DtrxOp| match op.operation {
                    DtrxOperation::ModifyCreate => DtrxOperation::Create,
                    kind => kind,
                };
                let key = |op: &DtrxOp| (kind(op), op.action_index, op.transaction_id, op.delay_until.clone());
                assert!(theirs.dtrx_ops.iter().any(|it| key(it) == key(op)), "{op:?}");
            }
            let sums = |ops: &[RamOp]| {
                let mut sums = BTreeMap::<_, i64>::new();
                // What the chain began with, and corrections, are changes of the block.
                let of_actions = ops.iter().filter(|op| own.block_num > 2 && op.action != RamAction::Correction);
                of_actions.for_each(|op| *sums.entry((op.action_index, op.payer)).or_default() += op.delta);
                sums.retain(|_, delta| *delta != 0);
                sums
            };
            assert_eq!(sums(&own.ram_ops), sums(&theirs.ram_ops));
        }
    }
}

#[test]
fn blocks_can_be_taken_back_down_to_the_lib() {
    let Some((mut assembler, parts)) = parts("fork") else { return };
    let mut blocks: Vec<Block> = vec![];
    for (at, part) in parts.iter().enumerate() {
        blocks.push(assembler.block(part.clone()).unwrap());
        // Every now and then, all that is not final comes again.
        if at % 25 == 24 {
            let first = blocks[at].lib_num().max(1) as usize - 1;
            for again in first..=at {
                assert_eq!(assembler.block(parts[again].clone()).unwrap(), blocks[again]);
            }
            let final_block = parts[first - 2].clone();
            let message = assembler.block(final_block).unwrap_err().to_string();
            assert!(message.contains("after the LIB"), "{message}");
        }
    }
    let mut other = parts[parts.len() - 1].clone();
    other.signed.header.previous = parts[parts.len() - 1].id;
    assert!(matches!(assembler.block(other), Err(Error::Block { .. })));
    assert_eq!(assembler.head(), parts[parts.len() - 1].id);
}

#[test]
fn parts_of_different_blocks_are_refused() {
    let Some(bytes) = log("small", "blocks/blocks.log") else { return };
    let mut log = BlockLog::open(Cursor::new(bytes)).unwrap();
    log.next_block().unwrap();
    let block = log.next_block().unwrap().unwrap();
    let none = Bytes::new();
    let other = Checksum256::sha256(b"another");
    let error = HistoryBlock::decode(other, &block.block, &none, &[0][..]).unwrap_err();
    assert!(error.to_string().contains("its header has the id"), "{error}");
    assert!(HistoryBlock::decode(block.id, &block.block.slice(1..), &none, &[0][..]).is_err());
    assert!(HistoryBlock::decode(block.id, &block.block, &Bytes::from_static(&[1]), &[0][..]).is_err());
    assert!(HistoryBlock::decode(block.id, &block.block, &none, &[1][..]).is_err());
}
