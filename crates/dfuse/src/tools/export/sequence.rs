//! The boot sequence of what was exported.

use std::{collections::BTreeSet, fmt::Write};

use anyhow::Context;
use dfuse_antelope::{Checksum256, Name, raw::Reader};

use super::actions::History;

/// The contract of ours that activates protocol features.
pub(super) const ACTIVATOR_FILE: &str = "activator.wasm";
/// The key that every tutorial shows.
const DEVELOPMENT_KEY: &str = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3";

/// Where an account is, from the folder of the sequence.
pub(super) fn place_of(account: Name) -> String {
    format!("accounts/{account}")
}

/// Features that contracts could use at that height, as the chain activated them.
pub(super) async fn features(history: &History<'_>) -> anyhow::Result<Vec<Checksum256>> {
    let mut features = Vec::new();
    for action in history.all("action:activate").await? {
        if action.name == Name::literal("activate") {
            let digest = Reader::new(&action.data).checksum256();
            features.push(digest.context("an action activate that cannot be read")?);
        }
    }
    Ok(features)
}

/// Features, accounts, and then what they have: contracts may need each other.
pub(super) fn boot_sequence(accounts: &BTreeSet<Name>, features: &[Checksum256]) -> String {
    let mut text = format!("keys:\n  boot: {DEVELOPMENT_KEY}   # the public development key\n");
    if !features.is_empty() {
        let _ = writeln!(text, "contents:\n  - {{name: activator.wasm, url: {ACTIVATOR_FILE}}}");
    }
    text += "boot_sequence:\n";
    if !features.is_empty() {
        let list: Vec<_> = features.iter().map(|digest| format!("\"{digest}\"")).collect();
        text += "  - {op: system.enable_protocol_features, label: features}\n\
                 \x20 - {op: system.setcode, label: features, data: {account: eosio, contract_name_ref: activator}}\n";
        let _ = writeln!(
            text,
            "  - {{op: system.activate_protocol_features, label: features, data: {{features: [{}]}}}}",
            list.join(", ")
        );
    }
    // Names stand in quotes: some look like numbers.
    for account in accounts.iter().filter(|account| **account != Name::EOSIO) {
        let _ = writeln!(
            text,
            "  - {{op: system.newaccount, label: \"{account}\", data: {{creator: eosio, new_account: \"{account}\", pubkey: boot}}}}"
        );
    }
    // What eosio has may change what it takes to make accounts.
    let others = accounts.iter().filter(|account| **account != Name::EOSIO);
    for account in others.chain(accounts.get(&Name::EOSIO)) {
        let place = place_of(*account);
        let _ = writeln!(
            text,
            "  - {{op: migration.inject, label: \"{account}\", data: {{account: \"{account}\", data_dir: {place}, pubkey: boot}}}}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_made_before_contracts_and_the_system_comes_last() {
        let accounts = ["b", "a", "eosio"].map(Name::literal).into();
        let text = boot_sequence(&accounts, &[]);
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
        assert!(at("new_account: \"b\",") < at("migration.inject, label: \"a\","), "{text}");
        assert!(at("data_dir: accounts/b,") < at("data_dir: accounts/eosio,"), "{text}");
        assert!(!text.contains("new_account: \"eosio") && !text.contains("contents"), "{text}");
        let text = boot_sequence(&accounts, &[Checksum256::sha256(b"")]);
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
        assert!(at("url: activator.wasm") < at("contract_name_ref: activator"), "{text}");
        assert!(at("contract_name_ref: activator") < at("[\"e3b0c4") && at("[\"e3b0c4") < at("new_account"), "{text}");
    }
}
