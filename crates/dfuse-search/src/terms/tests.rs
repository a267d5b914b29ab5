//! What recorded and synthetic chains do not have.

use std::sync::Arc;

use dfuse_antelope::{
    abi::{Abi, AbiSerializer},
    model::{Action, ActionReceipt, TransactionReceiptHeader},
    raw::Writer,
};

use super::*;
use crate::{EventAction, Filter, field::MAX_VALUE_BYTES};

const HOOKS: Name = Name::literal("hooks");
const EVENT: Name = Name::literal("event");
const GAME: Name = Name::literal("game");
const PLAY: Name = Name::literal("play");

/// One ABI for everybody.
struct OneAbi(Arc<AbiSerializer>);

impl AbiSource for OneAbi {
    fn at(&mut self, _: Name, _: u64) -> Result<Option<Arc<AbiSerializer>>> {
        Ok(Some(self.0.clone()))
    }
}

fn one_abi() -> OneAbi {
    let abi: Abi = serde_json::from_str(
        r#"{"version": "eosio::abi/1.1",
            "structs": [
                {"name": "event", "base": "", "fields": [{"name": "auth_key", "type": "string"}, {"name": "data", "type": "string"}]},
                {"name": "play", "base": "", "fields": [{"name": "moves", "type": "string[]"}, {"name": "code", "type": "bytes"}]}
            ],
            "actions": [{"name": "event", "type": "event"}, {"name": "play", "type": "play"}]}"#,
    )
    .unwrap();
    OneAbi(Arc::new(AbiSerializer::new(&abi)))
}

fn event(data: &str) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.blob(b"key");
    writer.blob(data.as_bytes());
    writer.bytes
}

fn play(moves: &[&str], code: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.list(moves, |writer, text| writer.blob(text.as_bytes()));
    writer.blob(code);
    writer.bytes
}

/// A block of one transaction: contract, name, data and creator (from 1; 0 for none) of each action.
fn block(actions: &[(Name, Name, Vec<u8>, u32)]) -> Block {
    let action_traces = (0u32..).zip(actions).map(|(at, (account, name, data, creator))| ActionTrace {
        receipt: Some(ActionReceipt { global_sequence: 100 + u64::from(at), ..Default::default() }),
        receiver: *account,
        action: Action { account: *account, name: *name, raw_data: data.clone().into(), ..Default::default() },
        action_ordinal: at + 1,
        creator_action_ordinal: *creator,
        execution_index: at,
        ..Default::default()
    });
    let receipt = Some(TransactionReceiptHeader { status: TransactionStatus::Executed, ..Default::default() });
    let trace = TransactionTrace { receipt, action_traces: action_traces.collect(), ..Default::default() };
    Block { number: 7, unfiltered_transaction_traces: vec![trace], ..Block::default() }
}

fn terms(block: &Block, options: &TermOptions) -> BlockTerms {
    BlockTerms::new(&BlockContext::new(block), options, &mut one_abi()).unwrap()
}

fn found<'a>(terms: &'a BlockTerms, field: &str, value: &str) -> &'a [u32] {
    let key = Field::parse(field).unwrap().term(value.as_bytes());
    terms.terms.iter().find(|(term, _)| **term == *key).map_or(&[], |(_, list)| list)
}

fn present<'a>(terms: &'a BlockTerms, field: &str) -> &'a [u32] {
    let key = Field::parse(field).unwrap().presence();
    terms.terms.iter().find(|(term, _)| **term == *key).map_or(&[], |(_, list)| list)
}

#[test]
fn events_are_terms_of_the_action_that_told_them() {
    let events = EventAction { contract: HOOKS, action: EVENT, unrestricted: false };
    let options = TermOptions { events: Some(events.clone()), ..TermOptions::default() };
    let block = block(&[
        (GAME, PLAY, play(&[], b""), 0),
        (GAME, PLAY, play(&[], b""), 0),
        (HOOKS, EVENT, event("pet=cat"), 1),
        (HOOKS, EVENT, event("pet=dog&name=a+b"), 1),
        (HOOKS, EVENT, event("a=1&b=2&c=3&d=4"), 2),
        (HOOKS, EVENT, event("pet=none"), 0),
        (HOOKS, EVENT, event("pet=lost"), 99),
    ]);
    let with = terms(&block, &options);
    assert_eq!(found(&with, "event.pet", "dog"), [0]);
    assert_eq!(found(&with, "event.name", "a b"), [0]);
    assert_eq!(present(&with, "event.pet"), [0]);
    for (field, value) in [("event.pet", "cat"), ("event.pet", "none"), ("event.pet", "lost"), ("event.a", "1")] {
        assert_eq!(found(&with, field, value), [0; 0], "{field}:{value}");
    }
    let unrestricted = EventAction { unrestricted: true, ..events };
    let unrestricted = terms(&block, &TermOptions { events: Some(unrestricted), ..TermOptions::default() });
    assert_eq!(found(&unrestricted, "event.a", "1"), [1]);
    assert_eq!(present(&terms(&block, &TermOptions::default()), "event.pet"), [0; 0]);
    // What is not indexed gets no events.
    let filter = Filter::new("*", "account == 'game'", "").unwrap();
    let excluded = terms(&block, &TermOptions { filter, ..options });
    assert_eq!(found(&excluded, "event.pet", "dog"), [0; 0]);
    assert_eq!(excluded.find(INDEXED), [2, 3, 4, 5, 6]);
    assert_eq!(excluded.find(TRANSACTION_START), [0]);
}

#[test]
fn only_actions_that_passed_a_filter() {
    let mut block = block(&[
        (GAME, PLAY, play(&[], b""), 0),
        (GAME, PLAY, play(&[], b""), 0),
        (Name::EOSIO, SETABI, Vec::new(), 0),
        (Name::EOSIO, Name::literal("linkauth"), Vec::new(), 0),
    ]);
    block.filtering_applied = true;
    block.filtered_transaction_traces = std::mem::take(&mut block.unfiltered_transaction_traces);
    let actions = &mut block.filtered_transaction_traces[0].action_traces;
    actions.iter_mut().skip(1).for_each(|action| action.filtering_matched = true);
    actions.iter_mut().skip(2).for_each(|action| action.filtering_matched_system_action_filter = true);
    assert_eq!(terms(&block, &TermOptions::default()).find(INDEXED), [1, 2]);
}

#[test]
fn data_within_limits() {
    let long = "x".repeat(MAX_VALUE_BYTES) + "y";
    let block = block(&[
        (GAME, PLAY, play(&["left", "", "right", &long], b"\x00asm"), 0),
        (GAME, PLAY, play(&vec!["up"; 2000], b""), 0),
        (GAME, PLAY, b"\xff".to_vec(), 0),
    ]);
    let options = TermOptions { act_digest: true, ..TermOptions::default() };
    let all = terms(&block, &options);
    assert_eq!(found(&all, "data.moves", "left"), [0]);
    assert_eq!(found(&all, "data.moves", &long), [0]);
    assert_eq!(found(&all, "data.moves", &long[1..]), [0; 0]);
    assert_eq!(found(&all, "data.moves", "up"), [1]);
    assert_eq!(found(&all, "data.code", &Checksum256::sha256(b"\x00asm").to_string()), [0]);
    assert_eq!(present(&all, "data.moves"), [0, 1]);
    assert_eq!(all.find(INDEXED), [0, 1, 2]);
    assert_eq!(found(&all, "act_digest", "0000000000000000"), [0, 1, 2]);
    let prefix = Field::Data("moves".into()).terms_with_prefix(&[b'x'; 32]).unwrap();
    assert_eq!(all.with_prefix(&prefix).flatten().collect::<Vec<_>>(), [&0]);
    let some = TermOptions { data_fields: Some(["code".to_owned()].into()), ..TermOptions::default() };
    let some = terms(&block, &some);
    assert_eq!((present(&some, "data.moves"), present(&some, "data.code")), (&[][..], &[0][..]));
}

#[test]
fn a_block_over_the_end_of_a_chunk_is_divided() {
    let mut block = block(&[(GAME, PLAY, play(&[], b""), 0), (GAME, PLAY, play(&[], b""), 0)]);
    let actions = &mut block.unfiltered_transaction_traces[0].action_traces;
    for (action, sequence) in actions.iter_mut().zip([0x2_ffff, 0x3_0000]) {
        action.receipt.as_mut().unwrap().global_sequence = sequence;
    }
    let firsts: Vec<_> = terms(&block, &TermOptions::default()).segments().iter().map(|(first, _)| *first).collect();
    assert_eq!(firsts, [0x2_ffff, 0x3_0000]);
}
