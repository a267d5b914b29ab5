//! Keys and signatures of accounts, of the three kinds that the chain has: K1 (secp256k1), R1 (secp256r1) and WebAuthn
//! (secp256r1 in a browser or phone, which signs more than the digest).

mod checked;
mod curve;
mod private;
mod public;
mod signature;
mod webauthn;

pub use private::PrivateKey;
pub use public::PublicKey;
pub use signature::Signature;
pub use webauthn::{MAX_WEBAUTHN_BYTES, WebAuthnKey, WebAuthnSignature};

#[cfg(test)]
mod tests;
