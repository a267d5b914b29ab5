//! Test support: recorded data and a seeded synthetic chain. Nothing outside tests and benchmarks depends on it.

pub mod recorded;
