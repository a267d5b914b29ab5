//! What nodes of different software send: the ABI of their protocol, and the history of a block in the form that they give it.

use bytes::Bytes;
use dfuse_antelope::{
    PublicKey, Result, chain,
    model::{Action, ActionReceipt, TransactionHeader},
    raw::{Reader, Writer},
};
use serde_json::{Value, json};

use super::Sent;

/// Whose state-history plugin it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Eosio18,
    Eosio20,
    /// 3.1 and 3.2.
    Leap3,
    /// 4 and 5.
    Leap4,
    Spring1,
}

impl Version {
    pub(crate) const ALL: [Self; 5] = [Self::Eosio18, Self::Eosio20, Self::Leap3, Self::Leap4, Self::Spring1];

    pub(crate) fn is_eosio(self) -> bool {
        matches!(self, Self::Eosio18 | Self::Eosio20)
    }

    /// What such a node sends first, as far as a reader looks at it.
    pub(crate) fn abi(self) -> Value {
        let definition = |name: &str, fields: &[(&str, &str)]| {
            let fields: Vec<_> = fields.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
            json!({"name": name, "fields": fields})
        };
        let variant = |name: &str, types: &[&str]| json!({"name": name, "types": types});
        let request = [
            ("start_block_num", "uint32"),
            ("end_block_num", "uint32"),
            ("max_messages_in_flight", "uint32"),
            ("have_positions", "block_position[]"),
            ("irreversible_only", "bool"),
            ("fetch_block", "bool"),
            ("fetch_traces", "bool"),
            ("fetch_deltas", "bool"),
        ];
        let result = [
            ("head", "block_position"),
            ("last_irreversible", "block_position"),
            ("this_block", "block_position?"),
            ("prev_block", "block_position?"),
            ("block", "bytes?"),
            ("traces", "bytes?"),
            ("deltas", "bytes?"),
        ];
        let mut structs = vec![
            definition("block_position", &[("block_num", "uint32"), ("block_id", "checksum256")]),
            definition("get_status_request_v0", &[]),
            definition("get_blocks_request_v0", &request),
            definition("get_blocks_ack_request_v0", &[("num_messages", "uint32")]),
            definition("get_status_result_v0", if self.is_eosio() { &[] } else { &[("chain_id", "checksum256$")] }),
            definition("get_blocks_result_v0", &result),
            definition("table_delta_v0", &[("name", "string"), ("rows", "row[]")]),
        ];
        let mut requests = vec!["get_status_request_v0", "get_blocks_request_v0", "get_blocks_ack_request_v0"];
        let mut results = vec!["get_status_result_v0", "get_blocks_result_v0"];
        let mut actions = vec!["action_trace_v0"];
        if !self.is_eosio() {
            actions.push("action_trace_v1");
        }
        if self == Self::Spring1 {
            let (finality, data) = ([("fetch_finality_data", "bool")], [("finality_data", "bytes?")]);
            structs.push(definition("get_blocks_request_v1", &[&request[..], &finality].concat()));
            structs.push(definition("get_blocks_result_v1", &[&result[..], &data].concat()));
            requests.extend(["get_blocks_request_v1", "get_status_request_v1"]);
            results.extend(["get_blocks_result_v1", "get_status_result_v1"]);
        }
        json!({
            "version": "eosio::abi/1.1",
            "structs": structs,
            "variants": [
                variant("request", &requests),
                variant("result", &results),
                variant("transaction_trace", &["transaction_trace_v0"]),
                variant("action_trace", &actions),
                variant("partial_transaction", &["partial_transaction_v0"]),
                variant("table_delta", &["table_delta_v0"]),
            ],
        })
    }

    /// A block whose history was recorded from Leap, as this software has it.
    pub(crate) fn block(self, recorded: &Sent) -> Sent {
        let mut sent = recorded.clone();
        if self.is_eosio() {
            sent.traces = sent.traces.as_ref().map(traces);
            sent.deltas = sent.deltas.as_ref().map(|deltas| self.deltas(deltas));
        }
        sent
    }

    /// Only the configuration of the chain differs.
    fn deltas(self, recorded: &Bytes) -> Bytes {
        let (mut reader, mut writer) = (Reader::new(recorded), Writer::new());
        let (r, w) = (&mut reader, &mut writer);
        let tables = r.varuint32().unwrap();
        w.varuint32(tables);
        for _ in 0..tables {
            w.varuint32(r.varuint32().unwrap());
            let table = r.string("table").unwrap();
            w.blob(table.as_bytes());
            let rows = r.varuint32().unwrap();
            w.varuint32(rows);
            for _ in 0..rows {
                w.bool(r.bool().unwrap());
                let row = r.blob("row").unwrap();
                if table == "global_property" { w.blob(&self.global_property(row)) } else { w.blob(row) }
            }
        }
        writer.bytes.into()
    }

    fn global_property(self, row: &[u8]) -> Vec<u8> {
        let (mut reader, mut writer) = (Reader::new(row), Writer::new());
        let (r, w) = (&mut reader, &mut writer);
        assert_eq!(r.varuint32().unwrap(), 1);
        w.varuint32(u32::from(self == Self::Eosio20));
        copy(r, w, |r| r.option(|r| r.u32()));
        copy(r, w, |r| r.u32());
        let producers = r.varuint32().unwrap();
        w.varuint32(producers);
        for _ in 0..producers {
            copy(r, w, |r| r.name());
            if self == Self::Eosio20 {
                copy(r, w, |r| r.varuint32());
                copy(r, w, |r| r.u32());
                copy(r, w, |r| r.list(2, "keys", |r| Ok((PublicKey::read(r)?, r.u16()?))));
            } else {
                // It knows one key for each.
                assert_eq!((r.varuint32().unwrap(), r.u32().unwrap(), r.varuint32().unwrap()), (0, 1, 1));
                copy(r, w, PublicKey::read);
                r.u16().unwrap();
            }
        }
        let version = r.varuint32().unwrap();
        w.varuint32(0);
        copy(r, w, |r| r.take(8 + 14 * 4 + 2 * 2, "configuration"));
        if version == 1 {
            r.u32().unwrap();
        }
        if self == Self::Eosio20 {
            copy(r, w, |r| r.checksum256());
        }
        writer.bytes
    }
}

/// Traces whose actions return nothing.
fn traces(recorded: &Bytes) -> Bytes {
    let (mut reader, mut writer) = (Reader::new(recorded), Writer::new());
    let count = reader.varuint32().unwrap();
    writer.varuint32(count);
    (0..count).for_each(|_| trace(&mut reader, &mut writer));
    assert!(reader.is_empty());
    writer.bytes.into()
}

fn trace(r: &mut Reader<'_>, w: &mut Writer) {
    let exception = |r: &mut Reader<'_>| Ok((r.option(|r| r.string("exception"))?, r.option(|r| r.u64())?));
    copy(r, w, |r| {
        r.varuint32()?;
        r.take(32 + 1 + 4, "receipt")?;
        r.varuint32()?;
        r.take(8 + 8 + 1, "usage")?;
        Ok(())
    });
    let actions = r.varuint32().unwrap();
    w.varuint32(actions);
    for _ in 0..actions {
        assert_eq!(r.varuint32().unwrap(), 1);
        w.varuint32(0);
        copy(r, w, |r| {
            r.varuint32()?;
            r.varuint32()?;
            r.option(|r| r.varuint32().and_then(|_| ActionReceipt::unpack(r)))?;
            r.name()?;
            Action::unpack(r)?;
            r.bool()?;
            r.i64()?;
            r.string("console")?;
            r.list(16, "deltas", |r| r.take(16, "delta").map(|_| ()))?;
            exception(r)
        });
        r.bytes("return value").unwrap();
    }
    copy(r, w, |r| r.option(|r| r.take(16, "delta").map(|_| ())));
    copy(r, w, exception);
    let has_failed = r.bool().unwrap();
    w.bool(has_failed);
    if has_failed {
        trace(r, w);
    }
    copy(r, w, |r| {
        r.option(|r| {
            r.varuint32()?;
            TransactionHeader::unpack(r)?;
            chain::unpack_extensions(r)?;
            chain::unpack_signatures(r)?;
            r.list(1, "context-free data", |r| r.bytes("data"))
        })
    });
}

/// Writes what is read as it is.
fn copy<'a, T>(reader: &mut Reader<'a>, writer: &mut Writer, read: impl FnOnce(&mut Reader<'a>) -> Result<T>) {
    let (rest, from) = (reader.remaining(), reader.position());
    read(reader).unwrap();
    writer.take(&rest[..reader.position() - from]);
}
