use dfuse_access::{Mode, Options, Refusal, RouteClass, TierOptions, Tiers};

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
