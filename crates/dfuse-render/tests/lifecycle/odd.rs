//! Blocks that no chain makes: always valid JSON, never a panic, never more than the bytes can account for.

use std::sync::Arc;

use bytes::Bytes;
use dfuse_antelope::{
    BlockTimestamp, Checksum256, Name, TimePoint,
    abi::{Abi, AbiSerializer},
    model::{
        Action, ActionReceipt, ActionTrace, CreationFlatNode, DbOp, DtrxOp, DtrxOperation, Exception,
        ExceptionLogContext, ExceptionLogMessage, ExtDtrxOp, RamOp, SignedTransaction, TableOp, Transaction,
        TransactionLifecycle, TransactionReceiptHeader, TransactionStatus, TransactionTrace,
    },
};
use dfuse_index::abi::AbiSource;
use dfuse_render::{ActionTree, Renderer, RowChange, RowChangeForm};
use proptest::prelude::*;
use serde::de::IgnoredAny;

/// One ABI for all accounts but the one without a name.
struct OneAbi(Arc<AbiSerializer>);

impl OneAbi {
    fn new() -> Self {
        let abi: Abi = serde_json::from_str(
            r#"{
                "version": "eosio::abi/1.1",
                "structs": [
                    {"name": "text", "base": "", "fields": [{"name": "text", "type": "string"}]},
                    {"name": "empty", "base": "", "fields": []},
                    {"name": "many", "base": "", "fields": [{"name": "a_rather_long_name", "type": "text[]"}]}
                ],
                "actions": [
                    {"name": "text", "type": "text", "ricardian_contract": ""},
                    {"name": "empty", "type": "empty", "ricardian_contract": ""},
                    {"name": "many", "type": "many", "ricardian_contract": ""},
                    {"name": "wrong", "type": "nothing", "ricardian_contract": ""}
                ],
                "tables": [{"name": "text", "index_type": "i64", "type": "text"}]
            }"#,
        )
        .unwrap();
        Self(Arc::new(AbiSerializer::new(&abi)))
    }
}

impl AbiSource for OneAbi {
    fn abi(&self, account: Name, _: u64) -> dfuse_index::Result<Option<Arc<AbiSerializer>>> {
        Ok((account.0 != 0).then(|| self.0.clone()))
    }

    fn sequence(&self, number: u32, _: Checksum256, action_index: u32) -> dfuse_index::Result<u64> {
        Ok(u64::from(number) + u64::from(action_index))
    }

    fn sequence_after(&self, number: u32) -> dfuse_index::Result<u64> {
        Ok(u64::from(number) + 1)
    }
}

/// Renders and checks that the text is JSON, however deep.
fn render(write: impl FnOnce(&mut Renderer<'_>) -> dfuse_index::Result<()>) -> String {
    let abis = OneAbi::new();
    let mut text = Vec::new();
    write(&mut Renderer::new(&mut text, &abis)).unwrap();
    let text = String::from_utf8(text).unwrap();
    if let Err(error) = serde_json::from_str::<IgnoredAny>(&text) {
        panic!("{error}: {}", text.chars().take(2000).collect::<String>());
    }
    text
}

fn name() -> impl Strategy<Value = Name> {
    let known = ["", "text", "empty", "many", "wrong"].map(Name::literal);
    prop_oneof![3 => prop::sample::select(known.to_vec()), 1 => any::<u64>().prop_map(Name)]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..24).prop_map(Bytes::from)
}

/// Of all kinds of characters, quotes, controls and such as are JSON themselves.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,8}", any::<String>(), Just("{\"a\":[1".to_owned()), Just("\u{7f}\u{80}\u{2028}\"\\".to_owned())]
}

fn checksum() -> impl Strategy<Value = Checksum256> {
    prop_oneof![Just(Checksum256::default()), any::<[u8; 32]>().prop_map(dfuse_antelope::Checksum)]
}

fn action() -> impl Strategy<Value = Action> {
    (name(), name(), bytes()).prop_map(|(account, name, raw_data)| Action {
        account,
        name,
        raw_data,
        ..Action::default()
    })
}

fn exception() -> impl Strategy<Value = Exception> {
    let context = (text(), any::<i32>(), any::<i64>(), any::<bool>()).prop_map(|(level, line, time, nested)| {
        let context = nested.then(|| Box::new(ExceptionLogContext::default()));
        ExceptionLogContext { level, line, timestamp: TimePoint(time), context, ..ExceptionLogContext::default() }
    });
    let data = prop_oneof![text().prop_map(Bytes::from), bytes(), Just(Bytes::from_static(b" {\"a\": [null]}\n"))];
    let message = (prop::option::of(context), text(), data).prop_map(|(context, format, data)| ExceptionLogMessage {
        context,
        format,
        data,
    });
    (any::<i32>(), text(), prop::collection::vec(message, 0..3)).prop_map(|(code, name, stack)| Exception {
        code,
        message: name.clone(),
        name,
        stack,
    })
}

prop_compose! {
    fn action_trace()(
        action in action(),
        receiver in name(),
        ordinals: (u8, u8),
        global_sequence in prop::option::of(any::<u64>()),
        console in text(),
        numbers: (i64, u64, u32),
        exception in prop::option::of(exception()),
    ) -> ActionTrace {
        ActionTrace {
            action,
            receiver,
            receipt: global_sequence.map(|global_sequence| ActionReceipt { global_sequence, ..ActionReceipt::default() }),
            action_ordinal: ordinals.0.into(),
            closest_unnotified_ancestor_action_ordinal: ordinals.1.into(),
            console,
            elapsed: numbers.0,
            error_code: numbers.1,
            block_time: BlockTimestamp(numbers.2),
            exception: exception.map(Box::new),
            ..ActionTrace::default()
        }
    }
}

fn status() -> impl Strategy<Value = TransactionStatus> {
    prop::sample::select(vec![
        TransactionStatus::None,
        TransactionStatus::Executed,
        TransactionStatus::SoftFail,
        TransactionStatus::Canceled,
    ])
}

prop_compose! {
    fn signed()(actions in prop::collection::vec(action(), 0..4), signature in text(), free in prop::collection::vec(action(), 0..2))
        -> SignedTransaction {
        let transaction = Transaction { actions, context_free_actions: free, ..Transaction::default() };
        SignedTransaction { transaction, signatures: vec![signature], context_free_data: vec![Bytes::new()] }
    }
}

prop_compose! {
    fn dtrx_op()(sender_id in prop_oneof![text(), any::<u128>().prop_map(|id| id.to_string())], text in text(),
        action_index: u32, signed in prop::option::of(signed())) -> DtrxOp {
        DtrxOp {
            operation: if signed.is_some() { DtrxOperation::Create } else { DtrxOperation::Failed },
            sender_id,
            published_at: text,
            action_index,
            transaction: signed.map(Box::new),
            ..DtrxOp::default()
        }
    }
}

prop_compose! {
    fn transaction_trace()(
        id in checksum(),
        action_traces in prop::collection::vec(action_trace(), 0..8),
        status in prop::option::of(status()),
        dtrx_ops in prop::collection::vec(dtrx_op(), 0..3),
        node: (i32, u32),
        (old_data, new_data, payer, table_name) in (bytes(), bytes(), name(), name()),
        unique_key in text(),
        delta: i64,
        exception in prop::option::of(exception()),
    ) -> TransactionTrace {
        TransactionTrace {
            id,
            block_num: delta as u64,
            action_traces,
            receipt: status.map(|status| TransactionReceiptHeader { status, ..TransactionReceiptHeader::default() }),
            dtrx_ops,
            creation_tree: vec![CreationFlatNode { creator_action_index: node.0, execution_action_index: node.1 }],
            db_ops: vec![DbOp { old_data, new_data, new_payer: payer, table_name, ..DbOp::default() }],
            ram_ops: vec![RamOp { unique_key, delta, ..RamOp::default() }],
            table_ops: vec![TableOp::default()],
            exception: exception.map(Box::new),
            ..TransactionTrace::default()
        }
    }
}

proptest! {
    #[test]
    fn any_lifecycle_is_json(
        mut trace in prop::option::of(transaction_trace()),
        failed in prop::option::of(transaction_trace()),
        transaction in prop::option::of(signed()),
        created_by in prop::option::of(dtrx_op()),
        public_keys in prop::collection::vec(text(), 0..2),
        transaction_status in status(),
    ) {
        if let Some(trace) = &mut trace {
            trace.failed_dtrx_trace = failed.map(Box::new);
        }
        let created_by = created_by.map(|dtrx_op| ExtDtrxOp { dtrx_op, ..ExtDtrxOp::default() });
        let lifecycle = TransactionLifecycle {
            transaction_status,
            transaction,
            execution_trace: trace,
            canceled_by: created_by.clone(),
            created_by,
            public_keys,
            ..TransactionLifecycle::default()
        };
        render(|renderer| renderer.lifecycle(&lifecycle));
    }

    #[test]
    fn any_message_is_json(trace in transaction_trace(), undone: bool) {
        let tree = ActionTree::new(&trace.action_traces);
        render(|renderer| {
            renderer.json().begin_array();
            for at in 0..trace.action_traces.len() {
                renderer.action_trace(&trace, at, Some(&tree))?;
                renderer.action_trace(&trace, at, None)?;
            }
            for op in &trace.dtrx_ops {
                renderer.dtrx_op_v0(op, &trace)?;
            }
            for op in &trace.db_ops {
                renderer.json().db_op_v0(op);
                for form in [RowChangeForm::Hex, RowChangeForm::Decoded(None), RowChangeForm::Decoded(Some("a reason"))] {
                    for trace in [Some(&trace), None] {
                        renderer.table_delta(&RowChange { block_number: 7, trace, op }, undone, form)?;
                    }
                }
            }
            renderer.json().array(&trace.ram_ops, dfuse_render::JsonWriter::ram_op_v0);
            renderer.json().end_array();
            Ok(())
        });
    }
}

fn executed(actions: Vec<ActionTrace>) -> TransactionTrace {
    let receipt =
        TransactionReceiptHeader { status: TransactionStatus::Executed, ..TransactionReceiptHeader::default() };
    TransactionTrace { receipt: Some(receipt), action_traces: actions, ..TransactionTrace::default() }
}

fn lifecycle(trace: TransactionTrace) -> TransactionLifecycle {
    TransactionLifecycle { execution_trace: Some(trace), ..TransactionLifecycle::default() }
}

#[test]
fn no_depth_is_too_deep() {
    const DEPTH: u32 = 100_000;
    let nested = (1..=DEPTH).map(|ordinal| ActionTrace {
        action_ordinal: ordinal,
        closest_unnotified_ancestor_action_ordinal: ordinal - 1,
        ..ActionTrace::default()
    });
    let trace = executed(nested.collect());
    let tree = ActionTree::new(&trace.action_traces);
    let text = render(|renderer| renderer.action_trace(&trace, 0, Some(&tree)));
    assert!(text.starts_with(&"{\"inline_traces\":[".repeat(DEPTH as usize)));
    let text = render(|renderer| renderer.lifecycle(&lifecycle(trace)));
    assert_eq!(text.matches("\"inline_traces\":[{").count(), DEPTH as usize - 1);
}

#[test]
fn bytes_that_stand_for_much_are_hex_after_a_while() {
    // 100,000 empty texts of a byte each, as 800,000 characters.
    let mut raw_data = vec![0xa0, 0x8d, 0x06];
    raw_data.resize(3 + 100_000, 0);
    let action = Action {
        account: Name::literal("many"),
        name: Name::literal("many"),
        raw_data: raw_data.into(),
        ..Action::default()
    };
    let trace = executed(vec![ActionTrace { action, ..ActionTrace::default() }; 50]);
    let text = render(|renderer| renderer.lifecycle(&lifecycle(trace)));
    let decoded = text.matches("\"data\":{\"a_rather_long_name\":[").count();
    assert!((20..50).contains(&decoded), "{decoded}");
    assert_eq!(text.matches("\"hex_data\"").count(), 50);
    assert!(text.len() < 48 << 20, "{}", text.len());
}

#[test]
fn text_that_is_not_utf8_is_what_nodes_make_of_it() {
    let action = Action {
        account: Name::literal("text"),
        name: Name::literal("text"),
        raw_data: Bytes::from_static(b"\x06a\xff\"\x01\xc3b"),
        ..Action::default()
    };
    let text = render(|renderer| {
        let trace = executed(vec![ActionTrace { action, ..ActionTrace::default() }]);
        renderer.action_trace(&trace, 0, None)
    });
    assert!(text.contains(r#""data":{"text":"a\"\u0001b"},"hex_data":"0661ff2201c362""#), "{text}");
}
