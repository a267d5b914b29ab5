use std::{sync::Barrier, thread};

use dfuse_access::{Counted, KeyKind, Mode, NewKey, Options, Refusal, RouteClass, TierOptions, Usage};

use crate::support::TestGate;

fn gate(tier: TierOptions) -> TestGate {
    let tiers = vec![
        TierOptions { name: "free-v1".into(), ..tier },
        TierOptions { name: "eosq-v1".into(), ..TierOptions::default() },
    ];
    TestGate::new(Options { mode: Mode::Required, tiers, ..Options::default() })
}

fn token(gate: &TestGate) -> String {
    gate.token(&gate.key_like(NewKey { tier: Some("free-v1".into()), ..NewKey::new(KeyKind::Server, "a") }).0)
}

#[test]
fn routes_of_a_tier() {
    let gate = gate(TierOptions { routes: vec![RouteClass::LookUp], ..TierOptions::default() });
    let grant = gate.with(&token(&gate)).unwrap();
    grant.require(RouteClass::LookUp).unwrap();
    let refused = Refusal::Tier { tier: "free-v1".into(), required: "eosq-v1".into() };
    assert_eq!(grant.require(RouteClass::Explorer), Err(refused));
}

#[test]
fn history_of_a_tier_and_of_a_key() {
    let gate = gate(TierOptions { history: Some(3600), ..TierOptions::default() });
    assert_eq!(gate.with(&token(&gate)).unwrap().first_block(10_000), 6400);
    let new = NewKey { tier: Some("free-v1".into()), history: Some(0), ..NewKey::new(KeyKind::Server, "a") };
    let grant = gate.with(&gate.token(&gate.key_like(new).0)).unwrap();
    assert_eq!((grant.first_block(10_000), grant.first_block(0)), (10_000, 0));
}

#[test]
fn rates_by_key_and_class() {
    let gate = gate(TierOptions {
        rate: Some("5/m".parse().unwrap()),
        rates: [(RouteClass::Search, "2/m".parse().unwrap())].into(),
        ..TierOptions::default()
    });
    let (token, other) = (token(&gate), token(&gate));
    let take = |token: &str, address: &str, class| gate.at(Some(token), address).unwrap().take(class);
    // Wherever it comes from, a key is one caller.
    for (number, remaining) in (0..5).zip((0..5).rev()) {
        let standing = take(&token, &format!("192.0.2.{number}"), RouteClass::LookUp).unwrap().unwrap();
        assert_eq!((standing.limit, standing.remaining), (5, remaining));
    }
    let Err(Refusal::Rate(standing)) = take(&token, "192.0.2.9", RouteClass::LookUp) else { panic!("not limited") };
    assert_eq!((standing.limit, standing.remaining, standing.reset_seconds), (5, 0, 12));
    take(&token, "192.0.2.9", RouteClass::Search).unwrap();
    take(&token, "192.0.2.9", RouteClass::Search).unwrap();
    assert!(take(&token, "192.0.2.9", RouteClass::Search).is_err());
    take(&other, "192.0.2.9", RouteClass::LookUp).unwrap();
    gate.clock.advance(12);
    take(&token, "192.0.2.1", RouteClass::LookUp).unwrap();
}

#[test]
fn one_address_does_not_use_up_a_key() {
    let gate = gate(TierOptions {
        rate: Some("100/m".parse().unwrap()),
        address_rate: Some("3/m".parse().unwrap()),
        ..TierOptions::default()
    });
    let token = token(&gate);
    let take = |address: &str| gate.at(Some(&token), address).unwrap().take(RouteClass::LookUp);
    let taken = (0..1000).filter(|_| take("192.0.2.1").is_ok()).count();
    assert_eq!(taken, 3);
    assert_eq!(take("192.0.2.2").unwrap().unwrap().remaining, 2);
    // Addresses of one IPv6 network are one.
    let taken = (0..100).filter(|number| take(&format!("2001:db8::{number:x}")).is_ok()).count();
    assert_eq!(taken, 3);
}

#[test]
fn a_key_may_have_a_rate_of_its_own() {
    let gate = gate(TierOptions { rate: Some("1/m".parse().unwrap()), ..TierOptions::default() });
    let new = NewKey {
        tier: Some("free-v1".into()),
        rate: Some("50/s".parse().unwrap()),
        ..NewKey::new(KeyKind::Server, "a")
    };
    let grant = gate.with(&gate.token(&gate.key_like(new).0)).unwrap();
    assert_eq!(grant.take(RouteClass::Search).unwrap().unwrap().limit, 50);
}

#[test]
fn searches_cost_what_they_do() {
    let gate = gate(TierOptions { rate: Some("10/s".parse().unwrap()), ..TierOptions::default() });
    let grant = gate.with(&token(&gate)).unwrap();
    grant.take(RouteClass::Search).unwrap();
    // Less than a request is worth is free.
    grant.charge_work(RouteClass::Search, 49_999);
    assert_eq!(grant.take(RouteClass::Search).unwrap().unwrap().remaining, 8);
    grant.charge_work(RouteClass::Search, 1_000_000);
    assert!(matches!(grant.take(RouteClass::Search), Err(Refusal::Rate(_))));
    grant.take(RouteClass::LookUp).unwrap();
    gate.clock.advance(1);
    assert!(grant.take(RouteClass::Search).is_err());
    gate.clock.advance(2);
    grant.take(RouteClass::Search).unwrap();
}

#[test]
fn numbers_of_connections_and_streams() {
    let gate = gate(TierOptions { max_connections: Some(1), max_streams: Some(2), ..TierOptions::default() });
    let grant = gate.with(&token(&gate)).unwrap();
    let connection = grant.connection().unwrap();
    assert_eq!(grant.connection().unwrap_err(), Refusal::Number { counted: Counted::Connections, limit: 1 });
    let streams = [grant.stream().unwrap(), grant.stream().unwrap()];
    assert_eq!(grant.stream().unwrap_err(), Refusal::Number { counted: Counted::Streams, limit: 2 });
    drop((connection, streams));
    drop((grant.connection().unwrap(), grant.stream().unwrap()));
    // Without a limit there are no places.
    let free = gate.with(&gate.token(&gate.key().0)).unwrap();
    let many: Vec<_> = (0..100).map(|_| free.stream().unwrap()).collect();
    assert_eq!(many.len(), 100);
}

#[test]
fn usage_is_counted_by_key() {
    let gate = gate(TierOptions { rate: Some("1/m".parse().unwrap()), ..TierOptions::default() });
    let (key, id) = gate.key_like(NewKey { tier: Some("free-v1".into()), ..NewKey::new(KeyKind::Server, "a") });
    let token = gate.token(&key);
    for _ in 0..3 {
        let grant = gate.with(&token).unwrap();
        if grant.take(RouteClass::LookUp).is_ok() {
            grant.record(Usage { requests: 1, documents: 20, ingress_bytes: 7, egress_bytes: 1000, rate_limited: 0 });
        }
    }
    gate.flush_usage().unwrap();
    let rows = gate.store().usage(0..=u32::MAX).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].subject.as_str(), u64::from(rows[0].day)), (id.as_str(), gate.clock.seconds() / 86_400));
    let used = Usage { requests: 1, documents: 20, ingress_bytes: 7, egress_bytes: 1000, rate_limited: 2 };
    assert_eq!(rows[0].usage, used);
}

/// However many ask at the same moment, no more get in than may.
#[test]
fn bursts_get_no_more_than_their_limits() {
    let burst = TierOptions {
        name: "burst".into(),
        rate: "100/h".parse().ok(),
        max_streams: Some(7),
        ..TierOptions::default()
    };
    let gate = TestGate::new(Options { mode: Mode::Required, tiers: vec![burst], ..Options::default() });
    let token =
        gate.token(&gate.key_like(NewKey { tier: Some("burst".into()), ..NewKey::new(KeyKind::Server, "a") }).0);
    let ready = Barrier::new(16);
    let admitted: Vec<_> = thread::scope(|scope| {
        let ask = || {
            ready.wait();
            let mut streams = Vec::new();
            let mut taken = 0;
            for _ in 0..100 {
                // Each request is admitted anew, as those of many connections are.
                let grant = gate.with(&token).unwrap();
                taken += u32::from(grant.take(RouteClass::LookUp).is_ok());
                streams.extend(grant.stream());
            }
            (taken, streams)
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(admitted.iter().map(|(taken, _)| taken).sum::<u32>(), 100);
    assert_eq!(admitted.iter().map(|(_, streams)| streams.len()).sum::<usize>(), 7);
}
