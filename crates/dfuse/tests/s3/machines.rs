//! Machines that share a store in S3 and nothing else.

use std::{process::Stdio, thread, time::Duration};

use dfuse_testkit::Random;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    dfuse, printed,
    support::{
        self, Server, deadline,
        faults::{Fate, Faults},
        forks::{Forks, answer},
        machines::Machine,
        s3::{S3, SECRET},
        text,
    },
};

/// Requests that all machines answer alike.
const REQUESTS: usize = 200;

/// A machine whose store is in S3, behind faults of its own.
fn machine(folder: &TempDir, name: &str, roles: &'static str, ingests: &[&Machine], s3: &S3) -> (Machine, Faults) {
    let faults = Faults::before(s3.address());
    let machine = Machine::new(folder.path(), name, roles, ingests).with("DFUSE_BLOCKS__STORE", &S3::place("store"));
    let variables = S3::variables(faults.address());
    let machine = variables.iter().fold(machine, |machine, (name, value)| machine.with(name, value));
    (machine, faults)
}

#[test]
fn machines_answer_alike_whichever_is_lost() {
    let (Some(chain), Some(s3)) = (Forks::read(), S3::start()) else { return };
    let folder = TempDir::new().unwrap();
    let (a, a_faults) = machine(&folder, "a", "ingest", &[], &s3);
    let (b, b_faults) = machine(&folder, "b", "ingest", &[], &s3);
    let (c, c_faults) = machine(&folder, "c", "api", &[&a, &b], &s3);
    let (d, d_faults) = machine(&folder, "d", "api", &[&a, &b], &s3);
    let mut machines = [a, b, c, d];
    let faults = [a_faults, b_faults, c_faults, d_faults];
    machines.iter_mut().for_each(|machine| machine.start(&[]));
    let mut random = Random::new(17);
    let mut fed = 0;
    for (round, (end, head)) in chain.pieces.iter().skip(1).step_by(2).enumerate() {
        let mut parted = false;
        // Each misfortune nearly twice, and at other places of the chain.
        match round * 3 % 8 {
            killed @ 0..4 => {
                machines[killed].kill();
                if killed < 2 {
                    // The other one goes on alone for a while, and writes what both would have written.
                    machines[1 - killed].feed(&chain.log[fed..*end]);
                    machines[2].server().wait_until_it_has(&format!("/v0/blocks/{head}"));
                    fed = *end;
                }
                machines[killed].start(&chain.log[..fed]);
            }
            cut @ 4..6 => machines[cut - 4].door.cut_after(random.below(20_000)),
            6 => {
                // What each asks of the store fails now and then, or is late.
                for faults in &faults {
                    let mut count = random.below(5);
                    faults.plan(move |_| {
                        count += 1;
                        match count % 7 {
                            1 => Fate::Refused(503),
                            2 => Fate::Late(Duration::from_millis(100)),
                            3 => Fate::CutAnswer { whole: count.is_multiple_of(2) },
                            5 => Fate::Closed,
                            _ => Fate::Pass,
                        }
                    });
                }
            }
            _ => {
                // Machines without the role see neither of those that have it: what they have is in the store.
                parted = true;
                machines[..2].iter_mut().for_each(Machine::part);
            }
        }
        machines[..2].iter_mut().for_each(|machine| machine.feed(&chain.log[fed..*end]));
        fed = *end;
        machines[2 + round % 2].server().wait_until_it_has(&format!("/v0/blocks/{head}"));
        if parted {
            machines[..2].iter_mut().for_each(Machine::join);
        }
        faults.iter().for_each(Faults::mend);
    }
    machines[..2].iter_mut().for_each(|machine| machine.feed(&chain.log[fed..]));
    let has_all = format!("/v0/blocks/{}", chain.ids[0]);
    machines[2..].iter_mut().for_each(|machine| machine.server().wait_until_it_has(&has_all));
    let [c, d] = &mut machines[2..] else { unreachable!() };
    let until = deadline();
    // What is final is known a moment later.
    let lib = |machine: &mut Machine| machine.server().get("/healthz").json()["lib"]["num"].as_u64();
    while lib(c) != lib(d) {
        assert!(std::time::Instant::now() < until);
        thread::sleep(Duration::from_millis(50));
    }
    let mut good = 0;
    for _ in 0..REQUESTS {
        let path = chain.request(&mut random);
        let wanted = answer(c.server(), &path);
        good += usize::from(wanted.0 == 200);
        assert_eq!(answer(d.server(), &path), wanted, "{path}");
    }
    assert!(good > REQUESTS * 7 / 10, "{good}");
    let logs: Vec<_> = machines.iter_mut().rev().flat_map(Machine::stop).collect();
    assert!(!logs.iter().any(|line| line.contains(SECRET)));
    let place = S3::place("store");
    printed(dfuse(s3.address()).args(["tools", "check", "blocks", &place]));
    for machine in &machines[2..] {
        let places = ["--data-dir", text(&machine.data), "--blocks", &place];
        printed(dfuse(s3.address()).args(["tools", "check", "index"]).args(places));
    }
}

#[test]
fn keys_and_usage_are_objects_of_all_machines() {
    let (Some(chain), Some(s3)) = (Forks::read(), S3::start()) else { return };
    let folder = TempDir::new().unwrap();
    let (mut a, _) = machine(&folder, "a", "ingest", &[], &s3);
    let [(mut c, _), (mut d, faults)] = ["c", "d"].map(|name| {
        let (machine, faults) = machine(&folder, name, "api", &[&a], &s3);
        (machine.with("DFUSE_ACCESS__MODE", "required"), faults)
    });
    a.start(&chain.log[..chain.pieces[0].0]);
    for machine in [&mut c, &mut d] {
        machine.start(&[]);
    }
    for machine in [&mut c, &mut d] {
        machine.server().wait_for("ready");
    }
    let keys = |machine: &Machine, arguments: &[&str]| {
        let mut keys = dfuse(s3.address());
        let output =
            printed(keys.arg("keys").args(arguments).args(["--format", "json", "--data-dir", text(&machine.data)]));
        serde_json::from_str(&output).unwrap_or(json!(null))
    };
    let made: Value = keys(&c, &["create", "--kind", "server", "--name", "x"]);
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    // Every second request of the other machine fails: it hears of the key all the same.
    let mut count = 0;
    faults.plan(move |_| {
        count += 1;
        if count % 2 == 0 { Fate::Refused(503) } else { Fate::Pass }
    });
    let token = support::issued(d.server(), key);
    let path = format!("/v0/block_id/by_time?time=2100-01-01T00:00:00Z&comparator=lt&token={token}");
    assert_eq!(c.server().get(&path).status, 200, "a token of one machine counts at the other");
    assert_eq!(d.server().get(&path).status, 200);
    keys(&c, &["revoke", id]);
    d.server().wait_until(&path, |answer| answer.status == 401);
    // A store that lets nobody in is told, and passes.
    faults.plan(|_| Fate::Refused(403));
    d.server().wait_until("/healthz", |answer| {
        answer.status == 503 && answer.json()["details"]["conditions"]["keys"].is_string()
    });
    faults.mend();
    d.server().wait_until("/healthz", |answer| answer.json()["details"]["conditions"]["keys"].is_null());
    for machine in [&mut d, &mut c, &mut a] {
        machine.stop();
    }
    // What was used on both is told by each.
    c.start(&[]);
    c.server().wait_for("ready");
    let usage = keys(&c, &["usage", id]);
    let requests: u64 = usage.as_array().unwrap().iter().map(|row| row["requests"].as_u64().unwrap()).sum();
    assert!(requests >= 2, "{usage}");
    c.stop();
    assert!(s3.files("store/access/usage").is_dir() && s3.files("store/access/keys").is_dir());
}

#[test]
fn a_store_that_does_not_keep_writers_apart_is_refused() {
    let Some(s3) = S3::start() else { return };
    let folder = TempDir::new().unwrap();
    let refused = "does not keep what several machines write apart";
    let spawn = |machine: &Machine| Server::spawn(machine.command().stdin(Stdio::null()));
    let (a, faults) = machine(&folder, "a", "ingest", &[], &s3);
    faults.plan(|_| Fate::Unconditional);
    spawn(&a).fails(2, refused);
    let (c, faults) = machine(&folder, "c", "api", &[&a], &s3);
    faults.plan(|_| Fate::Unconditional);
    spawn(&c).fails(2, refused);
    let off = machine(&folder, "e", "ingest", &[], &s3).0.with("AWS_CONDITIONAL_PUT", "disabled");
    spawn(&off).fails(2, refused);
    // One that writes nothing there need not be refused, nor one that shares the store with nobody.
    let (index, faults) = machine(&folder, "f", "index", &[], &s3);
    faults.plan(|_| Fate::Unconditional);
    let mut index = spawn(&index);
    index.wait_for("waiting for block files");
    index.stop();
    let faults = Faults::before(s3.address());
    faults.plan(|_| Fate::Unconditional);
    let mut alone = dfuse(faults.address());
    alone.args(["start", "--listen", "127.0.0.1:0", "--data-dir", text(&folder.path().join("alone"))]);
    let mut alone = Server::spawn(alone.env("DFUSE_BLOCKS__STORE", S3::place("alone")).stdin(Stdio::null()));
    alone.wait_for("ready");
    alone.stop();
    // Once it does, it is taken.
    let (mut again, _) = machine(&folder, "a", "ingest", &[], &s3);
    again.start(&[]);
    again.kill();
}
