//! The WebAuthn keys and signatures of the chain (protocol feature `WEBAUTHN_KEY`), after nodeos' `elliptic_webauthn`.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

use super::curve::r1;
use crate::{
    Checksum, Checksum256, Error, Result,
    raw::{Reader, Writer},
};

/// Most bytes of each part that has no size of its own: as much as nodeos takes by default for all such parts of a
/// signature (`maximum-variable-signature-length`). It bounds the time for their text, which is quadratic, to tens of
/// milliseconds.
pub const MAX_WEBAUTHN_BYTES: usize = 16 * 1024;

/// A key that an authenticator made for one web site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebAuthnKey {
    /// The compressed point of secp256r1.
    pub point: [u8; 33],
    /// What the authenticator asked of the user: 0 nothing, 1 presence, 2 verification (such as a fingerprint).
    pub user_presence: u8,
    /// Domain of the web site; not empty. UTF-8 by intention, but the chain does not check.
    pub rpid: Box<[u8]>,
}

impl WebAuthnKey {
    /// Most bytes of a key, its length prefix included.
    pub(super) const MAX_BYTES: usize = 33 + 1 + 5 + MAX_WEBAUTHN_BYTES;

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let key = Self {
            point: reader.array("public key")?,
            user_presence: reader.u8()?,
            rpid: part(reader, "WebAuthn rpid")?,
        };
        if key.rpid.is_empty() {
            return Err(Error::invalid("public key", "a WebAuthn key has a domain"));
        }
        Ok(key)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.take(&self.point);
        writer.u8(self.user_presence);
        writer.blob(&self.rpid);
    }
}

/// A signature by an authenticator, over SHA-256 of `auth_data` and of the SHA-256 of `client_json`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebAuthnSignature {
    /// Header byte, `r` and `s` on secp256r1.
    pub compact: [u8; 65],
    /// The authenticator's data: SHA-256 of the domain, flags, a counter, extensions.
    pub auth_data: Box<[u8]>,
    /// The browser's data: a JSON object with at least `type`, `challenge` (the digest) and `origin` (the web site).
    pub client_json: Box<[u8]>,
}

/// A challenge is base64url with or without padding.
const CHALLENGE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl WebAuthnSignature {
    /// Most bytes of a signature, its length prefixes included.
    pub(super) const MAX_BYTES: usize = 65 + 2 * (5 + MAX_WEBAUTHN_BYTES);

    pub(super) fn recover(&self, digest: &Checksum256) -> Result<WebAuthnKey> {
        let invalid = |why: &str| Error::invalid("WebAuthn signature", why);
        let client: Map<String, Value> =
            serde_json::from_slice(&self.client_json).map_err(|_| invalid("the client data is not a JSON object"))?;
        let field = |name| client.get(name).and_then(Value::as_str).unwrap_or_default();

        if field("type") != "webauthn.get" {
            return Err(invalid("the client data is not of type webauthn.get"));
        }
        if CHALLENGE.decode(field("challenge")).ok().as_deref() != Some(&digest.0) {
            return Err(invalid("the challenge is not the digest"));
        }
        let site = field("origin").strip_prefix("https://").ok_or_else(|| invalid("the origin is not https"))?;
        let rpid = site.rsplit_once(':').map_or(site, |(domain, _port)| domain);
        let (domain_hash, flags) = match self.auth_data.split_first_chunk() {
            Some((hash, [flags, _, _, _, _, ..])) => (Checksum(*hash), *flags),
            _ => return Err(invalid("the authenticator data has less than 37 bytes")),
        };
        if rpid.is_empty() || domain_hash != Checksum256::sha256(rpid.as_bytes()) {
            return Err(invalid("the origin is not of the authenticator's domain"));
        }

        let client_hash = Checksum256::sha256(&self.client_json);
        let signed = Checksum256::sha256(&[&self.auth_data[..], &client_hash.0].concat());
        let header_is_compressed = (31..35).contains(&self.compact[0]);
        let point = r1::recover(&self.compact, &signed).filter(|_| header_is_compressed);
        Ok(WebAuthnKey {
            point: point.ok_or_else(|| invalid("no key could have made it"))?,
            user_presence: match flags {
                verified if verified & 4 != 0 => 2,
                present if present & 1 != 0 => 1,
                _ => 0,
            },
            rpid: rpid.as_bytes().into(),
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            compact: reader.array("signature")?,
            auth_data: part(reader, "WebAuthn authenticator data")?,
            client_json: part(reader, "WebAuthn client data")?,
        })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.take(&self.compact);
        writer.blob(&self.auth_data);
        writer.blob(&self.client_json);
    }
}

fn part(reader: &mut Reader<'_>, what: &'static str) -> Result<Box<[u8]>> {
    match reader.blob(what)? {
        bytes if bytes.len() <= MAX_WEBAUTHN_BYTES => Ok(bytes.into()),
        _ => Err(Error::Limit { what, limit: MAX_WEBAUTHN_BYTES }),
    }
}
