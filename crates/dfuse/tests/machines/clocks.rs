//! Machines whose clocks differ by hours: nobody notices.

use crate::{
    dfuse,
    fleet::{A, B, C, D, begun_with},
    support::{clocks::Clocks, issued},
};

/// By how many seconds the clock of each machine is ahead, or behind.
const SHIFTS: [i64; 4] = [2 * 3600, -2 * 3600, 1800, -1800];

#[test]
fn clocks_that_differ_are_seen_by_nobody() {
    let clocks = Clocks::new();
    let shifted = |at: usize, machine| {
        // The client has no token, and no limits.
        let machine = clocks.shift(machine, SHIFTS[at]).with("DFUSE_ACCESS__ANONYMOUS_TIER", "unlimited");
        if at < C { machine } else { machine.with("DFUSE_ACCESS__MODE", "optional") }
    };
    let Some((mut fleet, client)) = begun_with(11, shifted) else { return };
    // A token of either machine counts at both, and ends with its key.
    let (_, made) = dfuse(&fleet.machines[C], &["keys", "create", "--kind", "server", "--name", "x"]);
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    let mut paths = Vec::new();
    for at in [C, D] {
        let token = issued(fleet.server(at), key);
        paths.push(format!("/v0/block_id/by_time?time=2100-01-01T00:00:00Z&comparator=lt&token={token}"));
    }
    for at in [C, D] {
        for path in &paths {
            let answer = fleet.server(at).get(path);
            assert_eq!(answer.status, 200, "{:?}", answer.json());
        }
    }
    assert_eq!(dfuse(&fleet.machines[D], &["keys", "revoke", id]).0, Some(0));
    for at in [C, D] {
        for path in &paths {
            fleet.server(at).wait_until(path, |answer| answer.status == 401);
        }
    }
    // Each takes blocks alone for a while, and comes back to its name at once.
    for (piece, (dies, goes_on)) in [(4, (A, B)), (6, (B, A))] {
        fleet.machines[dies].kill();
        fleet.feed(goes_on, piece);
        fleet.both_come_to(piece);
        fleet.restart(dies, piece + 1);
        fleet.feed(goes_on, piece + 1);
        fleet.both_come_to(piece + 1);
    }
    // One that answers catches up.
    fleet.machines[C].kill();
    fleet.feed_both(9);
    fleet.restart(C, 9);
    fleet.both_come_to(9);
    fleet.end(client, 10);
}
