//! The gate as surfaces use it: tokens, attacks on them, modes, tiers, limits, revocation, maintenance.
#![allow(clippy::unwrap_used)]

mod attacks;
mod issuers;
mod limits;
mod modes;
mod support;
mod tokens;
