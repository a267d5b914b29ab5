//! What access control costs a request: everything that is asked before it is answered.

use std::{net::IpAddr, sync::Arc};

use dfuse_access::{Asking, Gate, KeyKind, KvAccessStore, Mode, NewKey, Options, RouteClass, TierOptions, Usage};
use dfuse_blocks::{SystemClock, SystemEntropy};
use dfuse_kv::MemoryStore;

fn main() {
    divan::main();
}

struct Bench {
    gate: Gate,
    token: String,
}

fn bench() -> Bench {
    let store = KvAccessStore::over(Arc::new(MemoryStore::new(&KvAccessStore::KEYSPACES))).expect("a memory store");
    let rate = "1000000/s".parse().ok();
    let tier = TierOptions { name: "tier".into(), rate, address_rate: rate, ..TierOptions::default() };
    let options = Options { mode: Mode::Required, tiers: vec![tier], ..Options::default() };
    let clock = Arc::new(SystemClock::new());
    let gate = Gate::open(Arc::new(store), clock, Arc::new(SystemEntropy), options).expect("a gate");
    let new = NewKey { tier: Some("tier".into()), ..NewKey::new(KeyKind::Server, "bench") };
    let (key, _) = gate.create_key(new).expect("a key");
    let token = gate.issue(key.reveal(), None, None).expect("no failure").expect("a token").token;
    Bench { gate, token }
}

fn request(bench: &Bench, address: IpAddr) {
    let asking = Asking {
        token: Some(&bench.token),
        address: Some(address),
        origin: Some("https://app.example.com"),
        ..Asking::default()
    };
    let grant = bench.gate.admit(&asking).expect("a valid token");
    grant.require(RouteClass::LookUp).expect("every route");
    let _ = divan::black_box(grant.take(RouteClass::LookUp));
    grant.record(Usage { requests: 1, documents: 1, ..Usage::default() });
}

/// One key from one address, limits of both included; on several threads they contend for the same buckets.
#[divan::bench(threads = [1, 2, 8])]
fn a_request_with_a_token(bencher: divan::Bencher<'_, '_>) {
    let bench = bench();
    bencher.bench(|| request(&bench, IpAddr::from([192, 0, 2, 1])));
}

/// A token that is seen for the first time: its signature is verified.
#[divan::bench]
fn a_token_for_the_first_time(bencher: divan::Bencher<'_, '_>) {
    let bench = bench();
    let (key, _) = bench.gate.create_key(NewKey::new(KeyKind::Server, "many")).expect("a key");
    let mut address = 0_u32;
    bencher
        .with_inputs(|| {
            address += 1;
            let issued = bench.gate.issue(key.reveal(), Some(IpAddr::from(address.to_be_bytes())), None);
            issued.expect("no failure").expect("a token").token
        })
        .bench_local_values(|token| drop(bench.gate.admit(&Asking { token: Some(&token), ..Asking::default() })));
}

/// Issuing a token for a key.
#[divan::bench]
fn issue(bencher: divan::Bencher<'_, '_>) {
    let bench = bench();
    let (key, _) = bench.gate.create_key(NewKey::new(KeyKind::Server, "issue")).expect("a key");
    let mut address = 0_u32;
    bencher.bench_local(|| {
        address += 1;
        bench.gate.issue(key.reveal(), Some(IpAddr::from(address.to_be_bytes())), None)
    });
}
