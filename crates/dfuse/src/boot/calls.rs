//! Actions that steps have in common.

use dfuse_antelope::{Name, PublicKey, model::PermissionLevel};
use serde_json::{Value, json};

use super::{chain::Call, sequence::active};

/// An account with one key for both of its permissions.
pub(super) fn new_account(creator: Name, name: Name, key: &PublicKey) -> Call {
    let authority = json!({"threshold": 1, "keys": [{"key": key, "weight": 1}], "accounts": [], "waits": []});
    let account = json!({"creator": creator, "name": name, "owner": authority, "active": authority});
    call(Name::EOSIO, "newaccount", creator, account)
}

pub(super) fn set_code(account: Name, code: &[u8]) -> Call {
    let data = json!({"account": account, "vmtype": 0, "vmversion": 0, "code": const_hex::encode(code)});
    call(Name::EOSIO, "setcode", account, data)
}

pub(super) fn set_abi(account: Name, abi: &[u8]) -> Call {
    call(Name::EOSIO, "setabi", account, json!({"account": account, "abi": const_hex::encode(abi)}))
}

/// By the account's active permission.
pub(super) fn call(contract: Name, action: &str, actor: Name, data: Value) -> Call {
    let action = action.parse().expect("a name");
    Call { contract, action, authorization: vec![PermissionLevel { actor, permission: active() }], data }
}
