//! `get_info` and `get_block`.

use dfuse_antelope::{
    PublicKey,
    model::{Block, PackedTransaction, ProducerAuthoritySchedule, TransactionReceipt},
    raw::Reader,
};
use dfuse_testkit::{compare::assert_same, recorded};
use serde_json::{Value, json};

use crate::{
    chains::{BUSY, FORK, Log, SMALL},
    node_json::{self, hex, list, without},
};

/// Header extension `producer_schedule_change`.
const PRODUCER_SCHEDULE_CHANGE: u32 = 1;

fn packed_transaction(receipt: &TransactionReceipt, packed: &PackedTransaction) -> Value {
    let signed = packed.signed_transaction().unwrap();
    let transaction = &signed.transaction;
    assert!(transaction.extensions.is_empty());
    let mut json = node_json::header(&transaction.header);
    json["context_free_actions"] = list(&transaction.context_free_actions, node_json::action);
    json["actions"] = list(&transaction.actions, node_json::action);
    json!({
        "id": receipt.id,
        "signatures": packed.signatures,
        "compression": if packed.compression == 1 { "zlib" } else { "none" },
        "packed_context_free_data": hex(&packed.packed_context_free_data),
        "context_free_data": list(&signed.context_free_data, |data| hex(data).into()),
        "packed_trx": hex(&packed.packed_transaction),
        "transaction": json,
    })
}

fn block(block: &Block) -> Value {
    let header = &block.header;
    assert!(block.block_extensions.is_empty() && header.new_producers_v1.is_none());
    let mut json = json!({
        "id": block.id,
        "block_num": block.number,
        "timestamp": header.timestamp,
        "producer": header.producer,
        "confirmed": header.confirmed,
        "previous": header.previous,
        "transaction_mroot": hex(header.transaction_mroot),
        "action_mroot": hex(header.action_mroot),
        "schedule_version": header.schedule_version,
        "new_producers": null,
        "producer_signature": block.producer_signature,
        "ref_block_prefix": u32::from_le_bytes(block.id.0[8..12].try_into().unwrap()),
        "transactions": list(&block.unfiltered_transactions, |receipt| json!({
            "status": node_json::status(receipt.status),
            "cpu_usage_us": receipt.cpu_usage_micro_seconds,
            "net_usage_words": receipt.net_usage_words,
            "trx": match &receipt.packed_transaction {
                Some(packed) => packed_transaction(receipt, packed),
                None => json!(receipt.id),
            },
        })),
    });
    let features = header.activated_features().unwrap();
    if !features.is_empty() {
        json["new_protocol_features"] = list(&features, |digest| json!({"feature_digest": hex(digest)}));
    }
    for extension in &header.header_extensions {
        if extension.r#type == PRODUCER_SCHEDULE_CHANGE {
            let mut reader = Reader::new(&extension.data);
            let key = &mut |r: &mut Reader<'_>| PublicKey::read(r).map(|key| key.to_string());
            let schedule = ProducerAuthoritySchedule::unpack(&mut reader, key).unwrap();
            reader.finish("schedule").unwrap();
            json["new_producer_schedule"] = node_json::schedule(&schedule);
        }
    }
    json
}

/// Leaves out what the node decoded with ABIs.
fn without_decoded_data(mut block: Value) -> Value {
    for receipt in block["transactions"].as_array_mut().unwrap() {
        let Some(transaction) = receipt["trx"].get_mut("transaction") else { continue };
        for kind in ["actions", "context_free_actions"] {
            for action in transaction[kind].as_array_mut().unwrap() {
                *action = without(action.take(), &["data"]);
            }
        }
    }
    block
}

/// `blocks`: how many blocks the node was asked for.
fn compare(log: &'static Log, blocks: usize) {
    let Some(chain) = log.chain() else { return };
    let Some(mut answers) = recorded::json(&log.beside("answers.json.gz")) else { return };
    let mut compared = 0;
    for ours in chain.canonical() {
        let Some(theirs) = answers["blocks"].get_mut(ours.number.to_string()) else { continue };
        let what = format!("{}, block {}: ", log.name, ours.number);
        assert_same(what, &block(ours), &without_decoded_data(theirs.take()));
        compared += 1;
    }
    assert_eq!(compared, blocks, "{}", log.name);

    let (head, info) = (chain.head(), &answers["get_info"]);
    let irreversible = chain.canonical().into_iter().find(|block| block.number == head.lib_num()).unwrap();
    let ours =
        json!([head.number, head.id, head.header.timestamp, head.header.producer, head.lib_num(), irreversible.id]);
    let keys = [
        "head_block_num",
        "head_block_id",
        "head_block_time",
        "head_block_producer",
        "last_irreversible_block_num",
        "last_irreversible_block_id",
    ];
    assert_same(format!("{}, get_info: ", log.name), &ours, &list(&keys, |key| info[key].clone()));
}

#[test]
fn blocks_are_those_of_get_block() {
    compare(&SMALL, 364);
    compare(&FORK, 413);
    compare(&BUSY, 37);
}
