use super::{checked, webauthn::WebAuthnKey};
use crate::{
    Error, Result,
    raw::{Reader, Writer},
    text::as_text,
};

/// A public key. Its points are not checked to be on their curve: the chain has keys, such as all zeros, that are not.
///
/// The text is what the chain's tools print: `EOS...` for K1, `PUB_R1_...` and `PUB_WA_...` for the others. Reading also
/// takes `PUB_K1_...`, hence parsing and printing gives the one text by which a key is to be compared as text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PublicKey {
    /// A compressed point of secp256k1.
    K1([u8; 33]),
    /// A compressed point of secp256r1.
    R1([u8; 33]),
    /// A compressed point of secp256r1 that belongs to a web site.
    WebAuthn(Box<WebAuthnKey>),
}

impl PublicKey {
    /// Appends the text to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::K1(point) => checked::write_to("EOS", "", point, out),
            Self::R1(point) => checked::write_to("PUB_R1_", "R1", point, out),
            Self::WebAuthn(key) => {
                let mut payload = Writer::new();
                key.write(&mut payload);
                checked::write_to("PUB_WA_", "WA", &payload.bytes, out);
            }
        }
    }

    /// The text that begins with the kind of key for K1 too: `PUB_K1_...`.
    pub fn to_prefixed_text(&self) -> String {
        let Self::K1(point) = self else { return self.to_string() };
        let mut text = Vec::new();
        checked::write_to("PUB_K1_", "K1", point, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(rest) = text.strip_prefix("EOS") {
            checked::parse_array(rest, "").map(Self::K1)
        } else if let Some(rest) = text.strip_prefix("PUB_K1_") {
            checked::parse_array(rest, "K1").map(Self::K1)
        } else if let Some(rest) = text.strip_prefix("PUB_R1_") {
            checked::parse_array(rest, "R1").map(Self::R1)
        } else if let Some(rest) = text.strip_prefix("PUB_WA_") {
            checked::parse_value(rest, "WA", WebAuthnKey::MAX_BYTES, WebAuthnKey::read)
                .map(|key| Self::WebAuthn(Box::new(key)))
        } else {
            Err("a public key begins with EOS, PUB_K1_, PUB_R1_ or PUB_WA_")
        }
    }

    /// Reads the kind (one byte) and the key.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        match reader.u8()? {
            0 => reader.array("public key").map(Self::K1),
            1 => reader.array("public key").map(Self::R1),
            2 => WebAuthnKey::read(reader).map(|key| Self::WebAuthn(Box::new(key))),
            other => Err(Error::invalid("public key", format!("kind {other} is none of 0 (K1), 1 (R1), 2 (WebAuthn)"))),
        }
    }

    /// The inverse of [`read`](Self::read).
    pub fn write(&self, writer: &mut Writer) {
        match self {
            Self::K1(point) => {
                writer.u8(0);
                writer.take(point);
            }
            Self::R1(point) => {
                writer.u8(1);
                writer.take(point);
            }
            Self::WebAuthn(key) => {
                writer.u8(2);
                key.write(writer);
            }
        }
    }
}

impl Default for PublicKey {
    /// The K1 key of all zeros, which is nobody's.
    fn default() -> Self {
        Self::K1([0; 33])
    }
}

as_text!(PublicKey: "public key");
