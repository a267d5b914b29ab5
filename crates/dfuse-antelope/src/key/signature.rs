use super::{
    checked,
    curve::{self, k1, r1},
    public::PublicKey,
    webauthn::WebAuthnSignature,
};
use crate::{
    Checksum256, Error, Result,
    raw::{Reader, Writer},
    text::as_text,
};

/// A signature from which the key that made it can be recovered. The text is `SIG_K1_...`, `SIG_R1_...` or `SIG_WA_...`.
///
/// K1 and R1 are a header byte (31 plus the recovery id), `r` and `s`, both big endian.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signature {
    /// On secp256k1.
    K1([u8; 65]),
    /// On secp256r1.
    R1([u8; 65]),
    /// On secp256r1 by an authenticator, with what it signed around the digest.
    WebAuthn(Box<WebAuthnSignature>),
}

impl Signature {
    /// The key that made this signature of `digest`. An error when no key can have made it.
    pub fn recover(&self, digest: &Checksum256) -> Result<PublicKey> {
        match self {
            Self::K1(compact) => k1::recover(compact, digest).map(PublicKey::K1),
            Self::R1(compact) => r1::recover(compact, digest).map(PublicKey::R1),
            Self::WebAuthn(signature) => {
                return signature.recover(digest).map(|key| PublicKey::WebAuthn(Box::new(key)));
            }
        }
        .ok_or_else(|| Error::invalid("signature", "no key could have made it"))
    }

    /// False for a K1 signature that nodeos refuses since `r` or `s` has its top bit set or a zero byte too many.
    pub fn is_canonical(&self) -> bool {
        if let Self::K1(compact) = self { curve::is_canonical(compact) } else { true }
    }

    /// Appends the text to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::K1(compact) => checked::write_to("SIG_K1_", "K1", compact, out),
            Self::R1(compact) => checked::write_to("SIG_R1_", "R1", compact, out),
            Self::WebAuthn(signature) => {
                let mut payload = Writer::new();
                signature.write(&mut payload);
                checked::write_to("SIG_WA_", "WA", &payload.bytes, out);
            }
        }
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(rest) = text.strip_prefix("SIG_K1_") {
            checked::parse_array(rest, "K1").map(Self::K1)
        } else if let Some(rest) = text.strip_prefix("SIG_R1_") {
            checked::parse_array(rest, "R1").map(Self::R1)
        } else if let Some(rest) = text.strip_prefix("SIG_WA_") {
            checked::parse_value(rest, "WA", WebAuthnSignature::MAX_BYTES, WebAuthnSignature::read)
                .map(|value| Self::WebAuthn(Box::new(value)))
        } else {
            Err("a signature begins with SIG_K1_, SIG_R1_ or SIG_WA_")
        }
    }

    /// Reads the kind (one byte) and the signature.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        match reader.u8()? {
            0 => reader.array("signature").map(Self::K1),
            1 => reader.array("signature").map(Self::R1),
            2 => WebAuthnSignature::read(reader).map(|value| Self::WebAuthn(Box::new(value))),
            other => Err(Error::invalid("signature", format!("kind {other} is none of 0 (K1), 1 (R1), 2 (WebAuthn)"))),
        }
    }

    /// The inverse of [`read`](Self::read).
    pub fn write(&self, writer: &mut Writer) {
        match self {
            Self::K1(compact) => {
                writer.u8(0);
                writer.take(compact);
            }
            Self::R1(compact) => {
                writer.u8(1);
                writer.take(compact);
            }
            Self::WebAuthn(signature) => {
                writer.u8(2);
                signature.write(writer);
            }
        }
    }
}

impl Default for Signature {
    /// The K1 signature of all zeros, which unsigned blocks have.
    fn default() -> Self {
        Self::K1([0; 65])
    }
}

as_text!(Signature: "signature");
