//! Which actions of a block a stream wants.

use std::{collections::BTreeSet, sync::Arc};

use dfuse_antelope::{
    Name,
    model::{ActionTrace, Block, TransactionStatus},
};
use dfuse_search::{Query, SearchIndex, passed_filter};

use super::places::Places;

/// Actions of accounts, as streams ask for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionFilter {
    /// The contracts.
    pub accounts: BTreeSet<Name>,
    /// Who executes the action; the contracts if absent.
    pub receivers: Option<BTreeSet<Name>>,
    /// The names of actions; all if absent.
    pub action_names: Option<BTreeSet<Name>>,
    /// Whether those of handlers of deferred transactions that failed are wanted, too.
    pub with_soft_fail: bool,
}

/// An action of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionItem {
    receiver: Name,
    account: Name,
    name: Name,
    /// Positions of its transaction and in the order of execution there.
    at: (usize, usize),
    soft_fail: bool,
}

/// All actions of a block that a stream can want, by receiver.
pub fn actions_of(block: &Block) -> Arc<[ActionItem]> {
    let mut items = Vec::new();
    for (position, trace) in block.transaction_traces().iter().enumerate() {
        let soft_fail = match trace.receipt.as_ref().map(|receipt| receipt.status) {
            Some(TransactionStatus::Executed) => false,
            Some(TransactionStatus::SoftFail) => true,
            _ => continue,
        };
        let passed = |(_, trace): &(usize, &ActionTrace)| passed_filter(block, trace);
        for (action, trace) in trace.action_traces.iter().enumerate().filter(passed) {
            let ActionTrace { receiver, action: ref act, .. } = *trace;
            items.push(ActionItem {
                receiver,
                account: act.account,
                name: act.name,
                at: (position, action),
                soft_fail,
            });
        }
    }
    items.sort_unstable();
    items.into()
}

impl ActionFilter {
    /// Where those of a block's actions are that are wanted: positions of the transaction and of the action there, in the order of
    /// execution.
    pub fn pick(&self, all: &[ActionItem]) -> Places {
        let items = self.receivers().iter().flat_map(|receiver| {
            let from = all.partition_point(|item| item.receiver < *receiver);
            all[from..].iter().take_while(move |item| item.receiver == *receiver)
        });
        let mut places: Vec<_> = items.filter(|item| self.lets_through(item)).map(|item| item.at).collect();
        places.sort_unstable();
        places.into()
    }

    /// What finds all of these actions, and maybe more, in a search index; absent if the index does not have all of them.
    pub fn query(&self, index: &SearchIndex) -> Option<Query> {
        let list =
            |names: &BTreeSet<Name>| names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let mut text = format!("receiver:[{}] account:[{}]", list(self.receivers()), list(&self.accounts));
        if let Some(names) = &self.action_names {
            text += &format!(" action:[{}]", list(names));
        }
        // A text that is too long is no query.
        Query::parse(&text, index.options()).ok().filter(|_| index.options().filter.passes_all())
    }

    fn receivers(&self) -> &BTreeSet<Name> {
        self.receivers.as_ref().unwrap_or(&self.accounts)
    }

    fn lets_through(&self, item: &ActionItem) -> bool {
        self.accounts.contains(&item.account)
            && self.action_names.as_ref().is_none_or(|names| names.contains(&item.name))
            && (self.with_soft_fail || !item.soft_fail)
    }
}
