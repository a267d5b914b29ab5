//! The legacy merkle tree of nodeos, and the digests that are its leaves.

use dfuse_antelope::{
    Checksum256,
    model::{ActionReceipt, ActionTrace},
    raw::Writer,
};

/// SHA-256 of two digests.
pub(crate) fn pair_digest(left: &[u8; 32], right: &[u8; 32]) -> Checksum256 {
    Checksum256::sha256([*left, *right].as_flattened())
}

/// The root over `leaves`; zero where there are none. In each pair the first bit tells left (0) from right (1), and
/// the last leaf of an odd number is its own neighbour.
pub(crate) fn merkle(mut leaves: Vec<Checksum256>) -> Checksum256 {
    while leaves.len() > 1 {
        let pair = |pair: &[Checksum256]| {
            let (mut left, mut right) = (pair[0], pair.get(1).copied().unwrap_or(pair[0]));
            left.0[0] &= 0x7f;
            right.0[0] |= 0x80;
            pair_digest(&left.0, &right.0)
        };
        leaves = leaves.chunks(2).map(pair).collect();
    }
    leaves.first().copied().unwrap_or_default()
}

/// SHA-256 of the packed receipt: a leaf of the header's `action_mroot`.
pub(crate) fn receipt_digest(receipt: &ActionReceipt) -> Checksum256 {
    let mut writer = Writer::new();
    writer.name(receipt.receiver);
    writer.checksum256(&receipt.digest);
    writer.u64(receipt.global_sequence);
    writer.u64(receipt.recv_sequence);
    writer.list(&receipt.auth_sequence, |w, entry| {
        w.name(entry.account_name);
        w.u64(entry.sequence);
    });
    writer.varuint32(receipt.code_sequence as u32);
    writer.varuint32(receipt.abi_sequence as u32);
    Checksum256::sha256(&writer.bytes)
}

/// `act_digest` of a receipt: the hash of the action or, once the feature `ACTION_RETURN_VALUE` is active, of two hashes:
/// one of the action without its data, one of the data and the return value.
pub(crate) fn action_digest(trace: &ActionTrace, with_return_value: bool) -> Checksum256 {
    let action = &trace.action;
    let mut base = Writer::new();
    action.pack(&mut base);
    if !with_return_value {
        return Checksum256::sha256(&base.bytes);
    }
    let mut data = Writer::new();
    data.blob(&action.raw_data);
    base.bytes.truncate(base.bytes.len() - data.bytes.len());
    data.blob(&trace.raw_return_value);
    pair_digest(&Checksum256::sha256(&base.bytes).0, &Checksum256::sha256(&data.bytes).0)
}
