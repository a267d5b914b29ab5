//! Tokens that others sign.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use dfuse_access::{Issuer, Mode, Options, Refusal, Subject, TierOptions};
use ring::{
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, PublicKeyComponents},
    signature::{ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256},
};
use serde_json::{Value, json};

use crate::support::{TestGate, encoded, part};

const NAME: &str = "https://issuer.example.com";

fn gate(audience: Option<&str>) -> TestGate {
    TestGate::new(Options {
        mode: Mode::Required,
        issuers: vec![Issuer { name: NAME.into(), audience: audience.map(str::to_owned), tier: None }],
        tiers: vec![TierOptions { name: "free-v1".into(), history: Some(10), ..TierOptions::default() }],
        ..Options::default()
    })
}

fn rsa() -> RsaKeyPair {
    let text: String = include_str!("rsa.pkcs8.base64").split_whitespace().collect();
    RsaKeyPair::from_pkcs8(&STANDARD.decode(text).unwrap()).unwrap()
}

fn rsa_jwk(rsa: &RsaKeyPair) -> Value {
    let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(rsa.public());
    json!({"kty": "RSA", "kid": "r1", "use": "sig", "alg": "RS256", "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e)})
}

fn rsa_token(rsa: &RsaKeyPair, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let mut signature = vec![0; rsa.public().modulus_len()];
    rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn claims(gate: &TestGate) -> Value {
    json!({"iss": NAME, "exp": gate.clock.seconds() + 600, "sub": "uid:someone", "tier": "free-v1", "origin": "https://a.b"})
}

#[test]
fn rsa_keys_of_another_issuer() {
    let gate = gate(None);
    let rsa = rsa();
    let set = json!({"keys": [{"kty": "oct", "kid": "secret", "k": "AAAA"}, rsa_jwk(&rsa)]}).to_string();
    let header = json!({"alg": "RS256", "kid": "r1"});
    let token = rsa_token(&rsa, &header, &claims(&gate));
    assert!(gate.with(&token).is_err());
    let keys = gate.set_issuer_keys(NAME, set.as_bytes()).unwrap();
    assert_eq!((keys.count, keys.refused), (1, vec![]));
    let grant = gate.with(&token).unwrap();
    assert_eq!(*grant.subject(), Subject::Foreign(format!("{NAME}:uid:someone").into()));
    assert_eq!((grant.tier().name(), grant.first_block(100)), ("free-v1", 90));

    let with = |change: fn(&mut Value)| {
        let mut claims = claims(&gate);
        change(&mut claims);
        gate.with(&rsa_token(&rsa, &header, &claims))
    };
    let reason = |result| match result {
        Err(Refusal::TokenInvalid { reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason(with(|claims| claims["iss"] = json!("dfuse"))).contains("another issuer"));
    assert!(reason(with(|claims| claims["exp"] = json!(1_600_000_000))).contains("expired"));
    assert!(reason(with(|claims| claims["nbf"] = json!(1_800_000_000))).contains("future"));
    assert!(reason(with(|claims| drop(claims.as_object_mut().unwrap().remove("iss")))).contains("lacks a claim"));
    assert!(
        matches!(with(|claims| claims["tier"] = json!("gold")), Err(Refusal::TierUnknown { tier }) if tier == "gold")
    );
    // An issuer that knows nothing of tiers does not lift all limits.
    let without = with(|claims| drop(claims.as_object_mut().unwrap().remove("tier")));
    assert_eq!(without.unwrap().tier().name(), "anonymous");
    assert_eq!(with(|claims| claims["stblk"] = json!(50)).unwrap().first_block(100), 50);
    // A time may have a fraction, and nothing but a number is one.
    let fraction = with(|claims| {
        claims["exp"] = json!(claims["exp"].as_f64().unwrap() + 0.5);
        claims["iat"] = json!(1_699_999_999.75);
        claims["nbf"] = json!(1.5e9);
    });
    fraction.unwrap();
    assert!(reason(with(|claims| claims["exp"] = json!(1_600_000_000.5))).contains("expired"));
    assert!(reason(with(|claims| claims["exp"] = json!(-1))).contains("expired"));
    assert!(reason(with(|claims| claims["exp"] = json!("1800000000"))).contains("its exp must be a number"));
    assert!(reason(with(|claims| claims["exp"] = json!(null))).contains("its exp must be a number"));
    assert!(reason(with(|claims| claims["iat"] = json!("now"))).contains("its iat must be a number"));
    assert!(reason(with(|claims| claims["nbf"] = json!([]))).contains("its nbf must be a number"));
    assert!(reason(with(|claims| drop(claims.as_object_mut().unwrap().remove("exp")))).contains("lacks a claim"));
    // An HMAC with what is known of the key is none.
    let mut own = header.clone();
    own["alg"] = json!("HS256");
    assert!(reason(gate.with(&rsa_token(&rsa, &own, &claims(&gate)))).contains("algorithm"));
    // Nor is a token of theirs that names one of our keys.
    own["alg"] = json!("RS256");
    own["kid"] = part(&gate.token(&gate.key().0), 0)["kid"].clone();
    assert!(reason(gate.with(&rsa_token(&rsa, &own, &claims(&gate)))).contains("algorithm"));
}

#[test]
fn weak_keys_are_told_and_do_not_count() {
    let gate = gate(None);
    let weak = |bits: usize| {
        let modulus = URL_SAFE_NO_PAD.encode([&[0x80][..], &vec![1; bits / 8 - 1]].concat());
        json!({"kty": "RSA", "kid": format!("w{bits}"), "n": modulus, "e": "AQAB"})
    };
    let encrypts = json!({"kty": "RSA", "kid": "enc", "use": "enc", "n": "AQ", "e": "AQAB"});
    let unreadable = json!({"kty": "RSA", "kid": "x", "n": "=", "e": "AQAB"});
    let set = json!({"keys": [weak(1024), rsa_jwk(&rsa()), encrypts, unreadable, weak(16384)]}).to_string();
    let keys = gate.set_issuer_keys(NAME, set.as_bytes()).unwrap();
    let refused = [
        "the key \"w1024\": it is an RSA key of 1024 bits, and must have 2048 to 8192",
        "the key \"x\": its n is not base64url without padding",
        "the key \"w16384\": it is an RSA key of 16384 bits, and must have 2048 to 8192",
    ];
    assert_eq!((keys.count, keys.refused), (1, refused.map(str::to_owned).to_vec()));
    let none = json!({"keys": [weak(2040)]}).to_string();
    let error = gate.set_issuer_keys(NAME, none.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("none that signatures") && error.contains("of 2040 bits"), "{error}");
    // Those that it had count still.
    let token = rsa_token(&rsa(), &json!({"alg": "RS256", "kid": "r1"}), &claims(&gate));
    gate.with(&token).unwrap();
}

#[test]
fn keys_that_are_gone_count_no_more() {
    let gate = gate(None);
    let rsa = rsa();
    gate.set_issuer_keys(NAME, json!({"keys": [rsa_jwk(&rsa)]}).to_string().as_bytes()).unwrap();
    let token = rsa_token(&rsa, &json!({"alg": "RS256", "kid": "r1"}), &claims(&gate));
    gate.with(&token).unwrap();
    let other = Ed25519KeyPair::from_seed_unchecked(&[7; ED25519_PUBLIC_KEY_LEN]).unwrap();
    let x = URL_SAFE_NO_PAD.encode(other.public_key());
    let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "e1", "x": x}]}).to_string();
    gate.set_issuer_keys(NAME, set.as_bytes()).unwrap();
    assert!(gate.with(&token).is_err());
    let message = format!("{}.{}", encoded(&json!({"alg": "EdDSA"})), encoded(&claims(&gate)));
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(other.sign(message.as_bytes())));
    gate.with(&token).unwrap();
}

#[test]
fn an_audience_is_asked_for() {
    let gate = gate(Some("our-api"));
    let rsa = rsa();
    gate.set_issuer_keys(NAME, json!({"keys": [rsa_jwk(&rsa)]}).to_string().as_bytes()).unwrap();
    let mut claims = claims(&gate);
    let header = json!({"alg": "RS256", "kid": "r1"});
    assert!(gate.with(&rsa_token(&rsa, &header, &claims)).is_err());
    claims["aud"] = json!("other");
    assert!(gate.with(&rsa_token(&rsa, &header, &claims)).is_err());
    claims["aud"] = json!(["other", "our-api"]);
    gate.with(&rsa_token(&rsa, &header, &claims)).unwrap();
}

#[test]
fn origins_of_their_tokens() {
    let gate = gate(None);
    let rsa = rsa();
    gate.set_issuer_keys(NAME, json!({"keys": [rsa_jwk(&rsa)]}).to_string().as_bytes()).unwrap();
    let token = rsa_token(&rsa, &json!({"alg": "RS256", "kid": "r1"}), &claims(&gate));
    let ask =
        |origin| gate.admit(&dfuse_access::Asking { token: Some(&token), origin, ..dfuse_access::Asking::default() });
    ask(Some("https://a.b")).unwrap();
    ask(None).unwrap();
    assert!(matches!(ask(Some("https://c.d")), Err(Refusal::Origin { .. })));
}

#[test]
fn what_is_no_set_of_keys() {
    let gate = gate(None);
    for (name, document, message) in [
        ("other", "{}", "not an issuer"),
        (NAME, "{}", "not a JSON Web Key Set"),
        (NAME, r#"{"keys": []}"#, "none that signatures"),
        (NAME, r#"{"keys": [{"kty": "oct", "k": "AAAA"}]}"#, "none that signatures"),
    ] {
        let error = gate.set_issuer_keys(name, document.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
