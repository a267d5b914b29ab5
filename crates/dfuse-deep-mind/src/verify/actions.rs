//! Actions against their receipts, and these against the header.

use dfuse_antelope::{
    Checksum256,
    model::{ActionReceipt, ActionTrace, Block, TransactionTrace},
    raw::Writer,
};

use super::{Finding, Found, has_instant_finality, merkle};

/// Digest of the protocol feature `ACTION_RETURN_VALUE`.
const ACTION_RETURN_VALUE: [u8; 32] =
    *b"\xc3\xa6\x13\x8c\x50\x61\xcf\x29\x13\x10\x88\x7c\x0b\x5c\x71\xfc\xaf\xfe\xab\x90\xd5\xde\xb5\x0d\x3b\x9e\x68\x7c\xea\xd4\x50\x71";

/// Memory that is used again for every block.
#[derive(Default)]
pub(super) struct Digests {
    writer: Writer,
    data: Writer,
    leaves: Vec<Checksum256>,
}

impl Digests {
    pub(super) fn check(&mut self, block: &Block) -> Found {
        let with_return_value = has_return_values(block);
        let mut last_sequence = None;
        self.leaves.clear();
        for (at, trace) in block.unfiltered_transaction_traces.iter().enumerate() {
            self.check_actions(at, trace, with_return_value)?;
            if trace.is_reverted() {
                continue;
            }
            for action in &trace.action_traces {
                let Some(receipt) = &action.receipt else {
                    return Err(Finding::of(at, trace, "it was executed, but an action of it has no receipt"));
                };
                if last_sequence.is_some_and(|last: u64| last.checked_add(1) != Some(receipt.global_sequence)) {
                    return Err(Finding::of(at, trace, "its actions do not follow those before it"));
                }
                last_sequence = Some(receipt.global_sequence);
                let digest = self.receipt_digest(receipt);
                self.leaves.push(digest);
            }
        }
        if !has_instant_finality(block) && merkle::root(&mut self.leaves).0 != block.header.action_mroot {
            return Err(Finding::of_block("its actions are not those of its header's action_mroot"));
        }
        Ok(())
    }

    fn check_actions(&mut self, at: usize, trace: &TransactionTrace, with_return_value: bool) -> Found {
        // Those who are notified of an action have the same digest.
        let mut last: Option<(&ActionTrace, Checksum256)> = None;
        for action in &trace.action_traces {
            let Some(receipt) = &action.receipt else { continue };
            let is_right = match last {
                Some((before, digest)) if is_same(before, action) => receipt.digest == digest,
                // What is active is not known where the log began after it was activated, so the other form is tried as well.
                _ => [with_return_value, !with_return_value]
                    .into_iter()
                    .any(|with_return_value| receipt.digest == self.action_digest(action, with_return_value)),
            };
            if !is_right || receipt.receiver != action.receiver {
                let why = format!("action {} is not the one of its receipt", action.action_ordinal);
                return Err(Finding::of(at, trace, why));
            }
            last = Some((action, receipt.digest));
        }
        Ok(())
    }

    /// The digest of an action in its receipt.
    fn action_digest(&mut self, trace: &ActionTrace, with_return_value: bool) -> Checksum256 {
        let action = &trace.action;
        self.writer.bytes.clear();
        action.pack(&mut self.writer);
        if !with_return_value {
            return Checksum256::sha256(&self.writer.bytes);
        }
        // Two hashes: one of the action without its data, one of the data and the return value.
        self.data.bytes.clear();
        self.data.blob(&action.raw_data);
        let head = self.writer.bytes.len() - self.data.bytes.len();
        self.data.blob(&trace.raw_return_value);
        merkle::pair(&Checksum256::sha256(&self.writer.bytes[..head]), &Checksum256::sha256(&self.data.bytes))
    }

    /// SHA-256 of the packed receipt: a leaf of the header's `action_mroot`.
    fn receipt_digest(&mut self, receipt: &ActionReceipt) -> Checksum256 {
        let writer = &mut self.writer;
        writer.bytes.clear();
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
}

/// Whether digests of actions cover their return values.
fn has_return_values(block: &Block) -> bool {
    let features = block.activated_protocol_features.as_ref();
    features.is_some_and(|features| features.protocol_features.contains(&ACTION_RETURN_VALUE))
}

fn is_same(one: &ActionTrace, other: &ActionTrace) -> bool {
    let (a, b) = (&one.action, &other.action);
    a.account == b.account
        && a.name == b.name
        && a.authorization == b.authorization
        && a.raw_data == b.raw_data
        && one.raw_return_value == other.raw_return_value
}
