//! Contracts and ABIs that come with the program.

use anyhow::Context;
use dfuse_antelope::abi::Abi;

/// Writes the rows of the account whose code it is.
pub(super) const INJECTOR: &[u8] = include_bytes!("injector/injector.wasm");
const INJECTOR_ABI: &str = include_str!("injector/injector.abi");
/// By which the account `eosio` activates protocol features, if it has no other contract.
pub(crate) const ACTIVATOR: &[u8] = include_bytes!("injector/activator.wasm");
/// Actions of `eosio` that every chain has from genesis on, whatever contract it has; and `activate`, which all its contracts have alike.
const NATIVE: &str = include_str!("native.abi.json");

pub(super) fn injector_abi() -> anyhow::Result<Abi> {
    serde_json::from_str(INJECTOR_ABI).context("the ABI of the injector")
}

/// The ABI of what `eosio` takes whatever contract it has.
pub(crate) fn native_abi() -> anyhow::Result<Abi> {
    serde_json::from_str(NATIVE).context("the ABI of the chain's own actions")
}
