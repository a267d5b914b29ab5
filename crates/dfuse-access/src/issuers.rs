use std::sync::{Arc, PoisonError, RwLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};

use crate::{
    Error, Refusal, Result, crypto,
    token::{self, Claims},
};

/// Most keys of an issuer.
const MAX_KEYS: usize = 100;

/// Another issuer whose tokens count here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// As its tokens have it in `iss`.
    pub name: String,
    /// What its tokens must have in `aud`, if that matters.
    pub audience: Option<String>,
    /// The tier of its tokens that name none: by default that of [`Tiers::ANONYMOUS`](crate::Tiers::ANONYMOUS).
    pub tier: Option<String>,
}

/// The other issuers with their public keys, which come from files or addresses.
#[derive(Debug)]
pub(crate) struct Issuers(Vec<Known>);

#[derive(Debug)]
struct Known {
    issuer: Issuer,
    keys: RwLock<Arc<[PublicKey]>>,
}

struct PublicKey {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicKey").field("kid", &self.kid).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Issuers {
    pub(crate) fn new(issuers: Vec<Issuer>) -> Self {
        Self(issuers.into_iter().map(|issuer| Known { issuer, keys: RwLock::default() }).collect())
    }

    /// Takes a JSON Web Key Set for the public keys of an issuer. Keys that are for something else, or of algorithms without public
    /// keys, are left out. Returns how many there are.
    pub(crate) fn set_keys(&self, issuer: &str, document: &[u8]) -> Result<usize> {
        let known = self.0.iter().find(|known| known.issuer.name == issuer);
        let known = known.ok_or_else(|| Error::Invalid(format!("\"{issuer}\" is not an issuer in access.issuers")))?;
        let set: JwkSet = serde_json::from_slice(document)
            .map_err(|_| Error::Invalid(format!("the keys of the issuer \"{issuer}\" are not a JSON Web Key Set")))?;
        let keys: Arc<[_]> = set.keys.iter().filter_map(public_key).take(MAX_KEYS).collect();
        if keys.is_empty() {
            return Err(Error::Invalid(format!(
                "the keys of the issuer \"{issuer}\" are none that signatures are verified with; RSA, P-256, P-384 and Ed25519 are"
            )));
        }
        let count = keys.len();
        *known.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(count)
    }

    /// What a token says that one of them signed, and who; nothing if none of them has a key of its id. The algorithm is that of
    /// the key, whatever the token says.
    pub(crate) fn verify(&self, token: &str, kid: Option<&str>) -> Option<Result<(Claims, usize), Refusal>> {
        for (position, known) in self.0.iter().enumerate() {
            let keys = known.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
            let key = match kid {
                Some(_) => keys.iter().find(|key| key.kid.as_deref() == kid),
                // Without an id there must be no choice.
                None => keys.first().filter(|_| keys.len() == 1),
            };
            if let Some(key) = key {
                let Issuer { name, audience, .. } = &known.issuer;
                let claims = token::verify(token, &key.key, key.algorithm, name, audience.as_deref());
                return Some(claims.map(|claims| (claims, position)));
            }
        }
        None
    }
}

fn public_key(jwk: &Jwk) -> Option<PublicKey> {
    let common = &jwk.common;
    if common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(it) => match it.curve {
            EllipticCurve::P256 => Algorithm::ES256,
            EllipticCurve::P384 => Algorithm::ES384,
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        AlgorithmParameters::RSA(_) => match common.key_algorithm {
            None | Some(KeyAlgorithm::RS256) => Algorithm::RS256,
            Some(KeyAlgorithm::RS384) => Algorithm::RS384,
            Some(KeyAlgorithm::RS512) => Algorithm::RS512,
            Some(KeyAlgorithm::PS256) => Algorithm::PS256,
            Some(KeyAlgorithm::PS384) => Algorithm::PS384,
            Some(KeyAlgorithm::PS512) => Algorithm::PS512,
            Some(_) => return None,
        },
        // A secret among public keys is none.
        _ => return None,
    };
    let key = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
            crypto::rsa_public_key(&bytes(&rsa.n)?, &bytes(&rsa.e)?)
        }
        _ => DecodingKey::from_jwk(jwk).ok()?,
    };
    Some(PublicKey { kid: common.key_id.clone(), algorithm, key })
}
