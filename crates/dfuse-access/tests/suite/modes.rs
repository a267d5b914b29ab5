use dfuse_access::{Asking, KeyKind, Mode, NewKey, Options, Refusal, RouteClass, TierOptions, Tiers};

use crate::support::TestGate;

fn gate(mode: Mode) -> TestGate {
    TestGate::new(Options { mode, ..Options::default() })
}

#[test]
fn open() {
    let gate = gate(Mode::Open);
    for token in [None, Some(""), Some("garbage"), Some("a.b.c")] {
        let grant = gate.at(token, "192.0.2.1").unwrap();
        assert_eq!((grant.subject().to_string().as_str(), grant.tier().name()), ("anonymous", Tiers::UNLIMITED));
        for _ in 0..1000 {
            assert_eq!(grant.take(RouteClass::Search), Ok(None));
        }
    }
    // Who has a key is counted under it.
    let (key, id) = gate.key();
    let token = gate.token(&key);
    assert_eq!(gate.with(&token).unwrap().subject().to_string(), id);
    gate.revoke_key(&id).unwrap();
    assert_eq!(gate.with(&token).unwrap().subject().to_string(), "anonymous");
}

#[test]
fn open_with_limits() {
    let tier =
        TierOptions { name: "slow".into(), address_rate: Some("1/m".parse().unwrap()), ..TierOptions::default() };
    let options = Options { anonymous_tier: Some("slow".into()), tiers: vec![tier], ..Options::default() };
    let gate = TestGate::new(options);
    let take = |address| gate.at(None, address).unwrap().take(RouteClass::LookUp);
    take("192.0.2.1").unwrap();
    assert!(matches!(take("192.0.2.1"), Err(Refusal::Rate(_))));
    take("192.0.2.2").unwrap();
}

#[test]
fn optional() {
    let gate = gate(Mode::Optional);
    let anonymous = gate.at(None, "192.0.2.1").unwrap();
    assert_eq!(anonymous.tier().name(), Tiers::ANONYMOUS);
    assert!(anonymous.take(RouteClass::LookUp).unwrap().is_some());
    assert!(matches!(gate.at(Some("garbage"), "192.0.2.1"), Err(Refusal::TokenInvalid { .. })));
    let token = gate.token(&gate.key().0);
    assert_eq!(gate.with(&token).unwrap().tier().name(), Tiers::UNLIMITED);
}

#[test]
fn required() {
    let gate = gate(Mode::Required);
    assert_eq!(gate.at(None, "192.0.2.1").unwrap_err(), Refusal::TokenMissing);
    assert!(gate.at(Some("garbage"), "192.0.2.1").is_err());
    gate.with(&gate.token(&gate.key().0)).unwrap();
}

#[test]
fn networks_that_need_no_token() {
    let networks = vec!["10.0.0.0/8".parse().unwrap()];
    let gate = TestGate::new(Options { mode: Mode::Required, networks, ..Options::default() });
    assert_eq!(gate.at(None, "10.1.2.3").unwrap().subject().to_string(), "network");
    assert_eq!(gate.at(Some("garbage"), "10.1.2.3").unwrap().subject().to_string(), "network");
    assert_eq!(gate.at(None, "11.0.0.1").unwrap_err(), Refusal::TokenMissing);
}

#[test]
fn what_cannot_be() {
    let store = || {
        let memory = dfuse_kv::MemoryStore::new(&dfuse_access::KvAccessStore::KEYSPACES);
        std::sync::Arc::new(dfuse_access::KvAccessStore::over(std::sync::Arc::new(memory)).unwrap())
    };
    let clock = std::sync::Arc::new(dfuse_blocks::SystemClock::new());
    for (options, message) in [
        (Options { anonymous_tier: Some("gold".into()), ..Options::default() }, "there is no tier \"gold\""),
        (Options { secret: Some(" ".to_owned().into()), ..Options::default() }, "access.secret"),
        (Options { tiers: vec![TierOptions::default()], ..Options::default() }, "needs a name"),
    ] {
        let entropy = std::sync::Arc::new(dfuse_blocks::SystemEntropy);
        let error = dfuse_access::Gate::open(store(), clock.clone(), entropy, options).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

/// Who may see what is for operators.
#[test]
fn operators() {
    let options = Options {
        secret: Some("secret".to_owned().into()),
        networks: vec!["10.0.0.0/8".parse().unwrap()],
        operator_networks: vec!["127.0.0.1/32".parse().unwrap()],
        tiers: vec![TierOptions { name: "free".into(), ..TierOptions::default() }],
        anonymous_tier: Some(Tiers::UNLIMITED.into()),
        ..Options::default()
    };
    let missing = Err(Refusal::TokenMissing);
    let limited = |tier: &str| Err(Refusal::Tier { tier: tier.into(), required: Tiers::UNLIMITED.into() });
    for mode in [Mode::Optional, Mode::Required] {
        let gate = TestGate::new(Options { mode, ..options.clone() });
        let token = |kind, tier: Option<&str>| {
            let origins = if kind == KeyKind::Web { vec!["*".parse().unwrap()] } else { vec![] };
            let new = NewKey { tier: tier.map(Into::into), origins, ..NewKey::new(kind, "test") };
            gate.token(&gate.key_like(new).0)
        };
        let ask = |token: Option<&str>, address: &str, is_proxy| {
            let asking = Asking { token, address: address.parse().ok(), is_proxy, origin: None };
            gate.admit_operator(&asking).map(drop)
        };
        assert_eq!(ask(Some(&token(KeyKind::Server, None)), "192.0.2.1", false), Ok(()));
        assert_eq!(ask(Some("secret"), "192.0.2.1", false), Ok(()));
        for address in ["127.0.0.1", "10.0.0.1"] {
            assert_eq!(ask(None, address, false), Ok(()), "{address}");
            assert_eq!(ask(None, address, true), missing.clone(), "a proxy at {address} asks for anybody");
        }
        assert_eq!(ask(None, "192.0.2.1", false), missing.clone());
        assert_eq!(ask(Some(&token(KeyKind::Server, Some("free"))), "192.0.2.1", false), limited("free"));
        // Everybody can read the key in a page or a program for telephones.
        for kind in [KeyKind::Web, KeyKind::Mobile] {
            assert_eq!(ask(Some(&token(kind, None)), "192.0.2.1", false), limited(Tiers::UNLIMITED), "{kind:?}");
        }
        assert!(matches!(ask(Some("garbage"), "192.0.2.1", false), Err(Refusal::TokenInvalid { .. })));
        gate.begin_maintenance();
        assert_eq!(ask(Some("secret"), "192.0.2.1", false), Ok(()));
    }
    let gate = TestGate::new(Options { secret: None, ..options });
    gate.admit_operator(&Asking::default()).unwrap();
}
