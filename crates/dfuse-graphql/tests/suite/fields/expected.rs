//! What GraphQL has to answer of a transaction, made of what REST answers.

use std::collections::BTreeMap;

use dfuse_antelope::{Checksum256, model};
use serde_json::{Map, Value, json};

/// A transaction as REST answers it, with its actions in the order of execution.
pub(super) struct Expected<'a> {
    rest: &'a Value,
    /// Actions by their ordinals.
    actions: BTreeMap<u64, &'a Value>,
}

/// A header as GraphQL has it.
pub(super) fn block_header(id: Checksum256, number: u32, header: &model::BlockHeader) -> Value {
    let producers = header.new_producers_v1.as_ref().map(|schedule| {
        let producer = |it: &model::ProducerKey| {
            json!({"producerName": it.account_name.to_string(), "blockSigningKey": it.block_signing_key})
        };
        json!({"version": schedule.version, "producers": schedule.producers.iter().map(producer).collect::<Vec<_>>()})
    });
    json!({
        "id": id.to_string(),
        "num": number,
        "timestamp": time(&header.timestamp.to_string()),
        "producer": header.producer.to_string(),
        "confirmed": header.confirmed,
        "previous": header.previous.to_string(),
        "transactionMRoot": const_hex::encode(header.transaction_mroot),
        "actionMRoot": const_hex::encode(header.action_mroot),
        "scheduleVersion": header.schedule_version,
        "newProducers": producers,
    })
}

/// A time in UTC without zeros at its end.
fn time(text: &str) -> Value {
    let text = text.trim_end_matches('Z');
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    json!(format!("{short}Z"))
}

/// A time of an operation, which may be none.
fn optional_time(value: &Value) -> Value {
    match value.as_str() {
        None | Some("") => Value::Null,
        Some(text) => time(text),
    }
}

/// Numbers of 64 bits are text.
fn text(value: &Value) -> Value {
    if value.is_string() { value.clone() } else { json!(value.to_string()) }
}

fn unless_empty(value: &Value) -> Value {
    if value.as_str() == Some("") { Value::Null } else { value.clone() }
}

fn upper(value: &Value) -> Value {
    json!(value.as_str().unwrap_or_default().to_ascii_uppercase())
}

pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn action(action: &Value) -> Value {
    json!({
        "account": action["account"],
        "name": action["name"],
        "authorization": action["authorization"],
        "json": action["data"],
        "data": action["data"],
        "hexData": action.get("hex_data").cloned().unwrap_or(json!("")),
    })
}

fn transaction(signed: &Value) -> Value {
    if signed.is_null() {
        return Value::Null;
    }
    let actions = |key: &str| items(&signed[key]).iter().map(action).collect::<Vec<_>>();
    json!({
        "expiration": time(signed["expiration"].as_str().unwrap()),
        "refBlockNum": signed["ref_block_num"],
        "refBlockPrefix": signed["ref_block_prefix"],
        "maxNetUsageWords": signed["max_net_usage_words"],
        "maxCPUUsageMS": signed["max_cpu_usage_ms"],
        "delaySec": signed["delay_sec"],
        "contextFreeActions": actions("context_free_actions"),
        "actions": actions("actions"),
    })
}

/// The number whose bytes REST shows in the order of the chain.
fn sender_id(value: &Value) -> Value {
    let Some(hex) = value.as_str().and_then(|text| text.strip_prefix("0x")) else { return unless_empty(value) };
    let bytes: [u8; 16] = const_hex::decode_to_array(hex).unwrap();
    json!(u128::from_le_bytes(bytes).to_string())
}

fn deferred(op: &Value) -> Value {
    json!({
        "operation": if op["op"] == "" { json!("UNKNOWN") } else { op["op"].clone() },
        "sender": unless_empty(&op["sender"]),
        "senderID": sender_id(&op["sender_id"]),
        "payer": unless_empty(&op["payer"]),
        "publishedAt": optional_time(&op["published_at"]),
        "delayUntil": optional_time(&op["delay_until"]),
        "expirationAt": optional_time(&op["expiration_at"]),
        "trxID": unless_empty(&op["trx_id"]),
        "transaction": transaction(&op["trx"]),
    })
}

fn external(op: &Value) -> Value {
    if op.is_null() {
        return Value::Null;
    }
    let block =
        json!({"id": op["block_id"], "num": op["block_num"], "timestamp": time(op["block_time"].as_str().unwrap())});
    json!({"srcTrxID": op["src_trx_id"], "block": block, "op": deferred(op)})
}

/// What logs of before EOSIO 2.0 call what the family and the action of a RAM operation say.
fn ram_name(op: &Value) -> Value {
    let name = match (op["family"].as_str().unwrap(), op["action"].as_str().unwrap()) {
        _ if !["deprecated", "unknown"].contains(&op["op"].as_str().unwrap()) => return upper(&op["op"]),
        ("abi", "update") => "SETABI",
        ("account", "add") => "NEWACCOUNT",
        ("auth", "add") => "UPDATEAUTH_CREATE",
        ("auth", "update") => "UPDATEAUTH_UPDATE",
        ("auth", "remove") => "DELETEAUTH",
        ("auth_link", "add") => "LINKAUTH",
        ("auth_link", "remove") => "UNLINKAUTH",
        ("code", "update") => "SETCODE",
        ("deferred_trx", "push") => "DEFERRED_TRX_PUSHED",
        ("deferred_trx", "remove") => "DEFERRED_TRX_REMOVED",
        ("deferred_trx", "correction") => "DEFERRED_TRX_RAM_CORRECTION",
        ("table", "add") => "CREATE_TABLE",
        ("table", "remove") => "REMOVE_TABLE",
        ("table_row", action) => return json!(format!("PRIMARY_INDEX_{}", action.to_ascii_uppercase())),
        (family, action) => return json!(format!("{family}_{action}").to_ascii_uppercase()),
    };
    json!(name)
}

fn ram(op: &Value) -> Value {
    json!({
        "operation": ram_name(op),
        "family": upper(&op["family"]),
        "action": upper(&op["action"]),
        "payer": op["payer"],
        "delta": text(&op["delta"]),
        "usage": text(&op["usage"]),
    })
}

fn table(op: &Value) -> Value {
    let path: Vec<_> = op["path"].as_str().unwrap().split('/').collect();
    json!({"operation": op["op"], "table": {"code": path[0], "scope": path[1], "table": path[2]}})
}

/// `rows` has the same change decoded.
fn row(op: &Value, rows: &Value) -> Value {
    let side = |key: &str| {
        let side = op[key].clone();
        let get = |name: &str| side.get(name).cloned().unwrap_or_default();
        (get("payer"), get("hex"), rows[key].get("json").cloned().unwrap_or_default())
    };
    let ((old_payer, old, old_json), (new_payer, new, new_json)) = (side("old"), side("new"));
    json!({
        "operation": op["op"],
        "oldPayer": old_payer,
        "newPayer": new_payer,
        "key": {"code": op["account"], "table": op["table"], "scope": op["scope"], "key": op["key"]},
        "oldData": old,
        "newData": new,
        "oldJSON": {"object": old_json},
        "newJSON": {"object": new_json},
    })
}

impl<'a> Expected<'a> {
    pub(super) fn new(rest: &'a Value) -> Self {
        let mut actions = BTreeMap::new();
        let mut to_visit: Vec<_> = items(&rest["execution_trace"]["action_traces"]).iter().collect();
        while let Some(action) = to_visit.pop() {
            actions.insert(action["action_ordinal"].as_u64().unwrap(), action);
            to_visit.extend(items(&action["inline_traces"]));
        }
        Self { rest, actions }
    }

    /// # Panics
    /// Where the answer is another one.
    pub(super) fn compare(&self, own: &Value) {
        let rest = self.rest;
        let signed = &rest["transaction"];
        let members = json!({
            "id": rest["id"],
            "status": upper(&rest["transaction_status"]),
            "signatures": items(&signed["signatures"]),
            "publicKeys": items(&rest["pub_keys"]),
            "creationIrreversible": rest["creation_irreversible"],
            "executionIrreversible": rest["execution_irreversible"],
            "cancelationIrreversible": rest["cancelation_irreversible"],
            "transaction": transaction(signed),
            "createdBy": external(&rest["created_by"]),
            "canceledBy": external(&rest["canceled_by"]),
        });
        self.same("", &without(own, &["trace"]), &members);
        match &rest["execution_trace"] {
            Value::Null => assert!(own["trace"].is_null(), "{own}"),
            trace => self.compare_trace(&own["trace"], trace),
        }
    }

    fn same(&self, what: &str, own: &Value, expected: &Value) {
        let (Value::Object(own), Value::Object(expected)) = (own, expected) else {
            assert_eq!(own, expected, "{what} of {}", self.rest["id"]);
            return;
        };
        for (name, value) in own {
            let expected = expected.get(name).unwrap_or_else(|| panic!("{what} is not expected to have {name}"));
            assert_eq!(value, expected, "{name} of {what} of {}", self.rest["id"]);
        }
        assert_eq!(own.len(), expected.len(), "{what} of {}", self.rest["id"]);
    }

    fn compare_trace(&self, own: &Value, trace: &Value) {
        let receipt = match &trace["receipt"] {
            Value::Null => json!({"status": "UNKNOWN", "cpuUsageMicroSeconds": 0, "netUsageWords": 0}),
            receipt => json!({
                "status": upper(&receipt["status"]),
                "cpuUsageMicroSeconds": receipt["cpu_usage_us"],
                "netUsageWords": receipt["net_usage_words"],
            }),
        };
        let header = &self.rest["execution_block_header"];
        let block = json!({
            "id": trace["producer_block_id"],
            "num": trace["block_num"],
            "timestamp": time(trace["block_time"].as_str().unwrap()),
            "producer": header["producer"],
            "confirmed": header["confirmed"],
            "previous": header["previous"],
            "transactionMRoot": header["transaction_mroot"],
            "actionMRoot": header["action_mroot"],
            "scheduleVersion": header["schedule_version"],
        });
        self.same("block", &without(&own["block"], &["newProducers"]), &block);
        let members = json!({
            "id": trace["id"],
            "status": receipt["status"],
            "receipt": receipt,
            "elapsed": text(&trace["elapsed"]),
            "netUsage": text(&trace["net_usage"]),
            "scheduled": trace["scheduled"],
            "matchingActions": [],
            "details": [],
        });
        let rest = ["block", "executedActions", "topLevelActions", "exceptJSON"];
        self.same("trace", &without(own, &rest), &members);
        self.same_exception(&own["exceptJSON"], &trace["except"]);
        self.compare_actions(own);
    }

    /// Texts of an exception, of which GraphQL leaves out what is empty.
    fn same_exception(&self, own: &Value, rest: &Value) {
        assert_eq!(own.is_null(), rest.is_null(), "{own} {rest}");
        for key in ["name", "message"] {
            assert_eq!(own[key].as_str().unwrap_or_default(), rest[key].as_str().unwrap_or_default(), "{own} {rest}");
        }
        assert_eq!(text(own.get("code").unwrap_or(&json!(0))), text(rest.get("code").unwrap_or(&json!(0))));
        let (own, rest) = (items(&own["stack"]), items(&rest["stack"]));
        assert_eq!(own.len(), rest.len());
        for (own, rest) in own.iter().zip(rest) {
            assert_eq!(own["format"].as_str().unwrap_or_default(), rest["format"].as_str().unwrap_or_default());
            assert_eq!(own["context"].get("file"), rest["context"].get("file"));
        }
    }

    fn compare_actions(&self, own: &Value) {
        let actions = items(&own["executedActions"]);
        assert_eq!(actions.len(), self.actions.len());
        // Receivers, names and receipts say which is which; those without a receipt keep the order of ordinals.
        let order = self.order(actions);
        let sets_abi = actions.iter().any(|action| action["name"] == "setabi");
        let position = |ordinal: &Value| {
            let at = order.iter().position(|other| ordinal.as_u64() == Some(*other)).filter(|_| *ordinal != json!(0));
            at.map_or(Value::Null, |at| json!({"executionIndex": at}))
        };
        for (at, (own, ordinal)) in actions.iter().zip(&order).enumerate() {
            let rest = self.actions[ordinal];
            let members = json!({
                "executionIndex": at,
                "receipt": receipt(&rest["receipt"]),
                "seq": text(&rest["receipt"]["global_sequence"]),
                "receiver": rest["receiver"],
                "console": rest["console"],
                "contextFree": rest["context_free"],
                "elapsed": text(&rest["elapsed"]),
                "isNotify": rest["receiver"] != rest["act"]["account"],
                "isMatchingQuery": false,
                "creatorAction": position(&rest["creator_action_ordinal"]),
                "closestUnnotifiedAncestorAction": position(&rest["closest_unnotified_ancestor_action_ordinal"]),
                "ramOps": self.ops("ramops", at, |op, _| ram(op)),
                "dtrxOps": self.ops("dtrxops", at, |op, _| deferred(op)),
                "tableOps": self.ops("tableops", at, |op, _| table(op)),
                "dbOps": self.ops("dbops", at, |op, row_at| row(op, &self.rest["rows"][row_at])),
            });
            let mut members = members;
            members.as_object_mut().unwrap().extend(action(&rest["act"]).as_object().unwrap().clone());
            let mut shown = without(own, &["createdActions", "exceptJSON"]);
            for (op, expected) in shown["dbOps"].as_array_mut().unwrap().iter_mut().zip(items(&members["dbOps"])) {
                for side in ["oldJSON", "newJSON"] {
                    let error = op[side].as_object_mut().unwrap().remove("error").unwrap();
                    let data = &op[if side == "oldJSON" { "oldData" } else { "newData" }];
                    // Either, where there is a row.
                    let has_either = error.is_null() != op[side]["object"].is_null();
                    assert_eq!(has_either, !data.is_null(), "{op}");
                    // Rows of a contract whose ABI came with the same transaction are decoded here, and by REST only later.
                    if sets_abi && expected[side]["object"].is_null() {
                        op[side]["object"] = Value::Null;
                    }
                }
            }
            self.same(&format!("action {at}"), &shown, &members);
            self.same_exception(&own["exceptJSON"], &rest["except"]);
            let created = order.iter().filter(|other| self.actions[*other]["creator_action_ordinal"] == json!(ordinal));
            let created: Vec<_> = created.map(|other| position(&json!(other))).collect();
            self.same("created actions", &own["createdActions"], &json!(created));
        }
        let top = order.iter().filter(|ordinal| self.actions[*ordinal]["creator_action_ordinal"] == 0);
        let top: Vec<_> = top.map(|ordinal| position(&json!(ordinal))).collect();
        self.same("top level", &own["topLevelActions"], &json!(top));
    }

    /// The ordinals in the order of execution.
    fn order(&self, own: &[Value]) -> Vec<u64> {
        let mut left: Vec<u64> = self.actions.keys().copied().collect();
        let ordinal_of = |own: &Value| {
            let is_it = |ordinal: &&u64| {
                let rest = self.actions[*ordinal];
                rest["receiver"] == own["receiver"]
                    && rest["act"]["name"] == own["name"]
                    && text(&rest["receipt"]["global_sequence"]) == own["seq"]
                    && rest["act"].get("hex_data").unwrap_or(&json!("")) == &own["hexData"]
            };
            let found = *left.iter().find(is_it).unwrap_or_else(|| panic!("REST has no {own} in {}", self.rest["id"]));
            left.retain(|ordinal| *ordinal != found);
            found
        };
        own.iter().map(ordinal_of).collect()
    }

    /// The operations of an action.
    fn ops(&self, list: &str, action: usize, shown: impl Fn(&Value, usize) -> Value) -> Vec<Value> {
        let all = items(&self.rest[list]).iter().enumerate();
        all.filter(|(_, op)| op["action_idx"] == json!(action)).map(|(at, op)| shown(op, at)).collect()
    }
}

fn receipt(rest: &Value) -> Value {
    if rest["act_digest"] == "" {
        return Value::Null;
    }
    let sequence = |entry: &Value| json!({"account": entry[0], "sequence": text(&entry[1])});
    json!({
        "receiver": rest["receiver"],
        "digest": rest["act_digest"],
        "globalSequence": text(&rest["global_sequence"]),
        "codeSequence": text(&rest["code_sequence"]),
        "abiSequence": text(&rest["abi_sequence"]),
        "authSequences": items(&rest["auth_sequence"]).iter().map(sequence).collect::<Vec<_>>(),
    })
}

/// An object without some of its members.
pub(super) fn without(value: &Value, keys: &[&str]) -> Value {
    let members = value.as_object().unwrap().iter().filter(|(key, _)| !keys.contains(&key.as_str()));
    Value::Object(members.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>())
}
