//! Which protocol a node speaks: it says so itself, in the text that it sends first.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Error, Result};

/// Longest text that is read; those of nodes have some 30 kB.
const MAX_TEXT: usize = 4 << 20;

/// What a node's protocol of state history has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// Requests and results of version 1, with finality data: Spring has them, and EOSIO 2.1 others of the same name.
    pub has_finality_data: bool,
    /// The status says the chain's id (not before Leap).
    pub has_chain_id: bool,
}

#[derive(Deserialize)]
struct Abi {
    #[serde(default)]
    structs: Vec<Struct>,
    #[serde(default)]
    variants: Vec<Variant>,
}

#[derive(Deserialize)]
struct Struct {
    name: String,
    #[serde(default)]
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    r#type: String,
}

#[derive(Deserialize)]
struct Variant {
    name: String,
    types: Vec<String>,
}

/// A variant, and those of its types that this client understands, in their order.
type KnownVariant = (&'static str, &'static [&'static str]);
/// A struct, and its fields in their order: `name:type`.
type KnownStruct = (&'static str, &'static [&'static str]);

const VARIANTS: [KnownVariant; 6] = [
    ("request", &["get_status_request_v0", "get_blocks_request_v0", "get_blocks_ack_request_v0"]),
    ("result", &["get_status_result_v0", "get_blocks_result_v0"]),
    ("transaction_trace", &["transaction_trace_v0"]),
    ("action_trace", &["action_trace_v0"]),
    ("partial_transaction", &["partial_transaction_v0"]),
    ("table_delta", &["table_delta_v0"]),
];

const BLOCKS_REQUEST: [&str; 8] = [
    "start_block_num:uint32",
    "end_block_num:uint32",
    "max_messages_in_flight:uint32",
    "have_positions:block_position[]",
    "irreversible_only:bool",
    "fetch_block:bool",
    "fetch_traces:bool",
    "fetch_deltas:bool",
];

const BLOCKS_RESULT: [&str; 7] = [
    "head:block_position",
    "last_irreversible:block_position",
    "this_block:block_position?",
    "prev_block:block_position?",
    "block:bytes?",
    "traces:bytes?",
    "deltas:bytes?",
];

const STRUCTS: [KnownStruct; 6] = [
    ("block_position", &["block_num:uint32", "block_id:checksum256"]),
    ("get_status_request_v0", &[]),
    ("get_blocks_request_v0", &BLOCKS_REQUEST),
    ("get_blocks_ack_request_v0", &["num_messages:uint32"]),
    ("get_blocks_result_v0", &BLOCKS_RESULT),
    ("table_delta_v0", &["name:string", "rows:row[]"]),
];

impl Protocol {
    /// Reads a node's first message, the ABI of its protocol as JSON.
    ///
    /// # Errors
    /// It isn't one, or the protocol is one that this client cannot speak, such as that of EOSIO 2.1.
    pub fn from_abi(text: &[u8]) -> Result<Self> {
        if text.len() > MAX_TEXT {
            return Err(protocol(format!("its ABI has more than {MAX_TEXT} bytes")));
        }
        let abi: Abi = serde_json::from_slice(text)
            .map_err(|error| protocol(format!("the first message is not the ABI of state history: {error}")))?;
        let structs: BTreeMap<&str, Vec<String>> = abi.structs.iter().map(fields).collect();
        let variants: BTreeMap<&str, &[String]> =
            abi.variants.iter().map(|variant| (variant.name.as_str(), variant.types.as_slice())).collect();
        let has_field = |name: &str, field: &str| structs.get(name).is_some_and(|all| all.iter().any(|f| f == field));
        let is_eosio_21 = has_field("get_blocks_request_v1", "fetch_block_header:bool")
            || has_field("action_trace_v1", "account_disk_deltas:account_delta[]")
            || variants.get("table_delta").is_some_and(|types| types.iter().any(|name| name == "table_delta_v1"));
        if is_eosio_21 {
            return Err(protocol("it is that of EOSIO 2.1; use a node of Leap or Spring".to_owned()));
        }
        for (name, known) in VARIANTS {
            let found = variants.get(name).ok_or_else(|| protocol(format!("its ABI has no variant {name}")))?;
            if !found.iter().zip(known).all(|(found, known)| found == known) || found.len() < known.len() {
                return Err(protocol(format!("its variant {name} is {found:?}, which does not begin with {known:?}")));
            }
        }
        for (name, known) in STRUCTS {
            let found = structs.get(name).ok_or_else(|| protocol(format!("its ABI has no struct {name}")))?;
            if found != known {
                return Err(protocol(format!("its struct {name} has the fields {found:?} instead of {known:?}")));
            }
        }
        let is_variant =
            |name, at, wanted| variants.get(name).and_then(|types| types.get(at)).is_some_and(|found| found == wanted);
        let is_struct = |name, known: &[&str], last: &str| {
            let known = known.iter().copied().chain([last]);
            structs.get(name).is_some_and(|found| found.iter().map(String::as_str).eq(known))
        };
        let has_finality_data = is_variant("request", 3, "get_blocks_request_v1")
            && is_variant("result", 2, "get_blocks_result_v1")
            && is_struct("get_blocks_request_v1", &BLOCKS_REQUEST, "fetch_finality_data:bool")
            && is_struct("get_blocks_result_v1", &BLOCKS_RESULT, "finality_data:bytes?");
        let has_chain_id = structs
            .get("get_status_result_v0")
            .is_some_and(|fields| fields.iter().any(|field| field.starts_with("chain_id:checksum256")));
        Ok(Self { has_finality_data, has_chain_id })
    }
}

fn fields(definition: &Struct) -> (&str, Vec<String>) {
    let fields = definition.fields.iter().map(|field| format!("{}:{}", field.name, field.r#type)).collect();
    (&definition.name, fields)
}

fn protocol(why: String) -> Error {
    Error::Protocol { why }
}
