//! What traces of state history leave out, because it follows from the rest: the order of execution, the tree of which action
//! caused which, and the ancestors that were not notified.

use dfuse_antelope::{
    Error, Result,
    model::{ActionTrace, CreationFlatNode, TransactionTrace},
};

/// Puts actions in the order of execution, and fills in what follows from their ordinals.
///
/// # Errors
/// An action was caused by one that does not come before it.
pub(crate) fn complete(trace: &mut TransactionTrace) -> Result<()> {
    let actions = &mut trace.action_traces;
    // The wire has actions in the order in which they were scheduled, and ordinals count them.
    for (index, action) in actions.iter().enumerate() {
        if action.action_ordinal as usize != index + 1 || action.creator_action_ordinal as usize > index {
            let ordinals = (action.action_ordinal, action.creator_action_ordinal);
            return Err(Error::invalid("action trace", format!("ordinals {ordinals:?} of action {}", index + 1)));
        }
    }
    for index in 0..actions.len() {
        let creator = actions[index].creator_action_ordinal;
        actions[index].closest_unnotified_ancestor_action_ordinal = match creator.checked_sub(1) {
            None => 0,
            Some(at) if is_notification(&actions[at as usize]) => {
                actions[at as usize].closest_unnotified_ancestor_action_ordinal
            }
            Some(_) => creator,
        };
    }
    // Those that were not executed come last.
    actions.sort_by_key(|action| action.receipt.as_ref().map_or(u64::MAX, |receipt| receipt.global_sequence));
    for (index, action) in actions.iter_mut().enumerate() {
        action.execution_index = index as u32;
    }
    // Deep mind gives no tree of what failed, and how far it would have grown nobody knows.
    if trace.exception.is_none() {
        trace.creation_tree = creation_tree(actions);
    }
    Ok(())
}

fn is_notification(action: &ActionTrace) -> bool {
    action.receiver != action.action.account
}

/// The tree, depth first; children in the order in which they were scheduled.
fn creation_tree(actions: &[ActionTrace]) -> Vec<CreationFlatNode> {
    let mut by_ordinal: Vec<&ActionTrace> = actions.iter().collect();
    by_ordinal.sort_by_key(|action| action.action_ordinal);
    // By ordinal, which counts from 1: what 0 causes are the roots, and as a child it is none.
    let (mut first_child, mut next_sibling) = (vec![0; actions.len() + 1], vec![0; actions.len() + 1]);
    for action in by_ordinal.iter().rev() {
        let (ordinal, creator) = (action.action_ordinal as usize, action.creator_action_ordinal as usize);
        next_sibling[ordinal] = std::mem::replace(&mut first_child[creator], ordinal);
    }
    let mut flat = Vec::with_capacity(actions.len());
    let mut stack = vec![(first_child[0], -1)];
    while let Some((ordinal, creator_action_index)) = stack.pop() {
        let Some(action) = ordinal.checked_sub(1).map(|at| by_ordinal[at]) else { continue };
        let position = flat.len() as i32;
        flat.push(CreationFlatNode { creator_action_index, execution_action_index: action.execution_index });
        stack.push((next_sibling[ordinal], creator_action_index));
        stack.push((first_child[ordinal], position));
    }
    flat
}
