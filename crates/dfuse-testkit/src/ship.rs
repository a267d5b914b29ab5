//! What nodes with the state-history plugin say of their protocol.

use serde_json::{Value, json};

/// Whose state-history plugin it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// EOSIO 1.8.
    Eosio18,
    /// EOSIO 2.0.
    Eosio20,
    /// Leap 3.1 and 3.2.
    Leap3,
    /// Leap 4 and 5.
    Leap4,
    /// Spring 1.
    Spring1,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Eosio18, Self::Eosio20, Self::Leap3, Self::Leap4, Self::Spring1];

    /// Whether it is from before Leap.
    pub fn is_eosio(self) -> bool {
        matches!(self, Self::Eosio18 | Self::Eosio20)
    }

    /// The ABI that such a node sends first, as far as a reader looks at it.
    pub fn abi(self) -> Value {
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
}
