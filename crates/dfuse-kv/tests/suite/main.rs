//! The contract of a store, held against every engine.
#![allow(clippy::unwrap_used)]

mod conformance;
mod damage;
mod faults;
mod home;
mod kill;
mod model;
mod opening;
