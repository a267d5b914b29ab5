//! The data of an action, decoded.

use dfuse_antelope::{
    abi::{AbiSerializer, Rendering},
    model::ActionTrace,
};

/// Longest decoded data in bytes of JSON; an action with more has no `data.*` terms. The code of a contract, in hex, fits.
pub const MAX_DATA_BYTES: usize = 4 << 20;

/// The data of an action as JSON; false if it does not decode.
pub(crate) fn decode(abi: &AbiSerializer, trace: &ActionTrace, json: &mut Vec<u8>) -> bool {
    json.clear();
    let decoded = abi.action(trace.action.name);
    let decoded = decoded.and_then(|kind| kind.decode(&trace.action.raw_data, Rendering::Fit, MAX_DATA_BYTES, json));
    decoded.is_ok()
}

/// The same as a value, for filters.
pub(crate) fn decoded(abi: &AbiSerializer, trace: &ActionTrace) -> Option<serde_json::Value> {
    let mut json = Vec::new();
    decode(abi, trace, &mut json).then(|| serde_json::from_slice(&json).ok()).flatten()
}
