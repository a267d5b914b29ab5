//! The contract of a store, held against every engine.

mod conformance;
mod faults;
mod home;
mod kill;
mod model;
mod opening;
