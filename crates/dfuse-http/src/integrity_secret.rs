use std::{fmt, sync::Arc};

use axum::body::Bytes;
use shake::{
    Shake256,
    digest::{ExtendableOutput, Update, XofReader},
};

/// What proofs are made with. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct IntegritySecret(Arc<str>);

impl IntegritySecret {
    /// Any text.
    pub fn new(secret: &str) -> Self {
        Self(secret.into())
    }

    /// SHAKE-256 of secret and body, 32 bytes in hex.
    pub(crate) fn proof(&self, body: &[Bytes]) -> String {
        let mut hash = Shake256::default();
        hash.update(self.0.as_bytes());
        body.iter().for_each(|piece| hash.update(piece));
        let mut proof = [0; 32];
        hash.finalize_xof().read(&mut proof);
        const_hex::encode(proof)
    }
}

impl fmt::Debug for IntegritySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntegritySecret(***)")
    }
}
