use std::sync::{Arc, RwLock};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use ring::{
    digest::{SHA256, digest},
    signature::{EcdsaKeyPair, KeyPair},
};
use serde_json::json;

use crate::{
    AccessStore, Error, Refusal, Result, SigningRecord, crypto,
    token::{self, Claims, LEEWAY_SECONDS, TOKEN_SECONDS},
};

/// Bytes of the digest that names a key.
const KID_BYTES: usize = 8;

/// The keys that our tokens are signed with: the newest signs, older ones verify as long as a token of them may live.
#[derive(Debug)]
pub(crate) struct SigningKeys {
    keys: RwLock<Arc<[SigningKey]>>,
}

struct SigningKey {
    record: SigningRecord,
    encoding: EncodingKey,
    decoding: DecodingKey,
    /// The point of the public key: 32 bytes of x, 32 of y.
    point: [u8; 64],
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.record.fmt(f)
    }
}

/// The signing keys in a configuration, of which the first signs: each a private key of P-256 in PKCS #8, as PEM or its base64.
///
/// # Errors
/// [`Error::Invalid`] says which cannot be used. What it is stays out of the message.
pub fn configured_signing_keys(texts: &[String]) -> Result<Vec<SigningRecord>> {
    let record = |(at, text): (usize, &String)| {
        let wrong = || {
            Error::Invalid(format!(
                "setting \"access.signing_keys\": number {} of the keys is not a private key of P-256 in PKCS #8; openssl genpkey \
                 -algorithm EC -pkeyopt ec_paramgen_curve:P-256 prints one",
                at + 1
            ))
        };
        let lines = text.lines().filter(|line| !line.starts_with("-----"));
        let base64: String = lines.flat_map(str::chars).filter(|letter| !letter.is_whitespace()).collect();
        let pkcs8 = STANDARD.decode(base64).map_err(|_| wrong())?;
        let pair = crypto::key_pair(&pkcs8).ok_or_else(wrong)?;
        // Those that only verify count as long as they are there.
        let retired = (at > 0).then_some(u64::MAX);
        Ok(SigningRecord { kid: kid_of(&pair), pkcs8: STANDARD.encode(pkcs8), created: 0, retired })
    };
    texts.iter().enumerate().map(record).collect()
}

fn kid_of(pair: &EcdsaKeyPair) -> String {
    const_hex::encode(&digest(&SHA256, pair.public_key().as_ref()).as_ref()[..KID_BYTES])
}

impl SigningKey {
    fn open(record: SigningRecord) -> Result<Self> {
        let damaged = |why: &str| Error::Damaged { record: format!("signing/{}", record.kid), why: why.to_owned() };
        let pkcs8 = STANDARD.decode(&record.pkcs8).map_err(|_| damaged("not base64"))?;
        let pair = crypto::key_pair(&pkcs8).ok_or_else(|| damaged("not a private key of P-256"))?;
        let public = pair.public_key().as_ref();
        let point = public.strip_prefix(&[4]).and_then(|point| point.try_into().ok());
        let point = point.ok_or_else(|| damaged("not an uncompressed point"))?;
        let (encoding, decoding) = (EncodingKey::from_ec_der(&pkcs8), DecodingKey::from_ec_der(public));
        Ok(Self { record, encoding, decoding, point })
    }

    fn generate(now: u64) -> Result<Self> {
        let pkcs8 = crypto::new_key_pair().ok_or_else(|| Error::Crypto("no key pair".to_owned()))?;
        let pair = crypto::key_pair(&pkcs8).ok_or_else(|| Error::Crypto("no key pair".to_owned()))?;
        Self::open(SigningRecord { kid: kid_of(&pair), pkcs8: STANDARD.encode(pkcs8), created: now, retired: None })
    }
}

impl SigningKeys {
    /// The keys of the store; the first one is made.
    pub(crate) fn open(store: &dyn AccessStore, now: u64) -> Result<Self> {
        crypto::install();
        let keys = store.signing_keys()?.into_iter().map(SigningKey::open).collect::<Result<Vec<_>>>()?;
        let keys = Self { keys: RwLock::new(sorted(keys)) };
        if keys.signs().is_none() {
            keys.rotate(store, now)?;
        }
        Ok(keys)
    }

    fn all(&self) -> Arc<[SigningKey]> {
        // Nothing can panic while it is held.
        self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// When the key was made that signs.
    pub(crate) fn signs(&self) -> Option<u64> {
        self.all().iter().find(|key| key.record.retired.is_none()).map(|key| key.record.created)
    }

    /// Lets a new key sign from now on, and forgets those that no token can be of any more. Returns its id.
    pub(crate) fn rotate(&self, store: &dyn AccessStore, now: u64) -> Result<String> {
        let new = SigningKey::generate(now)?;
        let kid = new.record.kid.clone();
        let mut keys = vec![new];
        for key in self.all().iter() {
            let retired = key.record.retired.unwrap_or(now);
            if now <= retired.saturating_add(TOKEN_SECONDS + LEEWAY_SECONDS) {
                keys.push(SigningKey::open(SigningRecord { retired: Some(retired), ..key.record.clone() })?);
            }
        }
        let records: Vec<_> = keys.iter().map(|key| key.record.clone()).collect();
        store.set_signing_keys(&records)?;
        *self.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner) = sorted(keys);
        Ok(kid)
    }

    /// Writes a token.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String> {
        let keys = self.all();
        let key = keys.iter().find(|key| key.record.retired.is_none());
        let key = key.ok_or_else(|| Error::Crypto("there is no signing key".to_owned()))?;
        token::sign(claims, &key.record.kid, &key.encoding)
    }

    /// What a token says that one of these keys signed; nothing if none of them has its id.
    pub(crate) fn verify(&self, token: &str, kid: Option<&str>, issuer: &str) -> Option<Result<Claims, Refusal>> {
        let keys = self.all();
        let key = keys.iter().find(|key| Some(key.record.kid.as_str()) == kid)?;
        Some(token::verify(token, &key.decoding, Algorithm::ES256, issuer, None))
    }

    /// The public keys, as others verify our tokens with them: a JSON Web Key Set.
    pub(crate) fn public(&self) -> serde_json::Value {
        let key = |key: &SigningKey| {
            let (x, y) = key.point.split_at(32);
            json!({
                "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key.record.kid,
                "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
            })
        };
        json!({"keys": self.all().iter().map(key).collect::<Vec<_>>()})
    }
}

/// The one that signs first.
fn sorted(mut keys: Vec<SigningKey>) -> Arc<[SigningKey]> {
    keys.sort_by_key(|key| (key.record.retired.is_some(), std::cmp::Reverse(key.record.created)));
    keys.into()
}
