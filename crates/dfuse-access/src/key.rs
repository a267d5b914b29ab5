use std::{fmt, str::FromStr};

use dfuse_blocks::Entropy;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::{Error, OriginPattern, Rate, Result};

/// Random bytes of a key.
const SECRET_BYTES: usize = 32;
/// Longest key that is looked at.
const MAX_KEY_BYTES: usize = 256;
/// Longest name.
const MAX_NAME_BYTES: usize = 200;
/// Most origins of a key.
const MAX_ORIGINS: usize = 100;

/// Who uses a key, which is also how its text begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// A server, which keeps it secret.
    Server,
    /// Web pages, where everybody can read it: only pages of its origins may use it.
    Web,
    /// Programs on many people's devices.
    Mobile,
}

impl KeyKind {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Web => "web",
            Self::Mobile => "mobile",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for KeyKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Server, Self::Web, Self::Mobile]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| Error::Invalid(format!("\"{text}\" is not a kind of keys; write server, web or mobile")))
    }
}

/// Names a key to operators and in tokens: 64 hex digits. It is not the key, and says nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(pub(crate) [u8; 32]);

impl KeyId {
    /// Its bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&const_hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = const_hex::decode_to_array(text);
        bytes.map(Self).map_err(|_| Error::Invalid("the id of a key has 64 hex digits".to_owned()))
    }
}

impl TryFrom<String> for KeyId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

/// The key itself, as the caller shows it. It stands nowhere but where it is made, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText(String);

impl KeyText {
    /// For whoever is to have the key: it is told once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn generate(kind: KeyKind, entropy: &dyn Entropy) -> Result<Self> {
        let secret = random(entropy)?;
        Ok(Self(format!("{kind}_{}", const_hex::encode(secret))))
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText")
    }
}

/// What is kept of a key's text. Its bits are random, so that one round of a fast digest cannot be undone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct KeyHash([u8; 32]);

impl KeyHash {
    /// Of what a caller shows; nothing of a text that is no key.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_KEY_BYTES {
            return None;
        }
        let mut hash = [0; 32];
        // Clients have keys in any case.
        hash.copy_from_slice(digest(&SHA256, text.to_ascii_lowercase().as_bytes()).as_ref());
        Some(Self(hash))
    }

    /// Whether they are equal, in a time that does not depend on where they differ.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

impl TryFrom<String> for KeyHash {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let bytes = const_hex::decode_to_array(text);
        bytes.map(Self).map_err(|_| Error::Invalid("the hash of a key has 64 hex digits".to_owned()))
    }
}

impl From<KeyHash> for String {
    fn from(hash: KeyHash) -> Self {
        const_hex::encode(hash.0)
    }
}

/// What a new key is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// Who uses it.
    pub kind: KeyKind,
    /// For operators.
    pub name: String,
    /// Web pages that may use it. A web key has at least one; without any, pages of all origins may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<OriginPattern>,
    /// Name of its tier; every route and all history without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// How many blocks below the head it may read, instead of what its tier says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<u32>,
    /// How many requests of each class of routes, instead of what its tier says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// From when on it gives no tokens, in seconds since 1970; its tokens end then, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

impl NewKey {
    /// A key of this kind and name, without any limit.
    pub fn new(kind: KeyKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), origins: Vec::new(), tier: None, history: None, rate: None, expires: None }
    }

    pub(crate) fn check(&self, now: u64) -> Result<()> {
        let wrong = |what: String| Err(Error::Invalid(what));
        if self.name.trim().is_empty() || self.name.len() > MAX_NAME_BYTES || self.name.contains(char::is_control) {
            return wrong(format!("a key needs a name of 1 to {MAX_NAME_BYTES} bytes in one line"));
        }
        if self.kind == KeyKind::Web && self.origins.is_empty() {
            return wrong(
                "a web key can be read by everybody: name the origins of the pages that may use it with --origin (\"*\" for all)"
                    .to_owned(),
            );
        }
        if self.origins.len() > MAX_ORIGINS {
            return wrong(format!("a key has at most {MAX_ORIGINS} origins"));
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            return wrong("the key would have expired already: name a time in the future".to_owned());
        }
        Ok(())
    }

    pub(crate) fn make(self, text: &KeyText, now: u64, entropy: &dyn Entropy) -> Result<ApiKey> {
        let hash = KeyHash::of(text.reveal()).ok_or_else(|| Error::Crypto("a key of no text".to_owned()))?;
        Ok(ApiKey { id: KeyId(random(entropy)?), spec: self, created: now, revoked: None, hash })
    }
}

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// What it was made with.
    #[serde(flatten)]
    pub spec: NewKey,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
    pub(crate) hash: KeyHash,
}

impl ApiKey {
    /// Whether it can be used at that time.
    pub fn is_valid(&self, now: u64) -> bool {
        self.revoked.is_none() && self.spec.expires.is_none_or(|expires| now < expires)
    }

    /// Whether a page of that origin may use it. Who sends none is no web page.
    pub fn allows_origin(&self, origin: Option<&str>) -> bool {
        let origins = &self.spec.origins;
        origins.is_empty() || origin.is_none_or(|origin| origins.iter().any(|pattern| pattern.matches(origin)))
    }

    /// The user in tokens.
    pub(crate) fn user(&self) -> String {
        format!("uid:{}", &self.id.to_string()[..20])
    }
}

fn random(entropy: &dyn Entropy) -> Result<[u8; SECRET_BYTES]> {
    let mut bytes = [0; SECRET_BYTES];
    entropy.fill(&mut bytes).map_err(|error| Error::Crypto(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use dfuse_blocks::SystemEntropy;

    use super::*;

    #[test]
    fn only_a_hash_is_kept() {
        let text = KeyText::generate(KeyKind::Web, &SystemEntropy).unwrap();
        let secret = text.reveal().strip_prefix("web_").unwrap();
        assert_eq!(secret.len(), 64);
        let new = NewKey { origins: vec!["*".parse().unwrap()], ..NewKey::new(KeyKind::Web, "a page") };
        let key = new.make(&text, 7, &SystemEntropy).unwrap();
        let kept = serde_json::to_string(&key).unwrap();
        assert!(!kept.contains(secret), "{kept}");
        assert!(!format!("{key:?} {text:?}").contains(secret));
        assert_eq!(serde_json::from_str::<ApiKey>(&kept).unwrap(), key);
        assert!(key.hash.is(&KeyHash::of(&text.reveal().to_uppercase()).unwrap()));
        assert!(!key.hash.is(&KeyHash::of(&format!("{}0", text.reveal())).unwrap()));
    }

    #[test]
    fn what_a_key_must_have() {
        let good = NewKey::new(KeyKind::Server, "a");
        good.check(0).unwrap();
        for (wrong, message) in [
            (NewKey { name: " ".to_owned(), ..good.clone() }, "needs a name"),
            (NewKey { name: "a\nb".to_owned(), ..good.clone() }, "needs a name"),
            (NewKey { kind: KeyKind::Web, ..good.clone() }, "--origin"),
            (NewKey { expires: Some(5), ..good }, "in the future"),
        ] {
            let error = wrong.check(5).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn origins_count_for_pages_only() {
        let new = NewKey { origins: vec!["https://a.b".parse().unwrap()], ..NewKey::new(KeyKind::Web, "a") };
        let text = KeyText::generate(KeyKind::Web, &SystemEntropy).unwrap();
        let key = new.make(&text, 7, &SystemEntropy).unwrap();
        assert!(key.allows_origin(None) && key.allows_origin(Some("https://a.b")));
        assert!(!key.allows_origin(Some("https://c.d")) && !key.allows_origin(Some("null")));
    }
}
