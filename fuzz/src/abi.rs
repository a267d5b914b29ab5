use dfuse_antelope::abi::{Abi, AbiSerializer, AbiType, Rendering};
use serde_json::Value;

/// Most bytes of JSON or packed data that a value may become.
const LIMIT: usize = 1 << 16;

/// Most types of an ABI that are tried of each kind.
const MAX_TYPES: usize = 4;

/// An ABI, packed or as JSON, and a value that is decoded with each of its types; two bytes (little endian) in front are
/// the length of the ABI. An ABI is the same after packing; what is decoded is JSON of bounded length, and can be given
/// to the encoder.
pub fn abi_decode(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk() else { return };
    let (definition, value) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
    let abi = if definition.starts_with(b"{") {
        serde_json::from_slice::<Abi>(definition).ok()
    } else {
        Abi::from_bytes(definition).ok()
    };
    let Some(abi) = abi else { return };
    assert_eq!(Abi::from_bytes(&abi.to_bytes()).as_ref(), Ok(&abi));
    let _ = abi.validate();

    let serializer = AbiSerializer::new(&abi);
    let actions = abi.actions.iter().take(MAX_TYPES).map(|action| serializer.action(action.name));
    let tables = abi.tables.iter().take(MAX_TYPES).map(|table| serializer.table(table.name));
    let results = abi.action_results.iter().take(MAX_TYPES).map(|result| serializer.action_result(result.name));
    actions.chain(tables).chain(results).flatten().for_each(|kind| decode(kind, value));
}

fn decode(kind: AbiType<'_>, data: &[u8]) {
    for rendering in [Rendering::Nodeos, Rendering::Fit, Rendering::Plain] {
        let mut json = vec![];
        let Ok(read) = kind.decode(data, rendering, LIMIT, &mut json) else {
            assert!(json.is_empty(), "on error the output is as it was");
            continue;
        };
        assert!(read <= data.len() && json.len() <= LIMIT + 6 * data.len());
        let value: Value = serde_json::from_slice(&json).expect("what is decoded is JSON");
        if let Ok(packed) = kind.encode(&value, LIMIT) {
            assert!(packed.len() <= LIMIT);
        }
    }
}
