//! Tokens that nobody issued, and guessing.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dfuse_access::{Mode, Options, Refusal};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use serde_json::{Value, json};

use crate::support::{TestGate, encoded, part};

fn reason(gate: &TestGate, token: &str) -> &'static str {
    match gate.at(Some(token), "192.0.2.1") {
        Err(Refusal::TokenInvalid { reason }) => reason,
        other => panic!("{token}: {other:?}"),
    }
}

fn signed(key: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let signature = key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn own_key() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap()
}

#[test]
fn changed_claims() {
    let gate = TestGate::required();
    let token = gate.token(&gate.key().0);
    let mut claims = part(&token, 1);
    claims["exp"] = json!(claims["exp"].as_u64().unwrap() + 1);
    let parts: Vec<_> = token.split('.').collect();
    let forged = format!("{}.{}.{}", parts[0], encoded(&claims), parts[2]);
    assert!(reason(&gate, &forged).contains("signature"));
    gate.with(&token).unwrap();
}

#[test]
fn no_signature() {
    let gate = TestGate::required();
    let token = gate.token(&gate.key().0);
    let (header, claims) = (part(&token, 0), part(&token, 1));
    for algorithm in ["none", "None", "NONE", ""] {
        let mut header = header.clone();
        header["alg"] = json!(algorithm);
        let bare = format!("{}.{}.", encoded(&header), encoded(&claims));
        reason(&gate, &bare);
    }
    let parts: Vec<_> = token.split('.').collect();
    assert!(reason(&gate, &format!("{}.{}.", parts[0], parts[1])).contains("signature"));
}

#[test]
fn the_public_key_as_a_secret() {
    let gate = TestGate::required();
    let token = gate.token(&gate.key().0);
    let (mut header, claims) = (part(&token, 0), part(&token, 1));
    let public = &gate.public_keys()["keys"][0];
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(public[name].as_str().unwrap()).unwrap();
    let point = [vec![4], bytes("x"), bytes("y")].concat();
    for (algorithm, of) in [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
        header["alg"] = json!(algorithm);
        let message = format!("{}.{}", encoded(&header), encoded(&claims));
        for secret in [point.clone(), bytes("x"), public.to_string().into_bytes(), Vec::new()] {
            let tag = hmac::sign(&hmac::Key::new(of, &secret), message.as_bytes());
            let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
            // A guess of ours at a time: what follows is not looked at.
            gate.clock.advance(60);
            assert!(reason(&gate, &forged).contains("algorithm"), "{algorithm}");
        }
    }
}

#[test]
fn another_algorithm_of_the_same_kind() {
    let gate = TestGate::required();
    let token = gate.token(&gate.key().0);
    let parts: Vec<_> = token.split('.').collect();
    for algorithm in ["ES384", "RS256", "PS256", "EdDSA", "KMSES256", "ES512"] {
        let mut header = part(&token, 0);
        header["alg"] = json!(algorithm);
        reason(&gate, &format!("{}.{}.{}", encoded(&header), parts[1], parts[2]));
    }
}

#[test]
fn another_key() {
    let gate = TestGate::required();
    let token = gate.token(&gate.key().0);
    let (header, claims) = (part(&token, 0), part(&token, 1));
    assert!(reason(&gate, &signed(&own_key(), &header, &claims)).contains("signature"));
    // The key that is in the token, or that it points to, counts for nothing.
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"});
    for (name, value) in [("kid", json!("other")), ("jwk", jwk), ("jku", json!("https://evil.org/jwks.json"))] {
        let mut header = header.clone();
        header[name] = value;
        reason(&gate, &signed(&own_key(), &header, &claims));
    }
    let mut without = header;
    without.as_object_mut().unwrap().remove("kid");
    assert!(reason(&gate, &signed(&own_key(), &without, &claims)).contains("no key of its id"));
}

#[test]
fn another_server() {
    let gate = TestGate::required();
    let other = TestGate::required();
    let token = other.token(&other.key().0);
    assert!(reason(&gate, &token).contains("no key of its id"));
}

#[test]
fn what_is_no_token() {
    let gate = TestGate::required();
    for garbage in ["a", "a.b", "a.b.c", "....", "e30.e30.", "\u{1f600}", "null", &"a".repeat(9000), &".".repeat(8000)]
    {
        gate.clock.advance(60);
        reason(&gate, garbage);
    }
    assert_eq!(gate.with("  ").unwrap_err(), Refusal::TokenMissing);
}

#[test]
fn an_api_key_is_no_token() {
    let gate = TestGate::required();
    let (key, id) = gate.key();
    reason(&gate, &key);
    reason(&gate, &id);
    let refused = gate.issue(&id, None, None).unwrap().unwrap_err();
    assert_eq!(refused, Refusal::KeyInvalid);
}

#[test]
fn guessing_is_limited_and_others_are_not() {
    let gate = TestGate::required();
    let (key, _) = gate.key();
    let (attacker, neighbour) = ("192.0.2.1", "192.0.2.2");
    let known = gate.token(&key);
    gate.at(Some(&known), attacker).unwrap();
    let address = Some(attacker.parse().unwrap());
    let mut refused = 0;
    for guess in 0..100 {
        match gate.issue(&format!("server_{guess:064x}"), address, None).unwrap() {
            Err(Refusal::KeyInvalid) => refused += 1,
            // After 20 guesses and 60 requests.
            Err(Refusal::Guesses(standing) | Refusal::Rate(standing)) => assert!(standing.reset_seconds > 0),
            other => panic!("{other:?}"),
        }
    }
    assert!((20..25).contains(&refused), "{refused}");
    // Not even a right one is looked at, as it would tell.
    assert!(matches!(gate.issue(&key, address, None).unwrap(), Err(Refusal::Rate(_))));
    gate.clock.advance(2);
    assert!(matches!(gate.issue(&key, address, None).unwrap(), Err(Refusal::Guesses(_))));
    assert!(matches!(gate.at(Some("a.b.c"), attacker), Err(Refusal::Guesses(_))));
    // Who has a token at the same address goes on, and so does everybody else.
    gate.at(Some(&known), attacker).unwrap();
    gate.issue(&key, Some(neighbour.parse().unwrap()), None).unwrap().unwrap();
    gate.clock.advance(60);
    gate.issue(&key, address, None).unwrap().unwrap();
}

#[test]
fn a_shared_secret_is_whole_or_nothing() {
    let options =
        Options { mode: Mode::Required, secret: Some("correct horse".to_owned().into()), ..Options::default() };
    let gate = TestGate::new(options);
    assert_eq!(gate.with("correct horse").unwrap().subject().to_string(), "secret");
    for wrong in ["correct hors", "correct horse!", "Correct horse", "c"] {
        assert!(gate.with(wrong).is_err(), "{wrong}");
    }
    assert!(!format!("{:?}", gate.gate).contains("horse"));
}
