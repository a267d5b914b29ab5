//! The contracts of the synthetic chain.

mod app;
mod system;
mod token;

use dfuse_antelope::{Name, raw::Reader};

use super::{execute::Call, trace::Failure};

pub(crate) use app::{INLINE_LIMIT, Later};
pub(crate) use system::{Feature, create_account, create_permission, pack_authority};
pub(crate) use token::{accounts, amount};
pub(crate) const TOKEN: Name = Name::literal("eosio.token");
pub(crate) const APP: Name = Name::literal("app");
pub(crate) const ACTIVE: Name = Name::literal("active");
pub(crate) const OWNER: Name = Name::literal("owner");

/// Runs what the receiver does on the action, if anything.
pub(crate) fn apply(call: &mut Call<'_, '_>) -> Result<(), Failure> {
    let action = call.action.clone();
    match (call.receiver, action.account) {
        (Name::EOSIO, Name::EOSIO) => system::apply(call, &action),
        (TOKEN, TOKEN) => token::apply(call, &action),
        (APP, APP) => app::apply(call, &action),
        (APP, Name::EOSIO) if action.name == Name::literal("onerror") => app::on_error(call, &action),
        _ => Ok(()),
    }
}

/// A reader for action data; bad data fails the action, as in a contract.
fn unpack<'d, T>(
    data: &'d [u8],
    read: impl FnOnce(&mut Reader<'d>) -> dfuse_antelope::Result<T>,
) -> Result<T, Failure> {
    read(&mut Reader::new(data)).map_err(|error| Failure::message(error.to_string()))
}
