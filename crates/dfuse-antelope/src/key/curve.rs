//! ECDSA with recovery on the two curves, on signatures as the chain writes them: a header byte, `r` and `s`.
//!
//! The header is 27 plus the recovery id, plus 4 for a key that is a compressed point, which all keys here are.

use std::convert::Infallible;

use k256::elliptic_curve::rand_core::{TryCryptoRng, TryRng};

use crate::Checksum256;

const HEADER: u8 = 27;
const COMPRESSED: u8 = 4;

/// True when `r` and `s` are positive and as short as can be in DER, which nodeos asks of K1 signatures.
pub(super) fn is_canonical(compact: &[u8; 65]) -> bool {
    let shortest = |first: u8, second: u8| first & 0x80 == 0 && !(first == 0 && second & 0x80 == 0);
    shortest(compact[1], compact[2]) && shortest(compact[33], compact[34])
}

/// The recovery id in the header, of 0 to 3.
fn recovery_id(compact: &[u8; 65]) -> Option<u8> {
    compact[0].checked_sub(HEADER).filter(|&id| id < 2 * COMPRESSED).map(|id| id % COMPRESSED)
}

/// Additional data of RFC 6979 (section 3.6): the number of the attempt, which makes another nonce for each.
struct Attempt(u8);

impl TryRng for Attempt {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.into())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.into())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0);
        Ok(())
    }
}

// Predictable on purpose: with RFC 6979 the secret of the nonce comes from the key.
impl TryCryptoRng for Attempt {}

/// The same three functions for both curves, whose crates share types but not names for the traits that bind them.
macro_rules! curve {
    ($name:ident, $ecdsa:path) => {
        pub(super) mod $name {
            use $ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};

            use super::*;

            /// The key that made the signature, or none if no key could have.
            pub(in crate::key) fn recover(compact: &[u8; 65], digest: &Checksum256) -> Option<[u8; 33]> {
                let id = RecoveryId::from_byte(recovery_id(compact)?)?;
                let signature = Signature::from_slice(&compact[1..]).ok()?;
                VerifyingKey::recover_from_prehash(&digest.0, &signature, id).ok().map(|key| point(&key))
            }

            /// The same signature for the same key and digest, canonical and with low `s`.
            pub(in crate::key) fn sign(key: &SigningKey, digest: &Checksum256) -> [u8; 65] {
                let mut attempt = Attempt(0);
                loop {
                    let Ok((signature, id)) = key.sign_prehash_recoverable_with_rng(&mut attempt, &digest.0);
                    let low = signature.normalize_s();
                    let id = RecoveryId::new(id.is_y_odd() != (low != signature), id.is_x_reduced());
                    let mut compact = [0; 65];
                    compact[0] = HEADER + COMPRESSED + id.to_byte();
                    compact[1..].copy_from_slice(&low.to_bytes());
                    // Every other attempt succeeds.
                    if is_canonical(&compact) {
                        return compact;
                    }
                    attempt.0 = attempt.0.wrapping_add(1);
                }
            }

            /// The compressed point.
            pub(in crate::key) fn point(key: &VerifyingKey) -> [u8; 33] {
                let mut point = [0; 33];
                point.copy_from_slice(key.to_sec1_point(true).as_bytes());
                point
            }
        }
    };
}

curve!(k1, k256::ecdsa);
curve!(r1, p256::ecdsa);
