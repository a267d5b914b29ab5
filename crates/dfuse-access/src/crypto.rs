//! The cryptography of tokens: `ring`, which TLS brings already, under the library that reads and writes them.

use ::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind, new_error},
};
use ring::{
    rand::SystemRandom,
    signature::{self as ring_signature, EcdsaKeyPair, UnparsedPublicKey, VerificationAlgorithm},
};

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// Makes the library use it. Whoever comes second finds it there.
pub(crate) fn install() {
    let _ = PROVIDER.install_default();
}

/// Our own tokens are signed by P-256 and nothing else.
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    if *algorithm != Algorithm::ES256 || key.family() != AlgorithmFamily::Ec {
        return Err(new_error(ErrorKind::InvalidAlgorithm));
    }
    Ok(Box::new(P256Signer(key_pair(key.as_bytes()).ok_or_else(|| new_error(ErrorKind::InvalidEcdsaKey))?)))
}

/// A key pair of PKCS #8 bytes.
pub(crate) fn key_pair(pkcs8: &[u8]) -> Option<EcdsaKeyPair> {
    EcdsaKeyPair::from_pkcs8(&ring_signature::ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new()).ok()
}

/// The PKCS #8 bytes of a new key pair.
pub(crate) fn new_key_pair() -> Option<Vec<u8>> {
    let algorithm = &ring_signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).ok()?;
    Some(document.as_ref().to_vec())
}

struct P256Signer(EcdsaKeyPair);

impl Signer<Vec<u8>> for P256Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        signature.map(|it| it.as_ref().to_vec()).map_err(|_| SignatureError::new())
    }
}

impl JwtSigner for P256Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let of: &'static dyn VerificationAlgorithm = match algorithm {
        Algorithm::ES256 => &ring_signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &ring_signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDSA => &ring_signature::ED25519,
        Algorithm::RS256 => &ring_signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &ring_signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &ring_signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &ring_signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &ring_signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &ring_signature::RSA_PSS_2048_8192_SHA512,
        // Whoever can verify an HMAC can make one: no key that is told to others is for it.
        _ => return Err(new_error(ErrorKind::InvalidAlgorithm)),
    };
    if !key.family().algorithms().contains(algorithm) {
        return Err(new_error(ErrorKind::InvalidAlgorithm));
    }
    let key = UnparsedPublicKey::new(of, key.try_get_as_bytes()?.to_vec());
    Ok(Box::new(PublicKey { algorithm: *algorithm, key }))
}

struct PublicKey {
    algorithm: Algorithm,
    key: UnparsedPublicKey<Vec<u8>>,
}

impl Verifier<Vec<u8>> for PublicKey {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.key.verify(message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for PublicKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// An RSA public key as it is verified with, from the big-endian bytes of its modulus and exponent: PKCS #1, DER.
pub(crate) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> DecodingKey {
    let integer = |bytes: &[u8]| {
        let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        // A first bit that is set would be a sign.
        let sign: &[u8] = if bytes.first().is_none_or(|byte| *byte >= 0x80) { &[0] } else { &[] };
        der(0x02, &[sign, bytes].concat())
    };
    DecodingKey::from_rsa_der(&der(0x30, &[integer(modulus), integer(exponent)].concat()))
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut encoded = vec![tag];
    if content.len() >= 0x80 {
        encoded.push(0x80 | length.len() as u8);
        encoded.extend(length);
    } else {
        encoded.push(content.len() as u8);
    }
    encoded.extend(content);
    encoded
}
