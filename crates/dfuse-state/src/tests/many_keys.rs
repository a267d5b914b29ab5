//! A table that has lost far more rows than it has.

use dfuse_antelope::{
    Name,
    model::{Block, DbOp, DbOperation},
};

use super::{
    histories::{block, executed},
    node::Node,
};
use crate::{ROW_KEYS, Rows, TableKey, rows::Limits};

/// Keys spread over the whole range, so that new ones are not the highest.
fn key(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn queue(parent: &Block, new: u64, lives: u64) -> Block {
    let number = u64::from(parent.number) + 1;
    let op = |operation, primary_key: u64| DbOp {
        operation,
        code: Name(1),
        table_name: Name(2),
        scope: Name(3),
        primary_key: Name(primary_key),
        old_payer: Name(5),
        new_payer: Name(5),
        old_data: vec![7].into(),
        new_data: vec![7].into(),
        ..DbOp::default()
    };
    let inserted = (number * new..(number + 1) * new).map(|it| op(DbOperation::Insert, key(it)));
    let removed =
        number.checked_sub(lives).map(|old| (old * new..(old + 1) * new).map(|it| op(DbOperation::Remove, key(it))));
    let operations = inserted.chain(removed.into_iter().flatten().filter(|_| number >= lives + 2)).collect();
    block(parent, number as u32, vec![executed(operations)])
}

#[test]
fn tables_cost_what_they_have() {
    let mut node = Node::new(Rows::default());
    let mut parent = Block { number: 1, ..Block::default() };
    parent.id.0[3] = 1;
    for _ in 0..60 {
        let next = queue(&parent, 300, 8);
        parent = next.clone();
        node.push(next);
        node.finalize(parent.number.saturating_sub(20));
    }
    let table = TableKey { contract: Name(1), table: Name(2), scope: Name(3) };
    let view = node.snapshot().view().clone();
    let lists = view.scan(ROW_KEYS, &dfuse_kv::KeyRange::all(), dfuse_kv::Direction::Forward).unwrap().count();
    // Some fifteen thousand removals, a list at every two or four thousand, three entries each.
    assert!((9..30).contains(&lists), "{lists}");
    for number in (1..=61).step_by(6) {
        node.check_at(number);
    }
    let at = crate::StateAt::below(view, 50);
    let mut rows = at.rows(table, crate::RowRange::default()).unwrap();
    rows.limits = Limits { passed: 10, passed_per_row: 1, held: 100 };
    assert_eq!(rows.map(Result::unwrap).count(), 2400);
}
