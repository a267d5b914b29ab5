//! Blocks of recorded chains through filters: what stays is what plain code finds, and the state that blocks tell is the same.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use dfuse_antelope::{
    Checksum256, Name,
    abi::{Abi, AbiSerializer, Rendering},
    model::{
        ActionTrace, Block, BlockParts, DbOperation, Message, RlimitKind, TableOperation, TransactionStatus,
        TransactionTrace,
    },
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_index::{BlockContext, abi::changes};
use dfuse_search::{Filter, SYSTEM_ACTIONS};
use dfuse_testkit::recorded;
use proptest::prelude::*;
use serde_json::Value;

/// What plain code says of an action and its decoded data: whether it is included, and whether it is excluded.
type Says = fn(&ActionTrace, &dyn Fn() -> Option<Value>) -> (bool, bool);

/// Filters, each with what plain code says.
const FILTERS: [(&str, &str, Says); 7] = [
    ("account == 'eosio.token'", "", |action, _| (account(action) == "eosio.token", false)),
    ("*", "action == 'onblock'", |action, _| (true, name(action) == "onblock")),
    ("input", "receiver == 'eosio'", |action, _| (action.is_input(), receiver(action) == "eosio")),
    // Without such a field it is an error: included.
    ("data.to == 'alice' || data.to == 'bob'", "", |_, data| {
        let to = data().and_then(|data| data.get("to").cloned());
        (to.is_none_or(|to| to == "alice" || to == "bob"), false)
    }),
    // And not excluded.
    ("", "data.from > 'b'", |_, data| (true, text("from", data()).is_some_and(|from| *from > *"b"))),
    ("notif && account == 'eosio.token'", "receiver.startsWith('a')", |action, _| {
        (receiver(action) != account(action) && account(action) == "eosio.token", receiver(action).starts_with('a'))
    }),
    ("false", "", |_, _| (false, false)),
];
const SYSTEM: [&str; 6] = ["updateauth", "deleteauth", "linkauth", "unlinkauth", "newaccount", "setabi"];

fn receiver(action: &ActionTrace) -> String {
    action.receiver.to_string()
}

fn account(action: &ActionTrace) -> String {
    action.action.account.to_string()
}

fn name(action: &ActionTrace) -> String {
    action.action.name.to_string()
}

fn text(field: &str, data: Option<Value>) -> Option<String> {
    data?.get(field)?.as_str().map(str::to_owned)
}

fn is_system(action: &ActionTrace) -> bool {
    receiver(action) == "eosio" && SYSTEM.contains(&&*name(action))
}

/// Whether later state cannot be told without the transaction.
fn is_needed(trace: &TransactionTrace) -> bool {
    let names = ["setabi", "setcode", "setpriv", "updateauth", "deleteauth", "linkauth", "unlinkauth"];
    let native = |action: &ActionTrace| {
        receiver(action) == "eosio" && account(action) == "eosio" && names.contains(&&*name(action))
    };
    !trace.is_reverted() && (!trace.perm_ops.is_empty() || trace.action_traces.iter().any(native))
}

/// The state that the operations of blocks make: rows, tables, RAM and limits.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    rows: BTreeMap<[Name; 4], (Name, Bytes)>,
    tables: BTreeMap<[Name; 3], Name>,
    ram: BTreeMap<Name, u64>,
    limits: BTreeMap<Name, [i64; 3]>,
}

impl State {
    fn take(&mut self, block: &Block) {
        for op in block.row_operations().filter(|op| op.operation != DbOperation::Unknown) {
            let key = [op.code, op.scope, op.table_name, op.primary_key];
            match op.operation {
                DbOperation::Remove => drop(self.rows.remove(&key)),
                _ => drop(self.rows.insert(key, (op.new_payer, op.new_data.clone()))),
            }
        }
        for op in block.table_operations() {
            let key = [op.code, op.scope, op.table_name];
            match op.operation {
                TableOperation::Remove => drop(self.tables.remove(&key)),
                _ => drop(self.tables.insert(key, op.payer)),
            }
        }
        self.ram.extend(block.ram_operations().map(|op| (op.payer, op.usage)));
        for op in block.account_resource_operations() {
            if let Some(RlimitKind::AccountLimits(it)) = &op.kind {
                self.limits.insert(it.owner, [it.net_weight, it.cpu_weight, it.ram_bytes]);
            }
        }
    }
}

/// Packed ABIs after a block.
type Abis = HashMap<Name, Bytes>;

/// The blocks of a log, forked ones too, each with the ABIs before it.
fn blocks(chain: &str) -> Option<Vec<(Block, Abis)>> {
    let mut reader = Reader::new(recorded::open(&format!("{chain}/{chain}.dmlog.zst"))?);
    let (mut after, mut blocks) = (HashMap::<Checksum256, Abis>::new(), vec![]);
    let mut dumped = Abis::new();
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::AbiDump(dump) => dumped.extend(dump.abis.iter().cloned()),
            Event::Block(block) => {
                let before = after.get(&block.header.previous).unwrap_or(&dumped).clone();
                let mut own = before.clone();
                let mut set = changes(&BlockContext::new(&block));
                set.sort_by_key(|(_, record)| record.global_sequence);
                own.extend(set.into_iter().map(|(account, record)| (account, record.abi)));
                after.insert(block.id, own);
                blocks.push((Block::clone(&block), before));
            }
            Event::SwitchFork { .. } => {}
        }
    }
    Some(blocks)
}

/// The ABI at an action of the block.
fn abi_at(block: &Block, before: &Abis, account: Name, sequence: u64) -> Option<Arc<AbiSerializer>> {
    let own = changes(&BlockContext::new(block)).into_iter();
    let own = own.filter(|(of, record)| *of == account && record.global_sequence < sequence);
    let own = own.max_by_key(|(_, record)| record.global_sequence).map(|(_, record)| record.abi);
    let packed = own.or_else(|| before.get(&account).cloned()).filter(|abi| !abi.is_empty())?;
    thread_local! {
        static PARSED: RefCell<HashMap<Bytes, Option<Arc<AbiSerializer>>>> = RefCell::default();
    }
    let parse = |packed: &Bytes| Abi::from_bytes(packed).ok().map(|abi| Arc::new(AbiSerializer::new(&abi)));
    PARSED.with_borrow_mut(|parsed| parsed.entry(packed.clone()).or_insert_with(|| parse(&packed)).clone())
}

fn data(block: &Block, before: &Abis, action: &ActionTrace, failed_at: u64) -> Option<Value> {
    let sequence = action.receipt.as_ref().map_or(failed_at, |receipt| receipt.global_sequence);
    let abi = abi_at(block, before, action.action.account, sequence)?;
    let mut json = vec![];
    let kind = abi.action(action.action.name).ok()?;
    kind.decode(&action.action.raw_data, Rendering::Fit, 4 << 20, &mut json).ok()?;
    serde_json::from_slice::<Value>(&json).ok().filter(Value::is_object)
}

fn apply(filter: &Filter, block: &Block, before: &Abis) -> (Block, bool) {
    let mut filtered = block.clone();
    let mut abi = |account, sequence| Ok(abi_at(block, before, account, sequence));
    let is_filtered = filter.apply(&mut filtered, &mut abi).unwrap();
    (filtered, is_filtered)
}

/// How each action passes: by the filter, or as a system action only.
fn passes(block: &Block, before: &Abis, trace: &TransactionTrace, failed_at: u64, says: Says) -> Vec<(bool, bool)> {
    let failed = trace.failed_dtrx_trace.iter().flat_map(|failed| &failed.action_traces);
    let of_one = |action: &ActionTrace| {
        let (included, excluded) = says(action, &|| data(block, before, action, failed_at));
        let passes = included && !excluded;
        (passes, !passes && is_system(action))
    };
    trace.action_traces.iter().chain(failed).map(of_one).collect()
}

fn check(block: &Block, before: &Abis, filtered: &Block, says: Says) {
    let mut next = block.transaction_traces().iter().filter_map(dfuse_index::global_sequences);
    let mut failed_at = next.next().map_or(u64::MAX, |own| *own.start());
    let mut kept = vec![];
    let mut left_out = vec![];
    for trace in &block.unfiltered_transaction_traces {
        let passes = passes(block, before, trace, failed_at, says);
        if let Some(own) = dfuse_index::global_sequences(trace) {
            failed_at = failed_at.max(own.end() + 1);
        }
        if !passes.iter().any(|(passes, system)| *passes || *system) && !is_needed(trace) {
            left_out.push(trace);
            continue;
        }
        let mut trace = trace.clone();
        let failed = trace.failed_dtrx_trace.iter_mut().flat_map(|failed| &mut failed.action_traces);
        for (action, (passes, system)) in trace.action_traces.iter_mut().chain(failed).zip(passes) {
            (action.filtering_matched, action.filtering_matched_system_action_filter) = (passes || system, system);
        }
        kept.push(trace);
    }
    assert_eq!(filtered.filtered_transaction_traces, kept, "{}", block.number);
    let ids: Vec<_> = filtered.left_out.iter().map(|it| it.id).collect();
    assert_eq!(ids, left_out.iter().map(|trace| trace.id.0).collect::<Vec<_>>());
    let is_kept = |id: &Checksum256| {
        kept.iter().any(|trace| trace.id == *id)
            || !block.unfiltered_transaction_traces.iter().any(|trace| trace.id == *id)
    };
    let receipts: Vec<_> = block.unfiltered_transactions.iter().filter(|it| is_kept(&it.id)).cloned().collect();
    assert_eq!(filtered.filtered_transactions, receipts);
    // Each trace of the chain itself has its operation, as before.
    let implicit = |block: &Block| block.implicit_transaction_ops().len();
    let of_chain = |traces: &[TransactionTrace]| {
        let of_chain = traces.iter().filter(|trace| {
            let first = trace.action_traces.first();
            first.is_some_and(|action| account(action) == "eosio" && ["onblock", "onerror"].contains(&&*name(action)))
        });
        of_chain.count()
    };
    assert_eq!(implicit(block) - implicit(filtered), of_chain(block.transaction_traces()) - of_chain(&kept));
    let matched = || kept.iter().flat_map(|trace| &trace.action_traces).filter(|action| action.filtering_matched);
    let counts = [
        filtered.filtered_transaction_count,
        filtered.filtered_transaction_trace_count,
        filtered.filtered_executed_total_action_count,
        filtered.filtered_executed_input_action_count,
    ];
    let inputs = matched().filter(|action| action.is_input()).count();
    assert_eq!(counts.map(|count| count as usize), [receipts.len(), kept.len(), matched().count(), inputs]);
    assert_eq!(filtered.unfiltered_transaction_count, block.unfiltered_transaction_count);
    assert_eq!(filtered.unfiltered_executed_total_action_count, block.unfiltered_executed_total_action_count);
    assert!(filtered.filtering_applied && filtered.unfiltered_transaction_traces.is_empty());
    assert!(!filtered.lacks_changes() && (&filtered.header, filtered.id) == (&block.header, block.id));
}

/// Every filter over every block of a chain.
fn compare(chain: &str, filters: &[(&str, &str, Says)]) {
    let Some(blocks) = blocks(chain) else { return };
    for (include, exclude, says) in filters {
        let filter = Filter::new(include, exclude, SYSTEM_ACTIONS).unwrap();
        let (mut whole, mut part) = (HashMap::<Checksum256, State>::new(), HashMap::<Checksum256, State>::new());
        let (mut kept, mut left_out) = (0, 0);
        for (block, before) in &blocks {
            let (filtered, is_filtered) = apply(&filter, block, before);
            assert!(is_filtered);
            check(block, before, &filtered, *says);
            (kept, left_out) = (kept + filtered.filtered_transaction_traces.len(), left_out + filtered.left_out.len());
            for (states, block) in [(&mut whole, block), (&mut part, &filtered)] {
                let mut state = states.get(&block.header.previous).cloned().unwrap_or_default();
                state.take(block);
                states.insert(block.id, state);
            }
            assert_eq!(whole[&block.id], part[&block.id], "state after {} with {include} {exclude}", block.number);
            // What is stored is what was made, and the same filter does nothing to it.
            let read = BlockParts::locate(filtered.to_bytes()).unwrap();
            assert_eq!(read.decode().unwrap(), filtered);
            assert_eq!(read.frame().unwrap().left_out, filtered.left_out);
            let again = apply(&filter, &filtered, before);
            assert_eq!(again, (filtered, false));
        }
        assert!(left_out > 0, "{include} {exclude}: {kept}");
    }
}

#[test]
fn small() {
    compare("small", &FILTERS);
}

#[test]
fn forks() {
    compare("fork", &FILTERS);
}

#[test]
fn busy() {
    compare("busy", &FILTERS[..1]);
}

#[test]
fn one_filter_after_another() {
    let Some(blocks) = blocks("small") else { return };
    let first = Filter::new("", "action == 'onblock'", "").unwrap();
    let second = Filter::new("account == 'eosio.token'", "action == 'onblock'", "").unwrap();
    let (mut whole, mut part) = (State::default(), State::default());
    for (block, before) in &blocks {
        let (once, _) = apply(&first, block, before);
        let (twice, is_filtered) = apply(&second, &once, before);
        assert!(is_filtered);
        let (direct, _) = apply(&second, block, before);
        assert_eq!(twice.filtered_transaction_traces, direct.filtered_transaction_traces);
        assert_eq!(twice.filtered_transactions, direct.filtered_transactions);
        let ids = |block: &Block| block.left_out.iter().map(|it| it.id).collect::<BTreeSet<_>>();
        assert_eq!(ids(&twice), ids(&direct));
        assert_eq!(twice.filtering_include_filter_expr, "account == 'eosio.token'");
        assert_eq!(twice.filtering_exclude_filter_expr, "action == 'onblock'");
        whole.take(block);
        part.take(&twice);
        assert_eq!(whole, part, "{}", block.number);
    }
}

#[test]
fn what_other_programs_left_out_is_not_made_up() {
    let Some(blocks) = blocks("small") else { return };
    let filter = Filter::new("account == 'eosio.token'", "", "").unwrap();
    let (block, before) = blocks.iter().find(|(block, _)| block.unfiltered_transaction_traces.len() > 3).unwrap();
    let (mut theirs, _) = apply(&Filter::new("input", "action == 'onblock'", "").unwrap(), block, before);
    (theirs.state_history, theirs.left_out) = (None, vec![]);
    assert!(theirs.lacks_changes());
    let (ours, is_filtered) = apply(&filter, &theirs, before);
    assert!(is_filtered && ours.lacks_changes() && ours.state_history.is_none());
    assert_eq!(ours.filtering_include_filter_expr, "input;;;account == 'eosio.token'");
}

#[test]
fn outcomes_are_told() {
    let Some(blocks) = blocks("small") else { return };
    let filter = Filter::new("false", "", "").unwrap();
    let mut statuses = BTreeMap::<TransactionStatus, usize>::new();
    for (block, before) in &blocks {
        let (filtered, _) = apply(&filter, block, before);
        for left_out in &filtered.left_out {
            *statuses.entry(left_out.status).or_default() += 1;
        }
    }
    use TransactionStatus::{Delayed, Executed, Expired, HardFail, SoftFail};
    for status in [Executed, Delayed, SoftFail, HardFail, Expired] {
        assert!(statuses[&status] > 0, "{statuses:?}");
    }
}

/// An expression over facts that plain code knows, too.
#[derive(Debug, Clone)]
enum Expression {
    Is(&'static str, &'static str),
    Flag(&'static str),
    AtMost(u64),
    Authorized(&'static str),
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

impl Expression {
    fn text(&self) -> String {
        let joined = |parts: &[Self], sign: &str| {
            let parts: Vec<_> = parts.iter().map(|part| format!("({})", part.text())).collect();
            parts.join(sign)
        };
        match self {
            Self::Is(field, value) => format!("{field} == '{value}'"),
            Self::Flag(name) => (*name).to_owned(),
            Self::AtMost(number) => format!("execution_index <= {number}u"),
            Self::Authorized(actor) => format!("'{actor}' in auth"),
            Self::Not(inner) => format!("!({})", inner.text()),
            Self::All(parts) => joined(parts, " && "),
            Self::Any(parts) => joined(parts, " || "),
        }
    }

    fn holds(&self, action: &ActionTrace) -> bool {
        match self {
            Self::Is("receiver", value) => receiver(action) == *value,
            Self::Is("account", value) => account(action) == *value,
            Self::Is(_, value) => name(action) == *value,
            Self::Flag("input") => action.is_input(),
            Self::Flag(_) => receiver(action) != account(action),
            Self::AtMost(number) => u64::from(action.execution_index) <= *number,
            Self::Authorized(actor) => action.action.authorization.iter().any(|it| it.actor.to_string() == *actor),
            Self::Not(inner) => !inner.holds(action),
            Self::All(parts) => parts.iter().all(|part| part.holds(action)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(action)),
        }
    }
}

fn expressions() -> impl Strategy<Value = Expression> {
    let name = prop::sample::select(vec!["eosio", "eosio.token", "alice", "bob", "carol"]);
    let leaf = prop_oneof![
        (prop::sample::select(vec!["receiver", "account"]), name.clone())
            .prop_map(|(field, it)| Expression::Is(field, it)),
        prop::sample::select(vec!["onblock", "transfer", "issue", "newaccount"])
            .prop_map(|it| Expression::Is("action", it)),
        prop::sample::select(vec!["input", "notif"]).prop_map(Expression::Flag),
        (0..4_u64).prop_map(Expression::AtMost),
        name.prop_map(Expression::Authorized),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|it| Expression::Not(Box::new(it))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expression::All),
            prop::collection::vec(inner, 1..4).prop_map(Expression::Any),
        ]
    })
}

#[test]
fn any_expression_says_what_plain_code_says() {
    let Some(blocks) = blocks("small") else { return };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(60));
    let all = (expressions(), expressions(), expressions(), 0..blocks.len());
    let test = |(include, exclude, system, from): (Expression, Expression, Expression, usize)| {
        let filter = Filter::new(&include.text(), &exclude.text(), &system.text()).unwrap();
        for (block, before) in blocks[from..].iter().take(40) {
            let (filtered, _) = apply(&filter, block, before);
            let wanted = block.unfiltered_transaction_traces.iter().filter(|trace| {
                let failed = trace.failed_dtrx_trace.iter().flat_map(|failed| &failed.action_traces);
                let mut actions = trace.action_traces.iter().chain(failed);
                let passes = |it| include.holds(it) && !exclude.holds(it) || system.holds(it);
                is_needed(trace) || actions.any(passes)
            });
            let found: Vec<_> = filtered.filtered_transaction_traces.iter().map(|trace| trace.id).collect();
            prop_assert_eq!(found, wanted.map(|trace| trace.id).collect::<Vec<_>>());
        }
        Ok(())
    };
    runner.run(&all, test).unwrap();
}
