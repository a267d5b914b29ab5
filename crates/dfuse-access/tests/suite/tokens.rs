use dfuse_access::{Asking, KeyKind, NewKey, OriginPattern, Refusal, Subject, TOKEN_SECONDS, TierOptions};
use serde_json::json;

use crate::support::{TestGate, part};

#[test]
fn a_token_has_all_claims() {
    let gate = TestGate::new(dfuse_access::Options {
        tiers: vec![TierOptions { name: "free-v1".into(), history: Some(3600), ..TierOptions::default() }],
        ..dfuse_access::Options::default()
    });
    let origins = vec!["https://app.example.com".parse().unwrap()];
    let (key, id) = gate.key_like(NewKey { tier: Some("free-v1".into()), origins, ..NewKey::new(KeyKind::Web, "a") });
    let issued = gate.issue(&key, None, Some("https://app.example.com")).unwrap().unwrap();
    let now = gate.clock.seconds();
    assert_eq!(issued.expires_at, now + TOKEN_SECONDS);
    let claims = part(&issued.token, 1);
    let jti = claims["jti"].as_str().unwrap().to_owned();
    assert!(jti.len() == 36 && jti.as_bytes()[14] == b'4', "{jti}");
    let expected = json!({
        "exp": now + 86_400, "iat": now, "iss": "dfuse", "jti": jti, "sub": format!("uid:{}", &id[..20]), "aki": id,
        "tier": "free-v1", "stblk": -3600, "v": 1, "usg": "web", "origin": "https://app.example.com",
    });
    assert_eq!(claims, expected);
    let header = part(&issued.token, 0);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("JWT")));
    let public = gate.public_keys();
    assert_eq!(public["keys"][0]["kid"], header["kid"]);
    assert_eq!(public["keys"][0]["crv"], "P-256");
    assert_eq!(public["keys"].as_array().unwrap().len(), 1);
    assert!(public["keys"][0].get("d").is_none());
}

#[test]
fn a_key_without_limits_says_so() {
    let gate = TestGate::required();
    let (key, id) = gate.key();
    let token = gate.token(&key);
    let claims = part(&token, 1);
    assert_eq!((&claims["tier"], &claims["stblk"]), (&json!("unlimited"), &json!(1)));
    assert!(claims.get("origin").is_none());
    let grant = gate.with(&token).unwrap();
    assert_eq!(grant.subject().to_string(), id);
    assert_eq!((grant.start_block(), grant.first_block(1_000_000)), (None, 0));
    // Clients have keys in any case.
    gate.token(&key.to_uppercase());
}

#[test]
fn a_token_lives_a_day_and_a_little_longer() {
    let gate = TestGate::required();
    let (key, _) = gate.key();
    let token = gate.token(&key);
    gate.clock.advance(TOKEN_SECONDS + 60);
    gate.with(&token).unwrap();
    gate.clock.advance(1);
    assert!(matches!(gate.with(&token), Err(Refusal::TokenInvalid { reason }) if reason.contains("expired")));
}

/// Another machine may have issued it.
#[test]
fn a_token_counts_where_the_clock_is_behind() {
    let gate = TestGate::required();
    let (key, _) = gate.key();
    gate.clock.advance(3600);
    let token = gate.token(&key);
    gate.clock.go_back(3600);
    gate.with(&token).unwrap();
}

#[test]
fn a_token_ends_with_its_key() {
    let gate = TestGate::required();
    let expires = Some(gate.clock.seconds() + 100);
    let (key, _) = gate.key_like(NewKey { expires, ..NewKey::new(KeyKind::Server, "a") });
    let issued = gate.issue(&key, None, None).unwrap().unwrap();
    assert_eq!(Some(issued.expires_at), expires);
    gate.clock.advance(100);
    assert_eq!(gate.with(&issued.token).unwrap_err(), Refusal::KeyInvalid);
    assert_eq!(gate.issue(&key, None, None).unwrap().unwrap_err(), Refusal::KeyInvalid);
}

#[test]
fn signing_keys_rotate() {
    let gate = TestGate::required();
    let (key, _) = gate.key();
    let old = gate.token(&key);
    assert_eq!(gate.rotate_if_older(1000).unwrap(), None);
    gate.clock.advance(1000);
    let kid = gate.rotate_if_older(1000).unwrap().unwrap();
    let new = gate.token(&key);
    assert_eq!(part(&new, 0)["kid"], kid.as_str());
    assert_ne!(part(&old, 0)["kid"], kid.as_str());
    gate.with(&old).unwrap();
    gate.with(&new).unwrap();
    assert_eq!(gate.public_keys()["keys"].as_array().unwrap().len(), 2);
    // Once no token of the old one can live, it is gone with the next rotation.
    gate.clock.advance(TOKEN_SECONDS + 61);
    gate.rotate().unwrap();
    assert_eq!(gate.public_keys()["keys"].as_array().unwrap().len(), 2);
    assert!(gate.with(&old).is_err());
}

#[tokio::test]
async fn a_revoked_key_ends_its_streams() {
    let gate = TestGate::required();
    let (key, id) = gate.key();
    let (other, _) = gate.key();
    let (token, other) = (gate.token(&key), gate.token(&other));
    let (stream, other) = (gate.with(&token).unwrap(), gate.with(&other).unwrap());
    stream.check().unwrap();
    let ended = tokio::spawn({
        let stream = stream.clone();
        async move { stream.ended().await }
    });
    let revoked = gate.revoke_key(&id[..8]).unwrap();
    assert_eq!(revoked.revoked, Some(gate.clock.seconds()));
    assert_eq!(ended.await.unwrap(), Refusal::KeyRevoked);
    assert_eq!(stream.check(), Err(Refusal::KeyRevoked));
    assert_eq!(gate.with(&token).unwrap_err(), Refusal::KeyRevoked);
    assert_eq!(gate.issue(&key, None, None).unwrap().unwrap_err(), Refusal::KeyInvalid);
    other.check().unwrap();
    // A second time changes nothing.
    gate.clock.advance(5);
    assert_eq!(gate.revoke_key(&id).unwrap().revoked, revoked.revoked);
}

#[tokio::test]
async fn maintenance_ends_everything() {
    let gate = TestGate::new(dfuse_access::Options::default());
    let (key, _) = gate.key();
    let stream = gate.admit(&Asking::default()).unwrap();
    let ended = tokio::spawn({
        let stream = stream.clone();
        async move { stream.ended().await }
    });
    gate.set_maintenance(true).unwrap();
    let refusal = Refusal::Maintenance { retry_seconds: 60 };
    assert_eq!(ended.await.unwrap(), refusal);
    assert_eq!(gate.admit(&Asking::default()).unwrap_err(), refusal);
    assert_eq!(gate.issue(&key, None, None).unwrap().unwrap_err(), refusal);
    assert!(gate.store().maintenance().unwrap());
    gate.set_maintenance(false).unwrap();
    gate.admit(&Asking::default()).unwrap();
    stream.check().unwrap();
}

#[test]
fn keys_are_found_by_the_beginning_of_their_id() {
    let gate = TestGate::required();
    let (_, id) = gate.key();
    assert_eq!(gate.keyring().find(&id.to_uppercase()).unwrap().id.to_string(), id);
    for (wrong, message) in [("", "6 digits"), (&id[..5], "6 digits"), ("ffffffffffffffff", "there is no key")] {
        let error = gate.keyring().find(wrong).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_key_of_a_tier_that_is_not_there_is_not_made() {
    let gate = TestGate::required();
    let error = gate.create_key(NewKey { tier: Some("gold".into()), ..NewKey::new(KeyKind::Server, "a") }).unwrap_err();
    assert_eq!(error.to_string(), "there is no tier \"gold\"; the tiers are unlimited, anonymous");
}

#[test]
fn origins_of_web_keys() {
    let gate = TestGate::required();
    let origins: Vec<OriginPattern> =
        ["https://app.example.com", "https://*.example.org"].map(|it| it.parse().unwrap()).into();
    let (key, _) = gate.key_like(NewKey { origins, ..NewKey::new(KeyKind::Web, "a") });
    let evil = "https://app.example.com.evil.org";
    let refused = Refusal::Origin { origin: evil.to_owned() };
    assert_eq!(gate.issue(&key, None, Some(evil)).unwrap().unwrap_err(), refused);
    let token = gate.issue(&key, None, Some("https://a.example.org")).unwrap().unwrap().token;
    assert_eq!(part(&token, 1)["origin"], "https://a.example.org");
    let ask = |origin| gate.admit(&Asking { token: Some(&token), origin, ..Asking::default() });
    assert!(matches!(ask(Some("https://app.example.com")).unwrap().subject(), Subject::Key(_)));
    ask(None).unwrap();
    assert_eq!(ask(Some(evil)).unwrap_err(), refused);
    assert!(matches!(ask(Some("null")), Err(Refusal::Origin { .. })));
    // Nothing long is repeated.
    let long = format!("https://{}", "a".repeat(10_000));
    assert!(matches!(ask(Some(&long)), Err(Refusal::Origin { origin }) if origin.len() <= 100));
}
