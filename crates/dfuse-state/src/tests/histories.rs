//! Random operations on a random tree of forks.

use std::collections::BTreeMap;

use bytes::Bytes;
use dfuse_antelope::{
    Asset, Checksum256, Name, PublicKey, Symbol,
    model::{
        Action, ActionReceipt, ActionTrace, Authority, Block, BlockHeader, DbOp, DbOperation, KeyWeight, PermOp,
        PermOperation, PermissionObject, TableOp, TableOperation, TransactionReceiptHeader, TransactionStatus,
        TransactionTrace,
    },
    raw::Writer,
};
use dfuse_kv::Direction;
use proptest::{collection::vec, prelude::*};

use super::{model::State, node::Node};
use crate::{Row, RowChange, RowDifference, RowKey, RowRange, Rows, StateAt, TableKey, row_history};

/// A block after `parent`; `salt` tells it from its siblings.
pub(crate) fn block(parent: &Block, salt: u32, traces: Vec<TransactionTrace>) -> Block {
    let number = parent.number + 1;
    let mut id = Checksum256::sha256(&[&parent.id.0[..], &salt.to_be_bytes()].concat());
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    let header = BlockHeader { previous: parent.id, ..BlockHeader::default() };
    Block { id, number, header, unfiltered_transaction_traces: traces, ..Block::default() }
}

/// A transaction that did that.
pub(crate) fn executed(db_ops: Vec<DbOp>) -> TransactionTrace {
    let receipt = TransactionReceiptHeader { status: TransactionStatus::Executed, ..Default::default() };
    TransactionTrace { receipt: Some(receipt), db_ops, ..TransactionTrace::default() }
}

/// Splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Makes blocks of operations that agree with the state before each.
struct Maker {
    random: Random,
    salt: u32,
}

#[derive(Default)]
struct Scene {
    rows: BTreeMap<RowKey, Row>,
    permissions: BTreeMap<(Name, Name), Vec<String>>,
}

const NAMES: [&str; 3] = ["eosio", "accounts", "stat"];

impl Maker {
    fn table(&mut self) -> TableKey {
        let name = |at: u64| NAMES[at as usize].parse().unwrap();
        let scope = [Name(0), Name(u64::MAX), "abc".parse().unwrap(), Name(0x44)][self.random.below(4) as usize];
        TableKey { contract: name(self.random.below(2)), table: name(1 + self.random.below(2)), scope }
    }

    fn data(&mut self, key: &RowKey) -> Bytes {
        let mut writer = Writer::new();
        if self.random.below(3) > 0 {
            let symbol = Symbol(key.primary_key << 8 | 4);
            let asset = Asset { amount: self.random.below(4) as i64, symbol };
            asset.write(&mut writer);
            asset.write(&mut writer);
            writer.name(Name(77));
        }
        writer.u8(self.random.below(2) as u8);
        writer.bytes.into()
    }

    fn row_op(&mut self, scene: &mut Scene, trace: &mut TransactionTrace) {
        let table = self.table();
        let primary_key = match self.random.below(12) {
            0 => u64::MAX,
            1 => 0,
            2 => 1 << 63,
            low => 0x40 + low,
        };
        let key = table.row(primary_key);
        let (code, scope, table_name, payer) =
            (table.contract, table.scope, table.table, Name(1 + self.random.below(2)));
        let mut op = DbOp { code, scope, table_name, primary_key: Name(primary_key), ..DbOp::default() };
        let rows = |scene: &Scene| scene.rows.range(table.row(0)..=table.row(u64::MAX)).count();
        let before = rows(scene);
        if let Some(row) = scene.rows.get(&key) {
            (op.old_payer, op.old_data) = (row.payer, row.data.clone());
            op.operation = DbOperation::Update;
        } else {
            op.operation = DbOperation::Insert;
        }
        if op.operation == DbOperation::Update && self.random.below(2) == 0 {
            op.operation = DbOperation::Remove;
            scene.rows.remove(&key);
        } else {
            (op.new_payer, op.new_data) = (payer, self.data(&key));
            scene.rows.insert(key, Row { payer: op.new_payer, data: op.new_data.clone() });
        }
        trace.db_ops.push(op);
        let operation = match (before, rows(scene)) {
            (0, 1) => TableOperation::Insert,
            (1, 0) => TableOperation::Remove,
            _ => return,
        };
        trace.table_ops.push(TableOp { operation, payer, code, scope, table_name, action_index: 0 });
    }

    fn permission_op(&mut self, scene: &mut Scene, trace: &mut TransactionTrace) {
        let place = (Name(10 + self.random.below(3)), Name(20 + self.random.below(2)));
        let mut key = || match self.random.below(5) {
            0 => PublicKey::R1([self.random.below(2) as u8; 33]).to_string(),
            1 => PublicKey::K1([3; 33]).to_prefixed_text(),
            _ => PublicKey::K1([self.random.below(4) as u8; 33]).to_string(),
        };
        let new = vec![key(), key()];
        let object = |keys: &[String]| {
            let keys = keys.iter().map(|key| KeyWeight { public_key: key.clone(), weight: 1 }).collect();
            let authority = Authority { threshold: 1, keys, ..Authority::default() };
            Some(PermissionObject { owner: place.0, name: place.1, authority, ..PermissionObject::default() })
        };
        let old_perm = scene.permissions.get(&place).and_then(|keys| object(keys));
        let removed = old_perm.is_some() && self.random.below(3) == 0;
        let operation = match (&old_perm, removed) {
            (None, _) => PermOperation::Insert,
            (_, true) => PermOperation::Remove,
            _ => PermOperation::Update,
        };
        let new_perm = if removed { None } else { object(&new) };
        if removed {
            scene.permissions.remove(&place);
        } else {
            scene.permissions.insert(place, new);
        }
        trace.perm_ops.push(PermOp { operation, action_index: 0, old_perm, new_perm });
    }

    fn link(&mut self, sequence: u64, trace: &mut TransactionTrace) {
        let eosio = Name::literal("eosio");
        let mut data = Writer::new();
        for value in [10 + self.random.below(2), 30, self.random.below(3)] {
            data.name(Name(value));
        }
        let name = if self.random.below(3) == 0 {
            Name::literal("unlinkauth")
        } else {
            data.name(Name(40 + self.random.below(2)));
            Name::literal("linkauth")
        };
        let action = Action { account: eosio, name, raw_data: data.bytes.into(), ..Action::default() };
        let receipt = ActionReceipt { global_sequence: sequence, ..ActionReceipt::default() };
        // Also what was only told to another account.
        let receiver = if self.random.below(5) == 0 { Name(9) } else { eosio };
        let trace_of = ActionTrace { receiver, action, receipt: Some(receipt), ..ActionTrace::default() };
        // Not in the order of execution.
        trace.action_traces.insert(0, trace_of);
    }

    fn transaction(&mut self, scene: &mut Scene, sequence: &mut u64) -> TransactionTrace {
        let mut trace = executed(Vec::new());
        for _ in 0..self.random.below(8) {
            match self.random.below(8) {
                0 => self.permission_op(scene, &mut trace),
                1 => {
                    *sequence += 1;
                    self.link(*sequence, &mut trace);
                }
                _ => self.row_op(scene, &mut trace),
            }
        }
        trace
    }

    fn child(&mut self, parent: &Block, state: &State, permissions: &Permissions) -> (Block, Permissions) {
        let rows = state.rows.iter().map(|(key, row)| (*key, row.row.clone())).collect();
        let mut scene = Scene { rows, permissions: permissions.clone() };
        let mut sequence = 1;
        let mut traces = Vec::new();
        for _ in 0..self.random.below(4) {
            if self.random.below(6) == 0 {
                // What failed changes nothing.
                let mut lost = Scene { rows: scene.rows.clone(), permissions: scene.permissions.clone() };
                let mut failed = self.transaction(&mut lost, &mut sequence.clone());
                failed.receipt.as_mut().unwrap().status = TransactionStatus::HardFail;
                traces.push(failed);
            }
            traces.push(self.transaction(&mut scene, &mut sequence));
        }
        self.salt += 1;
        (block(parent, self.salt, traces), scene.permissions)
    }
}

type Permissions = BTreeMap<(Name, Name), Vec<String>>;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    Extend(u8),
    /// So many blocks are undone, and others follow.
    Fork(u8, u8),
    /// What is so far below the head becomes final.
    Finalize(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..8u8).prop_map(Step::Extend),
        3 => (1..6u8, 1..6u8).prop_map(|(back, on)| Step::Fork(back, on)),
        3 => (0..12u8).prop_map(Step::Finalize),
        1 => Just(Step::Restart),
    ]
}

/// Writes of reversible blocks do not fit into so little memory.
const SMALL_OVERLAY: usize = 4 << 10;

/// After each step one height in so many is looked at, and the head.
fn run(seed: u64, removals: u64, overlay_bytes: usize, one_in: u64, steps: &[Step]) {
    let mut maker = Maker { random: Random(seed), salt: 0 };
    let mut node = Node::with_overlay(Rows { removals }, overlay_bytes);
    let mut permissions: BTreeMap<Checksum256, Permissions> = BTreeMap::new();
    let mut root = Block { number: 4, ..Block::default() };
    root.id.0[3] = 4;
    for step in steps {
        let (back, on) = match step {
            Step::Extend(on) => (0, *on),
            Step::Fork(back, on) => (*back, *on),
            Step::Finalize(below) => {
                let head = node.best.last().map_or(0, |block| block.number);
                node.finalize(head.saturating_sub(u32::from(*below)));
                (0, 0)
            }
            Step::Restart => {
                node.restart();
                (0, 0)
            }
        };
        let reversible = node.best.iter().filter(|block| block.number > node.lib()).count();
        let kept = node.best.len() - usize::from(back).min(reversible);
        let mut parent = node.best[..kept].last().map_or(root.clone(), |block| (**block).clone());
        for _ in 0..on {
            let state = node.state(parent.id).cloned().unwrap_or_default();
            let before = permissions.get(&parent.id).cloned().unwrap_or_default();
            let (block, after) = maker.child(&parent, &state, &before);
            permissions.insert(block.id, after);
            node.push(block.clone());
            parent = block;
        }
        check(&node, one_in, &mut maker.random);
    }
}

fn check(node: &Node, one_in: u64, random: &mut Random) {
    let Some(head) = node.best.last().map(|block| block.number) else { return };
    node.check_branches();
    for number in (3..head).filter(|_| random.below(one_in) == 0).chain([head]) {
        node.check_at(number);
    }
    let at = StateAt::of(node.snapshot().view().clone());
    node.head_state().check_seen(&at, &node.head_state());
    node.head_state().check_tokens(&at);
    check_changes(node, random);
}

/// Differences between two heights, and the history of every row.
fn check_changes(node: &Node, random: &mut Random) {
    let snapshot = node.snapshot();
    let pick = |random: &mut Random| &node.best[random.below(node.best.len() as u64) as usize];
    let (from, to) = (pick(random), pick(random));
    let [old, new] = [from, to].map(|block| node.state(block.id).unwrap());
    let at = |number| StateAt::at_number(&snapshot, number).unwrap().unwrap();
    for table in node.head_state().tables() {
        for direction in [Direction::Forward, Direction::Reverse] {
            let range = RowRange { direction, ..RowRange::default() };
            let found = at(from.number).difference(&at(to.number), table, range).unwrap().map(Result::unwrap);
            let mut rows: BTreeMap<u64, RowDifference> = BTreeMap::new();
            for (state, is_new) in [(old, false), (new, true)] {
                for row in state.table(table) {
                    let slot = rows.entry(row.primary_key).or_insert(RowDifference { old: None, new: None });
                    *(if is_new { &mut slot.new } else { &mut slot.old }) = Some(row);
                }
            }
            let differs = |it: &RowDifference| it.old.as_ref().map(|it| &it.row) != it.new.as_ref().map(|it| &it.row);
            let mut expected: Vec<_> = rows.into_values().filter(differs).collect();
            if direction == Direction::Reverse {
                expected.reverse();
            }
            assert_eq!(found.collect::<Vec<_>>(), expected);
        }
        let keys = node.best.iter().flat_map(|block| node.state(block.id).unwrap().table(table));
        let mut keys: Vec<_> = keys.map(|row| row.primary_key).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys.into_iter().map(|key| table.row(key)) {
            let mut changes = Vec::new();
            let mut before: Option<Row> = None;
            for block in &node.best {
                let after = node.state(block.id).unwrap().rows.get(&key).map(|row| row.row.clone());
                if before != after {
                    changes.push(RowChange { block_number: block.number, old: before, new: after.clone() });
                }
                before = after;
            }
            let (first, last) = (from.number.min(to.number), from.number.max(to.number));
            for blocks in [0..=u32::MAX, first..=last, last + 1..=last, 0..=0] {
                let mut expected: Vec<_> =
                    changes.iter().filter(|change| blocks.contains(&change.block_number)).cloned().collect();
                for direction in [Direction::Forward, Direction::Reverse] {
                    let found = row_history(snapshot.view(), &key, blocks.clone(), direction).unwrap();
                    assert_eq!(found.map(Result::unwrap).collect::<Vec<_>>(), expected);
                    expected.reverse();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_height_of_any_history(
        seed: u64,
        removals in 1..20u64,
        overlay_bytes in prop_oneof![Just(512 << 20), Just(SMALL_OVERLAY)],
        steps in vec(step(), 1..14),
    ) {
        run(seed, removals, overlay_bytes, 1, &steps);
    }
}

#[test]
fn a_long_history() {
    let steps: Vec<_> = (0..60u8)
        .map(|at| match at % 6 {
            0..=2 => Step::Extend(3),
            3 => Step::Fork(at % 5, 4),
            4 => Step::Finalize(at % 8),
            _ => Step::Restart,
        })
        .collect();
    run(42, 4, 512 << 20, 8, &steps);
    run(43, 2, SMALL_OVERLAY, 8, &steps);
}
