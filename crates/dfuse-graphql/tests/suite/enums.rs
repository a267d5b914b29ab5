//! Each value of each enum occurs: in recorded chains where they have it, else in blocks that are built.

use dfuse_antelope::{
    Checksum, Checksum256,
    model::{
        ActionTrace, Block, DbOp, DbOperation, DtrxOp, DtrxOperation, RamAction, RamNamespace, RamOp, RamOperation,
        TableOp, TableOperation, TransactionReceiptHeader, TransactionStatus, TransactionTrace,
    },
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::recorded;
use serde_json::{Value, json};

use crate::{
    fields::Walk,
    support::{TestChain, request},
};

const LOG: &str = "small/small.dmlog.zst";
/// The last block that is taken as it is.
const TAKEN: usize = 150;

/// The answer to a document, which must be no error.
async fn data(chain: &TestChain, document: &str, variables: Value) -> Value {
    let answer = chain.answer(request(document, variables)).await;
    assert!(answer["errors"].is_null(), "{document}: {answer}");
    answer["data"].clone()
}

fn id(number: u32, salt: u8) -> Checksum256 {
    let mut id = Checksum([salt; 32]);
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    id
}

/// One that ended so, with an action that has these operations.
fn built(block: &Block, salt: u8, status: TransactionStatus) -> TransactionTrace {
    let action = ActionTrace {
        action_ordinal: 1,
        receiver: "alice".parse().unwrap(),
        transaction_id: id(0x7fff_0000, salt),
        ..ActionTrace::default()
    };
    TransactionTrace {
        id: id(0x7fff_0000, salt),
        block_num: block.number.into(),
        producer_block_id: Some(block.id),
        receipt: Some(TransactionReceiptHeader { status, ..TransactionReceiptHeader::default() }),
        action_traces: vec![action],
        ..TransactionTrace::default()
    }
}

/// Every way to name what happened to RAM.
fn ram_ops() -> Vec<RamOp> {
    use {RamAction as A, RamNamespace as N, RamOperation as O};
    let of = |namespace, action| RamOp { namespace, action, operation: O::Deprecated, ..RamOp::default() };
    let families = [
        N::Unknown,
        N::Abi,
        N::Account,
        N::Auth,
        N::AuthLink,
        N::Code,
        N::DeferredTrx,
        N::SecondaryIndex,
        N::Table,
        N::TableRow,
    ];
    let actions = [A::Unknown, A::Add, A::Cancel, A::Correction, A::Push, A::Remove, A::Update];
    let newer = families.into_iter().flat_map(|family| actions.into_iter().map(move |action| of(family, action)));
    let older = [
        O::Unknown,
        O::PrimaryIndexUpdateAddNewPayer,
        O::PrimaryIndexUpdateRemoveOldPayer,
        O::SecondaryIndexUpdateAddNewPayer,
        O::SecondaryIndexUpdateRemoveOldPayer,
    ];
    newer.chain(older.map(|operation| RamOp { operation, ..RamOp::default() })).collect()
}

/// A block in the place of the next one, with what no recorded chain has.
fn unusual(mut block: Block) -> Block {
    let statuses = [
        TransactionStatus::None,
        TransactionStatus::Executed,
        TransactionStatus::Unknown,
        TransactionStatus::Canceled,
        TransactionStatus::HardFail,
    ];
    for (salt, status) in (1..).zip(statuses) {
        let mut trace = built(&block, salt, status);
        trace.index = block.unfiltered_transaction_traces.len() as u64;
        if status == TransactionStatus::Executed {
            // Created in another order than that of their execution.
            for (at, action_ordinal) in [(1, 3), (2, 2)] {
                let mut action = trace.action_traces[0].clone();
                (action.action_ordinal, action.creator_action_ordinal, action.execution_index) =
                    (action_ordinal, 1, at);
                trace.action_traces.push(action);
            }
            trace.ram_ops = ram_ops();
            trace.table_ops = [TableOperation::Unknown, TableOperation::Insert, TableOperation::Remove]
                .map(|operation| TableOp { operation, ..TableOp::default() })
                .into();
            trace.db_ops = vec![DbOp { operation: DbOperation::Unknown, ..DbOp::default() }];
            trace.dtrx_ops = [DtrxOperation::Unknown, DtrxOperation::Failed]
                .map(|operation| DtrxOp { operation, ..DtrxOp::default() })
                .into();
        }
        block.unfiltered_transaction_traces.push(trace);
        block.unfiltered_transaction_trace_count += 1;
    }
    block
}

/// What is in answers.
async fn outputs(walk: &mut Walk) {
    let blocks = {
        let mut reader = Reader::new(recorded::open(LOG).unwrap());
        let mut blocks = Vec::new();
        while let Some(event) = reader.next_event().unwrap() {
            if let Event::Block(block) = event {
                blocks.push(*block);
            }
        }
        blocks
    };
    let mut chain = TestChain::new(Box::new(recorded::open(LOG).unwrap())).await;
    assert_eq!(chain.grow(TAKEN).await, TAKEN);
    let next = unusual(blocks[TAKEN].clone());
    let lifecycle = "query($id: String!){transactionLifecycle(id: $id){status createdBy{op{operation}} \
        canceledBy{op{operation}} trace{status receipt{status} executedActions{ramOps{operation family action} \
        dtrxOps{operation} tableOps{operation} dbOps{operation}}}}}";
    // In a block that loses against another one of the same height, which goes on.
    let mut lost = blocks[TAKEN].clone();
    lost.id.0[31] ^= 1;
    let pending = blocks[TAKEN + 2..].iter().flat_map(|block| {
        let receipts = block.transactions().iter();
        receipts.filter(|receipt| receipt.packed_transaction.is_some()).map(move |receipt| (block.number, receipt))
    });
    let (home, receipt) = pending.last().unwrap();
    let trace = blocks.iter().find(|block| block.number == home).unwrap().transaction_traces();
    let trace = trace.iter().find(|trace| trace.id == receipt.id).unwrap().clone();
    lost.unfiltered_transactions.push(receipt.clone());
    lost.unfiltered_transaction_count += 1;
    let index = lost.unfiltered_transaction_traces.len() as u64;
    lost.unfiltered_transaction_traces.push(TransactionTrace { index, ..trace });
    lost.unfiltered_transaction_trace_count += 1;
    let waiting = receipt.id.to_string();
    chain.push(lost).await;
    let unusual_ids: Vec<_> = next.transaction_traces().iter().map(|trace| trace.id.to_string()).collect();
    chain.push(next).await;
    chain.push(blocks[TAKEN + 1].clone()).await;
    let answer = data(&chain, lifecycle, json!({"id": waiting})).await;
    assert_eq!(answer["transactionLifecycle"]["status"], "PENDING", "{answer}");
    walk.see("Query", &answer);
    for id in unusual_ids {
        walk.see("Query", &data(&chain, lifecycle, json!({"id": id})).await);
    }
    let created = "query($id: String!, $value: ACTION_SORT_ORDER!){transactionLifecycle(id: $id){trace{topLevelActions{\
        createdActions(sort: $value){executionIndex}}}}}";
    let id = json!({"id": id(0x7fff_0000, 2).to_string()});
    each(&chain, walk, "ACTION_SORT_ORDER", &["EXECUTION", "CREATION"], created, &id).await;
    let taken = blocks[..=TAKEN].iter();
    for trace in taken.flat_map(|block| block.transaction_traces()) {
        let answer = chain.answer(request(lifecycle, json!({"id": trace.id.to_string()}))).await;
        if answer["errors"].is_null() {
            walk.see("Query", &answer["data"]);
        }
    }
    // A transaction that is told of before it is in a block, and one that was cancelled.
    for block in &blocks {
        for op in block.transaction_traces().iter().flat_map(|trace| &trace.dtrx_ops) {
            let answer = chain.answer(request(lifecycle, json!({"id": op.transaction_id.to_string()}))).await;
            if answer["errors"].is_null() {
                walk.see("Query", &answer["data"]);
            }
        }
    }
}

/// Asks once with each value, and expects answers that are not all the same.
async fn each(chain: &TestChain, walk: &mut Walk, kind: &str, values: &[&str], document: &str, variables: &Value) {
    let mut answers = Vec::new();
    for value in values {
        let mut variables = variables.clone();
        variables["value"] = json!(value);
        answers.push(data(chain, document, variables).await);
        walk.mark(kind, value);
    }
    answers.dedup();
    assert_eq!(answers.len(), values.len(), "{kind}: {answers:#?}");
}

/// What is in requests.
async fn inputs(chain: &TestChain, walk: &mut Walk) {
    let time = data(chain, "{block(num: 100){header{timestamp}}}", json!({})).await;
    let time = json!({"time": time["block"]["header"]["timestamp"]});
    let compared = "query($value: COMPARATOR!, $time: Time!){blockIDByTime(time: $time, comparator: $value){num}}";
    each(chain, walk, "COMPARATOR", &["GT", "EQ", "LT"], compared, &time).await;
    each(chain, walk, "COMPARATOR", &["GTE", "LT"], compared, &time).await;
    each(chain, walk, "COMPARATOR", &["LTE", "GT"], compared, &time).await;
    for (kind, by_number, field) in [
        ("TOKENS_SORT_FIELD", "HOLDERS", "tokens(sortOrder: ASC, sortField: $value)"),
        (
            "ACCOUNT_BALANCES_SORT_FIELD",
            "AMOUNT",
            "accountBalances(account: \"alice\", sortOrder: ASC, sortField: $value)",
        ),
        (
            "TOKEN_BALANCES_SORT_FIELD",
            "AMOUNT",
            "tokenBalances(contract: \"eosio.token\", symbol: \"SYS\", sortOrder: ASC, sortField: $value)",
        ),
    ] {
        let inner = match kind {
            "TOKENS_SORT_FIELD" => "text: symbol number: holders",
            "ACCOUNT_BALANCES_SORT_FIELD" => "text: symbol number: balance(format: INTEGER)",
            _ => "text: account number: balance(format: INTEGER)",
        };
        let document = format!("query($value: {kind}!){{list: {field}{{edges{{node{{{inner}}}}}}}}}");
        for value in ["ALPHA", by_number] {
            let answer = data(chain, &document, json!({"value": value})).await;
            let nodes = answer["list"]["edges"].as_array().unwrap().iter().map(|edge| &edge["node"]);
            let of = |node: &Value| {
                let (text, number) = (node["text"].as_str().unwrap(), node["number"].as_str().unwrap());
                if value == "ALPHA" { (0, text.to_owned()) } else { (number.parse::<i128>().unwrap(), String::new()) }
            };
            let keys: Vec<_> = nodes.map(of).collect();
            assert!(keys.len() > 1 && keys.is_sorted(), "{kind} {value}: {keys:?}");
            walk.mark(kind, value);
        }
    }
    let order = "query($value: SORT_ORDER!){tokens(sortField: ALPHA, sortOrder: $value){edges{node{symbol}}}}";
    each(chain, walk, "SORT_ORDER", &["ASC", "DESC"], order, &json!({})).await;
    let staked = "query($value: [ACCOUNT_BALANCE_OPTION!]){tokenBalances(contract: \"eosio.token\", symbol: \"SYS\", \
        options: $value){edges{node{account balance}}}}";
    let with = data(chain, staked, json!({"value": ["EOS_INCLUDE_STAKED"]})).await;
    assert!(with["tokenBalances"]["edges"].as_array().is_some_and(|edges| !edges.is_empty()), "{with}");
    walk.mark("ACCOUNT_BALANCE_OPTION", "EOS_INCLUDE_STAKED");
    let format = "query($value: ASSET_FORMAT!){tokens(sortField: ALPHA){edges{node{totalSupply(format: $value) \
        maximumSupply(format: $value)}}}}";
    each(chain, walk, "ASSET_FORMAT", &["ASSET", "INTEGER", "DECIMAL"], format, &json!({})).await;
    let encoding = "query($value: UINT64_ENCODING!){tableRows(code: \"eosio.token\", table: \"accounts\", \
        scope: \"alice\"){rows{key(encoding: $value)}} searchTransactionsForward(query: \"db.table:accounts\", limit: 3){\
        results{trace{executedActions{dbOps{key{key(encoding: $value) scope(encoding: $value)}} \
        tableOps{table{scope(encoding: $value)}}}}}}}";
    let encodings = ["NAME", "DECIMAL", "HEXADECIMAL", "SYMBOL", "SYMBOL_CODE"];
    each(chain, walk, "UINT64_ENCODING", &encodings, encoding, &json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_occurs() {
    let Some(chain) = TestChain::recorded(LOG).await else { return };
    let mut walk = Walk::of(&chain).await;
    outputs(&mut walk).await;
    inputs(&chain, &mut walk).await;
    assert_eq!(walk.unseen(), Vec::<String>::new());
}
