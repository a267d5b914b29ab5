//! What a client pushes.

use bytes::Bytes;
use dfuse_antelope::{
    Checksum256, TimePointSec,
    model::{PackedTransaction, Transaction},
};
use dfuse_node::rpc::PackedTransactionJson;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{
    NodeShaped,
    node_shaped::{NOT_A_TRANSACTION, PARSE_ERROR},
};

/// A transaction, and what is sent to nodes.
#[derive(Debug, Clone)]
pub(super) struct Pushed {
    pub(super) id: Checksum256,
    pub(super) expiration: TimePointSec,
    pub(super) body: PushBody,
}

/// The body of a push.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum PushBody {
    /// Of `push_transaction` and `send_transaction`.
    Plain(PackedTransactionJson),
    /// Of `send_transaction2`. A failure must be an error, not an answer with a trace; and waiting and sending again is
    /// our part, not the node's.
    Wrapped { transaction: PackedTransactionJson, return_failure_trace: bool, retry_trx: bool },
}

#[derive(Deserialize)]
struct Packed {
    signatures: Vec<String>,
    #[serde(default)]
    compression: Option<Value>,
    #[serde(default)]
    packed_context_free_data: Option<String>,
    packed_trx: String,
}

#[derive(Deserialize)]
struct Wrapped {
    transaction: Value,
}

impl Pushed {
    /// Reads the body of that call. It may be large: not for async threads.
    ///
    /// # Errors
    /// As nodes answer what is no JSON, or no packed transaction.
    pub(super) fn read(call: &str, body: &[u8]) -> Result<Self, NodeShaped> {
        let no_json = |error: serde_json::Error| NodeShaped::exception(&PARSE_ERROR, error.to_string());
        let value: Value = serde_json::from_slice(body).map_err(no_json)?;
        if !value.is_object() {
            return Err(NodeShaped::exception(&PARSE_ERROR, "a JSON object is wanted"));
        }
        let is_wrapped = call == "send_transaction2";
        let value =
            if is_wrapped { serde_json::from_value(value).map(|it: Wrapped| it.transaction) } else { Ok(value) };
        let wrong = |why: String| NodeShaped::exception(&NOT_A_TRANSACTION, why);
        let value = value.map_err(|error| wrong(error.to_string()))?;
        let packed: Packed = serde_json::from_value(value).map_err(|error| {
            wrong(format!(
                "{error}; send the transaction packed: signatures, compression, packed_context_free_data, packed_trx"
            ))
        })?;
        let packed = packed.unpack().map_err(wrong)?;
        let transaction = unpacked(&packed).map_err(|error| wrong(error.to_string()))?;
        let json = PackedTransactionJson::from(&packed);
        let body = match is_wrapped {
            true => PushBody::Wrapped { transaction: json, return_failure_trace: false, retry_trx: false },
            false => PushBody::Plain(json),
        };
        // Not of the bytes as they came: the node packs the transaction again, too.
        Ok(Self { id: transaction.id(), expiration: transaction.header.expiration, body })
    }
}

impl Packed {
    fn unpack(self) -> Result<PackedTransaction, String> {
        let compression = match self.compression.unwrap_or(Value::Null) {
            Value::Null | Value::Bool(false) => 0,
            Value::Bool(true) => 1,
            Value::Number(number) if number.as_u64() == Some(0) => 0,
            Value::Number(number) if number.as_u64() == Some(1) => 1,
            Value::String(text) if text == "none" => 0,
            Value::String(text) if text == "zlib" => 1,
            _ => return Err("compression must be \"none\" or \"zlib\"".to_owned()),
        };
        let bytes = |name: &str, hex: &str| {
            // Only digits: a prefix that const-hex takes is none for a node.
            let digits = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            let bytes = const_hex::decode(hex).ok().filter(|_| digits);
            bytes.map(Bytes::from).ok_or_else(|| format!("{name} must be hexadecimal"))
        };
        Ok(PackedTransaction {
            signatures: self.signatures,
            compression,
            packed_context_free_data: bytes(
                "packed_context_free_data",
                &self.packed_context_free_data.unwrap_or_default(),
            )?,
            packed_transaction: bytes("packed_trx", &self.packed_trx)?,
        })
    }
}

fn unpacked(packed: &PackedTransaction) -> dfuse_antelope::Result<Transaction> {
    Ok(packed.signed_transaction()?.transaction)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use dfuse_antelope::{model::TransactionHeader, raw::Writer};
    use flate2::{Compression, write::ZlibEncoder};
    use serde_json::json;

    use dfuse_http::ShapedError as _;

    use super::*;

    fn transaction() -> (Transaction, Vec<u8>) {
        let header = TransactionHeader { expiration: TimePointSec(1_700_000_000), ..TransactionHeader::default() };
        let transaction = Transaction { header, ..Transaction::default() };
        let mut writer = Writer::new();
        transaction.pack(&mut writer);
        (transaction, writer.bytes)
    }

    fn read(call: &str, body: &Value) -> Result<Pushed, Value> {
        Pushed::read(call, body.to_string().as_bytes())
            .map_err(|error| serde_json::from_slice(&error.body(dfuse_query::TraceId([0; 16]))).unwrap())
    }

    #[test]
    fn every_form_of_a_packed_transaction() {
        let (transaction, bytes) = transaction();
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&bytes).unwrap();
        let zipped = const_hex::encode(encoder.finish().unwrap());
        let plain = const_hex::encode(&bytes);
        for (compression, hex, sent) in [
            (json!("none"), &plain, "none"),
            (json!(0), &plain, "none"),
            (json!(false), &plain, "none"),
            (json!(null), &plain, "none"),
            (json!("zlib"), &zipped, "zlib"),
            (json!(1), &zipped, "zlib"),
            (json!(true), &zipped, "zlib"),
        ] {
            let packed = json!({"signatures": ["SIG_K1_x"], "compression": compression, "packed_trx": hex});
            let pushed = read("push_transaction", &packed).unwrap();
            assert_eq!((pushed.id, pushed.expiration.0), (transaction.id(), 1_700_000_000));
            let expected = json!({"signatures": ["SIG_K1_x"], "compression": sent, "packed_context_free_data": "",
                "packed_trx": hex});
            assert_eq!(serde_json::to_value(&pushed.body).unwrap(), expected);
            let wrapped = json!({"transaction": packed, "return_failure_trace": true, "retry_trx": true});
            let pushed = read("send_transaction2", &wrapped).unwrap();
            let expected = json!({"transaction": expected, "return_failure_trace": false, "retry_trx": false});
            assert_eq!(serde_json::to_value(&pushed.body).unwrap(), expected);
        }
        // Bytes behind the transaction are no part of it, as for the node.
        let longer = json!({"signatures": [], "packed_trx": format!("{plain}00")});
        assert_eq!(read("send_transaction", &longer).unwrap().id, transaction.id());
    }

    #[test]
    fn what_is_no_transaction_is_refused_as_by_a_node() {
        let (_, bytes) = transaction();
        let hex = const_hex::encode(&bytes);
        for body in ["", "{", "[]", "5", "\"x\""] {
            let error = Pushed::read("push_transaction", body.as_bytes()).unwrap_err();
            let body: Value = serde_json::from_slice(&error.body(dfuse_query::TraceId([0; 16]))).unwrap();
            assert_eq!((&body["code"], &body["error"]["code"]), (&json!(500), &json!(4)), "{body}");
            assert_eq!(body["error"]["details"][0]["method"], "proxied_by_dfuse");
        }
        let packed = json!({"signatures": [], "packed_trx": hex});
        for (call, body, why) in [
            ("push_transaction", json!({}), "signatures"),
            ("push_transaction", json!({"signatures": [], "transaction": {"actions": []}}), "packed_trx"),
            ("push_transaction", json!({"signatures": 5, "packed_trx": hex}), "invalid type"),
            ("push_transaction", json!({"signatures": [], "packed_trx": "0x00"}), "hexadecimal"),
            ("push_transaction", json!({"signatures": [], "packed_trx": "00"}), "expiration"),
            ("push_transaction", json!({"signatures": [], "compression": "gzip", "packed_trx": hex}), "compression"),
            ("push_transaction", json!({"signatures": [], "compression": "zlib", "packed_trx": hex}), "zlib"),
            ("send_transaction2", packed, "transaction"),
        ] {
            let error = read(call, &body).unwrap_err();
            assert_eq!((&error["code"], &error["error"]["code"]), (&json!(500), &json!(3_010_010)), "{error}");
            assert_eq!(error["error"]["name"], "packed_transaction_type_exception");
            let message = error["error"]["details"][0]["message"].as_str().unwrap();
            assert!(why == "expiration" || message.contains(why), "{message}");
        }
    }
}
