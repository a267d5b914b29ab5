//! Rows and tables of contracts, and permissions: changes to operations.

use dfuse_antelope::{
    Name,
    model::{
        Authority, Block, DbOp, DbOperation, KeyWeight, PermOp, PermOperation, PermissionLevelWeight, PermissionObject,
        StateHistory, TableOp, TableOperation, TransactionTrace, WaitWeight,
    },
};

use super::{
    authors::{Authors, Place},
    known::Change,
};
use crate::{
    deltas::StateRow,
    state::{ContractRow, Permission, Table},
};

/// Puts an operation into the trace of its action, or else among the changes of the block.
fn attach<T>(
    block: &mut Block,
    place: Option<Place>,
    mut op: T,
    of_trace: fn(&mut TransactionTrace) -> &mut Vec<T>,
    of_block: fn(&mut StateHistory) -> &mut Vec<T>,
    set_action: fn(&mut T, u32),
) {
    match place {
        Some((position, action)) => {
            set_action(&mut op, action);
            of_trace(&mut block.unfiltered_transaction_traces[position]).push(op);
        }
        None => of_block(block.state_history.get_or_insert_default()).push(op),
    }
}

pub(super) fn add(block: &mut Block, authors: &Authors, change: &Change) {
    match (&change.before, &change.after) {
        (Some(StateRow::Contract(row)), _) | (None, Some(StateRow::Contract(row))) => {
            let op = row_operation(row, contract(&change.before), contract(&change.after));
            let place = authors.of_contract(row.code);
            attach(block, place, op, |trace| &mut trace.db_ops, |it| &mut it.db_ops, |op, at| op.action_index = at);
        }
        (Some(StateRow::Table(table)), None) | (None, Some(StateRow::Table(table))) => {
            let op = table_operation(table, change.after.is_some());
            let place = authors.of_contract(table.code);
            let set_action = |op: &mut TableOp, at| op.action_index = at;
            attach(block, place, op, |trace| &mut trace.table_ops, |it| &mut it.table_ops, set_action);
        }
        (Some(StateRow::Permission(permission)), _) | (None, Some(StateRow::Permission(permission))) => {
            let place = authors.of_permission(permission.owner, permission.name);
            let op = permission_operation(&change.before, &change.after);
            let set_action = |op: &mut PermOp, at| op.action_index = at;
            attach(block, place, op, |trace| &mut trace.perm_ops, |it| &mut it.perm_ops, set_action);
        }
        _ => {}
    }
}

/// The producers, if the change is of the permission that names them.
pub(super) fn producers(change: &Change) -> Option<Vec<Name>> {
    match &change.after {
        Some(StateRow::Permission(permission)) => permission.producers(),
        _ => None,
    }
}

fn contract(row: &Option<StateRow>) -> Option<&ContractRow> {
    match row {
        Some(StateRow::Contract(row)) => Some(row),
        _ => None,
    }
}

fn row_operation(row: &ContractRow, before: Option<&ContractRow>, after: Option<&ContractRow>) -> DbOp {
    let operation = match (before, after) {
        (None, _) => DbOperation::Insert,
        (Some(_), Some(_)) => DbOperation::Update,
        (Some(_), None) => DbOperation::Remove,
    };
    let payer = |row: Option<&ContractRow>| row.map(|row| row.payer).unwrap_or_default();
    let value = |row: Option<&ContractRow>| row.map(|row| row.value.clone()).unwrap_or_default();
    DbOp {
        operation,
        code: row.code,
        scope: row.scope,
        table_name: row.table,
        primary_key: Name(row.primary_key),
        old_payer: payer(before),
        new_payer: payer(after),
        old_data: value(before),
        new_data: value(after),
        ..DbOp::default()
    }
}

fn table_operation(table: &Table, is_new: bool) -> TableOp {
    TableOp {
        operation: if is_new { TableOperation::Insert } else { TableOperation::Remove },
        payer: table.payer,
        code: table.code,
        scope: table.scope,
        table_name: table.table,
        ..TableOp::default()
    }
}

fn permission_operation(before: &Option<StateRow>, after: &Option<StateRow>) -> PermOp {
    let operation = match (before, after) {
        (None, _) => PermOperation::Insert,
        (Some(_), Some(_)) => PermOperation::Update,
        (Some(_), None) => PermOperation::Remove,
    };
    let object = |row: &Option<StateRow>| match row {
        Some(StateRow::Permission(permission)) => Some(permission_object(permission)),
        _ => None,
    };
    PermOp { operation, old_perm: object(before), new_perm: object(after), ..PermOp::default() }
}

/// A permission as blocks have it. It has the name of its parent in place of numbers.
fn permission_object(permission: &Permission) -> PermissionObject {
    let authority = &permission.authority;
    let keys = authority.keys.iter();
    let accounts = authority.accounts.iter();
    let waits = authority.waits.iter();
    PermissionObject {
        owner: permission.owner,
        name: permission.name,
        last_updated: permission.last_updated,
        authority: Authority {
            threshold: authority.threshold,
            keys: keys
                .map(|(key, weight)| KeyWeight { public_key: key.to_string(), weight: (*weight).into() })
                .collect(),
            accounts: accounts
                .map(|(level, weight)| PermissionLevelWeight { permission: level.clone(), weight: (*weight).into() })
                .collect(),
            waits: waits
                .map(|(wait_sec, weight)| WaitWeight { wait_sec: *wait_sec, weight: (*weight).into() })
                .collect(),
        },
        id: 0,
        parent_id: 0,
        parent: permission.parent,
    }
}
