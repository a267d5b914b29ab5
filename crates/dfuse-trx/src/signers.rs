//! Who signed transactions.

use std::sync::Arc;

use dfuse_antelope::{Checksum256, model::SignedTransaction};
use quick_cache::{Weighter, sync::Cache};

/// Bytes of keys that are kept: those of some forty thousand transactions.
const KEPT_BYTES: u64 = 8 << 20;
/// About what an entry takes.
const ENTRY_BYTES: u64 = 192;

/// Recovers the public keys that signed transactions of a chain, and keeps those of the transactions that were asked for last: to
/// recover a key takes longer than all else that a lifecycle needs.
#[derive(Debug)]
pub struct Signers {
    chain_id: Checksum256,
    recovered: Cache<Checksum256, Arc<[String]>, KeyBytes>,
}

#[derive(Debug, Clone)]
struct KeyBytes;

impl Weighter<Checksum256, Arc<[String]>> for KeyBytes {
    fn weight(&self, _: &Checksum256, keys: &Arc<[String]>) -> u64 {
        ENTRY_BYTES + keys.iter().skip(1).map(|key| (size_of::<String>() + key.len()) as u64).sum::<u64>()
    }
}

impl Signers {
    /// Of the chain of that id.
    pub fn new(chain_id: Checksum256) -> Self {
        let recovered = Cache::with_weighter((KEPT_BYTES / ENTRY_BYTES) as usize, KEPT_BYTES, KeyBytes);
        Self { chain_id, recovered }
    }

    /// The keys in the order of the signatures. There are none if one cannot be recovered: nobody can have signed so, or the chain is
    /// another one.
    pub fn of(&self, transaction: &SignedTransaction) -> Arc<[String]> {
        let signed = self.signed(transaction);
        if let Some(keys) = self.recovered.get(&signed) {
            return keys;
        }
        let keys = transaction.recover_keys(&self.chain_id).unwrap_or_default();
        let keys: Arc<[String]> = keys.iter().map(ToString::to_string).collect();
        self.recovered.insert(signed, keys.clone());
        keys
    }

    /// The digest of what was signed together with its signatures: the same transaction may be signed by others, too.
    fn signed(&self, transaction: &SignedTransaction) -> Checksum256 {
        let digest = transaction.transaction.signing_digest(&self.chain_id, &transaction.context_free_data);
        let mut bytes = digest.0.to_vec();
        for signature in &transaction.signatures {
            bytes.extend_from_slice(signature.as_bytes());
            // No signature has this byte.
            bytes.push(0);
        }
        Checksum256::sha256(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use dfuse_antelope::{PrivateKey, model::Transaction};

    use super::*;

    #[test]
    fn keys_are_kept_by_what_was_signed_and_how() {
        let chain_id = Checksum256::sha256(b"a chain");
        let keys = [1, 2].map(|secret| PrivateKey::k1(&[secret; 32]).unwrap());
        let texts = keys.each_ref().map(|key| key.public_key().to_string());
        let sign = |keys: &[PrivateKey]| Transaction::default().sign(&chain_id, keys).signed_transaction().unwrap();
        let signers = Signers::new(chain_id);
        let both = sign(&keys);
        assert_eq!(*signers.of(&both), texts);
        assert!(Arc::ptr_eq(&signers.of(&both), &signers.of(&both)), "the second time they are kept");
        assert_eq!(*signers.of(&sign(&keys[..1])), texts[..1]);
        assert_eq!(*signers.of(&sign(&keys[1..])), texts[1..]);
        assert_eq!(signers.recovered.len(), 3);
        let wrong = SignedTransaction { signatures: vec!["SIG_K1_x".to_owned()], ..both };
        assert!(signers.of(&wrong).is_empty());
    }
}
