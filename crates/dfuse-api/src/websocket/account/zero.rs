//! Values of fields that an account lacks, so that clients can read them without asking.

use serde_json::{Map, Value, json};

/// What the node says of an account whose code was never set.
pub(super) const NEVER: &str = "1970-01-01T00:00:00.000";
/// An asset of no token.
const NOTHING: &str = "0 ";

/// Fields that may be absent or null in what a node says become what the library of the original wrote then: structs of zero
/// values. Only `refund_request` stays null; fields that this library didn't know are left out if they are.
pub(super) fn fill(account: &mut Map<String, Value>) {
    if let Value::Object(zero) = zero_values() {
        fill_object(account, zero);
    }
    account.retain(|key, value| !value.is_null() || key == "refund_request");
}

fn fill_object(object: &mut Map<String, Value>, zero: Map<String, Value>) {
    for (key, zero) in zero {
        match (object.get_mut(&key), zero) {
            (Some(Value::Object(inner)), Value::Object(zero)) => fill_object(inner, zero),
            (None | Some(Value::Null), zero) => {
                object.insert(key, zero);
            }
            _ => {}
        }
    }
}

fn zero_values() -> Value {
    let limit = json!({"used": 0, "available": 0, "max": 0});
    json!({
        "account_name": "",
        "privileged": false,
        "last_code_update": NEVER,
        "created": NEVER,
        "core_liquid_balance": NOTHING,
        "ram_quota": 0,
        "ram_usage": 0,
        "net_weight": 0,
        "cpu_weight": 0,
        "net_limit": limit,
        "cpu_limit": limit,
        "permissions": [],
        "total_resources": {"owner": "", "net_weight": NOTHING, "cpu_weight": NOTHING, "ram_bytes": 0},
        "self_delegated_bandwidth": {"from": "", "to": "", "net_weight": NOTHING, "cpu_weight": NOTHING},
        "refund_request": null,
        "voter_info": {
            "owner": "",
            "proxy": "",
            "producers": [],
            "staked": 0,
            "last_vote_weight": 0,
            "proxied_vote_weight": 0,
            "is_proxy": 0,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays() {
        let mut account = json!({"voter_info": {"owner": "a", "producers": null, "staked": "5000000000"}, "ram_usage": 7,
            "total_resources": null, "refund_request": {"owner": "a"}, "rex_info": null, "head_block_num": 3});
        let account = account.as_object_mut().unwrap();
        fill(account);
        let voter = json!({"owner": "a", "proxy": "", "producers": [], "staked": "5000000000", "last_vote_weight": 0,
            "proxied_vote_weight": 0, "is_proxy": 0});
        assert_eq!(account["voter_info"], voter);
        assert_eq!((&account["ram_usage"], &account["head_block_num"]), (&json!(7), &json!(3)));
        assert_eq!(account["total_resources"]["net_weight"], "0 ");
        assert_eq!((&account["refund_request"], account.get("rex_info")), (&json!({"owner": "a"}), None));
        assert_eq!(account["core_liquid_balance"], "0 ");
        let mut nothing = Map::new();
        fill(&mut nothing);
        assert_eq!(
            nothing.iter().filter(|(_, value)| value.is_null()).map(|(key, _)| key).collect::<Vec<_>>(),
            ["refund_request"]
        );
    }
}
