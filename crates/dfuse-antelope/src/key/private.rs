use std::{fmt, str::FromStr};

use super::{
    checked,
    curve::{k1, r1},
    public::PublicKey,
    signature::Signature,
};
use crate::{Checksum256, Error, Result, base58};

/// First byte of the payload of a WIF text: a key of Bitcoin's main network.
const WIF_VERSION: u8 = 0x80;

/// The secret of a K1 or R1 key, wiped from memory when dropped. `Debug` shows the public key.
///
/// For tests, development chains and tools: nothing here hides timing or protects the texts that it returns.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Secret);

#[derive(Clone, PartialEq, Eq)]
enum Secret {
    K1(k256::ecdsa::SigningKey),
    R1(p256::ecdsa::SigningKey),
}

impl PrivateKey {
    /// The K1 key of a big-endian number. An error when it is zero or not below the order of the curve.
    pub fn k1(secret: &[u8; 32]) -> Result<Self> {
        Self::k1_of(secret).map_err(invalid)
    }

    /// The R1 key of a big-endian number. An error when it is zero or not below the order of the curve.
    pub fn r1(secret: &[u8; 32]) -> Result<Self> {
        Self::r1_of(secret).map_err(invalid)
    }

    fn k1_of(secret: &[u8; 32]) -> Result<Self, &'static str> {
        let key = k256::ecdsa::SigningKey::from_slice(secret).map_err(|_| "not a number of its curve")?;
        Ok(Self(Secret::K1(key)))
    }

    fn r1_of(secret: &[u8; 32]) -> Result<Self, &'static str> {
        let key = p256::ecdsa::SigningKey::from_slice(secret).map_err(|_| "not a number of its curve")?;
        Ok(Self(Secret::R1(key)))
    }

    /// The key that verifies what this one signs.
    pub fn public_key(&self) -> PublicKey {
        match &self.0 {
            Secret::K1(key) => PublicKey::K1(k1::point(key.verifying_key())),
            Secret::R1(key) => PublicKey::R1(r1::point(key.verifying_key())),
        }
    }

    /// Signs a digest; always the same, canonical signature.
    pub fn sign(&self, digest: &Checksum256) -> Signature {
        match &self.0 {
            Secret::K1(key) => Signature::K1(k1::sign(key, digest)),
            Secret::R1(key) => Signature::R1(r1::sign(key, digest)),
        }
    }

    /// The secret as `PVT_K1_...` or `PVT_R1_...`.
    pub fn to_secret_text(&self) -> String {
        let mut text = Vec::new();
        match &self.0 {
            Secret::K1(key) => checked::write_to("PVT_K1_", "K1", &key.to_bytes(), &mut text),
            Secret::R1(key) => checked::write_to("PVT_R1_", "R1", &key.to_bytes(), &mut text),
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The secret of a K1 key in the wallet import format, none for R1, which has no such form.
    pub fn to_wif(&self) -> Option<String> {
        let Secret::K1(key) = &self.0 else { return None };
        let mut bytes = vec![WIF_VERSION];
        bytes.extend_from_slice(&key.to_bytes());
        bytes.extend_from_slice(&wif_checksum(&bytes));
        let mut text = Vec::new();
        base58::encode_to(&bytes, &mut text);
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(rest) = text.strip_prefix("PVT_K1_") {
            return Self::k1_of(&checked::parse_array(rest, "K1")?);
        }
        if let Some(rest) = text.strip_prefix("PVT_R1_") {
            return Self::r1_of(&checked::parse_array(rest, "R1")?);
        }
        // Sized before it is decoded, which takes quadratic time.
        let bytes = if text.len() < 64 { base58::decode(text.as_bytes()) } else { None };
        let bytes = bytes.as_deref().and_then(|bytes| bytes.split_last_chunk());
        match bytes {
            Some((payload @ [WIF_VERSION, secret @ ..], checksum)) if *checksum == wif_checksum(payload) => {
                Self::k1_of(secret.try_into().map_err(|_| "the wrong number of bytes for its kind")?)
            }
            Some(([WIF_VERSION, ..], _)) => Err("the checksum does not match"),
            _ => Err("a private key begins with PVT_K1_ or PVT_R1_, or is a WIF"),
        }
    }
}

/// The first bytes of the SHA-256 of the SHA-256.
fn wif_checksum(payload: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = Checksum256::sha256(&Checksum256::sha256(payload).0).0;
    [a, b, c, d]
}

fn invalid(why: &'static str) -> Error {
    Error::invalid("private key", why)
}

impl FromStr for PrivateKey {
    type Err = Error;

    /// Reads `PVT_K1_...`, `PVT_R1_...` and WIF. The error does not quote the text.
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text).map_err(invalid)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey of {}", self.public_key())
    }
}
