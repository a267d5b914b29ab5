//! What a node answers, as far as dfuse uses it. Unknown fields are left out.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use dfuse_antelope::{Checksum256, Name, TimePoint, model::PackedTransaction};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Of `get_info`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Info {
    /// The chain's id.
    pub chain_id: Checksum256,
    /// Number of the head block.
    pub head_block_num: u32,
    /// Id of the head block.
    pub head_block_id: Checksum256,
    /// Time of the head block.
    pub head_block_time: TimePoint,
    /// Who made the head block.
    pub head_block_producer: Name,
    /// Number of the last irreversible block.
    pub last_irreversible_block_num: u32,
    /// Id of the last irreversible block.
    pub last_irreversible_block_id: Checksum256,
    /// The node's release, as `v4.0.4`.
    #[serde(default)]
    pub server_version_string: Option<String>,
}

/// Of `create_snapshot`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// The block of which it has the state.
    pub head_block_id: Checksum256,
    /// Path of the file, as the node sees it.
    pub snapshot_name: String,
}

/// Of `get_supported_protocol_features`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ProtocolFeature {
    /// What names it on the chain.
    pub feature_digest: Checksum256,
    /// Features that must be active before.
    #[serde(default)]
    pub dependencies: Vec<Checksum256>,
    specification: Vec<Specification>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Specification {
    name: String,
    value: String,
}

impl ProtocolFeature {
    /// Its name, as `PREACTIVATE_FEATURE`.
    pub fn name(&self) -> Option<&str> {
        let names = self.specification.iter().find(|part| part.name == "builtin_feature_codename");
        names.map(|part| part.value.as_str())
    }
}

/// A signed transaction in the form that `push_transaction`, `send_transaction` and, within `transaction`,
/// `send_transaction2` take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackedTransactionJson {
    /// As text.
    pub signatures: Vec<String>,
    /// `none` or `zlib`.
    pub compression: &'static str,
    /// Hex.
    pub packed_context_free_data: String,
    /// Hex.
    pub packed_trx: String,
}

impl From<&PackedTransaction> for PackedTransactionJson {
    fn from(packed: &PackedTransaction) -> Self {
        Self {
            signatures: packed.signatures.clone(),
            compression: if packed.compression == 0 { "none" } else { "zlib" },
            packed_context_free_data: const_hex::encode(&packed.packed_context_free_data),
            packed_trx: const_hex::encode(&packed.packed_transaction),
        }
    }
}

/// Of the calls that push a transaction.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PushAnswer {
    /// The transaction's id.
    pub transaction_id: Checksum256,
    /// The trace of executing it in the node's own, speculative block.
    #[serde(default)]
    pub processed: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawAbi {
    pub(super) abi: String,
}

/// As nodes write it: some with too much padding, some without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn from_base64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    LENIENT.decode(text.trim_end_matches('='))
}
