use std::{
    ops::RangeInclusive,
    sync::{Arc, PoisonError, RwLock},
};

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
/// Bits of the modulus of an RSA key that signatures are verified with. Shorter ones can be broken.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;
/// Longest id of a key that is repeated.
const MAX_KID_BYTES: usize = 64;

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

/// What came of the keys of an issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssuerKeys {
    /// How many count.
    pub count: usize,
    /// Those that are for signatures and cannot be used: which, and why.
    pub refused: Vec<String>,
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
    /// keys, are left out; those that should count and cannot are told.
    pub(crate) fn set_keys(&self, issuer: &str, document: &[u8]) -> Result<IssuerKeys> {
        let known = self.0.iter().find(|known| known.issuer.name == issuer);
        let known = known.ok_or_else(|| Error::Invalid(format!("\"{issuer}\" is not an issuer in access.issuers")))?;
        let set: JwkSet = serde_json::from_slice(document)
            .map_err(|_| Error::Invalid(format!("the keys of the issuer \"{issuer}\" are not a JSON Web Key Set")))?;
        let mut keys = Vec::new();
        let mut refused = Vec::new();
        for jwk in set.keys.iter().take(MAX_KEYS) {
            match public_key(jwk) {
                Ok(key) => keys.extend(key),
                Err(why) => refused.push(format!("{}: {why}", named(jwk))),
            }
        }
        if keys.is_empty() {
            let why = if refused.is_empty() { String::new() } else { format!(": {}", refused.join("; ")) };
            return Err(Error::Invalid(format!(
                "the keys of the issuer \"{issuer}\" are none that signatures are verified with; RSA of 2,048 bits or more, P-256, \
                 P-384 and Ed25519 are{why}"
            )));
        }
        let count = keys.len();
        *known.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
        Ok(IssuerKeys { count, refused })
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

/// A key by its id, for people.
fn named(jwk: &Jwk) -> String {
    let Some(kid) = &jwk.common.key_id else { return "a key without a kid".to_owned() };
    let kid: String = kid.chars().filter(|letter| !letter.is_control()).collect();
    format!("the key \"{}\"", &kid[..kid.floor_char_boundary(MAX_KID_BYTES)])
}

/// The key of an entry; nothing if it is not for signatures, and the reason if it is and cannot be used.
fn public_key(jwk: &Jwk) -> Result<Option<PublicKey>, String> {
    let common = &jwk.common;
    if common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return Ok(None);
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(it) => match it.curve {
            EllipticCurve::P256 => Algorithm::ES256,
            EllipticCurve::P384 => Algorithm::ES384,
            _ => return Ok(None),
        },
        AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        AlgorithmParameters::RSA(_) => match common.key_algorithm {
            None | Some(KeyAlgorithm::RS256) => Algorithm::RS256,
            Some(KeyAlgorithm::RS384) => Algorithm::RS384,
            Some(KeyAlgorithm::RS512) => Algorithm::RS512,
            Some(KeyAlgorithm::PS256) => Algorithm::PS256,
            Some(KeyAlgorithm::PS384) => Algorithm::PS384,
            Some(KeyAlgorithm::PS512) => Algorithm::PS512,
            Some(_) => return Ok(None),
        },
        // A secret among public keys is none.
        _ => return Ok(None),
    };
    let key = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => rsa_key(&rsa.n, &rsa.e)?,
        _ => DecodingKey::from_jwk(jwk).map_err(|_| "its coordinates are not of a point".to_owned())?,
    };
    Ok(Some(PublicKey { kid: common.key_id.clone(), algorithm, key }))
}

fn rsa_key(modulus: &str, exponent: &str) -> Result<DecodingKey, String> {
    let bytes = |name: &str, text: &str| {
        URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("its {name} is not base64url without padding"))
    };
    let (modulus, exponent) = (bytes("n", modulus)?, bytes("e", exponent)?);
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let bits = match modulus.get(zeros) {
        Some(first) => (modulus.len() - zeros) * 8 - first.leading_zeros() as usize,
        None => 0,
    };
    if !RSA_BITS.contains(&bits) {
        return Err(format!(
            "it is an RSA key of {bits} bits, and must have {} to {}",
            RSA_BITS.start(),
            RSA_BITS.end()
        ));
    }
    Ok(crypto::rsa_public_key(&modulus, &exponent))
}
