//! JSON that other programs write into blocks beside the packed data.

use super::{Action, Block, SignedTransaction, TransactionTrace};

impl Block {
    /// Empties the JSON of actions, return values and rows: it follows from the packed data and the ABIs, and what another
    /// program made of these is not taken over. Tells whether there was any.
    pub fn drop_json(&mut self) -> bool {
        let mut found = false;
        for trace in self.unfiltered_transaction_traces.iter_mut().chain(&mut self.filtered_transaction_traces) {
            found |= of_trace(trace);
        }
        let implicit =
            self.unfiltered_implicit_transaction_ops.iter_mut().chain(&mut self.filtered_implicit_transaction_ops);
        for transaction in implicit.filter_map(|op| op.transaction.as_mut()) {
            found |= of_transaction(transaction);
        }
        found
    }
}

fn of_trace(trace: &mut TransactionTrace) -> bool {
    let mut found = false;
    for action in &mut trace.action_traces {
        found |= of_action(&mut action.action) | emptied(&mut action.json_return_value);
    }
    for op in &mut trace.db_ops {
        found |= emptied(&mut op.old_data_json) | emptied(&mut op.new_data_json);
    }
    for transaction in trace.dtrx_ops.iter_mut().filter_map(|op| op.transaction.as_mut()) {
        found |= of_transaction(transaction);
    }
    if let Some(failed) = &mut trace.failed_dtrx_trace {
        found |= of_trace(failed);
    }
    found
}

fn of_transaction(signed: &mut SignedTransaction) -> bool {
    let transaction = &mut signed.transaction;
    let actions = transaction.context_free_actions.iter_mut().chain(&mut transaction.actions);
    actions.fold(false, |found, action| found | of_action(action))
}

fn of_action(action: &mut Action) -> bool {
    emptied(&mut action.json_data)
}

fn emptied(text: &mut String) -> bool {
    !std::mem::take(text).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ActionTrace, DbOp, DtrxOp, Transaction, TrxOp};

    fn json() -> String {
        "{}".to_owned()
    }

    fn action() -> Action {
        Action { json_data: json(), ..Action::default() }
    }

    fn transaction() -> SignedTransaction {
        let transaction =
            Transaction { actions: vec![action()], context_free_actions: vec![action()], ..Default::default() };
        SignedTransaction { transaction, ..Default::default() }
    }

    fn trace() -> TransactionTrace {
        TransactionTrace {
            action_traces: vec![ActionTrace { action: action(), json_return_value: json(), ..Default::default() }],
            db_ops: vec![DbOp { old_data_json: json(), new_data_json: json(), ..Default::default() }],
            dtrx_ops: vec![DtrxOp { transaction: Some(Box::new(transaction())), ..Default::default() }],
            ..Default::default()
        }
    }

    #[test]
    fn json_goes_wherever_it_is() {
        let failed = TransactionTrace { failed_dtrx_trace: Some(Box::new(trace())), ..Default::default() };
        let implicit = TrxOp { transaction: Some(transaction()), ..Default::default() };
        let mut block = Block {
            unfiltered_transaction_traces: vec![trace(), failed],
            unfiltered_implicit_transaction_ops: vec![implicit],
            ..Default::default()
        };
        assert!(block.drop_json());
        let shown = serde_json::to_string(&block).unwrap();
        assert!(!shown.contains("\"{}\""), "{shown}");
        assert!(!block.drop_json(), "nothing is left");
    }
}
